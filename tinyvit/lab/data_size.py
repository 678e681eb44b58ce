"""How much data does a Vision Transformer need? A small convolutional network beside it, over training-set sizes."""

from dataclasses import replace

from tinyvit.data import dataset_named
from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import line, panels
from tinyvit.lab.job import base_config, base_recipe, training
from tinyvit.lab.statistics import difference
from tinyvit.models.cnn import CNNConfig

MODELS = {"ViT": "ViT", "CNN": "convolutional network"}
SIZES = {
    "digits": {"quick": (100, 300, 1000), "full": (50, 100, 200, 400, 800, 1400)},
    "mnist": {"quick": (300, 1000, 3000), "full": (300, 1000, 3000, 10_000, 30_000, 60_000)},
}
SIZES["fashion-mnist"] = SIZES["mnist"]
STEPS = {"quick": 300, "full": 1500}  # of the optimiser, whatever the number of images
VALIDATION = 0.1


def jobs(data, budget):
    """Both, on nested parts of the training set, for equally many steps, and without augmentation.

    Shifting or turning the images would tell either model what the other may know by itself.
    """
    dataset = dataset_named(data)
    sizes = dict(image=dataset.side, channels=dataset.channels, classes=dataset.classes)
    configs, found = {"ViT": base_config(data), "CNN": CNNConfig(**sizes)}, []
    for images in SIZES[data][budget]:
        recipe = base_recipe(data, budget, shift=0, rotate=0.0, zoom=0.0, shear=0.0, validation=VALIDATION)
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
    axes.set(xscale="log", xlabel="training images", ylabel="test accuracy (%)")
    axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
    axes.minorticks_off()
    axes.legend(frameon=False)
    return Report(["images", "ViT (%)", "CNN (%)", "ViT less CNN (points)"], rows, figure, _verdict(results, sizes))


def _verdict(results, sizes):
    gaps = [
        difference(*(results.values("test_accuracy", model=model, images=images) for model in MODELS))
        for images in sizes
    ]
    least, most = gaps[0], gaps[-1]
    words = [
        f"{images:,} images, the ViT's accuracy less the convolutional network's is {gap.text()} points"
        + ("" if abs(gap.mean) > gap.half else " (no difference is shown)")
        for images, gap in ((sizes[0], least), (sizes[-1], most))
    ]
    helps = "More images help the ViT more" + (
        "" if most.mean - least.mean > most.half + least.half else ": that is not shown"
    )
    return (
        f"With {words[0]}; with {words[1]}. {helps}. The paper finds this order between ResNets and ViTs: behind on "
        "ImageNet, ahead on JFT-300M (section 4.3, figures 3 and 4), at sizes that no laptop has; two "
        "small models on small images show a direction at most."
    )


DATA_SIZE = Experiment(
    "data-size", "How much data does it need, against a convolutional network?", "ViT paper, section 4.3", jobs, report
)
