"""Attention in numbers, against loops and against finite differences."""

import dataclasses
import math

import numpy as np
import pytest

from tests.reference.compare import random_vit
from tinyvit.errors import UsageError
from tinyvit.layers.block import BLOCKS
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward
from tinyvit.layers.mlp import mlp, mlp_backward
from tinyvit.layers.multi_head_attention import multi_head_attention, multi_head_attention_backward
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_masks
from tinyvit.ops import attention as op
from tinyvit.ops.dropout import NO_MASKS, dropout, dropout_backward
from tinyvit.viz.attention import (
    answers_row,
    attention_distance,
    attention_maps,
    class_tokens,
    patch_distances,
    rollout,
    uniform_distance,
    weighted_attention,
    who_answers,
)

CONFIG = ViTConfig(image=6, channels=2, patch=2, dim=8, depth=3, heads=2, mlp_dim=6, classes=4)


def parallel_block(z, p, *, heads, rows=None, gelu="erf", eps=1e-6, scale="sqrt", masks=NO_MASKS):
    """A block of another form, that of docs/extending.md: attention and MLP side by side."""
    c = {}
    y, c["ln1"] = layer_norm(z, p["ln1"], eps=eps)
    attended, c["msa"] = multi_head_attention(y[:, :rows], y, p["msa"], heads=heads, scale=scale)
    attended, c["dropout"] = dropout(attended, masks.get("msa"))
    y, c["ln2"] = layer_norm(z[:, :rows], p["ln2"], eps=eps)
    y, c["mlp"] = mlp(y, p["mlp"], gelu=gelu, masks=masks.get("mlp", NO_MASKS))
    return z[:, :rows] + attended + y, c


def parallel_block_backward(dz, p, c):
    g = {}
    dy, g["mlp"] = mlp_backward(dz, p["mlp"], c["mlp"])
    dy, g["ln2"] = layer_norm_backward(dy, p["ln2"], c["ln2"])
    dq, dkv, _, g["msa"] = multi_head_attention_backward(dropout_backward(dz, c["dropout"]), p["msa"], c["msa"])
    dkv[:, : dq.shape[1]] += dq
    dx, g["ln1"] = layer_norm_backward(dkv, p["ln1"], c["ln1"])
    dx[:, : dz.shape[1]] += dz + dy
    return dx, g


@pytest.fixture(autouse=True)
def parallel(monkeypatch):
    monkeypatch.setitem(BLOCKS, "parallel", (parallel_block, parallel_block_backward))


VARIANTS = [
    {},
    dict(pre_logits=5, gelu="tanh"),
    dict(pool="mean", norm="post", position="2d", position_at="layers"),
    dict(norm="post", position="relative", position_at="shared", scale="none"),
    dict(pool="mean", position="sinusoidal"),
    dict(norm="parallel", position="1d", position_at="layers"),
    dict(norm="parallel", position="relative", position_at="shared", pool="mean"),
]
WITH_CLASS = [variant for variant in VARIANTS if variant.get("pool") != "mean"]


def drawn(variant):
    """Images, parameters and configuration."""
    config = dataclasses.replace(CONFIG, **variant)
    images = np.random.default_rng(0).standard_normal((3, 6, 6, 2))
    return images, random_vit(config), config


@pytest.fixture(params=VARIANTS, ids=str)
def model(request):
    return drawn(request.param)


@pytest.fixture(params=WITH_CLASS, ids=str)
def with_class(request):
    return drawn(request.param)


def test_maps_are_the_caches_and_their_rows_sum_to_1(model):
    _, c = vit(*model)
    maps = attention_maps(c)
    T = model[2].tokens
    assert [a.shape for a in maps] == [(3, 2, T, T)] * 3
    for a, block in zip(maps, c["blocks"], strict=True):
        assert a is block["msa"]["att"]["a"]
        np.testing.assert_allclose(a.sum(-1), 1, atol=1e-12)


def test_rollout_by_hand():
    first = np.array([[[[1, 0], [0.5, 0.5]]]])
    second = np.array([[[[0.25, 0.75], [0, 1]], [[0.75, 0.25], [1, 0]]]])  # their mean is [[1/2, 1/2], [1/2, 1/2]]
    np.testing.assert_allclose(rollout([first, second], identity=False), [[[0.75, 0.25], [0.75, 0.25]]])
    with_identity = np.array([[0.75, 0.25], [0.25, 0.75]]) @ np.array([[1, 0], [0.25, 0.75]])
    np.testing.assert_allclose(rollout([first, second]), with_identity[None])


