"""Which pictures are of which class, and which of them are for testing.

    CLASS/picture                            a fixed fifth of every class is for testing
    train/CLASS/picture, test/CLASS/picture  as they lie

Either may lie in one more folder that holds nothing else, as most archives have it.
"""

import unicodedata
from typing import NamedTuple

import numpy as np

from tinyvit.data.folders import PICTURES
from tinyvit.data.split import stratified
from tinyvit.errors import DataError, one_line

TEST_SHARE = 5  # one picture in so many is for testing
EXPECTED = "expected CLASS/picture, or train/CLASS/picture and test/CLASS/picture"


class Listing(NamedTuple):
    """The pictures of a data set: those for training, then those for testing, each by class and name."""

    class_names: tuple
    entries: list
    labels: np.ndarray  # int64 [N]
    train: int  # how many of them are for training
    notes: list


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
    parts = {name: folder for name, folder in root.folders.items() if name in ("train", "test")}
    if len(parts) == 2 and any(part.folders for part in parts.values()):
        return _divided(root, parts, source)
    classes = _several(_classes(root, source), source)
    entries, labels = _flat(classes, list(classes))
    test = _held_out(labels, source)
    order = np.concatenate([np.flatnonzero(~test), np.flatnonzero(test)])
    notes = _ignored(classes.values(), [picture.path for picture in root.pictures])
    return Listing(tuple(classes), [entries[i] for i in order], labels[order], int((~test).sum()), notes)


def _divided(root, parts, source):
    """The Listing of a Folder that holds the folders train and test."""
    train, test = (_classes(parts[name], f"{source}/{parts[name].path}") for name in ("train", "test"))
    names = list(_several(train, f"{source}/{parts['train'].path}"))
    if other := [name for name in test if name not in train]:
        raise DataError(f"{source}: found the class {other[0]!r} in test, expected one of train's: {_few(names)}")
    (learned, labels), (tested, test_labels) = (_flat(part, names) for part in (train, test))
    strays = [picture.path for folder in (root, *parts.values()) for picture in folder.pictures]
    strays += [f"{folder.path}/" for name, folder in sorted(root.folders.items()) if name not in parts]
    notes = _ignored([*train.values(), *test.values()], strays)
    return Listing(tuple(names), learned + tested, np.concatenate([labels, test_labels]), len(learned), notes)


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
    named = [(unicodedata.normalize("NFC", name), folder) for name, folder in sorted(root.folders.items())]
    if not named:
        raise DataError(f"{source}: found no folders in it, one for each class: {EXPECTED}")
    seen = {}
    for name, folder in named:
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name):
            raise DataError(f"{source}: the folder {name!a} cannot be shown as a class: give it another name")
        if (other := seen.setdefault(name.casefold(), folder)) is not folder:
            apart = f"{other.path!r} and {folder.path!r} differ in case or in the form of an accent only"
            raise DataError(f"{source}: {apart}, and would be one class on other systems: rename one of them")
        if deeper := next((inner for inner in folder.folders.values() if inner.pictures or inner.folders), None):
            raise DataError(f"{source}: found folders within a class, {deeper.path!r}: {EXPECTED}")
        if not folder.pictures:
            found = f"found no pictures in the class {folder.path!r}"
            raise DataError(
                f"{source}: {found}, expected names that end in {', '.join(PICTURES)}; or remove the folder"
            )
    return dict(sorted(named, key=lambda pair: pair[0]))


def _several(classes, source):
    """The classes themselves, if there is more than one."""
    if len(classes) == 1:
        raise DataError(f"{source}: found one class, {next(iter(classes))!r}, expected two or more: {EXPECTED}")
    return classes


def _flat(classes, names):
    """The pictures of all classes, class by class, and their labels: the class's place among `names`."""
    entries = [picture for folder in classes.values() for picture in folder.pictures]
    counts = [len(folder.pictures) for folder in classes.values()]
    return entries, np.repeat(np.array([names.index(name) for name in classes], dtype=np.int64), counts)


def _held_out(labels, source):
    """Which pictures are for testing, bool [N]; the only one of its class is for training."""
    several = np.flatnonzero(np.bincount(labels)[labels] > 1)
    if len(several) == 0:
        raise DataError(f"{source}: found one picture in each class, expected more, so that one can be tested")
    test = np.zeros(len(labels), dtype=bool)
    test[several[stratified(labels[several], max(1, round(len(several) / TEST_SHARE)))]] = True
    return test


def _ignored(classes, strays):
    """Notes on the files in the classes' folders that are no pictures by name, and on what lies beside the classes."""
    others = [file.path for folder in classes for _, file in sorted(folder.files.items()) if not file.is_picture]
    notes = (
        [f"ignored {len(others)} of the classes' files, whose names are no pictures': {_few(others)}"] if others else []
    )
    return [*notes, f"ignored {len(strays)} beside the classes' folders: {_few(strays)}"] if strays else notes


def _few(names):
    """The first of some names, and how many more there are."""
    return ", ".join(map(one_line, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
