"""Scaled dot-product attention."""

import math

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close
from tinyvit.ops.attention import attention, attention_backward

B, H, T, S, D = 2, 3, 4, 5, 6


@pytest.fixture
def qkv(rng):
    return rng.standard_normal((B, H, T, D)), rng.standard_normal((B, H, S, D)), rng.standard_normal((B, H, S, D))


@pytest.mark.parametrize("shape", [None, (B, H, T, S), (H, T, S), (H, 1, S), (T, S), (B, 1, 1, S), (1, 1, T, 1), ()])
def test_agrees_with_its_twin_for_every_bias(rng, qkv, shape):
    bias = None if shape is None else rng.standard_normal(shape)
    assert_close(attention(*qkv, bias)[0], naive.attention(*qkv, bias))


def test_each_query_sees_only_its_own_image_and_head(rng, qkv):
    y, _ = attention(*qkv)
    alone, _ = attention(*(x[1:, 2:] for x in qkv))
    assert_close(alone, y[1:, 2:])


def test_maps_sum_to_one(qkv):
    _, c = attention(*qkv)
    assert c["a"].shape == (B, H, T, S)
    assert abs(c["a"].sum(axis=-1) - 1).max() < 1e-14


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_of_ten_thousand(rng, dtype):
    q, k = np.array([[[[1e4], [-1e4]]]], dtype), np.array([[[[1], [-1], [1]]]], dtype)
    v = rng.standard_normal((1, 1, 3, 2)).astype(dtype)
    y, c = attention(q, k, v)
    assert_close(y[0, 0], np.array([(v[0, 0, 0] + v[0, 0, 2]) / 2, v[0, 0, 1]]), np.finfo(dtype).eps)
    assert all(np.isfinite(x).all() for x in attention_backward(np.ones_like(y), c))


def test_minus_infinity_hides_a_key_exactly(rng, qkv):
    q, k, v = qkv
    bias = np.zeros((T, S))
    bias[:, 3] = -np.inf
    seen = [0, 1, 2, 4]
    y, c = attention(q, k, v, bias)
    dy = rng.standard_normal(y.shape)
    dq, dk, dv, dbias = attention_backward(dy, c)
    y_without, c_without = attention(q, k[:, :, seen], v[:, :, seen])
    dq_without, dk_without, dv_without, dscores = attention_backward(dy, c_without)

    assert (c["a"][..., 3] == 0).all()
    for hidden in dk[:, :, 3], dv[:, :, 3], dbias[:, 3]:
        assert (hidden == 0).all()
    assert_close((y, dq), (y_without, dq_without))
    assert_close((dk[:, :, seen], dv[:, :, seen]), (dk_without, dv_without))
    assert_close(dbias[:, seen], dscores.sum(axis=(0, 1)))


@pytest.mark.parametrize("shape", [(B, H, T, S), (H, 1, S), (T, S), (B, 1, 1, S), (1, 1, T, 1)])
def test_the_bias_gradient_is_the_scores_gradient_summed_as_it_was_broadcast(rng, qkv, shape):
    y, c = attention(*qkv, np.zeros(shape))
    dy = rng.standard_normal(y.shape)
    dbias = attention_backward(dy, c)[3]
    dscores = attention_backward(dy, attention(*qkv)[1])[3]
    axes = tuple(i for i in range(4) if ((1,) * (4 - len(shape)) + shape)[i] == 1)
    assert dscores.shape == (B, H, T, S)
    if shape == (1, 1, T, 1):  # a constant on a whole row of scores cancels
        assert abs(dbias).max() < 1e-13
    else:
        assert_close(dbias, dscores.sum(axis=axes, keepdims=True).reshape(shape))


def test_variance_of_a_dot_product_is_its_length(rng):
    for d in 4, 16, 64:
        q, k = rng.standard_normal((2, 40_000, d))
        scores = (q * k).sum(axis=1)
        assert np.var(scores) == pytest.approx(d, rel=0.05)
        assert np.var(scores / math.sqrt(d)) == pytest.approx(1, rel=0.05)


def test_without_the_scale_softmax_saturates_and_its_gradient_vanishes(rng):
    d = 1024
    q, k, v = (rng.standard_normal((1, 1, 32, d)) for _ in range(3))
    dy = rng.standard_normal((1, 1, 32, d))
    steep, calm = attention(q, k, v)[1], attention(q / math.sqrt(d), k, v)[1]
    assert np.median(steep["a"].max(axis=-1)) > 0.99
    assert np.median(calm["a"].max(axis=-1)) < 0.4
    assert np.median(abs(attention_backward(dy, steep)[3])) < 1e-6 * np.median(abs(attention_backward(dy, calm)[3]))
