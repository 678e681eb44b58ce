"""The picture of the whole: what is lit is in colour, all else grey, and nothing lies over anything else."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from tinyvit.errors import UsageError
from tinyvit.viz import PARTS, overview
from tinyvit.viz.picture import BLUE, ORANGE

NAMES = {"norm": "LN", "mlp": "MLP", "addition": "+", "blocks": "block, L times", "loss": "loss"}


def colours(figure):
    """The colours of the filled or framed parts and of the words."""
    (axes,) = figure.axes
    found = {to_hex(text.get_color()) for text in axes.texts if text.get_text()}
    for patch in axes.patches:
        found |= {to_hex(patch.get_facecolor()), to_hex(patch.get_edgecolor())}
    return found


def pixels(figure):
    """The figure as a picture, [height, width, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].astype(int)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_lit_has_colour_and_its_name(part):
    dark, light = overview(), overview(part)
    assert not {BLUE, ORANGE} & colours(dark)
    assert {BLUE, ORANGE} & colours(light)
    assert NAMES.get(part, part) in [text.get_text() for text in light.axes[0].texts]
    changed = abs(pixels(light) - pixels(dark)).max(axis=-1) > 20
    assert 0 < changed.mean() < 0.2  # it, and nothing else


@pytest.mark.parametrize("lit", [(), PARTS])
def test_no_words_lie_over_others_or_beyond_the_edge(lit):
    figure = overview(*lit, backward=True)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_text()]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_backward_draws_arrows_in_orange_towards_the_left():
    def arrows(figure):
        found = [text for text in figure.axes[0].texts if getattr(text, "arrow_patch", None)]
        return [text for text in found if to_hex(text.arrow_patch.get_edgecolor()) == ORANGE]

    assert not arrows(overview())
    found = arrows(overview(backward=True))
    assert len(found) >= 8
    for arrow in found:
        (x, y), (end, height) = arrow.get_position(), arrow.xy
        assert end < x or (end == x and height != y)  # along the stream to the left, or up and down a branch


def test_a_digit_is_cut_into_sixteen_patches_and_they_are_its_pixels():
    whole, *patches = [image.get_array() for image in overview().axes[0].images]
    rows = [np.hstack(patches[4 * i : 4 * i + 4]) for i in range(4)]
    np.testing.assert_array_equal(np.vstack(rows), whole)


def test_an_unknown_part_is_said_in_one_line():
    with pytest.raises(UsageError, match="found 'atention', expected one of image, patches, tokens"):
        overview("attention", "atention")
