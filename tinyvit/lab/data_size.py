"""How much data does a Vision Transformer need? A small convolutional network beside it, over training-set sizes."""

import math
from dataclasses import replace

import numpy as np

from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import legend, panels, seeds, ticks, written_out
from tinyvit.lab.job import base_config, base_recipe, preset_of, there, training
from tinyvit.lab.statistics import difference, estimate
from tinyvit.models.cnn import CNNConfig
from tinyvit.training.recipe import Recipe

MODELS = ("ViT", "CNN")
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
    """The share of wrong answers against the number of training images: how far apart, and how many times as many."""
    sizes = [images for (images,) in results.settings("images")]
    rows = []
    for images in sizes:
        values = [results.values("test_accuracy", model=name, images=images) for name in MODELS]
        accuracies = [estimate(each).text() for each in values]
        ratio = _times(estimate(_log_ratio(results, images)))
        rows.append([f"{images:,}", *accuracies, difference(*values).text(), ratio])
    figure, (axes,) = panels(1, 6, 4)
    for number, model in enumerate(MODELS):
        values = [results.values(_error, model=model, images=n) for n in sizes]
        seeds(axes, sizes, values, model, number)
    axes.set(xscale="log", yscale="log", xlabel="training images", ylabel="wrong answers on test images (%)")
    ticks(axes, sizes, [f"{n:,}" for n in sizes])
    written_out(axes)
    legend(figure)
    columns = ["images", *(f"{model} (%)" for model in MODELS), "ViT less CNN (points)", "ViT's errors / CNN's"]
    return Report(columns, rows, figure, _verdict(results, sizes))


def _error(result):
    return 1 - result["test_accuracy"]


def _log_ratio(results, images):
    """ln(the ViT's errors / the CNN's), one for each seed; unknown where one of them makes none."""
    pairs = zip(*(results.values(_error, model=model, images=images) for model in MODELS), strict=True)
    return [math.log(vit / cnn) if vit > 0 and cnn > 0 else math.nan for vit, cnn in pairs]


def _times(log_ratio):
    """How many times as many, in words: the mean and the interval of its logarithm, turned back."""
    if math.isnan(log_ratio.mean):
        return "unknown"
    ends = [math.exp(log_ratio.mean + sign * log_ratio.half) for sign in (-1, 1)] if log_ratio.count > 1 else []
    return f"{math.exp(log_ratio.mean):.2f}" + (f" ({ends[0]:.2f} to {ends[1]:.2f})" if ends else "")


def _verdict(results, sizes):
    few, many = sizes[0], sizes[-1]
    values = {(m, n): results.values("test_accuracy", model=m, images=n) for m in MODELS for n in (few, many)}
    sentences = []
    for n in (few, many):
        gap = difference(values["ViT", n], values["CNN", n])
        shown = "" if gap.significant else " (no difference is shown)"
        sentences.append(f"with {n:,} images accuracy of the ViT less that of the other is {gap.text()} points{shown}")
    gained = {m: np.subtract(values[m, many], values[m, few]) for m in MODELS}  # a seed's sets are nested
    more = estimate(gained["ViT"] - gained["CNN"])
    ratios = {n: _log_ratio(results, n) for n in (few, many)}
    falls = estimate(np.subtract(ratios[few], ratios[many]))
    if more.significant and falls.significant and more.mean * falls.mean > 0:
        helps = f"More images help the {'ViT' if more.mean > 0 else 'CNN'} more, in points and as a ratio"
    elif more.significant:
        helps = f"More images help the {'ViT' if more.mean > 0 else 'CNN'} more in points, not shown as a ratio"
    else:
        helps = "That more images help one of them more is not shown"
    return (
        f"A ViT against a convolutional network: {'; '.join(sentences)}. {helps}: what the ViT gains from them less "
        f"what the other gains is {more.text()} points. The one with more to lose gains more points, since accuracy "
        f"ends at 100 %: so the ratio says more. With {few:,} images the ViT gives "
        f"{_times(estimate(ratios[few]))} times as many wrong answers as the other, with {many:,} "
        f"{_times(estimate(ratios[many]))} times; the logarithm of the ratio falls by {falls.text(1)}. In the paper "
        "ViTs are behind ResNets if both have learned from ImageNet, and ahead if from JFT-300M (section 4.3, figures "
        "3 and 4), at sizes that no laptop has; two small models on small images show a direction at most."
    )


DATA_SIZE = Experiment(
    "data-size", "How much data does it need, against a convolutional network?", "ViT paper, section 4.3", jobs, report
)
