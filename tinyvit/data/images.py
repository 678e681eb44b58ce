"""Read a picture that a user hands in: PNG, JPEG and the like, or an array in a .npy file.

What a file takes to read is known from its header, before anything is decoded: the limit is one of memory, for every
format. A decoded picture is changed strip by strip, so that it is never in memory several times.
"""

import os
import threading
import warnings
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np

from tinyvit.data.image_arrays import LONGEST_SIDE, as_bytes, gathered, halved_by, numbers_as_bytes, read_npy
from tinyvit.errors import DataError, first_line

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright red, green and blue appear
# Pillow knows many more formats; some of them start other programs (EPS runs Ghostscript).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".npy")  # in a folder
GREY_MODES = ("1", "L", "LA", "La")
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # 16-bit grey; older versions of Pillow open it as I
MOST_BYTES = 3 * 2**28  # while a picture is decoded: 200 million pixels, in most formats
BESIDE_OTHERS = 2**27  # bytes: what takes more is decoded by one thread at a time
ALONE = threading.Lock()
MOST_PIXELS = 2**28  # in any, however small it is decoded
STRIP = 2**20  # pixels that are changed at a time
ORIENTATION, ROWS_PER_STRIP = 0x0112, 278  # the numbers of EXIF's and of TIFF's tag

__all__ = ["as_bytes", "decoded", "own_limits", "read_image"]


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture as bytes.

    A photograph is turned upright as its EXIF note says; what is transparent is laid on white; 16-bit grey is reduced
    to 8 bits; a picture of more than 67 million pixels is halved until it has no more. An array holds whole numbers 0
    to 255 or floats 0 to 1, in the shape [H, W], [H, W, 1] or [H, W, 3].

    Parameters
    ----------
    path : path of the file

    Returns
    -------
    array of uint8 [H, W, C]; C is 1 for grey, 3 for colour

    Raises
    ------
    DataError
        If the file is missing, damaged, too large, or no picture: one line with its name, what was found and what was
        expected.
    """
    with own_limits():
        return decoded(Path(os.path.expanduser(path)))


def decoded(path, stream=None):
    """As `read_image`, for threads that read beside each other: `own_limits` is to hold around all of them.

    Parameters
    ----------
    path : Path
    stream : open binary file, optional
        A picture that lies in no file of its own; `path` is then its name.
    """
    try:
        if stream is not None:
            return _read_picture(stream, path)
        if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would be waited for
            raise DataError(f"{path}: no ordinary file, expected a picture")
        with open(path, "rb") as file:
            return read_npy(file, path) if path.suffix.lower() == ".npy" else _read_picture(file, path)
    except (DataError, MemoryError):
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or 'damaged or cut short'}") from None
    except Exception as error:  # decoders meet damaged files with a dozen kinds of exception, SyntaxError among them
        raise DataError(f"{path}: damaged, or not what its name says: {first_line(error)}") from error


@contextmanager
def own_limits():
    """Ours take the place of Pillow's limit, which holds for all threads, as the filters of warnings do."""
    from PIL import Image

    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # remarks about odd but readable files
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _read_picture(file, path):
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(file, formats=FORMATS) as image:
            large = _size_decoded(image, path) > BESIDE_OTHERS
            with ALONE if large else nullcontext():
                image.load()
                pixels, orientation = _pixels(image, path), image.getexif().get(ORIENTATION)
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a picture that can be read; expected {', '.join(FORMATS)} or .npy") from None
    return _upright(pixels, orientation)


def _size_decoded(image, path):
    """The bytes that an image takes to decode; of a large JPEG, at the smaller size that is set here.

    Raises
    ------
    DataError
        If they are too many.
    """
    width, height = image.size
    if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
        expected = f"at most {LONGEST_SIDE} on a side, and {MOST_PIXELS // 10**6} million"
        raise DataError(f"{path}: found {width} x {height} pixels, expected {expected}: make it smaller")
    kept = 0
    if image.format in ("JPEG", "MPO"):  # MPO are some cameras' JPEGs, with another picture behind
        kept = 6 * width * height if image.info.get("progressive") else 0  # every coefficient, until the last has come
        if (by := halved_by(height, width)) > 1:
            image.draft(None, (width // by, height // by))
    size = image.width * image.height * _bytes_per_pixel(image) + kept
    if size > MOST_BYTES:
        found = f"{width} x {height} pixels of {image.format}, which take {size // 10**6} MB to decode"
        raise DataError(f"{path}: found {found}, expected at most {MOST_BYTES // 10**6} MB: make it smaller")
    return size


def _bytes_per_pixel(image):
    """What Pillow needs for each pixel while it decodes, as measured."""
    if image.format == "WEBP":
        return 16
    if image.format == "TIFF":
        in_one_strip = image.tag_v2.get(ROWS_PER_STRIP, image.height) >= image.height
        return 8 if in_one_strip else 4
    return 4


def _pixels(image, path):
    """A Pillow image of any mode as uint8 [H, W, 1 or 3]."""
    (width, height), by = image.size, halved_by(image.height, image.width)
    rows = max(1, STRIP // (width * by)) * by
    strips = (image.crop((0, top, width, min(top + rows, height))) for top in range(0, height, rows))
    if image.mode == "F":
        pieces = numbers_as_bytes((np.asarray(strip)[:, :, None] for strip in strips), np.dtype("f4"), path)
    else:
        pieces = (_strip_pixels(strip) for strip in strips)
    return gathered(pieces, height, width, by)


def _strip_pixels(image):
    """As `_pixels`, of a small image."""
    from PIL import Image

    if image.mode in DEEP_MODES:
        deep = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return ((deep + 128) // 257).astype(np.uint8)[:, :, None]  # 65535 = 255 * 257
    mode = "L" if image.mode in GREY_MODES else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    pixels = np.asarray(image.convert(mode))
    return pixels[:, :, None] if mode == "L" else pixels


def _upright(pixels, orientation):
    """A picture as it was seen, from how EXIF says that the camera was held."""
    undo = {
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: np.rot90,
    }
    return np.ascontiguousarray(undo[orientation](pixels)) if orientation in list(undo) else pixels
