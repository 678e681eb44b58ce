"""Each experiment's table, figure and sentences, on results made by hand: what they support is said, and no more."""

import io
import json
import math
import warnings
from functools import partial

import numpy as np
import pytest

from tests.lab.helpers import DIVERGED, HALF, NOISE, accuracy, made_up, records, shot_accuracy
from tinyvit.errors import CheckpointError
from tinyvit.lab import figures
from tinyvit.lab.experiment import Results
from tinyvit.lab.figures import dots, line, panels, points
from tinyvit.lab.run import EXPERIMENTS, report_of, table
from tinyvit.lab.statistics import Estimate, t_quantile
from tinyvit.lab.store import Store
from tinyvit.training.probe import SHOTS

TABLE_8 = {  # the paper's, in per cent: without, and at stem, every layer, every layer shared
    "none": (61.382,),
    "1d": (64.206, 63.964, 64.292),
    "2d": (64.001, 64.046, 64.022),
    "relative": (None, 64.032, None),
}


# ---- results, with an effect and without


def position(setting, noise, *, gap=0.3, best=0.0):
    where = (setting["position"], setting["at"])
    return accuracy(0.9 - gap * (where[0] == "none") + best * (where == ("2d", "layers")), noise)


def pooling(setting, noise, *, effect=0.2, shift=4):
    """Accuracy falls off from a best rate, which for the average is `shift` times lower."""
    best = 0.005 / (shift if setting["pool"] == "mean" else 1)
    return accuracy(0.9 - effect * abs(math.log(setting["learning rate"] / best)) / 10, noise)


def norm(setting, noise, *, loss=0.5):
    norms = [(2.0 if setting["norm"] == "pre" else 0.5) ** -i + noise for i in range(setting["depth"])]
    fails = setting["norm"] == "post" and setting["depth"] > 4
    return accuracy(0.9 - loss * fails, noise, gradient_norms=norms)


def scale(setting, noise, *, gain=0.1):
    variance = 1.0 + noise if setting["scale"] == "sqrt" else setting["d"] * (1 + noise)
    fails = setting["scale"] == "none" and setting["d"] > 8
    return accuracy(0.9 - gain * fails, noise, score_variance=variance, entropy=0.5 + noise)


def shape(setting, noise, *, gain=0.01):
    return accuracy(0.8 + gain * (setting["changed"] == "depth") * setting["to"], noise)


def data_size(setting, noise, *, behind=0.1, catches_up=True):
    few = setting["images"] < 1000 or not catches_up
    more = 0.02 * (setting["images"] >= 1000)  # it helps either
    return accuracy(0.9 + more - behind * (setting["model"] == "ViT") * few, noise)


def backbone(setting, noise, *, gain=0.1):
    """The CNN is best, and the hybrid better than the ViT, in equal time alone."""
    ahead = {"hybrid": gain, "CNN": 2 * gain}.get(setting["model"], 0.0) * (setting["equal"] == "time")
    return accuracy(0.6 + ahead, noise, step=2.0 + noise, time=1.1)


def masked(setting, noise, *, gain=0.1):
    value = {"random": 0.6, "masked": 0.6 + gain, "supervised": 0.9}[setting["start"]]
    found = {"accuracy": shot_accuracy(value, noise), "fine_tuned": value + noise}
    return found | ({"first_loss": 2.0 + noise, "last_loss": 1.0 + noise} if setting["start"] == "masked" else {})


def fewshot(setting, noise, *, gain=-0.1):
    accuracies = shot_accuracy(0.8 + gain * (setting["features"] == "trained"), noise)
    return {"accuracy": accuracies, "spread": {count: 0.2 / int(count) for count in accuracies}}


def cost(setting, noise, *, power=2.0, pieces=2.0):
    """All grow by powers, the backward pass of attention by one that is 0.1 higher."""
    grows = {"attention": power, "pieces": pieces, "projections": 1.0}[setting["part"]]
    forward, backward = ((setting["tokens"] / 64) ** each for each in (grows, grows + 0.1 * (grows > 1)))
    return {"forward": 1e-3 * forward * (1 + noise), "backward": 1e-3 * backward * (1 + noise), "megabytes": forward}


def pattern(setting, noise, *, loss=0.1, faster=0.5):
    local, full = setting["attention"] == "local", setting["attention"] == "full"
    return accuracy(0.9 - loss * local, noise, seconds=10.0 * (1 + noise) * (1 if full else 1 - faster))


