"""Sparse attention is dense attention with a mask, edges included; the patterns have the pairs that papers count."""

import numpy as np
import pytest

from tinyvit.ops import patterns
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.sparse_attention import (
    dense,
    grouped,
    scores_computed,
    sparse_attention,
    sparse_attention_backward,
)


def causal(pattern, side, *more):
    """A pattern of the Sparse Transformer as the paper has it, on a raster of `side` rows."""
    return pattern(side * side, side, *more) & patterns.causal(side * side)


COUNTS = {  # pairs on a grid of 14 x 14, and of 32 x 32
    "full": (lambda s: patterns.full(s * s), 38_416, 1_048_576),
    "causal": (lambda s: patterns.causal(s * s), 19_306, 524_800),
    "row": (lambda s: patterns.row(s, s), 2_744, 32_768),
    "criss-cross": (lambda s: patterns.row(s, s) | patterns.column(s, s), 5_292, 64_512),
    "neighbourhood 3": (lambda s: patterns.neighbourhood(s, s, 1), 1_600, 8_836),
    "neighbourhood 5": (lambda s: patterns.neighbourhood(s, s, 2), 4_096, 23_716),
    "neighbourhood 7": (lambda s: patterns.neighbourhood(s, s, 3), 7_396, 44_944),
    "sliding 7": (lambda s: patterns.sliding(s * s, 7), 2_884, 15_304),
    "strided, A1": (lambda s: causal(patterns.strided, s)[0], 2_835, 33_264),
    "strided, A2": (lambda s: causal(patterns.strided, s)[1], 1_470, 16_896),
    "strided, both": (lambda s: causal(patterns.strided, s).any(axis=0), 3_927, 48_144),
    "fixed, A1": (lambda s: causal(patterns.fixed, s, 1)[0], 1_470, 16_896),
    "fixed, both, c = 1": (lambda s: causal(patterns.fixed, s, 1).any(axis=0), 2_744, 32_768),
    "fixed, both, c = 4": (lambda s: causal(patterns.fixed, s, 4).any(axis=0), 6_566, 80_384),
}


@pytest.mark.parametrize("name", COUNTS)
def test_the_pairs_are_those_that_are_counted(name):
    pattern, small, large = COUNTS[name]
    assert (pattern(14).sum(), pattern(32).sum()) == (small, large)


def test_longformers_and_the_fixed_patterns_counts():
    """64 neighbours at 1,024 and 4,096 tokens; A2 as the paper has it, where only a summary may look at itself."""
    assert [patterns.sliding(tokens, 32).sum() for tokens in (1024, 4096)] == [65_504, 265_184]
    for side, c, expected in ((14, 1, 1_288), (14, 4, 5_236), (32, 1, 15_904), (32, 4, 63_808)):
        itself = side * side - side * c
        assert causal(patterns.fixed, side, c)[1].sum() - itself == expected


