"""The corruption of patch embeddings."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits
from tests.test_planted_bugs import assert_found
from tinyvit.ops.corrupt import corrupt, corrupt_backward

SOURCE = np.array([[3, 1, 1], [0, 3, 3]])  # of 3 patches; 3 is the mask


def test_agrees_with_its_twin(rng):
    x, mask = rng.standard_normal((2, 3, 4)), rng.standard_normal(4)
    assert_same_bits(corrupt(x, mask, SOURCE)[0], naive.corrupt(x, mask, SOURCE))


def test_patches_that_stay_are_the_identity(rng):
    x = rng.standard_normal((2, 3, 4))
    y, c = corrupt(x, rng.standard_normal(4), np.array([[0, 1, 2]] * 2))
    assert_same_bits(y, x)
    dx, dmask = corrupt_backward(y, c)
    assert_same_bits(dx, x)
    assert not dmask.any()


def test_the_gradients_go_where_the_numbers_came_from(rng):
    x, dy = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
    dx, dmask = corrupt_backward(dy, corrupt(x, np.zeros(4), SOURCE)[1])
    assert_close(dmask, dy[0, 0] + dy[1, 1] + dy[1, 2])
    assert_close(dx[0], np.array([np.zeros(4), dy[0, 1] + dy[0, 2], np.zeros(4)]))
    assert_close(dx[1], np.array([dy[1, 0], np.zeros(4), np.zeros(4)]))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        pytest.param(".sum(axis=0)", "[0]", id="the mask's gradient of one image"),
        pytest.param(".sum(axis=0)", ".mean(axis=0)", id="the mask's gradient a mean"),
        pytest.param("drows[:, -1]", "drows[:, 0]", id="the mask in front"),
        pytest.param("drows[:, :-1]", "dy", id="as if nothing had been replaced"),
        pytest.param("drows[:, :-1]", "drows[:, 1:]", id="rows off by one"),
    ],
)
def test_the_gradient_check_finds(right, wrong):
    assert_found(corrupt_backward, "corrupt", right, wrong)
