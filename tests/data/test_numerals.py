"""Numerals: known ones, there and back, and what is none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyvit.data.numerals import chinese, english, read_chinese, read_english
from tinyvit.data.vocabulary import join, split
from tinyvit.errors import DataError

KNOWN = {
    0: ("零", "zero"),
    7: ("七", "seven"),
    10: ("十", "ten"),
    14: ("十四", "fourteen"),
    20: ("二十", "twenty"),
    21: ("二十一", "twenty-one"),
    100: ("一百", "one hundred"),
    101: ("一百零一", "one hundred and one"),
    110: ("一百一十", "one hundred and ten"),
    999: ("九百九十九", "nine hundred and ninety-nine"),
    1_000: ("一千", "one thousand"),
    1_005: ("一千零五", "one thousand and five"),
    1_050: ("一千零五十", "one thousand and fifty"),
    1_500: ("一千五百", "one thousand five hundred"),
    3_050: ("三千零五十", "three thousand and fifty"),
    10_000: ("一万", "ten thousand"),
    10_010: ("一万零一十", "ten thousand and ten"),
    10_500: ("一万零五百", "ten thousand five hundred"),
    15_000: ("一万五千", "fifteen thousand"),
    100_000: ("十万", "one hundred thousand"),
    110_011: ("十一万零一十一", "one hundred and ten thousand and eleven"),
    1_205_000: ("一百二十万五千", "one million two hundred and five thousand"),
    20_000_010: ("二千万零一十", "twenty million and ten"),
    10_203_040: ("一千零二十万三千零四十", "ten million two hundred and three thousand and forty"),
    99_999_999: (
        "九千九百九十九万九千九百九十九",
        "ninety-nine million nine hundred and ninety-nine thousand nine hundred and ninety-nine",
    ),
}


@pytest.mark.parametrize("n", KNOWN)
def test_known_numerals(n):
    assert (chinese(n), english(n)) == KNOWN[n]


@given(st.integers(0, 10**8 - 1))
def test_there_and_back(n):
    assert read_chinese(chinese(n)) == n
    assert read_english(english(n)) == n
    assert join(split(english(n), words=True), words=True) == english(n)


@pytest.mark.parametrize(
    "read, text, words",
    [
        (read_chinese, "一千千", "did you mean 二千, 2,000|did you mean"),
        (read_chinese, "一十", "did you mean 十, 10"),
        (read_chinese, "一百一", "did you mean 一百零一, 101"),
        (read_chinese, "三x", "found 'x' at 2, expected one of 零一"),
        (read_chinese, "", "expected one from zero to below 100,000,000"),
        (read_english, "three fifty", "did you mean fifty-three, 53"),
        (read_english, "one hundred five", "did you mean one hundred and five, 105"),
        (read_english, "drei", "found 'drei', the word at 1"),
        (read_english, "one hundred million", "expected one from zero to below"),
    ],
)
def test_what_is_no_numeral(read, text, words):
    with pytest.raises(DataError, match=words):
        read(text)


@pytest.mark.parametrize("n", [-1, 10**8])
def test_numbers_without_a_numeral(n):
    for write in (chinese, english):
        with pytest.raises(DataError, match="expected a number from 0 to below 100,000,000"):
            write(n)


def test_whole_numbers_of_numpy():
    assert english(np.int64(21)) == "twenty-one" and chinese(np.int32(105)) == "一百零五"
