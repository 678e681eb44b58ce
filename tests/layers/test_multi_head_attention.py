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


@pytest.fixture
def relative(rng, p):
    """Parameters with keys for the offsets of S tokens."""
    return p | {"r": rng.standard_normal((2 * S - 1, D))}


@pytest.mark.parametrize("scale", ["sqrt", "none"])
@pytest.mark.parametrize("queries", [1, 3, 5])
def test_relative_positions_agree_with_their_twin(rng, relative, queries, scale):
    x = rng.standard_normal((B, S, D))
    bias = rng.standard_normal((3, queries, S))
    y, _ = multi_head_attention(x[:, :queries], x, relative, heads=3, bias=bias, scale=scale)
    assert_close(y, naive.multi_head_attention(x[:, :queries], x, relative, 3, bias, scale))
    alone, _ = multi_head_attention(x[:, :queries], x, relative, heads=3, scale=scale)
    assert_close(alone, naive.multi_head_attention(x[:, :queries], x, relative, 3, scale=scale))


def test_relative_positions_of_zero_are_none(rng, p):
    x = rng.standard_normal((B, S, D))
    zero = p | {"r": np.zeros((2 * S - 1, D))}
    assert_close(multi_head_attention(x, x, zero, heads=3)[0], multi_head_attention(x, x, p, heads=3)[0])


def test_the_query_has_a_gradient_through_the_keys_of_the_offsets(rng, p, relative):
    """With keys of zero, nothing comes back to the queries but what comes through the offsets."""
    x, dy = rng.standard_normal((2, B, S, D))
    silent = {"w": np.zeros((D, D)), "b": np.zeros(D)}
    for q, some in ((p | {"k": silent}, False), (relative | {"k": silent}, True)):
        g = multi_head_attention_backward(dy, q, multi_head_attention(x, x, q, heads=3)[1])[-1]
        assert g["q"]["w"].any() == some
    assert g["r"].shape == (2 * S - 1, D) and (g["r"] != 0).all()


def test_softmax_does_not_see_what_all_offsets_have_in_common(rng, relative):
    x, dy = rng.standard_normal((2, B, S, D))
    y, c = multi_head_attention(x, x, relative, heads=3)
    g = multi_head_attention_backward(dy, relative, c)[-1]
    assert abs(g["r"].sum(axis=0)).max() < 1e-13 * abs(g["r"]).max()
    shifted = relative | {"r": relative["r"] + rng.standard_normal(D)}
    assert_close(multi_head_attention(x, x, shifted, heads=3)[0], y)


def test_where_the_sequence_begins_does_not_matter_to_relative_positions(rng, relative):
    """Hide the first token from the others: they answer as they would alone, their offsets being the same."""
    x, hidden = rng.standard_normal((B, S, D)), np.where(np.arange(S) == 0, -np.inf, 0)
    shorter = relative | {"r": relative["r"][1:-1]}
    alone = multi_head_attention(x[:, 1:], x[:, 1:], shorter, heads=3)[0]
    assert_close(multi_head_attention(x, x, relative, heads=3, bias=hidden)[0][:, 1:], alone)


def test_with_relative_positions_the_order_of_tokens_matters(rng, relative):
    x, order = rng.standard_normal((B, S, D)), np.array([1, 0, *range(2, S)])
    y, permuted = (multi_head_attention(a, a, relative, heads=3)[0] for a in (x, x[:, order]))
    assert abs(permuted - y[:, order]).max() > 0.01


def test_no_scale_is_the_scale_of_smaller_queries(rng, p):
    """The scale can be had by dividing the queries' weights: what it changes is where a model starts, and how fast."""
    x, dy = rng.standard_normal((2, B, T, D))
    smaller = p | {"q": {name: leaf / 2 for name, leaf in p["q"].items()}}  # d = 12 / 3 = 4
    (scaled, c), (unscaled, c_none) = (
        multi_head_attention(x, x, p, heads=3),
        multi_head_attention(x, x, smaller, heads=3, scale="none"),
    )
    assert_close(unscaled, scaled)
    *found, g = multi_head_attention_backward(dy, smaller, c_none)
    *expected, g_scaled = multi_head_attention_backward(dy, p, c)
    assert_close(found, expected)
    assert_close(g["q"]["w"], 2 * g_scaled["q"]["w"])
    assert "scale" in c and "scale" not in c_none


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
    """Without the scale, the variance is the width of a head."""
    same = {"w": np.eye(64), "b": np.zeros(64)}
    x, kv = rng.standard_normal((2, 8, 80, 64))
    for scale, variance in (("sqrt", 1), ("none", 64 // heads)):
        _, c = multi_head_attention(x, kv, dict.fromkeys("qkvo", same), heads=heads, scale=scale)
        scores = np.log(c["att"]["a"])  # up to a constant in each row
        assert np.var(scores, axis=-1, ddof=1).mean() == pytest.approx(variance, rel=0.03)


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
