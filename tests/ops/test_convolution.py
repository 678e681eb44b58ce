"""Convolutions, and the projection of patches as one."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits
from tinyvit.ops.convolution import (
    convolution,
    convolution_backward,
    hwio_from_oihw,
    kernel_from_matrix,
    matrix_from_kernel,
    oihw_from_hwio,
    patch_convolution,
    patch_convolution_backward,
)

SIZES = [(5, 6, 3, 1), (5, 6, 3, 2), (4, 3, 3, 2), (4, 5, 2, 1), (7, 8, 2, 3), (2, 3, 5, 2), (3, 2, 1, 1)]


@pytest.mark.parametrize(("height", "width", "kernel", "stride"), SIZES)
def test_agrees_with_a_window_that_slides_over_the_image_and_zeros_around(rng, height, width, kernel, stride):
    x, w, b = rng.standard_normal((2, height, width, 3)), rng.standard_normal((kernel, kernel, 3, 4)), rng.random(4)
    y, c = convolution(x, w, b, stride)
    dy = rng.standard_normal(y.shape)
    assert y.shape == (2, -(-height // stride), -(-width // stride), 4)
    assert_close(y, naive.same_convolution(x, w, b, stride))
    assert_close(convolution_backward(dy, c, stride), naive.same_convolution_backward(dy, x, w, stride))


def test_a_stride_as_long_as_the_kernel_is_the_projection_of_patches(rng, w):
    x, b = rng.standard_normal((2, 6, 9, 4)), rng.standard_normal(5)
    (y, c), (patches, c_patches) = convolution(x, w, b, 3), patch_convolution(x, w, b)
    dy = rng.standard_normal(y.shape)
    assert_close(y, patches)
    assert_close(convolution_backward(dy, c, 3), patch_convolution_backward(dy, c_patches))


def test_the_identity_kernel_and_a_shift(rng):
    x, w = rng.standard_normal((2, 5, 6, 3)), np.zeros((3, 3, 3, 3))
    w[1, 1] = np.eye(3)
    assert_same_bits(convolution(x, w, np.zeros(3))[0], x)
    shifted, _ = convolution(x, np.roll(w, 1, axis=0), np.zeros(3))  # each place sees the row below
    assert_same_bits(shifted[:, :-1], x[:, 1:])
    assert not shifted[:, -1].any()


@pytest.mark.parametrize("stride", [1, 2])
def test_agrees_with_torch(rng, stride):
    torch = pytest.importorskip("torch")
    x, w, b = rng.standard_normal((2, 7, 7, 3)), rng.standard_normal((3, 3, 3, 4)), rng.standard_normal(4)
    leaves = [torch.tensor(a, requires_grad=True) for a in (x.transpose(0, 3, 1, 2), oihw_from_hwio(w), b)]
    expected = torch.nn.functional.conv2d(*leaves, stride=stride, padding=1)  # one zero each side: 7 is odd
    y, c = convolution(x, w, b, stride)
    dy = rng.standard_normal(y.shape)
    expected.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    dx, dw, db = (leaf.grad.numpy() for leaf in leaves)
    assert_close(y, expected.detach().numpy().transpose(0, 2, 3, 1))
    assert_close(convolution_backward(dy, c, stride), (dx.transpose(0, 2, 3, 1), hwio_from_oihw(dw), db))


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
