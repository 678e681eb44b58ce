"""Multi-head attention."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, randomised
from tinyvit.layers.multi_head_attention import (
    multi_head_attention,
    multi_head_attention_backward,
    multi_head_attention_init,
)

B, T, S, D = 2, 3, 5, 12


@pytest.fixture
def p():
    return randomised(multi_head_attention_init(None, D))


@pytest.mark.parametrize("heads", [1, 3, 4, 12])
def test_a_loop_over_heads_equals_the_batched_form(rng, p, heads):
    x = rng.standard_normal((B, T, D))
    assert_close(multi_head_attention(x, x, p, heads=heads)[0], naive.multi_head_attention(x, x, p, heads))


def test_cross_attention_with_a_bias_agrees_with_its_twin(rng, p):
    x, kv, bias = rng.standard_normal((B, T, D)), rng.standard_normal((B, S, D)), rng.standard_normal((3, 1, S))
    y, c = multi_head_attention(x, kv, p, heads=3, bias=bias)
    dx, dkv, dbias, _ = multi_head_attention_backward(rng.standard_normal(y.shape), p, c)
    assert_close(y, naive.multi_head_attention(x, kv, p, 3, bias))
    assert [a.shape for a in (dx, dkv, dbias)] == [x.shape, kv.shape, bias.shape]


def test_permuting_tokens_permutes_outputs(rng, p):
    x, order = rng.standard_normal((B, S, D)), rng.permutation(S)
    y, permuted = (multi_head_attention(a, a, p, heads=3)[0] for a in (x, x[:, order]))
    assert_close(permuted, y[:, order])


def test_permuting_keys_and_values_together_changes_nothing(rng, p):
    x, kv, order = rng.standard_normal((B, T, D)), rng.standard_normal((B, S, D)), rng.permutation(S)
    y, permuted = (multi_head_attention(x, a, p, heads=3)[0] for a in (kv, kv[:, order]))
    assert_close(permuted, y)


@pytest.mark.parametrize("heads", [1, 4, 16])
def test_scores_have_variance_one_whatever_the_width(rng, heads):
    same = {"w": np.eye(64), "b": np.zeros(64)}
    x, kv = rng.standard_normal((2, 8, 80, 64))
    _, c = multi_head_attention(x, kv, dict.fromkeys("qkvo", same), heads=heads)
    scores = np.log(c["att"]["a"])  # up to a constant in each row
    assert np.var(scores, axis=-1, ddof=1).mean() == pytest.approx(1, rel=0.03)


def test_the_maps_of_a_cache_sum_to_one(rng, p):
    x, kv = rng.standard_normal((B, T, D)), rng.standard_normal((B, S, D))
    _, c = multi_head_attention(x, kv, p, heads=3)
    assert c["att"]["a"].shape == (B, 3, T, S)
    assert abs(c["att"]["a"].sum(axis=-1) - 1).max() < 1e-14


def test_softmax_does_not_see_the_key_bias(rng, p):
    x = rng.standard_normal((B, T, D))
    y, c = multi_head_attention(x, x, p, heads=3)
    g = multi_head_attention_backward(rng.standard_normal(y.shape), p, c)[-1]
    shifted = p | {"k": {"w": p["k"]["w"], "b": p["k"]["b"] + rng.standard_normal(D)}}
    assert abs(g["k"]["b"]).max() < 1e-14 * abs(g["k"]["w"]).max()
    assert all(abs(g[name]["b"]).max() > 1e-2 * abs(g[name]["w"]).max() for name in "qvo")
    assert_close(multi_head_attention(x, x, shifted, heads=3)[0], y)
