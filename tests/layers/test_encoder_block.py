"""The encoder blocks: what is true of both, and what pre-norm keeps."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, randomised
from tinyvit import trees
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward, encoder_block_init
from tinyvit.layers.post_norm_block import post_norm_block, post_norm_block_backward
from tinyvit.ops.dropout import NO_MASKS, dropout_mask

B, T, D, M = 2, 5, 6, 7
BLOCKS = [  # forward, backward, twin
    (encoder_block, encoder_block_backward, naive.encoder_block),
    (post_norm_block, post_norm_block_backward, naive.post_norm_block),
]
every_block = pytest.mark.parametrize("block", BLOCKS, ids=["pre", "post"])


@pytest.fixture
def p():
    return randomised(encoder_block_init(None, D, M))


@pytest.fixture
def masks(rng):
    draw = lambda width: dropout_mask(rng, (B, T, width), 0.4, np.float64)  # noqa: E731
    return {"msa": draw(D), "mlp": {"fc1": draw(M), "fc2": draw(D)}}


@every_block
@pytest.mark.parametrize("scale", ["sqrt", "none"])
@pytest.mark.parametrize("activation", ["erf", "tanh"])
def test_agrees_with_its_twin(rng, p, block, activation, scale):
    forward, _, naive_block = block
    z, twin = rng.standard_normal((B, T, D)), {"erf": naive.gelu, "tanh": naive.gelu_tanh}[activation]
    y, _ = forward(z, p, heads=3, gelu=activation, eps=0.1, scale=scale)
    assert_close(y, naive_block(z, p, 3, twin, eps=0.1, scale=scale))


@every_block
def test_dropout_agrees_with_its_twin(rng, p, masks, block):
    forward, _, naive_block = block
    z = rng.standard_normal((B, T, D))
    assert_close(forward(z, p, heads=3, masks=masks)[0], naive_block(z, p, 3, masks=masks))


@every_block
@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_the_first_rows_alone_are_the_same_numbers(rng, p, masks, block, rows, dropped):
    forward, backward, _ = block
    z, dy = rng.standard_normal((B, T, D)), rng.standard_normal((B, T, D))
    dy[:, rows:] = 0
    masks = masks if dropped else NO_MASKS
    y, c = forward(z, p, heads=3, masks=masks)
    first = trees.map(lambda mask: mask[:, :rows], masks) if dropped else masks
    y_rows, c_rows = forward(z, p, heads=3, rows=rows, masks=first)
    assert_close(y_rows, y[:, :rows])
    assert_close(backward(dy[:, :rows], p, c_rows), backward(dy, p, c))


def test_with_silent_branches_only_the_residual_is_left(rng, p):
    z, dz = rng.standard_normal((2, B, T, D))
    p["msa"]["o"], p["mlp"]["fc2"] = (trees.map(np.zeros_like, x) for x in (p["msa"]["o"], p["mlp"]["fc2"]))
    y, c = encoder_block(z, p, heads=3)
    assert_close(y, z)
    assert_close(encoder_block_backward(dz, p, c)[0], dz)


@every_block
def test_permuting_tokens_permutes_outputs(rng, p, block):
    forward, _, _ = block
    z, order = rng.standard_normal((B, T, D)), rng.permutation(T)
    assert_close(forward(z[:, order], p, heads=3)[0], forward(z, p, heads=3)[0][:, order])
