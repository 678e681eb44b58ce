"""Class token or average? The ViT paper's figure 9: the answer depends on the learning rate."""

from dataclasses import replace

from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import accuracy_axis, legend, panels, seeds, ticks
from tinyvit.lab.job import base_config, base_images, base_recipe, training
from tinyvit.lab.statistics import difference

POOLS = {"class": "class token", "mean": "average of the patches"}
PAPER = (
    "The paper: with the class token's learning rate, 8e-4, averaging is clearly worse; with 3e-4 it is as good "
    "(ImageNet, 5-shot, its figure 9)."
)
FACTORS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4)  # of the recipe's learning rate


def jobs(data, budget):
    """Both, each at a range of learning rates."""
    recipe, images = base_recipe(data, budget), base_images(data, budget)
    rates = [recipe.learning_rate * factor for factor in FACTORS]
    return [
        training(
            {"pool": pool, "learning rate": rate},
            replace(base_config(data), pool=pool),
            replace(recipe, learning_rate=rate),
            images,
        )
        for pool in POOLS
        for rate in rates
    ]


def report(results):
    """Accuracy against learning rate; the two at each's own best rate, and at the other's."""
    rates = [rate for (rate,) in results.settings("learning rate")]
    settings = {(pool, rate): {"pool": pool, "learning rate": rate} for pool in POOLS for rate in rates}
    rows = []
    for (pool, rate), setting in settings.items():
        diverged = results.diverged(**setting)
        words = f"{results.estimate('test_accuracy', **setting).text()}" + (
            f", {diverged} diverged" if diverged else ""
        )
        validation = results.estimate("validation_accuracy", **setting).text()
        rows.append([POOLS[pool], f"{rate:.2g}", validation, words])

    figure, (axes,) = panels(1, 6, 4)
    for number, (pool, name) in enumerate(POOLS.items()):
        seeds(axes, rates, [results.values("test_accuracy", **settings[pool, r]) for r in rates], name, number)
    axes.set(xscale="log", xlabel="learning rate")
    accuracy_axis(axes, "test accuracy (%)")
    ticks(axes, rates, [f"{rate:.2g}" for rate in rates])
    legend(figure)
    columns = ["pool", "learning rate", "validation accuracy (%)", "test accuracy (%)"]
    return Report(columns, rows, figure, _verdict(results, rates))


def _verdict(results, rates):
    def values(pool, rate, measure="test_accuracy"):
        return results.values(measure, **{"pool": pool, "learning rate": rate})

    def best(pool):  # by validation: the test set chooses nothing
        return max(rates, key=lambda rate: sum(values(pool, rate, "validation_accuracy")))

    token, mean = best("class"), best("mean")
    own = difference(values("class", token), values("mean", mean))
    sentences = [
        f"Each at its own best rate (chosen on held-out images: {token:.2g} and {mean:.2g}), the class token's "
        f"accuracy less the average's is {own.text()} points{_shown(own)}."
    ]
    if {token, mean} & {rates[0], rates[-1]}:
        sentences.append("The best of the rates is at the edge of their range: a better one may lie beyond.")
    if token == mean:
        sentences.append("Both have the same best rate: figure 9's effect does not appear at this size.")
        return " ".join([*sentences, PAPER])
    changes = {
        "mean": difference(values("mean", token), values("mean", mean)),
        "class": difference(values("class", mean), values("class", token)),
    }
    for pool, change in changes.items():
        sentences.append(
            f"Taken to the other's best rate, the {POOLS[pool]} changes by {change.text()} points{_shown(change)}."
        )
    appears = changes["mean"].significant and changes["mean"].mean < 0
    sentences.append(
        "So figure 9's effect, that averaging suffers from the class token's rate, "
        + ("appears." if appears else "does not appear at this size.")
    )
    return " ".join([*sentences, PAPER])


def _shown(gap):
    return "" if gap.significant else ", which may be chance"


POOLING = Experiment(
    "pooling", "Class token or average pooling, at which learning rate?", "ViT paper, figure 9", jobs, report
)
