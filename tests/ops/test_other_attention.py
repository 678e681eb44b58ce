"""Blockwise attention is attention; linear attention's quadratic, linear and recurrent forms are one function."""

import numpy as np
import pytest

from tinyvit.gradcheck import gradcheck
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.blockwise_attention import blockwise_attention, blockwise_attention_backward
from tinyvit.ops.linear_attention import (
    causal_linear_attention,
    causal_linear_attention_backward,
    linear_attention,
    linear_attention_backward,
    positive_features,
    positive_features_backward,
)


def drawn(*shapes):
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize("block", [1, 4, 7, 100])
def test_blocks_change_nothing(block):
    """Blocks that divide the keys and that do not, one of each key, one of all."""
    q, k, v, dy = drawn((2, 3, 5, 4), (2, 3, 28, 4), (2, 3, 28, 4), (2, 3, 5, 4))
    y, c = attention(10 * q, k, v)
    block_y, block_c = blockwise_attention(10 * q, k, v, block=block)
    assert abs(y - block_y).max() < 1e-14
    blocks = blockwise_attention_backward(dy, block_c, block=block)
    for dense, part in zip(attention_backward(dy, c)[:3], blocks, strict=True):
        assert abs(dense - part).max() < 1e-13


def test_blocks_of_large_scores_overflow_nowhere():
    """The largest score is in the last block, and 10^4 above the others: what came before it is rescaled to 0."""
    q, k, v = np.ones((1, 1)), np.array([[0.0], [5.0], [1e4]]), np.array([[1.0], [2.0], [3.0]])
    with np.errstate(all="raise", under="ignore"):
        y, _ = blockwise_attention(q, k, v, block=1)
    assert y == 3


def test_features_of_large_numbers_overflow_nowhere():
    """Above 0 no exponential is computed, whose result would not be used."""
    x = np.array([-1e4, -1.0, 0.0, 2.0, 1e4], np.float32)
    with np.errstate(all="raise", under="ignore"):
        y, c = positive_features(x)
        dx = positive_features_backward(np.ones_like(x), c)
    np.testing.assert_allclose(y, [0, np.exp(-1), 1, 3, 10_001], rtol=1e-6)
    np.testing.assert_allclose(dx, [0, np.exp(-1), 1, 1, 1], rtol=1e-6)
    assert y.dtype == dx.dtype == np.float32


def quadratic(q, k, v, causal=False):
    """The definition: every weight, and their sum."""
    weights = q @ k.swapaxes(-1, -2)
    weights = np.tril(weights) if causal else weights
    return weights / weights.sum(axis=-1, keepdims=True) @ v


def test_three_forms_of_linear_attention():
    q, k, v = drawn((2, 3, 9, 4), (2, 3, 9, 4), (2, 3, 9, 5))
    (q, _), (k, _) = positive_features(q), positive_features(k)
    assert q.min() > 0
    assert abs(linear_attention(q, k, v)[0] - quadratic(q, k, v)).max() < 1e-14
    assert abs(causal_linear_attention(q, k, v)[0] - quadratic(q, k, v, causal=True)).max() < 1e-14
    last = linear_attention(q, k, v)[0][..., -1, :]
    assert abs(causal_linear_attention(q, k, v)[0][..., -1, :] - last).max() < 1e-14


@pytest.mark.parametrize(
    ("forward", "backward", "keys"),
    [
        (linear_attention, linear_attention_backward, 6),
        (causal_linear_attention, causal_linear_attention_backward, 4),
        (blockwise_attention, blockwise_attention_backward, 6),
    ],
    ids=["linear", "causal", "blocks"],
)
def test_gradients(forward, backward, keys):
    q, k, v = drawn((2, 4, 3), (2, keys, 3), (2, keys, 3 if forward is blockwise_attention else 5))
    if forward is not blockwise_attention:
        q, k = (abs(x) + 0.2 for x in (q, k))
    report = gradcheck(forward, backward, q, k, v)
    assert report.ok, report


def test_the_features_gradient():
    report = gradcheck(positive_features, positive_features_backward, drawn((3, 7))[0])
    assert report.ok, report
