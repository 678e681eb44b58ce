"""The training loop learns, sees the test set once, and goes on after any interruption as if there had been none."""

import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import tinyvit
from tests import strict
from tests.training import helpers
from tests.training.helpers import CONFIG, PER_EPOCH, RECIPE, STEPS, toy, toy_run, untimed
from tinyvit import trees
from tinyvit.errors import DataError, DivergedError, Interrupted, UsageError
from tinyvit.training import loop, train_step
from tinyvit.training.checkpoint import load_for_use
from tinyvit.training.recipe import Recipe


def fit(data=None, **options):
    return loop.fit(
        options.pop("config", CONFIG), data or toy(), recipe=options.pop("recipe", RECIPE), progress=False, **options
    )


def stop_after(steps):
    """A `stop` that asks for the end after so many steps of this session."""
    asked = iter([0] * (steps - 1) + [2] * 1000)
    return lambda: next(asked)


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(trees.leaves(one), trees.leaves(other, like=one), strict=True))


@pytest.mark.smoke
def test_it_learns_and_says_so():
    p, history = fit(recipe=Recipe(epochs=12, batch=8, learning_rate=0.02, ema_decay=0.8, validation=0.25))
    kinds = [record["kind"] for record in history]
    assert kinds.count("epoch") == 12 and kinds[-1] == "test"
    assert history[-1]["test_accuracy"] >= 8 / 9
    assert trees.count(p) == tinyvit.parameter_count(CONFIG)


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    assert same(fit(seed=3)[0], fit(seed=3)[0])
    assert not same(fit(seed=3)[0], fit(seed=4)[0])


def test_images_and_labels_of_other_types_are_converted():
    data = toy()
    wide = tuple((x.astype(np.float64), y.astype(np.int32)) for x, y in data)
    assert same(fit(wide)[0], fit(data)[0])


def test_the_test_set_is_looked_at_once_at_the_end_and_validation_is_never_trained_on(monkeypatch):
    seen, trained = [], []
    outputs = loop.pool_outputs

    def counted(pool, part, indices=None, **keywords):
        seen.append(len(part["labels"] if indices is None else indices))
        return outputs(pool, part, indices, **keywords)

    monkeypatch.setattr(loop, "pool_outputs", counted)
    gradient = train_step.batch_gradient

    def watched(batch, *args, **keywords):
        trained.append(batch["images"].copy())
        return gradient(batch, *args, **keywords)

    monkeypatch.setattr(train_step, "batch_gradient", watched)
    data = toy()
    fit(data)
    assert seen == [8] * RECIPE.epochs + [9]
    (_, _), (held, _) = tinyvit.data.hold_out(*data[0], RECIPE.validation)
    pictures = {image.tobytes() for batch in trained for image in batch}
    assert len(pictures) == 24 and not pictures & {image.tobytes() for image in held}


@pytest.mark.parametrize("steps", [1, PER_EPOCH - 1, PER_EPOCH, PER_EPOCH + 1, STEPS - 1, STEPS])
def test_a_run_stopped_and_resumed_ends_with_the_same_bits(tmp_path, steps):
    fit(run=toy_run(tmp_path / "whole"))
    run = toy_run(tmp_path / "stopped")
    with pytest.raises(Interrupted, match=f"stopped after step {steps} of {STEPS}, saved in .*--resume") as stopped:
        fit(run=run, stop=stop_after(steps))
    assert stopped.value.exit_code == 130
    fit(run=run)
    outcomes = [helpers.outcome(tmp_path / name) for name in ("stopped", "whole")]
    for outcome in outcomes:
        del outcome["settings"]
    helpers.assert_same_outcome(*outcomes)


def test_a_run_killed_and_resumed_ends_with_the_same_bits(tmp_path):
    options = ["--epochs=3", "--batch=64", "--dim=16", "--mlp-dim=32", "--depth=2"]
    assert helpers.call("train", *options, "--out", tmp_path / "whole").code == 0
    arguments = ["train", *options, "--out", tmp_path / "killed"]
    checkpoint = tmp_path / "killed" / "checkpoint.npz"
    helpers.interrupted(
        arguments, cwd=tmp_path, history=checkpoint, number=signal.SIGKILL, before="loop.SAVE_EVERY = 0"
    )
    with open(tmp_path / "killed" / "history.jsonl", "a") as file:
        file.write('{"kind": "step", "step": 100000, "seconds": 1}\n{"kind": "st')
    (tmp_path / "killed" / "checkpoint.npz.part").write_bytes(b"half a checkpoint")
    assert helpers.call("train", "--resume", "--out", tmp_path / "killed").code == 0
    helpers.assert_same_outcome(helpers.outcome(tmp_path / "killed"), helpers.outcome(tmp_path / "whole"))


