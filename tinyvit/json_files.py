"""JSON out of files that may come from anywhere: one reader for all of them.

Python's own parser takes `NaN`, a number of 400 digits, one name twice, and lists within lists until its stack is full;
whoever uses the value then fails somewhere else. Here all of these are a ValueError, of one line.
"""

import json
import math
import os

from tinyvit.errors import CheckpointError

LONGEST = 4_000_000  # bytes; ImageNet-21k's class names are a quarter of that. Python needs up to 30 times as many
DEEPEST = 32  # lists and objects within each other; ours have 4
MOST_DIGITS = 100  # of a number: enough for every seed, and a float can hold its square
LARGEST_WHOLE = 2**63  # of what counts as a number: NumPy's integers end there


def parse(text):
    """What a text, or its bytes in UTF-8, says in JSON.

    Raises
    ------
    ValueError
        If it is no JSON, or holds a number that is not finite or too long, one name twice, or too many levels.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8-sig")  # some editors begin a file with a mark
    try:
        value = json.loads(
            text, parse_int=_whole, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_without_twins
        )
    except RecursionError:
        raise ValueError(f"more than {DEEPEST} levels of lists and objects") from None
    level, depth = [value], 0
    while level := [child for each in level if isinstance(each, list | dict) for child in _children(each)]:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} levels of lists and objects")
    return value


def read(path, error=CheckpointError):
    """What a file says in JSON.

    Parameters
    ----------
    path : Path
    error : subclass of TinyvitError

    Raises
    ------
    error
        If the file cannot be read, is too long or is no JSON that `parse` takes.
    """
    try:
        _refuse_pipe(path, error)
        with open(path, "rb") as file:
            text = file.read(LONGEST + 1)
        if len(text) > LONGEST:
            raise ValueError(f"it has {os.path.getsize(path)} bytes, expected at most {LONGEST}")
        return parse(text)
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror or problem}") from None
    except ValueError as problem:
        raise error(f"cannot read {path}: {problem}; the file is damaged") from None


def lines(path, error=CheckpointError):
    """Yield (number, value) for each line of a file of JSON lines; the value is None where a line is no JSON.

    A file that is not there has no lines.

    Raises
    ------
    error
        If the file cannot be read.
    """
    if not os.path.exists(path):
        return
    try:
        _refuse_pipe(path, error)
        with open(path, "rb") as file:
            for number, line in enumerate(_lines(file), 1):
                try:
                    yield number, parse(line)
                except ValueError:
                    yield number, None
    except OSError as problem:
        raise error(f"cannot read {path}: {problem.strerror or problem}") from None


def is_number(value):
    """Whether a value is a number of ordinary size, and no truth value."""
    return type(value) in (int, float) and math.isfinite(value) and abs(value) < LARGEST_WHOLE


def is_whole(value):
    """Whether a value is a whole number of ordinary size, and no truth value."""
    return type(value) is int and is_number(value)


def _refuse_pipe(path, error):
    if os.path.exists(path) and not os.path.isfile(path):  # it would be waited for
        raise error(f"cannot read {path}: it is no ordinary file")


def _lines(file):
    """The lines of a file; one that is too long is skipped, and empty instead."""
    while line := file.readline(LONGEST):
        rest = line
        while len(rest) == LONGEST and not rest.endswith(b"\n"):
            line, rest = b"", file.readline(LONGEST)
        yield line


def _children(value):
    return value.values() if isinstance(value, dict) else value


def _whole(digits):
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits, expected at most {MOST_DIGITS}")
    return int(digits)


def _finite(text):
    number = float(text)
    if not abs(number) < 10.0**MOST_DIGITS:  # false for NaN, too
        raise ValueError(f"the number {text[:MOST_DIGITS]}, expected finite ones of at most {MOST_DIGITS} digits")
    return number


def _without_twins(pairs):
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name stands in an object twice")
    return found
