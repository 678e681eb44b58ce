"""What becomes of a forged file: it is read, or refused in one line, in little memory and time; or that is a fault."""

import ctypes
import shutil
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple
from unittest import mock

from tests.reliability.bombs import LARGE, SMALL
from tests.reliability.formats import FORMATS
from tests.reliability.mutations import forged
from tinyvit.data import cifar
from tinyvit.errors import LONGEST, TinyvitError

BOMBS = SMALL | LARGE
SECONDS = 20  # of computing that a file may take
STATUS, PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Outcome(NamedTuple):
    """What became of a file; `fault` says what is wrong with that, and is empty if nothing is."""

    number: int
    name: str  # of its format, or of the bomb
    accepted: bool
    line: str
    seconds: float
    megabytes: float
    fault: str = ""


@contextmanager
def prepared(folder):
    """Small batches of CIFAR-10, and a cache folder and a network that are none of the user's."""
    with ExitStack() as stack:
        cache, none = Path(folder) / "cache", OSError("Network is unreachable")
        stack.enter_context(mock.patch("pooch.os_cache", lambda project: cache / project))
        stack.enter_context(mock.patch("socket.getaddrinfo", side_effect=none))
        stack.enter_context(mock.patch.object(cifar, "IMAGES", 4))
        stack.enter_context(mock.patch.object(cifar, "LARGEST", 8 * cifar.BYTES))
        yield


def name_of(number):
    """The name of the format, or of the bomb, that the file with this number is of: the bombs come first."""
    return list(BOMBS)[number] if number < len(BOMBS) else list(FORMATS)[number % len(FORMATS)]


def made(number):
    """(files {name: bytes}, Format) of the file with this number."""
    name = name_of(number)
    if name in BOMBS:
        form, make = BOMBS[name]
        return make(), FORMATS[form]
    return forged(FORMATS[name].make, number), FORMATS[name]


def put(files, folder):
    """Write files into a folder, which holds nothing else then."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def judged(number, folder):
    """Put the file with this number into a folder, have it read, and say what became of it."""
    files, form = made(number)
    put(files, folder)
    del files
    _forget_peak()
    before, begun, line, fault = _memory("VmRSS"), time.process_time(), "", ""
    try:
        form.read(folder)
    except TinyvitError as error:
        line = str(error)
        if not line or "\n" in line or not line.isprintable() or len(line) > LONGEST:
            fault = "no line of ordinary length"
    except Exception as error:
        line, fault = f"{type(error).__name__}: {error}"[:LONGEST], "an error that is none of ours"
    seconds, megabytes = time.process_time() - begun, max(0.0, _memory("VmHWM") - before)
    if seconds > SECONDS:
        fault = fault or f"more than {SECONDS} seconds"
    if megabytes > form.most:
        fault = fault or f"more than {form.most} MB"
    return Outcome(number, name_of(number), not line, line, round(seconds, 3), round(megabytes, 1), fault)


def _memory(name):
    """Of this process in MB: VmRSS is now, VmHWM the most since `_forget_peak`. 0 where there is no /proc."""
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) / 1000 for line in lines if line.startswith(name)), 0.0)


def _forget_peak():
    """Forget the peak so far, and give freed memory back: an earlier test may have had this process keep it."""
    with suppress(AttributeError, OSError, TypeError):  # another C library than glibc, or Windows
        ctypes.CDLL(None).malloc_trim(0)
    if PEAK.exists():
        PEAK.write_text("5")
