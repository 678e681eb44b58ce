"""The pictures that a command is given: files, and folders of them, read a few at a time."""

import sys
from pathlib import Path

from tinyvit.commands.models import prepared
from tinyvit.data.images import SUFFIXES
from tinyvit.errors import DataError, TinyvitError

AT_ONCE = 32  # pictures in memory; a folder may hold many


def add_pictures(parser):
    """IMAGE..."""
    parser.add_argument("image", metavar="IMAGE", nargs="+", help="PNG, JPEG or .npy, of any size; or a folder of them")


def in_parts(model, names):
    """Yield ([(path, input, notes)], exit status) for a few pictures at a time.

    One that cannot be read is said on standard error, and the others go on.

    Raises
    ------
    DataError
        If a folder holds no pictures.
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
    """The file of this name, or all pictures in the folder of this name."""
    if not Path(name).is_dir():
        return [name]
    inside = sorted(str(path) for path in Path(name).iterdir() if path.suffix.lower() in SUFFIXES)
    if not inside:
        raise DataError(f"no pictures in {name}: expected files that end in one of {', '.join(SUFFIXES)}")
    return inside
