"""Accuracy by length and by place: the lines are the shares, the bars the counts."""

import numpy as np

from tinyvit.viz.accuracy import lengths_figure, places_figure

ROWS = [
    {"length": 2, "count": 30, "accuracy": 0.9, "token_accuracy": 0.95},
    {"length": 5, "count": 70, "accuracy": 0.5, "token_accuracy": 0.75},
]
PLACES = [
    {"place": 1, "count": 100, "token_accuracy": 0.9, "forced_token_accuracy": 0.95},
    {"place": 2, "count": 40, "token_accuracy": 0.6, "forced_token_accuracy": 0.8},
]


def drawn(figure):
    """{label: points of the line}, and the heights of the bars."""
    axes, counts = figure.axes
    return {line.get_label(): line.get_xydata() for line in axes.lines}, [bar.get_height() for bar in counts.patches]


def test_by_length():
    lines, bars = drawn(lengths_figure(ROWS))
    np.testing.assert_allclose(lines["whole answers"], [(2, 90), (5, 50)])
    np.testing.assert_allclose(lines["their tokens"], [(2, 95), (5, 75)])
    assert bars == [30, 70]


def test_by_place():
    lines, bars = drawn(places_figure(PLACES))
    np.testing.assert_allclose(lines["the true tokens before it"], [(1, 95), (2, 80)])
    np.testing.assert_allclose(lines["its own tokens before it"], [(1, 90), (2, 60)])
    assert bars == [100, 40]


def test_of_a_model_that_fills_there_is_one_line():
    places = [{key: value for key, value in place.items() if not key.startswith("forced")} for place in PLACES]
    lines, _ = drawn(places_figure(places))
    assert [*lines] == ["filled"]
