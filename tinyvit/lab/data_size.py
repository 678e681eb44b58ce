"""How much data does a Vision Transformer need? A small convolutional network beside it, over training-set sizes."""

from dataclasses import replace

import numpy as np

from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import accuracy_axis, line, panels, ticks
from tinyvit.lab.job import base_config, base_recipe, preset_of, there, training
from tinyvit.lab.statistics import difference, estimate
from tinyvit.models.cnn import CNNConfig
from tinyvit.training.recipe import Recipe

MODELS = {"ViT": "ViT", "CNN": "convolutional network"}
SIZES = {
    "digits": {"quick": (100, 300, 1000), "full": (50, 100, 200, 400, 800, 1400)},
    "mnist": {"quick": (300, 1000, 3000), "full": (300, 1000, 3000, 10_000, 30_000, 60_000)},
}
SIZES["fashion-mnist"] = SIZES["mnist"]
SIZES["cifar-10"] = SIZES["pictures"] = SIZES["mnist"] | {"full": (1000, 3000, 10_000, 30_000, 50_000)}
STEPS = {"quick": 300, "full": 1500}  # of the optimiser, whatever the number of images
VALIDATION = 0.1


def jobs(data, budget):
    """Both, on nested parts of the training set, for equally many steps, and without augmentation.

    Shifting or turning the images would tell either model what the other may know by itself.
    """
    vit, found = base_config(data), []
    configs = {"ViT": vit, "CNN": CNNConfig(image=vit.image, channels=vit.channels, classes=vit.classes)}
    for images in there(SIZES[preset_of(data)][budget], data):
        recipe = base_recipe(data, budget, **Recipe().augmentation, validation=VALIDATION)
        learned = images - round(VALIDATION * images)
        epochs = max(1, round(STEPS[budget] / -(-learned // recipe.batch)))
        for name, config in configs.items():
            found.append(training({"model": name, "images": images}, config, replace(recipe, epochs=epochs), images))
    return found


def report(results):
    """Accuracy against the number of training images."""
    sizes = [images for (images,) in results.settings("images")]
    rows = []
    for images in sizes:
        values = [results.values("test_accuracy", model=name, images=images) for name in MODELS]
        gap = difference(*values)
        rows.append(
            [f"{images:,}", *(results.estimate("test_accuracy", model=m, images=images).text() for m in MODELS)]
        )
        rows[-1].append(gap.text())
    figure, (axes,) = panels(1, 6, 4)
    for number, (model, name) in enumerate(MODELS.items()):
        line(axes, sizes, [results.estimate("test_accuracy", model=model, images=n) for n in sizes], name, number)
    axes.set(xscale="log", xlabel="training images")
    accuracy_axis(axes, "test accuracy (%)")
    ticks(axes, sizes, [f"{n:,}" for n in sizes])
    axes.legend(frameon=False)
    return Report(["images", "ViT (%)", "CNN (%)", "ViT less CNN (points)"], rows, figure, _verdict(results, sizes))


def _verdict(results, sizes):
    values = {(m, n): results.values("test_accuracy", model=m, images=n) for m in MODELS for n in (sizes[0], sizes[-1])}
    sentences = []
    for n in (sizes[0], sizes[-1]):
        gap = difference(values["ViT", n], values["CNN", n])
        shown = "" if gap.significant else " (no difference is shown)"
        sentences.append(f"with {n:,} images accuracy of the ViT less that of the other is {gap.text()} points{shown}")
    gained = {m: np.subtract(values[m, sizes[-1]], values[m, sizes[0]]) for m in MODELS}  # a seed's sets are nested
    more = estimate(gained["ViT"] - gained["CNN"])
    if more.significant:
        helps = f"More images help the {MODELS['ViT' if more.mean > 0 else 'CNN']} more"
    else:
        helps = "That more images help one of them more is not shown"
    return (
        f"A ViT against a convolutional network: {'; '.join(sentences)}. {helps}: what the ViT gains from them less "
        f"what the other gains is {more.text()} points. In the paper ViTs are behind ResNets if both have learned from "
        "ImageNet, and ahead if from JFT-300M (section 4.3, figures 3 and 4), at sizes that no laptop has; two small "
        "models on small images show a direction at most."
    )


DATA_SIZE = Experiment(
    "data-size", "How much data does it need, against a convolutional network?", "ViT paper, section 4.3", jobs, report
)
