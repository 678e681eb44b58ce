"""Muon: the orthogonalised momentum against singular values, whole steps against the formula, and runs to the bit."""

import dataclasses
import functools
import itertools
import json

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits, cast, errors, random_vit
from tests.training import rank_runs
from tests.training.helpers import CONFIG, RECIPE, assert_same_outcome, outcome, toy, toy_run
from tests.training.test_resume import Killed, killed_after
from tinyvit import trees
from tinyvit.errors import UsageError
from tinyvit.exercises.source import planted
from tinyvit.lab.job import Job
from tinyvit.models.gpt import GPTConfig
from tinyvit.models.model import ALL_MODELS, model_of, name_of
from tinyvit.training import loop, muon, train_step
from tinyvit.training.batches import as_part
from tinyvit.training.recipe import Recipe
from tinyvit.training.train_step import TrainStep, array_shapes, shard
from tinyvit.training.worker_pool import SerialPool, ThreadPool

MUON = dataclasses.replace(RECIPE, optimizer="muon", weight_decay=0.3, clip_norm=0.7)
LEAST, LOWEST, HIGHEST = 0.0016, 0.68, 1.21  # singular values from LEAST on come to lie between the others
SHAPES = {"square": (5, 5), "wide": (4, 9), "tall": (9, 4), "a row": (1, 7), "a column": (7, 1)}
STACKED = ("q/w", "k/w", "v/w", "o/w", "fc1/w", "fc2/w")


def polynomial(s):
    return 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5


def iterated(s):
    """What five iterations make of singular values s, of a matrix of length 1."""
    for _ in range(5):
        s = polynomial(s)
    return s


def within(s):
    return np.min(s) > LOWEST and np.max(s) < HIGHEST


def by_singular_values(g):
    """The same by a decomposition, of which no product of matrices is left."""
    u, s, vt = np.linalg.svd(g, full_matrices=False)
    return u @ np.diag(iterated(s / np.sqrt((s**2).sum()))) @ vt


# ---- orthogonalise


def test_five_iterations_bring_singular_values_near_to_1():
    """What muon.py and the page say of them: of many values, and of the polynomial's own extrema."""
    s = np.linspace(LEAST, 1, 1_000_001)
    assert within(iterated(s))
    assert iterated(LEAST - 1e-4) < LOWEST, "smaller ones do not come as far"
    extrema = np.sqrt(np.roots([5 * 2.0315, 3 * -4.7750, 3.4445]))  # f'(s) = 0
    assert sorted(polynomial(extrema).round(4)) == [0.6818, 1.2024] and sorted(extrema.round(4)) == [0.5545, 1.0501]
    kept = np.linspace(LOWEST, HIGHEST, 100_001)
    assert within(polynomial(kept)), "none is thrown out again"


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_all_singular_values_come_near_to_1_and_the_directions_stay(rng, shape):
    g = rng.standard_normal(shape)
    u, s, vt = np.linalg.svd(g, full_matrices=False)
    assert (s / np.linalg.norm(s) > LEAST).all()
    found = muon.orthogonalise(g)
    assert_close(found, by_singular_values(g), 1e-6)  # the norm is kept from zero by 1e-7
    along = np.diag(u.T @ found @ vt.T)
    assert within(along)
    assert_close(found, u @ np.diag(along) @ vt, 1e-9)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_of_rank_one_a_single_direction_is_left(rng, shape):
    u, v = (x / np.linalg.norm(x) for x in (rng.standard_normal(shape[0]), rng.standard_normal(shape[1])))
    assert_close(muon.orthogonalise(1000 * np.outer(u, v)), iterated(1.0) * np.outer(u, v), 1e-6)
    assert within(iterated(np.ones(1)))


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_of_zeros_zeros_are_left(shape):
    found = muon.orthogonalise(np.zeros(shape, np.float32))
    assert found.shape == shape and found.dtype == np.float32 and not found.any()


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6])
def test_the_length_of_a_gradient_does_not_matter(rng, size):
    g = rng.standard_normal((4, 9))
    assert_close(muon.orthogonalise(size * g), muon.orthogonalise(g), 1e-3)


