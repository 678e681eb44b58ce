"""Arrays out of an .npz file, none of them believed: each header is read and checked before any array is.

An .npz is a zip archive of .npy files. A header may declare more than the file holds, and a pickle may do anything, so
what is read here is plain numbers, of the size that is really there.
"""

import io
import math
import os
import zipfile
import zlib
from contextlib import contextmanager

import numpy as np

from tinyvit.errors import CheckpointError, TinyvitError, first_line
from tinyvit.recognise import NPZ, TORCH, UNKNOWN, recognise

MOST_ARRAYS = 20_000  # the deepest model has 16,000
LONGEST_NAME = 200
LONGEST_HEADER = 65_536  # bytes of an array's; NumPy's have 118
MAGIC = 8  # bytes, the last two of which are the version
HEADERS = {  # by version: the bytes of the header's length, and what reads it
    (1, 0): (2, np.lib.format.read_array_header_1_0),
    (2, 0): (4, np.lib.format.read_array_header_2_0),
}
AT_ONCE = 2**20  # bytes read at a time, so that no array is in memory twice


@contextmanager
def opened(path, expected):
    """The archive at a path; whatever is wrong with it is said in one line, which says what was `expected`.

    Raises
    ------
    CheckpointError
    """
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
        raise CheckpointError(f"cannot read {path}: it is no ordinary file; expected {expected}")
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except TinyvitError:
        raise
    except PermissionError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; expected {expected}") from None
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}: expected {expected}") from None
    except zipfile.BadZipFile as error:
        if (kind := recognise(path)) not in (NPZ, TORCH, UNKNOWN):
            raise CheckpointError(kind.refusal(path, expected)) from None
        raise CheckpointError(f"{path} is damaged or no checkpoint: {first_line(error)}; expected {expected}") from None
    except (OSError, EOFError, zlib.error, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"cannot read {path}: {first_line(error)}; the file is damaged, copy it again or use an earlier one"
        ) from None


def entries(path, archive, *, compressed=False):
    """{name: entry} of an archive whose entries declare no more than the file can hold.

    An archive may be `compressed`, but numbers that were learned hardly can be: together they are at most eight times
    as long as the file (bfloat16, kept as float32, comes to about twice).

    Raises
    ------
    CheckpointError
    """
    archive.fp.seek(0, 2)
    size = archive.fp.tell()
    names = [info.filename.removesuffix(".npy") for info in archive.infolist()]
    check_names(path, names)
    found = dict(zip(names, archive.infolist(), strict=True))
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) if compressed else (zipfile.ZIP_STORED,)
    for name, info in found.items():
        declared = info.compress_size if compressed else max(info.compress_size, info.file_size)
        if info.compress_type not in kinds or declared > size:
            wanted = "at most that, as NumPy compresses" if compressed else "less, uncompressed"
            raise CheckpointError(f"{path}: {name} declares {declared} bytes in a file of {size}: expected {wanted}")
    if (total := sum(info.file_size for info in found.values())) > 8 * size:
        raise CheckpointError(f"{path} declares {total} bytes in a file of {size}: expected at most 8 times that")
    return found


def header(path, archive, entry, name):
    """Shape and dtype of an array, from its header."""
    with archive.open(entry) as file:
        shape, _, dtype = _read_header(path, file, name)
        return shape, dtype


def read(path, archive, entry, name):
    """An array, every number of it finite.

    Raises
    ------
    CheckpointError
        Naming the array: what was found, what was expected.
    """
    with archive.open(entry) as file:
        shape, order, dtype = _read_header(path, file, name)
        size = entry.file_size - file.tell()
        if size != math.prod(shape) * dtype.itemsize:
            raise CheckpointError(f"{path}: {name} holds {size} bytes, expected {form(shape, dtype)}")
        data = _bytes(path, file, size, name)
    array = np.asarray(np.frombuffer(data, dtype).reshape(shape, order=order), order="C")
    check_finite(path, name, array)
    return array


def unpacked(path, archive, entry, name):
    """The bytes of an entry, as uint8.

    Raises
    ------
    CheckpointError
        If there are fewer than it declares.
    """
    with archive.open(entry) as file:
        return np.frombuffer(_bytes(path, file, entry.file_size, name), np.uint8)


def _bytes(path, file, size, name):
    data = memoryview(bytearray(size))
    for start in range(0, size, AT_ONCE):
        piece = data[start : start + AT_ONCE]
        if file.readinto(piece) != len(piece):
            raise CheckpointError(f"{path}: {name} ends before its {size} bytes; the file is damaged")
    return data


def check_names(path, names):
    """Raise CheckpointError unless there is one array of each name, and a line can show it."""
    different = len(set(names))
    if not different == len(names) <= MOST_ARRAYS:
        raise CheckpointError(
            f"{path} has {len(names)} arrays of {different} names, expected at most {MOST_ARRAYS}, one of each"
        )
    for name in names:
        if not name.isprintable() or len(name) > LONGEST_NAME:
            raise CheckpointError(f"{path}: {name[:LONGEST_NAME]!a} is no name of an array; the file is damaged")


def check_finite(path, name, array):
    """Raise CheckpointError if an array of floating-point numbers holds one that is infinite or no number."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        where = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
        raise CheckpointError(f"{path}: {name} holds {array[tuple(where)]} at {where}, expected finite numbers")


def form(shape, dtype):
    """Shape and dtype in words."""
    return f"{dtype} {list(shape)}"


def read_header(file):
    """Shape, order and dtype of the .npy file that is open at its beginning; it is then open at its numbers.

    A header that says that it is long is refused before it is read: NumPy would read it, and an archive may hold
    megabytes of nothing in a thousandth of that.

    Raises
    ------
    ValueError
        If there is no such header.
    """
    start = file.read(MAGIC)
    version = tuple(start[6:])
    if start[:6] != np.lib.format.MAGIC_PREFIX or version not in HEADERS:
        raise ValueError(f"it begins with {start!r}, expected {np.lib.format.MAGIC_PREFIX!r} and a version")
    digits, parse = HEADERS[version]
    length = file.read(digits)
    if (size := int.from_bytes(length, "little")) > LONGEST_HEADER:
        raise ValueError(f"its header declares {size} bytes, expected at most {LONGEST_HEADER}")
    try:
        shape, fortran_order, dtype = parse(io.BytesIO(length + file.read(size)))
    except zipfile.BadZipFile:
        raise
    except Exception as error:  # NumPy parses headers with Python's own tokenizer, which fails in half a dozen ways
        raise ValueError(first_line(error)) from None
    return shape, "F" if fortran_order else "C", dtype


def _read_header(path, file, name):
    try:
        return read_header(file)
    except ValueError as error:
        raise CheckpointError(f"{path}: {name} is no array that can be read: {error}") from None
