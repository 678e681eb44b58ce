"""What a run delivers is what the textbook's loop delivers: schedule, clipping, AdamW and average in their places."""

import dataclasses

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import cast, errors
from tests.reference.training import loss_and_gradients
from tests.training.helpers import CONFIG, RECIPE, toy, toy_run
from tinyvit import trees
from tinyvit.data import hold_out
from tinyvit.errors import DivergedError
from tinyvit.models.vit import vit_init
from tinyvit.training import loop, train_step
from tinyvit.training.checkpoint import load
from tinyvit.training.recipe import Recipe
from tinyvit.training.schedule import warmup_cosine

WHOLE = Recipe(  # every step takes the whole training part: its order does not matter
    epochs=6,
    batch=24,
    micro_batch=7,
    learning_rate=0.03,
    weight_decay=0.3,
    warmup=0.4,
    clip_norm=0.7,
    ema_decay=0.6,
    validation=0.25,
)


def lopsided():
    """toy() with unequal classes: else the first gradient of head/b is zero, and AdamW makes steps of its rounding."""
    (x, y), test = toy()
    return (x, np.where(np.arange(32) < 12, 0, y)), test


def textbook(recipe, seed):
    """The average of the weights and the last weights after training, in float64."""
    (x, y), _ = hold_out(*lopsided()[0], recipe.validation)
    start = cast(vit_init(np.random.default_rng(seed), CONFIG), np.float64)
    p = average = trees.named(start)
    m, v = ({name: np.zeros_like(leaf) for name, leaf in p.items()} for _ in range(2))
    for step in range(1, recipe.epochs + 1):
        tree = trees.from_names(p, start)
        g = trees.named(loss_and_gradients(x.astype(np.float64), y, tree, CONFIG, smoothing=recipe.label_smoothing)[3])
        rate = warmup_cosine(step, steps=recipe.epochs, warmup=recipe.warmup, peak=recipe.learning_rate)
        g = naive.clip(g, recipe.clip_norm)
        p, m, v = naive.adamw(p, g, m, v, step=step, learning_rate=rate, weight_decay=recipe.weight_decay)
        d = min(recipe.ema_decay, (1 + step) / (10 + step))
        average = {name: d * average[name] + (1 - d) * p[name] for name in p}
    return average, p


def close(found, expected):
    found, expected = trees.named(found), dict(expected)
    for name in [name for name in expected if name.endswith("k/b")]:  # its gradient is zero: steps of pure rounding
        del found[name], expected[name]
    return max(errors(found, expected).values()) < 1e-4


def test_the_model_is_the_textbooks_average_of_weights(tmp_path):
    run = toy_run(tmp_path / "run", recipe=WHOLE, seed=3)
    p, _ = loop.fit(CONFIG, lopsided(), recipe=WHOLE, seed=3, run=run, progress=False)
    average, last = textbook(WHOLE, 3)
    assert close(p, average) and not close(p, last)
    assert close(load(run.checkpoint)[0], last) and not close(load(run.checkpoint)[0], average)


def test_without_an_average_the_last_weights_are_delivered():
    recipe = dataclasses.replace(WHOLE, ema_decay=0.0)
    p, _ = loop.fit(CONFIG, lopsided(), recipe=recipe, seed=3, progress=False)
    assert close(p, textbook(recipe, 3)[1])


@pytest.mark.parametrize("bad", [3, 7])
def test_on_the_device_too_no_bad_checkpoint_takes_the_place_of_a_good_one(tmp_path, strict_as_cupy, monkeypatch, bad):
    """There the loss is read every few steps only; by the next checkpoint the parameters may be no numbers."""
    run, gradient = toy_run(tmp_path / "run", recipe=RECIPE), train_step.batch_gradient

    def poisoned(*args, step, **keywords):
        loss, g = gradient(*args, step=step, **keywords)
        if step == 8 + bad:
            g *= float("nan")
        return loss, g

    monkeypatch.setattr(train_step, "batch_gradient", poisoned)
    monkeypatch.setattr(loop, "LOG_EVERY", 1000)
    with pytest.raises(DivergedError, match="the last good state is in"):
        loop.fit(CONFIG, toy(), recipe=RECIPE, run=run, device="gpu", progress=False)
    with np.load(run.checkpoint) as file:
        assert file["training/step"] == 8
    load(run.checkpoint)
