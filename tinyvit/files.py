"""Files that are either whole or not there: write beside the target, force it to disk, then rename over it."""

import errno
import os
from contextlib import contextmanager
from pathlib import Path

SIDE = ".part"


@contextmanager
def replacing(path, mode="wb"):
    """Open a side file for writing; on success it takes the place of `path`, on any failure `path` is left as it was.

    A rename within one folder is atomic, so a reader, or the next run after a power cut, sees the old file or the new
    one and nothing between. fsync comes first: otherwise the rename may reach the disk before the bytes do.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    side = path.with_name(path.name + SIDE)
    try:
        with open(side, mode, encoding=None if "b" in mode else "utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(side, path)
    except BaseException:
        side.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder):
    """Force a folder's entries to disk, where the system can (Windows cannot open a folder)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def clear_side_files(folder):
    """Remove the side files that a killed run left in a folder."""
    for side in Path(folder).glob("*" + SIDE):
        side.unlink()
