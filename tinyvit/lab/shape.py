"""Deeper, wider, or smaller patches? The ViT paper's figure 8: what extra computation is best spent on."""

import math
from dataclasses import replace

from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import COLOURS, accuracy_axis, legend, panels, seeds
from tinyvit.lab.job import base_config, base_images, base_recipe, training
from tinyvit.lab.statistics import LEVEL, difference
from tinyvit.viz.summary import shapes

EPOCHS = 0.5  # of the recipe's
CHANGES = {  # of the data set's model, one thing at a time; MLPs keep their proportion to the width
    "depth": (1, 2, 4, 8),
    "width": (16, 32, 64, 128),
    "MLP width": (64, 128, 256, 512),
    "patch": {28: (14, 7, 4), 8: (4, 2, 1), 32: (16, 8, 4)},
}


def jobs(data, budget):
    """The model with one of its sizes changed; a series that has its size holds the unchanged one."""
    config, recipe, images = base_config(data), base_recipe(data, budget, share=EPOCHS), base_images(data, budget)
    found = []
    for what, values in CHANGES.items():
        for value in values[config.image] if isinstance(values, dict) else values:
            changed = _changed(config, what, value)
            work = shapes(changed).totals[1]
            found.append(training({"changed": what, "to": value, "multiply-adds": work}, changed, recipe, images))
    return found


def _changed(config, what, value):
    if what == "width":
        return replace(config, dim=value, mlp_dim=value * config.mlp_dim // config.dim)
    return replace(config, **{{"depth": "depth", "MLP width": "mlp_dim", "patch": "patch"}[what]: value})


def report(results):
    """Accuracy against the multiply-adds of one image, a line for each size that is changed."""
    from matplotlib.ticker import LogLocator

    settings = results.settings("changed", "to", "multiply-adds")
    estimates = {s: results.estimate("test_accuracy", changed=s[0], to=s[1]) for s in settings}
    rows = [[what, to, f"{work / 1e6:.2f}", estimates[what, to, work].text()] for what, to, work in settings]
    figure, (axes,) = panels(1, 6.5, 4.2)
    for number, what in enumerate(CHANGES):
        series = sorted((work, to) for changed, to, work in settings if changed == what)
        values = [results.values("test_accuracy", changed=what, to=to) for _, to in series]
        seeds(axes, [work / 1e6 for work, _ in series], values, what, number, apart=0)
        for w, to in series:
            place = (w / 1e6, 100 * estimates[what, to, w].mean)
            below = (9, -8 * number - 4)  # the series meet in one point: one label above another
            axes.annotate(to, place, below, textcoords="offset points", fontsize=7, va="top", color=COLOURS[number])
    axes.set(xscale="log", xlabel="multiply-adds of one image (millions)")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    accuracy_axis(axes, "test accuracy (%)")
    legend(figure, title="changed")
    return Report(
        ["changed", "to", "multiply-adds (M)", "test accuracy (%)"], rows, figure, _verdict(results, settings)
    )


def _verdict(results, settings):
    sentences = []
    for what in CHANGES:
        series = sorted((work, to) for changed, to, work in settings if changed == what)
        ends = [results.values("test_accuracy", changed=what, to=to) for _, to in (series[-1], series[0])]
        gap = difference(*ends, level=1 - (1 - LEVEL) / len(CHANGES))
        times = series[-1][0] / series[0][0]
        shown = "" if gap.significant else ", not shown to differ"
        ends = f"{what} {series[0][1]} to {series[-1][1]} ({times:.1f} times as much)"
        each = gap.text(100 / math.log2(times))
        sentences.append(f"{ends} {gap.text()} points, or {each} for each doubling{shown}")
    paper = (
        "The paper (ImageNet, 5-shot): depth gains most, width least, and smaller patches gain without more parameters."
    )
    about = f"Accuracy with the most computation less that with the least (95 % for all {len(CHANGES)} together)"
    return f"{about}: {'; '.join(sentences)}. {paper}"


SHAPE = Experiment("depth-width-patch", "Deeper, wider, or smaller patches?", "ViT paper, figure 8", jobs, report)
