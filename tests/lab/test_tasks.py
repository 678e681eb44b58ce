"""What a run does: it is the training that a user would start, on the images that it may see, and on no others."""

import dataclasses
import itertools
import math

import numpy as np
import pytest

from tests.lab.helpers import DIVERGED, SHORT
from tests.training.helpers import CONFIG, RECIPE, toy
from tinyvit import trees
from tinyvit.data import Pixels
from tinyvit.data.text import read_text
from tinyvit.errors import DivergedError
from tinyvit.lab import bottleneck as bottlenecks
from tinyvit.lab import cost as costs
from tinyvit.lab import equal as equals
from tinyvit.lab import fewshot as fewshots
from tinyvit.lab import masked as masking
from tinyvit.lab import pattern as patterned
from tinyvit.lab import train as trains
from tinyvit.lab import worker as tasks
from tinyvit.lab.job import task_data
from tinyvit.lab.train import some
from tinyvit.lab.worker import do
from tinyvit.models.masked import MaskedConfig, encoder_of
from tinyvit.models.seq2seq import AttentionConfig
from tinyvit.models.vit import vit, vit_backward, vit_init
from tinyvit.models.writing import write_seq2seq
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward
from tinyvit.ops.tokens import END, PADDING
from tinyvit.training import probe as probes
from tinyvit.training.features import features_of
from tinyvit.training.loop import fit
from tinyvit.training.probe import SHOTS, drawn, probe
from tinyvit.training.recipe import Recipe

VIT = {"model": "vit", "config": dataclasses.asdict(CONFIG), "recipe": dataclasses.asdict(RECIPE), "images": None}
TEN = dataclasses.replace(CONFIG, image=4, classes=10, dim=8)


def ten(train=600, test=50):
    """Random images of ten classes."""
    rng = np.random.default_rng(0)
    return [(rng.standard_normal((n, 4, 4, 1), dtype=np.float32), np.arange(n) % 10) for n in (train, test)]


class Spy:
    """A function that remembers what it was called with."""

    def __init__(self, function):
        self.function, self.calls = function, []

    def __call__(self, *arguments, **named):
        self.calls.append((arguments, named))
        return self.function(*arguments, **named)


def holds(images, among):
    """Whether all images are among these."""
    there = {image.tobytes() for image in among}
    return all(image.tobytes() in there for image in images)


# ---- train


@pytest.mark.parametrize("seed", [0, 3])
def test_train_is_fit_on_a_part_of_the_images(seed):
    (x, y), test = toy()
    found = do("train", ((x, y), test), VIT | {"images": 20}, seed)
    few = some(seed, len(x), 20)
    p, history = fit(CONFIG, ((x[few], y[few]), test), recipe=RECIPE, seed=seed, workers=1, progress=False)
    assert found.pop("seconds") > 0
    assert found == {
        "test_accuracy": history[-1]["test_accuracy"],
        "validation_accuracy": [r for r in history if r["kind"] == "epoch"][-1]["validation_accuracy"],
        "parameters": trees.count(p),
    }


def test_some_images_are_nested_parts_drawn_at_random():
    parts = [some(1, 100, wanted) for wanted in (10, 30, 99, 100, None)]
    for part, count in zip(parts, (10, 30, 99, 100, 100), strict=True):
        assert len(set(part)) == len(part) == count and (np.diff(part) > 0).all()
    assert all(set(small) < set(large) for small, large in itertools.pairwise(parts[:4]))
    assert list(parts[0]) == sorted(np.random.default_rng([1, 3]).permutation(100)[:10]), "or kept results would lie"
    assert set(parts[0]) != set(range(10)) != set(some(2, 100, 10)) != set(parts[0])


