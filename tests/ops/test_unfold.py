"""Windows of an image, side by side."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from tests.reference import naive
from tests.reference.compare import assert_same_bits
from tests.test_planted_bugs import assert_found
from tinyvit.ops.patches import patchify
from tinyvit.ops.unfold import entries, unfold, unfold_backward

SIZES = [(5, 6, 3, 1), (5, 6, 3, 2), (7, 7, 3, 2), (4, 9, 2, 1), (7, 8, 2, 3), (2, 3, 5, 2), (6, 1, 1, 1)]


def test_windows_by_example():
    image = np.array([[11, 12, 13], [21, 22, 23], [31, 32, 33]])
    y, _ = unfold(image[None, :, :, None], 3, 2)  # as few zeros as will do: one on every side
    assert y[0, 0, 0].tolist() == [0, 0, 0, 0, 11, 12, 0, 21, 22]
    assert y[0, 1, 1].tolist() == [22, 23, 0, 32, 33, 0, 0, 0, 0]


def test_an_odd_zero_comes_last():
    image = np.array([[11, 12, 13, 14], [21, 22, 23, 24]])
    y, _ = unfold(image[None, :, :, None], 3, 2)
    assert y.shape == (1, 1, 2, 9)
    assert y[0, 0].tolist() == [[11, 12, 13, 21, 22, 23, 0, 0, 0], [13, 14, 0, 23, 24, 0, 0, 0, 0]]


@pytest.mark.parametrize(("height", "width", "kernel", "stride"), SIZES)
def test_a_window_is_read_as_a_patch_is(rng, height, width, kernel, stride):
    x = rng.standard_normal((2, height, width, 4))
    y, _ = unfold(x, kernel, stride)
    (top, bottom), (left, right) = (naive.same_padding(size, kernel, stride) for size in (height, width))
    padded = np.pad(x, [(0, 0), (top, bottom), (left, right), (0, 0)])
    assert y.shape == (2, -(-height // stride), -(-width // stride), kernel * kernel * 4)
    for i, j in np.ndindex(y.shape[1:3]):
        window = padded[:, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
        assert_same_bits(y[:, i, j], window.reshape(2, -1))


@pytest.mark.parametrize("patch", [1, 2, 3])
def test_windows_that_touch_are_the_patches(rng, patch):
    x = rng.standard_normal((2, 6, 12, 4))
    patches, _ = patchify(x, patch)
    assert_same_bits(unfold(x, patch, patch)[0].reshape(patches.shape), patches)


@hypothesis.settings(max_examples=60)
@hypothesis.given(*(strategies.integers(1, 7) for _ in range(4)))
def test_backward_counts_the_windows_that_see_a_pixel(height, width, kernel, stride):
    x = np.ones((1, height, width, 2))
    y, c = unfold(x, kernel, stride)
    seen = unfold_backward(np.ones_like(y), c, stride)
    assert seen.shape == x.shape and seen.sum() == y.sum()  # a one for each entry that is no padding
    inner = seen[:, kernel : height - kernel, kernel : width - kernel]
    if kernel % stride == 0:
        assert (inner == (kernel // stride) ** 2).all()


BUGS = [
    (unfold_backward, "unfold/stride", "the last window's share only", "dpadded[:, i, j] +=", "dpadded[:, i, j] ="),
    (unfold_backward, "unfold", "the zeros' gradient, not the image's", "top : top + H, left", ":H, left"),
    (
        unfold_backward,
        "unfold/stride",
        "the stride forgotten",
        "rows, columns, kernel, stride",
        "rows, columns, kernel, 1",
    ),
    (
        unfold_backward,
        "unfold",
        "channels before the window",
        "kernel * kernel, C)",
        "C, kernel * kernel).swapaxes(3, 4)",
    ),
    (unfold, "unfold/stride", "a window in another order", "], axis=3)", "][::-1], axis=3)"),
    (unfold, "unfold", "the image a row too high", "padded[:, top : top + H,", "padded[:, top - 1 : top - 1 + H,"),
]


@pytest.mark.parametrize(
    ("function", "case", "right", "wrong"), [pytest.param(f, c, r, w, id=n) for f, c, n, r, w in BUGS]
)
def test_the_gradient_check_finds(function, case, right, wrong):
    assert_found(function, case, right, wrong)


def test_entries_are_in_raster_order():
    assert [(i.start, j.start) for i, j in entries(4, 5, 2, 3)] == [(0, 0), (0, 1), (1, 0), (1, 1)]
