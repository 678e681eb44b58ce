"""The figure of attention distances has every head's dot and the line of uniform attention."""

import numpy as np

from tinyvit.viz.distance import distance_figure


def test_every_head_and_the_uniform_line():
    distances = np.array([[3.0, 5.0], [9.0, 2.0], [4.0, 4.5]])
    (axes,) = distance_figure(distances, 7.5).axes
    *heads, uniform = axes.lines
    for head, line in enumerate(heads):
        np.testing.assert_allclose(line.get_ydata(), distances[:, head])
        assert np.round(line.get_xdata()).tolist() == [1, 2, 3]
    assert set(uniform.get_ydata()) == {7.5}
    assert axes.get_ylim()[0] == 0 and axes.get_ylim()[1] > 9, "every dot lies inside"
    assert "pixels" in axes.get_ylabel() and [t.get_text() for t in axes.texts] == ["uniform attention"]


def test_where_heads_may_not_look_everywhere_every_layer_has_its_own_line():
    (axes,) = distance_figure([np.array([3.0]), np.array([9.0, 2.0])], [4.0, 8.0]).axes
    assert [line.get_ydata().tolist() for line in axes.lines] == [[3, 9], [2]]
    assert [np.round(line.get_xdata()).tolist() for line in axes.lines] == [[1, 2], [2]]
    (uniform,) = axes.collections
    assert [segment.mean(axis=0).tolist() for segment in uniform.get_segments()] == [[1, 4], [2, 8]]
    assert [t.get_text() for t in axes.texts] == ["uniform over what it may look at"]


def test_the_label_of_several_lines_touches_no_head():
    """It stands above the largest of all distances, be it a head's or a line's."""
    (axes,) = distance_figure([np.array([3.0, 7.4]), np.array([7.5])], np.array([7.0, 7.4])).axes
    axes.figure.canvas.draw()
    (label,) = axes.texts
    lowest = axes.transData.inverted().transform(label.get_window_extent().min)[1]
    assert lowest > 7.5 and label.get_text() == "uniform over what it may look at"