def test_gradient_norms_are_those_of_the_loss_before_the_first_step():
    """Along its own direction a gradient is the derivative of the loss: by central differences, in float64."""
    data = toy(train=130)
    (x, y), _ = data
    found = do("train", data, VIT | {"gradients": True}, 3)
    assert do("train", data, VIT, 3).keys() == found.keys() - {"gradient_norms", "entropy", "score_variance"}
    p, x, y = _at_the_start(3), x[: trains.PROBED].astype(np.float64), y[: trains.PROBED]

    def loss(p):
        return cross_entropy(vit(x, p, CONFIG)[0], y)[0]

    logits, c = vit(x, p, CONFIG)
    _, g = vit_backward(cross_entropy_backward(1.0, cross_entropy(logits, y)[1]), p, c, CONFIG)
    assert len(found["gradient_norms"]) == CONFIG.depth
    for i, norm in enumerate(found["gradient_norms"]):
        direction = trees.map(lambda leaf, norm=norm: leaf / norm, g["blocks"][i])
        up, down = (
            loss(p | {"blocks": [_moved(b, direction, step) if j == i else b for j, b in enumerate(p["blocks"])]})
            for step in (1e-4, -1e-4)
        )
        assert (up - down) / 2e-4 == pytest.approx(norm, rel=1e-3)


def _at_the_start(seed):
    """The untrained model in float64; its head is random, since a head of zeros passes no gradient on."""
    p = vit_init(np.random.default_rng(seed), CONFIG)
    w = p["head"]["w"]
    assert not w.any()
    head = np.random.default_rng([seed, 3]).standard_normal(w.shape) / math.sqrt(CONFIG.dim)
    p = trees.map(lambda leaf: leaf.astype(np.float64), p)
    return p | {"head": p["head"] | {"w": head.astype(np.float32).astype(np.float64)}}


def _moved(block, direction, step):
    return trees.map(lambda leaf, along: leaf + step * along, block, direction)


@pytest.mark.parametrize("scale", ["sqrt", "none"])
def test_what_attention_is_like_before_the_first_step(scale):
    config = dataclasses.replace(CONFIG, scale=scale)
    data = toy(train=130)
    arguments = VIT | {"config": dataclasses.asdict(config), "gradients": True}
    found = do("train", data, arguments, 3)
    p = _at_the_start(3)
    _, c = vit(data[0][0][: trains.PROBED].astype(np.float64), p, config)
    att = c["blocks"][0]["msa"]["att"]
    q, k = (np.asarray(att[name]) for name in "qk")
    scores = np.einsum("bhqd,bhkd->bhqk", q, k)
    a = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    T = config.tokens
    assert found["score_variance"] == pytest.approx(((scores - scores.mean(-1, keepdims=True)) ** 2).mean(), rel=1e-3)
    assert found["entropy"] == pytest.approx(-(a * np.log(a)).sum() / (a.size / T) / np.log(T), rel=1e-4)


def test_the_scale_divides_the_variance_by_the_width_of_a_head():
    found = [
        do("train", toy(), VIT | {"gradients": True, "config": VIT["config"] | {"scale": scale}}, 3)["score_variance"]
        for scale in ("none", "sqrt")
    ]
    assert found[0] / found[1] == pytest.approx(CONFIG.dim / CONFIG.heads, rel=1e-4)


def test_a_run_that_diverges_guesses_and_keeps_what_was_measured_before(monkeypatch):
    """As the commonest class would: of the toy's test images."""

    def diverging(*args, **options):
        raise DivergedError("the loss is nan")

    whole = do("train", toy(), VIT | {"gradients": True}, 0)
    monkeypatch.setattr(trains, "fit", diverging)
    found = do("train", toy(), VIT | {"gradients": True}, 0)
    chance = np.bincount(toy()[1][1]).max() / len(toy()[1][1])
    assert {name: found[name] for name in DIVERGED} == DIVERGED | dict.fromkeys(list(DIVERGED)[:2], chance)
    assert found["gradient_norms"] == whole["gradient_norms"] and found["entropy"] == whole["entropy"]


