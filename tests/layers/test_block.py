"""A block as a configuration asks for it, which may be told where its tokens were."""

import numpy as np
import pytest

from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit import trees
from tinyvit.layers.block import BLOCKS, block, block_backward
from tinyvit.layers.encoder_block import encoder_block_init
from tinyvit.layers.position import POSITIONS, position, position_backward

B, T, D, M = 2, 5, 6, 7  # a grid of 2 and the class token
ADDED = [name for name, kind in POSITIONS.items() if kind.forward]
OPTIONS = dict(rows=2, gelu="tanh", eps=0.1, scale="none")
every_norm = pytest.mark.parametrize("norm", BLOCKS)


@pytest.fixture
def p():
    return randomised(encoder_block_init(None, D, M))


@every_norm
@pytest.mark.parametrize("kind", ADDED)
def test_without_positions_it_is_the_block_of_that_name(rng, p, norm, kind):
    """Whatever kind entered at the stem: all options reach the block."""
    forward, backward = BLOCKS[norm]
    z, dz = rng.standard_normal((2, B, T, D))
    y, c = block(z, p, heads=3, norm=norm, position=kind, **OPTIONS)
    expected, cache = forward(z, p, heads=3, **OPTIONS)
    assert_same_bits([y, c], [expected, cache])
    dx, g, dpos = block_backward(dz[:, :2], p, None, c, norm=norm, position=kind)
    assert dpos is None
    assert_same_bits((dx, g), backward(dz[:, :2], p, cache))


@pytest.mark.parametrize("kind", ADDED)
@every_norm
def test_it_is_the_block_of_tokens_with_positions(rng, p, norm, kind):
    (forward, backward), (z, dz) = BLOCKS[norm], rng.standard_normal((2, B, T, D))
    pos = randomised(POSITIONS[kind].init(None, T, D))
    y, c = block(z, p, pos, heads=3, norm=norm, position=kind)
    dx, g, dpos = block_backward(dz, p, pos, c, norm=norm, position=kind)

    expected, cache = forward(position(z, pos, kind=kind)[0], p, heads=3)
    dexpected, gradients = backward(dz, p, cache)
    assert_same_bits(y, expected)
    assert_same_bits((dx, g, dpos), (dexpected, gradients, position_backward(dexpected, pos, {}, kind=kind)[1]))
    assert set(c) - set(cache) == {"pos"}


@every_norm
def test_with_positions_all_options_reach_the_block(rng, p, norm):
    forward, _ = BLOCKS[norm]
    z, pos = rng.standard_normal((B, T, D)), rng.standard_normal((T, D))
    y, _ = block(z, p, pos, heads=3, norm=norm, position="1d", **OPTIONS)
    assert_same_bits(y, forward(z + pos, p, heads=3, **OPTIONS)[0])
    keys = rng.standard_normal((2 * T - 1, D))
    y, _ = block(z, p, keys, heads=3, norm=norm, position="relative", **OPTIONS)
    assert_same_bits(y, forward(z, p | {"msa": p["msa"] | {"r": keys}}, heads=3, **OPTIONS)[0])


@every_norm
def test_relative_positions_of_zero_are_none(rng, p, norm):
    """But the gradient of their keys is not zero: they can be learned."""
    (forward, backward), (z, dz) = BLOCKS[norm], rng.standard_normal((2, B, T, D))
    keys, kind = np.zeros((2 * T - 1, D)), dict(norm=norm, position="relative")
    y, c = block(z, p, keys, heads=3, **kind)
    dx, g, dpos = block_backward(dz, p, keys, c, **kind)
    expected, cache = forward(z, p, heads=3)
    assert_close(y, expected)
    assert_close((dx, g), backward(dz, p, cache))
    assert (dpos != 0).all()


@every_norm
def test_the_gradients_have_the_names_of_the_parameters(rng, p, norm):
    z, keys, kind = rng.standard_normal((B, T, D)), rng.standard_normal((2 * T - 1, D)), dict(position="relative")
    before = list(trees.named(p))
    _, c = block(z, p, keys, heads=3, norm=norm, **kind)
    _, g, dpos = block_backward(z, p, keys, c, norm=norm, **kind)
    assert set(trees.named(g)) == set(before) == set(trees.named(p))
    assert dpos.shape == keys.shape
