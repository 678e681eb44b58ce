"""What are features worth for classes that they have not seen? The ViT paper's few-shot accuracy (section 4.1)."""

from dataclasses import replace

import numpy as np

from tinyvit.errors import UsageError
from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import accuracy_axis, line, panels, ticks
from tinyvit.lab.job import base_config, base_images, base_recipe, training
from tinyvit.lab.statistics import difference
from tinyvit.lab.train import part, some
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit_init
from tinyvit.training.features import features_of
from tinyvit.training.loop import fit
from tinyvit.training.probe import SHOTS, accuracy_of, drawn, probe
from tinyvit.training.recipe import Recipe

FEATURES = {"pixels": "pixels", "random": "an untrained ViT", "trained": "a ViT trained on other classes"}
KNOWN = 5  # classes 0 to 4 are learned from, the others are new


def jobs(data, budget):
    """Features of three kinds, each probed with all numbers of shots."""
    if (classes := base_config(data).classes) <= KNOWN:
        raise UsageError(f"the data set has {classes} classes: fewshot learns from {KNOWN}, expected more than that")
    config = replace(base_config(data), classes=KNOWN)
    recipe, images = base_recipe(data, budget), base_images(data, budget)
    images = images and images // 2  # of half of the classes
    return [training({"features": kind}, config, recipe, images, task="fewshot", features=kind) for kind in FEATURES]


def fewshot(data, seed, *, features, model, config, recipe, images):
    """How well few images of new classes are told apart by features that were learned on others.

    Parameters
    ----------
    features : one of FEATURES
    model, config, recipe, images
        As in `train`; images of the known classes.

    Returns
    -------
    {accuracy: {shots: share of the new classes' test images}}
    """
    config, ((x, y), (x_test, y_test)) = ViTConfig(**config), data
    old, old_test = (np.flatnonzero(labels < KNOWN) for labels in (y, y_test))
    new, new_test = (np.flatnonzero(labels >= KNOWN) for labels in (y, y_test))
    few = new[drawn(y[new], seed)]
    pictures = x[few], x_test[new_test]
    if features == "pixels":
        found = [part.reshape(len(part), -1) for part in pictures]
    else:
        p = vit_init(np.random.default_rng(seed), config)
        if features == "trained":
            old = old[some(seed, len(old), images)]
            known = part(x, y, old), part(x_test, y_test, old_test)
            p, _ = fit(config, known, recipe=Recipe.from_dict(recipe), seed=seed, workers=1, progress=False)
        found = [features_of(part, p, config, batch=64) for part in pictures]
    return {"accuracy": probe(found[0], y[few] - KNOWN, found[1], y_test[new_test] - KNOWN, seed)}


def report(results):
    """Accuracy against shots, a line for each kind of features."""
    kinds = [kind for (kind,) in results.settings("features")]
    estimates = {(kind, n): results.estimate(accuracy_of(n), features=kind) for kind in kinds for n in SHOTS}
    rows = [[FEATURES[kind], *(estimates[kind, n].text(digits=1) for n in SHOTS)] for kind in kinds]
    figure, (axes,) = panels(1, 6, 4)
    for number, kind in enumerate(kinds):
        line(axes, SHOTS, [estimates[kind, n] for n in SHOTS], FEATURES[kind], number)
    axes.set(xscale="log", xlabel="images of each new class")
    accuracy_axis(axes, "test accuracy on the new classes (%)")
    ticks(axes, SHOTS)
    axes.legend(frameon=False)
    return Report(["features", *(f"{n} shots (%)" for n in SHOTS)], rows, figure, _verdict(results))


def _verdict(results):
    sentences = []
    for n in (5, SHOTS[-1]):
        pixels, trained = (results.values(accuracy_of(n), features=kind) for kind in ("pixels", "trained"))
        gap = difference(trained, pixels)
        shown = "" if gap.significant else ", which does not tell them apart"
        sentences.append(
            f"With {n} images of each class, accuracy on learned features less that on pixels is {gap.text()} "
            f"points{shown}."
        )
    return (
        f"{' '.join(sentences)} The model has seen none of these {KNOWN} classes. The paper classifies ImageNet so, "
        "from 5 images of each of 1000 classes (its table 8: 64.2 % with ViT-B/16), as a cheap measure while "
        "it trains; the sizes differ too much to compare numbers."
    )


FEWSHOT = Experiment(
    "fewshot", "What are its features worth for classes that it has not seen?", "ViT paper, section 4.1", jobs, report
)
