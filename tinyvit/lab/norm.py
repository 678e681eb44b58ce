"""LayerNorm before or after? What a deep stack's gradient and accuracy say."""

from dataclasses import replace

from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import accuracy_axis, legend, panels, seeds, ticks, written_out
from tinyvit.lab.job import base_config, base_images, base_recipe, training
from tinyvit.lab.statistics import difference, estimate

NORMS = {"pre": "pre-norm", "post": "post-norm"}
DEPTHS = {"quick": (2, 4, 8), "full": (2, 4, 8, 16)}
EPOCHS = 0.5  # of the recipe's


def jobs(data, budget):
    """Both, at several depths."""
    recipe, images = base_recipe(data, budget, share=EPOCHS), base_images(data, budget)
    return [
        training(
            {"norm": norm, "depth": depth},
            replace(base_config(data), norm=norm, depth=depth),
            recipe,
            images,
            gradients=True,
        )
        for norm in NORMS
        for depth in DEPTHS[budget]
    ]


def report(results):
    """Accuracy against depth; the gradient of each block before the first step, in the deepest model."""
    depths = [depth for (depth,) in results.settings("depth")]
    rows = []
    for norm, name in NORMS.items():
        for depth in depths:
            setting = {"norm": norm, "depth": depth}
            diverged = results.diverged(**setting)
            accuracy = results.estimate("test_accuracy", **setting).text()
            ends = [results.estimate(_of_block(i), **setting).text(1) for i in (0, -1)]
            rows.append([name, depth, *ends, accuracy + (f", {diverged} diverged" if diverged else "")])

    figure, axes = panels(2)
    for number, (norm, name) in enumerate(NORMS.items()):
        seeds(axes[0], depths, [results.values("test_accuracy", norm=norm, depth=d) for d in depths], name, number)
        norms = [results.values(_of_block(i), norm=norm, depth=depths[-1]) for i in range(depths[-1])]
        seeds(axes[1], range(1, depths[-1] + 1), norms, name, number, factor=1, intervals=False)
    axes[0].set(xscale="log", xlabel="depth (blocks)")
    accuracy_axis(axes[0], "test accuracy (%)")
    ticks(axes[0], depths)
    axes[1].set(yscale="log", xlabel="block", ylabel="norm of its gradient at the start")
    written_out(axes[1])
    axes[1].set_title(f"{depths[-1]} blocks, before the first step", fontsize=9)
    legend(figure)
    columns = ["norm", "depth", "gradient, first block", "gradient, last block", "test accuracy (%)"]
    return Report(columns, rows, figure, _verdict(results, depths))


def _of_block(i):
    return lambda result: result["gradient_norms"][i]


def _verdict(results, depths):
    sentences = []
    for depth in (depths[0], depths[-1]):
        values = [results.values("test_accuracy", norm=norm, depth=depth) for norm in NORMS]
        gap = difference(*values)
        shown = "" if gap.significant else ", which does not tell them apart"
        sentences.append(f"With {depth} blocks pre-norm's accuracy less post-norm's is {gap.text()} points{shown}.")
    sentences.append(
        f"Before the first step, with {depths[-1]} blocks, the first one's gradient is "
        + " and ".join(f"{_ratio(results, norm, depths[-1]).text(1)} ({name})" for norm, name in NORMS.items())
        + " times as long as the last one's."
    )
    sentences.append("The ViT paper uses pre-norm and does not compare the two; Vaswani et al. 2017 used post-norm.")
    return " ".join(sentences)


def _ratio(results, norm, depth):
    """The first block's gradient over the last one's, at the start."""
    return estimate(results.values(lambda r: r["gradient_norms"][0] / r["gradient_norms"][-1], norm=norm, depth=depth))


NORM = Experiment(
    "norm", "LayerNorm before or after attention and MLP, at which depth?", "ViT paper, section 3.1", jobs, report
)