def test_with_gaps_a_token_has_as_many_neighbours_further_off():
    """r on each side, in steps of d: at each end d r (r + 1) / 2 of them are missing."""
    allowed = patterns.sliding(20, 2, dilation=3)
    assert np.flatnonzero(allowed[10]).tolist() == [4, 7, 10, 13, 16]
    assert allowed.sum() == 20 * 5 - 3 * 2 * 3
    assert (patterns.sliding(20, 2, dilation=1) == patterns.sliding(20, 2)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_patterns_bias_is_of_the_dtype_that_is_asked_for(dtype):
    bias = patterns.pattern_bias([[True, False]], dtype)
    assert bias.dtype == dtype and bias.tolist() == [[0, -np.inf]]


def test_windows_and_displaced_windows():
    """Swin's: 56 x 56 and 14 x 14 tokens, windows of 7 x 7, displaced by 3."""
    assert patterns.windows(56, 56, 7).sum() == 153_664 and patterns.windows(56, 56, 7, 3).sum() == 135_424
    assert patterns.windows(14, 14, 7).sum() == 9_604 and patterns.windows(14, 14, 7, 3).sum() == 5_476


def test_axes_are_what_the_sparse_transformer_has_on_a_raster():
    past = patterns.causal(30)
    assert (patterns.strided(30, 6)[1] & past == patterns.column(5, 6) & past).all()
    assert (patterns.fixed(30, 6, 1)[0] & past == patterns.row(5, 6) & past).all()


def test_every_pair_is_reached_in_two_layers_of_rows_and_columns():
    row, column = patterns.row(4, 6), patterns.column(4, 6)
    assert (row @ column).all() and not (row | column).all() and not (row @ row).all()


def tiles(height, width, tile):
    """The tile of each token of a grid."""
    rows, columns = np.divmod(np.arange(height * width), width)
    return rows // tile * width + columns // tile


@pytest.mark.parametrize(
    ("pattern", "sizes"),
    [
        (patterns.full, (24,)),
        (patterns.causal, (24,)),
        (patterns.sliding, (24, 2, 3)),
        (patterns.neighbourhood, (4, 6, 1)),
        (patterns.row, (4, 6)),
        (patterns.column, (4, 6)),
        (patterns.windows, (4, 6, 2, 1)),
        (patterns.strided, (24, 6)),
        (patterns.fixed, (24, 6, 2)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_some_rows_of_a_pattern_are_those_of_the_whole(pattern, sizes):
    some = np.array([5, 0, 23])
    np.testing.assert_array_equal(pattern(*sizes, queries=some), pattern(*sizes)[..., some, :])


H, W = 4, 6
TOKENS = np.arange(H * W)
PLANS = {  # name: the pattern, and a way to group its queries
    "row": (patterns.row(H, W), TOKENS // W),
    "column": (patterns.column(H, W), TOKENS % W),
    "windows": (patterns.windows(H, W, 2), tiles(H, W, 2)),
    "displaced windows": (patterns.windows(H, W, 2, 1), tiles(H, W, 2)),
    "neighbourhood": (patterns.neighbourhood(H, W, 1), tiles(H, W, 2)),
    "sliding": (patterns.sliding(H * W, 2), TOKENS // 5),
    "dilated": (patterns.sliding(H * W, 2, dilation=3), TOKENS % 3),
    "causal": (patterns.causal(H * W), TOKENS // 8),
    "strided": (patterns.strided(H * W, 5).any(axis=0) & patterns.causal(H * W), TOKENS % 5),
    "fixed": (patterns.fixed(H * W, 6, 2)[1] & patterns.causal(H * W), TOKENS // 6),
    "one by one": (patterns.neighbourhood(H, W, 1), TOKENS),
    "all at once": (patterns.neighbourhood(H, W, 1), 0 * TOKENS),
}


def drawn(tokens):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((2, 3, tokens, 5)) for _ in range(4)]


def compared(allowed, group):
    """The largest difference of outputs, gradients and maps, dense and sparse."""
    q, k, v, dy = drawn(len(allowed))
    y, c = attention(q, k, v, patterns.pattern_bias(allowed, "float64"))
    plan = grouped(allowed, group)
    sparse_y, sparse_c = sparse_attention(q, k, v, plan)
    gradients = zip(attention_backward(dy, c)[:3], sparse_attention_backward(dy, sparse_c)[:3], strict=True)
    pairs = [(y, sparse_y), *gradients, (c["a"], dense([group["a"] for group in sparse_c["groups"]], sparse_c))]
    return max(abs(dense - sparse).max() for dense, sparse in pairs)


@pytest.mark.parametrize("name", PLANS)
def test_it_is_dense_attention_with_a_mask(name):
    assert compared(*PLANS[name]) < 1e-14


@pytest.mark.parametrize("name", ["row", "neighbourhood", "sliding"])
def test_with_a_class_token_at_whom_everybody_looks(name):
    allowed, group = PLANS[name]
    assert compared(patterns.with_global(allowed), np.concatenate([[-1], group])) < 1e-14


def test_a_plan_is_made_of_the_whole_pattern_or_of_its_rows():
    """And groups are filled up with keys that nobody in them may look at, none twice."""
    allowed, group = PLANS["neighbourhood"]
    group = group * (group < 3)  # a group that asks more keys than its neighbours of one size
    for one, other in zip(grouped(allowed, group), grouped(lambda t: allowed[t], group), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        assert all(len(set(keys)) == len(keys) for keys in one.keys)
    assert compared(allowed, group) < 1e-14


def test_windows_compute_no_score_too_many_and_nothing_is_masked():
    allowed, group = PLANS["windows"]
    plan = grouped(allowed, group)
    assert scores_computed(plan) == allowed.sum() and all(part.mask is None for part in plan)


def test_an_edge_has_fewer_keys_not_keys_of_zero():
    """What zero padding would do: a key of zeros has the score 0, and takes its share of the softmax."""
    allowed, group = PLANS["neighbourhood"]
    q, k, v, _ = drawn(len(allowed))
    y, _ = sparse_attention(q, k, v, grouped(allowed, group))
    corner = [0, 1, W, W + 1]
    weights = np.exp(q[..., :1, :] @ k[..., corner, :].swapaxes(-1, -2))
    alone = (weights / weights.sum(axis=-1, keepdims=True)) @ v[..., corner, :]
    padded = weights / (weights.sum(axis=-1, keepdims=True) + 5) @ v[..., corner, :]
    assert abs(y[..., :1, :] - alone).max() < 1e-14 and abs(padded - alone).max() > 0.1


def test_a_bias_is_added_to_the_scores_and_has_their_gradient():
    allowed, group = PLANS["neighbourhood"]
    q, k, v, dy = drawn(len(allowed))
    bias, plan = np.random.default_rng(1).standard_normal((2, 3, len(allowed), len(allowed))), grouped(allowed, group)
    y, c = attention(q, k, v, bias + patterns.pattern_bias(allowed, "float64"))
    sparse_y, sparse_c = sparse_attention(q, k, v, plan, bias)
    dbias = attention_backward(dy, c)[3]
    assert abs(y - sparse_y).max() < 1e-14 and abs(dbias - sparse_attention_backward(dy, sparse_c)[3]).max() < 1e-14
    assert sparse_attention_backward(dy, sparse_attention(q, k, v, plan)[1])[3] is None
