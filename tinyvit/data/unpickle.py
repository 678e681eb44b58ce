"""The pickled batches of CIFAR-10, read as data.

A pickle is a program: it may call any function that can be imported. The batches call three, which make an array. Here
these names stand for plain records of what was asked for (tinyvit.pickles), every other name is refused, and the array
is made from the record once its type and size are known to be right.
"""

import numpy as np

from tinyvit.errors import DataError, first_line
from tinyvit.pickles import Record, read_pickle

LARGEST = 2**27  # bytes of a batch, four times those of its images
NAMES = {
    "numpy.core.multiarray._reconstruct": Record,  # of an array; its state is (version, shape, type, by columns, bytes)
    "numpy._core.multiarray._reconstruct": Record,  # NumPy 2
    "numpy.ndarray": "ndarray",
    "numpy.dtype": Record,  # its first argument is the type's code: "u1" are unsigned bytes
    "_codecs.encode": lambda text, encoding: text.encode("latin-1"),  # how Python 3 writes bytes in protocol 2
}


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
        found = read_pickle(data, NAMES, expected="arrays and numbers only", largest=LARGEST)
        batch = {_text(key): value for key, value in found.items()}
        _, shape, kind, by_columns, pixels = batch["data"].state
        if _text(kind.arguments[0]) != "u1" or by_columns:
            raise ValueError(f"found an array of {kind.arguments[0]}, expected unsigned bytes, row by row")
        pixels = pixels.encode("latin-1") if isinstance(pixels, str) else pixels  # a text of Python 2's is bytes
        labels = batch["labels"]
        if type(labels) is not list or not all(type(label) is int for label in labels):
            raise ValueError("found labels that are no list of numbers")  # lists in lists may be endless to copy
        return np.frombuffer(pixels, np.uint8).reshape(shape), np.array(labels, dtype=np.int64)
    except Exception as error:  # a damaged pickle fails in a dozen ways
        reason = first_line(error)
        raise DataError(f"{path}: cannot be read as a batch of CIFAR-10: {reason}; download it again") from None


def _text(name):
    return name.decode("latin-1") if isinstance(name, bytes) else name
