"""Pictures that are arrays, and the rows of a picture put together: piece by piece, so that little memory is taken."""

import itertools
import math
import os

import numpy as np

from tinyvit import npz
from tinyvit.errors import DataError

LARGE = 2**26  # pixels; a picture of more is halved, since no model looks at so many
LARGEST = 3 * 2**28  # entries of an array: with a float64 each, it takes 6 GB of disk
LONGEST_SIDE = 2**16  # pixels
AT_ONCE = 2**20  # entries
FORMS = "[H, W], [H, W, 1] or [H, W, 3]"


def read_npy(file, path):
    """A picture in a .npy file, open at its beginning, as `read_image` returns it.

    Its shape and type are checked before any number is read. Whatever is wrong with the header is a ValueError.

    Raises
    ------
    DataError
        As `as_bytes`; or if the array is larger than a picture, or than the file.
    """
    shape, order, dtype = npz.read_header(file)
    _check(shape, dtype, path)
    count, there = math.prod(shape), os.fstat(file.fileno()).st_size - file.tell()
    if count > LARGEST or max(shape) > LONGEST_SIDE:
        raise DataError(f"{path}: found an array of shape {list(shape)}, expected a picture of ordinary size")
    if count * dtype.itemsize != there:
        declared = f"found {there} bytes of numbers, expected {npz.form(shape, dtype)}"
        raise DataError(f"{path}: damaged or cut short: {declared}")
    sizes = (min(AT_ONCE, count - start) for start in range(0, count, AT_ONCE))
    pieces, pixels, start = (np.fromfile(file, dtype, size) for size in sizes), np.empty(count, np.uint8), 0
    for piece in numbers_as_bytes(pieces, dtype, path):
        pixels[start : start + len(piece)] = piece
        start += len(piece)
    height, width, channels = (*shape, 1)[:3]
    pixels = pixels.reshape((height, width, channels), order=order)
    by = halved_by(height, width)
    if by == 1:
        return np.ascontiguousarray(pixels)
    return gathered(_rows(pixels, by), height, width, by)


def as_bytes(array, source="picture"):
    """A picture given as an array, as uint8 [H, W, C], fresh.

    Raises
    ------
    DataError
        If the shape is not [H, W], [H, W, 1] or [H, W, 3], or the values not whole numbers 0 to 255 or floats 0 to 1;
        the line begins with `source` (a file name, say).
    """
    _check(array.shape, array.dtype, source)
    array = array.reshape(*array.shape[:2], -1)
    return gathered(numbers_as_bytes(_rows(array, 1), array.dtype, source), *array.shape[:2], 1)


def numbers_as_bytes(pieces, dtype, source):
    """Yield the pieces of a picture's array as uint8.

    Raises
    ------
    DataError
        Behind the last of them, if a number was none of a picture.
    """
    most, low, high = 1 if dtype.kind == "f" else 255, math.inf, -math.inf
    for piece in pieces:
        low, high = np.minimum(low, piece.min()), np.maximum(high, piece.max())
        with np.errstate(all="ignore"):  # numbers that cannot be bytes will be refused
            yield (np.rint(piece * 255.0) if most == 1 else piece).astype(np.uint8)
    if not (low >= 0 and high <= most):  # false for NaN, too
        expected = "floats 0 to 1" if most == 1 else "whole numbers 0 to 255"
        raise DataError(f"{source}: found values from {_exact(low)} to {_exact(high)}, expected {expected}")


def _exact(number):
    """A number in words, of which 1.0000001 is not 1."""
    short = f"{number:g}"
    return short if float(short) == number else str(number)


def halved_by(height, width):
    """By what both sides are divided, so that a picture is not LARGE: 1, 2, 4, ..."""
    return next(by for by in (2**n for n in itertools.count()) if -(-height // by) * -(-width // by) <= LARGE)


def gathered(pieces, height, width, by):
    """The pieces of a picture, uint8 [rows, W, C] from the top, as one array; each is `by` times smaller in it."""
    from PIL import Image

    picture, top = None, 0
    for piece in pieces:
        if by > 1:  # the mean of each square; PIL has no image of one channel with a third axis
            piece = np.asarray(Image.fromarray(np.squeeze(piece, 2) if piece.shape[2] == 1 else piece).reduce(by))
            piece = piece.reshape(*piece.shape[:2], -1)
        if picture is None:
            picture = np.empty((-(-height // by), -(-width // by), piece.shape[2]), np.uint8)
        picture[top : top + len(piece)] = piece
        top += len(piece)
    return picture


def _rows(array, by):
    """An array [H, W, C] in pieces of some rows, a multiple of `by`."""
    rows = max(1, AT_ONCE // (array[0].size * by)) * by
    return (array[top : top + rows] for top in range(0, len(array), rows))


def _check(shape, dtype, source):
    """Raise DataError unless an array can be a picture."""
    if len(shape) not in (2, 3) or shape[2:] not in ((), (1,), (3,)) or 0 in shape:
        raise DataError(f"{source}: found an array of shape {list(shape)}, expected {FORMS}")
    if dtype.kind not in "iuf":
        found = "Python objects" if dtype.hasobject else dtype
        raise DataError(f"{source}: found an array of {found}, expected whole numbers 0 to 255 or floats 0 to 1")
