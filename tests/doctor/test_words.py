"""What a finding says is so: the class, the part, the step and the form that it names."""

import dataclasses

import numpy as np
import pytest

from tests.doctor.case import digits
from tinyvit.doctor import balance, labels, leakage, predictions, progress, shortcuts, sizes
from tinyvit.doctor.checked import drained
from tinyvit.doctor.sample import sample_of
from tinyvit.models.vit import vit_init

TURNS = {"inverted": lambda x: -x, "mirrored": lambda x: x[:, :, ::-1], "upside down": lambda x: x[:, ::-1]}


def test_a_scarce_class_is_named_and_one_without_images_is_not_called_scarce():
    y = np.repeat(np.arange(9), [100] * 8 + [5])
    (found,) = balance.check_balance(y, y, 10)
    assert found.startswith("class 8 has only 5 training images")


@pytest.mark.parametrize(("part", "other"), [("test", "training"), ("training", "test")])
def test_the_part_whose_labels_fit_less_well(part, other):
    right, y = np.arange(200) % 10, np.where(np.arange(200) < 80, (np.arange(200) + 1) % 10, np.arange(200) % 10)
    found = next(labels._check_other_part(right, *((right, right, y) if part == "test" else (y, right, right)), 10))
    assert found.startswith(f"the labels of the {part} part fit less well")
    assert f"in 60%, with those of the {other} part in 100%" in found


@pytest.mark.parametrize("form", TURNS)
def test_in_which_form_test_images_are_in_the_training_part(form):
    images = np.random.default_rng(0).uniform(-1, 1, (300, 8, 8, 1)).astype(np.float32)
    (found,) = leakage.check_leakage(images, TURNS[form](images[:50]), 0)
    assert found.startswith(f"50 of 50 test images stand in the training part {form}:")


def test_the_class_that_brightness_tells():
    rng, y = np.random.default_rng(0), np.repeat([3, 4, 5], 20)
    images = rng.uniform(-1, 0, (60, 8, 8, 1)) + (y == 4)[:, None, None, None]
    (found,) = shortcuts.check_shortcuts(sample_of({"images": images, "labels": y}, 60, 0), 10)
    assert found.startswith("the brightness alone tells class 4")


def test_the_accuracy_that_the_run_ended_with():
    history = [{"test_accuracy": 0.9}, {"test_accuracy": 0.5}]
    assert not list(predictions._check_history([1.0, 0.5], history, 1000))
    (found,) = predictions._check_history([1.0, 0.9], history, 1000)
    assert "90.0% of the test images are right, and the run's history says 50.0%" in found


def test_the_step_from_which_the_loss_jumped():
    losses = [2.0] * 10 + [1.0] * 10 + [3.0] * 20
    (found,) = progress._check_jump([{"step": 10 * i, "loss": loss} for i, loss in enumerate(losses, 1)])
    assert found.startswith("the training loss is 3 at the end, and was 1 at step 200:")


def test_gradients_that_are_no_numbers_do_not_count():
    checked = drained("clipping", progress.check_clipping([np.nan, 1.0, np.inf, 2.0, 3.0], digits().recipe, "of a run"))
    assert checked.looked_at.startswith("the norms of 3 gradients of a run: median 2,")


@pytest.mark.parametrize("fine_tuned", [False, True])
def test_a_large_model_for_few_images_is_a_fault_from_random_weights_only(fine_tuned):
    case = digits()
    config = dataclasses.replace(case.config, mlp_dim=512)
    p = vit_init(np.random.default_rng(0), config)
    found = list(sizes.check_sizes(config, case.x[:4], p, count=2, fine_tuned=fine_tuned))
    assert [words.partition(" for ")[2][:8] for words in found] == ([] if fine_tuned else ["2 images"])


def test_a_model_that_is_right_far_more_often_on_what_it_has_seen_knows_it_by_heart():
    (found,) = predictions._check_gap((1.0, 0.5), 200, 200)
    assert found.startswith("100% of the training images are right, and 50% of the test images")
    assert not [*predictions._check_gap((0.5, 1.0), 200, 200), *predictions._check_gap((1.0, 0.8), 200, 200)]
