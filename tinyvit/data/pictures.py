"""A data set of one's own: a folder or .zip of pictures, one folder for each class; read once, then kept."""

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyvit.data import archive, kept
from tinyvit.data.datasets import Dataset
from tinyvit.data.folders import walked
from tinyvit.data.images import decoded
from tinyvit.data.listing import listed
from tinyvit.data.pixels import Pixels
from tinyvit.data.reading import Reading
from tinyvit.errors import UsageError

FINGERPRINTED = 100  # images of each part, by which changed pictures are noticed
SIDE = 32  # pixels, where no size is asked for
LARGEST_SIDE = 4096


class Loaded(NamedTuple):
    """A data set, and what there is to say about how it was read."""

    dataset: Dataset
    train: tuple  # x, y: images [B, H, W, C] that read as float32 from -1 to 1, labels int64 [B]
    test: tuple
    notes: tuple = ()  # sentences

    @property
    def fingerprint(self) -> str:
        """A digest that changes when pictures come, go or change: of all labels, and of every so many-th image."""
        digest = hashlib.sha256()
        for x, y in (self.train, self.test):
            digest.update(y.tobytes())
            few = np.linspace(0, len(x) - 1, min(len(x), FINGERPRINTED)).astype(int)
            digest.update(np.ascontiguousarray(x[few]).tobytes())
        return digest.hexdigest()[:16]


def load(path, *, size=None, skip_broken=False, progress=False):
    """The data set in a folder or .zip of pictures.

    Parameters
    ----------
    path : path of a folder or of a .zip file; listing.py says how the pictures may be arranged in it
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
    path, size = Path(os.path.expanduser(path)), SIDE if size is None else size
    if type(size) is not int or not 1 <= size <= LARGEST_SIDE:
        raise UsageError(f"size is {size!r}: expected a whole number of pixels from 1 to {LARGEST_SIDE}")
    how = {"skip_broken": skip_broken, "progress": progress}
    if path.is_dir():
        listing = listed(walked(path), path)
        state = [listing.class_names, listing.train, listing.notes, [entry[:3] for entry in listing.entries]]
        read_all = partial(_read, path, listing, lambda entry: decoded(path / entry.path), **how)
        return _loaded(path.resolve().name, kept.kept_path(path, size, state), size, skip_broken, read_all)
    status = os.stat(path)
    state = [status.st_size, status.st_mtime_ns]
    read_all = partial(_read_archive, path, **how)
    return _loaded(path.stem, kept.kept_path(path, size, state), size, skip_broken, read_all)


def _loaded(name, where, size, skip_broken, read_all):
    """The data set as it was kept in the file `where`; read_all(where, size) keeps it there first, if need be."""
    found, notes = kept.load(where, size), []
    if found is None or (found[1]["skipped"] and not skip_broken):
        found, notes = read_all(where, size)
    images, about = found
    images = images[..., :1] if about["grey"] else images
    names = tuple(about["class_names"])
    dataset = Dataset(name or "pictures", size, images.shape[3], len(names), names, 255, None, None, photos=True)
    train, test = (np.repeat(np.arange(len(names)), counts) for counts in about["counts"])
    parts = (Pixels(images[: len(train)]), train), (Pixels(images[len(train) :]), test)
    return Loaded(dataset, *parts, (*about["notes"], *notes))


def _read_archive(path, where, size, **how):
    """As `_read`, from a .zip."""
    with archive.opened(path) as opened:

        def read(entry):
            name = path / entry.path
            return decoded(name, archive.read(opened, name, entry.member))

        return _read(path, listed(archive.tree(path, opened), path), read, where, size, **how)


def _read(path, listing, read, where, size, *, skip_broken, progress):
    """(images, description) of a listing, and notes: kept in the file `where`, or in memory if that cannot be."""
    from tqdm import tqdm

    about = {"desc": f"reading {path.name}", "unit": "picture", "delay": 1}
    with tqdm(total=len(listing.entries), disable=not progress, **about) as bar:
        reading = Reading(read, listing, size, skip_broken=skip_broken, bar=bar)
        try:
            kept.save(where, size, reading.blocks(), reading.description)
            if (found := kept.load(where, size)) is not None:
                return found, []
            reason = "it cannot be read back"
        except OSError as error:
            reason = error.strerror or str(error)
        images, count = np.empty((len(listing.entries), size, size, 3), np.uint8), 0
        for block in reading.blocks():
            images[count : count + len(block)] = block
            count += len(block)
        note = f"the pictures will be read anew at each start: {where.parent} cannot be written ({reason})"
        return (images[:count], reading.description()), [note]
