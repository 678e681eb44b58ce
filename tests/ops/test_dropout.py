"""Dropout."""

import numpy as np
import pytest

from tests.reference.compare import assert_same_bits
from tinyvit.ops.dropout import dropout, dropout_backward, dropout_mask


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_a_mask_is_inverted_and_has_mean_one(rng, rate):
    mask = dropout_mask(rng, (400, 500), rate, np.float64)
    share_dropped = (mask == 0).mean()
    standard_error = (rate * (1 - rate) / mask.size) ** 0.5
    assert set(np.unique(mask)) == {0, 1 / (1 - rate)}
    assert abs(share_dropped - rate) < 5 * standard_error
    assert abs(mask.mean() - 1) < 5 * standard_error / (1 - rate)


def test_rate_zero_keeps_everything(rng):
    assert (dropout_mask(rng, (40, 50), 0, np.float32) == 1).all()


def test_both_dtypes_drop_the_same_entries():
    masks = [dropout_mask(np.random.default_rng(3), (4, 5), 0.4, dtype) for dtype in (np.float32, np.float64)]
    assert [mask.dtype for mask in masks] == [np.float32, np.float64]
    assert_same_bits(masks[0] == 0, masks[1] == 0)


def test_it_multiplies_both_ways(rng):
    x, dy, mask = *rng.standard_normal((2, 2, 3, 5)), dropout_mask(rng, (2, 3, 5), 0.4, np.float64)
    y, c = dropout(x, mask)
    assert_same_bits(y, x * mask)
    assert_same_bits(dropout_backward(dy, c), dy * mask)


def test_off_at_evaluation(rng):
    x, dy = rng.standard_normal((2, 2, 3, 5))
    y, c = dropout(x)
    assert_same_bits(y, x)
    assert_same_bits(dropout_backward(dy, c), dy)
