"""Softmax cross-entropy."""

import math

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close
from tinyvit.errors import DataError
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward

LABELS = np.array([1, 6, 0])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_agrees_with_its_twin(rng, smoothing):
    logits = 2 * rng.standard_normal((3, 7))
    loss, c = cross_entropy(logits, LABELS, smoothing)
    assert_close(loss, naive.cross_entropy(logits, LABELS, smoothing))
    assert_close(cross_entropy_backward(1.0, c), naive.cross_entropy_backward(logits, LABELS, smoothing))
    assert_close(cross_entropy_backward(-2.5, c), -2.5 * naive.cross_entropy_backward(logits, LABELS, smoothing))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_model_that_knows_nothing_gives_ln_k(smoothing):
    assert cross_entropy(np.full((3, 7), 5.0), LABELS, smoothing)[0] == pytest.approx(math.log(7), rel=1e-14)


def test_smoothing_mixes_the_true_class_with_all_classes(rng):
    logits = rng.standard_normal((3, 7))
    over_all = np.mean([cross_entropy(logits, np.full(3, k))[0] for k in range(7)])
    expected = 0.9 * cross_entropy(logits, LABELS)[0] + 0.1 * over_all
    assert_close(cross_entropy(logits, LABELS, smoothing=0.1)[0], expected)
    assert_close(cross_entropy(logits, LABELS, 0.1)[1]["targets"].sum(axis=1), np.ones(3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_logits_of_ten_thousand(dtype):
    logits = np.array([[1e4, -1e4, 0], [-1e4, 1e4, 0]], dtype)
    loss, c = cross_entropy(logits, np.array([0, 0]))
    assert loss == pytest.approx(1e4)  # the mean of 0 and 20,000
    assert_close(cross_entropy_backward(1.0, c), np.array([[0, 0, 0], [-0.5, 0.5, 0]]))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_labels_of_any_integer_type(rng, dtype):
    logits = rng.standard_normal((3, 7))
    assert cross_entropy(logits, LABELS.astype(dtype))[0] == cross_entropy(logits, LABELS)[0]


@pytest.mark.parametrize(("labels", "label", "index"), [([0, 6, 7, 3], 7, 2), ([0, -1, 3, 3], -1, 1)])
def test_a_label_out_of_range(labels, label, index):
    with pytest.raises(DataError) as error:
        cross_entropy(np.zeros((4, 7)), np.array(labels))
    assert str(error.value) == f"labels: found label {label} at index {index}, expected 0 to 6"


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        ([[0], [1], [2], [3]], r"int64 of shape \[4, 1\]"),
        ([0.5, 1, 2, 3], "float64"),
        ([0], r"found \[1\], expected one"),
    ],
)
def test_labels_of_the_wrong_form(labels, found):
    with pytest.raises(DataError, match=found):
        cross_entropy(np.zeros((4, 7)), labels)
