"""Layer normalisation."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, randomised
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward, layer_norm_init


@pytest.fixture
def p():
    return randomised(layer_norm_init(None, 5))


@pytest.mark.parametrize("leading", [(3,), (2, 3), (2, 3, 4)])
@pytest.mark.parametrize("eps", [1e-6, 0.3])
def test_agrees_with_its_twin(rng, p, leading, eps):
    x, dy = rng.standard_normal((2, *leading, 5))
    y, c = layer_norm(x, p, eps=eps)
    dx, g = layer_norm_backward(dy, p, c)
    assert_close(y, naive.layer_norm(x, p, eps))
    assert_close((dx, g["gamma"], g["beta"]), naive.layer_norm_backward(dy, x, p, eps))


def test_biased_variance_and_eps_inside_the_root_by_hand():
    # mean 2, biased variance 1 (unbiased: 2), and sqrt(1 + 3) = 2 (outside the root: 1 + 3)
    p = {"gamma": np.array([10.0, 100.0]), "beta": np.array([1.0, 2.0])}
    y, _ = layer_norm(np.array([[1.0, 3.0]]), p, eps=3)
    assert y.tolist() == [[1 - 5, 2 + 50]]


def test_eps_is_one_millionth():
    y, _ = layer_norm(np.array([[-1e-3, 1e-3]]), layer_norm_init(np.random.default_rng(0), 2, dtype=np.float64))
    assert_close(y, np.array([[-1, 1]]) / 2**0.5)  # variance and eps are both 1e-6


def test_a_constant_token_gives_beta(p):
    for value in 0.0, 0.1, -7.3:
        y, _ = layer_norm(np.full((2, 5), value), p)
        rounding = 4 * np.finfo(np.float64).eps * abs(value) / 1e-3  # of the mean, divided by sqrt(eps)
        assert abs(y - p["beta"]).max() <= rounding


def test_shifting_or_scaling_a_token_changes_nothing(rng, p):
    x, dy = rng.standard_normal((2, 2, 3, 5))
    shift, scale = rng.standard_normal((2, 3, 1)), np.exp(rng.standard_normal((2, 3, 1)))
    y, c = layer_norm(x, p, eps=0)
    assert_close(layer_norm(scale * x + shift, p, eps=0)[0], y)
    dx, _ = layer_norm_backward(dy, p, c)
    assert abs(dx.sum(axis=-1)).max() < 1e-13  # so dx has no part along a shift of x
    assert abs((dx * x).sum(axis=-1)).max() < 1e-13  # and none along x itself
