"""Models of equal size, and training of equal time: two ways in which a comparison can be fair."""

from time import process_time

import numpy as np

from tinyvit.lab.train import train
from tinyvit.models.model import MODELS, model_of, parameter_count
from tinyvit.training.recipe import Recipe
from tinyvit.training.step import arithmetic
from tinyvit.training.train_step import BATCH
from tinyvit.training.worker_pool import start_worker_pool
from tinyvit.trees import named

TURNS = 9  # in which the steps of two models are timed


def nearest_in_size(candidates, parameters):
    """The configuration that comes nearest to so many parameters; the first of those that come as near."""
    return min(candidates, key=lambda config: abs(parameter_count(config) - parameters))


def backbone(data, seed, *, model, config, recipe, images, as_long_as=None):
    """Train a model, by the recipe or for as long as the recipe takes another model.

    Parameters
    ----------
    model, config, recipe, images
        As in `train`.
    as_long_as : {model, config}, optional
        Whose time it has: the recipe's epochs are divided by how many times as long a step takes, and rounded.

    Returns
    -------
    What `train` returns, and {epochs, step, time}: the epochs; a step's time and that of the whole training, in those
    of the other model.
    """
    times, epochs = 1.0, recipe["epochs"]
    if as_long_as:
        pair = [MODELS[of["model"]].config(**of["config"]) for of in ({"model": model, "config": config}, as_long_as)]
        times = times_as_long(*pair, Recipe.from_dict(recipe))
        epochs = max(1, round(recipe["epochs"] / times))
    found = train(data, seed, model=model, config=config, recipe=recipe | {"epochs": epochs}, images=images)
    return found | {"epochs": epochs, "step": times, "time": times * epochs / recipe["epochs"]}


def times_as_long(config, other, recipe):
    """How many times as long a training step of one model takes as one of another, in processor time of one core.

    Both take their steps in turn, and the median of the ratios counts: what else the machine does slows down both.
    """
    with arithmetic(), _pool(config, recipe) as one, _pool(other, recipe) as two:
        ratios = [_seconds(one, turn) / _seconds(two, turn) for turn in range(1, TURNS + 1)]
    return float(np.median(ratios[1:]))  # in the first, memory is asked for


def _pool(config, recipe):
    """A pool of one worker, whose model is fresh and whose batch is random images."""
    pool, rng = start_worker_pool(config, recipe, seed=0), np.random.default_rng(0)
    p = named(model_of(config).init(rng, config))
    for name, leaf in named(pool.train_step.p).items():
        leaf[...] = p[name]
    images = pool.train_step.arrays[BATCH + "images"]
    images[...] = rng.standard_normal(images.shape)
    return pool


def _seconds(pool, step):
    begun = process_time()
    pool.gradient(step, pool.train_step.batch(0, pool.train_step.recipe.batch))
    pool.update(step, 0.0)
    return process_time() - begun
