"""A block that is told where its tokens were."""

import numpy as np
import pytest

from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit import trees
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward, encoder_block_init
from tinyvit.layers.position import POSITIONS
from tinyvit.layers.positioned_block import (
    positioned_block,
    positioned_block_backward,
    relative_block,
    relative_block_backward,
)
from tinyvit.layers.post_norm_block import post_norm_block, post_norm_block_backward

B, T, D, M = 2, 5, 6, 7  # a grid of 2 and the class token
BLOCKS = {"pre": (encoder_block, encoder_block_backward), "post": (post_norm_block, post_norm_block_backward)}
ADDED = [name for name, kind in POSITIONS.items() if kind.forward]


@pytest.fixture
def p():
    return randomised(encoder_block_init(None, D, M))


@pytest.mark.parametrize("name", ADDED)
@pytest.mark.parametrize("norm", BLOCKS)
def test_it_is_the_block_of_tokens_with_positions(rng, p, norm, name):
    block, position, (z, dz) = BLOCKS[norm], POSITIONS[name], rng.standard_normal((2, B, T, D))
    p["pos"] = randomised(position.init(None, T, D))
    y, c = positioned_block(z, p, heads=3, block=block, position=position)
    dx, g = positioned_block_backward(dz, p, c, block=block, position=position)

    expected, cache = block[0](position.forward(z, p["pos"])[0], p, heads=3)
    dexpected, gradients = block[1](dz, p, cache)
    assert_same_bits(y, expected)
    assert_same_bits((dx, g), (dexpected, gradients | {"pos": position.backward(dexpected, p["pos"], {})[1]}))
    assert set(c) - set(cache) == {"pos"}


@pytest.mark.parametrize("norm", BLOCKS)
def test_what_it_surrounds_keeps_its_options(rng, p, norm):
    z, pos = rng.standard_normal((B, T, D)), rng.standard_normal((T, D))
    options = dict(heads=3, rows=2, gelu="tanh", eps=0.1, scale="none")
    y, _ = positioned_block(z, p | {"pos": pos}, block=BLOCKS[norm], position=POSITIONS["1d"], **options)
    assert_same_bits(y, BLOCKS[norm][0](z + pos, p, **options)[0])
    keys = rng.standard_normal((2 * T - 1, D))
    y, _ = relative_block(z, p | {"pos": keys}, block=BLOCKS[norm], **options)
    assert_same_bits(y, BLOCKS[norm][0](z, p | {"msa": p["msa"] | {"r": keys}}, **options)[0])


@pytest.mark.parametrize("norm", BLOCKS)
def test_relative_positions_of_zero_are_none(rng, p, norm):
    """But the gradient of their keys is not zero: they can be learned."""
    block, (z, dz) = BLOCKS[norm], rng.standard_normal((2, B, T, D))
    keys = p | {"pos": np.zeros((2 * T - 1, D))}
    y, c = relative_block(z, keys, heads=3, block=block)
    dx, g = relative_block_backward(dz, keys, c, block=block)
    expected, cache = block[0](z, p, heads=3)
    dpos = g.pop("pos")
    assert_close(y, expected)
    assert_close((dx, g), block[1](dz, p, cache))
    assert (dpos != 0).all()


@pytest.mark.parametrize("norm", BLOCKS)
def test_the_gradients_have_the_names_of_the_parameters(rng, p, norm):
    z, keys = rng.standard_normal((B, T, D)), p | {"pos": rng.standard_normal((2 * T - 1, D))}
    before = list(trees.named(keys))
    _, c = relative_block(z, keys, heads=3, block=BLOCKS[norm])
    _, g = relative_block_backward(z, keys, c, block=BLOCKS[norm])
    assert set(trees.named(g)) == set(before) == set(trees.named(keys))
    assert "r" not in g["msa"]
