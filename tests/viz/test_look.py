"""The picture of where a model looks shows the numbers that it was given, where they belong."""

import dataclasses

import numpy as np
import pytest

from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_init
from tinyvit.viz.look import class_attention, look
from tinyvit.viz.picture import new_figure, outline

CONFIG = ViTConfig(image=6, channels=1, patch=2, dim=8, depth=2, heads=2, mlp_dim=6, classes=3)


@pytest.mark.parametrize("full", [True, False])
def test_the_attention_of_the_class_token(full):
    rng = np.random.default_rng(0)
    _, c = vit(rng.normal(size=(4, 6, 6, 1)).astype("f"), vit_init(rng, CONFIG), CONFIG, all_rows=full)
    a = c["blocks"][-1]["msa"]["att"]["a"]
    found = class_attention(c)
    assert found.shape == (4, 9)
    for b in range(4):
        for n in range(9):
            assert found[b, n] == pytest.approx((a[b, 0, 0, n + 1] + a[b, 1, 0, n + 1]) / 2, abs=1e-7)
    own = a[:, :, 0, 0].mean(axis=1)
    np.testing.assert_allclose(found.sum(axis=1) + own, 1, atol=1e-6)


def test_without_a_class_token_it_is_the_average_patchs():
    config, rng = (
        dataclasses.replace(CONFIG, pool="mean", position="relative", position_at="shared"),
        np.random.default_rng(0),
    )
    _, c = vit(rng.normal(size=(4, 6, 6, 1)).astype("f"), vit_init(rng, config), config)
    found = class_attention(c)
    np.testing.assert_allclose(found, c["blocks"][-1]["msa"]["att"]["a"].mean(axis=(1, 2)), atol=1e-7)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    figure = look(np.zeros((4, 6, 6, 1)), found, 2, None, "the average patch")
    assert [axes.get_title() for axes in figure.axes[1:3]] == ["9 patches", "attention of the average patch"]


def panels(figure, row):
    """The image data of the three panels of a row: image, patches, attention."""
    return [axes.images[0].get_array() for axes in figure.axes[3 * row : 3 * row + 3]]


def test_the_panels_show_image_patches_and_attention():
    rng = np.random.default_rng(0)
    images, attention = rng.uniform(-1, 1, (2, 6, 6, 1)), rng.uniform(size=(2, 9))
    figure = look(images, attention, 2, ["seven", "one"])
    for row in range(2):
        image, patches, shade = panels(figure, row)
        np.testing.assert_allclose(image, (images[row, :, :, 0] + 1) / 2)
        np.testing.assert_allclose(shade, attention[row].reshape(3, 3))
        assert figure.axes[3 * row + 2].images[0].get_extent() == [-0.5, 5.5, 5.5, -0.5]
        side, gap = 6, 1  # each pixel three times as large, one pixel between patches
        for i in range(3):
            for j in range(3):
                piece = patches[i * (side + gap) :, j * (side + gap) :][:side:3, :side:3]
                np.testing.assert_allclose(piece, image[2 * i : 2 * i + 2, 2 * j : 2 * j + 2])
        assert (patches[side] == 0.5).all() and (patches[:, side] == 0.5).all()
    assert [figure.axes[0].get_ylabel(), figure.axes[3].get_ylabel()] == ["seven", "one"]


def test_one_colour_scale_for_all_rows():
    attention = np.array([[0.1] * 9, [0.2] * 8 + [0.7]])
    figure = look(np.zeros((2, 6, 6, 1)), attention, 2)
    assert {axes.images[0].get_clim() for axes in (figure.axes[2], figure.axes[5])} == {(0, 0.7)}


def test_colour_images():
    figure = look(np.zeros((1, 6, 4, 3)), np.full((1, 6), 1 / 6), 2)
    image, _, shade = panels(figure, 0)
    assert image.shape == (6, 4, 3) and shade.shape == (3, 2)


def test_a_frame_lies_around_its_patch():
    """Patch 6 of a grid four wide is in row 1 and column 2: from pixel 2 down and pixel 4 across."""
    axes = new_figure(1, 1).subplots()
    outline(axes, number=6, grid=4, patch=2)
    (frame,) = axes.patches
    assert (frame.get_xy(), frame.get_width(), frame.get_height()) == ((3.5, 1.5), 2, 2)