@pytest.mark.parametrize("identity", [True, False])
def test_rollouts_rows_sum_to_1_and_the_class_row_alone_is_its_first(with_class, identity):
    full, row = (attention_maps(vit(*with_class, all_rows=full)[1]) for full in (True, False))
    found = rollout(full, identity)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-12)
    np.testing.assert_allclose(rollout(row, identity), found[:, :1], atol=1e-12)


def test_distance_against_a_loop(model):
    maps = attention_maps(vit(*model)[1])
    found, first = attention_distance(maps, 2), model[2].tokens - 9
    assert found.shape == (3, 2)
    for layer, a in enumerate(maps):
        for head in range(2):
            total = 0.0
            for b in range(3):
                for t in range(9):
                    weights = [a[b, head, t + first, s + first] for s in range(9)]
                    way = [2 * math.hypot(t // 3 - s // 3, t % 3 - s % 3) for s in range(9)]
                    total += sum(w * d for w, d in zip(weights, way, strict=True)) / sum(weights)
            assert found[layer, head] == pytest.approx(total / 27, rel=1e-12)


def test_distance_at_its_ends():
    nowhere, everywhere = np.eye(10)[None, None], np.full((1, 1, 10, 10), 0.1)
    assert attention_distance([nowhere], 7)[0, 0] == 0
    assert attention_distance([everywhere], 7)[0, 0] == pytest.approx(uniform_distance(9, 7))
    assert attention_distance([np.full((1, 1, 9, 9), 1 / 9)], 7)[0, 0] == pytest.approx(uniform_distance(9, 7))
    assert patch_distances(9, 7)[0].tolist()[:4] == [0, 7, 14, 7], "raster order"
    assert uniform_distance(4, 1) == pytest.approx((0 + 1 + 1 + math.sqrt(2)) / 4)


def test_the_gradient_of_the_maps_is_what_a_change_of_a_map_does(model, monkeypatch):
    """Nudge one weight of one map in the forward pass; the score moves by da times the nudge."""
    images, p, config = model
    dlogits = np.zeros((3, 4))
    dlogits[[0, 1, 2], [3, 0, 2]] = 1
    _, c = vit(*model)
    found = weighted_attention(dlogits, p, c, config)
    softmax, calls, h, moved = op.softmax, [], 1e-5, []
    for layer, (b, t, s) in [
        (0, (1, 4, 2)),
        (0, (2, 5, 8)),
        (1, (0, 0, 7)),
        (1, (1, 3, 0)),
        (2, (2, 0, 5)),
        (2, (2, 1, 5)),
    ]:
        products = []
        for head in range(2):

            def score(nudge, layer=layer, index=(b, head, t, s)):
                calls.clear()

                def nudged(x):
                    y, cache = softmax(x)
                    if len(calls) == layer:
                        y[index] += nudge
                    calls.append(1)
                    return y, cache

                monkeypatch.setattr(op, "softmax", nudged)
                logits, _ = vit(images, p, config)
                monkeypatch.setattr(op, "softmax", softmax)
                return (logits * dlogits).sum()

            da = (score(h) - score(-h)) / (2 * h)
            products.append(max(0.0, c["blocks"][layer]["msa"]["att"]["a"][b, head, t, s] * da))
        assert found[layer][b, t, s] == pytest.approx(sum(products) / 2, abs=1e-9)
        moved.append(sum(products))
    assert max(moved) > 1e-4, "nothing was seen to move"


def test_the_last_layer_speaks_through_the_class_row_alone(with_class):
    _, p, config = with_class
    _, c = vit(*with_class)
    last = weighted_attention(np.ones((3, 4)), p, c, config)[-1]
    assert (last[:, 1:] == 0).all() and (last[:, 0] > 0).any()
    short = weighted_attention(np.ones((3, 4)), p, vit(*with_class, all_rows=False)[1], config)
    np.testing.assert_allclose(short[-1], last[:, :1], atol=1e-12)
    np.testing.assert_allclose(short[0], weighted_attention(np.ones((3, 4)), p, c, config)[0], atol=1e-12)


def test_a_block_whose_attention_has_another_name_is_refused_in_one_line(monkeypatch):
    """Not guessed: to leave the block out, or to take another array for its maps, would be silently wrong."""

    def renamed(z, p, **options):
        z, c = encoder_block(z, p, **options)
        return z, {"mixing" if name == "msa" else name: cache for name, cache in c.items()}

    def renamed_backward(dz, p, c):
        return encoder_block_backward(dz, p, {"msa" if name == "mixing" else name: c[name] for name in c})

    monkeypatch.setitem(BLOCKS, "renamed", (renamed, renamed_backward))
    images, p, config = drawn(dict(norm="renamed"))
    _, c = vit(images, p, config)
    with pytest.raises(UsageError) as error:
        weighted_attention(np.ones((3, 4)), p, c, config)
    assert str(error.value).startswith('a block of this model has no attention under the name "msa"')
    assert "\n" not in str(error.value)


def test_dropouts_masks_are_on_the_way_back():
    """With masks, what attention says is not what is added: the gradient of a head that is dropped is zero."""
    images, p, config = drawn({})
    masks = vit_masks(np.random.default_rng(0), dataclasses.replace(config, dropout=0.5), 3, dtype=np.float64)
    masks["blocks"][1]["msa"][...] = 0
    _, c = vit(images, p, config, masks=masks)
    first, silent, last = weighted_attention(np.ones((3, 4)), p, c, config)
    assert first.any() and last.any() and not silent.any()


@pytest.mark.parametrize("tokens", [1, 4, 9, 196])
def test_who_answers(tokens):
    """The class token's row; without one, the average patch's: and patches alone are its columns."""
    rng = np.random.default_rng(0)
    assert (class_tokens(tokens), class_tokens(tokens + 1)) == (0, 1)
    assert (who_answers(tokens), who_answers(tokens + 1)) == ("the average patch", "the class token")
    mean, with_class = rng.uniform(size=(2, tokens, tokens)), rng.uniform(size=(2, tokens + 1, tokens + 1))
    np.testing.assert_allclose(answers_row(mean), sum(mean[:, t] for t in range(tokens)) / tokens)
    np.testing.assert_array_equal(answers_row(with_class), with_class[:, 0, 1:])
    np.testing.assert_array_equal(answers_row(with_class[:, :1]), with_class[:, 0, 1:])


def test_with_a_class_token_that_is_not_read_the_average_token_answers():
    weights = np.random.default_rng(0).uniform(size=(2, 5, 5))
    assert (who_answers(5, "all"), who_answers(5, "class"), who_answers(4, "mean")) == (
        "the average token",
        "the class token",
        "the average patch",
    )
    np.testing.assert_allclose(answers_row(weights, "all"), sum(weights[:, t, 1:] for t in range(5)) / 5)
    np.testing.assert_array_equal(answers_row(weights, "class"), weights[:, 0, 1:])


def test_pools_of_published_models():
    """What they read is known from the pool, and needs no square."""
    weights = np.random.default_rng(0).uniform(size=(2, 16, 16))  # of 16 patches, or of 15 and a class token
    expected = {"mean_norm": weights.mean(axis=1), "patch_mean": weights[:, 1:, 1:].mean(axis=1)}
    expected |= {"class": weights[:, 0, 1:], "mean": expected["mean_norm"], "patch_mean_norm": expected["patch_mean"]}
    for pool, row in expected.items():
        np.testing.assert_allclose(answers_row(weights, pool), row)
        assert class_tokens(16, pool) == 16 - row.shape[1]
        assert who_answers(16, pool) == ("the class token" if pool == "class" else "the average patch")


def test_distances_on_a_rectangle():
    """Two rows of three patches, each 7 pixels wide, behind a class token; each looks at the patch in the other row."""
    other_row = np.zeros((1, 1, 7, 7))
    for patch in range(6):
        other_row[0, 0, 1 + patch, 1 + (patch + 3) % 6] = 1
    assert attention_distance([other_row], 7, grid=(2, 3))[0, 0] == pytest.approx(7)
    assert patch_distances((2, 3), 7)[0].tolist() == pytest.approx([0, 7, 14, 7, 7 * math.sqrt(2), 7 * math.sqrt(5)])
    assert uniform_distance((1, 2), 4) == 2