@pytest.mark.parametrize("when", ["at once", "later"])
def test_a_loss_that_is_no_number_stops_the_run_and_leaves_a_good_checkpoint(tmp_path, monkeypatch, when):
    run = toy_run(tmp_path / "run")
    gradient, bad = train_step.batch_gradient, 1 if when == "at once" else PER_EPOCH + 3

    def poisoned(*args, step, **keywords):
        loss, g = gradient(*args, step=step, **keywords)
        return (np.float32("nan") if step == bad else loss), g

    monkeypatch.setattr(train_step, "batch_gradient", poisoned)
    with pytest.raises(DivergedError, match=f"not a number at step {bad} of {STEPS}; the last good state is in .*npz"):
        fit(run=run)
    p, _ = tinyvit.load(run.checkpoint)
    assert all(np.isfinite(leaf).all() for leaf in trees.leaves(p))
    assert not run.model.exists() and run.metrics() is None


def test_a_rate_that_explodes_is_reported(tmp_path):
    run = toy_run(tmp_path / "run", recipe=Recipe(epochs=2, batch=8, learning_rate=1e8, validation=0.25))
    with pytest.raises(DivergedError, match="lower --learning-rate than 1e\\+08"):
        fit(recipe=run.settings.recipe, run=run)
    if run.checkpoint.exists():
        tinyvit.load(run.checkpoint)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, :3], y), r"the training data: images are \[32, 3, 4, 1\], the model and 32 ex"),
        (lambda x, y: (x[:5], y), r"the training data: labels are \[32\], the model and 5 examples expect \[5\]"),
        (lambda x, y: (x, y + 1), "found label 3 at index 2"),
    ],
)
def test_data_that_do_not_fit(change, message):
    train, test = toy()
    with pytest.raises(DataError, match=message):
        fit((change(*train), test))


(X, Y), TEST = toy()
WITH_NAN = X.copy()
WITH_NAN[[5, 7], 1] = np.nan
WITH_NAN[9, 0, 0, 0] = np.inf
WRONG_DATA = {  # what is given in place of data, and the line
    "None": (lambda: None, "the data: found None, expected (training part, test part)"),
    "one part": (lambda: (X, Y, *TEST), "the data: found tuple of 4, expected (training part, test part)"),
    "images alone": (lambda: (X, TEST), "the training data: found ndarray of 32, expected a pair (images, labels)"),
    "a part that is None": (lambda: ((X, Y), None), "the test data: found None, expected a pair"),
    "a part of three": (lambda: ((X, Y, Y), TEST), "the training data: found tuple of 3, expected a pair"),
    "images that are None": (
        lambda: ((None, Y), TEST),
        "the training data: images: found None, expected an array of n",
    ),
    "rows of two lengths": (lambda: (([[1, 2], [3]], Y), TEST), "found list of 2, of which NumPy makes no array"),
    "text": (lambda: ((X.astype(str), Y), TEST), "the training data: images: found <U32, expected an array of numbers"),
    "complex numbers": (lambda: ((X + 0j, Y), TEST), "found complex64, expected an array of numbers"),
    "labels that are none": (lambda: ((X, "cat"), TEST), "expected one whole number for each image"),
    "NaN": (
        lambda: ((WITH_NAN, Y), TEST),
        "the training data: 3 of 32 images hold NaN or infinity, the first of them image 5: expected finite numbers",
    ),
    "NaN to test": (lambda: ((X, Y), (WITH_NAN, Y)), "the test data: 3 of 32 images hold NaN"),
}


@pytest.mark.parametrize("what", WRONG_DATA)
def test_what_is_no_data_is_one_line(what):
    data, line = WRONG_DATA[what]
    with pytest.raises(DataError) as caught:
        loop.fit(CONFIG, data(), recipe=RECIPE, progress=False)
    assert line in str(caught.value) and "\n" not in str(caught.value)


def test_lists_of_images_are_data_too():
    (x, y), test = toy()
    assert same(fit(((list(x), list(y)), test))[0], fit()[0])