def test_float32_in_and_out_and_close_to_float64(rng):
    g = rng.standard_normal((6, 9))
    found = muon.orthogonalise(g.astype(np.float32))
    assert found.dtype == np.float32
    assert_close(found, muon.orthogonalise(g), 1e-4)


@pytest.mark.parametrize("shape", [(64, 64), (64, 256), (256, 64)])
def test_an_update_is_as_long_as_adams(rng, shape):
    """The root of its mean square is 0.2 times that of the singular values, which are near 1."""
    direction = muon.muon_direction(rng.standard_normal(shape))
    assert direction.shape == (shape[0] * shape[1],)
    assert within(np.sqrt(np.mean(direction**2)) / 0.2)


# ---- which parameters are Muon's


@pytest.mark.parametrize("name", ALL_MODELS)
def test_stretches_cover_the_whole_vector_once(name):
    config = next(config for config in rank_runs.CONFIGS.values() if name_of(config) == name)
    p = model_of(config).init(None, config)
    found = muon.stretches(p)
    assert [s.start for s in found] == [0, *(s.stop for s in found[:-1])] and found[-1].stop == trees.count(p)
    assert all(a.shape or b.shape for a, b in itertools.pairwise(found)), "two of AdamW's are one"
    at, leaves = 0, {}
    for leaf_name, leaf in trees.walk(p):
        leaves[at, at + leaf.size] = leaf_name, leaf
        at += leaf.size
    for start, stop, shape in (s for s in found if s.shape):
        leaf_name, leaf = leaves[start, stop]
        assert leaf.ndim >= 2 and leaf_name.endswith("/w") and shape == (leaf.size // leaf.shape[-1], leaf.shape[-1])
    assert any(s.shape for s in found) and any(not s.shape for s in found)


def muons(p):
    """The names of Muon's matrices."""
    starts, at = {s.start for s in muon.stretches(p) if s.shape}, 0
    names = []
    for name, leaf in trees.walk(p):
        names += [name] * (at in starts)
        at += leaf.size
    return names


def test_muons_are_the_matrices_of_blocks():
    p = model_of(CONFIG).init(None, CONFIG)
    found = muons(p)
    assert found == [name for name in trees.named(p) if name.startswith("blocks/") and name.endswith(STACKED)]
    assert len(found) == 2 * len(STACKED)


def test_a_kernel_is_the_matrix_that_multiplies_the_windows():
    config = rank_runs.CONFIGS["cnn"]
    p = model_of(config).init(None, config)
    assert muons(p) == ["convolutions/0/w", "convolutions/1/w"]
    assert [s.shape for s in muon.stretches(p) if s.shape] == [(9, 2), (18, 3)]


# ---- steps


def naive_step(p, g, m, v, *, step, learning_rate, weight_decay):
    """A step over {name: array}, matrix by matrix, by singular values."""
    own = [name for name in p if name.startswith("blocks/") and name.endswith(STACKED)]
    new_p, new_m, new_v = naive.adamw(p, g, m, v, step=step, learning_rate=learning_rate, weight_decay=weight_decay)
    for name in own:
        new_m[name], new_v[name] = 0.95 * m[name] + g[name], v[name]
        direction = 0.2 * max(p[name].shape) ** 0.5 * by_singular_values(g[name] + 0.95 * new_m[name])
        new_p[name] = p[name] - learning_rate * (weight_decay * p[name] + direction)
    return new_p, new_m, new_v


def pool_of(config, recipe, workers=1, dtype="float64"):
    """A pool of one worker, or of threads, in float64."""
    shapes = array_shapes(config, recipe)
    arrays = {name: np.zeros(shape, dtype if kind == "float32" else kind) for name, (shape, kind) in shapes.items()}
    given = TrainStep(config, recipe, 0, arrays)
    return ThreadPool(given, workers) if workers > 1 else SerialPool(given)


def far_from_the_formula(workers=1):
    """The largest error of parameters and moments after three steps, along gradients of which some are clipped."""
    like = model_of(CONFIG).init(None, CONFIG)
    p, rng = trees.named(random_vit(CONFIG)), np.random.default_rng(3)
    m, v = ({name: np.zeros_like(leaf) for name, leaf in p.items()} for _ in range(2))
    with pool_of(CONFIG, MUON, workers) as pool:
        arrays = pool.train_step.arrays
        arrays["parameters"][...] = np.concatenate([leaf.reshape(-1) for leaf in p.values()])
        for step, size in enumerate((1e-3, 1.0, 0.01), 1):
            g = {name: size * rng.standard_normal(leaf.shape) for name, leaf in p.items()}
            arrays["rows"][0] = np.concatenate([leaf.reshape(-1) for leaf in g.values()])
            count = MUON.micro_batch  # whose gradient is the only row
            pool.do("add", count)
            pool.update(step, 0.1 / step)
            g = naive.clip(g, MUON.clip_norm)
            p, m, v = naive_step(p, g, m, v, step=step, learning_rate=0.1 / step, weight_decay=MUON.weight_decay)
        found = {name: trees.named(trees.views(arrays[name], like)) for name in ("parameters", "moment1", "moment2")}
    expected = {"parameters": p, "moment1": m, "moment2": v}
    return np.max([error for name in found for error in errors(found[name], expected[name]).values()])


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_three_steps_are_the_formulas(monkeypatch, workers):
    monkeypatch.setattr(train_step, "BLOCK", 100)
    assert far_from_the_formula(workers) < 1e-4  # the norm of an early momentum is small beside 1e-7: see the next


def test_the_rest_of_that_error_is_what_keeps_the_norm_from_zero(monkeypatch):
    with planted(muon.orthogonalise, ("+ 1e-7", "+ 1e-30")):
        assert far_from_the_formula() < 1e-10


BUGS = {  # the mistake: the function, what stands there, how it is easily written
    "momentum without Nesterov's step ahead": (muon.momentum_step, "g += MOMENTUM * m", "g[...] = m"),
    "momentum that forgets all": (muon.momentum_step, "m += g", "m[...] = g"),
    "momentum that forgets nothing": (muon.momentum_step, "m *= MOMENTUM", "..."),
    "coefficients of the third and the fifth power exchanged": (
        muon.orthogonalise,
        "B * square + C * (square @ square)",
        "C * square + B * (square @ square)",
    ),
    "the first power left out": (muon.orthogonalise, "A * x + (B", "(B"),
    "a tall matrix not turned": (muon.orthogonalise, "g.T if tall else g", "g"),
    "a tall matrix not turned back": (muon.orthogonalise, "return x.T if tall else x", "return x"),
    "the length not divided out": (muon.orthogonalise, "x / (xp.sqrt((x * x).sum()) + 1e-7)", "x + 0"),
    "the square of the length divided out": (muon.orthogonalise, "xp.sqrt((x * x).sum())", "(x * x).sum()"),
    "one iteration less": (muon.orthogonalise, "range(STEPS)", "range(STEPS - 1)"),
    "the shorter side for the longer": (muon.muon_direction, "max(g.shape)", "min(g.shape)"),
    "the side for its root": (muon.muon_direction, "** 0.5", ""),
    "no decay": (muon.muon_step, "p *= 1 - learning_rate * decay", "..."),
    "a decay that no learning rate scales": (muon.muon_step, "1 - learning_rate * decay", "1 - decay"),
    "up the hill": (muon.muon_step, "p -= learning_rate", "p += learning_rate"),
    "the gradient not clipped": (
        TrainStep.momentum,
        "g *= clip_factor(self.norm(), self.recipe.clip_norm)",
        "...",
    ),
    "a matrix cut at a worker's border": (
        TrainStep.update,
        '["rows"][0, start:stop].reshape(shape)',
        '["rows"][0, start:stop].reshape(shape) * (np.arange(start, stop) < part.stop).reshape(shape)',
    ),
    "the piece of a matrix taken from its beginning": (
        TrainStep.update,
        "direction[piece.start - start : piece.stop - start]",
        "direction[: piece.stop - piece.start]",
    ),
}


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_the_comparison_with_the_formula_finds(monkeypatch, bug):
    monkeypatch.setattr(train_step, "BLOCK", 100)
    function, right, wrong = bug
    assert right_error() < 1e-4
    with planted(function, (right, wrong)), np.errstate(all="ignore"):
        try:
            error = far_from_the_formula(workers=2)
        except ValueError:  # the shapes do not fit
            return
    assert not error < 1e-2


@functools.cache
def right_error():
    return far_from_the_formula()


# ---- runs


def fit(recipe=MUON, config=CONFIG, data=None, **how):
    return loop.fit(config, data or toy(), recipe=recipe, seed=3, progress=False, **how)


@pytest.mark.parametrize("workers", [2, 3])
def test_threads_have_the_bits_of_one(monkeypatch, workers):
    """Also where a matrix lies across the border of two workers' parts."""
    monkeypatch.setattr(train_step, "BLOCK", 100)
    start = loop.start_worker_pool
    monkeypatch.setattr(loop, "start_worker_pool", functools.partial(start, kind="threads"))
    assert lie_across(CONFIG, 100, workers)
    expected, history = fit()
    found, theirs = fit(workers=workers)
    assert_same_bits(found, expected)
    assert [record.get("loss") for record in theirs] == [record.get("loss") for record in history]


@pytest.mark.parametrize("workers", [2, 3])
def test_processes_have_the_bits_of_one(workers):
    config, recipe = dataclasses.replace(CONFIG, dim=64, mlp_dim=256), dataclasses.replace(MUON, epochs=1)
    assert lie_across(config, train_step.BLOCK, workers)
    assert_same_bits(fit(recipe, config, workers=workers)[0], fit(recipe, config)[0])


def lie_across(config, block, workers):
    """Muon's matrices that lie in the parts of two workers."""
    p = model_of(config).init(None, config)
    blocks = -(-trees.count(p) // block)
    borders = [shard(blocks, worker, workers).start * block for worker in range(1, workers)]
    return [s for s in muon.stretches(p) if s.shape and any(s.start < border < s.stop for border in borders)]


def test_of_ranks_too_a_matrix_lies_across_a_border():
    """Their bits are in test_ranks.py."""
    for ranks in (2, 3):
        assert lie_across(rank_runs.CONFIGS["muon"], rank_runs.CONSTANTS["BLOCK"], ranks)


def test_killed_and_gone_on_with_it_is_the_same_run(tmp_path):
    runs = [toy_run(tmp_path / name, MUON) for name in ("whole", "killed")]
    fit(run=runs[0])
    with pytest.raises(Killed):
        fit(run=runs[1], stop=killed_after(11))
    fit(run=runs[1])
    assert_same_outcome(outcome(tmp_path / "killed"), outcome(tmp_path / "whole"))
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["recipe"]["optimizer"] == "muon"


def test_recomputing_gives_the_same_bits():
    assert_same_bits(fit(dataclasses.replace(MUON, recompute=True))[0], fit()[0])


def test_on_the_device_the_bits_are_the_same(strict_as_cupy):
    assert_same_bits(fit(device="gpu")[0], fit()[0])


GPT = GPTConfig(tokens=9, length=6, dim=8, depth=3, heads=2, mlp_dim=12)


@pytest.mark.parametrize("freeze", [1, 2])
@pytest.mark.parametrize("config", [dataclasses.replace(CONFIG, depth=3), GPT], ids=["vit", "gpt"])
@pytest.mark.parametrize("block", [10, 50, 100, 10_000])
def test_frozen_blocks_stay_to_the_bit(monkeypatch, config, freeze, block):
    """Of models of text the gradients go all the way; where they end, a matrix may lie across a block's border."""
    monkeypatch.setattr(train_step, "BLOCK", block)
    recipe, data = dataclasses.replace(MUON, freeze=freeze, epochs=1), toy()
    if config is GPT:
        recipe = dataclasses.replace(recipe, shift=0)
        data = tuple(rank_runs.text(config, count) for count in (32, 9))
    p = trees.map(lambda a: np.random.default_rng(a.size).normal(size=a.shape), model_of(config).init(None, config))
    p = cast(p, np.float32)
    found, start = trees.named(fit(recipe, config, data, p=p)[0]), trees.named(p)
    frozen = tuple(f"blocks/{i}/" for i in range(freeze))
    for name in start:
        if name.startswith(frozen):
            assert np.array_equal(found[name], start[name]), name
        elif name.startswith("blocks/") and name.endswith(STACKED):
            assert not np.array_equal(found[name], start[name]), name


@pytest.mark.parametrize("name", [name for name in rank_runs.CONFIGS if name not in ("frozen", "muon")])
def test_every_model_trains_with_it(name):
    config = rank_runs.CONFIGS[name]
    recipe = dataclasses.replace(rank_runs.NINE, optimizer="muon", epochs=1, ema_decay=0.0)
    data, of_text = toy(), "images" not in model_of(config).task.arrays(config)
    if of_text:
        recipe = dataclasses.replace(recipe, shift=0, rotate=0.0)
        data = tuple(rank_runs.text(config, count) for count in (32, 9))
    if name == "masked":
        data = tuple({"images": x} for x, _ in data)
    p, history = fit(recipe, config, data)
    start = trees.named(model_of(config).init(np.random.default_rng(3), config))
    assert all(np.isfinite(leaf).all() for leaf in trees.leaves(p)) and len(history) > 1
    own = muons(p)
    assert own and all(not np.array_equal(trees.named(p)[name], start[name]) for name in own)


def test_it_learns():
    recipe = Recipe(epochs=12, batch=8, micro_batch=3, learning_rate=0.03, ema_decay=0.8, validation=0.25)
    recipe = dataclasses.replace(recipe, optimizer="muon")
    assert fit(recipe)[1][-1]["test_accuracy"] >= 8 / 9


def test_a_step_moves_by_the_matrices_momentum_alone():
    """Muon keeps no second moment: of its matrices it stays zero, of all others it does not."""
    with pool_of(CONFIG, MUON, dtype="float32") as pool:
        arrays = pool.train_step.arrays
        arrays["parameters"][...] = np.random.default_rng(0).normal(size=len(arrays["parameters"]))
        pool.gradient(1, as_part(toy(train=3)[0]))
        pool.update(1, 0.01)
        second = trees.named(trees.views(arrays["moment2"], model_of(CONFIG).init(None, CONFIG)))
    assert {name for name, leaf in second.items() if not leaf.any()} == set(muons(pool.train_step.p))


# ---- how it is asked for


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        ("sgd", "optimizer is 'sgd': expected one of adamw, muon"),
        ("muo", "optimizer is 'muo': did you mean muon? Expected one of adamw, muon"),
        ([], "optimizer is []: expected one of adamw, muon"),
    ],
)
def test_an_optimiser_that_is_none_is_one_line(optimizer, words):
    with pytest.raises(UsageError) as refused:
        Recipe(optimizer=optimizer)
    assert str(refused.value) == words


def test_runs_from_before_there_was_a_choice_open():
    values = dataclasses.asdict(Recipe())
    assert values.pop("optimizer") == "adamw"
    assert Recipe.from_dict(values) == Recipe()


def test_the_lab_finds_the_results_from_before_there_was_a_choice():
    recipe = dataclasses.asdict(Recipe())
    key = Job({}, "train", {"recipe": recipe}).key
    without = {name: value for name, value in recipe.items() if name != "optimizer"}
    assert key == Job({}, "train", {"recipe": without}).key
    assert key != Job({}, "train", {"recipe": recipe | {"optimizer": "muon"}}).key
