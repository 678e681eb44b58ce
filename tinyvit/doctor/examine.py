"""All checks, in the order in which one would look for a fault: what comes first may explain what comes later."""

import functools
from collections.abc import Callable, Container, Iterable, Iterator, Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from tinyvit import trees
from tinyvit.annotations import Data, Tree
from tinyvit.data.text import TextDataset
from tinyvit.doctor import (
    augmentation,
    balance,
    labels,
    leakage,
    learning,
    model,
    parts,
    predictions,
    progress,
    settings,
    shortcuts,
    sizes,
    text_data,
    text_model,
)
from tinyvit.doctor import data as of_data
from tinyvit.doctor.checked import Finding, Skipped, drained
from tinyvit.doctor.sample import sample_of
from tinyvit.models.config import Config
from tinyvit.models.model import model_of
from tinyvit.training.adamw import block_names
from tinyvit.training.batches import checked_data, example_count, take
from tinyvit.training.recipe import Recipe

LOOKED_AT = 64  # examples that are put through the model
COMPARED, TESTED = 3000, 1500  # pictures of the training and the test part that are compared with each other
NO_MODEL = "no trained model was given"
NO_RUN = "no history of a run was given"


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
    only: Container[str] | None = None,
    dataset: TextDataset | None = None,
) -> Iterator[Finding]:
    """Why does it not train?

    Parameters
    ----------
    config : the configuration of one of MODELS
    data : (training part, test part)
        Each a pair (images, labels), as from `load_data`, or a dictionary with the arrays that the model takes.
    recipe : Recipe
    seed : int
        Of the trials, and of which pictures or pairs are compared where there are many.
    p : tree, optional
        A trained model, whose units, attention and answers are looked at; without one, units and attention are those
        of a short trial.
    history : list of dict
        Of a run.
    fine_tuned : bool
        The run started from given weights. Its learning rate is not judged then: the trials start from random ones,
        which want a higher.
    watch : callable
        Wraps the list of checks, as tqdm does.
    only : container of str, optional
        Names of checks: the others are left out.
    dataset : TextDataset, optional
        Of data that are text: tokens are then called by their text.

    Yields
    ------
    Finding

    Raises
    ------
    DataError
        If images and labels do not fit each other or the model.
    """
    how = dict(recipe=recipe, seed=seed, p=p, history=history, fine_tuned=fine_tuned, watch=watch, only=only)
    how["dataset"] = dataset
    for checked in examination(config, data, **how):
        yield from checked.findings


def examination(
    config, data, *, recipe, seed=0, p=None, history=(), fine_tuned=False, watch=iter, only=None, dataset=None
):
    """As `examine`, but what every check looked at as well.

    Yields
    ------
    Checked
        Of each check, when it is through.
    """
    whole, test = checked_data(config, data)
    checks = _checks(config, whole, test, recipe, seed, p, history, fine_tuned, dataset)
    for name in watch([name for name in checks if only is None or name in only]):
        with threadpool_limits(1, "blas"), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            checked = drained(name, checks[name]())
        yield checked
        if checked.findings and name == "images" and not (_finite(whole) and _finite(test)):
            return  # all else follows from that


ORDER: tuple[str, ...] = (
    "images",
    "classes",
    "balance",
    "vocabulary",
    "lengths",
    "repeats",
    "leakage",
    "mixture",
    "parts",
    "shortcuts",
)
ORDER += ("labels", "answers", "first loss", "input", "future", "gradients", "overfit", "learning rate", "clipping")
ORDER += ("settings", "sizes", "augmentation", "weights", "units", "attention", "predictions", "colours", "progress")
OF_THE_MODEL = ("units", "attention", "predictions", "colours")  # these need numbers


def _checks(config, whole, test, recipe, seed, p, history, fine_tuned, dataset):
    """{name: function that begins the check}, in their order: none is computed before it is asked for."""
    kind, few = model_of(config), take(whole, slice(LOOKED_AT), config)
    fresh = kind.init(np.random.default_rng(seed), config)
    heads = {"head": trees.map(lambda a: _noise(a, seed), fresh["head"])} if "head" in fresh else {}
    with_head = fresh | heads  # zeros hide the layers before
    of_text = "images" not in kind.task.arrays(config)
    examples, count = "pairs" if of_text else "images", example_count(whole)
    trial = functools.cache(lambda: learning.trial_of(whole, config, recipe, seed, recipe.learning_rate))
    trained = functools.cache(lambda: trial().p if p is None else p)
    trained_cache = functools.cache(lambda: model.looked_at(few, trained(), config)[1])
    of_run = dict(fine_tuned=fine_tuned, examples=examples)

    checks = {
        "first loss": lambda: model.check_first_loss(few, fresh, config),
        "gradients": lambda: model.check_gradients(few, with_head, config, seed, examples),
        "overfit": lambda: learning.check_overfit(whole, config, seed, examples),
        "learning rate": lambda: learning.check_learning_rate(whole, config, recipe, seed, trial()),
        "clipping": lambda: _clipping(trial, history, recipe),
        "settings": lambda: settings.check_settings(config, recipe, count, **of_run),
        "weights": lambda: predictions.check_weights(p),
        "progress": lambda: progress.check_progress(history, count, config, recipe, examples),
    }
    if not of_text or "gelu" in config.values():  # gates are no such units
        checks["units"] = lambda: model.check_units(trained_cache())
    if of_text:
        checks |= _text_checks(config, whole, test, few, fresh, seed, p, trained, history, dataset)
    else:
        given = (few, fresh, with_head, recipe, seed, p, history, fine_tuned, trained_cache)
        checks |= _image_checks(config, whole, test, *given)
    reasons = {} if p is not None else dict.fromkeys(("weights", "predictions", "colours"), NO_MODEL)
    if p is not None and not all(np.isfinite(leaf).all() for leaf in trees.leaves(p)):
        reasons |= dict.fromkeys(OF_THE_MODEL, "the weights are not finite")
    reasons |= {} if history else {"progress": NO_RUN}
    reasons |= {"learning rate": "the trials start from random weights, the run did not"} if fine_tuned else {}
    checks |= {name: functools.partial(_skip, why) for name, why in reasons.items() if name in checks}
    return {name: checks[name] for name in ORDER if name in checks}


