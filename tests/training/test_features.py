"""Features are what the model computes on the way: the head's input, or the residual stream after any block."""

import dataclasses

import numpy as np
import pytest

from tests.reference.compare import assert_close, assert_same_bits, random_vit
from tests.training.helpers import CONFIG
from tinyvit import to_device, vit
from tinyvit.errors import UsageError
from tinyvit.layers.embedding import class_token, patch_embedding
from tinyvit.layers.encoder_block import encoder_block
from tinyvit.layers.position import POSITIONS
from tinyvit.layers.post_norm_block import post_norm_block
from tinyvit.training.features import features_of

DEEP = dataclasses.replace(CONFIG, depth=3, pre_logits=5, gelu="tanh", eps=1e-3)
VARIANTS = [
    {},
    {"pre_logits": 0},
    {"position": "none"},
    dict(pool="mean", norm="post", scale="none", position="relative", position_at="layers"),
    dict(pool="mean", position="2d"),
    dict(norm="post", position="1d", position_at="layers"),
    dict(position="relative", position_at="shared"),
]
variants = pytest.mark.parametrize("changed", VARIANTS, ids=str)
IMAGES = np.random.default_rng(1).standard_normal((7, 4, 4, 1))


def stream(p, config):
    """The residual stream after each block, in the order of the blocks."""
    z, _ = patch_embedding(IMAGES, p["patch"], patch=config.patch)
    position, shift = POSITIONS[config.position], 0 if config.pool == "mean" else 1
    if shift:
        z, _ = class_token(z, p["cls"])
    if config.position_at == "stem":
        z, _ = position.forward(z, p["pos"])
    for i, block in enumerate(p["blocks"]):
        pos = p["pos"][i] if config.position_at == "layers" else p["pos"]
        if config.position == "relative":
            block = block | {"msa": block["msa"] | {"r": pos}}
        elif config.position_at != "stem":
            z, _ = position.forward(z, pos)
        forward = {"pre": encoder_block, "post": post_norm_block}[config.norm]
        z, _ = forward(z, block, heads=config.heads, gelu=config.gelu, eps=config.eps, scale=config.scale)
        yield z


@variants
def test_the_heads_input(changed):
    config = dataclasses.replace(DEEP, **changed)
    p = random_vit(config)
    found = features_of(IMAGES, p, config)
    assert found.shape == (7, config.pre_logits or config.dim) and found.dtype == np.float64
    assert_close(found @ p["head"]["w"] + p["head"]["b"], vit(IMAGES, p, config)[0])
    assert_same_bits(features_of(IMAGES, p, config, pool=config.pool), found)


@variants
def test_every_layer_is_the_residual_stream_after_it(changed):
    config = dataclasses.replace(DEEP, **changed)
    p = random_vit(config)
    for layer, z in enumerate(stream(p, config), 1):
        mean = z[:, config.tokens - 4 :].mean(axis=1)
        assert_close(features_of(IMAGES, p, config, layer=layer), z[:, 0] if config.pool == "class" else mean)
        assert_close(features_of(IMAGES, p, config, layer=layer, pool="mean"), mean)
    assert layer == 3


@pytest.mark.parametrize("options", [{}, {"layer": 1}, {"layer": 3, "pool": "mean"}], ids=str)
def test_batches_make_no_difference(options):
    p = random_vit(DEEP)
    whole = features_of(IMAGES, p, DEEP, **options)
    for batch in (1, 3, 7, 8):
        assert_close(features_of(IMAGES, p, DEEP, batch=batch, **options), whole)
    none = features_of(IMAGES[:0], p, DEEP, **options)
    assert none.shape == (0, whole.shape[1])


def test_the_model_is_left_as_it_was():
    p = random_vit(DEEP)
    features_of(IMAGES, p, DEEP, layer=1)
    assert len(p["blocks"]) == DEEP.depth == 3


@pytest.mark.parametrize("pool", ["class", "mean"])
@pytest.mark.parametrize("options", [{}, {"layer": 2, "pool": "mean"}], ids=str)
def test_features_of_a_model_on_a_gpu_are_on_the_host(strict_as_cupy, options, pool):
    config = dataclasses.replace(DEEP, pool=pool)
    p = random_vit(config)
    found = features_of(IMAGES, to_device(p), config, **options)
    assert isinstance(found, np.ndarray)
    assert_close(found, features_of(IMAGES, p, config, **options))


@pytest.mark.parametrize("layer", [None, 1])
def test_a_model_without_a_class_token_has_no_features_of_it(layer):
    config = dataclasses.replace(DEEP, pool="mean")
    with pytest.raises(UsageError, match="the model has no class token"):
        features_of(IMAGES, random_vit(config), config, layer=layer, pool="class")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"pool": "mean"}, "say which"),
        ({"pool": "max"}, "class, mean"),
        ({"layer": 0}, "1 to 3"),
        ({"layer": 4}, "1 to 3"),
    ],
    ids=str,
)
def test_what_is_not_there_cannot_be_asked_for(options, words):
    with pytest.raises(UsageError, match=words):
        features_of(IMAGES, random_vit(DEEP), DEEP, **options)


def test_images_of_another_size_are_refused():
    with pytest.raises(UsageError, match="images are"):
        features_of(np.zeros((2, 6, 6, 1)), random_vit(DEEP), DEEP)