@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_bytes_that_nobody_scaled_are_told_of(kind):
    (x, y), test = toy()
    x = np.clip((x + 1) * 127.5, 0, 255).round().astype(kind)
    line = r"the training data: images go from 0 to 255: load_data scales pixels to -1 \.\.\. 1"
    with pytest.warns(UserWarning, match=line):
        fit(((x, y), test))


def press_ctrl_c(monkeypatch, *steps):
    """Ctrl-C, during these steps of the runs to come."""
    step, number = loop.take_step, iter(range(1, 10_000))

    def pressed(*args):
        if next(number) in steps:
            signal.raise_signal(signal.SIGINT)
        return step(*args)

    monkeypatch.setattr(loop, "take_step", pressed)


def test_ctrl_c_returns_the_model_so_far(monkeypatch):
    press_ctrl_c(monkeypatch, 11)
    with pytest.warns(UserWarning, match=f"stopped after step 11 of {STEPS}: the model so far is returned"):
        p, history = fit()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert [record["kind"] for record in history if record["step"] in (8, 11)] == ["step", "epoch", "step"]
    assert history[-1]["step"] == 11
    short = loop.fit(CONFIG, toy(), recipe=RECIPE, progress=False, stop=lambda: 0)[0]
    assert not same(p, short) and trees.count(p) == trees.count(short)


def test_what_is_returned_is_the_average_that_a_run_would_have_kept(tmp_path, monkeypatch):
    press_ctrl_c(monkeypatch, 11, 22)
    with pytest.warns(UserWarning, match="stopped after step 11"):
        p, _ = fit()
    run = toy_run(tmp_path / "run")
    with pytest.raises(Interrupted, match=f"stopped after step 11 of {STEPS}, saved in .*--resume"):
        fit(run=run)
    kept, _, _, step = load_for_use(run.checkpoint)
    assert step == 11 and same(p, kept)


def test_a_second_ctrl_c_and_a_handler_of_ones_own_have_their_usual_effect(monkeypatch):
    step = loop.take_step

    def pressed_twice(*args):
        for _ in range(2):
            signal.raise_signal(signal.SIGINT)
        return step(*args)

    monkeypatch.setattr(loop, "take_step", pressed_twice)
    with pytest.raises(KeyboardInterrupt):
        fit()
    heard = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        assert fit()[1][-1]["kind"] == "test"
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(heard) == 2 * STEPS


def test_other_threads_train_as_well():
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(fit).result()[1][-1]["kind"] == "test"


def test_on_the_device_the_bits_are_the_same_and_the_host_seldom_waits(strict_as_cupy, monkeypatch):
    monkeypatch.setattr(loop, "FEWEST_RECORDS", 2)  # a record every ten steps, as in a longer run
    on_cpu, history_on_cpu = fit()
    strict.SYNCHRONISATIONS.clear()
    on_gpu, history_on_gpu = fit(device="gpu")
    assert same(on_cpu, on_gpu)
    assert untimed(history_on_gpu) == untimed(history_on_cpu)
    assert sum(strict.SYNCHRONISATIONS.values()) < 3 * STEPS


def test_the_progress_bar_goes_to_standard_error(capsys):
    loop.fit(CONFIG, toy(), recipe=RECIPE)
    out, err = capsys.readouterr()
    assert not out
    for word in ("epoch 3/3", f"{STEPS}/{STEPS}", "loss=", "accuracy=", "examples="):
        assert word in err


@pytest.mark.parametrize("seed", [-1, 1.5, None, "3"])
def test_a_seed_that_is_none(seed):
    with pytest.raises(UsageError, match=r"seed is .*: expected a whole number of at least 0"):
        fit(seed=seed)


def test_numpys_numbers_are_seeds_and_lists_are_labels():
    ((x, y), test), found = toy(), []
    for seed, labels in ((3, y), (np.int64(3), list(map(int, y)))):
        p, _ = fit(((x, labels), test), seed=seed, workers=2)
        found.append(trees.leaves(p))
    assert all((a == b).all() for a, b in zip(*found, strict=True))


def test_an_empty_test_set_is_refused_before_training():
    (x, y), _ = toy()
    with pytest.raises(DataError, match="the test data has no example: expected at least one"):
        fit(((x, y), (x[:0], y[:0])))
