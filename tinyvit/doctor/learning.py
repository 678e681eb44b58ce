"""Does it learn? Short trials of training."""

import math

import numpy as np

from tinyvit.arrays import flat
from tinyvit.models.model import model_of
from tinyvit.training.batches import take
from tinyvit.training.recipe import Recipe
from tinyvit.training.worker_pool import start_worker_pool

OVERFIT = dict(learning_rate=2e-3, steps=200, images=32)  # a rate that suits nearly every Transformer
STEPS, WARMUP = 40, 10
FACTORS = (0.1, 0.01, 10, 100)  # of the recipe's learning rate
USUAL = (1e-3, 5e-3)  # learning rates that suit small Transformers
BETTER = 0.75  # of the loss that the recipe's rate leaves
MOST_DECAY, MOST_NOISE = 0.005, 0.5


class Trial:
    """A few steps of training, as `fit` takes them, apart from any run.

    With same_draw, every step has the masks and other random numbers of the first.
    """

    def __init__(self, config, recipe, seed, same_draw=False):
        self.pool, self.recipe, self.seed, self.step = start_worker_pool(config, recipe, seed), recipe, seed, 0
        self.same_draw = same_draw
        self.p = self.pool.train_step.p
        self.pool.train_step.arrays["parameters"][...] = flat(
            model_of(config).init(np.random.default_rng(seed), config), like=self.p
        )

    def take(self, batch, learning_rate):
        """One step; returns the loss before it."""
        self.step += 1
        loss, _ = self.pool.gradient(1 if self.same_draw else self.step, batch)
        self.pool.do("update", self.step, learning_rate)
        return float(loss)


def check_overfit(part, config, seed):
    """A model that can learn learns a few images by heart."""
    few = take(part, slice(OVERFIT["images"]), config)
    count = len(few["images"])
    plain = Recipe(batch=count, label_smoothing=0.0, weight_decay=0.0)
    still = config.changed(dropout=0.0) if "dropout" in config.settings() else config
    trial = Trial(still, plain, seed, same_draw=True)
    first, enough = math.log(config.classes), 0.4 * math.log(config.classes)
    for step in range(1, OVERFIT["steps"] + 1):
        loss = trial.take(few, OVERFIT["learning_rate"] * min(1, step / WARMUP))
        if loss < enough:
            return
    yield (
        f"it cannot learn {count} images by heart: after {OVERFIT['steps']} steps the loss is {loss:.3g}, from "
        f"{first:.3g}; something between image and gradient is broken, or contradicts itself"
    )


def check_learning_rate(part, config, recipe, seed):
    """No rate of quite another size is much better from the start."""
    rate = recipe.learning_rate
    rates = [rate, *(factor * rate for factor in FACTORS), *USUAL]
    losses = {tried: _loss_at(tried, part, config, recipe, seed) for tried in rates}
    best = min(losses, key=losses.get)
    if losses[best] < BETTER * losses[rate]:
        yield (
            f"the learning rate {rate:g} is too {'high' if best < rate else 'low'}: {STEPS} steps at it leave a loss "
            f"of {losses[rate]:.3g}, and at {best:g} of {losses[best]:.3g}; try that"
        )


def check_settings(config, recipe):
    """Nothing that holds the model back is beyond what is usual."""
    shrinks = recipe.learning_rate * recipe.weight_decay
    if recipe.weight_decay > 1 and shrinks > MOST_DECAY:
        yield (
            f"the weight decay {recipe.weight_decay:g} takes {shrinks:.0%} of every matrix in each step: try 0.05 to "
            "0.3"
        )
    for name, value in (("dropout", config.values().get("dropout", 0.0)), ("label smoothing", recipe.label_smoothing)):
        if value > MOST_NOISE:
            yield f"{value:.0%} {name} leaves little to learn from: try 0 to 10 %"


def check_progress(history, images, config, recipe):
    """A run of so many images whose warmup has been over for a while knows more than nothing."""
    steps = [record for record in history if record["kind"] == "step"][-10:]
    begun = recipe.warmup * recipe.epochs * images / recipe.batch + 2 * STEPS
    loss, guessing = np.mean([record["loss"] for record in steps] or [0.0]), math.log(config.classes)
    if steps and steps[0]["step"] > begun and not loss < 0.9 * guessing:
        yield (
            f"after {steps[-1]['step']} steps the loss is {loss:.3g}, that of guessing is {guessing:.3g}: it has "
            "learned nothing; what else is found says why, or else try a recipe of RECIPES as it is"
        )


def after_a_trial(part, config, recipe, seed):
    """The parameters after a few steps at the recipe's learning rate."""
    trial = Trial(config, recipe, seed)
    _losses(trial, part, recipe.learning_rate)
    return trial.p


def _loss_at(learning_rate, part, config, recipe, seed):
    """The mean loss of the last quarter of a few steps; infinite if it is no number."""
    loss = float(np.mean(_losses(Trial(config, recipe, seed), part, learning_rate)[-STEPS // 4 :]))
    return loss if math.isfinite(loss) else math.inf


def _losses(trial, part, learning_rate):
    """The losses of a few steps on random batches."""
    rng, losses, config = np.random.default_rng(trial.seed), [], trial.pool.train_step.config
    for step in range(1, STEPS + 1):
        batch = rng.choice(len(part["images"]), min(trial.recipe.batch, len(part["images"])), replace=False)
        losses.append(trial.take(take(part, batch, config), learning_rate * min(1, step / WARMUP)))
    return losses
