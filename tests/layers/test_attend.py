"""Attention of every kind, in the whole ViT: against dense attention with the pattern as a mask."""

import dataclasses
from unittest import mock

import numpy as np
import pytest

from tests.reference.compare import assert_close, random_vit
from tinyvit import trees
from tinyvit.errors import UsageError
from tinyvit.gradcheck import gradcheck
from tinyvit.layers import attend
from tinyvit.layers.attend import ATTENTION, SPARSE, allowed_pairs, attention_map, attention_plan
from tinyvit.layers.multi_head_attention import (
    multi_head_attention,
    multi_head_attention_backward,
    multi_head_attention_init,
)
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_backward
from tinyvit.ops import patterns
from tinyvit.ops.attention import attention
from tinyvit.ops.sparse_attention import scores_computed

SMALL = dict(image=(8, 12), channels=2, patch=2, dim=6, depth=3, heads=3, mlp_dim=5, classes=4, gelu="tanh", reach=2)
REACH = {"local": 1, "window": 2, "axial": 1, "sliding": 3, "strided": 1, "fixed": 2}


def config_of(kind, **changes):
    return ViTConfig(**SMALL | dict(attention=kind, reach=REACH.get(kind, 1)) | changes)


def passes(config, images, p, **keywords):
    logits, c = vit(images, p, config, **keywords)
    dimages, g = vit_backward(np.cos(np.arange(logits.size)).reshape(logits.shape), p, c, config)
    return {"logits": logits, "dimages": dimages} | trees.named(g), c


def with_all_scores():
    """`attend` that computes all scores, and hides those that the plan's pattern does not allow."""

    def attended(q, k, v, found, bias=None):
        allowed = np.zeros((q.shape[-2], k.shape[-2]), bool)
        for queries, keys, may in found:
            seen = np.ones((*queries.shape, keys.shape[1]), bool) if may is None else np.isfinite(may)
            allowed[queries[:, :, None], keys[:, None]] = seen
        added = patterns.pattern_bias(allowed, "float64")
        return attention(q, k, v, added if bias is None else bias + added)

    return mock.patch("tinyvit.layers.multi_head_attention.attend", attended)


@pytest.mark.parametrize("pool", ["class", "mean"])
@pytest.mark.parametrize("kind", SPARSE)
def test_the_whole_vit_with_a_pattern_is_the_vit_with_a_mask(rng, kind, pool):
    config = config_of(kind, pool=pool)
    p, images = random_vit(config), rng.standard_normal((2, 8, 12, 2))
    found, c = passes(config, images, p)
    with with_all_scores():
        expected, c_dense = passes(config, images, p)
    assert_close(found, expected, 1e-10)
    for block, masked in zip(c["blocks"], c_dense["blocks"], strict=True):
        assert_close(attention_map(block["msa"]["att"]), masked["msa"]["att"]["a"], 1e-10)


@pytest.mark.parametrize("kind", ATTENTION)
def test_the_class_row_alone_gives_the_same(rng, kind):
    config = config_of(kind)
    p, images = random_vit(config), rng.standard_normal((2, 8, 12, 2))
    assert_close(passes(config, images, p, all_rows=False)[0], passes(config, images, p)[0], 1e-10)


def test_relative_positions_reach_a_pattern(rng):
    config = config_of("local", position="relative", position_at="shared")
    p, images = random_vit(config), rng.standard_normal((2, 8, 12, 2))
    with with_all_scores():
        expected, _ = passes(config, images, p)
    assert_close(passes(config, images, p)[0], expected, 1e-10)


@pytest.mark.parametrize("kind", ["axial", "linear"])
def test_gradients_of_the_whole(rng, kind):
    config = config_of(kind, image=4, depth=2, pool="mean" if kind == "axial" else "class")
    p, images = random_vit(config), rng.standard_normal((2, 4, 4, 2))
    report = gradcheck(vit, lambda dy, p, c: vit_backward(dy, p, c, config), images, p, config=config)
    assert report.ok, report


def test_linear_attention_has_maps_whose_rows_sum_to_one(rng):
    config = config_of("linear")
    _, c = vit(rng.standard_normal((2, 8, 12, 2)), random_vit(config), config)
    a = attention_map(c["blocks"][0]["msa"]["att"])
    assert a.shape == (2, 3, 25, 25) and a.min() > 0
    np.testing.assert_allclose(a.sum(axis=-1), 1)


GRID = (4, 6)
OF_BLOCKS = {  # the patterns of the first block and of the second
    "local": [patterns.neighbourhood(*GRID, 1)] * 2,
    "window": [patterns.windows(*GRID, 2), patterns.windows(*GRID, 2, 1)],
    "axial": [patterns.row(*GRID), patterns.column(*GRID)],
    "sliding": [patterns.sliding(24, 3)] * 2,
    "strided": patterns.strided(24, 6),
    "fixed": patterns.fixed(24, 6, 2),
}


