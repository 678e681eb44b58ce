"""The table of what a model wrote, counted by hand."""

import numpy as np

from tinyvit.ops.tokens import END
from tinyvit.training.writing import Writing

TRUE = np.array([[5, 6, END], [5, END, 0], [7, 8, END], [7, 7, END]])
FORCED = np.array([[5, 6, END], [5, END, 0], [7, 9, END], [9, 7, END]])
WRITTEN = np.array([[5, 6, END], [5, END, 0], [7, 9, 9], [9, END, 0]])
LENGTHS = np.array([1, 1, 3, 3])


def row(count, accuracy, tokens, forced=None, **about):
    found = about | {"count": count, "accuracy": accuracy, "token_accuracy": tokens}
    return found if forced is None else found | {"forced_token_accuracy": forced}


def test_rows_places_and_total():
    writing = Writing(LENGTHS, TRUE, FORCED, WRITTEN, {})
    assert writing.whole.tolist() == [True, True, False, False]
    assert writing.rows() == [row(2, 1.0, 1.0, 1.0, length=1), row(2, 0.0, 1 / 6, 4 / 6, length=3)]
    assert writing.total() == row(4, 0.5, 6 / 11, 9 / 11)
    places = [(place["place"], place["count"], place["token_accuracy"]) for place in writing.places()]
    assert places == [(1, 4, 3 / 4), (2, 4, 2 / 4), (3, 3, 1 / 3)]
    assert [place["forced_token_accuracy"] for place in writing.places()] == [3 / 4, 3 / 4, 1.0]


def test_of_a_model_that_fills_no_end_is_counted():
    writing = Writing(LENGTHS, TRUE, None, FORCED, {})
    assert writing.rows() == [row(2, 1.0, 1.0, length=1), row(2, 0.0, 2 / 4, length=3)]
    assert [(place["place"], place["count"]) for place in writing.places()] == [(1, 4), (2, 3)]
