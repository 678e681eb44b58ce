"""Fine-tuning: a run that starts from given parameters, and may leave the first of them as they are."""

import dataclasses
import shutil

import numpy as np
import pytest

from tests.reference.compare import assert_same_bits, cast, random_vit
from tests.training import helpers
from tests.training.helpers import CONFIG, RECIPE, STEPS, assert_same_outcome, toy, untimed
from tinyvit import load_weights, save_weights, trees
from tinyvit.arrays import flat
from tinyvit.errors import UsageError
from tinyvit.models.config import CHOICES
from tinyvit.models.hybrid import HybridConfig, hybrid_init
from tinyvit.models.swin import SwinConfig, swin_init
from tinyvit.training import loop, train_step
from tinyvit.training.adamw import trainable
from tinyvit.training.batches import as_part
from tinyvit.training.gradients import batch_gradient
from tinyvit.training.recipe import check_recipe
from tinyvit.training.run import new_run, open_run
from tinyvit.training.settings import Settings
from tinyvit.training.worker_pool import start_worker_pool

DEEP = dataclasses.replace(CONFIG, depth=3, dropout=0.1)
STILL = dataclasses.replace(RECIPE, learning_rate=0.0, ema_decay=0.0)
FROZEN = dataclasses.replace(RECIPE, freeze=2, weight_decay=0.5)


def start(config=DEEP, dtype=np.float32):
    return cast(random_vit(config), dtype)


def fit(p, recipe=FROZEN, config=DEEP, **options):
    return loop.fit(config, toy(), p=p, recipe=recipe, seed=1, progress=False, **options)


def is_frozen(name, blocks):
    """Whether a parameter is below, or in, the first so many blocks."""
    first, number, *_ = [*name.split("/"), ""]
    return int(number) < blocks if number.isdecimal() else first in ("patch", "cls", "pos")


# ---- where it starts


@pytest.mark.parametrize("changed", [{}, {"position": "none"}, {"pre_logits": 5, "gelu": "tanh"}], ids=str)
def test_steps_of_no_length_leave_everything_as_it_was(changed):
    config = dataclasses.replace(DEEP, **changed)
    p = start(config)
    found, history = fit(p, STILL, config)
    assert_same_bits(found, p)
    assert len({record["validation_loss"] for record in history if record["kind"] == "epoch"}) == 1


def test_it_starts_from_there_and_not_by_chance():
    """Steps of hardly any length: the averages stay near, and from random parameters they are elsewhere."""
    p, short = start(), dataclasses.replace(RECIPE, learning_rate=1e-7)
    found, given = trees.named(fit(p, short)[0]), trees.named(p)
    assert all(abs(found[name] - given[name]).max() < 1e-5 for name in given)
    other = trees.named(fit(None, short)[0])
    assert abs(other["patch/w"] - given["patch/w"]).max() > 0.1


def test_the_parameters_that_were_given_are_not_changed():
    p, kept = start(), start()
    fit(p, RECIPE)
    assert_same_bits(p, kept)


def test_parameters_in_float64_are_taken_in_float32():
    double = start(dtype=np.float64)
    assert_same_bits(fit(double, STILL)[0], start())
    assert_same_bits(fit(double)[0], fit(start())[0])


def test_the_order_of_the_keys_does_not_matter():
    p = start()
    backwards = trees.map(lambda x: x, dict(reversed(p.items())))
    assert_same_bits(fit(backwards)[0], fit(p)[0])


def test_weights_mapped_from_a_file_that_may_not_be_written(tmp_path):
    config = dataclasses.replace(DEEP, dropout=0.0)
    save_weights(tmp_path, start(config), config)
    before = helpers.contents(tmp_path)
    p, config, _ = load_weights(tmp_path)
    assert not p["blocks"][0]["mlp"]["fc1"]["w"].flags.writeable
    assert_same_bits(fit(p, FROZEN, config)[0], fit(start(config), FROZEN, config)[0])
    assert helpers.contents(tmp_path) == before


