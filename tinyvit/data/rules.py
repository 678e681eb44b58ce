"""Pairs of sequences that are made by rule: no file, as many as anyone wants, the same for everyone."""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinyvit.data.numerals import LARGEST, chinese, english, read_chinese, read_english
from tinyvit.errors import DataError, UsageError

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
LONGEST = 512  # symbols of a sequence
SMALL = 0.25  # share of numerals whose number of digits is drawn first, so that small numbers are not rare
TRIES = 20  # times as many draws as pairs are wanted, after which few new ones are left


class Rule(NamedTuple):
    """How the pairs of a data set are made.

    defaults      {option: value}; the options are length, symbols and largest
    draw          (RandomState, count, **options) -> as many questions, some of them more than once
    write         question -> source, target: texts
    read          source -> question; raises DataError if it is none
    beyond        (question, **options) -> what of the question none that was drawn has, in words; "" if nothing
    words         whether the tokens of source and target are words
    sign          what stands between question and answer where they are one sequence
    """

    defaults: dict
    draw: Callable
    write: Callable
    read: Callable
    beyond: Callable
    words: tuple[bool, bool] = (False, False)
    sign: str = "→"


def _draw_letters(rng, count, length, symbols):
    low, high = length
    lengths = rng.randint(low, high + 1, count)
    letters = rng.randint(0, symbols, (count, high))
    return ["".join(LETTERS[k] for k in row[:n]) for row, n in zip(letters.tolist(), lengths, strict=True)]


def _another_length(question, length, symbols):
    low, high = length
    if low <= len(question) <= high:
        return ""
    return f"{len(question)} symbols, where it learned from {low}{f' to {high}' * (low < high)}"


def _too_large(question, largest):
    if (most := max(question if isinstance(question, tuple) else (question,))) < largest:
        return ""
    return f"{most:,} is not below {largest:,}, as all that it learned from is"


def _draw_numbers(rng, count, largest):
    """Numbers below the largest, a few of them of few digits."""
    digits = len(str(largest - 1))
    most = np.minimum(10 ** rng.randint(1, digits + 1, count), largest)
    return rng.randint(0, np.where(rng.random_sample(count) < SMALL, most, largest)).tolist()


def _draw_sums(rng, count, largest):
    return list(map(tuple, rng.randint(0, largest, (count, 2)).tolist()))


def _write_sum(question):
    a, b = question
    return f"{a}+{b}", str(a + b)


def _read_sum(text):
    if not (found := re.fullmatch(r"(0|[1-9]\d{0,8})\+(0|[1-9]\d{0,8})", text)):
        raise DataError(f"{text!r} is no sum: expected two whole numbers, as 12+30")
    return int(found[1]), int(found[2])


def _sorted(text):
    return "".join(sorted(text, key=LETTERS.index))


NUMBERS = {"largest": 1_000_000}
OF_LETTERS = {"length": (16, 16), "symbols": 10}
RULES = {
    "copy": Rule(OF_LETTERS, _draw_letters, lambda text: (text, text), str, _another_length),
    "reverse": Rule(OF_LETTERS, _draw_letters, lambda text: (text, text[::-1]), str, _another_length),
    "sort": Rule(OF_LETTERS, _draw_letters, lambda text: (text, _sorted(text)), str, _another_length),
    "numerals": Rule(
        NUMBERS, _draw_numbers, lambda n: (chinese(n), english(n)), read_chinese, _too_large, words=(False, True)
    ),
    "numerals-back": Rule(
        NUMBERS, _draw_numbers, lambda n: (english(n), chinese(n)), read_english, _too_large, words=(True, False)
    ),
    "sums": Rule({"largest": 100}, _draw_sums, _write_sum, _read_sum, _too_large, sign="="),
}


def checked_options(name, options):
    """The options of a rule, its defaults for those that are not given.

    Raises
    ------
    UsageError
        If the rule has no such option, or its value is not possible.
    """
    defaults = RULES[name].defaults
    if unknown := [option for option in options if option not in defaults]:
        raise UsageError(f"--{unknown[0]}: the data set {name} has no such option, it has {', '.join(defaults)}")
    options = defaults | options
    if (length := options.get("length")) is not None:
        good = isinstance(length, tuple) and len(length) == 2 and all(type(n) is int for n in length)
        if not good or not 1 <= length[0] <= length[1] <= LONGEST:
            raise UsageError(f"length is {length!r}: expected a number from 1 to {LONGEST}, or two such, as 4-16")
    if "symbols" in options:
        _check_number("symbols", options["symbols"], 2, len(LETTERS))
    if "largest" in options:
        _check_number("largest", options["largest"], 10, LARGEST)
    return options


def _check_number(name, value, least, most):
    if type(value) is not int or not least <= value <= most:
        raise UsageError(f"{name} is {value!r}: expected a whole number from {least} to {most:,}")


def questions(rng, name, count, options):
    """So many different questions; fewer, if there are not many more than that."""
    found, tried = {}, 0
    while len(found) < count and tried < TRIES * count:
        found |= dict.fromkeys(RULES[name].draw(rng, count, **options))
        tried += count
    return list(found)[:count]
