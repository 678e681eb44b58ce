"""CIFAR-10: where its archive is found, and how its batches are read; the archive is never unpacked.

Both published forms hold six batches of 10,000 images, five for training. An image is 3,072 bytes: 1,024 of red, row by
row, then as many of green, and of blue.
"""

import hashlib
import os
import tarfile
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyvit.data.download import VARIABLE, download, not_found
from tinyvit.data.mnist import cache_folder
from tinyvit.data.unpickle import batch_of
from tinyvit.errors import DataError
from tinyvit.ops.labels import check_labels

NAME = "cifar-10"
MIRRORS = ("https://www.cs.toronto.edu/~kriz/",)
IMAGES = 10_000  # in a batch
BYTES = 3 * 32 * 32  # of an image
LARGEST = 2 * IMAGES * BYTES  # bytes of a batch; the pickled ones also hold the images' names
TRAIN, TEST = tuple(f"data_batch_{number}" for number in range(1, 6)), "test_batch"


@dataclass(frozen=True)
class Form:
    """A form in which CIFAR-10 is published."""

    archive: str
    md5: str
    folder: str  # of the batches in the archive, and where it was unpacked
    suffix: str  # of a batch


FORMS = (
    Form("cifar-10-binary.tar.gz", "c32a1d4ab5d03f1284b67883e8d87530", "cifar-10-batches-bin", ".bin"),
    Form("cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a", "cifar-10-batches-py", ""),
)  # the first is what is downloaded: it holds no pickles


def load(data_dir=None):
    """The set as it was published.

    Returns
    -------
    (images, labels), (test_images, test_labels) : uint8 [B, 32, 32, 3]; int64 [B]

    Raises
    ------
    DataError
        If it is not found, cannot be downloaded, is damaged, or is not CIFAR-10.
    """
    path, form = locate(data_dir)
    try:
        return _read(path, form)
    except DataError:
        if path != cache_folder(NAME) / form.archive:
            raise
        with suppress(DataError):  # without a network, the damage is what there is to say
            return _read(download(form.archive, MIRRORS, f"md5:{form.md5}", path.parent), form)
        raise


def _read(path, form):
    batches = _unpacked(path, form) if path.is_dir() else _packed(path, form)
    read = _binary_batch if form.suffix else batch_of
    parts = [_images_and_labels(*read(batches[name], where), where) for name, where in _named(path, form)]
    images, labels = zip(*parts[:-1], strict=True)
    return (np.concatenate(images), np.concatenate(labels)), parts[-1]


def locate(data_dir=None):
    """(path, form) of the archive or of the folder it was unpacked to; downloaded if it is nowhere.

    Raises
    ------
    DataError
        If `data_dir` is given and does not hold it, or it cannot be downloaded.
    """
    if data_dir is not None:
        root = Path(os.path.expanduser(data_dir))
        if found := _find(root):
            return found
        names = ", ".join(name for form in FORMS for name in (form.archive, form.folder + "/"))
        raise DataError(f"CIFAR-10 not found: looked in {root / 'cifar-10'} and {root}, expected one of {names}")
    set_by_user = os.environ.get(VARIABLE)
    cache = cache_folder(NAME)
    if found := (set_by_user and _find(Path(os.path.expanduser(set_by_user)))) or _find(cache):
        return found
    form = FORMS[0]
    try:
        return download(form.archive, MIRRORS, f"md5:{form.md5}", cache), form
    except DataError as error:
        raise not_found("CIFAR-10", error, "the file", cache) from None


def _find(root):
    """(path, form) of the first that lies in root/cifar-10 or in root; or None."""
    places = [(folder / name, form) for folder in (root / "cifar-10", root) for form in FORMS for name in _names(form)]
    return next(((path, form) for path, form in places if path.exists()), None)


def _names(form):
    return form.folder, form.archive


def _named(path, form):
    """(name, path to show) of each batch, the test batch last."""
    return [(name + form.suffix, path / (name + form.suffix)) for name in (*TRAIN, TEST)]


def _unpacked(folder, form):
    """{name: bytes} of the batches in a folder."""
    batches = {}
    for name, path in _named(folder, form):
        try:
            with open(path, "rb") as file:
                batches[name] = file.read(LARGEST)
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}; unpack {form.archive} again") from None
    return batches


def _packed(path, form):
    """{name: bytes} of the batches in an archive whose checksum is right."""
    try:
        with open(path, "rb") as file:
            md5 = hashlib.file_digest(file, "md5").hexdigest()
        if md5 != form.md5:
            raise DataError(f"{path}: found the MD5 sum {md5}, expected {form.md5}: copy or download the file again")
        with tarfile.open(path, "r:gz") as archive:
            members = {member.name.removeprefix(f"{form.folder}/"): member for member in archive if member.isreg()}
            return {name: archive.extractfile(members[name]).read(LARGEST) for name, _ in _named(path, form)}
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (tarfile.TarError, EOFError, zlib.error, KeyError) as error:
        raise DataError(f"{path}: damaged, or not {form.archive}: {error}") from None


def _binary_batch(data, path):
    """Rows of a label and an image, as uint8 [B, 3072], and the labels, [B]."""
    if len(data) != IMAGES * (1 + BYTES):
        expected = f"{IMAGES} images of {1 + BYTES} bytes each"
        raise DataError(f"{path}: found {len(data)} bytes, expected {expected}: copy or download the file again")
    rows = np.frombuffer(data, np.uint8).reshape(-1, 1 + BYTES)
    return rows[:, 1:], rows[:, 0]


def _images_and_labels(rows, labels, path):
    if rows.shape != (IMAGES, BYTES) or len(labels) != IMAGES:
        found = f"found an array of shape {list(rows.shape)} and {len(labels)} labels"
        raise DataError(f"{path}: {found}, expected {IMAGES} images of {BYTES} bytes and a label for each")
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), check_labels(labels, 10, path)
