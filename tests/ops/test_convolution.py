"""The projection of patches as a convolution."""

import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits
from tinyvit.ops.convolution import (
    hwio_from_oihw,
    kernel_from_matrix,
    matrix_from_kernel,
    oihw_from_hwio,
    patch_convolution,
    patch_convolution_backward,
)


@pytest.fixture
def w(rng):
    return rng.standard_normal((3, 3, 4, 5))


def test_agrees_with_a_sliding_window(rng, w):
    x, b = rng.standard_normal((2, 6, 9, 4)), rng.standard_normal(5)
    y, c = patch_convolution(x, w, b)
    dy = rng.standard_normal(y.shape)
    assert y.shape == (2, 2, 3, 5)
    assert_close(y, naive.convolution(x, w, b, stride=3))
    assert_close(patch_convolution_backward(dy, c), naive.convolution_backward(dy, x, w, stride=3))


def test_a_matrix_and_its_kernel_convert_both_ways(w):
    matrix = matrix_from_kernel(w)
    assert matrix.shape == (3 * 3 * 4, 5)
    assert_same_bits(kernel_from_matrix(matrix, channels=4), w)
    for p, q, n in (0, 1, 2), (2, 0, 3), (1, 2, 0):
        assert_same_bits(matrix[(p * 3 + q) * 4 + n], w[p, q, n])


def test_hwio_and_oihw_convert_both_ways(rng):
    w = rng.standard_normal((2, 3, 4, 5))  # not square, so that height and width cannot be confused
    oihw = oihw_from_hwio(w)
    assert oihw.shape == (5, 4, 2, 3)
    assert oihw[4, 2, 1, 0] == w[1, 0, 2, 4]
    assert_same_bits(hwio_from_oihw(oihw), w)
    assert_same_bits(oihw_from_hwio(hwio_from_oihw(oihw)), oihw)
