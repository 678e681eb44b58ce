"""Splitting and merging heads."""

import numpy as np

from tests.reference.compare import assert_same_bits
from tinyvit.ops.heads import merge_heads, split_heads


def test_a_head_is_its_own_columns_of_every_token(rng):
    x = rng.standard_normal((2, 5, 12))
    y = split_heads(x, 3)
    assert y.shape == (2, 3, 5, 4)
    for i in range(3):
        assert_same_bits(y[:, i], x[:, :, 4 * i : 4 * (i + 1)])


def test_merging_undoes_splitting(rng):
    x, y = rng.standard_normal((2, 5, 12)), rng.standard_normal((2, 3, 5, 4))
    assert_same_bits(merge_heads(split_heads(x, 3)), x)
    assert_same_bits(split_heads(merge_heads(y), 3), y)


def test_merging_is_the_concatenation_of_the_heads(rng):
    y = rng.standard_normal((2, 3, 5, 4))
    assert_same_bits(merge_heads(y), np.concatenate([y[:, i] for i in range(3)], axis=-1))
