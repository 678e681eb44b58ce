"""A data set of one's own: a folder or .zip of pictures, one folder for each class; read once, then kept."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyvit.data import archive, kept
from tinyvit.data.datasets import Dataset
from tinyvit.data.folders import listed, walked
from tinyvit.data.images import decoded
from tinyvit.data.pixels import Pixels
from tinyvit.data.reading import Reading
from tinyvit.errors import DataError, UsageError

SIDE = 32  # pixels, where no size is asked for
LARGEST_SIDE = 4096


class Loaded(NamedTuple):
    """A data set, and what there is to say about how it was read."""

    dataset: Dataset
    train: tuple  # x, y: images [B, H, W, C] that read as float32 from -1 to 1, labels int64 [B]
    test: tuple
    notes: tuple = ()  # sentences


def load(path, *, size=None, skip_broken=False, progress=False):
    """The data set in a folder or .zip of pictures.

    Parameters
    ----------
    path : path of a folder or of a .zip file; how they may be arranged is said in folders.py
    size : int, optional
        Side of the images, in pixels (32 without): a picture's shorter side is resized to it, and the middle cut out.
    skip_broken : bool
        Leave pictures out that cannot be read, and say so in a note; otherwise they are an error.
    progress : bool
        Show a bar on standard error while pictures are read.

    Returns
    -------
    Loaded
        The images are Pixels, memory-mapped where the cache folder can be written; grey if every picture is.

    Raises
    ------
    DataError
        If the pictures are not arranged by class, or cannot be read.
    UsageError
        If the size is not possible.
    """
    path, size = Path(path).expanduser(), SIDE if size is None else size
    if type(size) is not int or not 1 <= size <= LARGEST_SIDE:
        raise UsageError(f"size is {size!r}: expected a whole number of pixels from 1 to {LARGEST_SIDE}")
    if path.is_dir():
        listing = listed(walked(path), path)
        state = [listing.train, *(entry[:3] for entry in listing.entries)]
        return _loaded(path, listing, state, lambda entry: decoded(path / entry.path), size, skip_broken, progress)
    with archive.opened(path) as opened:
        listing = listed(archive.tree(path, opened), path)

        def read(entry):
            name = path / entry.path
            return decoded(name, archive.read(opened, name, entry.member))

        status = os.stat(path)
        return _loaded(path, listing, [status.st_size, status.st_mtime_ns], read, size, skip_broken, progress)


def _loaded(path, listing, state, read, size, skip_broken, progress):
    """The data set of a listing, from the cache if it was kept there."""
    from tqdm import tqdm

    name = (path if path.is_dir() else path.with_suffix("")).resolve().name or "pictures"
    where = kept.kept_path(path, size, state)
    found, notes = kept.load(where, len(listing.entries)), []
    if found is None or not (skip_broken or found[1][1:].all()):
        about = {"total": len(listing.entries), "desc": f"reading {name}", "unit": "picture", "delay": 1}
        with tqdm(**about, disable=not progress) as bar:
            reading = Reading(read, listing.entries, size, skip_broken=skip_broken, bar=bar)
            found, notes = _kept_or_not(where, reading)
    images, marks = found
    readable = marks[1:].astype(bool)
    images, labels = images[..., :1] if marks[0] else images, listing.labels[readable]
    train = int(readable[: listing.train].sum())
    dataset = Dataset(name, size, images.shape[3], len(listing.class_names), listing.class_names, 255, None, None, True)
    notes += _left_out(listing, readable, path)
    parts = [(Pixels(images[part]), labels[part]) for part in (slice(None, train), slice(train, None))]
    return Loaded(dataset, *parts, (*listing.notes, *notes))


def _kept_or_not(where, reading):
    """(images, marks) and a list of notes: kept, or in memory if they cannot be."""
    try:
        kept.save(where, reading)
        if (found := kept.load(where, len(reading.entries))) is not None:
            return found, []
        reason = "it cannot be read back"
    except OSError as error:
        reason = error.strerror or str(error)
    images, count = np.empty((len(reading.entries), reading.size, reading.size, 3), np.uint8), 0
    for block in reading.blocks():
        images[count : count + len(block)] = block
        count += len(block)
    note = f"the pictures will be read anew at each start: {where.parent} cannot be written ({reason})"
    return (images[:count], reading.marks), [note]


def _left_out(listing, readable, path):
    """A note on the pictures that cannot be read; DataError if a class or the test part is left without any."""
    broken = np.flatnonzero(~readable)
    if len(broken) == 0:
        return []
    first = f"{path / listing.entries[broken[0]].path}"
    learned = np.bincount(
        listing.labels[: listing.train][readable[: listing.train]], minlength=len(listing.class_names)
    )
    if not learned.all():
        name = listing.class_names[int(learned.argmin())]
        raise DataError(f"{first}: cannot be read; nor can any other to learn of the class {name!r}: put some there")
    if not readable[listing.train :].any():
        raise DataError(f"{first}: cannot be read; nor can any other picture for testing: put some there")
    return [f"left out {len(broken)} of {len(readable)} pictures, which cannot be read; the first is {first}"]