def bottleneck(setting, noise, *, wall=16, gain=1.0, beyond=17):
    """Without attention shares fall with the length, to none at `wall`; with it they do at `beyond`."""
    none = setting["model"] == "no attention"
    found = {}
    for n in (4, 8, 12, 16, 18, 20, 24, 32):
        share = max(0.0, 1 - (n - 4) / (wall - 4)) if none else gain * (n < beyond)
        found[str(n)] = min(1.0, max(0.0, share)) + noise
    return accuracy(0.5, noise, exact=found)


MADE = {
    "position": position,
    "pooling": pooling,
    "norm": norm,
    "scale": scale,
    "depth-width-patch": shape,
    "data-size": data_size,
    "backbone": backbone,
    "masked": masked,
    "fewshot": fewshot,
    "cost": cost,
    "pattern": pattern,
    "bottleneck": bottleneck,
}
# the sentences of a verdict: words that results with an effect bring, and words that results without it do
SAID = {
    "position": (
        {"gap": 0.3, "best": 0.05},
        [
            "Positions matter: without them accuracy is 30.00 ± 0.23 points lower than with the worst kind.",
            "Some kinds are better than others here: the largest of 45 differences, 2d (layers) over relative "
            "(shared), is 5.00 ± 0.31 points",
            "In the paper, none is 2.6 points below the worst kind, and the kinds differ by up to 0.3",
        ],
        {"gap": 0.0},
        [
            "That positions matter is not shown: the worst kind's accuracy less none's is 0.00 ± 0.23 points.",
            "Between the kinds and places no difference is shown: the largest of 45 differences, ",
        ],
    ),
    "pooling": (
        {},
        [
            "(chosen on held-out images: 0.005 and 0.0013), the class token's accuracy less the average's is "
            "0.00 ± 0.23 points, which may be chance.",
            "the average of the patches changes by -2.77 ± 0.23 points. ",
            "the class token changes by -2.77 ± 0.23 points.",
            "So figure 9's effect, that averaging suffers from the class token's rate, appears.",
        ],
        {"shift": 1},
        ["Both have the same best rate: figure 9's effect does not appear at this size."],
    ),
    "norm": (
        {},
        [
            "With 2 blocks pre-norm's accuracy less post-norm's is 0.00 ± 0.23 points, which does not tell them apart.",
            "With 8 blocks pre-norm's accuracy less post-norm's is 50.00 ± 0.23 points.",
            "with 8 blocks, the first one's gradient is 12",
        ],
        {"loss": 0.0},
        ["With 8 blocks pre-norm's accuracy less post-norm's is 0.00 ± 0.23 points, which does not tell them apart."],
    ),
    "scale": (
        {},
        [
            "From d = 2 to 32, 16 times, the variance of unscaled scores at the start becomes 16.0 ± 0.0 times as "
            "large, that of scaled ones 1.0 ± 0.0 times.",
            "At d = 32 accuracy with the scale less that without is 10.00 ± 0.23 points. Vaswani",
        ],
        {"gain": 0.0},
        ["with the scale less that without is 0.00 ± 0.23 points, which does not tell them apart; training"],
    ),
    "depth-width-patch": (
        {},
        [
            "depth 1 to 8 (7.9 times as much) 7.00 ± 0.35 points, or 2.34 ± 0.12 for each doubling;",
            "patch 4 to 1 (16.8 times as much) 0.00 ± 0.35",
        ],
        {"gain": 0.0},
        ["depth 1 to 8 (7.9 times as much) 0.00 ± 0.35 points, or 0.00 ± 0.12 for each doubling, not shown to differ;"],
    ),
    "data-size": (
        {},
        [
            "with 100 images accuracy of the ViT less that of the other is -10.00 ± 0.23 points; with 1,000 images "
            "accuracy of the ViT less that of the other is 0.00 ± 0.23 points (no difference is shown). "
            "More images help the ViT more, in points and as a ratio: what the ViT gains from them less what the other "
            "gains is 10.00 ± 0.00 points.",
            "With 100 images the ViT gives 2.00 (1.98 to 2.03) times as many wrong answers as the other, with 1,000 "
            "1.00 (1.00 to 1.00) times; the logarithm of the ratio falls by 0.69 ± 0.01.",
        ],
        {"catches_up": False},
        [
            "with 1,000 images accuracy of the ViT less that of the other is -10.00 ± 0.23 points. ",
            "That more images help one of them more is not shown: ",
        ],
    ),
    "backbone": (
        {},
        [
            "The ViT has 39,242 parameters, the others +0.1 to +1.9 %. A step takes so many times as long as the ",
            "ViT's: ViT with a stem 2.0, hybrid 2.0, Swin 2.0, CNN 2.0.",
            "the training is 1.10 to 1.10 times as long.",
            "with equally many steps and 100 images: ViT with a stem 0.00 ± 0.35 (not shown), hybrid 0.00 ± 0.35 (not",
            "with equal time and 1,000 images: ViT with a stem 0.00 ± 0.35 (not shown), hybrid 10.00 ± 0.35, Swin 0.00",
            "equal time with 1,000 images, hybrid, is better than the ViT: by 10.00 ± 0.29 points.",
        ],
        {"gain": 0.0},
        ["with 1,000 images, hybrid, is not shown to be better than the ViT: by 0.00 ± 0.29 points."],
    ),
    "masked": (
        {},
        [
            "the loss goes from 2.00 ± 0.00 to 1.00 ± 0.00 nats.",
            "In the probe of 50 images of each class accuracy from this start less that from no training is "
            "10.00 ± 0.23 points.",
            "After fine-tuning on few labels accuracy from this start less that from no training is 10.00 ± 0.23",
        ],
        {"gain": 0.0},
        ["50 images of each class accuracy from this start less that from no training is 0.00 ± 0.23 points, which"],
    ),
    "fewshot": (
        {},
        [
            "With 5 images of each class, accuracy on learned features less that on pixels is -10.00 ± 0.23 points, "
            "and less that on an untrained ViT's -10.00 ± 0.23 points.",
            "With 50 images of each class, accuracy on learned features less that on pixels is -10.00 ± 0.23 points, ",
            "the standard deviation is 20.0 ± 0.0 points with 1 image of each class, and 0.4 ± 0.0 with 50.",
        ],
        {"gain": 0.0},
        [
            "less that on pixels is 0.00 ± 0.23 points (not shown to differ), and less that on an untrained ViT's "
            "0.00 ± 0.23 points (not shown to differ)."
        ],
    ),
    "cost": (
        {"power": 2.4},
        [
            "From 256 tokens on, attention: forward like T^2.40 ± 0.00, backward like T^2.50 ± 0.00, memory like "
            "T^2.40 ± 0.00; attention, 256 queries at a time: forward like T^2.00 ± 0.00, backward like T^2.10 ± 0.00,",
            "its four projections: forward like T^1.00 ± 0.00, backward like T^1.00 ± 0.00, memory like T^1.00 ± 0.00.",
            "Whole maps take longer because of their size (up to 17 MB): with the same scores in smaller maps, 256 "
            "queries at a time, the exponent is 0.40 ± 0.00 lower.",
            "50,176^2 = 2,517,630,976 scores",
            "196^2 = 38,416, which is 65,536 times fewer",
        ],
        {"power": 1.8},
        [
            "attention: forward like T^1.80 ± 0.00, backward like T^1.90",
            "That large maps take longer is not shown: with smaller ones the exponent is -0.20 ± 0.00 lower.",
        ],
    ),
    "pattern": (
        {},
        [
            "(95 % for all 7 together): lower: local -10.00 ± 0.41 points; not shown to differ: window 0.00 ± 0.41 ",
            "A run's time over that with full attention: shorter: local 0.50 ± 0.00, window",
        ],
        {"loss": 0.0, "faster": 0.0},
        [
            "(95 % for all 7 together): not shown to differ: local 0.00 ± 0.41 points",
            "A run's time over that with full attention: not shown to differ: local 1.00 ± 0.00",
        ],
    ),
    "bottleneck": (
        {},
        [
            "The model without attention has 52,045 parameters, the others -1.1 to +1.5 %.",
            "Length is a wall for one vector: without attention, exact match at 4 symbols less that at 16 is 100.0 ± "
            "0.2 points.",
            "Attention is better at it: exact match at 16 symbols less that without attention, in points (each "
            "interval wide enough for 3 at once): dot 100.0 ± 0.3, additive 100.0 ± 0.3, Transformer 100.0 ± 0.3.",
            "Every model fails beyond the lengths that it was trained on: with 32 symbols, 16 more than any had that "
            "was learned from, exact match is no attention 0.0 ± 0.2, dot 0.0 ± 0.2, additive 0.0 ± 0.2, Transformer "
            "0.0 ± 0.2 %.",
        ],
        {"wall": 1e9, "beyond": 33},
        [
            "Length is not shown to matter to one vector: without attention, exact match at 4 symbols less that at 16 "
            "is 0.0 ± 0.2 points.",
            "That all attention is better is not shown: exact match at 16 symbols",
            "dot 0.0 ± 0.3 (not shown), additive",
            "That every model fails beyond the lengths that it was trained on is not shown: with 32 symbols",
        ],
    ),
}
CLAIMS = (
    "is a wall",
    "Attention is better",
    "Every model fails",
    "is better than the ViT",
    "Positions matter:",
    "Some kinds are better",
    "appears.",
    "help the ViT more",
    "help the CNN more",
    "Whole maps take longer",
    "lower: local",
    "shorter:",
)


