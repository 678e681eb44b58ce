"""MNIST and Fashion-MNIST: where their four files are found, and what must be true of them.

The files of both sets bear the same names, so the contents are told apart by their checksums.
"""

import hashlib
import operator
import os
from contextlib import suppress
from pathlib import Path

from tinyvit.data.datasets import dataset_named
from tinyvit.data.download import VARIABLE, download, not_found
from tinyvit.data.idx import idx_shape, read_idx
from tinyvit.data.sources import FILES, SOURCES
from tinyvit.errors import DataError
from tinyvit.ops.labels import check_labels


def load(name, data_dir=None):
    """The set as it was published.

    Returns
    -------
    (images, labels), (test_images, test_labels) : uint8 [B, 28, 28]; int64 [B]

    Raises
    ------
    DataError
        If the files are not found, cannot be downloaded, are another set's, damaged, or do not fit each other.
    """
    paths = locate(name, data_dir)
    try:
        return _parts(name, paths)
    except DataError:
        if not _is_download(name, paths):
            raise
        with suppress(DataError):  # without a network, the damage is what there is to say
            return _parts(name, _fetch(name, cache_folder(name)))
        raise


def _parts(name, paths):
    return _load_part(name, *paths[:2]), _load_part(name, *paths[2:])


def _is_download(name, paths):
    """Whether files are a set that was downloaded, though some were damaged since; and not a set of one's own."""
    downloaded = [cache_folder(name) / f"{file}.gz" for file in FILES]
    return paths == downloaded and any(map(operator.eq, map(_sha256, paths), SOURCES[name].sha256))


def _load_part(name, images_path, labels_path):
    dataset = dataset_named(name)
    shape, (labels,) = idx_shape(images_path, 3), idx_shape(labels_path, 1)
    if shape[1:] != (dataset.side, dataset.side) or shape[0] == 0:
        expected = f"images of {dataset.side} x {dataset.side} pixels"
        raise DataError(f"{images_path}: found {' x '.join(map(str, shape))}, expected {expected}")
    if shape[0] != labels:
        expected = f"{shape[0]}, one for each image in {images_path.name}"
        raise DataError(f"{labels_path}: found {labels} labels, expected {expected}")
    return read_idx(images_path, 3), check_labels(read_idx(labels_path, 1), dataset.classes, labels_path)


def locate(name, data_dir=None):
    """The paths of the four files: in `data_dir` if given; else in $TINYVIT_DATA or the cache, or downloaded to it.

    Raises
    ------
    DataError
        If `data_dir` is given and they are not in it, or they cannot be downloaded.
    """
    if data_dir is not None:
        return _find_given(name, Path(os.path.expanduser(data_dir)))
    set_by_user = os.environ.get(VARIABLE)
    paths = set_by_user and find(name, Path(os.path.expanduser(set_by_user)))
    if paths and not other_set(name, paths):
        return paths
    cache = cache_folder(name)
    paths = find(name, cache)
    return _refuse_other_set(name, paths) if paths else _fetch(name, cache)


def find(name, root):
    """The paths of the four files in the first of the set's folders under `root` that holds them all, or None."""
    return next((paths for paths in map(_paths_in, _folders(name, root)) if None not in paths), None)


def other_set(name, paths):
    """(path, title) of the first file that is really another set's, or None."""
    owners = {sha256: source for source in SOURCES.values() for sha256 in source.sha256}
    for path in paths:
        owner = owners.get(_sha256(path))
        if owner not in (None, SOURCES[name]):
            return path, owner.title
    return None


def cache_folder(name):
    """Where downloads are kept, and where files put by hand are found: the system's cache folder for this user."""
    import pooch

    return Path(pooch.os_cache("tinyvit")) / name


def _folders(name, root):
    return [root / folder for folder in SOURCES[name].folders]


def _paths_in(folder):
    """The paths of the four files in a folder; None for what is not there."""
    return [next((path for path in _spellings(folder, file) if os.path.isfile(path)), None) for file in FILES]


def _spellings(folder, file):
    """The names a file goes by: as published, unpacked (torchvision leaves both), with the dot some archives have."""
    dotted = file.replace("-idx", ".idx")
    return [folder / f"{file}.gz", folder / file, folder / dotted, folder / f"{dotted}.gz"]


def _find_given(name, data_dir):
    title = SOURCES[name].title
    if not data_dir.is_dir():
        raise DataError(f"{data_dir}: no such folder; expected one with {title}'s files")
    paths = find(name, data_dir)
    if paths is None:
        nearest = min(_folders(name, data_dir), key=lambda folder: _paths_in(folder).count(None))
        lacks = ", ".join(file for file, path in zip(FILES, _paths_in(nearest), strict=True) if path is None)
        others = " and ".join(folder for folder in SOURCES[name].folders if folder)
        lacks = f"{nearest.relative_to(data_dir.parent)} lacks {lacks} (.gz or unpacked)"
        raise DataError(f"{title} not found: looked in {data_dir} and its folders {others}; {lacks}")
    return _refuse_other_set(name, paths)


def _refuse_other_set(name, paths):
    """The paths themselves, if no file among them is another set's."""
    other = other_set(name, paths)
    if other:
        path, owner = other
        expected = f"{SOURCES[name].title}'s; the two sets' files bear the same names"
        raise DataError(f"{path}: found {owner}'s file, expected {expected}")
    return paths


def _fetch(name, folder):
    """Download the four files. Where that fails, the line says how to do without."""
    source = SOURCES[name]
    try:
        files = zip(FILES, source.sha256, strict=True)
        return [download(f"{file}.gz", source.mirrors, sha256, folder) for file, sha256 in files]
    except DataError as error:
        raise not_found(source.title, error, "its four .gz files", folder) from None


def _sha256(path):
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
