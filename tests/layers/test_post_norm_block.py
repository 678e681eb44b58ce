"""The post-norm block: what it shares with the other is in test_encoder_block.py."""

import numpy as np
import pytest

from tests.reference.compare import assert_close, randomised
from tinyvit import trees
from tinyvit.layers.encoder_block import encoder_block, encoder_block_init
from tinyvit.layers.layer_norm import layer_norm
from tinyvit.layers.post_norm_block import post_norm_block

B, T, D, M = 2, 5, 6, 7


@pytest.fixture
def p():
    return randomised(encoder_block_init(None, D, M))


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
