"""The post-norm block."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, randomised
from tinyvit import trees
from tinyvit.layers.encoder_block import encoder_block, encoder_block_init
from tinyvit.layers.layer_norm import layer_norm
from tinyvit.layers.post_norm_block import post_norm_block, post_norm_block_backward
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
    y, _ = post_norm_block(z, p, heads=3, gelu=activation, eps=0.1, scale=scale)
    assert_close(y, naive.post_norm_block(z, p, 3, twin, eps=0.1, scale=scale))


def test_dropout_agrees_with_its_twin(rng, p, masks):
    z = rng.standard_normal((B, T, D))
    assert_close(post_norm_block(z, p, heads=3, masks=masks)[0], naive.post_norm_block(z, p, 3, masks=masks))


@pytest.mark.parametrize("dropped", [False, True])
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_the_first_rows_alone_are_the_same_numbers(rng, p, masks, rows, dropped):
    z, dy = rng.standard_normal((B, T, D)), rng.standard_normal((B, T, D))
    dy[:, rows:] = 0
    masks = masks if dropped else NO_MASKS
    y, c = post_norm_block(z, p, heads=3, masks=masks)
    first = trees.map(lambda mask: mask[:, :rows], masks) if dropped else masks
    y_rows, c_rows = post_norm_block(z, p, heads=3, rows=rows, masks=first)
    assert_close(y_rows, y[:, :rows])
    assert_close(post_norm_block_backward(dy[:, :rows], p, c_rows), post_norm_block_backward(dy, p, c))


def test_what_comes_out_is_normalised(rng, p):
    """Each token has the mean and the variance that its last LayerNorm gives; a pre-norm block's has not."""
    z = 3 * rng.standard_normal((B, T, D)) + 1
    y, _ = post_norm_block(z, p, heads=3, eps=1e-12)
    pre, _ = encoder_block(z, p, heads=3)
    tokens = (y - p["ln2"]["beta"]) / p["ln2"]["gamma"]
    assert abs(tokens.mean(axis=-1)).max() < 1e-12
    assert abs(tokens.var(axis=-1) - 1).max() < 1e-9
    unscaled = (pre - p["ln2"]["beta"]) / p["ln2"]["gamma"]
    assert abs(unscaled.var(axis=-1) - 1).max() > 1


def test_with_silent_branches_two_layer_norms_are_left(rng, p):
    """No unbroken way from the input to the output: of a pre-norm block the input itself would be left."""
    z = rng.standard_normal((B, T, D))
    p["msa"]["o"], p["mlp"]["fc2"] = (trees.map(np.zeros_like, x) for x in (p["msa"]["o"], p["mlp"]["fc2"]))
    y, _ = post_norm_block(z, p, heads=3)
    assert_close(y, layer_norm(layer_norm(z, p["ln1"])[0], p["ln2"])[0])


def test_permuting_tokens_permutes_outputs(rng, p):
    z, order = rng.standard_normal((B, T, D)), rng.permutation(T)
    assert_close(post_norm_block(z[:, order], p, heads=3)[0], post_norm_block(z, p, heads=3)[0][:, order])
