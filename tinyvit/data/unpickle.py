"""The pickled batches of CIFAR-10, read without running anything that a file may ask for.

A pickle is a program: it may call any function that can be imported. The batches call three, which make an array. Here
these names stand for plain records of what was asked for, every other name is refused, and the array is made from the
record once its type and size are known to be right.
"""

import io
import pickle
from collections.abc import Callable

import numpy as np

from tinyvit.errors import DataError


class _Array:
    """What a pickle says of an array: its state is (version, shape, type, whether columns come first, bytes)."""

    def __setstate__(self, state):
        self.state = state


class _Type:
    """What a pickle says of an array's type: "u1" are unsigned bytes."""

    def __init__(self, code=None, *rest):
        self.code = code

    def __setstate__(self, state):
        pass  # the byte order, of which a byte has none


def _new_array(*arguments):
    return _Array()


def _latin(text, encoding):
    """Bytes, which Python 3 pickles as text in protocol 2."""
    return text.encode("latin-1")


HARMLESS: dict[tuple[str, str], Callable] = {
    ("numpy.core.multiarray", "_reconstruct"): _new_array,
    ("numpy._core.multiarray", "_reconstruct"): _new_array,  # NumPy 2
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Type,
    ("_codecs", "encode"): _latin,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) not in HARMLESS:
            raise pickle.UnpicklingError(f"found a call of {module}.{name}, expected arrays and numbers only")
        return HARMLESS[module, name]


def batch_of(data, path):
    """The images and labels of a batch.

    Parameters
    ----------
    data : bytes of the pickle
    path : of the file, for the error

    Returns
    -------
    rows : uint8 [B, 3072], labels : integer array [B]

    Raises
    ------
    DataError
        If it is damaged, calls anything else, or holds no such arrays.
    """
    try:
        batch = _Reader(io.BytesIO(data), encoding="bytes").load()
        _, shape, kind, by_columns, pixels = batch[b"data"].state
        if kind.code not in (b"u1", "u1") or by_columns:
            raise ValueError(f"found an array of {kind.code}, expected unsigned bytes, row by row")
        labels = batch[b"labels"]
        if type(labels) is not list or not all(type(label) is int for label in labels):
            raise ValueError("found labels that are no list of numbers")  # lists in lists may be endless to copy
        return np.frombuffer(pixels, np.uint8).reshape(shape), np.array(labels, dtype=np.int64)
    except Exception as error:  # a damaged pickle fails in a dozen ways
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{path}: cannot be read as a batch of CIFAR-10: {reason}; download it again") from None
