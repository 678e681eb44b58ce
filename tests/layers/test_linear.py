"""The linear layer."""

import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits
from tinyvit.layers.linear import linear, linear_backward


@pytest.mark.parametrize("leading", [(2,), (2, 3), (2, 3, 4)])
def test_agrees_with_its_twin(rng, leading):
    x, dy = rng.standard_normal((*leading, 5)), rng.standard_normal((*leading, 6))
    p = {"w": rng.standard_normal((5, 6)), "b": rng.standard_normal(6)}
    y, c = linear(x, p)
    dx, g = linear_backward(dy, p, c)
    assert_close(y, naive.linear(x, p))
    assert_close((dx, g["w"], g["b"]), naive.linear_backward(dy, x, p["w"]))


def test_without_a_bias(rng):
    x, dy, p = rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 3, 6)), {"w": rng.standard_normal((5, 6))}
    y, c = linear(x, p)
    dx, g = linear_backward(dy, p, c)
    assert g.keys() == {"w"}
    assert_close(y, naive.linear(x, p))
    assert_close((dx, g["w"]), naive.linear_backward(dy, x, p["w"])[:2])


def test_an_input_that_is_a_strided_view(rng):
    x, p = rng.standard_normal((2, 7, 5)), {"w": rng.standard_normal((5, 6))}
    y, c = linear(x[:, ::3], p)
    assert_close(y, naive.linear(x[:, ::3].copy(), p))
    assert_same_bits(c["x"], x[:, ::3])
