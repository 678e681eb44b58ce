"""The mean of all rows."""

import numpy as np

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits
from tinyvit.ops.mean_row import mean_row, mean_row_backward


def test_agrees_with_its_twin_and_every_row_has_the_same_share(rng):
    x, dy = rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 5))
    y, c = mean_row(x)
    dx = mean_row_backward(dy, c)
    assert_close(y, naive.mean_row(x))
    for n in range(3):
        assert_close(dx[:, n], dy / 3)


def test_the_order_of_the_rows_does_not_matter(rng):
    x = rng.standard_normal((2, 3, 5))
    assert_close(mean_row(x[:, [2, 0, 1]])[0], mean_row(x)[0])


def test_the_gradient_may_be_written_to(rng):
    """It is no view of the one row that it repeats: whoever adds to a row of it changes no other."""
    dx = mean_row_backward(rng.standard_normal((2, 5)), mean_row(rng.standard_normal((2, 3, 5)))[1])
    before = dx[:, 1:].copy()
    dx[:, 0] += 1
    assert_same_bits(dx[:, 1:], before)
    assert not np.shares_memory(dx[:, 0], dx[:, 1])