def drawn(report):
    """The axes of a figure that was drawn without a warning."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report.figure.savefig(io.BytesIO(), format="png")
    return report.figure.axes


def bars(axes):
    """{label: the half widths of its error bars}, in the plot's units."""
    found = {}
    for container in axes.containers:
        segments = [segment for collection in container[2] for segment in collection.get_segments()]
        halves = [float(np.ptp(segment, axis=0).max() / 2) if len(segment) else math.nan for segment in segments]
        found[container.get_label()] = halves
    return found


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_verdict_says_what_the_numbers_support(name):
    effect, present, no_effect, absent = SAID[name]
    for options, here, elsewhere in ((effect, present, absent), (no_effect, absent, present)):
        verdict = EXPERIMENTS[name].report(made_up(name, partial(MADE[name], **options))).verdict
        for words in here:
            assert words in verdict
        assert not all(words in verdict for words in elsewhere), "it says so whatever the numbers are"


@pytest.mark.parametrize("budget", ["quick", "full"])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_the_table_has_every_setting(name, budget):
    experiment = EXPERIMENTS[name]
    data = "mnist" if budget == "full" and not experiment.texts else experiment.usual_data
    report = experiment.report(made_up(name, MADE[name], data=data, budget=budget))
    jobs = experiment.jobs(data, budget)
    assert len(report.rows) == len(jobs) / {"data-size": 2, "backbone": 5}.get(name, 1)
    assert all(len(row) == len(report.columns) for row in report.rows)
    assert len({tuple(map(str, row)) for row in report.rows}) == len(report.rows)
    assert report.verdict.endswith(".") and "  " not in report.verdict and "nan" not in report.verdict
    if budget == "quick":
        drawn(report)


