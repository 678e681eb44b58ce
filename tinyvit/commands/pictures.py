"""The pictures that a command is given: files, and folders of them, read a few at a time."""

import glob
import os
import sys
from collections import Counter
from pathlib import Path

from tinyvit.commands.models import prepared
from tinyvit.data.images import SUFFIXES
from tinyvit.errors import DataError, TinyvitError

AT_ONCE = 32  # pictures in memory; a folder may hold many


def add_pictures(parser, metavar="IMAGE", more=""):
    """IMAGE..., and what `more` says of them."""
    about = f"PNG, JPEG or .npy, of any size; a pattern, or a folder{more}"
    parser.add_argument("image", metavar=metavar, nargs="+", help=about)


def in_parts(model, names):
    """Yield ([(path, input, notes)], exit status) for a few pictures at a time.

    One that cannot be read is said on standard error, and the others go on; so is what a folder has beside pictures.

    Raises
    ------
    DataError
        If a folder holds no pictures, or no file matches a pattern.
    """
    from tqdm import tqdm

    paths = [path for name in names for path in _pictures(name)]
    with tqdm(total=len(paths), unit="image", disable=len(paths) <= AT_ONCE) as bar:
        for start in range(0, len(paths), AT_ONCE):
            ready, failed = [], 0
            for path in paths[start : start + AT_ONCE]:
                try:
                    ready.append((path, *prepared(model, path)))
                except TinyvitError as error:
                    bar.write(f"tinyvit: {error}", file=sys.stderr)
                    failed = error.exit_code
                bar.update()
            yield ready, failed


def _pictures(name):
    """The file of this name, all pictures in the folder of this name, or what matches a pattern like *.png."""
    place = os.path.expanduser(name)
    if glob.has_magic(place) and not os.path.exists(place):  # Windows' shells, and quotes, leave it as it is
        found = sorted(glob.glob(place, recursive=True))
        if not found:
            raise DataError(f"no file matches {name}: expected pictures, or a folder of them")
        return [path for match in found for path in (_in_folder(match) if os.path.isdir(match) else [match])]
    return _in_folder(place) if os.path.isdir(place) else [name]


def _in_folder(folder):
    """All pictures in a folder; what else is in it is said."""
    inside, others = [], Counter()
    for path in sorted(Path(folder).iterdir()):
        if path.name.startswith("._"):
            others["._*, macOS's notes on files"] += 1
        elif path.suffix.lower() in SUFFIXES:
            inside.append(str(path))
        elif not path.name.startswith("."):
            others["folders" if path.is_dir() else path.suffix or "names without a suffix"] += 1
    if not inside:
        found = f"; found {_listed(others)}" if others else ""
        found += f": name one, or write '{Path(folder) / '*' / '*'}'" if list(others) == ["folders"] else ""
        raise DataError(f"no pictures in {folder}: expected files that end in one of {', '.join(SUFFIXES)}{found}")
    if others:
        advice = "; convert .heic to JPEG first" if {".heic", ".heif"} & {suffix.lower() for suffix in others} else ""
        print(f"{folder}: {_listed(others)} left out, which are no pictures that can be read{advice}", file=sys.stderr)
    return inside


def _listed(counts):
    return ", ".join(f"{kind} ({count})" for kind, count in counts.items())
