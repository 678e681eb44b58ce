"""All checks, in the order in which one would look for a fault: what comes first may explain what comes later."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from tinyvit import trees
from tinyvit.annotations import Data, Tree
from tinyvit.doctor import data as of_data
from tinyvit.doctor import learning, model
from tinyvit.models.config import Config
from tinyvit.models.model import model_of
from tinyvit.training.adamw import block_names
from tinyvit.training.batches import checked_data, take
from tinyvit.training.recipe import Recipe

LOOKED_AT = 64  # examples


class Finding(NamedTuple):
    """What is wrong, and what to do."""

    check: str
    words: str


def examine(
    config: Config,
    data: Data,
    *,
    recipe: Recipe,
    seed: int = 0,
    p: Tree | None = None,
    history: Sequence[dict] = (),
    fine_tuned: bool = False,
    watch: Callable[[Iterable[str]], Iterable[str]] = iter,
) -> Iterator[Finding]:
    """Why does it not train?

    Parameters
    ----------
    config : the configuration of one of MODELS
    data : (training part, test part)
        Each a pair (images, labels), as from `load_data`, or a dictionary with the arrays that the model takes.
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
    whole, test = checked_data(config, data)
    kind, few = model_of(config), take(whole, slice(LOOKED_AT), config)
    fresh = kind.init(np.random.default_rng(seed), config)
    with_head = fresh | {"head": trees.map(lambda a: _noise(a, seed), fresh["head"])}  # zeros hide the layers before

    @functools.cache
    def trained_cache():
        """The cache of the trained model on a few examples."""
        trained = p if p is not None else learning.after_a_trial(whole, config, recipe, seed)
        return model.looked_at(few, trained, config)[1]

    checks = {  # none is computed before it is asked for
        "images": lambda: [
            *of_data.check_images(whole["images"], "training"),
            *of_data.check_images(test["images"], "test"),
        ],
        "classes": lambda: of_data.check_classes(whole["labels"], config.classes),
        "labels": lambda: of_data.check_labels_fit(whole["images"], whole["labels"], seed),
        "first loss": lambda: model.check_first_loss(few, fresh, config),
        "input": lambda: model.check_input(few, with_head, config),
        "gradients": lambda: model.check_gradients(few, with_head, config, seed),
        "overfit": lambda: learning.check_overfit(whole, config, seed),
        "learning rate": lambda: learning.check_learning_rate(whole, config, recipe, seed),
        "settings": lambda: learning.check_settings(config, recipe),
        "units": lambda: model.check_units(trained_cache()),
        "attention": lambda: model.check_attention(
            kind.views["attention"](trained_cache(), config), kind.views["patterns"](config), block_names(fresh)
        ),
        "progress": lambda: learning.check_progress(history, len(whole["images"]), config, recipe),
    }
    if "labels" not in kind.task.arrays(config):  # the model does not look at them
        del checks["classes"], checks["labels"]
    if not isinstance(whole["images"], np.ndarray):  # read from folders of classes: nothing can be in another order
        checks.pop("labels", None)
    if "attention" not in kind.views:
        del checks["attention"]
    if fine_tuned:
        del checks["learning rate"]
    for name in watch(checks):
        with threadpool_limits(1, "blas"), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            found = list(checks[name]())
        yield from (Finding(name, words) for words in found)
        if name == "images" and found and not np.isfinite(np.asarray(whole["images"][:LOOKED_AT])).all():
            return  # all else follows from that


def _noise(array, seed):
    """An array of this shape, with entries of an ordinary size."""
    return np.random.default_rng(seed).normal(0, 0.1, array.shape).astype(array.dtype)
