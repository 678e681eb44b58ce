"""A picture as data sets of photographs keep it, whether it is one of theirs or one to be predicted."""

import numpy as np

from tinyvit.data.datasets import scale
from tinyvit.data.photos import Preparation, prepare_photo


def prepare_member(image, size, channels):
    """A picture as the data sets of photographs keep it: the shorter side resized to `size`, and the middle cut out.

    Training and prediction both see a picture through this function, and so to the bit alike.

    Parameters
    ----------
    image : uint8 array [H, W, 1 or 3], as `read_image` returns it
    size : int, pixels
    channels : 1 or 3

    Returns
    -------
    array of uint8 [size, size, channels]

    Raises
    ------
    DataError
        As `prepare_photo`.
    """
    x = prepare_photo(image, Preparation(size, crop=1.0), channels)
    return np.rint((x + 1) * np.float32(127.5)).astype(np.uint8)


def as_member(image, dataset):
    """The input of a model that was trained on a data set of photographs, and what was done to the picture.

    Parameters
    ----------
    image : uint8 array [H, W, 1 or 3], as `read_image` returns it
    dataset : Dataset, one whose `photos` is true

    Returns
    -------
    image : array of float32 [side, side, channels], values -1 to 1
    notes : list of str, one short sentence for each thing that was done
    """
    (height, width), side, notes = image.shape[:2], dataset.side, []
    if dataset.channels == 1 and (image != image[:, :, :1]).any():
        notes.append("converted from colour to grey")
    if height != width:
        notes.append("cut to the square in the middle")
    if (height, width) != (side, side):
        notes.append(f"resized from {width}x{height} to {side}x{side}")
    return scale(prepare_member(image, side, dataset.channels), 255), notes
