"""The benchmark: what it reports follows from what was measured. Nothing here asserts a speed."""

import json

import numpy as np
import pytest

from tests.training import helpers
from tests.training.helpers import CONFIG
from tinyvit.bench import compare, contender
from tinyvit.bench.compare import BASE, Race, races, run
from tinyvit.commands import bench as command
from tinyvit.errors import UsageError, WorkerError
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.masked import MaskedConfig
from tinyvit.models.model import name_of
from tinyvit.models.seq2seq import Seq2SeqConfig
from tinyvit.models.transformer import TransformerConfig
from tinyvit.ops.tokens import SPECIAL
from tinyvit.training import cores

COLUMNS = [
    "model",
    "batch",
    "cores",
    "task",
    "contender",
    "seconds",
    "ratio",
    "quartiles",
    "memory_mb",
    "examples_per_second",
    "share_of_peak",
    "load",
]


@pytest.fixture
def tiny(monkeypatch):
    """A model that takes no time, and short turns."""
    monkeypatch.setitem(compare.MODELS, "tiny", CONFIG)
    monkeypatch.setattr(compare, "TURN", 0.001)
    monkeypatch.setattr(Race, "contenders", lambda race: ["tinyvit"])


@pytest.fixture
def no_peak(monkeypatch):
    """In place of the product of large matrices, which takes a second, the model is measured once more."""
    start = compare._contender

    def contender_of(race, who, economy):
        return start(race, "tinyvit" if who == "matrix_peak" else who, economy)

    monkeypatch.setattr(compare, "_contender", contender_of)


@pytest.mark.parametrize("task", ["train", "infer"])
def test_a_row(tiny, task):
    (row,) = run(Race("tiny", 40, task, 1, rounds=2))
    assert list(row) == COLUMNS
    assert row["examples_per_second"] == pytest.approx(40 / row["seconds"], rel=0.01)
    assert 0 < row["share_of_peak"] < 1 and row["load"] >= 0
    assert 20 < row["memory_mb"] < 500, "a Python with NumPy in it"
    assert row["ratio"] is None


@pytest.mark.parametrize("config", [CNNConfig(image=4, classes=3, widths=(2,)), MaskedConfig(CONFIG)], ids=name_of)
def test_a_row_of_another_model(tiny, no_peak, monkeypatch, config):
    monkeypatch.setitem(compare.MODELS, "tiny", config)
    (row,) = run(Race("tiny", 40, "train", 1, rounds=1))
    assert list(row) == COLUMNS and row["seconds"] > 0 and 0 <= row["share_of_peak"] < 1


@pytest.mark.parametrize("task, config", [("train", Seq2SeqConfig(dim=4)), ("decode", TransformerConfig(dim=4))])
def test_a_row_of_sequences(tiny, no_peak, monkeypatch, task, config):
    monkeypatch.setitem(compare.MODELS, "tiny", config)
    monkeypatch.setitem(compare.SEQUENCES, "tiny", config)
    monkeypatch.setattr(Race, "contenders", lambda race: ["tinyvit", "tinyvit, no cache"])
    for row in run(Race("tiny", 3, task, 1, rounds=1)):
        assert list(row) == COLUMNS and row["seconds"] > 0 and row["share_of_peak"] is None


def test_decoding_with_and_without_the_cache_writes_the_same():
    config = TransformerConfig(source_length=5, target_length=6, dim=8, heads=2)
    batch = contender._random_batch(config, 3)
    kept, again = (contender.tinyvit_decode(config, batch, 1, economy)() for economy in (True, False))
    assert kept.shape == (3, 6) and (kept >= len(SPECIAL)).all()
    assert kept.tolist() == again.tolist()


@pytest.mark.parametrize(("count", "cores", "size"), [(128, 2, 32), (8, 1, 8), (8, 2, 4), (5, 2, 3)])
def test_every_core_has_examples(monkeypatch, count, cores, size):
    started = []
    monkeypatch.setattr(contender, "start_worker_pool", lambda config, recipe, seed, workers: started.append(recipe))
    with pytest.raises(AttributeError):  # there is no pool
        contender._pool_at_work(CONFIG, contender._random_batch(CONFIG, count), cores, None)
    assert (started[0].batch, started[0].micro_batch) == (count, size)


def test_sequences_are_of_full_length():
    config = Seq2SeqConfig(source_tokens=5, target_tokens=9, source_length=30, target_length=20)
    batch = contender._random_batch(config, 40)
    assert {name: x.shape for name, x in batch.items()} == {"source": (40, 30), "target": (40, 20)}
    assert set(np.unique(batch["source"])) == {3, 4} and set(np.unique(batch["target"])) == set(range(3, 9))


