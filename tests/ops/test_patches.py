"""Patches."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from tests.reference import naive
from tests.reference.compare import assert_same_bits
from tinyvit.errors import UsageError
from tinyvit.ops.patches import patchify, patchify_backward, unpatchify


def test_raster_order_by_example():
    image = np.array([[11, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34], [41, 42, 43, 44]])
    y, _ = patchify(image[None, :, :, None], 2)
    assert y[0].tolist() == [[11, 12, 21, 22], [13, 14, 23, 24], [31, 32, 41, 42], [33, 34, 43, 44]]


def test_within_a_patch_channels_vary_fastest():
    image = np.arange(2 * 4 * 3).reshape(1, 2, 4, 3)  # entry = 12 * row + 3 * column + channel
    y, _ = patchify(image, 2)
    assert y[0, 1].tolist() == [6, 7, 8, 9, 10, 11, 18, 19, 20, 21, 22, 23]


def test_agrees_with_its_twin(rng):
    x = rng.standard_normal((2, 6, 9, 4))
    assert_same_bits(patchify(x, 3)[0], naive.patchify(x, 3))


@hypothesis.settings(max_examples=40)
@hypothesis.given(*(strategies.integers(1, 5) for _ in range(5)))
def test_there_and_back_to_the_bit(batch, rows, columns, patch, channels):
    x = np.random.default_rng(0).standard_normal((batch, rows * patch, columns * patch, channels))
    y, c = patchify(x, patch)
    assert y.shape == (batch, rows * columns, patch * patch * channels)
    assert_same_bits(unpatchify(y, x.shape), x)
    assert_same_bits(patchify_backward(y, c), x)
    assert_same_bits(patchify(unpatchify(y, x.shape), patch)[0], y)


@pytest.mark.parametrize("size", [(6, 8), (8, 6), (7, 7)])
def test_a_patch_that_does_not_divide_the_image(size):
    with pytest.raises(UsageError) as error:
        patchify(np.zeros((1, *size, 3)), 4)
    H, W = size
    expected = f"a patch of 4 pixels does not divide an image of {H}x{W}: choose one that divides both sides"
    assert str(error.value) == expected
