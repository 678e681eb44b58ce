"""Data sets by name, augmentation, and pictures of one's own.

(x, y), (x_test, y_test) = load_data("digits")         bundled; "mnist", "fashion-mnist" are found or downloaded
(x, y), (x_val, y_val) = hold_out(x, y, fraction=0.1)  what to choose settings by
x = augment(rng, x, shift=1)                           fresh random changes for every step
image, notes = prepare(read_image("photo.jpg"), DATASETS["digits"])
"""

from tinyvit.data import digits, mnist
from tinyvit.data.augmentation import augment
from tinyvit.data.datasets import DATASETS, Dataset, dataset_named, scale
from tinyvit.data.images import read_image
from tinyvit.data.preprocess import prepare
from tinyvit.data.split import held_out_count, hold_out
from tinyvit.data.transforms import affine, affine_matrices, shift
from tinyvit.ops.cross_entropy import check_labels
from tinyvit.ops.resize import resize

__all__ = [
    "DATASETS",
    "Dataset",
    "affine",
    "affine_matrices",
    "augment",
    "dataset_named",
    "fitted",
    "held_out_count",
    "hold_out",
    "load_data",
    "prepare",
    "read_image",
    "shift",
]


def load_data(name, data_dir=None, *, size=None):
    """Load a data set by its name, ready for training.

    Parameters
    ----------
    name : "digits", "mnist" or "fashion-mnist"
    data_dir : folder, optional
        Where the files of mnist and fashion-mnist are: in it, in its subfolder of the set's name, or where torchvision
        puts them. Without it they are looked for in $TINYVIT_DATA and the user's cache folder, and downloaded to the
        latter if they are in neither. digits is bundled and needs none.
    size : int, optional
        Resize the images to so many pixels, bilinearly: for a model of another size.

    Returns
    -------
    (x, y), (x_test, y_test)
        Images, float32 [B, H, W, C] from -1 (the background) to 1, and labels, int64 [B].

    Raises
    ------
    UsageError
        If there is no such data set.
    DataError
        If its files are missing, damaged, or another set's.
    """
    dataset = dataset_named(name)
    parts = digits.load() if name == "digits" else mnist.load(name, data_dir)
    scaled = [(scale(images, dataset.maximum)[..., None], labels) for images, labels in parts]
    return tuple((fitted(x, size or dataset.side), check_labels(y, dataset.classes)) for x, y in scaled)


def fitted(images, size):
    """Images [B, H, W, C] of this size: themselves, if they have it, else resized bilinearly."""
    if images.shape[1:3] == (size, size):
        return images
    return resize(images, size, size, "bilinear antialias")[0]
