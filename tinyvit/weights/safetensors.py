"""The safetensors format: the length of a header, the header in JSON, and the numbers.

    8 bytes        the header's length n, an unsigned little-endian integer
    n bytes        {"name": {"dtype": "F32", "shape": [768, 3, 16, 16], "data_offsets": [begin, end]}, ...}
    the rest       the numbers, row by row; offsets count from here

The numbers are mapped into memory, not copied: they are read once, to see that every one is finite, and the system may
drop and read them again. So every number in the header is checked against the file's length first. Writing is left to
the package of the same name.
"""

import math
import os
import re

import numpy as np

from tinyvit import json_files
from tinyvit.errors import CheckpointError, first_line
from tinyvit.npz import check_finite, check_names

LONGEST_HEADER = 1_000_000  # bytes; ViT-H/14's has less than a tenth of that
MOST_AXES = 8
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
STORED = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2"}  # NumPy's types of the same sizes


def read(path):
    """{name: (shape, function that returns the array)} of a file.

    Arrays of float32 and float64 are views into the file, which must not be written to as long as they live; shorter
    ones become float32.

    Raises
    ------
    CheckpointError
        If the file is cut short, or its header says what cannot be true: which tensor, and what of it.
    """
    length = os.path.getsize(path)
    header, start = _header(path, length)
    _check(path, header, length - start)
    data = np.memmap(path, mode="r") if length > start else np.zeros(0, np.uint8)
    return {
        name: (tuple(entry["shape"]), lambda name=name, entry=entry: _array(path, data[start:], name, entry))
        for name, entry in header.items()
    }


def from_bfloat16(bits):
    """float32 from bfloat16, which is its upper half: uint16 of any shape."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _header(path, length):
    """The header without its remarks, and where the numbers begin."""
    try:
        with open(path, "rb") as file:
            n = int.from_bytes(file.read(8), "little")
            if length < 8 or not 2 <= n <= min(length - 8, LONGEST_HEADER):
                raise ValueError(f"it begins with a header of {n} bytes, in a file of {length}")
            header = json_files.parse(file.read(n))
        if not isinstance(header, dict):
            raise ValueError("the header is no table of tensors")
    except ValueError as error:  # JSON's errors and Unicode's are ValueErrors
        raise CheckpointError(f"{path} is damaged or no safetensors file: {first_line(error)}") from None
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    header.pop("__metadata__", None)
    check_names(path, list(header))
    return header, 8 + n


def _check(path, header, length):
    """Raise CheckpointError unless the tensors lie in the file one behind the other, each as long as its shape says."""
    places = []
    for name, entry in header.items():
        try:
            dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
            whole = all(type(number) is int and 0 <= number < 2**63 for number in (*shape, begin, end))
            listed = isinstance(shape, list) and len(shape) <= MOST_AXES
            known = type(dtype) is str and re.fullmatch("[A-Z][A-Z0-9_]{1,20}", dtype)
            size = SIZES.get(dtype, 0) * math.prod(shape) if whole and listed and known else None
        except (KeyError, TypeError, ValueError):
            size = None
        if size is None:
            raise CheckpointError(
                f"{path}: {name} has no dtype, shape and offsets that can be read; the file is damaged"
            )
        if end < begin or (dtype in SIZES and end - begin != size):
            raise CheckpointError(f"{path}: {name} takes {end - begin} bytes, expected {size} for {dtype} {shape}")
        if end > length:
            raise CheckpointError(
                f"{path}: {name} ends at byte {end} of {length}; the file is cut short, copy it again"
            )
        places.append((begin, end, name))
    behind = 0
    for begin, end, name in sorted(places):
        if begin != behind:
            raise CheckpointError(f"{path}: {name} begins at byte {begin}, expected {behind}; the file is damaged")
        behind = end
    if behind != length:
        raise CheckpointError(f"{path}: the last tensor ends at byte {behind} of {length}; the file is damaged")


def _array(path, data, name, entry):
    kind, (begin, end) = entry["dtype"], entry["data_offsets"]
    check_supported(path, name, kind)
    numbers = data[begin:end].view(f"<{STORED[kind]}").reshape(entry["shape"])
    array = floats(numbers.view(np.ndarray), kind)
    check_finite(path, name, array)
    return array


def check_supported(path, name, kind):
    """Raise CheckpointError unless numbers of this kind can be read."""
    if kind not in SIZES:
        raise CheckpointError(
            f"{path}: {name} is of {kind}, which is not supported: expected one of {', '.join(SIZES)}"
        )


def floats(array, kind):
    """Numbers of any kind as float32 or float64 in this machine's byte order, row by row: a copy only if it must be."""
    if kind == "BF16":
        return from_bfloat16(np.asarray(array, order="C"))
    dtype = np.float64 if kind == "F64" else np.float32
    if array.dtype != dtype or not array.flags.aligned:
        array = array.astype(dtype)
    return np.asarray(array, order="C")
