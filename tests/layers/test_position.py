"""Position embeddings, and why they may be added."""

import math

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit import trees
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.position import POSITIONS

B, T, D, I = 2, 3, 5, 4  # noqa: E741


ADDED = [name for name, kind in POSITIONS.items() if kind.forward]


@pytest.mark.parametrize("tokens", [1, 4, 5, 9, 10])
@pytest.mark.parametrize("dim", [5, 6])
@pytest.mark.parametrize("name", ADDED)
def test_agrees_with_its_twin(rng, name, dim, tokens):
    """Square numbers of tokens are patches; one more, and there is a class token. The width may be odd."""
    z = rng.standard_normal((B, tokens, dim))
    p = randomised(POSITIONS[name].init(None, tokens, dim))
    assert_close(POSITIONS[name].forward(z, p)[0], naive.POSITIONS[name](z, p))


def test_learned_positions_are_added_to_every_image(rng):
    z, p, dy = rng.standard_normal((B, T, D)), rng.standard_normal((T, D)), rng.standard_normal((B, T, D))
    y, c = POSITIONS["1d"].forward(z, p)
    dz, dp = POSITIONS["1d"].backward(dy, p, c)
    for b, t in np.ndindex(B, T):
        assert_same_bits(y[b, t], z[b, t] + p[t])
    assert_same_bits(dz, dy)
    assert_close(dp, dy[0] + dy[1])


def test_no_positions_change_nothing(rng):
    z, dy = rng.standard_normal((2, B, T, D))
    p = POSITIONS["none"].init(rng, T, D)
    y, c = POSITIONS["none"].forward(z, p)
    assert p == {}
    assert_same_bits(y, z)
    assert_same_bits(POSITIONS["none"].backward(dy, p, c), (dy, {}))


@pytest.mark.parametrize("std", [0.02, 0.5])
@pytest.mark.parametrize(
    "name, shapes",
    [
        ("1d", {"": (101, 200)}),
        ("2d", {"x": (10, 100), "y": (10, 100), "cls": (1, 200)}),
        ("relative", {"": (201, 200)}),
        ("sinusoidal", {}),
        ("none", {}),
    ],
)
def test_learned_positions_start_with_the_given_deviation(rng, name, shapes, std):
    p = POSITIONS[name].init(rng, 101, 200, std=std)
    assert {name: leaf.shape for name, leaf in trees.walk(p)} == shapes
    for leaf in trees.leaves(p):
        assert np.std(leaf) == pytest.approx(std, rel=0.2 if len(leaf) == 1 else 0.05)


def test_in_two_dimensions_a_token_says_its_column_and_its_row(rng):
    p = randomised(POSITIONS["2d"].init(None, 10, 6))
    y, _ = POSITIONS["2d"].forward(np.zeros((1, 10, 6)), p)
    grid = y[0, 1:].reshape(3, 3, 6)
    assert_same_bits(y[0, :1], p["cls"])
    for i in range(3):
        assert_same_bits(grid[i, :, :3], p["x"])  # from left to right, the same in every row
        assert_same_bits(grid[:, i, 3:], p["y"])  # from top to bottom, the same in every column


def test_a_row_of_a_grids_table_has_the_gradients_of_all_patches_that_it_served(rng):
    p, dy = randomised(POSITIONS["2d"].init(None, 10, 6)), rng.standard_normal((B, 10, 6))
    dz, g = POSITIONS["2d"].backward(dy, p, {})
    grid = dy[:, 1:].reshape(B, 3, 3, 6)
    assert_same_bits(dz, dy)
    assert_close(g["cls"], (dy[0] + dy[1])[:1])
    for i in range(3):
        assert_close(g["x"][i], grid[:, :, i, :3].sum(axis=(0, 1)))
        assert_close(g["y"][i], grid[:, i, :, 3:].sum(axis=(0, 1)))


def test_waves_of_many_lengths(rng):
    """Position 0 is 0 and 1 in turn; the first wave has the length 2 pi, the last one 2 pi 10000^(1 - 2/D)."""
    D = 8
    y = POSITIONS["sinusoidal"].forward(np.zeros((1, 50, D)), {})[0][0]
    assert_close(y[0], np.array([0, 1] * 4))
    for i in range(4):
        t = np.arange(50) / 10_000 ** (2 * i / D)
        assert_close(y[:, 2 * i], np.sin(t))
        assert_close(y[:, 2 * i + 1], np.cos(t))
    assert_close((y**2).sum(axis=1), np.full(50, D / 2))  # every position is as far from the origin


def test_the_wave_of_a_sum_is_a_rotation_of_the_wave(rng):
    """Why these waves: the step from t to t + s turns each pair by an angle that does not depend on t."""
    y = POSITIONS["sinusoidal"].forward(np.zeros((1, 30, 6)), {})[0][0].reshape(30, 3, 2)
    for i, s in np.ndindex(3, 10):
        angle = s / 10_000 ** (2 * i / 6)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        assert_close(y[s:, i], y[: 30 - s, i] @ turn)


@pytest.mark.parametrize("name", ADDED)
def test_the_gradient_of_what_is_added_passes_unchanged(rng, name):
    p, dy = randomised(POSITIONS[name].init(None, 5, 6)), rng.standard_normal((B, 5, 6))
    assert_same_bits(POSITIONS[name].backward(dy, p, {})[0], dy)


def test_a_projection_acts_on_content_and_position_alike(rng):
    z, p, w = rng.standard_normal((B, T, D)), rng.standard_normal((T, D)), {"w": rng.standard_normal((D, 6))}
    together = linear(POSITIONS["1d"].forward(z, p)[0], w)[0]
    assert_close(together, linear(z, w)[0] + linear(p, w)[0])  # W(I + P) = WI + WP


def test_adding_is_a_special_concatenation(rng):
    x, dy = rng.standard_normal((B, T, I)), rng.standard_normal((B, T, D))
    e, p = {"w": rng.standard_normal((I, D)), "b": rng.standard_normal(D)}, rng.standard_normal((T, D))
    z, c = linear(x, e)
    added, c_added = POSITIONS["1d"].forward(z, p)
    dz, dp = POSITIONS["1d"].backward(dy, p, c_added)
    dx, de = linear_backward(dz, e, c)

    onehot = np.broadcast_to(np.eye(T), (B, T, T))
    stacked = {"w": np.concatenate([e["w"], p]), "b": e["b"]}  # [E; P]
    concatenated, c = linear(np.concatenate([x, onehot], axis=-1), stacked)
    dx_onehot, g = linear_backward(dy, stacked, c)

    assert_close(concatenated, added)  # [x, onehot(i)] [E; P] = xE + P_i
    assert_close((dx_onehot[..., :I], g["w"], g["b"]), (dx, np.concatenate([de["w"], dp]), de["b"]))
