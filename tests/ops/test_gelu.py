"""GELU, exact and in the tanh form."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close
from tinyvit.ops.gelu import BLOCK, GELU, VALUES, gelu, gelu_backward, gelu_tanh


def test_the_exact_form_and_its_derivative_agree_with_their_twins(rng):
    x, dy = 3 * rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 3, 5))
    y, c = gelu(x)
    assert_close(y, naive.gelu(x))
    assert_close(gelu_backward(dy, c), dy * naive.gelu_derivative(x))


def test_the_tanh_form_agrees_with_its_twin(rng):
    x = 3 * rng.standard_normal((2, 3, 5))
    assert_close(gelu_tanh(x)[0], naive.gelu_tanh(x))


def test_the_largest_difference_of_the_two_forms():
    x = np.linspace(-6, 6, 120_001)
    difference = abs(gelu(x)[0] - gelu_tanh(x)[0])
    assert difference.max() == pytest.approx(4.73e-4, abs=0.005e-4)
    assert abs(x[difference.argmax()]) == pytest.approx(2.70, abs=0.01)


@pytest.mark.parametrize("size", [7, 4 * BLOCK + 7])
@pytest.mark.parametrize("form", GELU)
def test_the_value_alone_is_the_same_to_the_bit(rng, form, size):
    x = (3 * rng.standard_normal((size, 2))).astype(np.float32)
    y, c = VALUES[form](x)
    np.testing.assert_array_equal(y, GELU[form](x)[0], strict=True)
    assert c == {}


@pytest.mark.parametrize("form", GELU)
def test_a_large_array_in_blocks_is_the_same_to_the_bit(rng, form):
    x = (3 * rng.standard_normal((2, 2 * BLOCK + 7))).astype(np.float32)
    y, c = GELU[form](x)
    whole, c_whole = GELU[form].__wrapped__(x)
    np.testing.assert_array_equal(y, whole, strict=True)
    np.testing.assert_array_equal(c["dydx"], c_whole["dydx"], strict=True)


@pytest.mark.parametrize("form", GELU)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_far_out_it_is_zero_or_the_identity(form, dtype):
    y, c = GELU[form](np.array([-100, 0, 100], dtype))
    assert abs(y - [0, 0, 100]).max() < 1e-13
    assert abs(c["dydx"] - [0, 0.5, 1]).max() < 5e-7
