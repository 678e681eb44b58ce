"""Folders for runs: the next free one, one that is not empty, and one that has no run in it."""

import itertools
import re
from pathlib import Path

from tinyvit.errors import CheckpointError, UsageError, WriteError
from tinyvit.files import clear_side_files
from tinyvit.lock import ELSEWHERE, LOCK


def next_folder(data, runs=Path("runs")):
    """The first free one of runs/DATA-1, -2, ..., made at once, so that a run started beside this one takes another.

    Raises
    ------
    CheckpointError
        If it cannot be made.
    """
    taken = [int(m[1]) for path in runs.glob("*") if (m := re.fullmatch(rf"{re.escape(data)}-(\d+)", path.name))]
    for number in itertools.count(1 + max(taken, default=0)):
        folder = runs / f"{data}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise WriteError(folder, error, advice=ELSEWHERE) from None


def check_empty(folder):
    """Raise UsageError if there is a run in a folder already, or anything else but what one left that was killed."""
    folder = Path(folder)
    clear_side_files(folder / "config.json")
    if folder.is_dir() and any(path.name != LOCK for path in folder.iterdir()):
        raise UsageError(
            f"{folder} exists and is not empty: "
            "go on with --resume, replace the run with --force, or choose another --out"
        )


def no_run(folder, expected):
    """The error that there is no run in a folder: what is there, what was expected, and which runs there are."""
    folder = Path(folder)
    if inside := _runs_in(folder):
        return CheckpointError(f"no run in {folder}: it holds {inside}; name one of them")
    if folder.exists():
        return CheckpointError(f"no run in {folder}: expected {expected}")
    others = f"; there are {found}" if (found := _runs_in(Path("runs"))) else ""
    return CheckpointError(f"no run in {folder}: there is no such folder; expected {expected}{others}")


def _runs_in(folder, most=4):
    """The names of the runs in a folder, or the first of them."""
    names = sorted(str(path.parent) for path in folder.glob("*/history.jsonl"))
    return ", ".join(names[:most] + ["..."] * (len(names) > most))
