"""Attention, convolution, or both? Five models of equal size, given equally many steps and equal time."""

import math
import statistics
from dataclasses import asdict, replace

from tinyvit.lab.equal import nearest_in_size
from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import accuracy_axis, legend, panels, seeds, ticks
from tinyvit.lab.job import base_config, base_recipe, described, preset_of, there, training
from tinyvit.lab.statistics import LEVEL, difference
from tinyvit.models.model import MODELS, name_of, parameter_count
from tinyvit.training.recipe import Recipe

PLANS = {  # steps of the optimiser, in equal time the ViT's; and training images
    "digits": {"quick": (100, (100, 1000)), "full": (300, (100, 400, 1400))},
    "mnist": {"quick": (100, (300, 3000)), "full": (300, (500, 2000, 5000))},
    "cifar-10": {"quick": (50, (300, 2000)), "full": (200, (500, 2000, 5000))},
}
PLANS |= {"fashion-mnist": PLANS["mnist"], "pictures": PLANS["cifar-10"]}
VALIDATION = 0.1
NUMBERS = {"ViT": 0, "CNN": 1, "ViT with a stem": 2, "hybrid": 3, "Swin": 4}  # of colours: the same in every figure
EQUAL = {"steps": "equally many steps", "time": "equal time"}
PAPERS = (
    "In the ViT paper hybrids are ahead of ViTs at small computational budgets, and the difference vanishes for larger "
    "models (section 4.4, figure 5); Swin-T reaches 81.3 % on ImageNet, DeiT-S, a ViT that takes as many "
    "multiply-adds, 79.8 % (Liu et al. 2021, table 1)."
)


