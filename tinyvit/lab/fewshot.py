"""What are features worth for classes that they have not seen? The ViT paper's few-shot accuracy (section 4.1)."""

from dataclasses import replace
from functools import partial

import numpy as np

from tinyvit.errors import UsageError
from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import accuracy_axis, legend, panels, seeds, ticks
from tinyvit.lab.job import base_config, base_images, base_recipe, training
from tinyvit.lab.statistics import difference
from tinyvit.lab.train import part, some
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit_init
from tinyvit.training.features import features_of
from tinyvit.training.loop import fit
from tinyvit.training.probe import DRAWS, SHOT_COLUMNS, SHOTS, accuracy_of, probe_draws
from tinyvit.training.recipe import Recipe

FEATURES = {"pixels": "pixels", "random": "an untrained ViT", "trained": "a ViT trained on other classes"}
NUMBERS = {"trained": 0, "random": 2, "pixels": 3}  # of colours: the same in every figure
KNOWN = 5  # classes 0 to 4 are learned from, the others are new


def jobs(data, budget):
    """Features of three kinds, each probed with all numbers of shots."""
    if (classes := base_config(data).classes) <= KNOWN:
        raise UsageError(f"the data set has {classes} classes: fewshot learns from {KNOWN}, expected more than that")
    config = replace(base_config(data), classes=KNOWN)
    recipe, images = base_recipe(data, budget), base_images(data, budget)
    images = images and images // 2  # of half of the classes
    how = dict(task="fewshot", draws=DRAWS)
    return [training({"features": kind}, config, recipe, images, features=kind, **how) for kind in FEATURES]


def fewshot(data, seed, *, features, model, config, recipe, images, draws):
    """How well few images of new classes are told apart by features that were learned on others.

    Parameters
    ----------
    features : one of FEATURES
    model, config, recipe, images
        As in `train`; images of the known classes.
    draws : int
        How often the few images are drawn.

    Returns
    -------
    What `probe_draws` returns, of the new classes' test images.
    """
    config, ((x, y), (x_test, y_test)) = ViTConfig(**config), data
    old, old_test = (np.flatnonzero(labels < KNOWN) for labels in (y, y_test))
    new, new_test = (np.flatnonzero(labels >= KNOWN) for labels in (y, y_test))
    if features == "pixels":

        def extract(pictures):
            return pictures.reshape(len(pictures), -1)

    else:
        p = vit_init(np.random.default_rng(seed), config)
        if features == "trained":
            old = old[some(seed, len(old), images)]
            known = part(x, y, old), part(x_test, y_test, old_test)
            p, _ = fit(config, known, recipe=Recipe.from_dict(recipe), seed=seed, workers=1, progress=False)
        extract = partial(features_of, p=p, config=config, batch=64)
    unseen, answers = extract(x_test[new_test]), y_test[new_test] - KNOWN
    return probe_draws(lambda few: extract(x[new[few]]), y[new] - KNOWN, unseen, answers, seed, draws)


def report(results):
    """Accuracy against shots, a line for each kind of features."""
    kinds = [kind for (kind,) in results.settings("features")]
    estimates = {(kind, n): results.estimate(accuracy_of(n), features=kind) for kind in kinds for n in SHOTS}
    rows = [[FEATURES[kind], *(estimates[kind, n].text(digits=1) for n in SHOTS)] for kind in kinds]
    figure, (axes,) = panels(1, 6, 4)
    for place, kind in enumerate(kinds):
        values = [results.values(accuracy_of(n), features=kind) for n in SHOTS]
        seeds(axes, SHOTS, values, FEATURES[kind], NUMBERS[kind], place=place)
    axes.set(xscale="log", xlabel="images of each new class")
    accuracy_axis(axes, "test accuracy on the new classes (%)")
    ticks(axes, SHOTS)
    legend(figure)
    return Report(["features", *SHOT_COLUMNS], rows, figure, _verdict(results))


def _verdict(results):
    sentences = []
    for n in (5, SHOTS[-1]):
        trained, *others = (results.values(accuracy_of(n), features=kind) for kind in ("trained", "pixels", "random"))
        gaps = [difference(trained, other) for other in others]
        pixels, random = (f"{gap.text()} points{'' if gap.significant else ' (not shown to differ)'}" for gap in gaps)
        sentences.append(
            f"With {n} images of each class, accuracy on learned features less that on pixels is {pixels}, and "
            f"less that on an untrained ViT's {random}."
        )
    few, many = (results.estimate(_spread_of(n), features="trained").text(digits=1) for n in (SHOTS[0], SHOTS[-1]))
    sentences.append(
        f"Accuracies are means of {DRAWS} draws of the images for each model; of one model's, on learned features, the "
        f"standard deviation is {few} points with {SHOTS[0]} image of each class, and {many} with {SHOTS[-1]}."
    )
    return (
        f"{' '.join(sentences)} The model has seen none of these {KNOWN} classes. The paper classifies ImageNet so, "
        "from 5 images of each of 1000 classes (its table 8: 64.2 % with ViT-B/16), as a cheap measure while "
        "it trains; the sizes differ too much to compare numbers."
    )


def _spread_of(shots):
    return lambda result: result["spread"][str(shots)]


FEWSHOT = Experiment(
    "fewshot", "What are its features worth for classes that it has not seen?", "ViT paper, section 4.1", jobs, report
)
