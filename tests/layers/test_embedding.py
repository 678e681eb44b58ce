"""Patches and class token: from images to the encoder's input."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit.errors import UsageError
from tinyvit.layers.embedding import (
    class_token,
    class_token_backward,
    patch_embedding,
    patch_embedding_backward,
    patch_embedding_init,
)
from tinyvit.ops.convolution import (
    kernel_from_matrix,
    matrix_from_kernel,
    patch_convolution,
    patch_convolution_backward,
)

B, H, W, C, P, D = 2, 6, 9, 4, 3, 5


@pytest.fixture
def p():
    return randomised(patch_embedding_init(None, P, C, D))


def test_the_projection_of_patches_is_a_convolution(rng, p):
    x = rng.standard_normal((B, H, W, C))
    y, c = patch_embedding(x, p, patch=P)
    as_convolution, c_convolution = patch_convolution(x, kernel_from_matrix(p["w"], C), p["b"])
    dy = rng.standard_normal(y.shape)
    dx, g = patch_embedding_backward(dy, p, c)
    dx_convolution, dw, db = patch_convolution_backward(dy.reshape(as_convolution.shape), c_convolution)

    assert y.shape == (B, H // P * W // P, D)
    assert as_convolution.shape == (B, H // P, W // P, D)
    assert_close(y, as_convolution.reshape(y.shape))
    assert_close((dx, g), (dx_convolution, {"w": matrix_from_kernel(dw), "b": db}))


def test_the_projection_of_patches_is_a_sliding_window(rng, p):
    x, kernel = rng.standard_normal((B, H, W, C)), p["w"].reshape(P, P, C, D)
    y, c = patch_embedding(x, p, patch=P)
    dy = rng.standard_normal(y.shape)
    dx, g = patch_embedding_backward(dy, p, c)
    expected = naive.convolution_backward(dy.reshape(B, H // P, W // P, D), x, kernel, stride=P)
    assert_close(y, naive.convolution(x, kernel, p["b"], stride=P).reshape(y.shape))
    assert_close((dx, g["w"].reshape(kernel.shape), g["b"]), expected)


def test_a_patch_that_does_not_divide_the_image(p):
    with pytest.raises(UsageError, match="a patch of 3 pixels does not divide an image of 6x8"):
        patch_embedding(np.zeros((B, 6, 8, C)), p, patch=P)


def test_the_class_token_comes_first_for_every_image(rng):
    x, p = rng.standard_normal((B, 3, D)), rng.standard_normal((1, D))
    y, _ = class_token(x, p)
    assert y.shape == (B, 4, D)
    for b in range(B):
        assert_same_bits(y[b], np.concatenate([p, x[b]]))


def test_the_class_tokens_gradient_is_the_batch_sum_of_row_zero(rng):
    p, dy = rng.standard_normal((1, D)), rng.standard_normal((B, 4, D))
    dx, dp = class_token_backward(dy, p, {})
    assert_same_bits(dx, dy[:, 1:])
    assert_close(dp, (dy[0, 0] + dy[1, 0]).reshape(1, D))
