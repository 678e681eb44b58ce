"""Numerals in Chinese and in English: 三千零五十 is three thousand and fifty.

Both are written by rule, so that there are as many pairs as anyone wants, and each has one right answer. They group
differently: English by thousands, Chinese by ten thousands (万), so that beyond 9,999 no word stands for a character.
"""

import operator

from tinyvit.data.vocabulary import join, split
from tinyvit.errors import DataError

DIGITS, UNITS, MYRIAD = "零一二三四五六七八九", ("", "十", "百", "千"), "万"
BELOW_TWENTY = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
SCALES = ("", "thousand", "million")
LARGEST = 10**8  # numbers below it


def chinese(n):
    """The numeral of n, a whole number from 0 to below 10^8.

    A gap between two digits, however wide, is one 零; a number from 10 to 19 begins with 十, without 一 before it.
    """
    n = _checked_number(n)
    if n == 0:
        return DIGITS[0]
    high, low = divmod(n, 10_000)
    text = _section(high) + MYRIAD if high else ""
    if high and 0 < low < 1000:
        text += DIGITS[0]
    text += _section(low)
    return text.removeprefix("一") if text.startswith("一十") else text


def _section(n):
    """Four digits, each before its unit."""
    text, gap = "", False
    for place in reversed(range(4)):
        digit = n // 10**place % 10
        if digit:
            text += DIGITS[0] * gap + DIGITS[digit] + UNITS[place]
            gap = False
        elif text:
            gap = True
    return text


def english(n):
    """The numeral of n, from 0 to below 10^8: twenty-one thousand and five."""
    n = _checked_number(n)
    if n == 0:
        return BELOW_TWENTY[0]
    words, groups = [], [n // 1000**i % 1000 for i in range(len(SCALES))]
    for i in reversed(range(len(SCALES))):
        if not groups[i]:
            continue
        if i == 0 and words and groups[0] < 100:
            words.append("and")
        words += _group(groups[i]) + [SCALES[i]] * (i > 0)
    return join(words, words=True)


def _group(n):
    """A number from 1 to 999."""
    words, rest = [], n % 100
    if n >= 100:
        words += [BELOW_TWENTY[n // 100], "hundred"] + ["and"] * (rest > 0)
    if rest >= 20:
        words.append(TENS[rest // 10 - 2] + "-" * (rest % 10 > 0))
        rest %= 10
    return words + [BELOW_TWENTY[rest]] * (rest > 0)


def read_chinese(text):
    """The number of a Chinese numeral.

    Raises
    ------
    DataError
        If it is none, or not written as `chinese` writes it; the line says where, or how it is written.
    """
    total = section = digit = 0
    for place, character in enumerate(text, 1):
        if character in DIGITS:
            digit = DIGITS.index(character)
        elif character in UNITS[1:]:
            section += (digit or 1) * 10 ** UNITS.index(character)
            digit = 0
        elif character == MYRIAD:
            total, section, digit = (section + digit) * 10_000, 0, 0
        else:
            raise DataError(f"{text!r} is no numeral: found {character!r} at {place}, expected one of {DIGITS}十百千万")
    return _checked(text, total + section + digit, chinese)


def read_english(text):
    """The number of an English numeral; errors as of `read_chinese`."""
    total = group = 0
    words = split(text, words=True)
    for place, word in enumerate(words, 1):
        if word in BELOW_TWENTY:
            group += BELOW_TWENTY.index(word)
        elif word.rstrip("-") in TENS:
            group += 10 * (TENS.index(word.rstrip("-")) + 2)
        elif word == "hundred":
            group *= 100
        elif word in SCALES[1:]:
            total, group = total + group * 1000 ** SCALES.index(word), 0
        elif word != "and":
            raise DataError(f"{text!r} is no numeral: found {word!r}, the word at {place}")
    return _checked(text, total + group, english)


def _checked(text, n, write):
    """n, if it is written so."""
    if not text or n >= LARGEST:
        raise DataError(f"{text!r} is no numeral: expected one from zero to below {LARGEST:,}")
    if n == 0 and text != write(0):  # units without a number before them, such as a mere "thousand"
        raise DataError(f"{text!r} is no numeral: expected one such as {write(21_005)}")
    if write(n) != text:
        raise DataError(f"{text!r} is no numeral: did you mean {write(n)}, {n:,}?")
    return n


def _checked_number(n):
    """n as Python's own number, whatever kind of whole number it is."""
    if not 0 <= (n := operator.index(n)) < LARGEST:
        raise DataError(f"found {n}: expected a number from 0 to below {LARGEST:,}")
    return n
