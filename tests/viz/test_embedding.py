"""Filters and positions."""

import itertools
import math

import numpy as np
import pytest

from tests.reference.compare import random_vit
from tinyvit.layers.position import POSITIONS
from tinyvit.models.config import CHOICES, ViTConfig
from tinyvit.viz.embedding import (
    filters_figure,
    neighbours_similarity,
    position_table,
    principal_filters,
    similarity,
    similarity_by_direction,
    similarity_figure,
)

RNG = np.random.default_rng(0)


def test_the_first_filters_are_the_directions_that_say_most():
    one, two = np.eye(12)[0], np.eye(12)[5]
    w = np.outer(one, RNG.standard_normal(9)) * 10 + np.outer(two, RNG.standard_normal(9))
    filters, shares = principal_filters(w, 3, count=4)
    assert filters.shape == (4, 2, 2, 3)
    flat = filters.reshape(4, 12)
    np.testing.assert_allclose(flat @ flat.T, np.eye(4), atol=1e-12)
    assert abs(flat[0] @ one) > 0.99 and abs(flat[1] @ two) > 0.99
    np.testing.assert_allclose(shares[:2].sum(), 1)
    np.testing.assert_allclose(shares, [((f @ w) ** 2).sum() / (w**2).sum() for f in flat], atol=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_filters_are_drawn_around_grey(channels):
    w = RNG.standard_normal((4 * channels, 5))
    figure = filters_figure(w, channels, count=3)
    for axes, image in zip(figure.axes, principal_filters(w, channels, 3)[0], strict=False):
        drawn = axes.images[0].get_array()
        np.testing.assert_allclose((drawn - 0.5).reshape(-1), (image / np.abs(image).max() / 2).reshape(-1))


def test_similarity_against_a_loop_and_exactly_1_with_itself():
    pos = RNG.standard_normal((10, 4)).astype(np.float32)
    found = similarity(pos)
    assert found.shape == (9, 9) and (np.diag(found) == 1).all()
    for i in range(9):
        for j in range(9):
            x, y = pos[i + 1].astype(float), pos[j + 1].astype(float)
            assert found[i, j] == pytest.approx(x @ y / (x @ x * (y @ y)) ** 0.5)


def test_every_row_of_a_table_without_class_token_is_a_patchs():
    pos = RNG.standard_normal((10, 4))
    np.testing.assert_array_equal(similarity(pos[1:]), similarity(pos))


@pytest.mark.parametrize("pool", ["class", "mean"])
@pytest.mark.parametrize(
    ("kind", "place"),
    [pair for pair in itertools.product(POSITIONS, CHOICES["position_at"]) if pair != ("relative", "stem")],
)
def test_the_table_is_what_the_model_adds(kind, place, pool):
    sizes = dict(image=6, channels=1, patch=2, dim=8, depth=2, heads=2, mlp_dim=6, classes=3)
    config = ViTConfig(**sizes, position=kind, position_at=place, pool=pool)
    p = random_vit(config)
    found = position_table(p, config)
    if kind in ("relative", "none") or place == "layers":
        assert found is None
        return
    by_hand = {
        "1d": lambda: p["pos"],
        "2d": lambda: np.stack([[*p["pos"]["x"][n % 3], *p["pos"]["y"][n // 3]] for n in range(9)]),
        "sinusoidal": lambda: np.array(
            [
                [f(t / 10_000 ** (2 * i / 8)) for i in range(4) for f in (math.sin, math.cos)]
                for t in range(config.tokens)
            ]
        ),
    }[kind]()
    np.testing.assert_allclose(found[-len(by_hand) :], by_hand, atol=1e-12)
    assert found.shape == (config.tokens, 8)


def test_the_grid_of_grids():
    pos = RNG.standard_normal((10, 4))
    figure = similarity_figure(pos)
    for axes, row in zip(figure.axes[:9], similarity(pos), strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), row.reshape(3, 3))
        assert axes.images[0].get_clim() == (-1, 1)
    assert [figure.axes[i].get_ylabel() for i in (0, 3, 6)] == ["1", "2", "3"]


def test_similarity_by_direction():
    """Two rows of three patches: side by side 0.6, one above the other 0.8, the ends of a row -0.28 = cos of twice."""
    angle = np.arccos(0.6)
    row = np.stack([np.cos([0, angle, 2 * angle]), np.sin([0, angle, 2 * angle])], axis=1)
    pos = np.concatenate(
        [np.ones((1, 4)), np.concatenate([np.hstack([0.8 * row, 0.6 * row]), np.hstack([row, 0 * row])])]
    )
    assert similarity_by_direction(pos, (2, 3)) == pytest.approx((0.6, 0.8, -0.28))


def test_a_rectangle_of_rows_and_columns():
    """Two rows of three patches behind a class token: alike where they are neighbours in a row, and only there."""
    pos = np.concatenate([np.ones((1, 4)), np.eye(4)[[0, 0, 0, 1, 1, 1]]])
    assert similarity(pos, (2, 3)).shape == (6, 6)
    assert neighbours_similarity(pos, (2, 3)) == pytest.approx((4 / 7, 2 / 8))  # of 7 and 8 pairs
    assert [len(axes.images) for axes in similarity_figure(pos, (2, 3)).axes[:6]] == [1] * 6
    assert similarity_figure(pos, (2, 3)).axes[0].images[0].get_array().shape == (2, 3)