def test_positions_beside_the_papers():
    report = EXPERIMENTS["position"].report(made_up("position", position))
    places = ("stem", "layers", "shared")
    found = {(kind, at): paper for kind, at, _, paper in report.rows}
    expected = {(kind, at): v for kind, values in TABLE_8.items() for at, v in zip(places, values, strict=False) if v}
    assert {where for where, paper in found.items() if paper} == set(expected)
    for where, value in expected.items():
        assert float(found[where]) == pytest.approx(value, abs=0.0051)
    assert {row[2] for row in report.rows} == {f"60.00 ± {100 * HALF:.2f}", f"90.00 ± {100 * HALF:.2f}"}
    all_of_them, kinds, paper = drawn(report)
    assert len(all_of_them.containers) == len(report.rows) == len(kinds.containers) + 1
    labels = [label.get_text() for label in paper.get_yticklabels()]
    (published,) = paper.lines
    assert dict(zip(labels, published.get_xdata(), strict=True)) == pytest.approx(
        {kind if kind == "none" else f"{kind} ({at})": value for (kind, at), value in expected.items()}
    )
    names = [label.get_text() for label in all_of_them.get_yticklabels()]
    means = [found[0].get_xydata()[0] for found in all_of_them.containers]
    assert dict(zip(names, means, strict=True))["none"] == pytest.approx((60, len(names) - 1))
    assert list(all_of_them.get_yticks()) == [y for _, y in means] == list(range(len(names)))[::-1]


@pytest.mark.parametrize(
    "name",
    ["position", "pooling", "norm", "scale", "depth-width-patch", "data-size", "backbone", "fewshot", "bottleneck"],
)
def test_error_bars_are_the_half_widths_of_the_intervals(name):
    found = [
        h for halves in map(bars, drawn(EXPERIMENTS[name].report(made_up(name, MADE[name])))) for h in halves.values()
    ]
    accuracies = [half for halves in found for half in halves]
    assert np.isclose(accuracies, 100 * HALF, rtol=1e-4).sum() >= 6


