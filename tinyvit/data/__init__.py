"""Data sets by name, augmentation, and pictures of one's own.

(x, y), (x_test, y_test) = load_data("digits")         bundled; "mnist", "cifar-10" and others are found or downloaded
(x, y), (x_test, y_test) = load_data("photos/")        a folder, or .zip, of pictures: photos/CLASS/picture.jpg
(x, y), (x_val, y_val) = hold_out(x, y, fraction=0.1)  what to choose settings by
x = augment(rng, x, shift=1)                           fresh random changes for every step
image, notes = prepare(read_image("photo.jpg"), DATASETS["digits"])
"""

import os

import numpy as np

from tinyvit.data import cifar, digits, mnist, pictures
from tinyvit.data.augmentation import augment
from tinyvit.data.datasets import DATASETS, Dataset, dataset_named, scale
from tinyvit.data.images import read_image
from tinyvit.data.pictures import Loaded
from tinyvit.data.pixels import Pixels, resized
from tinyvit.data.preprocess import prepare
from tinyvit.data.split import held_out_count, hold_out, hold_out_indices
from tinyvit.data.transforms import affine, affine_matrices, shift
from tinyvit.ops.labels import check_labels
from tinyvit.ops.resize import both_sides

__all__ = [
    "DATASETS",
    "Dataset",
    "Loaded",
    "Pixels",
    "affine",
    "affine_matrices",
    "augment",
    "dataset_named",
    "fitted",
    "held_out_count",
    "hold_out",
    "hold_out_indices",
    "load_data",
    "prepare",
    "read_data",
    "read_image",
    "shift",
]


def load_data(
    data: str | os.PathLike, data_dir: str | os.PathLike | None = None, *, size: int | tuple[int, int] | None = None
) -> tuple[tuple, tuple]:
    """Load a data set, ready for training.

    Parameters
    ----------
    data : name of a data set, or path of a folder or .zip of pictures, as for `read_data`
    data_dir : folder, optional
        Where the files of a data set that is published are: in it, in its subfolder of the set's name, or where
        torchvision puts them. Without it they are looked for in $TINYVIT_DATA and the user's cache folder, and
        downloaded to the latter if they are in neither. digits is bundled and needs none.
    size : int or (int, int), optional
        Side of the images in pixels, or height and width, for a model of another size than the set's: they are resized,
        bilinearly. Pictures of one's own are square.

    Returns
    -------
    (x, y), (x_test, y_test)
        Images, float32 [B, H, W, C] from -1 (black) to 1, and labels, int64 [B]. Colour images and one's own pictures
        are Pixels: they stay bytes until they are indexed.

    Raises
    ------
    UsageError
        If there is no such data set.
    DataError
        If its files are missing, damaged, or another set's.
    """
    loaded = read_data(data, data_dir, size=size)
    return loaded.train, loaded.test


def read_data(
    data: str | os.PathLike,
    data_dir: str | os.PathLike | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    skip_broken: bool = False,
    progress: bool = False,
) -> Loaded:
    """Load a data set together with what is to be known of it.

    Parameters
    ----------
    data : str or path
        A name in DATASETS, which wins over a folder of that name; or the path of a folder of pictures, CLASS/picture or
        train/CLASS/picture and test/CLASS/picture, or of a .zip that holds such folders. Where the pictures are not
        divided, a fixed fifth of every class is for testing.
    data_dir, size
        As in `load_data`. Pictures of one's own have a side of 32 pixels where no size is given.
    skip_broken : bool
        Leave out pictures that cannot be read; otherwise they are an error.
    progress : bool
        Show a bar on standard error while many pictures are read.

    Returns
    -------
    Loaded
        dataset, train (x, y), test (x, y), and notes: sentences on what was ignored or left out.

    Raises
    ------
    UsageError, DataError
        As `load_data`; also if pictures do not lie in two classes or more, or cannot be read.
    """
    dataset = dataset_named(data)
    if dataset is None:
        return pictures.load(data, size=size, skip_broken=skip_broken, progress=progress)
    side = size or dataset.side
    parts: list  # (images, labels)
    if dataset.photos:
        parts = [(Pixels(images, side), labels) for images, labels in cifar.load(data_dir)]
    else:
        parts = digits.load() if dataset.name == "digits" else mnist.load(dataset.name, data_dir)
        parts = [(fitted(scale(images, dataset.maximum)[..., None], side), labels) for images, labels in parts]
    return Loaded(dataset, *((x, check_labels(y, dataset.classes)) for x, y in parts))


def fitted(images: np.ndarray | Pixels, size: int | tuple[int, int]) -> np.ndarray | Pixels:
    """Images [B, H, W, C] of this size: themselves, if they have it, else resized bilinearly.

    Pixels are resized when they are indexed.
    """
    if images.shape[1:3] == both_sides(size):
        return images
    return Pixels(images.stored, size) if isinstance(images, Pixels) else resized(images, size)
