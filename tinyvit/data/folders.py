"""Which pictures a folder or an archive holds, of which classes, and which of them are for testing.

    CLASS/picture                            a fixed fifth of every class is for testing
    train/CLASS/picture, test/CLASS/picture  as they lie

Either may lie in one more folder that holds nothing else, as most archives have it.
"""

import os
import unicodedata
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipInfo

import numpy as np

from tinyvit.data.images import SUFFIXES
from tinyvit.data.split import stratified
from tinyvit.errors import DataError

PICTURES = tuple(suffix for suffix in SUFFIXES if suffix != ".npy")
HIDDEN = (".", "__MACOSX")  # how names begin that file managers leave about
DEEPEST = 6  # folders below the one named: a link in a circle ends there
TEST_SHARE = 5  # one picture in so many is for testing
EXPECTED = "expected CLASS/picture, or train/CLASS/picture and test/CLASS/picture"


class Entry(NamedTuple):
    """A file of a folder or an archive."""

    path: str  # below the folder, or in the archive
    size: int  # bytes
    date: int = 0  # nanoseconds, of a file on the disk
    member: ZipInfo | None = None  # of an archive

    @property
    def is_picture(self):
        return os.path.splitext(self.path)[1].lower() in PICTURES


@dataclass
class Folder:
    """The folders and files in a folder, by name."""

    path: str
    folders: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)

    @cached_property
    def pictures(self):
        """Its own pictures, by name, in the order of their names."""
        return [self.files[name] for name in sorted(self.files) if self.files[name].is_picture]


class Listing(NamedTuple):
    """The pictures of a data set: those for training, then those for testing, each by class and name."""

    class_names: tuple
    entries: list
    labels: np.ndarray  # int64 [N]
    train: int  # how many of them are for training
    notes: list


def walked(path, below="", depth=0):
    """The Folder at a path of the disk.

    Raises
    ------
    DataError
        If one of its folders cannot be read.
    """
    folder = Folder(below)
    try:
        with os.scandir(os.path.join(path, below)) as entries:
            for entry in entries:
                if entry.name.startswith(HIDDEN):
                    continue
                name = f"{below}/{entry.name}" if below else entry.name
                if entry.is_dir():
                    folder.folders[entry.name] = walked(path, name, depth + 1) if depth < DEEPEST else Folder(name)
                else:
                    folder.files[entry.name] = _entry(entry, name)
    except OSError as error:
        raise DataError(f"{Path(path, below)}: cannot be read: {error.strerror or error}") from None
    return folder


def _entry(file, name):
    try:
        status = file.stat()
    except FileNotFoundError:  # a link to nowhere; it cannot be read, which will be said with the others
        status = file.stat(follow_symlinks=False)
    return Entry(name, status.st_size, status.st_mtime_ns)


def listed(root, source):
    """The Listing of a Folder.

    Parameters
    ----------
    root : Folder
    source : path of the folder or archive, for the errors

    Raises
    ------
    DataError
        If the pictures do not lie in classes, there are fewer than two, one is empty, two could be taken for each
        other, or one to be tested is none to be learned.
    """
    root = _unwrapped(root)
    parts = [root.folders.get(name) for name in ("train", "test")]
    if None not in parts and any(part.folders for part in parts):
        train, test = (_classes(part, f"{source}/{part.path}") for part in parts)
        if other := [name for name in test if name not in train]:
            raise DataError(f"{source}: found the class {other[0]!r} in test, expected one of train's: {_few(train)}")
        chosen = {
            name: (folder.pictures, test[name].pictures if name in test else []) for name, folder in train.items()
        }
        shown = [*train.values(), *test.values()]
    else:
        classes = _classes(root, source)
        chosen = _held_out({name: folder.pictures for name, folder in classes.items()}, source)
        shown = classes.values()
    entries = [entry for part in (0, 1) for pictures in chosen.values() for entry in pictures[part]]
    sizes = [len(pictures[part]) for part in (0, 1) for pictures in chosen.values()]
    labels = np.repeat(np.tile(np.arange(len(chosen)), 2), sizes)
    return Listing(tuple(chosen), entries, labels, sum(sizes[: len(chosen)]), _ignored(shown))


def _unwrapped(root):
    """The folder itself, or the only one in it, if that holds the classes."""
    while len(root.folders) == 1 and not root.pictures:
        (only,) = root.folders.values()
        if not only.folders or only.pictures:
            break
        root = only
    return root


def _classes(root, source):
    """{class name: Folder} by name; the names in Unicode's composed form, as one system writes é and another e + ´."""
    named = sorted((unicodedata.normalize("NFC", name), folder) for name, folder in root.folders.items())
    if not named:
        raise DataError(f"{source}: found no folders in it, one for each class: {EXPECTED}")
    seen = {}
    for name, folder in named:
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise DataError(f"{source}: the folder {name!a} cannot be shown as a class: give it another name")
        if (other := seen.setdefault(name.casefold(), folder)) is not folder:
            apart = f"{other.path!r} and {folder.path!r} differ in case or accents' form only"
            raise DataError(f"{source}: {apart}, and would be one class on other systems: rename one of them")
        if deeper := next((inner for inner in folder.folders.values() if inner.pictures or inner.folders), None):
            raise DataError(f"{source}: found folders within a class, {deeper.path!r}: {EXPECTED}")
        if not folder.pictures:
            expected = f"files that end in one of {', '.join(PICTURES)}"
            raise DataError(
                f"{source}: found no pictures in {folder.path!r}, expected {expected}; or remove the folder"
            )
    if len(named) == 1:
        raise DataError(f"{source}: found one class, {named[0][0]!r}, expected at least two to tell apart: {EXPECTED}")
    return dict(named)


def _held_out(classes, source):
    """{class name: (pictures to learn, pictures to test)}; a class's only picture is to be learned."""
    labels = np.repeat(np.arange(len(classes)), [len(pictures) for pictures in classes.values()])
    several = np.flatnonzero(np.bincount(labels)[labels] > 1)
    if len(several) == 0:
        raise DataError(f"{source}: found one picture in each class, expected more, so that one can be tested")
    test = np.zeros(len(labels), dtype=bool)
    test[several[stratified(labels[several], max(1, round(len(several) / TEST_SHARE)))]] = True
    parts = np.split(test, np.cumsum([len(pictures) for pictures in classes.values()])[:-1])
    return {
        name: tuple(
            [entry for entry, held in zip(pictures, part, strict=True) if held == which] for which in (False, True)
        )
        for (name, pictures), part in zip(classes.items(), parts, strict=True)
    }


def _ignored(folders):
    """A note on the files in the classes' folders that are no pictures by their names; or none."""
    others = [file.path for folder in folders for _, file in sorted(folder.files.items()) if not file.is_picture]
    if not others:
        return []
    return [f"ignored {len(others)} file{'s' * (len(others) > 1)} that no picture is named like: {_few(others)}"]


def _few(names):
    """The first of some names, and how many there are."""
    names = list(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
