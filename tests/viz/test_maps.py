"""The pictures of attention show the numbers that they were given, where they belong."""

import numpy as np
import pytest

from tinyvit.viz.maps import attention_figure, overlay_figure
from tinyvit.viz.picture import HEAT

IMAGE = np.random.default_rng(0).uniform(-1, 1, (6, 4, 1))  # patches of 2: three rows, two columns
SQUARE = np.random.default_rng(0).uniform(-1, 1, (6, 6, 1))
TOKENS = {  # tokens, the one that is asked for: the weights of the patches, and whose they are
    (10, None): (lambda a: a[0, 1:], "the class token"),
    (10, 0): (lambda a: a[0, 1:], "the class token"),
    (10, 3): (lambda a: a[3, 1:], "patch 3"),
    (9, None): (lambda a: a.mean(axis=0), "the average patch"),
    (9, 0): (lambda a: a[0], "patch 1"),
    (9, 8): (lambda a: a[8], "patch 9"),
}


def panels(figure):
    """The panels with heat; the colour bar is no panel."""
    return [axes for axes in figure.axes if [image.get_cmap().name for image in axes.images] == [HEAT]]


def heats(figure):
    """The heat in each panel that has one."""
    return [axes.images[0].get_array() for axes in panels(figure)]


@pytest.mark.parametrize(("tokens", "token"), TOKENS)
def test_every_layer_and_head_of_one_token_on_one_scale(tokens, token):
    weights, who = TOKENS[tokens, token]
    maps = list(np.random.default_rng(1).uniform(size=(3, 2, tokens, tokens)))
    figure = attention_figure(SQUARE, maps, token)
    expected = [weights(a[head]).reshape(3, 3) for a in maps for head in range(2)]
    for axes, numbers in zip(panels(figure), expected, strict=True):
        np.testing.assert_allclose(axes.images[0].get_array(), numbers)
        assert axes.images[0].get_clim() == (0, np.max(expected))
        assert axes.images[0].get_extent() == [-0.5, 5.5, 5.5, -0.5]
    words = [text for axes in figure.axes for text in (axes.get_title(), axes.get_ylabel()) if text]
    assert words[:4] == ["layer 1", "head 1", "head 2", "layer 2"]
    assert words[-1] == f"share of the attention of {who}"


def test_overlays_have_an_image_in_each_row_and_a_kind_in_each_column():
    images, rng = np.stack([IMAGE, -IMAGE]), np.random.default_rng(2)
    columns = {"one": rng.uniform(size=(2, 6)), "two": rng.uniform(size=(2, 6))}
    figure = overlay_figure(images, columns, ["first", "second"])
    assert figure.axes[1].images[0].get_extent() == [-0.5, 3.5, 5.5, -0.5]
    for found, expected in zip(heats(figure), [columns[k][i] for i in range(2) for k in columns], strict=True):
        np.testing.assert_allclose(found, expected.reshape(3, 2) / expected.max())
    assert [axes.get_title() for axes in figure.axes[:3]] == ["", "one", "two"]
    assert [figure.axes[i].get_ylabel() for i in (0, 3)] == ["first", "second"]


def test_weights_that_are_all_zero_are_dark_not_an_error():
    (heat,) = heats(overlay_figure(IMAGE[None], {"none": np.zeros((1, 6))}))
    assert (heat == 0).all()