def test_ratios_are_medians_of_each_rounds(tiny, monkeypatch):
    monkeypatch.setattr(Race, "contenders", lambda race: ["tinyvit", BASE])
    monkeypatch.setitem(compare.CONTENDERS, BASE, ("tinyvit", False))  # stands in for PyTorch
    times = iter([9, 9, 3, 2, 1, 4, 8, 4])  # in turns; the first of either sets its steps
    turn = compare.turn

    def measured(process, steps):
        taken = turn(process, steps)
        return taken if "peak" in process.name else next(times)

    monkeypatch.setattr(compare, "turn", measured)
    mine, base = run(Race("tiny", 4, "infer", 1, rounds=3))
    assert mine["seconds"] == 3 and base["seconds"] == 4
    assert mine["ratio"] == 1.5, "the median of 3/2, 1/4 and 8/4"
    assert mine["quartiles"] == [0.875, 1.75], "half way to the median from either end"
    assert base["ratio"] == 1 and base["quartiles"] == [1, 1]


def test_the_programme(monkeypatch):
    monkeypatch.setattr(compare, "usable_cores", lambda: 4)
    assert {(r.model, r.task) for r in races()} == {(m, t) for m in "SM" for t in ("train", "infer")} | {
        ("B/16", "infer")
    }
    assert {race.cores for race in races()} == {1, 2, 4}
    assert {race.cores for race in races(["S"], [3])} == {3}
    assert {(r.model, r.task) for r in races(["Swin-T", "R50+B/16"])} == {("Swin-T", "infer"), ("R50+B/16", "infer")}
    assert {(r.model, r.task, r.batch, r.cores) for r in races(["B/16-train"], [2])} == {("B/16-train", "train", 8, 2)}
    assert {(r.model, r.task, r.batch) for r in races(["transformer", "dot-1000", "decoding"], [1])} == {
        ("transformer", "train", 64),
        ("dot-1000", "train", 64),
        ("decoding", "decode", 1),
        ("decoding", "decode", 64),
    }
    with pytest.raises(UsageError, match="no model to measure is named 'T': expected one of S, M, B/16"):
        races(["T"])
    with pytest.raises(UsageError, match="cores is 5: this process may use 4"):
        races(["S"], [1, 5])


def test_who_takes_part(monkeypatch):
    """PyTorch's side where it is installed, and for Swin and the hybrid transformers as well."""

    def names(model, *installed):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: name in installed or None)
        return Race(model, 1, "infer", 1).contenders()

    assert names("B/16") == names("Swin-T", "torch") == names("cnn", "torch", "transformers") == ["tinyvit"]
    assert names("B/16", "torch") == names("R50+B/16", "torch", "transformers") == ["tinyvit", BASE, "torch class row"]
    assert names("Swin-T", "torch", "transformers") == ["tinyvit", BASE]
    assert Race("B/16-train", 8, "train", 2).contenders() == ["tinyvit", BASE, "torch class row"]
    assert names("transformer", "torch") == names("additive-1000", "torch") == ["tinyvit", BASE]
    assert Race("decoding", 1, "decode", 1).contenders() == ["tinyvit", "tinyvit, no cache", BASE]


def test_a_contender_that_ends_is_reported(tiny, monkeypatch, capfd):
    monkeypatch.setitem(compare.CONTENDERS, "tinyvit", ("nobody", True))
    with pytest.raises(WorkerError, match="the contender nobody_train failed: KeyError"):
        run(Race("tiny", 4, "train", 1))


def test_the_command(tiny, no_peak, monkeypatch):
    monkeypatch.setattr(cores, "usable_cores", lambda: 1)
    monkeypatch.setattr(command, "races", lambda models, counts: [Race("tiny", 4, "infer", 1, rounds=1)])
    rows = json.loads(helpers.call("bench", "--json").out)
    assert [list(row) for row in rows] == [COLUMNS]
    monkeypatch.setattr(compare.importlib.util, "find_spec", lambda package: None)
    result = helpers.call("bench")
    assert result.code == 0 and "tinyvit" in result.out and "ratio:" not in result.out
    assert "not installed: torch; for all ratios to PyTorch, install its CPU build" in result.err
    header, row = result.out.splitlines()
    assert header.index(" batch") == 16 and row.split()[0] == "tiny"


def test_only_what_a_race_needs_is_missed(monkeypatch):
    monkeypatch.setattr(compare.importlib.util, "find_spec", lambda package: None)
    assert max(map(len, compare.MODELS)) <= 16, "the table's first column"
    for model, lacking in (
        ("S", ["torch"]),
        ("Swin-T", ["torch", "transformers"]),
        ("cnn", []),
        ("masked", []),
        ("dot", ["torch"]),
    ):
        assert compare.not_installed([Race(model, 1, "infer", 1)]) == lacking
