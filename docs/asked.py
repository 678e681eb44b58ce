"""The package's table of which notebook asks for which exercise, from the notebooks' twins."""

import re
from pathlib import Path

import tinyvit.exercises
from tinyvit.exercises.progress import TABLE

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
FILE = Path(tinyvit.exercises.__file__).with_name(TABLE)
ASKED = re.compile(r'exercises\.check\(\s*"(\w+)"')


def text():
    """A line for each notebook that asks for exercises; one that is asked for twice belongs to the first notebook."""
    lines, seen = [], set()
    for twin in sorted(NOTEBOOKS.glob("[0-9]*.py")):
        names = [name for name in dict.fromkeys(ASKED.findall(twin.read_text(encoding="utf-8"))) if name not in seen]
        seen.update(names)
        if names:
            lines.append(f"{twin.stem}: {' '.join(names)}\n")
    return "".join(lines)


def write():
    """Write the table anew."""
    FILE.write_text(text(), encoding="utf-8")
