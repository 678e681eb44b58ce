"""Read a picture that a user hands in: PNG, JPEG and the like, or an array in a .npy file."""

import os
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from tinyvit.errors import DataError

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: how bright red, green and blue appear
# Pillow knows many more formats; some of them start other programs (EPS runs Ghostscript).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".npy")  # in a folder
GREY_MODES = ("1", "L", "LA", "La")
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # 16-bit grey; older versions of Pillow open it as I


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Read a picture as bytes.

    A photograph is turned upright as its EXIF note says; what is transparent is laid on white; 16-bit grey is reduced
    to 8 bits. An array holds whole numbers 0 to 255 or floats 0 to 1, in the shape [H, W], [H, W, 1] or [H, W, 3].

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
    with strict_about_size():
        return decoded(Path(path).expanduser())


def decoded(path, stream=None):
    """As `read_image`, for threads that read beside each other: `strict_about_size` is to hold around all of them.

    Parameters
    ----------
    path : Path
    stream : open binary file, optional
        A picture that lies in no file of its own; `path` is then its name.
    """
    try:
        if stream is not None:
            return _read_picture(stream, path)
        with open(path, "rb") as file:
            return _read_array(path) if path.suffix.lower() == ".npy" else _read_picture(file, path)
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or 'damaged or cut short'}") from None
    except Exception as error:  # decoders meet damaged files with a dozen kinds of exception, SyntaxError among them
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise DataError(f"{path}: damaged, or not what its name says: {reason}") from error


@contextmanager
def strict_about_size():
    """Pillow's warning of a huge picture is an error within this; the filters of warnings belong to all threads."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks about odd but readable files
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _read_picture(file, path):
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(file, formats=FORMATS) as image:
            return _pixels(ImageOps.exif_transpose(image), path)
    except UnidentifiedImageError:
        raise DataError(f"{path}: not a picture that can be read; expected {', '.join(FORMATS)} or .npy") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        most = Image.MAX_IMAGE_PIXELS // 10**6
        raise DataError(f"{path}: found more than {most} million pixels, expected a picture of ordinary size") from None


def _pixels(image, path):
    """A Pillow image of any mode as uint8 [H, W, 1 or 3]."""
    from PIL import Image

    if image.mode in DEEP_MODES:
        deep = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
        return ((deep + 128) // 257).astype(np.uint8)[:, :, None]  # 65535 = 255 * 257
    if image.mode == "F":
        return as_bytes(np.asarray(image), path)
    mode = "L" if image.mode in GREY_MODES else "RGB"
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    pixels = np.array(image.convert(mode))
    return pixels[:, :, None] if mode == "L" else pixels


def _read_array(path):
    # Mapped, not read: pickles, and headers that declare more than the file holds, are refused before any allocation.
    return as_bytes(np.lib.format.open_memmap(path, mode="r"), path)


def as_bytes(array, source="picture"):
    """A picture given as an array, as uint8 [H, W, C], fresh.

    Raises
    ------
    DataError
        If the shape is not [H, W], [H, W, 1] or [H, W, 3], or the values not whole numbers 0 to 255 or floats 0 to 1;
        the line begins with `source` (a file name, say).
    """
    if array.ndim not in (2, 3) or array.shape[2:] not in ((), (1,), (3,)) or array.size == 0:
        shape = list(array.shape)
        raise DataError(f"{source}: found an array of shape {shape}, expected [H, W], [H, W, 1] or [H, W, 3]")
    if array.dtype.kind not in "iuf":
        expected = "whole numbers 0 to 255 or floats 0 to 1"
        raise DataError(f"{source}: found an array of {array.dtype}, expected {expected}")
    most = 1 if array.dtype.kind == "f" else 255
    low, high = array.min(), array.max()
    if not (low >= 0 and high <= most):  # false for NaN, too
        expected = "floats 0 to 1" if most == 1 else "whole numbers 0 to 255"
        raise DataError(f"{source}: found values from {low:g} to {high:g}, expected {expected}")
    pixels = np.rint(array * 255.0) if most == 1 else array
    return np.array(pixels, dtype=np.uint8).reshape(*array.shape[:2], -1)
