"""Sums as matrix products."""

import numpy as np
import pytest

from tests.reference.compare import assert_close
from tinyvit.ops.sums import FEW, SHORT, column_sums, place_dots, place_sums, row_dots, row_max, row_sums


def test_row_sums(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    assert_close(row_sums(x), x.sum(axis=-1, keepdims=True))


def test_column_sums(rng):
    x = rng.standard_normal((2, 3, 4, 5))
    assert_close(column_sums(x), x.sum(axis=(0, 1, 2)))


def test_row_dots(rng):
    x, y = rng.standard_normal((2, 2, 3, 4, 5))
    assert_close(row_dots(x, y), (x * y).sum(axis=-1, keepdims=True))


def test_place_sums(rng):
    x, y = rng.standard_normal((2, 2, 3, 4, 5))
    assert_close(place_sums(x), x.sum(axis=(1, 2)))
    assert_close(place_dots(x, y), (x * y).sum(axis=(1, 2)))


def test_views_with_other_strides(rng):
    x = rng.standard_normal((5, 4, 3)).swapaxes(0, 2)[:, ::2]
    assert_close(row_sums(x), x.sum(axis=-1, keepdims=True))
    assert_close(column_sums(x), x.sum(axis=(0, 1)))
    assert_close(place_sums(x), x.sum(axis=1))
    assert_close(place_dots(x, x), (x * x).sum(axis=1))


@pytest.mark.parametrize("width", [1, 5, FEW, FEW + 1, 2 * FEW + 1, 50, SHORT, SHORT + 1])
def test_row_max(rng, width):
    x = rng.standard_normal((2, 3, 4, width))
    x[0, 1, 2, -1], x[1, 0, 0, 0] = np.nan, np.inf
    np.testing.assert_array_equal(row_max(x), x.max(axis=-1, keepdims=True))
    for place in range(width):  # wherever the largest stands
        row = -np.ones((3, width))
        row[1, place] = 2
        np.testing.assert_array_equal(row_max(row)[:, 0], [-1, 2, -1])
    x = x.swapaxes(0, 2)[:, ::2]
    np.testing.assert_array_equal(row_max(x), x.max(axis=-1, keepdims=True))
