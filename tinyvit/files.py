"""Files that are either whole or not there: write beside the target, force it to disk, then rename over it."""

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path

from tinyvit.errors import WriteError

SIDE = ".part"


@contextmanager
def replacing(path, mode="wb"):
    """Open a side file for writing; on success it takes the place of `path`, on any failure `path` is left as it was.

    A rename within one folder is atomic, so a reader, or the next run after a power cut, sees the old file or the new
    one and nothing between. fsync comes first: otherwise the rename may reach the disk before the bytes do. The side
    file bears the number of this process: two that write one file do not write into each other's.

    Text is UTF-8; of a name that is no text (a file's, in another encoding) the bytes are written as `\\udcff`.

    Raises
    ------
    WriteError
        If the file cannot be written: why, and what to do.
    """
    path = Path(path)
    if path.is_dir():
        raise WriteError(path, IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
    side = path.with_name(f"{path.name}.{os.getpid()}{SIDE}")
    text = {} if "b" in mode else {"encoding": "utf-8", "errors": "backslashreplace"}
    try:
        clear_side_files(path)
        with open(side, mode, **text) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(side, path)
        sync_folder(path.parent)
    except BaseException as error:
        _remove(side)
        ours = ("None", str(side), str(path.parent))  # not what went wrong with another file within the block
        if isinstance(error, OSError) and error.errno and str(error.filename) in ours:
            raise WriteError(path, error) from None
        raise


def sync_folder(folder):
    """Force a folder's entries to disk, where the system can (Windows cannot open a folder)."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def clear_side_files(path):
    """Remove the side files of a file that processes left which were killed; those of living processes stay."""
    path = Path(path)
    for side in path.parent.iterdir() if path.parent.is_dir() else ():
        if side.name.startswith(path.name) and side.name.endswith(SIDE):
            number = side.name[len(path.name) : -len(SIDE)]  # none in version 0.2
            if not number or (number[0] == "." and number[1:].isdecimal() and not is_alive(int(number[1:]))):
                _remove(side)


def is_alive(number):
    """Whether another process than this one has that number."""
    import psutil

    return number != os.getpid() and psutil.pid_exists(number)


def _remove(file):
    """Remove a file, if it is there and may be removed; if not, there is a worse problem to tell of."""
    with suppress(OSError):
        file.unlink(missing_ok=True)
