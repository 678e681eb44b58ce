"""Pretraining: `fit` with a model that learns from images without labels, whose encoder is a classifier's start."""

import dataclasses
import math

import numpy as np
import pytest

from tests.reference.compare import assert_same_bits
from tests.training.helpers import CONFIG, toy
from tinyvit import trees
from tinyvit.arrays import flat
from tinyvit.errors import DataError, DivergedError, UsageError
from tinyvit.models.masked import MaskedConfig, encoder_of, masked, masked_colours, masked_init, masked_masks
from tinyvit.training import loop, train_step
from tinyvit.training.gradients import ORDER
from tinyvit.training.recipe import Recipe
from tinyvit.training.schedule import warmup_cosine
from tinyvit.training.worker_pool import start_worker_pool

MASKED = MaskedConfig(dataclasses.replace(CONFIG, dropout=0.1))
RECIPE = Recipe(epochs=3, batch=9, micro_batch=2, learning_rate=0.01, ema_decay=0.9, shift=1, validation=0.0)
LONGER = dataclasses.replace(RECIPE, epochs=40, micro_batch=9, shift=0, label_smoothing=0.0)
(X, Y), TEST = toy()


def fit(config=MASKED, data=None, *, images=X, progress=False, **options):
    """Train a model on images alone, without labels: nothing is held out."""
    data = data or ({"images": images}, {"images": TEST[0]})
    return loop.fit(config, data, **{"recipe": RECIPE, "progress": progress} | options)


def evenly_grey(count, seed):
    """Noisy images, each of one of four shades of grey all over: a hidden patch is as bright as the others."""
    rng = np.random.default_rng(seed)
    shades = rng.choice([-0.875, -0.375, 0.125, 0.625], (count, 1, 1, 1))  # the middle of a level each
    return (shades + rng.uniform(-0.1, 0.1, (count, 4, 4, 1))).astype(np.float32)


def test_it_learns_what_is_hidden_from_what_is_not():
    config, unseen = MaskedConfig(CONFIG), evenly_grey(100, 2)
    p, history = fit(config, ({"images": evenly_grey(120, 1)}, {"images": unseen}), recipe=LONGER)
    masks = masked_masks(np.random.default_rng(7), config, len(unseen))
    y, _ = masked(unseen, p, config, masks=masks)
    # a guess by the patch itself would be right for 1 in 4 of those masked, and for all of the others, 1 in 5
    assert (y.argmax(axis=-1) == masked_colours(unseen, masks, config)).mean() > 0.9
    *steps, test = history
    assert steps[-1]["loss"] < 0.2 * steps[0]["loss"] < 0.2 * math.log(8)
    assert test["test_accuracy"] > 0.9, "the loop's own look at the test images says the same"
    assert trees.map(np.shape, p) == trees.map(np.shape, masked_init(None, config))


def test_it_is_the_plain_loop():
    """Every epoch in an order of its own, a step for each batch, and the average of the weights at the end."""
    with start_worker_pool(MASKED, RECIPE, 3) as pool:
        start = flat(masked_init(np.random.default_rng(3), MASKED), like=pool.train_step.p)
        pool.train_step.arrays["parameters"][...] = pool.train_step.arrays["average"][...] = start
        step = 0
        for epoch in range(3):
            order = np.random.default_rng([3, ORDER, epoch]).permutation(32)
            for batch in order[:9], order[9:18], order[18:27], order[27:]:
                step += 1
                pool.gradient(step, {"images": X[batch]})
                pool.do("update", step, warmup_cosine(step, steps=12, warmup=RECIPE.warmup, peak=RECIPE.learning_rate))
        expected = trees.map(np.array, pool.train_step.average)
    assert_same_bits(fit(seed=3)[0], expected)


@pytest.mark.parametrize("validation", [0.0, 0.25])
def test_the_history(validation):
    """Every step of so few, every epoch if images are held out, and the test images at the end."""
    _, history = fit(recipe=dataclasses.replace(RECIPE, validation=validation))
    steps = [record["step"] for record in history if record["kind"] == "step"]
    assert steps == list(range(1, history[-1]["step"] + 1))
    ends = [record["kind"] for record in history if record["kind"] != "step"]
    assert ends == (["epoch", "epoch", "epoch", "test"] if validation else ["test"])
    if not validation:  # 12 steps: 3 epochs of 32 images, 9 in a step
        assert set(history[0]) == {"kind", "step", "seconds", "epoch", "loss", "learning_rate", "gradient_norm"}
        assert (history[9]["step"], history[9]["epoch"]) == (10, 3)


def test_the_bits_depend_on_the_seed_and_not_on_the_workers_or_the_labels():
    alone, _ = fit(seed=3)
    assert_same_bits(fit(seed=3, workers=2)[0], alone)
    assert_same_bits(fit(data=((X, Y), TEST), seed=3)[0], alone)
    assert not np.array_equal(fit(seed=4)[0]["mask"], alone["mask"])


def test_every_image_is_learned_from_once_in_an_epoch(monkeypatch):
    seen, gradient = [], train_step.batch_gradient

    def watched(batch, *args, **keywords):
        assert list(batch) == ["images"], "labels are nowhere"
        seen.extend(image.tobytes() for image in batch["images"])
        return gradient(batch, *args, **keywords)

    monkeypatch.setattr(train_step, "batch_gradient", watched)
    monkeypatch.setattr(train_step, "LARGEST_ROWS", 1)  # one row: a batch's gradient is computed in one call
    fit(data=((X, Y), TEST), recipe=dataclasses.replace(RECIPE, epochs=1))
    assert sorted(seen) == sorted(image.tobytes() for image in X)


def test_the_encoder_is_where_fine_tuning_starts():
    p, _ = fit()
    start = encoder_of(p, MASKED, np.random.default_rng(0))
    tuned, history = fit(MASKED.vit, ((X, Y), TEST), p=start, recipe=dataclasses.replace(RECIPE, validation=0.25))
    assert history[-1]["kind"] == "test"
    assert not np.array_equal(tuned["pos"], start["pos"])


@pytest.mark.parametrize("when", [1, 5])
def test_a_loss_that_is_no_number_ends_it_with_one_line(monkeypatch, when):
    gradient = train_step.batch_gradient

    def poisoned(*args, step, **keywords):
        loss, g = gradient(*args, step=step, **keywords)
        return (np.float32("nan") if step == when else loss), g

    monkeypatch.setattr(train_step, "batch_gradient", poisoned)
    message = f"the loss is not a number at step {when} of 12: start again with a lower --learning-rate than 0.01"
    with pytest.raises(DivergedError) as error:
        fit()
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(images=X[:, 1:]), DataError, r"the training data: images are \[32, 3, 4, 1\], .* expect \[32, 4, 4, 1\]"),
        (dict(images=X[:0]), DataError, "the training data has no example: expected at least one"),
        (dict(config=CONFIG), DataError, "the training data has images: .* so labels is missing"),
        (dict(seed=-1), UsageError, "seed is -1: expected a whole number of at least 0"),
        (dict(workers=0), UsageError, "workers is 0: expected a whole number of at least 1"),
        (dict(recipe=dataclasses.replace(RECIPE, freeze=3)), UsageError, "freeze is 3: the model has 2 blocks"),
    ],
)
def test_what_cannot_be_pretrained(options, error, message):
    with pytest.raises(error, match=message):
        fit(**options)


def test_the_progress_bar_is_shown_if_asked_for_on_standard_error(capsys):
    fit()
    assert capsys.readouterr() == ("", "")
    fit(progress=True)
    out, err = capsys.readouterr()
    assert not out and "12/12" in err and "loss=" in err