def misshapen(name):
    """Parameters with one leaf wrong, missing or too many."""
    p = start()
    if name == "patch/w":
        p["patch"]["w"] = p["patch"]["w"][:-1]
    elif name == "head/b":
        del p["head"]["b"]
    elif name == "pre_logits/w":
        p["pre_logits"] = {"w": np.zeros((8, 8))}
    else:
        p["blocks"].append(p["blocks"][0])
    return p


@pytest.mark.parametrize(
    ("name", "found", "expected"),
    [
        ("patch/w", "[3, 8]", "[4, 8]"),
        ("head/b", "absent", "[3]"),
        ("pre_logits/w", "[8, 8]", "absent"),
        ("blocks/3/ln1/gamma", "[8]", "absent"),
    ],
)
def test_parameters_of_another_model_are_refused_in_one_line(tmp_path, name, found, expected):
    with pytest.raises(UsageError) as caught:
        fit(misshapen(name))
    line = str(caught.value)
    assert "\n" not in line and all(word in line for word in (name, found, expected)), line


# ---- what stays


@pytest.fixture
def pool_of(monkeypatch):
    """Have fit use a pool of a given kind and number of workers, each of whom has several blocks of the vector."""

    def use(kind, workers):
        def pool(*args, **options):
            return start_worker_pool(*args, **options | {"kind": kind, "workers": workers})

        monkeypatch.setattr(loop, "start_worker_pool", pool)

    return use


@pytest.mark.parametrize("place", CHOICES["position_at"])
@pytest.mark.parametrize("freeze", [1, 2, 3])
def test_what_is_frozen_stays_to_the_bit_and_the_rest_moves(freeze, place):
    config = dataclasses.replace(DEEP, position_at=place)
    p = start(config)
    found, _ = fit(p, dataclasses.replace(FROZEN, freeze=freeze), config)
    given = trees.named(p)
    for name, leaf in trees.walk(found):
        if is_frozen(name, freeze):
            assert np.array_equal(leaf, given[name]), f"{name} moved"
        elif not name.endswith("k/b"):  # whose gradient is nothing but rounding
            assert abs(leaf - given[name]).max() > 1e-4, f"{name} stayed"


@pytest.mark.parametrize(("kind", "workers"), [("threads", 2), ("threads", 3), ("processes", 2)])
def test_nor_does_it_move_with_more_workers(pool_of, monkeypatch, kind, workers):
    if kind == "threads":  # a process of its own has the usual blocks
        monkeypatch.setattr(train_step, "BLOCK", 100)
    pool_of("threads", 1)
    alone, history = fit(start())
    pool_of(kind, workers)
    found, their_history = fit(start())
    assert_same_bits(found, alone)
    assert untimed(their_history) == untimed(history)
    given = trees.named(start())
    assert all(np.array_equal(leaf, given[name]) for name, leaf in trees.walk(found) if is_frozen(name, 2))


def test_nor_on_the_stand_in_for_a_gpu(strict_as_cupy):
    config = dataclasses.replace(DEEP, dropout=0.0)
    p = start(config)
    assert_same_bits(fit(p, FROZEN, config, device="gpu")[0], fit(p, FROZEN, config)[0])


@pytest.mark.parametrize("freeze", [0, 1, 3])
def test_the_gradients_length_is_that_of_what_is_trained(freeze):
    """So that clipping does not depend on gradients that nobody follows."""
    recipe = dataclasses.replace(RECIPE, freeze=freeze, shift=0)
    config, p, ((x, y), _) = dataclasses.replace(DEEP, dropout=0.0), start(), toy()
    batch = as_part((x[:3], y[:3]))
    _, g = batch_gradient(batch, p, config, dataclasses.replace(recipe, freeze=0), seed=0, step=1)
    trained = [not freeze or not is_frozen(name, freeze) for name, leaf in trees.walk(p) for _ in range(leaf.size)]
    with start_worker_pool(config, recipe, 0) as pool:
        pool.train_step.arrays["parameters"][...] = flat(p)
        _, norm = pool.gradient(1, batch)
    assert np.isclose(norm, np.linalg.norm(g[trained]), rtol=1e-5)
    assert freeze == 0 or np.linalg.norm(g) > 1.01 * norm