@pytest.mark.parametrize("class_token", [False, True])
@pytest.mark.parametrize("number", [0, 1, 2, 3])
@pytest.mark.parametrize("kind", SPARSE)
def test_every_block_has_the_pattern_that_is_said(kind, number, class_token):
    """As a matrix, and as the groups that are computed: none too many, none too few, no query twice."""
    expected = OF_BLOCKS[kind][number % 2]
    expected = patterns.with_global(expected) if class_token else expected
    of_kind = (kind, GRID, class_token, REACH[kind], number)
    np.testing.assert_array_equal(allowed_pairs(*of_kind), expected)
    computed = np.zeros(expected.shape, int)
    for queries, keys, mask in attention_plan(*of_kind):
        may = 1 if mask is None else np.isfinite(mask)
        np.add.at(computed, (queries[:, :, None], keys[:, None]), may)
    np.testing.assert_array_equal(computed, expected)


def test_windows_and_axes_alternate_from_block_to_block():
    first, second = (attention_plan("axial", (4, 6), False, 1, number) for number in (0, 1))
    assert first[0].queries.shape == (4, 6) and second[0].queries.shape == (6, 4)
    windows = [attention_plan("window", (4, 6), False, 2, number) for number in (0, 1)]
    assert [len(group.queries) for group in windows[0]] == [6] and len(windows[1]) > 1


def test_a_pattern_computes_fewer_scores():
    """On the grid of a ViT with patches of 16 at 224 pixels, with a class token: of 197^2 scores."""
    for kind in SPARSE:
        for number in (0, 1):
            computed = scores_computed(attention_plan(kind, (14, 14), True, REACH[kind], number))
            assert computed < 197**2 / 2, kind
            assert kind != "axial" or computed == 196 * 15 + 197


def test_a_row_cannot_be_summed_up_by_more_patches_than_it_has():
    assert scores_computed(attention_plan("fixed", (4, 6), False, 6, 1)) == 24**2
    with pytest.raises(UsageError, match="attention fixed: reach is 7, expected at most 6, the patches of a row"):
        config_of("fixed", reach=7)


def test_relative_positions_cannot_reach_linear_attention():
    with pytest.raises(UsageError, match="attention linear has no scores"):
        config_of("linear", position="relative", position_at="shared")


def large_from_25_tokens(monkeypatch):
    """Maps are large, of two images with three heads in float64, from 25 tokens on."""
    monkeypatch.setattr(attend, "LARGE_MAPS", 2 * 3 * 25 * 25 * 8)
    monkeypatch.setattr(attend, "BLOCK", 2 * 3 * 25 * 8 * 10)  # ten keys
    monkeypatch.setattr(attend, "FEWEST_KEYS", 4)


@pytest.mark.parametrize("all_rows", [True, False])
def test_large_maps_are_not_kept_and_change_nothing(rng, monkeypatch, all_rows):
    config = config_of("full", pool="class")
    p, images = random_vit(config), rng.standard_normal((2, 8, 12, 2))
    expected, c_whole = passes(config, images, p, all_rows=all_rows)
    large_from_25_tokens(monkeypatch)
    found, c = passes(config, images, p, all_rows=all_rows)
    assert_close(found, expected, 1e-10)
    large = [True] * (config.depth - 1) + [all_rows]
    for block, whole, is_large in zip(c["blocks"], c_whole["blocks"], large, strict=True):
        assert ("lse" in block["msa"]["att"], "a" in block["msa"]["att"]) == (is_large, not is_large)
        assert_close(attention_map(block["msa"]["att"]), whole["msa"]["att"]["a"], 1e-10)


@pytest.mark.parametrize(("tokens", "kept"), [(24, "a"), (25, "lse")])
def test_gradients_on_both_sides_of_the_length(rng, monkeypatch, tokens, kept):
    large_from_25_tokens(monkeypatch)
    x, p = rng.standard_normal((2, tokens, 6)), multi_head_attention_init(rng, 6, dtype="float64")

    def forward(x, p):
        return multi_head_attention(x, x, p, heads=3)

    def backward(dy, p, c):
        dx, dkv, _, g = multi_head_attention_backward(dy, p, c)
        return dx + dkv, g

    assert kept in forward(x, p)[1]["att"]
    report = gradcheck(forward, backward, x, p)
    assert report.ok, report


def test_a_bias_needs_whole_maps(rng, monkeypatch):
    large_from_25_tokens(monkeypatch)
    x, p = rng.standard_normal((2, 30, 6)), multi_head_attention_init(rng, 6, dtype="float64")
    bias = rng.standard_normal((30, 30))
    y, c = multi_head_attention(x, x, p, heads=3, bias=bias)
    dbias = multi_head_attention_backward(np.cos(y), p, c)[2]
    assert "a" in c["att"] and dbias.shape == bias.shape


def test_the_usual_models_have_whole_maps():
    """ViT-B/16 in micro-batches of 32 images, and at 384 pixels one image after the other."""
    for images, tokens in ((32, 197), (1, 577)):
        assert images * 12 * tokens**2 * 4 < attend.LARGE_MAPS


def test_the_plan_of_a_grid_is_made_once():
    assert attention_plan("local", (4, 6), True, 1, 0) is attention_plan("local", (4, 6), True, 1, 0)
    assert attend.attention_plan.cache_info().maxsize is not None
    for group in attention_plan("local", (4, 6), True, 1, 0):
        assert not any(array.flags.writeable for array in group if array is not None), "all models share it"
    assert dataclasses.replace(config_of("local"), attention="full").attention == "full"