def test_the_probe_and_fine_tuning_have_error_bars():
    probed, tuned = map(bars, drawn(EXPERIMENTS["masked"].report(made_up("masked", masked))))
    assert list(probed) == ["no training", "masked patches, no labels", "all labels"]
    for halves in (*probed.values(), *tuned.values()):
        assert halves == pytest.approx([100 * HALF] * len(halves), rel=1e-4)
    assert [len(halves) for halves in probed.values()] == 3 * [len(SHOTS)] and len(tuned) == 3


def test_lines_go_through_the_means():
    (axes,) = drawn(EXPERIMENTS["pooling"].report(made_up("pooling", pooling)))
    for container in axes.containers:
        xy = container[0].get_xydata()
        pool = {"class token": "class", "average of the patches": "mean"}[container.get_label()]
        expected = [100 * pooling({"pool": pool, "learning rate": x}, 0.0)["test_accuracy"] for x in xy[:, 0]]
        np.testing.assert_allclose(xy[:, 1], expected)


def test_a_rate_is_chosen_on_held_out_images_not_on_the_test_images():
    def misleading(setting, noise):
        held_out = pooling(setting, noise)["validation_accuracy"]
        return {"validation_accuracy": held_out, "test_accuracy": 1 - held_out + noise}

    verdict = EXPERIMENTS["pooling"].report(made_up("pooling", misleading)).verdict
    assert "0.005 and 0.0013" in verdict and "does not appear" in verdict


def test_figure_9_is_about_the_average_at_the_class_tokens_rate():
    def other_way_round(setting, noise):
        flat = 0.9 - 0.001 * (setting["learning rate"] != 0.00125)
        return accuracy(flat, noise) if setting["pool"] == "mean" else pooling(setting, noise)

    verdict = EXPERIMENTS["pooling"].report(made_up("pooling", other_way_round)).verdict
    assert "the class token changes by -2.77" in verdict
    assert "does not appear at this size" in verdict


@pytest.mark.parametrize(("shift", "said"), [(16, True), (8, False), (0.25, True), (0.5, False)])
def test_a_best_rate_at_the_edge_of_the_range_is_said_to_be_there(shift, said):
    verdict = EXPERIMENTS["pooling"].report(made_up("pooling", partial(pooling, shift=shift))).verdict
    assert ("a better one may lie beyond" in verdict) == said


def test_the_other_way_round_more_images_help_the_convolutional_network():
    def falling_behind(setting, noise):
        return accuracy(0.9 - 0.1 * (setting["model"] == "ViT") * (setting["images"] == 1000), noise)

    verdict = EXPERIMENTS["data-size"].report(made_up("data-size", falling_behind)).verdict
    assert "More images help the CNN more, in points and as a ratio: " in verdict and "is -10.00" in verdict


def test_a_gap_that_closes_as_accuracy_nears_its_end_is_none_that_more_images_close():
    """All errors become a fifth: the ViT gains more points, and gives twice as many wrong answers as before."""

    def ceiling(setting, noise):
        wrong = 0.1 * (1 + (setting["model"] == "ViT")) / (5 if setting["images"] == 1000 else 1)
        return accuracy(1 - wrong * (1 + noise * (1 + setting["images"] / 1000)), 0)

    report = EXPERIMENTS["data-size"].report(made_up("data-size", ceiling))
    assert "More images help the ViT more in points, not shown as a ratio: " in report.verdict
    assert "what the other gains is 8.00" in report.verdict
    assert [row[-1] for row in report.rows] == 3 * ["2.00 (2.00 to 2.00)"]


def test_who_makes_no_mistake_has_no_ratio():
    made = made_up("data-size", lambda setting, noise: accuracy(1.0 if setting["model"] == "CNN" else 0.9))
    report = EXPERIMENTS["data-size"].report(made)
    drawn(report)
    assert "unknown times as many" in report.verdict and {row[-1] for row in report.rows} == {"unknown"}
    assert not any(claim in report.verdict for claim in CLAIMS)


def test_a_gap_between_kinds_that_noise_may_make_is_not_told():
    results = made_up("position", partial(position, best=0.002))
    verdict = EXPERIMENTS["position"].report(results).verdict
    assert "Between the kinds and places no difference is shown" in verdict and "0.20 ± 0.31 points" in verdict


