"""One process at a time in a folder: the system's own lock on a file in it, which ends with the process, however.

A kill or a power cut leaves the file, and nothing that is locked. The process's number is in it, for file systems
without locks.
"""

import contextlib
import os
from pathlib import Path

from tinyvit.errors import UsageError, WriteError
from tinyvit.files import is_alive

LOCK = ".lock"
ELSEWHERE = "choose another folder with --out"
BEYOND = 2**20  # the byte that Windows locks: one that is locked cannot be read
_held: set[Path] = set()  # the folders that this process has locked


@contextlib.contextmanager
def locked(folder, doing):
    """Keep other processes out of a folder, which is made if it is not there.

    Within the process that has it a folder may be locked again: `fit` does so after the command has.

    Raises
    ------
    UsageError
        If another process is there; `doing` says at what: "training".
    WriteError
        If the folder cannot be made, or written to.
    """
    path = Path(folder) / LOCK
    key = path.resolve()
    if key in _held:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = _lock(path)
    except OSError as error:
        raise WriteError(folder, error, advice=ELSEWHERE) from None
    if file is None:
        raise UsageError(f"another process is {doing} in {folder}: wait until it has ended, or choose another --out")
    _held.add(key)
    try:
        yield
    finally:
        _held.remove(key)
        _release(path, file)


def _lock(path):
    """The lock's open file, with this process's number in it; None if another process has it."""
    while True:
        with contextlib.ExitStack() as opened:
            file = opened.enter_context(open(path, "a+b", buffering=0))
            if not _take(file):
                return None
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                file.truncate(0)
                file.write(b"%d" % os.getpid())
                opened.pop_all()
                return file
        # Whoever had the lock has removed it since it was opened here: make another.


def _take(file):
    """Whether the lock on an open file is this process's now."""
    try:
        if os.name == "nt":
            import msvcrt

            file.seek(BEYOND)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:  # a file system without locks
        return not is_alive(_number(file))
    return True


def _number(file):
    """The process's number in a lock's file; 0 if there is none yet."""
    file.seek(0)
    text = file.read(20)
    return int(text) if text.isdigit() else 0


def _release(path, file):
    with file:
        if os.name == "nt":
            file.close()  # Windows removes no open file, and none that somebody else has opened since
        with contextlib.suppress(OSError):
            path.unlink()
