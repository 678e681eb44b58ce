"""Do positions matter, and does it matter which? The ViT paper's table 8."""

from dataclasses import replace

from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import accuracy_axis, panels, points
from tinyvit.lab.job import base_config, base_images, base_recipe, training
from tinyvit.lab.statistics import difference, largest_difference

PLACES = ("stem", "layers", "shared")
SETTINGS = [("none", "stem")]
SETTINGS += [(kind, place) for kind in ("1d", "2d", "sinusoidal", "relative") for place in PLACES]
SETTINGS.remove(("relative", "stem"))  # it acts within attention
SETTINGS.remove(("sinusoidal", "shared"))  # nothing is learned: the same model as in all layers
PAPER = {  # table 8: ViT-B/16, ImageNet, 5-shot linear
    ("none", "stem"): 0.61382,
    ("1d", "stem"): 0.64206,
    ("1d", "layers"): 0.63964,
    ("1d", "shared"): 0.64292,
    ("2d", "stem"): 0.64001,
    ("2d", "layers"): 0.64046,
    ("2d", "shared"): 0.64022,
    ("relative", "layers"): 0.64032,  # the paper does not say whether its layers share the table
}


def jobs(data, budget):
    """Every kind of position, in every place."""
    recipe, images = base_recipe(data, budget), base_images(data, budget)
    return [
        training(
            {"position": kind, "at": place},
            replace(base_config(data), position=kind, position_at=place),
            recipe,
            images,
        )
        for kind, place in SETTINGS
    ]


def report(results):
    """All settings with their intervals; none against the others, and the others among themselves."""
    settings = results.settings("position", "at")
    values = {s: results.values("test_accuracy", position=s[0], at=s[1]) for s in settings}
    estimates = {s: results.estimate("test_accuracy", position=s[0], at=s[1]) for s in settings}
    names = {s: s[0] if s[0] == "none" else f"{s[0]} ({s[1]})" for s in settings}
    rows = [[*s, estimates[s].text(), f"{100 * PAPER[s]:.2f}" if s in PAPER else ""] for s in settings]

    figure, axes = panels(3, 10.5, 3.8)
    points(axes[0], [names[s] for s in settings], [values[s] for s in settings])
    kinds = [s for s in settings if s[0] != "none"]
    points(axes[1], [names[s] for s in kinds], [values[s] for s in kinds])
    published = [s for s in settings if s in PAPER]
    axes[2].plot([100 * PAPER[s] for s in published], range(len(published))[::-1], "D", color="grey", markersize=4)
    axes[2].set_yticks(range(len(published))[::-1], [names[s] for s in published])
    for each, title in zip(axes, ("here", "here, without none", "the paper's table 8"), strict=True):
        each.set_title(title)
    for each in axes[:2]:
        accuracy_axis(each, "test accuracy (%)", "x")
    axes[2].set_xlabel("5-shot, ImageNet (%)")
    return Report(
        ["position", "at", "test accuracy (%)", "the paper's 5-shot accuracy on ImageNet (%)"],
        rows,
        figure,
        _verdict(values, names),
    )


def _verdict(values, names):
    kinds = {s: v for s, v in values.items() if s[0] != "none"}
    among = largest_difference(kinds)
    gap = difference(values[among.worst], values["none", "stem"])
    if gap.mean > gap.half:
        matter = f"Positions matter: without them accuracy is {gap.text()} points lower than with the worst kind."
    else:
        matter = f"That positions matter is not shown: the worst kind's accuracy less none's is {gap.text()} points."
    largest = (
        f"the largest of {among.comparisons} differences, {names[among.best]} over {names[among.worst]}, is "
        f"{among.difference.text()} points (an interval for all of them together)"
    )
    if among.significant:
        which = f"Some kinds are better than others here: {largest}, more than chance would make it."
    else:
        which = (
            f"Between the kinds and places no difference is shown: {largest}, and chance alone may make it that large."
        )
    published = [value for (kind, _), value in PAPER.items() if kind != "none"]
    below, apart = 100 * (min(published) - PAPER["none", "stem"]), 100 * (max(published) - min(published))
    paper = (
        f"In the paper, none is {below:.1f} points below the worst kind, and the kinds differ by up to {apart:.1f}; it "
        "gives no intervals."
    )
    return " ".join([matter, which, paper])


POSITION = Experiment(
    "position", "Do positions matter, and does it matter which kind?", "ViT paper, table 8", jobs, report
)
