"""load_data: the form of every set, the bundled digits, and labels that are checked."""

import runpy
from pathlib import Path

import numpy as np
import pytest

from tinyvit.data import DATASETS, digits, load_data
from tinyvit.errors import DataError, UsageError
from tinyvit.ops.labels import check_labels


def check_form(data, name):
    for x, y in data:
        dataset = DATASETS[name]
        assert x.dtype == np.float32 and y.dtype == np.int64
        assert x.shape == (len(y), dataset.side, dataset.side, dataset.channels)
        assert x.min() == -1 and x.max() == 1
        assert np.unique(y).tolist() == list(range(dataset.classes)) == list(range(len(dataset.class_names)))


def test_digits():
    data = load_data("digits")
    check_form(data, "digits")
    (x, y), (x_test, y_test) = data
    assert (len(x), len(x_test)) == (1437, 360)
    assert np.bincount(y_test).tolist() == [36, 37, 35, 37, 36, 36, 36, 36, 35, 36]
    np.testing.assert_array_equal(np.unique(x), np.arange(17) / 8 - 1)
    assert y[0] == 0  # and these are the first three of its rows, as UCI prints them
    rows = [[0, 0, 5, 13, 9, 1, 0, 0], [0, 0, 13, 15, 10, 15, 5, 0], [0, 3, 15, 2, 0, 11, 8, 0]]
    np.testing.assert_array_equal(x[0, :3, :, 0] * 8 + 8, rows)


def test_every_digit_is_in_one_part_only():
    (images, labels), (test_images, test_labels) = digits.load()
    both = np.concatenate([images, test_images]).reshape(1797, -1)
    assert len(np.unique(both, axis=0)) == 1797  # no two are the same picture, so this is a partition
    counts = np.bincount(labels) + np.bincount(test_labels)
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_digits_can_be_packed_again():
    pytest.importorskip("sklearn", reason="packing needs scikit-learn")
    again = runpy.run_path(Path(__file__).with_name("pack_digits.py"))["pack"]()
    with np.load(digits.FILE) as packed:
        assert sorted(packed) == sorted(again)
        for name, array in again.items():
            assert packed[name].dtype == array.dtype
            np.testing.assert_array_equal(packed[name], array)


def test_the_bundle_is_small_and_names_its_source():
    assert digits.FILE.stat().st_size < 50_000
    source = digits.FILE.with_suffix(".txt").read_text()
    assert all(fact in source for fact in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0"))


def test_unknown_name():
    with pytest.raises(UsageError) as caught:
        load_data("cifar")
    choices = "digits, mnist, fashion-mnist, cifar-10, or a folder or .zip of pictures"
    assert str(caught.value) == f"unknown data set 'cifar': did you mean cifar-10? Expected one of {choices}"


def test_labels_are_made_int64_and_left_alone():
    labels = np.array([0, 9, 3], dtype=np.uint8)
    checked = check_labels(labels, 10)
    assert checked.dtype == np.int64 and checked.tolist() == [0, 9, 3] and labels.dtype == np.uint8


@pytest.mark.parametrize(
    ("labels", "line"),
    [
        ([0, 3, 4], "labels: found label 4 at index 2, expected 0 to 3"),
        ([0, -1, 4, -2], "labels: found label -1 at index 1 (3 such labels), expected 0 to 3"),
        ([0.0, 1.0], "labels: found float64 of shape [2], expected one whole number for each image"),
        ([[0, 1]], "labels: found int64 of shape [1, 2], expected one whole number for each image"),
    ],
)
def test_wrong_labels(labels, line):
    with pytest.raises(DataError) as caught:
        check_labels(np.array(labels), 4)
    assert str(caught.value) == line


def test_real_mnist(real_mnist):
    data = load_data("mnist", real_mnist)
    check_form(data, "mnist")
    (x, y), (x_test, y_test) = data
    assert (len(x), len(x_test)) == (60000, 10000)
    assert y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4] and y_test[:5].tolist() == [7, 2, 1, 0, 4]
    assert np.bincount(y_test).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    mean = (x.mean(dtype=np.float64) + 1) / 2
    assert mean == pytest.approx(0.1307, abs=5e-5)  # the mean that everyone's MNIST code quotes
    np.testing.assert_array_equal(x[0, 5, 12:18, 0] * 127.5 + 127.5, [3, 18, 18, 18, 126, 136])  # the first 5's top row
