"""augment: what it draws, how far it goes, and that the generator alone decides."""

import numpy as np
import pytest

from tinyvit.data import affine, affine_matrices, augment, shift
from tinyvit.errors import UsageError


def batch(count=400, side=9):
    """One bright pixel in the middle of each image."""
    x = np.full((count, side, side, 1), -1, dtype=np.float32)
    x[:, side // 2, side // 2] = 1
    return x


def test_nothing_asked_is_nothing_done():
    x = batch()
    rng = np.random.default_rng(0)
    assert augment(rng, x) is x
    assert rng.random() == np.random.default_rng(0).random()


def test_shifts_are_whole_uniform_and_reach_both_ends():
    y = augment(np.random.default_rng(0), batch(), shift=2)
    assert np.isin(y, [-1, 1]).all() and ((y == 1).sum(axis=(1, 2, 3)) == 1).all()
    places = y.reshape(400, -1).argmax(axis=1)
    for offset in (places // 9 - 4, places % 9 - 4):
        assert np.bincount(offset + 2).min() > 50 and offset.min() == -2 and offset.max() == 2
    assert abs(np.corrcoef(places // 9, places % 9)[0, 1]) < 0.2  # rows and columns are drawn apart


def test_shift_alone_and_shift_among_others_draw_alike():
    x = np.random.default_rng(1).uniform(-1, 1, (5, 8, 8, 1)).astype(np.float32)
    exact = augment(np.random.default_rng(7), x, shift=2)
    nearly = augment(np.random.default_rng(7), x, shift=2, rotate=1e-6)
    np.testing.assert_allclose(exact, nearly, atol=1e-5)
    offsets = np.random.default_rng(7).integers(-2, 3, (5, 2))
    np.testing.assert_array_equal(exact, shift(x, offsets))


@pytest.mark.parametrize(
    "amounts", [{"shift": 1}, {"rotate": 10}, {"zoom": 0.2}, {"shear": 0.3}, {"mirror": 0.5}, {"crop": 2}]
)
def test_every_amount_acts_on_each_image_by_itself_and_repeats(amounts):
    rng = np.random.default_rng(3)
    x = np.repeat(rng.uniform(-1, 1, (1, 8, 8, 1)).astype(np.float32), 6, axis=0)
    before = x.copy()
    y = augment(np.random.default_rng([0, 5, 2]), x, **amounts)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(y, augment(np.random.default_rng([0, 5, 2]), x, **amounts))
    assert not np.array_equal(y, augment(np.random.default_rng([0, 5, 3]), x, **amounts))
    assert len(np.unique(y.reshape(6, -1), axis=0)) >= (2 if "mirror" in amounts else 4)
    assert y.dtype == np.float32 and y.shape == x.shape and y.min() >= -1 and y.max() <= 1


def test_mirror_flips_its_share_left_to_right():
    x = np.random.default_rng(1).uniform(-1, 1, (600, 5, 6, 3)).astype(np.float32)
    for share in (0.25, 0.5):
        y = augment(np.random.default_rng(0), x, mirror=share)
        flipped = np.array([np.array_equal(a, b[:, ::-1]) for a, b in zip(y, x, strict=True)])
        same = np.array([np.array_equal(a, b) for a, b in zip(y, x, strict=True)])
        assert (flipped != same).all() and abs(flipped.mean() - share) < 0.06
    np.testing.assert_array_equal(augment(np.random.default_rng(0), x, mirror=1.0), x[:, :, ::-1])


def test_crop_is_a_random_window_of_the_image_padded_with_zeros():
    x = np.random.default_rng(1).uniform(-1, 1, (500, 5, 6, 3)).astype(np.float32)
    y = augment(np.random.default_rng(0), x, crop=2)
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    places = []
    for image, wide in zip(y, padded, strict=True):
        windows = [(i, j) for i in range(5) for j in range(5) if np.array_equal(image, wide[i : i + 5, j : j + 6])]
        assert len(windows) == 1
        places += windows
    counts = np.bincount([5 * i + j for i, j in places], minlength=25)
    assert counts.min() > 5 and counts.max() < 45  # all 25 windows, about 20 times each


def test_what_is_not_asked_for_draws_nothing_and_the_order_of_draws_is_kept():
    """So that a run of before these settings has its bits, and no setting changes another's draws before it."""
    x = np.random.default_rng(1).uniform(-1, 1, (8, 6, 6, 3)).astype(np.float32)
    moved = dict(shift=1, rotate=9.0, zoom=0.1, shear=0.1)
    before, rng = np.random.default_rng(5), np.random.default_rng(5)
    offsets = before.integers(-1, 1, (8, 2), endpoint=True)
    amounts = before.uniform(-1, 1, (3, 8)) * [[9.0], [0.1], [0.1]]
    expected = affine(x, affine_matrices(amounts[0], 1 + amounts[1], amounts[2]), offsets)
    np.testing.assert_array_equal(augment(rng, x, **moved), expected)
    assert rng.bit_generator.state == before.bit_generator.state
    rng = np.random.default_rng(5)
    expected = shift(expected, before.integers(-2, 2, (8, 2), endpoint=True), fill=0.0)
    flipped = before.random(8) < 0.5
    expected[flipped] = expected[flipped][:, :, ::-1]
    np.testing.assert_array_equal(augment(rng, x, **moved, mirror=0.5, crop=2), expected)
    assert flipped.any() and rng.bit_generator.state == before.bit_generator.state


def arm(**amounts):
    """(row, column) from the centre of a pixel that began 8 to the right of it, in 300 images."""
    x = np.full((300, 25, 25, 1), -1, dtype=np.float32)
    x[:, 12, 20] = 1
    weights = augment(np.random.default_rng(0), x, **amounts)[:, :, :, 0] + 1
    total = weights.sum(axis=(1, 2))
    places = np.arange(25)
    return (weights.sum(axis=2) @ places / total - 12), (weights.sum(axis=1) @ places / total - 12)


def test_amounts_are_the_documented_units():
    rows, columns = arm(rotate=30.0)
    angles = np.rad2deg(np.arctan2(-rows, columns))
    assert 25 < angles.max() < 33 and -33 < angles.min() < -25
    _, columns = arm(zoom=0.25)
    assert 9.5 < columns.max() < 10.5 and 5.5 < columns.min() < 6.5  # 8 times 0.75 to 1.25


@pytest.mark.parametrize("amounts", [{"zoom": 1.0}, {"shift": -1}, {"rotate": -5.0}, {"mirror": 1.5}, {"crop": -2}])
def test_impossible_amounts(amounts):
    with pytest.raises(UsageError) as caught:
        augment(np.random.default_rng(0), batch(2), **amounts)
    name, value = next(iter(amounts.items()))
    assert f"{name}={value}" in str(caught.value)
    assert str(caught.value).endswith("expected amounts of 0 or more, zoom less than 1, and mirror at most 1")
