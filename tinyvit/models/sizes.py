"""Sizes of models and images, checked."""

import reprlib
from typing import Any

from tinyvit.errors import UsageError

LARGEST = 100_000  # of any size: far beyond every model
ImageSize = int | tuple[int, int]  # of square images their side, of others (height, width)


def check_whole(name: str, value: Any, least: int = 1, most: int = LARGEST) -> None:
    """Raise UsageError unless the value of this name is a whole number between the two."""
    if type(value) is not int or not least <= value <= most:
        raise UsageError(f"{name} is {value!r}: expected a whole number from {least} to {most}")


def in_pixels(image: ImageSize) -> str:
    """An image size in words, height before width: "224" or "32 x 128"."""
    return str(image) if isinstance(image, int) else " x ".join(map(str, image))


def checked_size(image: Any) -> ImageSize:
    """An image size as configurations have it: one number, or a tuple of two that differ.

    Raises
    ------
    UsageError
        If it is neither a whole number from 1 nor two of them, as a tuple or a list.
    """
    if not isinstance(image, tuple | list):
        check_whole("image", image)
        return image
    if len(image) != 2:
        raise UsageError(f"image is {reprlib.repr(image)}: expected one number of pixels, or height and width")
    for side in image:
        check_whole("image", side)
    return image[0] if image[0] == image[1] else tuple(image)
