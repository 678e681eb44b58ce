"""The data sets by name, and the form that all of them are brought into."""

from dataclasses import dataclass

import numpy as np

from tinyvit.errors import DataError, UsageError


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


TEN_DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("digits", 8, 1, 10, TEN_DIGITS, maximum=16, ink_box=1.0, ink_centre=3.5),
        Dataset("mnist", 28, 1, 10, TEN_DIGITS, maximum=255, ink_box=20 / 28, ink_centre=14.0),
        Dataset("fashion-mnist", 28, 1, 10, CLOTHES, maximum=255, ink_box=None, ink_centre=None),
    )
}


def dataset_named(name):
    """The entry of DATASETS with that name.

    Raises
    ------
    UsageError
        If there is none; the line names the choices.
    """
    if name not in DATASETS:
        raise UsageError(f"unknown data set {name!r}: expected one of {', '.join(DATASETS)}")
    return DATASETS[name]


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


def check_labels(labels, classes, source="labels"):
    """The labels as int64 [B], once each is known to be one of 0 to classes - 1.

    Checked here, on the CPU, because an index out of range is silent later: -1 is the last class to NumPy, and a GPU
    wraps it around.

    Raises
    ------
    DataError
        One line that begins with `source` (a file name, say): what was found, at which index, what was expected.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        found = f"found {labels.dtype} of shape {list(labels.shape)}"
        raise DataError(f"{source}: {found}, expected one whole number for each image")
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        index = int(wrong.argmax())
        count = f" ({wrong.sum()} such labels)" if wrong.sum() > 1 else ""
        raise DataError(f"{source}: found label {labels[index]} at index {index}{count}, expected 0 to {classes - 1}")
    return labels.astype(np.int64)