def test_positions_that_hurt_do_not_matter():
    verdict = EXPERIMENTS["position"].report(made_up("position", partial(position, gap=-0.05))).verdict
    assert "That positions matter is not shown: the worst kind's accuracy less none's is -5.00" in verdict


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_with_one_seed_nothing_is_claimed(name):
    report = EXPERIMENTS[name].report(made_up(name, MADE[name], seeds=1))
    assert not any(claim in report.verdict for claim in CLAIMS) and "±" not in report.verdict
    assert not any("±" in str(word) or "inf" in str(word) for row in report.rows for word in row)
    for axes in drawn(report):
        assert all(math.isnan(half) for halves in bars(axes).values() for half in halves), (
            "no interval is not a short one"
        )


def part_diverged(name, every):
    """Results in which all runs diverged, or those of one seed."""
    made = records(name, MADE[name])
    return [r | {"result": DIVERGED} if every or r["seed"] == 1 else r for r in made]


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name != "cost"])  # there nothing is trained
def test_with_runs_that_diverged_nothing_breaks_and_nothing_is_claimed(name, every):
    made = part_diverged(name, every)
    report = EXPERIMENTS[name].report(Results(made))
    drawn(report)
    assert not any(claim in report.verdict for claim in CLAIMS) and "nan" not in report.verdict
    assert not any("nan" in str(word) for row in report.rows for word in row)
    text = table(report, made, "About.")
    count = len({r["key"] for r in made if r["result"] == DIVERGED})
    assert f"\nOf the runs {count} diverged: test accuracy counts as that of guessing, " in text


@pytest.mark.parametrize("name", ["pooling", "norm"])
def test_the_table_says_how_many_diverged(name):
    rows = EXPERIMENTS[name].report(Results(part_diverged(name, False))).rows
    assert all(row[-1].endswith(", 1 diverged") for row in rows)
    assert not any("diverged" in row[-1] for row in EXPERIMENTS[name].report(made_up(name, MADE[name])).rows)


# ---- results and figures


def test_values_are_in_the_order_of_the_seeds_and_of_their_setting():
    results = Results(list(reversed(records("fewshot", fewshot))))
    assert results.values(lambda r: r["accuracy"]["5"], features="pixels") == [0.8 + noise for noise in NOISE]
    assert results.values(lambda r: r["accuracy"]["5"], features="trained") == pytest.approx([0.699, 0.7, 0.701])
    assert results.estimate(lambda r: r["accuracy"]["5"], features="pixels").half == pytest.approx(HALF)
    assert Results(records("norm", norm)).settings("depth") == [(2,), (4,), (8,)]
    with pytest.raises(KeyError):
        results.values("no such measure", features="pixels")


def test_what_a_diverged_run_lacks_is_unknown():
    results = Results(part_diverged("norm", False))
    assert results.diverged(norm="pre", depth=2) == 1 and results.diverged(norm="pre") == 3
    found = results.values("gradient_norms", norm="pre", depth=2)
    assert found[0] and math.isnan(found[1]) and found[2]
    assert results.values("test_accuracy", norm="pre", depth=2)[1] == 0.1


def test_the_table_has_the_gradients_of_the_first_and_the_last_block():
    rows = EXPERIMENTS["norm"].report(made_up("norm", norm)).rows
    assert rows[2][:4] == ["pre-norm", 8, "1.00 ± 0.00", "0.01 ± 0.00"]
    assert rows[5][:4] == ["post-norm", 8, "1.00 ± 0.00", "128.00 ± 0.00"]


def test_exponents_are_fitted_to_long_sequences_alone():
    def calls_cost_most(setting, noise):
        tokens = setting["tokens"]
        forward = {64: 1.0, 128: 1.0, 256: 3.0}.get(tokens, tokens / 256) * (1 + noise)
        return {"forward": forward, "backward": tokens / 128, "megabytes": tokens}

    report = EXPERIMENTS["cost"].report(made_up("cost", calls_cost_most))
    expected = np.polyfit(np.log([256, 512, 1024]), np.log([3, 2, 4]), 1)[0]
    assert f"attention: forward like T^{expected:.2f} ± 0.00, backward like T^1.00 ± 0.00, memory " in report.verdict
    assert report.rows[2] == ["attention", "256", "3000.00 ± 7.45", "2000.00 ± 0.00", "256.0 ± 0.0"]


