"""The linear probe: the solution of its equations, by either of two ways; and it finds classes in features."""

import numpy as np
import pytest

from tests.reference.compare import assert_close
from tinyvit import PRESETS, load_data, vit_init
from tinyvit.errors import DataError
from tinyvit.training.features import features_of
from tinyvit.training.probe import ridge, shots

CLASSES = 4


def problem(images, width, seed=0):
    """Random features, not centred, and labels."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((images, width)) + 3, rng.integers(0, CLASSES, images)


def centred(features, labels):
    """X and T of the docstring, and their means."""
    targets = np.where(labels[:, None] == np.arange(CLASSES), 1.0, -1.0)
    return features - features.mean(0), targets - targets.mean(0), features.mean(0), targets.mean(0)


def loss(head, features, labels, decay):
    """|X w + b - T|^2 + lambda |w|^2, with T as it is."""
    targets = np.where(labels[:, None] == np.arange(CLASSES), 1.0, -1.0)
    return ((features @ head["w"] + head["b"] - targets) ** 2).sum() + decay * (head["w"] ** 2).sum()


@pytest.mark.parametrize("images", [40, 10, 9, 6])
@pytest.mark.parametrize("strength", [1e-3, 0.1, 7.0])
def test_both_ways_solve_the_normal_equations(images, strength):
    """More images than the nine features, as many, fewer: the two systems have one solution."""
    features, labels = problem(images, 9)
    x, targets, middle, mean = centred(features, labels)
    decay = strength * (x**2).sum(axis=1).mean()
    primal = np.linalg.solve(x.T @ x + decay * np.eye(9), x.T @ targets)
    dual = x.T @ np.linalg.solve(x @ x.T + decay * np.eye(images), targets)
    assert_close(primal, dual, 1e-9)
    found = ridge(features, labels, CLASSES, strength)
    assert_close(found, {"w": primal, "b": mean - middle @ primal}, 1e-9)
    assert found["w"].dtype == found["b"].dtype == np.float64


@pytest.mark.parametrize("images", [30, 5])
def test_nothing_near_it_is_better(images):
    """The bias included, which the means give."""
    features, labels = problem(images, 9)
    decay = 0.2 * (centred(features, labels)[0] ** 2).sum(axis=1).mean()
    head, rng = ridge(features, labels, CLASSES, 0.2), np.random.default_rng(0)
    least = loss(head, features, labels, decay)
    for name in head:
        for _ in range(20):
            near = head | {name: head[name] + 1e-3 * rng.standard_normal(head[name].shape)}
            assert loss(near, features, labels, decay) > least


@pytest.mark.parametrize(("images", "scale"), [(30, 1), (5, 1), (5, 1e6), (30, 1e-7), (5, 1e-7)])
def test_no_strength_is_plain_least_squares(images, scale):
    features, labels = problem(images, 9)
    x, targets, *_ = centred(features, labels)
    expected = np.linalg.lstsq(x, targets, rcond=1e-10)[0]
    assert_close(ridge(scale * features, labels, CLASSES, 0)["w"] * scale, expected, 1e-6)


@pytest.mark.parametrize("strength", [0, 0.5])
def test_whole_numbers_and_equal_rows_have_a_solution(strength):
    """Whose matrices are singular to the last bit: three times the same two images, and a feature that never varies."""
    features = np.array([[1000, 2, 5], [3000, 2, 1]] * 3)
    head = ridge(features, [0, 1] * 3, 2, strength)
    assert ((features @ head["w"] + head["b"]).argmax(1) == [0, 1] * 3).all()
    wide = np.tile(features[:2], 4)
    head = ridge(wide, [0, 1], 2, strength)
    assert ((wide @ head["w"] + head["b"]).argmax(1) == [0, 1]).all()


@pytest.mark.parametrize("images", [30, 5])
@pytest.mark.parametrize("strength", [0, 0.1])
def test_scale_and_place_of_the_features_do_not_matter(images, strength):
    features, labels = problem(images, 9)
    usual = ridge(features, labels, CLASSES, strength)
    for scale in (1e-3, 50.0):
        other = ridge(scale * features - 2, labels, CLASSES, strength)
        answers = (scale * features - 2) @ other["w"] + other["b"]
        assert_close(answers, features @ usual["w"] + usual["b"], 1e-6)


def test_features_in_float32_are_taken_in_float64():
    features, labels = problem(20, 6)
    single = features.astype(np.float32)
    assert_close(ridge(single, labels, CLASSES), ridge(single.astype(np.float64), labels, CLASSES), 1e-15)


def test_one_image_of_each_class():
    features = np.random.default_rng(0).standard_normal((CLASSES, 50))
    head = ridge(features, np.arange(CLASSES), CLASSES, 0.1)
    assert ((features @ head["w"] + head["b"]).argmax(1) == np.arange(CLASSES)).all()


def test_a_class_without_images_is_never_the_answer():
    features, labels = problem(40, 9)
    labels[labels == 2] = 0
    head = ridge(features, labels, CLASSES, 0.1)
    assert_close(features @ head["w"][:, 2] + head["b"][2], np.full(40, -1.0))
    assert not ((features @ head["w"] + head["b"]).argmax(1) == 2).any()


def test_one_image_in_all_gives_its_class():
    head = ridge(np.ones((1, 5)), [3], CLASSES)
    assert not head["w"].any() and head["b"].argmax() == 3


def test_no_image_is_an_error():
    with pytest.raises(DataError, match="no images"):
        ridge(np.zeros((0, 5)), np.zeros(0, int), CLASSES)


def test_shots_are_so_many_of_each_class_or_all():
    labels = np.array([0, 1, 1, 4, 1, 0, 4, 1, 1])
    for count, expected in ((1, [1, 1, 1]), (3, [2, 3, 2]), (100, [2, 5, 2])):
        found = shots(np.random.default_rng(0), labels, count)
        assert (np.diff(found) > 0).all(), "in their order, each once"
        assert [np.sum(labels[found] == k) for k in (0, 1, 4)] == expected
    drawn = {tuple(shots(np.random.default_rng(seed), labels, 1)) for seed in range(30)}
    assert len(drawn) > 10, "drawn at random"
    assert drawn == {tuple(shots(np.random.default_rng(seed), labels, 1)) for seed in range(30)}


def test_it_finds_digits_in_the_features_of_a_model_that_never_saw_one():
    config = PRESETS["digits"]
    (x, y), (x_test, y_test) = load_data("digits")
    p = vit_init(np.random.default_rng(0), config)
    accuracy = []
    for count in (1, 10):
        few = shots(np.random.default_rng(0), y, count)
        head = ridge(features_of(x[few], p, config), y[few], 10, 0.1)
        found = features_of(x_test, p, config) @ head["w"] + head["b"]
        accuracy.append((found.argmax(1) == y_test).mean())
    assert 0.2 < accuracy[0] < accuracy[1], accuracy
