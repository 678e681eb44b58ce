"""The hints to each exercise, from the smallest push to nearly all; hints.txt holds them."""

import functools
from importlib import resources


def hints(name):
    """The hints to the exercise of this name, a list."""
    return _all().get(name, [])


@functools.cache
def _all():
    found, name = {}, None
    for line in resources.files(__package__).joinpath("hints.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("- "):
            found[name].append(line[2:])
        elif line:
            name = line
            found[name] = []
    return found
