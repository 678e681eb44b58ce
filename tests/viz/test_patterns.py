"""The figure of patterns shows the pairs that are allowed, and what one query sees."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from tinyvit.ops import patterns
from tinyvit.viz.patterns import FINE, distinct, patterns_figure
from tinyvit.viz.picture import BLUE


def pixels(axes):
    return np.asarray(axes.images[0].get_array())


def test_matrices_and_the_patches_of_one_query():
    shown = {"row": patterns.row(4, 6), "column": patterns.with_global(patterns.column(4, 6))}
    figure = patterns_figure(shown, (4, 6))
    above, below = np.reshape(figure.axes, (2, 2))
    for axes, (title, allowed) in zip(above, shown.items(), strict=True):
        np.testing.assert_array_equal(pixels(axes), allowed)
        assert axes.get_title().startswith(f"{title}\n{allowed.sum()} pairs, ")
    row, column = map(pixels, below)
    assert row.sum() == 6 and row[1].all() and column.sum() == 4 and column[:, 2].all(), "of the patch (1, 2)"
    for axes in below:
        (query,) = axes.lines
        assert (query.get_xdata(), query.get_ydata()) == (2, 1)


def test_many_patterns_fill_further_rows_and_grids_may_differ():
    sides = [2, 3, 2, 3, 2, 3, 2]
    figure = patterns_figure({str(i): patterns.row(s, s) for i, s in enumerate(sides)}, [(s, s) for s in sides])
    axes = np.reshape(figure.axes, (4, 5))
    assert [pixels(each).shape for each in (*axes[0], *axes[2, :2])] == [(s * s, s * s) for s in sides]
    assert [pixels(each).shape for each in (*axes[1], *axes[3, :2])] == [(s, s) for s in sides]
    assert not axes[2, 2].images


@pytest.mark.parametrize("side", [14, 40])
def test_as_much_of_a_matrix_is_blue_as_is_allowed(side):
    """Of many tokens several share a point of the figure: had it one of them, whole windows could be missing."""
    allowed = patterns.windows(side, side, 7)
    figure = patterns_figure({"windows": allowed}, (side, side))
    drawn, *_ = figure.axes[0].images[0].make_image(FigureCanvasAgg(figure).get_renderer())
    red = drawn[..., 0] / 255
    blank, blue = (to_rgb(colour)[0] for colour in ("#f2f2f2", BLUE))
    assert (blank - red.mean()) / (blank - blue) == pytest.approx(allowed.mean(), rel=0.2)
    assert (len(np.unique(red)) > 2) == (len(allowed) > FINE)


def test_the_same_pattern_in_several_blocks_is_shown_once():
    a, b, c = patterns.row(2, 3), patterns.column(2, 3), patterns.row(1, 2)
    assert list(distinct([a, b, a, b, a, b, a, b])) == ["blocks 1, 3, ..., 7", "blocks 2, 4, ..., 8"]
    found = distinct([a, a, b, a, c])
    assert list(found) == ["blocks 1, 2, 4", "block 3", "block 5"]
    assert found["block 5"] is c
