"""The data sets by name, and the form that all of them are brought into."""

import dataclasses
import os
import reprlib
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from tinyvit.errors import UsageError
from tinyvit.names import expected


@dataclass(frozen=True)
class Dataset:
    """What a model and a prediction must know of a data set.

    `ink_box` and `ink_centre` say how the set's pictures are arranged, so that a picture to predict can be arranged
    likewise: the part of the side that the longer side of the ink fills, and the index of the row and column (both
    counted from 0, as measured over the whole set) in which the ink's centre of mass lies. `ink_spread` is how far from
    there, along either axis, it lies in the set's own pictures, at most: farther is out of place. None: the set's
    pictures are not arranged by their ink.
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
    ink_spread: float | None = None  # pixels

    def __post_init__(self):
        whole = ("side", self.side, 2**16), ("classes", self.classes, 2**24), ("maximum", self.maximum, 2**16)
        for name, value, most in whole:
            if type(value) is not int or not 1 <= value <= most:
                raise UsageError(f"{name} is {reprlib.repr(value)}: expected a whole number from 1 to {most}")
        names = self.class_names
        if not all(isinstance(name, str) for name in (self.name, *names)):
            raise UsageError("the name of a data set and the names of its classes: expected text")
        if self.classes != len(names):
            raise UsageError(f"classes is {self.classes}: expected {len(names)}, one for each name")
        if self.channels not in (1, 3) or type(self.photos) is not bool:
            raise UsageError("channels and photos: expected 1 or 3, true or false")
        ink = (self.ink_box, self.ink_centre, self.ink_spread)
        if ink != (None, None, None):
            if self.channels != 1 or not all(type(number) in (int, float) for number in ink):
                raise UsageError("ink_box, ink_centre and ink_spread: expected numbers, of a grey data set; or none")
            if not (0 < ink[0] <= 1 and 0 <= ink[1] < self.side and 0 <= ink[2] < self.side):
                raise UsageError(f"the place of the ink is {reprlib.repr(ink)}: expected one inside the picture")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The data set that `dataclasses.asdict` took apart, for instance read from a file.

        Raises
        ------
        UsageError
            If a name is unknown or missing, or a value is not possible.
        """
        if not isinstance(values, dict) or not isinstance(values.get("class_names"), list | tuple):
            raise UsageError("not a data set: expected its settings, among them the names of its classes")
        known = {field.name for field in dataclasses.fields(cls)}
        if not set(values) <= known or not known - {"photos", "ink_spread"} <= set(values):
            raise UsageError(f"not a data set: expected values for {', '.join(sorted(known))}")
        return cls(**values | {"class_names": tuple(values["class_names"])})


TEN_DIGITS = tuple("0123456789")
CLOTHES = ("T-shirt/top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
OBJECTS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
DATASETS = {
    dataset.name: dataset
    for dataset in (
        Dataset("digits", 8, 1, 10, TEN_DIGITS, maximum=16, ink_box=1.0, ink_centre=3.5, ink_spread=1.2),
        Dataset("mnist", 28, 1, 10, TEN_DIGITS, maximum=255, ink_box=20 / 28, ink_centre=14.0, ink_spread=0.52),
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