def test_another_task_that_diverges_knows_nothing(monkeypatch):
    def diverging(data, seed):
        raise DivergedError("the loss is nan")

    monkeypatch.setitem(tasks.TASKS, "masked", diverging)
    assert do("masked", None, {}, 0) == {"diverged": True}


# ---- probing


def test_the_probe_is_ridge_regression_by_hand():
    rng = np.random.default_rng(0)
    labels, answers = np.arange(60) % 3, np.arange(30) % 3
    centres = 1.2 * rng.standard_normal((3, 4))
    features, test = (centres[part] + rng.standard_normal((len(part), 4)) for part in (labels, answers))
    found = probe(features, labels, test, answers, 5)
    assert list(found) == [str(count) for count in SHOTS]
    for count in SHOTS:
        few = np.concatenate([_shots(labels, count, 5, k) for k in range(3)])
        if count >= 20:
            assert sorted(few) == list(range(60)), "all, where there are no more"
        x, t = features[few], np.where(labels[few][:, None] == np.arange(3), 1.0, -1.0)
        a, b = x - x.mean(0), t - t.mean(0)
        weight = np.linalg.inv(a.T @ a + 0.1 * (a**2).sum() / len(a) * np.eye(4)) @ a.T @ b
        guess = ((test - x.mean(0)) @ weight + t.mean(0)).argmax(-1)
        assert found[str(count)] == pytest.approx((guess == answers).mean())
    assert found != probe(features, labels, test, answers, 6)


def _shots(labels, count, seed, k):
    """The draws are in the order of the classes."""
    rng = np.random.default_rng([seed, 4, count])
    for each in range(k + 1):
        found = rng.permutation(np.flatnonzero(labels == each))[:count]
    return found


def test_drawn_are_as_many_of_each_class_as_any_probe_takes():
    labels = np.repeat([0, 1, 2], [100, 30, 200])
    few = drawn(labels, 1)
    assert np.bincount(labels[few]).tolist() == [max(SHOTS), 30, max(SHOTS)]
    assert list(few) == list(drawn(labels, 1)) != list(drawn(labels, 2))


# ---- fewshot


@pytest.mark.parametrize("kind", ["pixels", "random", "trained"])
def test_fewshot_never_learns_from_the_new_classes(monkeypatch, kind):
    data = ten()
    (x, y), (x_test, y_test) = data
    five = dataclasses.replace(TEN, classes=5)
    spies = {name: Spy(getattr(fewshots, name)) for name in ("fit", "features_of")} | {"probe": Spy(probe)}
    for name, spy in spies.items():
        monkeypatch.setattr(probes if name == "probe" else fewshots, name, spy)
    recipe = dataclasses.asdict(RECIPE)
    arguments = {"model": "vit", "config": dataclasses.asdict(five), "recipe": recipe, "images": 40, "features": kind}
    found = do("fewshot", data, arguments | {"draws": 3}, 1)
    assert list(found) == ["accuracy", "spread"]
    assert all(list(each) == [str(count) for count in SHOTS] for each in found.values())
    assert len(spies["fit"].calls) == (kind == "trained")
    for (config, (learned, tested)), named in spies["fit"].calls:
        assert config == five and named["seed"] == 1 and named["recipe"] == RECIPE and "p" not in named
        assert set(learned[1]) | set(tested[1]) == set(range(5)) and len(learned[1]) == 40
        assert holds(learned[0], x[y < 5]) and holds(tested[0], x_test[y_test < 5])
    for (pictures, *_), _ in spies["features_of"].calls:
        assert holds(pictures, np.concatenate([x[y >= 5], x_test[y_test >= 5]]))
    probed = [arguments for arguments, _ in spies["probe"].calls]
    assert [seed for *_, seed in probed] == [3, 4, 5], "draws that no other seed has"
    shares = [probe(*arguments) for arguments in probed]
    for count in map(str, SHOTS):
        of_count = [each[count] for each in shares]
        assert found["accuracy"][count] == pytest.approx(np.mean(of_count))
        assert found["spread"][count] == pytest.approx(np.std(of_count, ddof=1))
    features, labels, test, answers, _ = probed[1]
    assert set(labels) == set(range(5)) and len(features) == len(labels) == 250
    assert list(answers) == list(y_test[y_test >= 5] - 5) and len(test) == 25
    if kind == "pixels":
        few = np.flatnonzero(y >= 5)[drawn(y[y >= 5], 4)]
        assert (features == x[few].reshape(250, 16)).all() and list(labels) == list(y[few] - 5)
        assert (test == x_test[y_test >= 5].reshape(25, 16)).all()
    if kind == "random":
        p = vit_init(np.random.default_rng(1), five)
        np.testing.assert_allclose(test, features_of(x_test[y_test >= 5], p, five), rtol=1e-5, atol=1e-6)


