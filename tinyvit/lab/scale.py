"""What is 1 / sqrt(d) good for? Attention with and without it, for narrow heads and wide."""

from dataclasses import replace

from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import accuracy_axis, legend, panels, seeds, ticks, written_out
from tinyvit.lab.job import base_config, base_images, base_recipe, training
from tinyvit.lab.statistics import difference, estimate

SCALES = {"sqrt": "divided by sqrt(d)", "none": "not scaled"}
HEADS = (16, 4, 1)


def jobs(data, budget):
    """With and without, at several widths of a head."""
    recipe, images = base_recipe(data, budget), base_images(data, budget)
    config = base_config(data)
    return [
        training(
            {"scale": scale, "d": config.dim // heads},
            replace(config, scale=scale, heads=heads),
            recipe,
            images,
            gradients=True,
        )
        for scale in SCALES
        for heads in HEADS
    ]


def report(results):
    """What attention is like before the first step, and the accuracy after the last."""
    widths = [d for (d,) in results.settings("d")]
    rows = []
    for scale, name in SCALES.items():
        for d in widths:
            setting = {"scale": scale, "d": d}
            start = [results.estimate(measure, **setting).text(1) for measure in ("score_variance", "entropy")]
            rows.append([name, d, *start, results.estimate("test_accuracy", **setting).text()])
    figure, axes = panels(3, 10.5, 3.4)
    axes[0].set(yscale="log", ylabel="variance of the scores at the start")
    written_out(axes[0])
    measures = {"score_variance": 1, "entropy": 1, "test_accuracy": 100}
    for each, (measure, factor) in zip(axes, measures.items(), strict=True):
        for number, (scale, name) in enumerate(SCALES.items()):
            values = [results.values(measure, scale=scale, d=d) for d in widths]
            seeds(each, widths, values, name, number, factor=factor)
        each.set(xscale="log", xlabel="width d of a head")
        ticks(each, widths)
    axes[1].set(ylim=(0, 1.05), ylabel="entropy at the start / ln T")
    accuracy_axis(axes[2], "test accuracy (%)")
    legend(figure)
    columns = ["scores", "d", "their variance at the start", "entropy at the start / ln T", "test accuracy (%)"]
    return Report(columns, rows, figure, _verdict(results, widths))


def _verdict(results, widths):
    d = widths[-1]
    gap = difference(*(results.values("test_accuracy", scale=scale, d=d) for scale in SCALES))
    shown = "" if gap.significant else ", which does not tell them apart; training can shrink the queries itself"
    return (
        f"From d = {widths[0]} to {d}, {d / widths[0]:.0f} times, the variance of unscaled scores at the start becomes "
        f"{_growth(results, 'none', widths).text(1, 1)} times as large, that of scaled ones "
        f"{_growth(results, 'sqrt', widths).text(1, 1)} times. At d = {d} accuracy with the scale less that without is "
        f"{gap.text()} points{shown}. Vaswani et al. 2017 give the argument "
        "for the scale; the ViT paper has no numbers on it."
    )


def _growth(results, scale, widths):
    """The variance of the scores at the widest over that at the narrowest, of the same seed."""
    narrow, wide = (results.values("score_variance", scale=scale, d=d) for d in (widths[0], widths[-1]))
    return estimate([large / small for small, large in zip(narrow, wide, strict=True)])


SCALE = Experiment(
    "scale", "What is the factor 1/sqrt(d) good for?", "Vaswani et al. 2017, section 3.2.1", jobs, report
)
