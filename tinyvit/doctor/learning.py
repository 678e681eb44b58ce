"""Does it learn? Short trials of training."""

import dataclasses
import math

import numpy as np

from tinyvit.arrays import flat
from tinyvit.doctor.model import guessing
from tinyvit.models.model import model_of
from tinyvit.training.batches import example_count, take
from tinyvit.training.recipe import Recipe
from tinyvit.training.worker_pool import start_worker_pool

OVERFIT = dict(learning_rate=2e-3, steps=200, images=32, pairs=8)  # a rate that suits nearly every Transformer
STEPS, WARMUP = 40, 10
LARGEST_BATCH = 256  # of a trial
FACTORS = (0.1, 0.01, 10, 100)  # of the recipe's learning rate
USUAL = (1e-3, 5e-3)  # learning rates that suit small Transformers
BETTER = 0.75  # of the loss that the recipe's rate leaves
LEARNED = 0.9  # of the loss of guessing


class Trial:
    """A few steps of training, as `fit` takes them, apart from any run.

    With same_draw, every step has the masks and other random numbers of the first.
    """

    def __init__(self, config, recipe, seed, same_draw=False):
        self.pool, self.recipe, self.seed, self.step = start_worker_pool(config, recipe, seed), recipe, seed, 0
        self.same_draw, self.losses, self.norms = same_draw, [], []
        self.p = self.pool.train_step.p
        self.pool.train_step.arrays["parameters"][...] = flat(
            model_of(config).init(np.random.default_rng(seed), config), like=self.p
        )

    def take(self, batch, learning_rate):
        """One step; returns the loss before it."""
        self.step += 1
        loss, norm = self.pool.gradient(1 if self.same_draw else self.step, batch)
        self.pool.update(self.step, learning_rate)
        self.losses.append(float(loss))
        self.norms.append(float(norm))
        return float(loss)


def check_overfit(part, config, seed, examples="images"):
    """A model that can learn learns a few images, or pairs, by heart."""
    few = take(part, slice(OVERFIT[examples]), config)
    count = example_count(few)
    plain = Recipe(batch=count, label_smoothing=0.0, weight_decay=0.0)
    still = config.changed(dropout=0.0) if "dropout" in config.settings() else config
    trial = Trial(still, plain, seed, same_draw=True)
    first, enough = guessing(config), 0.4 * guessing(config)
    for step in range(1, OVERFIT["steps"] + 1):
        loss = trial.take(few, OVERFIT["learning_rate"] * min(1, step / WARMUP))
        if loss < enough:
            return f"{count} {examples} are learned by heart: a loss of {loss:.2g} after {step} steps"
    yield (
        f"it cannot learn {count} {examples} by heart: after {OVERFIT['steps']} steps the loss is {loss:.3g}, from "
        f"{first:.3g}; something between {examples} and gradient is broken, or contradicts itself"
    )


def check_learning_rate(part, config, recipe, seed, trial):
    """No rate of quite another size is much better from the start than the recipe's, at which `trial` was made."""
    rate = recipe.learning_rate
    losses = {rate: _final_loss(trial)}
    for tried in (*(factor * rate for factor in FACTORS), *USUAL):
        losses[tried] = _final_loss(trial_of(part, config, recipe, seed, tried))
    best = min(losses, key=losses.get)
    if best > rate and "images" not in part and losses[rate] < LEARNED * guessing(config):
        best = rate  # recurrent models gain at first from ten times the usual rate; it is enough that this one learns
    if losses[best] < BETTER * losses[rate]:
        yield (
            f"the learning rate {rate:g} is too {'high' if best < rate else 'low'}: {STEPS} steps at it leave a loss "
            f"of {losses[rate]:.3g}, and at {best:g} of {losses[best]:.3g}; try that"
        )
    return (
        f"{STEPS} steps at {len(losses)} rates from {min(losses):g} to {max(losses):g}: none much better than {rate:g}"
    )


def trial_of(part, config, recipe, seed, learning_rate):
    """A trial of a few steps on random batches, at a learning rate."""
    count = example_count(part)
    recipe = dataclasses.replace(recipe, batch=min(recipe.batch, count, LARGEST_BATCH))
    trial, rng = Trial(config, recipe, seed), np.random.default_rng(seed)
    for step in range(1, STEPS + 1):
        batch = rng.choice(count, recipe.batch, replace=False)
        trial.take(take(part, batch, config), learning_rate * min(1, step / WARMUP))
    return trial


def _final_loss(trial):
    """The mean loss of the last quarter of a trial; infinite if it is no number."""
    loss = float(np.mean(trial.losses[-STEPS // 4 :]))
    return loss if math.isfinite(loss) else math.inf
