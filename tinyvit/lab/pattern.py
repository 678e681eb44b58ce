"""Which keys must a query look at? Accuracy and time of attention patterns, and of linear attention."""

from dataclasses import replace
from time import process_time

from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import accuracy_axis, panels, points
from tinyvit.lab.job import base_config, base_images, base_recipe, training
from tinyvit.lab.statistics import LEVEL, difference, estimate
from tinyvit.lab.train import train
from tinyvit.layers.attend import ATTENTION, allowed_pairs
from tinyvit.models.config import ViTConfig

PATCHES = 49  # at least: of fewer, a pattern has nothing to choose from
REACH = {"local": 1, "window": 4, "sliding": 3, "fixed": 1}  # windows of 4 x 4; of the others, the smallest or nearly
SHARE = {"quick": 0.5, "full": 1}  # of the epochs that other experiments have for a quick look: small patches take long


def jobs(data, budget):
    """Every kind, in the data set's model with small patches, on the images of a quick look whatever the budget.

    The answer is read from the mean of the patches: a class token, at which all look, would join what a pattern keeps
    apart.
    """
    recipe, images = base_recipe(data, "quick", share=SHARE[budget]), base_images(data, "quick")
    base = base_config(data)
    base = replace(base, patch=small_patch(base.image), pool="mean")
    configs = [replace(base, attention=kind, reach=REACH.get(kind, 1)) for kind in ATTENTION]
    return [
        training({"attention": config.attention, "pairs": pairs(config)}, config, recipe, images, task="pattern")
        for config in configs
    ]


def small_patch(image):
    """The largest patch that cuts an image of this side into enough."""
    return max(patch for patch in range(1, image + 1) if image % patch == 0 and (image // patch) ** 2 >= PATCHES)


def pattern(data, seed, **arguments):
    """`train`, but for the seconds: those that the processor worked on it, which others at work there do not add to."""
    begun = process_time()
    found = train(data, seed, **arguments)
    return found if "diverged" in found else found | {"seconds": process_time() - begun}


def pairs(config: ViTConfig):
    """The share of all pairs of tokens that a block computes, as a mean over the blocks; linear attention has none."""
    if config.attention == "linear":
        return 0.0
    grid, token = config.grid_size, config.class_token
    shares = [allowed_pairs(config.attention, grid, token, config.reach, i).mean() for i in range(config.depth)]
    return float(sum(shares) / config.depth)


def report(results):
    """All kinds with their intervals: accuracy, and the time of a training run."""
    settings = results.settings("attention", "pairs")
    kinds = [kind for kind, _ in settings]
    accuracy = [results.estimate("test_accuracy", attention=kind) for kind in kinds]
    seconds = [results.estimate("seconds", attention=kind) for kind in kinds]
    rows = []
    for (kind, share), time, right in zip(settings, seconds, accuracy, strict=True):
        rows.append([kind, f"{100 * share:.1f}" if share else "-", time.text(1, 1), right.text()])
    figure, axes = panels(2, 8.5, 3.6)
    points(axes[0], kinds, [results.values("test_accuracy", attention=kind) for kind in kinds])
    points(axes[1], kinds, [results.values("seconds", attention=kind) for kind in kinds], factor=1)
    accuracy_axis(axes[0], "test accuracy (%)", "x")
    axes[1].set(xlabel="seconds of a training run")
    return Report(
        ["attention", "allowed pairs (%)", "seconds", "test accuracy (%)"], rows, figure, _verdict(results, kinds)
    )


def _verdict(results, kinds):
    others = [kind for kind in kinds if kind != "full"]
    level = 1 - (1 - LEVEL) / len(others)
    right, seconds = (
        {kind: results.values(measure, attention=kind) for kind in kinds} for measure in ("test_accuracy", "seconds")
    )
    gaps = {kind: difference(right[kind], right["full"], level) for kind in others}
    extra = {  # of the runs of one seed, the share by which it is longer
        kind: estimate([a / b - 1 for a, b in zip(seconds[kind], seconds["full"], strict=True)], level)
        for kind in others
    }
    points = {kind: f"{kind} {gap.text()} points" for kind, gap in gaps.items()}
    times = {kind: f"{kind} {gap._replace(mean=1 + gap.mean).text(1)}" for kind, gap in extra.items()}
    return (
        f"Accuracy less that of full attention (95 % for all {len(others)} together): "
        f"{_by_sign(gaps, points, 'higher', 'lower')}. "
        f"A run's time over that with full attention: {_by_sign(extra, times, 'longer', 'shorter')}."
    )


def _by_sign(gaps, words, above, below):
    """The kinds in words: those whose difference is shown, by its sign, and those whose is not."""
    kinds = {
        above: [words[kind] for kind, gap in gaps.items() if gap.significant and gap.mean > 0],
        below: [words[kind] for kind, gap in gaps.items() if gap.significant and gap.mean < 0],
        "not shown to differ": [words[kind] for kind, gap in gaps.items() if not gap.significant],
    }
    return "; ".join(f"{which}: {', '.join(found)}" for which, found in kinds.items() if found)


PATTERN = Experiment(
    "pattern",
    "Which keys must a query look at, and what does it save?",
    "Child et al. 2019; ViT paper, appendix D.6",
    jobs,
    report,
)
