"""The mistakes that are easily made in each function; mistakes.txt holds them, as patches of the package's own source.

They are known by their result: `check` runs each on the inputs that it gave to the learner's function, and compares.
Some of those of the backward passes are the museum's exhibits, and the tests demand of the gradient check that it finds
every one.
"""

import functools
import re
from importlib import resources
from typing import NamedTuple

FORGOTTEN = "..."  # what stands in the place of a line that is forgotten
PATCH = re.compile(
    r"^(?P<function>\w+) \| (?P<kind>.+?) \| (?P<says>.+)\n(?P<right>(?:- .*\n)+)(?P<wrong>(?:\+ .*\n)*)", re.M
)


class Mistake(NamedTuple):
    """One edit of a function: `right`, which stands once in its source, is replaced by `wrong`."""

    function: str
    kind: str
    says: str
    right: str
    wrong: str

    @property
    def edit(self):
        """What `edited` takes."""
        return self.right, self.wrong


@functools.cache
def mistakes(name):
    """The mistakes known of the function of this name."""
    return tuple(mistake for mistake in _all() if mistake.function == name)


@functools.cache
def _all():
    text = resources.files(__package__).joinpath("mistakes.txt").read_text(encoding="utf-8")
    return tuple(
        Mistake(
            found["function"], found["kind"], found["says"], _lines(found["right"]), _lines(found["wrong"]) or FORGOTTEN
        )
        for found in PATCH.finditer(text)
    )


def _lines(marked):
    """The lines without the mark in front."""
    return "\n".join(line[2:] for line in marked.splitlines())