# ---- masked


@pytest.mark.parametrize("start", ["random", "masked", "supervised"])
def test_the_starts_of_masked(monkeypatch, start):
    data = ten()
    (x, y), test = data
    spies = {name: Spy(getattr(masking, name)) for name in ("fit", "features_of")} | {"probe": Spy(probe)}
    for name, spy in spies.items():
        monkeypatch.setattr(probes if name == "probe" else masking, name, spy)
    tuning = dataclasses.replace(SHORT, epochs=2)
    recipe = dataclasses.replace(SHORT, epochs=3)
    arguments = {"model": "vit", "config": dataclasses.asdict(TEN), "recipe": dataclasses.asdict(recipe)}
    arguments |= {"images": 120, "start": start, "labelled": 30, "tuning": dataclasses.asdict(tuning), "draws": 2}
    found = do("masked", data, arguments, 2)
    few = some(2, 600, 120)
    x, y = x[few], y[few]

    p, losses = vit_init(np.random.default_rng(2), TEN), {}
    if start == "masked":
        whole = dataclasses.replace(recipe, validation=0.0)
        p, history = fit(MaskedConfig(TEN), ((x, y), test), recipe=whole, seed=2, workers=1, progress=False)
        p = encoder_of(p, MaskedConfig(TEN), np.random.default_rng(2))
        steps = [record["loss"] for record in history if record["kind"] == "step"]
        losses = {"first_loss": steps[0], "last_loss": steps[-1]}
    elif start == "supervised":
        p, _ = fit(TEN, ((x, y), test), recipe=recipe, seed=2, workers=1, progress=False)
    mine = some(2, 120, 30)
    fresh = p | {"head": trees.map(np.zeros_like, p["head"])}
    _, history = fit(TEN, ((x[mine], y[mine]), test), p=fresh, recipe=tuning, seed=2, workers=1, progress=False)
    assert found["fine_tuned"] == history[-1]["test_accuracy"]
    assert {name: value for name, value in found.items() if name.endswith("loss")} == losses

    first = {"random": [], "masked": [MaskedConfig(TEN)], "supervised": [TEN]}[start]
    assert [arguments[0] for arguments, _ in spies["fit"].calls] == [*first, TEN]
    probed = [arguments for arguments, _ in spies["probe"].calls]
    assert [seed for *_, seed in probed] == [4, 5], "draws that no other seed has"
    seen, labels, unseen, answers, _ = probed[0]
    few = drawn(y, 4)
    for features, pictures in ((seen, x[few]), (unseen, test[0])):
        _, c = vit(pictures, p, TEN, all_rows=True)
        np.testing.assert_allclose(features, c["readout"]["class_row"]["z"][:, 1:].mean(axis=1), rtol=1e-4, atol=1e-5)
    assert list(labels) == list(y[few]) and list(answers) == list(test[1])
    shares = [probe(*arguments)["5"] for arguments in probed]
    assert found["accuracy"]["5"] == pytest.approx(np.mean(shares))
    assert found["spread"]["5"] == pytest.approx(np.std(shares, ddof=1))


# ---- cost


