"""Rows by their numbers."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits
from tests.test_planted_bugs import assert_found
from tinyvit.ops.take_rows import take_rows, take_rows_backward

ROWS = np.array([[2, 0, 2, 1], [4, 4, 4, 3]])  # the last row of the first image is not taken


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_very_numbers_of_each_row(rng, dtype):
    x = rng.standard_normal((2, 5, 3)).astype(dtype)
    assert_same_bits(take_rows(x, ROWS)[0], naive.take_rows(x, ROWS))


def test_the_gradient_is_added_up_where_a_row_was_taken(rng):
    x, dy = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 4, 3))
    expected = np.zeros_like(x)
    for b, i in np.ndindex(ROWS.shape):
        expected[b, ROWS[b, i]] += dy[b, i]
    dx = take_rows_backward(dy, take_rows(x, ROWS)[1])
    assert_close(dx, expected)
    assert not dx[0, 3:].any()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param(".swapaxes(-1, -2) @ dy", "[:, :, :4].swapaxes(-1, -2) @ dy", id="a row too few"),
        pytest.param('c["onehot"]', 'c["onehot"][:, ::-1]', id="in another order"),
        pytest.param('c["onehot"]', '(c["onehot"] / c["onehot"].sum(axis=1, keepdims=True).clip(1))', id="a mean"),
    ],
)
def test_the_gradient_check_finds(right, wrong):
    assert_found(take_rows_backward, "take_rows", right, wrong)
