"""Pretraining: images without labels, the same bits for any number of workers, and a start for a classifier."""

import dataclasses
import math

import numpy as np
import pytest

from tests.reference.compare import assert_same_bits
from tests.training.helpers import CONFIG, toy
from tinyvit import trees
from tinyvit.arrays import flat
from tinyvit.errors import DataError, DivergedError, UsageError
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.masked import masked_colours, masked_masks
from tinyvit.models.masked import MaskedConfig, encoder_of, masked, masked_init
from tinyvit.training import work
from tinyvit.training.worker_pool import start_worker_pool
from tinyvit.training.gradients import ORDER
from tinyvit.training.loop import fit
from tinyvit.training.pretraining import pretrain
from tinyvit.training.recipe import Recipe
from tinyvit.training.schedule import warmup_cosine

MASKED = MaskedConfig(dataclasses.replace(CONFIG, dropout=0.1))
RECIPE = Recipe(epochs=3, batch=9, micro_batch=2, learning_rate=0.01, ema_decay=0.9, shift=1)
LONGER = dataclasses.replace(RECIPE, epochs=40, shift=0, label_smoothing=0.0)
(X, Y), TEST = toy()


def evenly_grey(count, seed):
    """Noisy images, each of one of four shades of grey all over: a hidden patch is as bright as the others."""
    rng = np.random.default_rng(seed)
    shades = rng.choice([-0.875, -0.375, 0.125, 0.625], (count, 1, 1, 1))  # the middle of a level each
    return (shades + rng.uniform(-0.1, 0.1, (count, 4, 4, 1))).astype(np.float32)


def test_it_learns_what_is_hidden_from_what_is_not():
    config = MaskedConfig(CONFIG)
    p, history = pretrain(config, evenly_grey(120, 1), recipe=LONGER)
    unseen = evenly_grey(100, 2)
    masks = masked_masks(np.random.default_rng(7), config, unseen)
    y, _ = masked(unseen, p, config, masks=masks)
    # a guess by the patch itself would be right for 1 in 4 of those masked, and for all of the others, 1 in 5
    assert (y.argmax(axis=-1) == masked_colours(unseen, masks, config)).mean() > 0.9
    assert history[-1]["loss"] < 0.2 * history[0]["loss"] < 0.2 * math.log(8)
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
                pool.gradient(step, X[batch], Y[batch])
                pool.do("update", step, warmup_cosine(step, steps=12, warmup=RECIPE.warmup, peak=RECIPE.learning_rate))
        expected = trees.map(np.array, pool.train_step.average)
    assert_same_bits(pretrain(MASKED, X, recipe=RECIPE, seed=3)[0], expected)


def test_the_history_is_of_every_tenth_step():
    _, history = pretrain(MASKED, X, recipe=RECIPE)
    assert [record["step"] for record in history] == [10]  # of 12: 3 epochs of 32 images, 9 in a step
    assert set(history[0]) == {"kind", "step", "seconds", "epoch", "loss", "learning_rate", "gradient_norm"}
    assert (history[0]["kind"], history[0]["epoch"]) == ("step", 3)


def test_the_bits_depend_on_the_seed_and_not_on_the_workers():
    alone, _ = pretrain(MASKED, X, recipe=RECIPE, seed=3)
    assert_same_bits(pretrain(MASKED, X, recipe=RECIPE, seed=3, workers=2)[0], alone)
    assert not np.array_equal(pretrain(MASKED, X, recipe=RECIPE, seed=4)[0]["mask"], alone["mask"])


def test_every_image_is_learned_from_once_in_an_epoch(monkeypatch):
    seen, gradient = [], work.batch_gradient

    def watched(images, labels, *args, **keywords):
        seen.extend(image.tobytes() for image in images)
        assert not labels.any()
        return gradient(images, labels, *args, **keywords)

    monkeypatch.setattr(work, "batch_gradient", watched)
    monkeypatch.setattr(work, "LARGEST_ROWS", 1)  # one row: a batch's gradient is computed in one call
    pretrain(MASKED, X, recipe=dataclasses.replace(RECIPE, epochs=1))
    assert sorted(seen) == sorted(image.tobytes() for image in X)


def test_the_encoder_is_where_fine_tuning_starts():
    p, _ = pretrain(MASKED, X, recipe=RECIPE)
    start = encoder_of(p, MASKED, np.random.default_rng(0))
    tuned, history = fit(MASKED.vit, ((X, Y), TEST), p=start, recipe=RECIPE, workers=1, progress=False)
    assert history[-1]["kind"] == "test"
    assert not np.array_equal(tuned["pos"], start["pos"])


@pytest.mark.parametrize("when", [1, 5])
def test_a_loss_that_is_no_number_ends_it_with_one_line(monkeypatch, when):
    gradient = work.batch_gradient

    def poisoned(*args, step, **keywords):
        loss, g = gradient(*args, step=step, **keywords)
        return (np.float32("nan") if step == when else loss), g

    monkeypatch.setattr(work, "batch_gradient", poisoned)
    message = f"the loss is not a number at step {when} of 12: start again with a lower --learning-rate than 0.01"
    with pytest.raises(DivergedError) as error:
        pretrain(MASKED, X, recipe=RECIPE)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(images=X[:, 1:]), UsageError, r"images are \[32, 3, 4, 1\]: the model takes \[B, 4, 4, 1\]"),
        (dict(images=X[:0]), DataError, "there are no images to learn from"),
        (dict(seed=-1), UsageError, "seed is -1: expected a whole number of at least 0"),
        (dict(workers=0), UsageError, "workers is 0: expected a whole number of at least 1"),
        (dict(recipe=dataclasses.replace(RECIPE, freeze=3)), UsageError, "freeze is 3: the model has 2 blocks"),
        (dict(config=CONFIG), UsageError, "ViTConfig is of a model that learns from labels: expected a MaskedConfig"),
        (dict(config=CNNConfig(image=4)), UsageError, "CNNConfig is of a model that learns from labels"),
    ],
)
def test_what_cannot_be_pretrained(options, error, message):
    options = {"config": MASKED, "images": X, "recipe": RECIPE} | options
    with pytest.raises(error, match=message):
        pretrain(options.pop("config"), options.pop("images"), **options)


def test_fit_does_not_train_it():
    with pytest.raises(UsageError, match="MaskedConfig is of a model that learns without labels: expected a classif"):
        fit(MASKED, ((X, Y), TEST), progress=False)


def test_the_progress_bar_is_shown_if_asked_for_on_standard_error(capsys):
    pretrain(MASKED, X, recipe=RECIPE)
    assert capsys.readouterr() == ("", "")
    pretrain(MASKED, X, recipe=RECIPE, progress=True)
    out, err = capsys.readouterr()
    assert not out and "12/12" in err and "loss=" in err