def test_an_interval_on_the_plot():
    figure, (axes,) = panels(1)
    line(axes, [1, 2], [Estimate(0.5, 0.1, 3), Estimate(0.6, math.inf, 1)], "here", 1)
    line(axes, [1, 2], [Estimate(5, 1, 3), Estimate(6, 2, 3)], "there", 2, factor=1)
    assert bars(axes)["here"][0] == pytest.approx(10) and math.isnan(bars(axes)["here"][1])
    assert bars(axes)["there"] == pytest.approx([1, 2])
    here, there = (container[0] for container in axes.containers)
    assert list(here.get_ydata()) == [50, 60] and list(there.get_ydata()) == [5, 6]
    assert here.get_color() != there.get_color()
    figure.draw_without_rendering()
    shift = there.get_transform().transform((1, 5)) - axes.transData.transform((1, 5))
    assert shift == pytest.approx((2 * figures.APART / 72 * figure.dpi, 0)), "side by side"


def test_dots_are_the_single_values_where_their_line_is():
    figure, (axes,) = panels(1)
    line(axes, [1, 2], [Estimate(0.5, 0.1, 2), Estimate(0.7, 0.1, 2)], "here", 2)
    dots(axes, [1, 2], [[0.4, 0.6], [0.7, 0.7]], 2)
    (drawn,) = single(axes)
    assert drawn.get_xydata().tolist() == [[1, 40], [1, 60], [2, 70], [2, 70]]
    figure.draw_without_rendering()
    ((means, *_),) = axes.containers
    places = [found.get_transform().transform((1, 50)) for found in (means, drawn)]
    assert places[1] - places[0] == pytest.approx((figures.BESIDE / 72 * figure.dpi, 0))
    assert means.get_color() == drawn.get_color() and drawn.get_alpha() < 1


def single(axes):
    """The dots of single seeds: a row of them for each line, or for each name."""
    return [found for found in axes.lines if found.get_marker() == "o" and found.get_linestyle() == "None"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_seed_is_a_dot(name):
    """As many as intervals, three times; and every mean is that of its dots."""
    for axes in drawn(EXPERIMENTS[name].report(made_up(name, MADE[name]))):
        rows = [found for found in single(axes) if len(found.get_xdata()) > 1]
        means = [container[0] for container in axes.containers]
        assert len(rows) == len(means)
        for row, mean in zip(rows, means, strict=True):
            assert row.get_color() == mean.get_color()
            measured = int(len(axes.containers) == len(axes.get_legend_handles_labels()[0]))  # else it has names
            values = row.get_xydata()[:, measured].reshape(-1, 3)
            np.testing.assert_allclose(values.mean(axis=1), mean.get_xydata()[:, measured])


def test_a_model_has_one_colour_in_all_figures():
    found = {}
    for name in ("data-size", "backbone", "masked", "fewshot"):
        for axes in drawn(EXPERIMENTS[name].report(made_up(name, MADE[name]))):
            for container in axes.containers:
                found.setdefault(container.get_label(), set()).add(container[0].get_color())
    assert all(len(colours) == 1 for label, colours in found.items() if not label.startswith("_"))
    assert found["no training"] == found["an untrained ViT"] != found["all labels"]
    assert found["ViT"] == found["all labels"] == found["a ViT trained on other classes"]


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name not in ("position", "pattern")])
def test_the_legend_hides_nothing(name):
    """It is the figure's, above all plots; that of a plot would lie over its lines."""
    report = EXPERIMENTS[name].report(made_up(name, MADE[name]))
    (legend,) = report.figure.legends
    plots = drawn(report)
    assert not any(axes.get_legend() for axes in plots)
    assert [text.get_text() for text in legend.get_texts()] == [c.get_label() for c in plots[0].containers]
    assert all(legend.get_window_extent().y0 >= axes.get_window_extent().y1 for axes in plots)


def test_lines_for_comparison_grow_like_powers():
    _, (axes,) = panels(1)
    figures.power(axes, [2, 4, 8], 3.0, 2)
    figures.power(axes, [2, 4, 8], 3.0, 1)
    assert [each.get_ydata().tolist() for each in axes.lines] == [[3, 12, 48], [3, 6, 12]]
    assert [text.get_text() for text in axes.texts] == ["T^2", "T"]


@pytest.mark.parametrize(("name", "panel"), [("norm", 1), ("data-size", 0), ("scale", 0), ("cost", 0), ("cost", 2)])
def test_what_spans_powers_of_ten_is_on_a_logarithmic_axis(name, panel):
    assert drawn(EXPERIMENTS[name].report(made_up(name, MADE[name])))[panel].get_yscale() == "log"


