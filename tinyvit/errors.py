"""User-facing errors: one line with problem, found, expected, fix.

The command prints the line and exits with `exit_code`; in Python they are ordinary exceptions. Whoever raises one
writes the whole sentence; nothing below the command line prints an error.
"""

import errno
import os
import signal

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}  # Windows has no quota
LONGEST = 400  # characters of a line
END = 150  # of which are its end, where the advice stands


class TinyvitError(Exception):
    """Something the user can mend; its text is the one line to show, made by `one_line`."""

    exit_code = 1

    def __str__(self) -> str:
        return one_line(super().__str__())


def first_line(error: BaseException) -> str:
    """What an error of Python's or a library's says, in one line of ordinary length."""
    return str(error).partition("\n")[0][:LONGEST] or type(error).__name__


def one_line(text: str) -> str:
    """A text as one line of ordinary length: what a file or a user said may stand in it, and be anything.

    What does not print is escaped, as in "\\n", and of a long text the middle is left out.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - END - 5]} ... {text[-END:]}"
    line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)
    return line if len(line) <= LONGEST else one_line(line)


class UsageError(TinyvitError, ValueError):
    """What was asked for cannot work: heads that do not divide the width, an option that contradicts a saved run."""

    exit_code = 2


class DataError(TinyvitError):
    """A data set or an image that is missing, truncated, corrupted or not what it should be."""


class CheckpointError(TinyvitError):
    """A checkpoint or run folder that is missing, damaged, not to be written or does not fit its own configuration."""


class WriteError(CheckpointError, OSError):
    """A file or folder that cannot be written: what the system says, and what to do.

    `advice` is in place of "choose another place"; `then` is what to do once a full disk has room.
    """

    def __init__(self, path: str | os.PathLike[str], error: OSError, *, advice: str = "", then: str = ""):
        super().__init__(error.errno, error.strerror or str(error), str(path))
        self.advice, self.then = advice, then

    def __str__(self):
        usual = "its folder is not there" if self.errno == errno.ENOENT else "choose another place"
        advice = self.advice or usual
        if self.errno in FULL:
            advice = "free some space" + (f"; then {self.then}" if self.then else "")
        return one_line(f"cannot write {self.filename}: {self.strerror}; {advice}")


class DeviceError(TinyvitError):
    """A device that was asked for and is not there."""


class WorkerError(TinyvitError):
    """A worker that died or failed; the run cannot go on without its share."""


class DivergedError(TinyvitError):
    """The loss is no longer a number."""


class Interrupted(TinyvitError):
    """A run that was asked to stop and has saved itself; `signal_number` says who asked (2 is Ctrl-C, 15 SIGTERM)."""

    def __init__(self, message: str, signal_number: int):
        super().__init__(message)
        self.exit_code = 128 + signal_number


def signal_number(stop: KeyboardInterrupt) -> int:
    """Which signal a KeyboardInterrupt stands for: the command gives it the number; Python's own is of Ctrl-C."""
    return stop.args[0] if stop.args else signal.SIGINT
