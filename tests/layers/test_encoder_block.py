"""The encoder block."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, randomised
from tinyvit import trees
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward, encoder_block_init
from tinyvit.ops.dropout import NO_MASKS, dropout_mask

B, T, D, M = 2, 5, 6, 7


@pytest.fixture
def p():
    return randomised(encoder_block_init(None, D, M))


@pytest.fixture
def masks(rng):
    draw = lambda width: dropout_mask(rng, (B, T, width), 0.4, np.float64)  # noqa: E731
    return {"msa": draw(D), "mlp": {"fc1": draw(M), "fc2": draw(D)}}


@pytest.mark.parametrize("scale", ["sqrt", "none"])
@pytest.mark.parametrize("activation", ["erf", "tanh"])
def test_agrees_with_its_twin(rng, p, activation, scale):
    z, twin = rng.standard_normal((B, T, D)), {"erf": naive.gelu, "tanh": naive.gelu_tanh}[activation]
    y, _ = encoder_block(z, p, heads=3, gelu=activation, eps=0.1, scale=scale)
    assert_close(y, naive.encoder_block(z, p, 3, twin, eps=0.1, scale=scale))


def test_dropout_agrees_with_its_twin(rng, p, masks):
    z = rng.standard_normal((B, T, D))
    assert_close(encoder_block(z, p, heads=3, masks=masks)[0], naive.encoder_block(z, p, 3, masks=masks))


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_the_first_rows_alone_are_the_same_numbers(rng, p, masks, rows, dropped):
    z, dy = rng.standard_normal((B, T, D)), rng.standard_normal((B, T, D))
    dy[:, rows:] = 0
    masks = masks if dropped else NO_MASKS
    y, c = encoder_block(z, p, heads=3, masks=masks)
    first = trees.map(lambda mask: mask[:, :rows], masks) if dropped else masks
    y_rows, c_rows = encoder_block(z, p, heads=3, rows=rows, masks=first)
    assert_close(y_rows, y[:, :rows])
    assert_close(encoder_block_backward(dy[:, :rows], p, c_rows), encoder_block_backward(dy, p, c))


def test_with_silent_branches_only_the_residual_is_left(rng, p):
    z, dz = rng.standard_normal((2, B, T, D))
    p["msa"]["o"], p["mlp"]["fc2"] = (trees.map(np.zeros_like, x) for x in (p["msa"]["o"], p["mlp"]["fc2"]))
    y, c = encoder_block(z, p, heads=3)
    assert_close(y, z)
    assert_close(encoder_block_backward(dz, p, c)[0], dz)


def test_permuting_tokens_permutes_outputs(rng, p):
    z, order = rng.standard_normal((B, T, D)), rng.permutation(T)
    assert_close(encoder_block(z[:, order], p, heads=3)[0], encoder_block(z, p, heads=3)[0][:, order])
