"""The idx reader: a round trip, and one line for everything that can be wrong with a file."""

import gzip
import os
import re
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tinyvit.data.idx import idx_shape, read_idx
from tinyvit.errors import DataError

LABELS = bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9])  # 3 labels: 7, 8, 9


def line_of(path, dimensions=1):
    """The text of the DataError, once it is known to be one line that begins with the file's name."""
    with pytest.raises(DataError) as caught:
        read_idx(path, dimensions)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line


@settings(deadline=None)
@given(arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, max_side=5)), st.booleans())
def test_round_trip(tmp_path_factory, array, packed):
    data = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
    path = tmp_path_factory.mktemp("idx") / "file"
    path.write_bytes(gzip.compress(data) if packed else data)
    result = read_idx(path, array.ndim)
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, array)


def test_reads_by_contents_not_by_name(tmp_path):
    (tmp_path / "plain.gz").write_bytes(LABELS)
    (tmp_path / "packed").write_bytes(gzip.compress(LABELS))
    assert read_idx(tmp_path / "plain.gz", 1).tolist() == read_idx(tmp_path / "packed", 1).tolist() == [7, 8, 9]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "found an empty file, expected 0x00000801"),
        (b"<htm", "found 0x3c68746d, expected 0x00000801"),
        (b"\0\0", "found 0x0000, expected 0x00000801"),
        (bytes([0, 0, 13, 1]) + LABELS[4:], "found 0x00000d01, expected 0x00000801"),  # 13: floats
        (bytes([0, 0, 8, 3]) + LABELS[4:], "found 0x00000803, expected 0x00000801"),  # images for labels
        (LABELS[:6], "the header is cut short: found 6 bytes, expected 8"),
        (LABELS[:-1], "declares 3 entries but holds 2"),
        (LABELS + b"\1", "declares 3 entries but holds more"),
        (LABELS[:4] + b"\x7f\xff\xff\xff" + LABELS[8:], "declares 2147483647 entries, more than the 268435456 bytes"),
        (LABELS[:4] + b"\x10\0\0\0" + LABELS[8:], "declares 268435456 entries, more than a file of "),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_wrong_contents(tmp_path, data, said, packed):
    path = tmp_path / "labels"
    path.write_bytes(gzip.compress(data) if packed else data)
    assert said in line_of(path)


@pytest.mark.parametrize("shape", [(2**32 - 1,) * 3, (2**31, 2**31, 4), (0, 2**32 - 1, 2**32 - 1)])
def test_declared_dimensions_beyond_reason(tmp_path, shape):
    path = tmp_path / "images"
    path.write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, *shape))
    assert "more than the 268435456 bytes expected at most; the header is damaged" in line_of(path, 3)


@pytest.mark.parametrize("packed", [False, True])
def test_nothing_is_allocated_for_what_a_small_file_declares(tmp_path, packed):
    path = tmp_path / "labels"
    data = LABELS[:4] + struct.pack(">I", 2**28) + LABELS[8:]
    path.write_bytes(gzip.compress(data) if packed else data)
    tracemalloc.start()
    try:
        line_of(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_plain_file_holds_no_more_than_its_size(tmp_path):
    path = tmp_path / "labels"
    path.write_bytes(LABELS[:4] + struct.pack(">I", 12) + LABELS[8:])
    assert "declares 12 entries, more than a file of 11 bytes can hold; it is cut short" in line_of(path)


def test_truncated_gzip(tmp_path):
    path = tmp_path / "labels.gz"
    whole = gzip.compress(LABELS)
    for size in range(3, len(whole)):
        path.write_bytes(whole[:size])
        assert f"the gzip stream is cut short at {size} bytes; copy or download the file again" in line_of(path)


def test_every_damaged_byte_of_a_gzip_file_is_one_line_or_harmless(tmp_path):
    path = tmp_path / "labels.gz"
    labels = np.random.default_rng(0).integers(0, 10, 200, dtype=np.uint8)
    whole = gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 200) + labels.tobytes(), mtime=0)
    caught = 0
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 0x15
        path.write_bytes(damaged)
        try:
            np.testing.assert_array_equal(read_idx(path, 1), labels)  # a byte of the time stamp, say
        except DataError as error:
            caught += 1
            assert re.fullmatch(f"{re.escape(str(path))}: [^\n]+", str(error))
    assert caught > len(whole) - 10


def test_wrong_checksum_and_corrupt_stream_are_named(tmp_path):
    path = tmp_path / "labels.gz"
    whole = bytearray(gzip.compress(LABELS))
    whole[-6] ^= 1
    path.write_bytes(whole)
    assert "the gzip stream is damaged (CRC check failed" in line_of(path)
    path.write_bytes(bytes(whole[:10]) + b"\xff" * 30)
    assert "the gzip stream is damaged (Error -3 while decompressing" in line_of(path)


def test_missing_file_and_folder(tmp_path):
    assert "cannot be read: No such file or directory" in line_of(tmp_path / "none")
    assert "cannot be read: Is a directory" in line_of(tmp_path)


def test_real_files(real_mnist):
    labels = read_idx(f"{real_mnist}/mnist/t10k-labels-idx1-ubyte.gz", 1)
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def test_the_shape_alone(tmp_path):
    (path := tmp_path / "images").write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, 2, 3, 4) + bytes(23))
    assert idx_shape(path, 3) == (2, 3, 4)
    with pytest.raises(DataError, match="found 0x00000803, expected 0x00000801"):
        idx_shape(path, 1)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert line_of(tmp_path / "pipe") == f"{tmp_path / 'pipe'}: no ordinary file, expected an idx file"
