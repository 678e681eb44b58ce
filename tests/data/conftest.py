"""What the data tests share: idx files made to order, and a place for them where no real set is in the way."""

import gzip
import struct

import numpy as np
import pytest

from tinyvit.data.sources import FILES


def idx_bytes(array):
    """An array of uint8 in the idx format, written after the format's description and not after the reader."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def to_idx():
    return idx_bytes


@pytest.fixture
def write_set():
    """Write a small MNIST-like set of four files into a folder, in any spelling; returns the arrays."""

    def write(folder, spelling="{file}.gz", sizes=(6, 4), seed=0):
        rng = np.random.default_rng(seed)
        folder.mkdir(parents=True, exist_ok=True)
        arrays = []
        for size in sizes:
            arrays += [rng.integers(0, 256, (size, 28, 28), dtype=np.uint8), rng.integers(0, 10, size, dtype=np.uint8)]
        for file, array in zip(FILES, arrays, strict=True):
            name = spelling.format(file=file, dotted=file.replace("-idx", ".idx"))
            data = idx_bytes(array)
            (folder / name).write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)
        return arrays

    return write


@pytest.fixture
def no_sets(tmp_path, monkeypatch):
    """Neither $TINYVIT_DATA nor the user's cache holds anything; returns the cache folder."""
    monkeypatch.delenv("TINYVIT_DATA", raising=False)
    cache = tmp_path / "cache"
    monkeypatch.setattr("pooch.os_cache", lambda project: cache / project)
    return cache / "tinyvit"
