"""The held-out part: a partition, stratified, and the same every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyvit.data import Pixels, hold_out, hold_out_indices
from tinyvit.data.split import stratified
from tinyvit.errors import UsageError


@settings(deadline=None)
@given(st.lists(st.integers(0, 5), min_size=2, max_size=200), st.data())
def test_partition_and_proportions(labels, data):
    y = np.array(labels)
    count = data.draw(st.integers(1, len(y) - 1))
    x = np.arange(len(y)) * 10
    (x_train, y_train), (x_val, y_val) = hold_out(x, y, count / len(y))
    assert len(x_val) == count
    assert sorted([*x_train, *x_val]) == x.tolist()  # every image once
    assert (np.diff(x_train) > 0).all() and (np.diff(x_val) > 0).all()  # in file order
    np.testing.assert_array_equal(y[x_train // 10], y_train)
    np.testing.assert_array_equal(y[x_val // 10], y_val)
    share = np.bincount(y) * count / len(y)
    assert (np.abs(np.bincount(y_val, minlength=len(share)) - share) < 1).all()


def test_within_a_class_the_chosen_are_evenly_spaced():
    y = np.zeros(100, dtype=int)
    np.testing.assert_array_equal(stratified(y, 5), [10, 30, 50, 70, 90])


def test_arguments_are_not_changed_and_parts_are_copies():
    x, y = np.zeros((20, 2)), np.arange(20) % 2
    (x_train, _), (x_val, _) = hold_out(x, y, 0.25)
    x_train += 1
    x_val += 1
    assert not x.any() and y.tolist() == [0, 1] * 10


def test_indices_are_the_same_split_and_never_touch_an_image():
    y = np.random.default_rng(0).integers(0, 4, 50)
    train, held = hold_out_indices(y, 0.3)
    x = Pixels(np.arange(50, dtype=np.uint8).repeat(12).reshape(50, 2, 2, 3))
    for (images, labels), indices in zip(hold_out(x, y, 0.3), (train, held), strict=True):
        np.testing.assert_array_equal(images, x[indices])
        np.testing.assert_array_equal(labels, y[indices])
    assert sorted([*train, *held]) == list(range(50)) and (np.diff(train) > 0).all() and (np.diff(held) > 0).all()
    assert len(hold_out_indices(y)[1]) == 5


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, 0.01, 0.99, float("nan")])
def test_a_share_that_leaves_nothing(fraction):
    with pytest.raises(UsageError) as caught:
        hold_out(np.zeros(10), np.zeros(10, dtype=int), fraction)
    with pytest.raises(UsageError, match="cannot hold out"):
        hold_out_indices(np.zeros(10, dtype=int), fraction)
    expected = "expected a share between 0 and 1 that leaves both parts examples"
    assert str(caught.value) == f"cannot hold out {fraction:g} of 10 examples: {expected}"
