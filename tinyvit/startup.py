"""Ctrl-C while Python loads the command's modules, and while it ends: one line, where else there would be a traceback.

Imported before all else. It does something in the command's own process only: whoever imports the package keeps the
handlers that are theirs.
"""

import contextlib
import os
import signal
import sys
from pathlib import Path


def is_command():
    """Whether this process is `tinyvit` or `python -m tinyvit`, of which argv[0] is -m until the module is found."""
    name = sys.argv[0] if sys.argv else ""
    return Path(name).stem == "tinyvit" or (name == "-m" and "tinyvit" in sys.orig_argv)


def end(number, frame):
    """End the process at once; an exception would go through the middle of other libraries' imports."""
    with contextlib.suppress(OSError):
        os.write(2, b"tinyvit: interrupted\n")
    os._exit(128 + number)


if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, end)