@pytest.mark.parametrize(
    ("part", "both", "times"), [("attention", "attention", 1), ("pieces", "attention", 2), ("projections", "linear", 4)]
)
def test_cost_is_of_either_pass(monkeypatch, part, both, times):
    spies = [Spy(getattr(costs, name)) for name in (both, f"{both}_backward")]
    for spy, name in zip(spies, (both, f"{both}_backward"), strict=True):
        monkeypatch.setattr(costs, name, spy)
    monkeypatch.setattr(costs, "TOKENS", {"full": (16,)})
    do("cost", None, {"part": part, "tokens": 512, "repeats": 3}, 0)
    assert [len(spy.calls) for spy in spies] == [times * 5] * 2  # once before, and once for memory
    spies[0].calls.clear()
    do("cost", None, {"part": "projections" if part == "projections" else "attention", "tokens": 8, "repeats": 3}, 0)
    assert len(spies[0].calls) == (4 if part == "projections" else 1) * (3 * 2 + 2), "short ones are timed together"


def test_the_scores_in_pieces_are_the_whole(monkeypatch):
    """The same queries, keys and values, and the same gradient; what is timed is all of it."""
    found = {}
    for part in ("attention", "pieces"):
        spies = {name: Spy(getattr(costs, name)) for name in ("attention", "attention_backward")}
        for name, spy in spies.items():
            monkeypatch.setattr(costs, name, spy)
        monkeypatch.setattr(costs, "TOKENS", {"full": (16,)})
        do("cost", None, {"part": part, "tokens": 512, "repeats": 1}, 3)
        monkeypatch.undo()
        count = len(spies["attention"].calls) // 3  # of one time
        inputs = [arguments for arguments, _ in spies["attention"].calls[:count]]
        gradients = [dy for (dy, _), _ in spies["attention_backward"].calls[:count]]
        found[part] = [np.concatenate([each[0] for each in inputs], axis=-2), *inputs[0][1:]]
        found[part].append(np.concatenate(gradients, axis=-2))
    for whole, pieces in zip(found["attention"], found["pieces"], strict=True):
        np.testing.assert_array_equal(whole, pieces)


def test_cost_is_the_least_of_several_times(monkeypatch):
    seconds = iter([9, 9, 5, 8, 7, 2, 6, 4, 9, 9])  # the first and the last are not counted
    monkeypatch.setattr(costs, "_timed", lambda pieces: np.array([next(seconds), next(seconds)], float))
    monkeypatch.setattr(costs, "TOKENS", {"full": (16,)})
    found = do("cost", None, {"part": "projections", "tokens": 16, "repeats": 3}, 0)
    assert (found["forward"], found["backward"]) == (5, 2)


@pytest.mark.parametrize("part", ["attention", "pieces", "projections"])
def test_cost_is_a_time_and_a_memory_that_grow(part):
    sizes = (256, 1024) if part == "pieces" else (64, 512)
    found = [do("cost", None, {"part": part, "tokens": tokens, "repeats": 2}, 0) for tokens in sizes]
    assert all(each.keys() == {"forward", "backward", "megabytes"} for each in found)
    power = math.log(found[1]["megabytes"] / found[0]["megabytes"]) / math.log(sizes[1] / sizes[0])
    assert power == pytest.approx({"attention": 1.95, "pieces": 1.0, "projections": 0.85}[part], abs=0.15)
    for each in ("forward", "backward"):
        assert found[1][each] > 2 * found[0][each] > 0
    expected = {"attention": 512 * 512 * 4, "pieces": 256 * 1024 * 4, "projections": 512 * 64}[part] * 4 / 1e6
    assert expected < found[1]["megabytes"]


# ---- backbone


def test_backbone_by_steps_is_train():
    data = toy()
    found, expected = do("backbone", data, VIT, 1), do("train", data, VIT, 1)
    assert found.pop("seconds") > 0 and expected.pop("seconds") > 0
    assert found == expected | {"epochs": RECIPE.epochs, "step": 1.0, "time": 1.0}


