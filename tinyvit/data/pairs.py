"""Pairs of one's own: a UTF-8 text file, one pair a line, a tab between source and target."""

import hashlib
import os

from tinyvit.errors import DataError

LONGEST = 2000  # characters of a line: attention compares every token with every other
FEWEST = 10  # different sources, of which a tenth is for testing
TEST = 10  # one of so many sources


def is_pairs(path):
    """Whether a path is of a file of pairs, by its name."""
    return str(path).lower().endswith((".tsv", ".txt"))


def read_pairs(path):
    """The pairs (source, target) in a file, to learn from and to test.

    All pairs of one source are on one side. Those with the smallest digests are for testing, so that the order of the
    lines does not matter, and a few more lines hardly change the sides.

    Returns
    -------
    train, test : lists of (source, target)

    Raises
    ------
    DataError
        If the file cannot be read, or a line is no pair: which, and why.
    """
    path = os.path.expanduser(path)
    try:
        with open(path, "rb") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    pairs = [_pair(line, f"{path}, line {number}", first=number == 1) for number, line in enumerate(lines, 1)]
    sources = sorted({_letters(source) for source, _ in pairs}, key=lambda s: hashlib.sha256(s.encode()).digest())
    if len(sources) < FEWEST:
        raise DataError(f"{path}: found {len(sources)} different sources, expected at least {FEWEST}: add pairs")
    of_test = set(sources[: max(1, len(sources) // TEST)])
    sides = [], []
    for pair in pairs:
        sides[_letters(pair[0]) in of_test].append(pair)
    return sides


def _letters(source):
    """A source without its spaces: what differs in these alone may be the same words."""
    return "".join(source.split())


def _pair(line, where, first):
    """Source and target of a line, without the spaces around them."""
    expected = "expected source, tab, target"
    try:
        text = line.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        found = f"byte {error.start + 1} (0x{line[error.start]:02x}) is not of UTF-8"
        raise DataError(f"{where}: {found}: save the whole file as UTF-8") from None
    if len(text) > LONGEST:
        raise DataError(f"{where}: found {len(text):,} characters, expected at most {LONGEST:,}: divide or drop it")
    if not text.strip():
        raise DataError(f"{where}: it is empty, {expected}: delete it")
    sides = [side.strip() for side in text.split("\t")]
    if len(sides) != 2:
        raise DataError(f"{where}: found {len(sides) - 1 or 'no'} tab{'s' * (len(sides) > 2)}, {expected}")
    if not all(sides):
        raise DataError(f"{where}: {'source' if not sides[0] else 'target'} is empty, {expected}")
    return tuple(sides)
