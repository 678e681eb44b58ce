"""Confusion and mistakes."""

import numpy as np

from tinyvit.viz.confusion import confusion, confusion_figure, mistakes_figure, worst_mistakes

LABELS = np.array([0, 0, 1, 2, 2, 2])
PREDICTED = np.array([0, 1, 1, 0, 2, 0])


def test_counts_by_hand():
    assert confusion(LABELS, PREDICTED, 3).tolist() == [[1, 1, 0], [0, 1, 0], [2, 0, 1]]


def test_the_figure_colours_mistakes_and_writes_every_count():
    counts = confusion(LABELS, PREDICTED, 3)
    axes = confusion_figure(counts, ["a", "b", "c"]).axes[0]
    assert axes.images[0].get_array().tolist() == [[0, 1, 0], [0, 0, 0], [2, 0, 0]]
    written = {tuple(t.get_position()): t.get_text() for t in axes.texts}
    assert all(written[j, i] == (str(n) if n else "") for (i, j), n in np.ndenumerate(counts))
    assert [t.get_text() for t in axes.get_yticklabels()] == ["a", "b", "c"]
    assert axes.get_xlabel() == "what the model says" and axes.get_ylabel() == "what it is"


def test_the_colour_bar_ends_at_the_most_mistakes():
    for most in (1, 2, 40):
        assert confusion_figure(np.array([[9, most], [0, 9]]), ["a", "b"]).axes[0].images[0].get_clim() == (0, most)


def test_without_a_mistake():
    confusion_figure(np.diag([3, 4]), ["a", "b"])
    figure = mistakes_figure(np.zeros((0, 4, 4, 1)), np.zeros(0, int), np.zeros((0, 2)), np.zeros((0, 4)), ["a", "b"])
    assert [t.get_text() for axes in figure.axes for t in axes.texts] == ["no mistakes"]


def test_the_mistakes_that_the_model_was_surest_of_come_first():
    probabilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.05, 0.95], [0.3, 0.7]])
    labels = np.array([0, 1, 0, 0])
    assert worst_mistakes(labels, probabilities).tolist() == [2, 3, 1]
    assert worst_mistakes(labels, probabilities, 1).tolist() == [2]


def test_each_mistake_stands_above_where_the_model_looked():
    rng = np.random.default_rng(0)
    images, attention = rng.uniform(-1, 1, (8, 4, 4, 1)), rng.uniform(size=(8, 4))
    probabilities = np.tile([0.25, 0.75], (8, 1))
    figure = mistakes_figure(images, np.zeros(8, int), probabilities, attention, ["zero", "one"])
    grid = np.array(figure.axes).reshape(4, 6)
    for i in range(8):
        top, below = grid[2 * (i // 6), i % 6], grid[2 * (i // 6) + 1, i % 6]
        np.testing.assert_allclose(top.images[0].get_array(), (images[i, :, :, 0] + 1) / 2)
        np.testing.assert_allclose(below.images[0].get_array(), attention[i].reshape(2, 2) / attention[i].max())
        assert top.get_title() == "says one (75%)\nis zero"
