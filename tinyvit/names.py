"""Names that a user may get almost right: of presets, data sets, commands, options."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from tinyvit.errors import UsageError

MANY = 30  # names, of which a message lists no more


def nearest(name: Any, names: Iterable[str]) -> str | None:
    """The one of the names that was most likely meant; None if no name is near.

    Capitals do not count, nor does what joins words, nor "ViT" before a size: ViT-B/16, b16 and B-16 are all B/16.
    """
    plain = {_plain(known): known for known in names}
    found = get_close_matches(_plain(str(name)), plain, n=1)
    return plain[found[0]] if found else None


def _plain(name):
    letters = "".join(letter for letter in name.lower() if letter.isalnum())
    return letters.removeprefix("vit") or letters


def expected(name: Any, names: Iterable[str]) -> str:
    """The end of a message about a name that is not known: the nearest one, if one is near, and all, or MANY."""
    names = list(names)
    found = nearest(name, names)
    names = names if len(names) <= MANY else [*names[: MANY - 1], f"... ({len(names)} in all)"]
    return (
        f"did you mean {found}? Expected one of {', '.join(names)}" if found else f"expected one of {', '.join(names)}"
    )


class Named(dict):
    """Things by name. A name that is not there is a UsageError that says the nearest one, and all."""

    def __init__(self, kind: str, things: dict):
        super().__init__(things)
        self.kind = kind

    def __missing__(self, name):
        raise UsageError(f"no {self.kind} is named {name!r}: {expected(name, self)}")
