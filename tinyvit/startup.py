"""Ctrl-C while Python loads the command's modules, and while it ends: one line, where else there would be a traceback.

Imported before all else. It does something in the command's own process only: whoever imports the package keeps the
handlers that are theirs.
"""

import os
import signal
import sys


def is_command():
    """Whether this process is `tinyvit` or `python -m tinyvit`, of which argv[0] is -m until the module is found."""
    name = sys.argv[0] if sys.argv else ""
    return os.path.splitext(os.path.basename(name))[0] == "tinyvit" or (name == "-m" and "tinyvit" in sys.orig_argv)


def end(number, frame):
    """End the process at once; an exception would go through the middle of other libraries' imports."""
    try:
        os.write(2, b"tinyvit: interrupted\n")
    finally:  # it may be closed
        os._exit(128 + number)


if is_command() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, end)