@pytest.mark.parametrize(("times", "epochs"), [(0.5, 8), (1.4, 3), (4.0, 1), (100.0, 1)])
def test_backbone_by_time_has_fewer_epochs_the_longer_a_step_takes(monkeypatch, times, epochs):
    data, other = toy(), {"model": "vit", "config": dataclasses.asdict(TEN)}
    spy = Spy(lambda *pair: times)
    monkeypatch.setattr(equals, "times_as_long", spy)
    arguments = VIT | {"recipe": dataclasses.asdict(dataclasses.replace(RECIPE, epochs=4))}
    found = do("backbone", data, arguments | {"as_long_as": other}, 1)
    assert spy.calls == [((CONFIG, TEN, Recipe.from_dict(arguments["recipe"])), {})]
    assert (found["epochs"], found["step"], found["time"]) == (epochs, times, pytest.approx(times * epochs / 4))
    arguments["recipe"]["epochs"] = epochs
    expected = do("train", data, arguments, 1)
    assert found["test_accuracy"] == expected["test_accuracy"]


def test_steps_are_timed_in_turn_and_the_median_counts(monkeypatch):
    """The first turn, in which memory is asked for, is left out; one in which the machine was busy does not count."""
    deeper, turns = dataclasses.replace(CONFIG, depth=4 * CONFIG.depth), []
    real = equals._seconds

    def seconds(pool, step):
        assert real(pool, step) >= 0  # a whole step runs
        turns.append((pool.train_step.config, step))
        return {deeper: 3.0, CONFIG: 1.0}[turns[-1][0]] * (50 if len(turns) in (1, 7) else 1)

    monkeypatch.setattr(equals, "_seconds", seconds)
    assert equals.times_as_long(deeper, CONFIG, RECIPE) == 3
    assert turns == [(config, step) for step in range(1, equals.TURNS + 1) for config in (deeper, CONFIG)]


def test_pictures_that_some_are_taken_of_stay_bytes():
    stored = np.arange(5 * 12, dtype=np.uint8).reshape(5, 2, 2, 3)
    x, y = trains.part(Pixels(stored, 4), np.arange(5), np.array([1, 3]))
    assert isinstance(x, Pixels) and x.shape == (2, 4, 4, 3) and list(y) == [1, 3]
    np.testing.assert_array_equal(x[:], Pixels(stored, 4)[np.array([1, 3])])
    x, _ = trains.part(stored, np.arange(5), np.array([1, 3]))
    np.testing.assert_array_equal(x, stored[[1, 3]])


# ---- pattern


def test_pattern_trains_and_counts_the_processors_seconds(monkeypatch):
    clock = iter((5.0, 7.5))
    monkeypatch.setattr(patterned, "process_time", lambda: next(clock))
    found, trained = do("pattern", toy(), VIT, 3), do("train", toy(), VIT, 3)
    assert found["seconds"] == 2.5 and found | {"seconds": 0} == trained | {"seconds": 0}


def test_pairs_of_a_pattern_are_shares_of_all():
    config = dataclasses.replace(CONFIG, image=8, patch=2, pool="mean", depth=2)
    found = {kind: patterned.pairs(dataclasses.replace(config, attention=kind)) for kind in ("full", "axial", "local")}
    assert found == {"full": 1.0, "axial": 4 / 16, "local": 100 / 256}
    assert patterned.pairs(dataclasses.replace(config, attention="linear")) == 0
    strided, window = (dataclasses.replace(config, attention=kind, reach=2) for kind in ("strided", "window"))
    assert patterned.pairs(strided) == (124 + 64) / 2 / 256, "the mean over blocks: a row before and after, a column"
    assert patterned.pairs(window) == (64 + 36) / 2 / 256, "windows, and displaced ones"


def test_patches_are_small_enough_to_be_many():
    assert [patterned.small_patch(side) for side in (8, 28, 32, 224)] == [1, 4, 4, 32]


# ---- bottleneck

