"""The figures of a run: each with a title and two sentences that say what was found."""

import dataclasses

import numpy as np
import pytest

from tinyvit.report.inside import pictures
from tinyvit.viz.confusion import confusion

NAMES = ["curves", "confusion", "mistakes", "attention", "rollout", "distance", "filters", "positions", "dataflow"]


@pytest.fixture(scope="module")
def drawn(inside):
    return pictures(inside)


def test_every_figure_has_a_title_and_two_sentences(drawn):
    assert list(drawn) == NAMES
    for picture in drawn.values():
        assert picture.words.count(". ") == 1, picture.words
        assert picture.words.endswith(".") and picture.figure.axes


def test_the_words_are_of_this_run(drawn, inside):
    best = inside.probabilities.argmax(-1)
    counts = confusion(inside.labels, best, 10)
    counts[np.diag_indices(10)] = 0
    i, j = np.unravel_index(counts.argmax(), counts.shape)
    assert f"Most often, {i} is taken for {j}: {counts[i, j]} times." in drawn["confusion"].words
    assert "Over the last third of 6 epochs" in drawn["curves"].words
    assert "of 4 heads look" in drawn["distance"].words


def test_probabilities_are_the_models(inside):
    assert inside.probabilities.shape == (360, 10)
    np.testing.assert_allclose(inside.probabilities.sum(axis=1), 1, rtol=1e-5)
    right = (inside.probabilities.argmax(-1) == inside.labels).mean()
    assert right == pytest.approx(inside.run.metrics()["test_accuracy"])


def test_a_model_without_positions_has_no_picture_of_them(inside):
    bare = inside._replace(config=dataclasses.replace(inside.config, position="none"))
    assert [name for name in NAMES if name != "positions"] == list(pictures(bare))


def test_a_model_that_makes_no_mistake(inside):
    perfect = np.eye(10, dtype=np.float32)[inside.labels]
    drawn = pictures(inside._replace(probabilities=perfect))
    assert "There are no mistakes." in drawn["confusion"].words
    assert drawn["mistakes"].figure is not None