def test_trainable_names_the_embedding_and_the_first_blocks():
    deep = dataclasses.replace(CONFIG, depth=12)
    p = random_vit(deep)
    for freeze in (1, 2, 10, 12):
        marks = trees.views(trainable(p, freeze), p)
        for name, leaf in trees.walk(marks):
            assert (leaf == (not is_frozen(name, freeze))).all(), name


def test_more_blocks_than_there_are_cannot_be_frozen():
    with pytest.raises(UsageError, match="4: the model has 3 blocks"):
        fit(start(), dataclasses.replace(RECIPE, freeze=4))


# ---- stopped and resumed


class Killed(BaseException):
    """Stands for the end of the process."""


def run_in(folder):
    return new_run(folder, Settings("digits", DEEP, FROZEN, 1, "weights.npz"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a fine-tuning run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    fit(start(), run=run_in(folder))
    return folder


@pytest.mark.parametrize("steps", [1, 7, 8, 13, STEPS])
def test_a_killed_run_ends_with_the_same_bits(tmp_path, whole, steps):
    """After 1 and 7 steps there is no checkpoint, and it starts from the weights again."""
    calls = iter(range(1, 1000))

    def stop():
        if next(calls) == steps:
            raise Killed
        return 0

    run = run_in(tmp_path / "run")
    with pytest.raises(Killed):
        fit(start(), run=run, stop=stop)
    assert run.checkpoint.exists() == (steps > 8)
    fit(None if run.checkpoint.exists() else start(), run=run)
    assert_same_outcome(helpers.outcome(tmp_path / "run"), helpers.outcome(whole))


def test_a_checkpoint_counts_for_more_than_the_weights(tmp_path, whole):
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    other = trees.map(lambda leaf: leaf + 1, start())
    fit(other, run=open_run(tmp_path / "run"))
    assert_same_outcome(helpers.outcome(tmp_path / "run"), helpers.outcome(whole))


@pytest.mark.parametrize(("freeze", "below"), [(1, []), (2, ["blocks/1"]), (3, ["blocks/1", "merging", "other"])])
def test_of_a_swin_the_blocks_of_all_stages_count(freeze, below):
    """What is frozen is the embedding, so many blocks, and the merging below the last of them."""
    config = SwinConfig(image=8, channels=1, patch=2, dim=4, depths=(2, 2), heads=(1, 2), window=2, classes=3)
    p = swin_init(np.random.default_rng(0), config)
    frozen = ["patch/", "patch_ln/", "stages/0/blocks/0/"]
    frozen += ["stages/1/blocks/0/" if name == "other" else f"stages/0/{name}/" for name in below]
    for name, leaf in trees.walk(trees.views(trainable(p, freeze), p)):
        assert (leaf == (not name.startswith(tuple(frozen)))).all(), name
    with pytest.raises(UsageError, match="freeze is 5: the model has 4 blocks"):
        check_recipe(config, dataclasses.replace(RECIPE, freeze=5, shift=0))


def test_of_a_hybrid_the_resnet_is_below_the_first_block():
    vit = dataclasses.replace(CONFIG, image=1, patch=1)
    config = HybridConfig(vit, image=8, channels=1, units=(1,), width=4, groups=2)
    p = hybrid_init(np.random.default_rng(0), config)
    for name, leaf in trees.walk(trees.views(trainable(p, 1), p)):
        below = name.startswith(("resnet/", "patch/", "blocks/0/")) or name in ("pos", "cls")
        assert (leaf == (not below)).all(), name
