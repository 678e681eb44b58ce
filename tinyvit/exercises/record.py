"""Which exercises a learner has tried and solved, and which exhibits found: kept in a file of the user's own.

It lies in the cache folder, beside downloads, or in the folder that $TINYVIT_EXERCISES names. Marking never fails for
its sake: where nothing can be written, nothing is kept.
"""

import contextlib
import json
import os
import time
from pathlib import Path

from tinyvit import json_files
from tinyvit.data.mnist import cache_folder
from tinyvit.errors import DataError, TinyvitError, UsageError
from tinyvit.files import replacing
from tinyvit.lock import locked

VARIABLE = "TINYVIT_EXERCISES"  # another folder
FILE = "exercises.json"
PARTS = ("exercises", "museum")
PATIENCE = 20, 0.05  # how often another process is waited for, and how many seconds each time


def file():
    """Where progress is kept."""
    folder = os.environ.get(VARIABLE)
    return (Path(os.path.expanduser(folder)) if folder else cache_folder("exercises")) / FILE


def kept():
    """What has been done so far: {"exercises": {name: "tried" or "right"}, "museum": {title: what is known of it}}.

    Raises
    ------
    DataError
        If the file is there and cannot be read, or is another's.
    """
    path = file()
    found = json_files.read(path, DataError) if path.exists() else {}
    if not isinstance(found, dict) or not all(isinstance(found.get(part, {}), dict) for part in PARTS):
        raise DataError(f"{path} holds no progress of exercises: remove it, and begin anew")
    return {part: found.get(part, {}) for part in PARTS}


def keep(part, name, change):
    """Keep change(what was kept under this name, or None) in its place; if nothing can be kept, no matter."""
    with contextlib.suppress(TinyvitError, OSError):
        if _changed(kept(), part, name, change) is not None:
            with _alone(file().parent):
                found = kept()  # anew: another process may just have written
                changed = _changed(found, part, name, change)
                if changed is not None:
                    _write(found | {part: found[part] | {name: changed}})


def _changed(found, part, name, change):
    """What is to be kept, or None if that is what is."""
    before = found[part].get(name)
    after = change(before)
    return None if after == before else after


def _write(found):
    with replacing(file(), "w") as side:
        json.dump(found, side, indent=1, sort_keys=True)
        side.write("\n")


@contextlib.contextmanager
def _alone(folder):
    """The folder for this process alone; another one's stay is short, and is waited for."""
    times, seconds = PATIENCE
    with contextlib.ExitStack() as opened:
        for last in [*[False] * (times - 1), True]:
            try:
                opened.enter_context(locked(folder, "keeping progress"))
                break
            except UsageError:
                if last:
                    raise
                time.sleep(seconds)
        yield
