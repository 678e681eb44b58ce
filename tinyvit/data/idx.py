"""The idx format, in which MNIST and its relatives are published.

    bytes 0-1     zero
    byte  2       the type of the entries; 0x08 is the unsigned byte, the only one used here
    byte  3       the number of dimensions n
    then          n dimensions, 4 bytes each, most significant byte first
    then          the entries, the last index fastest

Nothing in a file is believed before it is checked: a damaged header may declare more than any memory holds.
"""

import gzip
import math
import os
import struct
import zlib
from contextlib import contextmanager

import numpy as np

from tinyvit.errors import DataError

UNSIGNED_BYTE = 0x08
GZIP_MAGIC = b"\x1f\x8b"
GZIP_RATIO = 1032  # deflate cannot pack more bytes than this into one
AGAIN = "copy or download the file again"
LARGEST = 2**28  # entries; MNIST has 47 million
AT_ONCE = 2**20  # bytes that are read at a time


def idx_shape(path, dimensions):
    """The shape that the header of an idx file declares; nothing else is read.

    Parameters
    ----------
    path : path of the file
    dimensions : int, the number of dimensions expected: 3 for images, 1 for labels

    Raises
    ------
    DataError
        As `read_idx`, as far as the header shows it.
    """
    with _opened(path) as (stream, size, ratio):
        return _checked_shape(stream, path, dimensions, size, ratio)


def read_idx(path, dimensions):
    """Read an idx file of unsigned bytes, gzipped or not (its first bytes tell, not its name).

    Parameters
    ----------
    path, dimensions
        As of `idx_shape`.

    Returns
    -------
    array of uint8, read-only

    Raises
    ------
    DataError
        If the file is missing, damaged, cut short, or not such a file: one line with its name, what was found and what
        was expected.
    """
    with _opened(path) as (stream, size, ratio):
        shape = _checked_shape(stream, path, dimensions, size, ratio)
        data, count = np.empty(math.prod(shape), np.uint8), 0
        while count < len(data) and (read := stream.readinto(data[count : count + AT_ONCE])):
            count += read
        # One byte more than declared: a file that is too long shows, and gzip is made to check its checksum.
        if count < len(data) or stream.read(1):
            found = f"holds {count}" if count < len(data) else "holds more"
            raise DataError(f"{_declared(path, shape)} but {found}; it is damaged: {AGAIN}")
    data.setflags(write=False)
    return data.reshape(shape)


@contextmanager
def _opened(path):
    """The plain bytes of a file, as a stream; its size, and how many times as much it may hold.

    Whatever is wrong is said in one line.
    """
    try:
        if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):  # a pipe would be waited for
            raise DataError(f"{path}: no ordinary file, expected an idx file")
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            packed = file.read(2) == GZIP_MAGIC
            file.seek(0)
            if packed:
                with gzip.open(file) as stream:
                    yield stream, size, GZIP_RATIO
            else:
                yield file, size, 1
    except EOFError:
        raise DataError(f"{path}: the gzip stream is cut short at {size} bytes; {AGAIN}") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: the gzip stream is damaged ({error}); {AGAIN}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _declared(path, shape):
    return f"{path}: declares {' x '.join(map(str, shape))} entries"


def _checked_shape(stream, path, dimensions, size, ratio):
    """The shape in the header of a stream, from a file that may hold `ratio` times its own size."""
    shape = _read_shape(stream, path, dimensions)
    declared = _declared(path, shape)
    if math.prod(max(n, 1) for n in shape) > LARGEST:  # a dimension of 0 must not hide absurd others
        raise DataError(f"{declared}, more than the {LARGEST} bytes expected at most; the header is damaged")
    if math.prod(shape) > size * ratio:
        raise DataError(f"{declared}, more than a file of {size} bytes can hold; it is cut short: {AGAIN}")
    return shape


def _read_shape(stream, path, dimensions):
    """The dimensions that the header declares, as Python's integers: their product cannot overflow."""
    magic, expected = stream.read(4), bytes([0, 0, UNSIGNED_BYTE, dimensions])
    if magic != expected:
        found = f"0x{magic.hex()}" if magic else "an empty file"
        kind = f"an idx file of unsigned bytes in {dimensions} dimensions"
        raise DataError(f"{path}: not {kind}: found {found}, expected 0x{expected.hex()}")
    header = stream.read(4 * dimensions)
    if len(header) != 4 * dimensions:
        found = f"found {4 + len(header)} bytes, expected {4 + 4 * dimensions}"
        raise DataError(f"{path}: the header is cut short: {found}; {AGAIN}")
    return struct.unpack(f">{dimensions}I", header)
