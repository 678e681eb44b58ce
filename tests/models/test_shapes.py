"""Shapes at every stage, forward and backward, of ViT-B/16 and ViT-S/16 with a single block.

B/16 alone would hide a missing projection: a patch has 16 * 16 * 3 = 768 numbers, and the width is 768 too.
"""

import dataclasses

import numpy as np
import pytest

from tests.reference.compare import assert_close
from tinyvit import trees
from tinyvit.layers.embedding import class_token, class_token_backward, patch_embedding, patch_embedding_backward
from tinyvit.models.presets import PRESETS
from tinyvit.models.vit import vit, vit_backward, vit_init
from tinyvit.ops.convolution import kernel_from_matrix, patch_convolution

B = 2


@pytest.fixture(params=["B/16", "S/16"])
def config(request):
    return dataclasses.replace(PRESETS[request.param], depth=1)


@pytest.fixture
def images(rng):
    return rng.standard_normal((B, 224, 224, 3), dtype=np.float32)


def _shapes(tree):
    return {name: leaf.shape for name, leaf in trees.walk(tree)}


def test_from_image_to_tokens_and_back(rng, config, images):
    D, p = config.dim, vit_init(rng, config)
    as_convolution, _ = patch_convolution(images, kernel_from_matrix(p["patch"]["w"], 3), p["patch"]["b"])
    y, c_patch = patch_embedding(images, p["patch"], patch=16)
    z, c_cls = class_token(y, p["cls"])
    assert as_convolution.shape == (B, 14, 14, D)
    assert c_patch["linear"]["x"].shape == (B, 196, 768)
    assert y.shape == (B, 196, D)
    assert z.shape == (B, 197, D)
    assert_close(y, as_convolution.reshape(B, 196, D), 1e-5)

    dy, dcls = class_token_backward(np.ones_like(z), p["cls"], c_cls)
    dimages, g = patch_embedding_backward(dy, p["patch"], c_patch)
    assert dy.shape == (B, 196, D)
    assert dcls.shape == (1, D)
    assert g["w"].reshape(16, 16, 3, D).shape == (16, 16, 3, D)
    assert dimages.shape == (B, 224, 224, 3)


@pytest.mark.parametrize("full", [True, False])
def test_the_whole_model(rng, config, images, full):
    D, M, h, rows = config.dim, config.mlp_dim, config.heads, 197 if full else 1
    p = vit_init(rng, config)
    logits, c = vit(images, p, config, all_rows=full)
    assert logits.shape == (B, 1000)
    assert _shapes(c) == {
        "patch/patches/x": (B, 224, 224, 3),
        "patch/linear/x": (B, 196, 768),
        "blocks/0/ln1/xhat": (B, 197, D),
        "blocks/0/ln1/rstd": (B, 197, 1),
        "blocks/0/msa/q/x": (B, rows, D),
        "blocks/0/msa/k/x": (B, 197, D),
        "blocks/0/msa/v/x": (B, 197, D),
        "blocks/0/msa/att/q": (B, h, rows, 64),
        "blocks/0/msa/att/k": (B, h, 197, 64),
        "blocks/0/msa/att/v": (B, h, 197, 64),
        "blocks/0/msa/att/a": (B, h, rows, 197),
        "blocks/0/msa/o/x": (B, rows, D),
        "blocks/0/ln2/xhat": (B, rows, D),
        "blocks/0/ln2/rstd": (B, rows, 1),
        "blocks/0/mlp/fc1/x": (B, rows, D),
        "blocks/0/mlp/gelu/dydx": (B, rows, M),
        "blocks/0/mlp/fc2/x": (B, rows, M),
        "readout/class_row/z": (B, rows, D),
        "readout/ln/xhat": (B, D),
        "readout/ln/rstd": (B, 1),
        "head/x": (B, D),
    }

    dimages, g = vit_backward(np.ones_like(logits), p, c, config)
    assert dimages.shape == (B, 224, 224, 3)
    assert _shapes(g) == {
        "patch/w": (768, D),
        "patch/b": (D,),
        "cls": (1, D),
        "pos": (197, D),
        "blocks/0/ln1/gamma": (D,),
        "blocks/0/ln1/beta": (D,),
        **{f"blocks/0/msa/{name}/w": (D, D) for name in "qkvo"},
        **{f"blocks/0/msa/{name}/b": (D,) for name in "qkvo"},
        "blocks/0/ln2/gamma": (D,),
        "blocks/0/ln2/beta": (D,),
        "blocks/0/mlp/fc1/w": (D, M),
        "blocks/0/mlp/fc1/b": (M,),
        "blocks/0/mlp/fc2/w": (M, D),
        "blocks/0/mlp/fc2/b": (D,),
        "ln/gamma": (D,),
        "ln/beta": (D,),
        "head/w": (D, 1000),
        "head/b": (1000,),
    }
    assert _shapes(g) == _shapes(p)


@pytest.mark.parametrize(
    "variant, tokens, caches, gradients",
    [
        (
            dict(pool="mean"),
            196,
            {
                "readout/ln/xhat": (B, 196, 384),
                "readout/ln/rstd": (B, 196, 1),
                "readout/mean_row/x": (B, 196, 384),
                "head/x": (B, 384),
            },
            {"pos": (196, 384)},
        ),
        (dict(position="2d"), 197, {}, {"pos/x": (14, 192), "pos/y": (14, 192), "pos/cls": (1, 384)}),
        (dict(position="2d", pool="mean"), 196, {}, {"pos/x": (14, 192), "pos/y": (14, 192)}),
        (dict(position="sinusoidal"), 197, {}, {}),
        (dict(position="1d", position_at="layers"), 197, {}, {"pos/0": (197, 384)}),
        (
            dict(position="relative", position_at="shared"),
            197,
            {"blocks/0/msa/r/q": (B, 6, 197, 64), "blocks/0/msa/r/r": (6, 393, 64)},
            {"pos": (393, 384)},
        ),
        (
            dict(position="relative", position_at="layers", norm="post", scale="none"),
            197,
            {"blocks/0/ln2/xhat": (B, 197, 384), "blocks/0/mlp/fc1/x": (B, 197, 384)},
            {"pos/0": (393, 384)},
        ),
    ],
    ids=str,
)
def test_a_variant(rng, images, variant, tokens, caches, gradients):
    """Of S/16: what its cache has, and the gradients of its positions."""
    config = dataclasses.replace(PRESETS["S/16"], depth=1, **variant)
    p = vit_init(rng, config)
    logits, c = vit(images, p, config)
    found = _shapes(c)
    assert config.tokens == tokens and logits.shape == (B, 1000)
    assert found["blocks/0/msa/att/a"] == (B, 6, tokens, tokens)
    assert {name: found.get(name) for name in caches} == caches
    assert ("readout/class_row/z" in found, "readout/mean_row/x" in found) == (tokens == 197, tokens == 196)
    dimages, g = vit_backward(np.ones_like(logits), p, c, config)
    assert dimages.shape == images.shape
    assert _shapes(g) == _shapes(p)
    assert {name: shape for name, shape in _shapes(g).items() if name.partition("/")[0] == "pos"} == gradients
    assert ("cls" in g, "cls" in _shapes(g)) == (True, tokens == 197)