def jobs(data, budget):
    """All five, on nested parts of the training set and without augmentation, by steps and by time.

    The ViT is the measure of both, and its runs are the same. Photographs, whose runs take long, are compared by time.
    """
    found, models = [], backbones(base_config(data))
    steps, sizes = PLANS[preset_of(data)][budget]
    recipe = base_recipe(data, budget, **Recipe().augmentation, validation=VALIDATION)
    for equal in ("time",) if described(data).photos else EQUAL:
        for images in there(sizes, data):
            learned = images - round(VALIDATION * images)
            epochs = max(1, round(steps / -(-learned // recipe.batch)))
            for name, config in models.items():
                vit = {"model": "vit", "config": asdict(models["ViT"])}
                beside = vit if equal == "time" and name != "ViT" else None
                setting = {"equal": equal, "images": images, "model": name, "parameters": parameter_count(config)}
                how = dict(task="backbone", as_long_as=beside)
                found.append(training(setting, config, replace(recipe, epochs=epochs), images, **how))
    return found


def backbones(vit):
    """{name: configuration} of the five: the ViT, and the others' presets for its data, with as many parameters."""
    hybrid = MODELS["hybrid"].preset(vit)
    presets = {
        "ViT": vit,
        "ViT with a stem": replace(hybrid, units=()),
        "hybrid": hybrid,
        "Swin": MODELS["swin"].preset(vit),
        "CNN": MODELS["cnn"].preset(vit),
    }
    return {name: nearest_in_size(_widths(config), parameter_count(vit)) for name, config in presets.items()}


def _widths(config):
    """Configurations like this one, some narrower and some wider; of a ViT, itself."""
    model = name_of(config)
    if model == "hybrid":
        return [config.changed(mlp_dim=width) for width in range(8, 2 * config.vit.mlp_dim, 4)]
    if model == "swin":
        step = config.heads[0]
        widths = range(4 * step, 2 * config.dim, step)
        return [config.changed(dim=dim, mlp_ratio=ratio) for ratio in (4, 3, 5) for dim in widths]
    if model == "cnn":
        return [
            config.changed(widths=(width // 2, width, round(share * width)))
            for share in (2, 1.9, 2.1, 1.8, 2.2)
            for width in range(16, 2 * config.widths[-1], 2)
        ]
    return [config]


def report(results):
    """Accuracy against the number of training images, a line for each model; by steps and by time."""
    found = results.settings("equal", "images")
    models = [name for (name,) in results.settings("model")]
    compared = [equal for equal in EQUAL if equal in dict(found)]
    rows = []
    for equal, images in found:
        accuracies = [results.estimate("test_accuracy", equal=equal, images=images, model=name) for name in models]
        rows.append([EQUAL[equal], f"{images:,}", *(each.text() for each in accuracies)])
    figure, all_axes = panels(len(compared), 5 * len(compared), 4)
    for axes, equal in zip(all_axes, compared, strict=True):
        sizes = [images for which, images in found if which == equal]
        for place, name in enumerate(models):
            accuracies = [results.values("test_accuracy", equal=equal, images=n, model=name) for n in sizes]
            seeds(axes, sizes, accuracies, name, NUMBERS[name], place=place)
        axes.set(xscale="log", xlabel="training images", title=EQUAL[equal], xmargin=0.12)
        accuracy_axis(axes, "test accuracy (%)")
        ticks(axes, sizes, [f"{n:,}" for n in sizes])
    legend(figure, columns=len(models) if len(compared) > 1 else 3)
    return Report(["equal", "images", *(f"{name} (%)" for name in models)], rows, figure, _verdict(results, models))


def _verdict(results, models):
    others = [name for name in models if name != "ViT"]
    sizes, sentences = {}, []
    for equal, images in results.settings("equal", "images"):
        sizes.setdefault(equal, []).append(images)
    for equal, of in sizes.items():
        for images in (of[0], of[-1]):
            gaps = {name: _gap(results, name, equal, images, len(others)) for name in others}
            words = [f"{name} {gap.text()}{'' if gap.significant else ' (not shown)'}" for name, gap in gaps.items()]
            sentences.append(f"with {EQUAL[equal]} and {images:,} images: {', '.join(words)}")
    about = f"Accuracy less the ViT's, in points (each interval wide enough for {len(others)} at once)"
    found = [_sizes(results, others), _times(results, others), f"{about}, {'; '.join(sentences)}."]
    return " ".join([*found, _better_of_two(results, sizes["time"][-1]), PAPERS])


def _sizes(results, others):
    counts = dict(results.settings("model", "parameters"))
    more = [counts[name] / counts["ViT"] - 1 for name in others]
    return f"The ViT has {counts['ViT']:,} parameters, the others {100 * min(more):+.1f} to {100 * max(more):+.1f} %."


def _times(results, others):
    steps = [f"{name} {_median(results.values('step', equal='time', model=name))}" for name in others]
    times = [time for name in others for time in results.values("time", equal="time", model=name)]
    times = [time for time in times if not math.isnan(time)] or [math.inf]  # all diverged
    return (
        f"A step takes so many times as long as the ViT's: {', '.join(steps)}. In equal time there are so many times "
        f"fewer epochs; rounded to whole ones, the training is {min(times):.2f} to {max(times):.2f} times as long."
    )


def _median(values):
    """In words; of runs that diverged, nothing is known."""
    known = [value for value in values if not math.isnan(value)]
    return f"{statistics.median(known):.1f}" if known else "unknown"


def _better_of_two(results, images):
    """Whether the better of Swin and the hybrid beats the ViT in equal time, with the most images."""
    gaps = {name: _gap(results, name, "time", images, 2) for name in ("hybrid", "Swin")}
    best = max(gaps, key=lambda name: gaps[name].mean)
    ahead = gaps[best].significant and gaps[best].mean > 0
    return (
        f"Of hybrid and Swin the better one in equal time with {images:,} images, {best}, is "
        f"{'better' if ahead else 'not shown to be better'} than the ViT: by {gaps[best].text()} points."
    )


def _gap(results, name, equal, images, together):
    """Accuracy less the ViT's, at a level that holds for so many differences together (Bonferroni)."""
    values = [results.values("test_accuracy", equal=equal, images=images, model=model) for model in (name, "ViT")]
    return difference(*values, level=1 - (1 - LEVEL) / together)


BACKBONE = Experiment(
    "backbone",
    "Attention, convolution, or both: which learns most from the same images in the same time?",
    "ViT paper, section 4.4; Swin, table 1",
    jobs,
    report,
)
