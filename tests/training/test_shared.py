"""Memory that processes share."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.training import helpers
from tinyvit.training.shared import ALIGNMENT, SharedMemory, arrays_in, open_memory, size_of

SHAPES = {"a": ((3, 5), "float32"), "b": ((), "int64"), "c": ((7,), "float64")}


def test_arrays_lie_side_by_side_each_on_its_own_line_of_cache():
    arrays = arrays_in(bytearray(size_of(SHAPES)), SHAPES)
    assert {name: (a.shape, a.dtype.name) for name, a in arrays.items()} == SHAPES
    for i, name in enumerate(SHAPES):
        arrays[name][...] = i + 1
    assert [float(a.max()) for a in arrays.values()] == [float(a.min()) for a in arrays.values()] == [1, 2, 3]
    starts = [a.__array_interface__["data"][0] for a in arrays.values()]
    assert all((s - starts[0]) % ALIGNMENT == 0 for s in starts)


@pytest.fixture(params=["memory", "an unnamed file"])
def kind(request, monkeypatch):
    """Where the system has files in memory, and where it has not."""
    if request.param == "an unnamed file":
        monkeypatch.delattr(os, "memfd_create", raising=False)


@pytest.mark.skipif(os.name == "nt", reason="handles are inherited by name there")
def test_a_child_sees_what_its_parent_writes_and_the_other_way_round(kind):
    memory = SharedMemory(size_of(SHAPES))
    mine = arrays_in(memory.buffer, SHAPES)
    assert not any(a.any() for a in mine.values()), "fresh memory is zero"
    mine["a"][...] = np.arange(15).reshape(3, 5)
    program = (
        "from tinyvit.training.shared import *\n"
        f"arrays = arrays_in(open_memory({memory.handle}, {size_of(SHAPES)}), {SHAPES})\n"
        "arrays['c'][...] = arrays['a'].sum()"
    )
    child = [sys.executable, "-c", program]
    subprocess.run(child, pass_fds=memory.descriptors, env=helpers.environment(), check=True)
    assert (mine["c"] == 105).all()
    memory.close()
    mine["b"][...] = 1  # still there


def test_there_is_not_so_much(kind):
    with pytest.raises((OSError, OverflowError)):
        SharedMemory(2**62)


def test_opened_in_the_same_process():
    memory = SharedMemory(64)
    copy = os.dup(memory.handle) if os.name == "posix" else memory.handle
    memory.buffer[0] = 7
    assert open_memory(copy, 64)[0] == 7
    memory.close()
    memory.close()
