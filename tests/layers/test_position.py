"""Position embeddings, and why they may be added."""

import numpy as np
import pytest

from tests.reference.compare import assert_close, assert_same_bits
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.position import POSITION

B, T, D, I = 2, 3, 5, 4  # noqa: E741


def test_learned_positions_are_added_to_every_image(rng):
    z, p, dy = rng.standard_normal((B, T, D)), rng.standard_normal((T, D)), rng.standard_normal((B, T, D))
    y, c = POSITION["1d"].forward(z, p)
    dz, dp = POSITION["1d"].backward(dy, p, c)
    for b, t in np.ndindex(B, T):
        assert_same_bits(y[b, t], z[b, t] + p[t])
    assert_same_bits(dz, dy)
    assert_close(dp, dy[0] + dy[1])


def test_no_positions_change_nothing(rng):
    z, dy = rng.standard_normal((2, B, T, D))
    p = POSITION["none"].init(rng, T, D)
    y, c = POSITION["none"].forward(z, p)
    assert p == {}
    assert_same_bits(y, z)
    assert_same_bits(POSITION["none"].backward(dy, p, c), (dy, {}))


@pytest.mark.parametrize("std", [0.02, 0.5])
def test_learned_positions_start_with_the_given_deviation(rng, std):
    p = POSITION["1d"].init(rng, 100, 200, std=std)
    assert p.shape == (100, 200)
    assert np.std(p) == pytest.approx(std, rel=0.03)


def test_a_projection_acts_on_content_and_position_alike(rng):
    z, p, w = rng.standard_normal((B, T, D)), rng.standard_normal((T, D)), {"w": rng.standard_normal((D, 6))}
    together = linear(POSITION["1d"].forward(z, p)[0], w)[0]
    assert_close(together, linear(z, w)[0] + linear(p, w)[0])  # W(I + P) = WI + WP


def test_adding_is_a_special_concatenation(rng):
    x, dy = rng.standard_normal((B, T, I)), rng.standard_normal((B, T, D))
    e, p = {"w": rng.standard_normal((I, D)), "b": rng.standard_normal(D)}, rng.standard_normal((T, D))
    z, c = linear(x, e)
    added, c_added = POSITION["1d"].forward(z, p)
    dz, dp = POSITION["1d"].backward(dy, p, c_added)
    dx, de = linear_backward(dz, e, c)

    onehot = np.broadcast_to(np.eye(T), (B, T, T))
    stacked = {"w": np.concatenate([e["w"], p]), "b": e["b"]}  # [E; P]
    concatenated, c = linear(np.concatenate([x, onehot], axis=-1), stacked)
    dx_onehot, g = linear_backward(dy, stacked, c)

    assert_close(concatenated, added)  # [x, onehot(i)] [E; P] = xE + P_i
    assert_close((dx_onehot[..., :I], g["w"], g["b"]), (dx, np.concatenate([de["w"], dp]), de["b"]))
