"""How many workers a run has."""

import pytest

from tinyvit.errors import UsageError
from tinyvit.training import cores
from tinyvit.training.recipe import Recipe

RECIPE = Recipe(batch=100, micro_batch=32)  # four micro-batches
COUNTED = cores.usable_cores  # before conftest.py makes it one


@pytest.fixture
def eight(monkeypatch):
    monkeypatch.setattr(cores, "usable_cores", lambda: 8)


@pytest.mark.parametrize(
    ("asked", "device", "expected"), [(None, "cpu", 4), (3, "cpu", 3), (9, "cpu", 4), (1, "gpu", 1)]
)
def test_as_many_as_asked_for_or_as_cores_but_never_without_work(eight, asked, device, expected):
    assert cores.workers_for(RECIPE, asked, device) == expected


def test_a_gpu_has_one(eight):
    assert cores.workers_for(RECIPE, None, "gpu") == 1
    with pytest.raises(UsageError, match="workers is 2: on a GPU there is one"):
        cores.workers_for(RECIPE, 2, "gpu")


@pytest.mark.parametrize("workers", [0, -1, 1.5, "2", True])
def test_no_such_number(workers):
    with pytest.raises(UsageError, match=r"workers is .*: expected a whole number of at least 1"):
        cores.workers_for(RECIPE, workers)


@pytest.mark.parametrize(
    ("quota", "expected"), [("max 100000", 6), ("250000 100000", 2), ("50000 100000", 1), ("nonsense", 6), (None, 6)]
)
def test_quota_affinity_and_physical_cores(tmp_path, monkeypatch, quota, expected):
    psutil = pytest.importorskip("psutil")
    monkeypatch.setattr(psutil, "cpu_count", lambda logical: {True: 12, False: 6}[logical])
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(cores, "QUOTA", tmp_path / "cpu.max")
    if quota:
        (tmp_path / "cpu.max").write_text(quota)
    assert COUNTED() == expected
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda pid: {3})
    assert COUNTED() == 1
