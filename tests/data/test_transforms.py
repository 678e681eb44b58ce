"""Shift and affine against naive loops, pixel by pixel, and against what rotations must do."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvit.data import affine, affine_matrices, shift

FILL = -0.75


def images(count=3, height=5, width=7, channels=2, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, height, width, channels)).astype(np.float32)


def pixel(image, row, column, fill):
    height, width = image.shape[:2]
    return image[row, column] if 0 <= row < height and 0 <= column < width else np.full(image.shape[2], fill)


def naive_shift(x, offsets, fill):
    y = np.empty_like(x)
    for b, row, column in np.ndindex(x.shape[:3]):
        y[b, row, column] = pixel(x[b], row - offsets[b][0], column - offsets[b][1], fill)
    return y


def naive_affine(x, degrees, factors, slopes, offsets, fill):
    """Each target pixel undoes, one after the other, the shift, the rotation with its zoom, and the shear."""
    y = np.empty_like(x)
    middle_row, middle_column = (x.shape[1] - 1) / 2, (x.shape[2] - 1) / 2
    for b, i, j in np.ndindex(x.shape[:3]):
        r, c = i - middle_row - offsets[b][0], j - middle_column - offsets[b][1]
        angle = -math.radians(degrees[b])
        r, c = r * math.cos(angle) - c * math.sin(angle), r * math.sin(angle) + c * math.cos(angle)
        r, c = r / factors[b], c / factors[b]
        c -= slopes[b] * r
        r, c = r + middle_row, c + middle_column
        top, left = math.floor(r), math.floor(c)
        y[b, i, j] = 0
        for row, weight_row in ((top, 1 - (r - top)), (top + 1, r - top)):
            for column, weight_column in ((left, 1 - (c - left)), (left + 1, c - left)):
                y[b, i, j] += weight_row * weight_column * pixel(x[b], row, column, fill)
    return y


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=3, max_size=3))
def test_shift_agrees_with_the_naive_loop(offsets):
    x = images()
    before = x.copy()
    y = shift(x, np.array(offsets), FILL)
    np.testing.assert_array_equal(y, naive_shift(x, offsets, FILL))
    np.testing.assert_array_equal(x, before)
    assert y.dtype == np.float32 and not np.shares_memory(x, y)


def test_shift_moves_down_and_to_the_right_and_fills_with_background():
    x = np.full((1, 3, 3, 1), 0.5, dtype=np.float32)
    y = shift(x, np.array([[1, 2]]))
    np.testing.assert_array_equal(y[0, :, :, 0], [[-1, -1, -1], [-1, -1, 0.5], [-1, -1, 0.5]])


def test_shift_by_more_than_any_memory_holds_is_out_of_sight():
    y = shift(images(1), np.array([[10**9, -(10**9)]]), FILL)
    np.testing.assert_array_equal(y, np.full((1, 5, 7, 2), FILL))


parameter = st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(np.array)


@settings(deadline=None)
@given(parameter, parameter, parameter, parameter, parameter)
def test_affine_agrees_with_the_naive_loop(turn, size, slope, down, right):
    x = images()
    before = x.copy()
    degrees, factors, offsets = 200 * turn, 1 + 0.6 * size, np.stack([3 * down, 3 * right], axis=1)
    y = affine(x, affine_matrices(degrees, factors, slope), offsets, FILL)
    np.testing.assert_allclose(y, naive_affine(x, degrees, factors, slope, offsets, FILL), atol=2e-5)
    np.testing.assert_array_equal(x, before)
    assert y.dtype == np.float32


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-6, 6), st.integers(-8, 8)), min_size=3, max_size=3))
def test_affine_with_the_identity_is_shift(offsets):
    x, offsets = images(), np.array(offsets)
    identity = np.broadcast_to(np.eye(2), (3, 2, 2))
    np.testing.assert_allclose(affine(x, identity, offsets, FILL), shift(x, offsets, FILL), atol=1e-6)


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_rotation_is_counter_clockwise(degrees, turns):
    x = images(height=6, width=6)
    matrices = affine_matrices(np.full(3, degrees), np.ones(3), np.zeros(3))
    np.testing.assert_allclose(affine(x, matrices, np.zeros((3, 2))), np.rot90(x, turns, axes=(1, 2)), atol=1e-5)


def test_zoom_and_shear_go_the_documented_way():
    x = np.full((1, 9, 9, 1), -1, dtype=np.float32)
    x[0, 3:6, 3:6] = 1
    larger = affine(x, affine_matrices(np.zeros(1), np.full(1, 2.0), np.zeros(1)), np.zeros((1, 2)))
    assert (larger > 0).sum() > 2 * (x > 0).sum()
    x[:] = -1
    x[0, :, 4] = 1
    slanted = affine(x, affine_matrices(np.zeros(1), np.ones(1), np.ones(1)), np.zeros((1, 2)))[0, :, :, 0]
    np.testing.assert_array_equal(slanted.argmax(axis=1), np.arange(9))  # lower rows further right
