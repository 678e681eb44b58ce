"""The exercises by notebook, and how far a learner has come with each.

Which notebook asks for which is in notebooks.txt, written by `python docs/measure.py exercises`.
"""

import functools
import inspect
from importlib import resources

from tinyvit.exercises import record
from tinyvit.exercises.catalogue import exercises
from tinyvit.exercises.source import Text

TABLE = "notebooks.txt"
BEYOND = "in no notebook"
WIDTH = 100  # of a line, in characters


@functools.cache
def by_notebook():
    """{notebook: the names of its exercises}, and last those that no notebook asks for."""
    lines = resources.files(__package__).joinpath(TABLE).read_text(encoding="utf-8").splitlines()
    found = {notebook: names.split() for notebook, _, names in (line.partition(": ") for line in lines)}
    asked = {name for names in found.values() for name in names}
    beyond = [name for name in exercises() if name not in asked]
    return found | ({BEYOND: beyond} if beyond else {})


def about(name):
    """What an exercise is, in one line."""
    return (inspect.getdoc(exercises()[name].function) or "").partition("\n")[0]  # Python -OO has none


def rows():
    """[{notebook, name, about, state}] of all exercises; the state is "right", "tried", or None.

    Raises
    ------
    DataError
        If the file of what has been done cannot be read.
    """
    done = record.kept()["exercises"]
    return [
        {"notebook": notebook, "name": name, "about": about(name), "state": done.get(name)}
        for notebook, names in by_notebook().items()
        for name in names
    ]


def progress():
    """All exercises by notebook, with what has been tried and what is right; a notebook shows it as text.

    Raises
    ------
    DataError
        If the file of what has been done cannot be read.
    """
    found = rows()
    wide = max(len(row["name"]) for row in found)
    lines, notebook = [], None
    for row in found:
        if row["notebook"] != notebook:
            notebook = row["notebook"]
            lines += ["", notebook]
        line = f"  {row['state'] or '-':<5}  {row['name']:<{wide}}  {row['about']}"
        lines.append(line if len(line) <= WIDTH else f"{line[: WIDTH - 3].rstrip()}...")
    states = [row["state"] for row in found]
    tried = f", {states.count('tried')} tried" if "tried" in states else ""
    return Text("\n".join([*lines[1:], "", f"{states.count('right')} of {len(found)} right{tried}"]))
