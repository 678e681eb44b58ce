"""Attention as heat: a patch has the colour that the bar gives to its weight, whatever the image shows there."""

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from tinyvit.viz.picture import HEAT, new_figure, shine

SQUARE = np.full((8, 8, 1), -1.0)
SQUARE[2:6, 2:6] = 1  # white on black
PATCHES = np.arange(16) / 15


def drawn(image, weights):
    """The drawn panel, [160, 160, 3], and the axes."""
    figure = new_figure(2, 2)
    axes = figure.add_axes((0, 0, 1, 1))
    figure.set_layout_engine("none")
    shine(axes, weights, image, most=1)
    figure.set_dpi(80)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3] / 255, axes


@pytest.mark.parametrize("image", [SQUARE, -SQUARE, np.repeat(SQUARE, 3, axis=2)], ids=["light", "dark", "colour"])
def test_the_colour_says_the_weight_inside_the_outline_and_outside(image):
    pixels, axes = drawn(image, PATCHES)
    assert len(axes.collections) == 1  # the outline
    for n, weight in enumerate(PATCHES):
        i, j = divmod(n, 4)
        found = np.median(pixels[40 * i : 40 * i + 40, 40 * j : 40 * j + 40].reshape(-1, 3), axis=0)
        np.testing.assert_allclose(found, matplotlib.colormaps[HEAT](weight)[:3], atol=2 / 255)


def test_where_nobody_looks_a_white_square_is_as_dark_as_all_else():
    pixels, _ = drawn(SQUARE, np.zeros(16))
    assert abs(pixels[70:90, 70:90] - matplotlib.colormaps[HEAT](0)[:3]).max() < 1 / 255


@pytest.mark.parametrize("scale", [1, 28], ids=["pixels", "averages of pixels"])
def test_the_outline_lies_around_what_is_light(scale):
    image = np.repeat(np.repeat(SQUARE, scale, axis=0), scale, axis=1)
    _, axes = drawn(image, PATCHES)
    (path,) = axes.collections[0].get_paths()
    low, high = path.vertices.min(axis=0), path.vertices.max(axis=0)
    np.testing.assert_allclose([low, high], [[2 * scale - 0.5] * 2, [6 * scale - 0.5] * 2], atol=0.5 + scale / 8)


def test_an_image_of_one_brightness_has_no_outline():
    _, axes = drawn(np.ones((8, 8, 1)), PATCHES)
    assert not axes.collections


@pytest.mark.parametrize("sign", [1, -1])
def test_a_stroke_that_ends_at_the_border_has_a_closed_line(sign):
    stroke = np.full((8, 8, 1), -1.0)
    stroke[:, 3:5] = 1
    _, axes = drawn(sign * stroke, PATCHES)
    (path,) = axes.collections[0].get_paths()
    np.testing.assert_array_equal(path.vertices[0], path.vertices[-1])
    np.testing.assert_allclose([path.vertices.min(axis=0), path.vertices.max(axis=0)], [[2.5, -0.5], [4.5, 7.5]])
    assert (axes.get_xlim(), axes.get_ylim()) == ((-0.5, 7.5), (7.5, -0.5))  # and the panel is as large as the image