def test_the_bottlenecks_figure_has_every_seed():
    (axes,) = drawn(EXPERIMENTS["bottleneck"].report(made_up("bottleneck", bottleneck)))
    assert list(bars(axes)) == ["no attention", "dot", "additive", "Transformer"]
    for of_model, name in zip(single(axes), bars(axes), strict=True):
        expected = [bottleneck({"model": name}, noise)["exact"] for noise in NOISE]
        heights = [100 * found[n] for n in expected[0] for found in expected]
        np.testing.assert_allclose(of_model.get_ydata(), heights)
        assert [str(int(x)) for x in of_model.get_xdata()] == [n for n in expected[0] for _ in NOISE]


def test_points_are_beside_their_names():
    _, (axes,) = panels(1)
    points(axes, ["a", "b"], [[0.4, 0.6], [0.6, 0.6]], numbers=[0, 1])
    places = {label.get_text(): place for label, place in zip(axes.get_yticklabels(), axes.get_yticks(), strict=True)}
    means = [found[0].get_xydata()[0].tolist() for found in axes.containers]
    assert means == [[50, places["a"]], [60, places["b"]]] and places["a"] > places["b"], "the first on top"
    assert list(bars(axes).values()) == [[pytest.approx(100 * t_quantile(1, 0.95) * 0.1)], [0]]
    below = [places[name] - figures.BELOW for name in "aabb"]
    assert [(x, y) for found in single(axes)[1::2] for x, y in found.get_xydata()] == list(
        zip([40, 60, 60, 60], below, strict=True)
    )


@pytest.mark.parametrize("name", ["x", "y"])
def test_an_axis_of_accuracies_ends_where_they_do(name):
    _, axes = panels(2)
    for each, limits, expected in zip(axes, ((-300, 400), (90, 95)), ((-1, 101), (90, 95)), strict=True):
        each.set(**{f"{name}lim": limits})
        figures.accuracy_axis(each, "accuracy", name)
        assert getattr(each, f"get_{name}lim")() == expected
        assert getattr(each, f"get_{name}label")() == "accuracy"


# ---- the table in Markdown


def test_the_table_in_markdown():
    made = records("depth-width-patch", shape)
    text = table(EXPERIMENTS["depth-width-patch"].report(Results(made)), made, "About this.")
    lines = text.splitlines()
    assert lines[0] == "About this." and lines[1] == ""
    assert lines[2] == "| changed | to | multiply-adds (M) | test accuracy (%) |" and lines[3] == "|---|---|---|---|"
    assert lines[4] == f"| depth | 1 | 0.23 | 81.00 ± {100 * HALF:.2f} |"
    assert [line.count("|") for line in lines[2:19]] == 17 * [5] and lines[19] == ""
    runs = len({record["key"] for record in made})
    assert runs < len(made), "the unchanged model stands in several series"
    assert lines[-1] == f"{runs} runs, {2 * runs} seconds of one core in all; a machine."
    assert text.endswith("\n") and "diverged" not in text


@pytest.mark.parametrize(
    "result", [{}, {"accuracy": []}, {"accuracy": {"1": "x"}}, {"accuracy": 3}, {"accuracy": None}]
)
def test_a_result_that_no_run_gives(tmp_path, result):
    found = records("fewshot", fewshot)
    found[4]["result"] = result
    with pytest.raises(CheckpointError) as caught:
        report_of(EXPERIMENTS["fewshot"], found, tmp_path / "results.jsonl")
    assert str(caught.value).startswith(f"{tmp_path / 'results.jsonl'} has a result that no run of fewshot gives (")
    assert str(caught.value).endswith("): move the file away, and give the same command again")


RECORD = records("fewshot", fewshot)[0]


@pytest.mark.parametrize("changed", [{"key": []}, {"result": []}, {"result": None}, {"seed": "1"}, {"data": 3}])
def test_a_record_that_is_none_is_passed_over(tmp_path, changed):
    lines = [json.dumps(RECORD | changed), "[" * 100_000, '{"key": 1}', "[]", "NaN", json.dumps(RECORD)]
    (tmp_path / "results.jsonl").write_text("\n".join(lines))
    assert list(Store(tmp_path / "results.jsonl", "digits").records.values()) == [RECORD]