def _image_checks(config, whole, test, few, fresh, with_head, recipe, seed, p, history, fine_tuned, trained_cache):
    """Those of images and labels."""
    kind, count = model_of(config), len(whole["images"])
    labelled = "labels" in kind.task.arrays(config)  # else the model does not look at labels
    classes = config.classes if labelled else None
    arrays = [part if labelled else {"images": part["images"]} for part in (whole, test)]
    train_sample = functools.cache(lambda: sample_of(arrays[0], COMPARED, seed))
    test_sample = functools.cache(lambda: sample_of(arrays[1], TESTED, seed))
    arranged = not isinstance(whole["images"], np.ndarray)  # read from folders of classes
    size = dict(count=count, fine_tuned=fine_tuned)
    checks = {
        "images": lambda: of_data.check_both(whole["images"], test["images"]),
        "classes": lambda: of_data.check_classes(whole["labels"], classes),
        "balance": lambda: balance.check_balance(whole["labels"], test["labels"], classes),
        "repeats": lambda: leakage.check_repeats(whole["images"], arrays[0].get("labels")),
        "leakage": lambda: leakage.check_leakage(whole["images"], test["images"], seed),
        "mixture": lambda: shortcuts.check_mixture(train_sample()),
        "parts": lambda: parts.check_parts(train_sample(), test_sample(), seed),
        "shortcuts": lambda: shortcuts.check_shortcuts(train_sample(), classes),
        "labels": lambda: labels.check_labels(train_sample(), test_sample(), classes, seed, arranged=arranged),
        "input": lambda: model.check_input(few, with_head, config),
        "sizes": lambda: sizes.check_sizes(config, few["images"], fresh, **size),
        "augmentation": lambda: augmentation.check_augmentation(train_sample(), recipe, classes, seed),
        "attention": lambda: model.check_attention(
            kind.views["attention"](trained_cache(), config), kind.views["patterns"](config), block_names(fresh)
        ),
        "predictions": lambda: predictions.check_predictions(train_sample(), test_sample(), p, config, history),
        "colours": lambda: predictions.check_colours(test_sample(), p, config),
    }
    without = ["colours"] if labelled else ["classes", "balance", "shortcuts", "labels", "predictions"]
    without += [] if "attention" in kind.views else ["attention"]
    return {name: check for name, check in checks.items() if name not in without}


def _text_checks(config, whole, test, few, fresh, seed, p, trained, history, dataset):
    """Those of questions and answers; of texts that are none, those that need no answer."""
    kind, pairs, of_test = model_of(config), text_data.pairs_of(whole), text_data.pairs_of(test)
    checks = {
        "vocabulary": lambda: text_data.check_vocabulary(pairs, of_test, dataset),
        "lengths": lambda: text_data.check_lengths(pairs, of_test),
        "repeats": lambda: text_data.check_repeats(pairs),
        "leakage": lambda: text_data.check_leakage(pairs, of_test),
        "answers": lambda: text_data.check_answers(pairs, of_test, seed),
        "first loss": lambda: text_model.check_first_loss(few, fresh, config),
        "input": lambda: text_model.check_input(few, fresh, config),
        "future": lambda: text_model.check_future(few, fresh, config),
        "sizes": lambda: text_model.check_sizes(config, fresh, count=len(pairs.questions)),
        "attention": lambda: text_model.check_attention(few, trained(), config),
        "predictions": lambda: text_model.check_predictions(whole, test, p, config, history, dataset),
    }
    without = ["future"] if kind.evaluation_draws else []  # who fills looks both ways
    without += [] if trees.leaves(kind.views["maps"](model.looked_at(few, fresh, config)[1], config)) else ["attention"]
    without += [] if all(of_test.answers) and all(pairs.answers) else ["answers", "predictions"]
    return {name: check for name, check in checks.items() if name not in without}


def _skip(why):
    """A check that does not look."""
    yield from ()
    return Skipped(why)


def _clipping(trial, history, recipe):
    """The norms of the run's gradients; without a run, those of a trial."""
    norms = [record["gradient_norm"] for record in history if "gradient_norm" in record]
    if norms:
        return progress.check_clipping(norms, recipe, "of the run")
    return progress.check_clipping(trial().norms, recipe, "of a trial")


def _finite(part):
    """Whether the images are numbers; those stored as bytes always are."""
    return not isinstance(part["images"], np.ndarray) or bool(np.isfinite(part["images"]).all())


def _noise(array, seed):
    """An array of this shape, with entries of an ordinary size."""
    return np.random.default_rng(seed).normal(0, 0.1, array.shape).astype(array.dtype)
