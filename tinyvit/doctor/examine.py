"""All checks, in the order in which one would look for a fault: what comes first may explain what comes later."""

import functools
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from tinyvit import trees
from tinyvit.doctor import data as of_data
from tinyvit.doctor import learning, model
from tinyvit.models.vit import vit, vit_init
from tinyvit.training.loop import checked_data

LOOKED_AT = 64  # images


class Finding(NamedTuple):
    """What is wrong, and what to do."""

    check: str
    words: str


def examine(config, data, *, recipe, seed=0, p=None, history=(), fine_tuned=False, watch=iter):
    """Why does it not train?

    Parameters
    ----------
    config : ViTConfig
    data : ((x, y), (x_test, y_test))
        As from `load_data`.
    recipe : Recipe
    seed : int
        Of the trials.
    p : tree, optional
        A trained model, whose units and attention are looked at; without one, those of a short trial.
    history : list of dict
        Of a run.
    fine_tuned : bool
        The run started from given weights. Its learning rate is not judged then: the trials start from random ones,
        which want a higher.
    watch : callable
        Wraps the list of checks, as tqdm does.

    Yields
    ------
    Finding

    Raises
    ------
    DataError
        If images and labels do not fit each other or the model.
    """
    (x, y), (x_test, _) = checked_data(config, data)
    few, labels = x[:LOOKED_AT], y[:LOOKED_AT]
    fresh = vit_init(np.random.default_rng(seed), config)
    with_head = fresh | {"head": trees.map(lambda a: _noise(a, seed), fresh["head"])}  # zeros hide what is before

    @functools.cache
    def trained_cache():
        """What the trained model computes on the way."""
        return vit(few, p if p is not None else learning.after_a_trial(x, y, config, recipe, seed), config)[1]

    checks = {  # none is computed before it is asked for
        "images": lambda: [*of_data.check_images(x, "training"), *of_data.check_images(x_test, "test")],
        "classes": lambda: of_data.check_classes(y, config.classes),
        "labels": lambda: of_data.check_labels_fit(x, y, seed),
        "first loss": lambda: model.check_first_loss(few, labels, fresh, config),
        "input": lambda: model.check_input(few, with_head, config),
        "gradients": lambda: model.check_gradients(few, labels, with_head, config, seed),
        "overfit": lambda: learning.check_overfit(x, y, config, recipe, seed),
        "learning rate": lambda: learning.check_learning_rate(x, y, config, recipe, seed),
        "settings": lambda: learning.check_settings(config, recipe),
        "units": lambda: model.check_units(trained_cache()),
        "attention": lambda: model.check_attention(trained_cache()),
        "progress": lambda: learning.check_progress(history, len(x), config, recipe),
    }
    if fine_tuned:
        del checks["learning rate"]
    for name in watch(checks):
        with threadpool_limits(1, "blas"), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = list(checks[name]())
        yield from (Finding(name, words) for words in found)
        if name == "images" and found and not np.isfinite(x).all():
            return  # all else follows from that


def _noise(array, seed):
    """An array of this shape, with entries of an ordinary size."""
    return np.random.default_rng(seed).normal(0, 0.1, array.shape).astype(array.dtype)
