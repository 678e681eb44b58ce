"""Softmax."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close
from tinyvit.ops.softmax import softmax, softmax_backward


def test_agrees_with_its_twin(rng):
    x, dy = 3 * rng.standard_normal((2, 3, 5)), rng.standard_normal((2, 3, 5))
    y, c = softmax(x)
    assert_close(y, naive.softmax(x))
    assert_close(softmax_backward(dy, c), naive.softmax_backward(dy, naive.softmax(x)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_sum_to_one_and_gradients_to_zero(rng, dtype):
    y, c = softmax(20 * rng.standard_normal((4, 3, 197)).astype(dtype))
    dx = softmax_backward(rng.standard_normal(y.shape).astype(dtype), c)
    assert y.min() >= 0
    assert abs(y.sum(axis=-1) - 1).max() < 10 * np.finfo(dtype).eps
    assert abs(dx.sum(axis=-1)).max() < 30 * np.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_scores_of_ten_thousand(dtype):
    y, c = softmax(np.array([[1e4, -1e4, 1e4], [-1e4, -1e4, -1e4], [0, 1e4, -1e4]], dtype))
    assert_close(y, np.array([[0.5, 0, 0.5], [1 / 3, 1 / 3, 1 / 3], [0, 1, 0]]), np.finfo(dtype).eps)
    assert np.isfinite(softmax_backward(np.ones((3, 3), dtype), c)).all()


def test_a_constant_cancels(rng):
    x = rng.standard_normal((2, 3, 5))
    assert_close(softmax(x + 1000 * rng.standard_normal((2, 3, 1)))[0], softmax(x)[0], 1e-11)