READER = AttentionConfig(source_tokens=8, target_tokens=8, source_length=4, target_length=4, dim=12)
TEXT_RECIPE = dataclasses.replace(RECIPE, shift=0, learning_rate=0.03, epochs=20, batch=4, micro_batch=4)
TEXT = {  # of a job that learns to copy two or three symbols, of five
    "model": "attention",
    "config": dataclasses.asdict(READER),
    "recipe": dataclasses.asdict(TEXT_RECIPE),
    **dict(lengths=[2, 3], symbols=5, examples=25, tested=[2, 3, 4], asked=12),
}


def test_bottleneck_trains_on_some_lengths_and_asks_others():
    """Each answer is written by itself, token by token, from what was written before, and counts if all is right."""
    found = do("bottleneck", "copy", TEXT, 3)
    loaded = read_text("copy", length=(2, 3), symbols=5, examples=25)
    how = dict(recipe=TEXT_RECIPE, seed=3, workers=1, progress=False)
    p, history = fit(READER, (loaded.train, loaded.test), **how)
    assert found.pop("seconds") > 0
    exact = found.pop("exact")
    assert found == {
        "test_accuracy": history[-1]["test_accuracy"],
        "validation_accuracy": [r for r in history if r["kind"] == "epoch"][-1]["validation_accuracy"],
        "parameters": trees.count(p),
    }
    assert len(set(exact.values())) > 1, "the length matters"
    for length in TEXT["tested"]:
        asked = bottlenecks.fresh(loaded, length, 12)
        right = 0
        for source, target in zip(asked["source"], asked["target"], strict=True):
            (answer,) = write_seq2seq({"source": source[None]}, p, READER, longest=length + 1)
            right += answer.tolist() == target.tolist()
        assert exact[str(length)] == right / len(asked["source"])


def test_fresh_sequences_are_of_one_length_and_none_was_learned_from():
    loaded = read_text("reverse", length=(1, 2), symbols=4, examples=16)
    dataset = loaded.dataset
    known = {dataset.source.decode(row) for row in loaded.train["source"]}
    assert len(known) == 16, "of all 20"
    for length in (2, 5):
        found = bottlenecks.fresh(loaded, length, 9)
        texts = [dataset.source.decode(row) for row in found["source"]]
        assert texts and len(set(texts)) == len(texts) and not known & set(texts)
        assert [dataset.target.decode(row) for row in found["target"]] == [text[::-1] for text in texts]
        for part in found.values():
            assert part.shape == (len(texts), length + 1) and (part[:, -1] == END).all()
        again = bottlenecks.fresh(loaded, length, 9)
        assert all((found[name] == again[name]).all() for name in found)
    assert len(bottlenecks.fresh(loaded, 5, 9)["source"]) == 9


def test_a_sequence_is_right_with_every_token_and_its_end_and_nothing_behind_it():
    target = np.array([[3, 4, END], [4, 4, END], [3, 3, END], [4, 3, END], [3, 4, END]])
    written = np.array([[3, 4, END], [4, 3, END], [3, END, PADDING], [4, 3, 3], [3, 4, END]])

    def write(batch, p, config, longest):
        assert (p, config, longest) == ("p", "config", 3)
        return written

    batch = {"source": target, "target": target}
    assert bottlenecks.exact_match(write, batch, "p", "config") == 2 / 5
    written = written[:, :2]  # all have ended, or were cut
    assert bottlenecks.exact_match(write, batch, "p", "config") == 0


def test_a_bottleneck_that_diverges_knows_nothing(monkeypatch):
    def diverging(*args, **options):
        raise DivergedError("the loss is nan")

    monkeypatch.setattr(trains, "fit", diverging)
    assert do("bottleneck", "copy", TEXT, 0) == {"diverged": True}


def test_a_task_is_given_the_name_of_data_by_rule_and_pictures_themselves():
    assert task_data("copy") == "copy"
    (x, y), (x_test, y_test) = task_data("digits")
    assert len(x) == len(y) > len(x_test) == len(y_test)
