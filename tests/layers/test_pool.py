"""The answer, read from the class token or from the mean of all tokens."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit.layers.layer_norm import layer_norm, layer_norm_init
from tinyvit.layers.pool import (
    READOUTS,
    class_readout,
    class_readout_backward,
    mean_readout,
    mean_readout_backward,
    readout,
    readout_backward,
)

B, T, D = 2, 3, 5


@pytest.fixture
def p():
    return randomised(layer_norm_init(None, D))


@pytest.fixture
def z(rng):
    return rng.standard_normal((B, T, D))


@pytest.mark.parametrize("eps", [1e-6, 0.1])
@pytest.mark.parametrize("name", READOUTS)
def test_agrees_with_its_twin(z, p, name, eps):
    assert_close(readout(z, p, pool=name, eps=eps)[0], naive.READOUTS[name](z, p, eps))


def test_the_class_token_alone_is_read(rng, z, p):
    dy = rng.standard_normal((B, D))
    y, c = class_readout(z, p)
    dz, _ = class_readout_backward(dy, p, c)
    assert_same_bits(class_readout(z[:, :1], p)[0], y)
    assert dz.shape == z.shape and (dz[:, 1:] == 0).all() and (dz[:, 0] != 0).all()
    assert c["ln"]["xhat"].shape == (B, D)  # the other rows are not even normalised


def test_a_mean_of_normalised_tokens_is_not_the_mean_normalised(z, p):
    y, c = mean_readout(z, p)
    assert_same_bits(c["mean_row"]["x"], layer_norm(z, p)[0])
    assert abs(y - layer_norm(z.mean(axis=1), p)[0]).max() > 0.1
    alone = z[:, :1]  # of one token, the order does not matter
    assert_close(mean_readout(alone, p)[0], layer_norm(alone.mean(axis=1), p)[0])


def test_every_token_counts_the_same(rng, z, p):
    dy, order = rng.standard_normal((B, D)), rng.permutation(T)
    (y, c), (y_permuted, c_permuted) = mean_readout(z, p), mean_readout(z[:, order], p)
    (dz, g), (dz_permuted, g_permuted) = (mean_readout_backward(dy, p, cache) for cache in (c, c_permuted))
    assert_close(y_permuted, y)
    assert_close(dz_permuted, dz[:, order])
    assert_close(g_permuted, g)


ROWS = {
    "class": [0],
    "mean": range(T),
    "mean_norm": range(T),
    "patch_mean": range(1, T),
    "patch_mean_norm": range(1, T),
}


@pytest.mark.parametrize("name", READOUTS)
def test_which_rows_are_read(rng, z, p, name):
    """These have a gradient, and no other changes the vector."""
    y, c = readout(z, p, pool=name)
    dz, _ = readout_backward(rng.standard_normal(y.shape), p, c, pool=name)
    assert np.flatnonzero(abs(dz).max(axis=(0, 2))).tolist() == list(ROWS[name])
    others = z + rng.standard_normal(z.shape)
    others[:, list(ROWS[name])] = z[:, list(ROWS[name])]
    assert_same_bits(readout(others, p, pool=name)[0], y)


@pytest.mark.parametrize("name", ["mean", "patch_mean"])
def test_norm_after_the_mean_is_another_function(z, p, name):
    assert abs(readout(z, p, pool=name)[0] - readout(z, p, pool=f"{name}_norm")[0]).max() > 0.1


def test_every_readout_is_tested():
    assert set(READOUTS) == set(naive.READOUTS) == set(ROWS)
