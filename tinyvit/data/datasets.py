"""The data sets by name, and the form that all of them are brought into."""

import os
from dataclasses import dataclass

import numpy as np

from tinyvit.errors import UsageError
from tinyvit.names import expected


@dataclass(frozen=True)
class Dataset:
    """What a model and a prediction must know of a data set.

    `ink_box` and `ink_centre` say how the set's pictures are arranged, so that a picture to predict can be arranged
    likewise: the part of the side that the longer side of the ink fills, and the index of the row and column (both
    counted from 0, as measured over the whole set) in which the ink's centre of mass lies. None: the set's pictures
    are not arranged by their ink.
    """

    name: str
    side: int  # pixels
    channels: int
    classes: int
    class_names: tuple[str, ...]
    maximum: int  # the brightest pixel value in the files; 0 is the background
    ink_box: float | None
    ink_centre: float | None  # pixels
    photos: bool = False  # pictures are resized and cut out as photographs, in colour or grey, light or dark


TEN_DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("digits", 8, 1, 10, TEN_DIGITS, maximum=16, ink_box=1.0, ink_centre=3.5),
        Dataset("mnist", 28, 1, 10, TEN_DIGITS, maximum=255, ink_box=20 / 28, ink_centre=14.0),
        Dataset("fashion-mnist", 28, 1, 10, CLOTHES, maximum=255, ink_box=None, ink_centre=None),
        Dataset("cifar-10", 32, 3, 10, OBJECTS, maximum=255, ink_box=None, ink_centre=None, photos=True),
    )
}


def dataset_named(name: str | os.PathLike) -> Dataset | None:
    """The entry of DATASETS with that name; None for the path of a folder or file, which is known once it is read.

    A name wins over a folder of the same name; that is written ./NAME.

    Raises
    ------
    UsageError
        If there is neither; the line names the choices.
    """
    if name in DATASETS:
        return DATASETS[name]
    try:
        there = os.path.exists(os.path.expanduser(name))
    except (TypeError, ValueError):  # not even text; or a zero byte in it
        there = False
    if not there:
        raise UsageError(f"unknown data set {str(name)!r}: {expected(name, DATASETS)}, or a folder or .zip of pictures")
    return None


def scale(images, maximum):
    """Pixels 0 to maximum as float32 from -1 to 1: (x - half) / half with half = maximum / 2, ViT's own normalisation.

    Parameters
    ----------
    images : array of numbers, any shape

    Returns
    -------
    array of float32, the same shape, always fresh; the background 0 becomes -1
    """
    half = maximum / 2
    x = images.astype(np.float32)
    x -= half
    x /= half
    return x
