"""What a folder holds: the folders and files below it, from the disk or from an archive."""

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipInfo

from tinyvit.data.images import SUFFIXES
from tinyvit.errors import DataError

PICTURES = tuple(suffix for suffix in SUFFIXES if suffix != ".npy")
HIDDEN = (".", "__MACOSX")  # how names begin that file managers leave about
DEEPEST = 6  # folders below the one named: a link in a circle ends there


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
                elif entry.is_file() or not os.path.exists(entry.path):  # a pipe would be waited for
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
