"""The training curves show the history."""

import numpy as np

from tinyvit.viz.curves import curves, running_mean

HISTORY = [{"kind": "step", "step": 10 * i, "loss": 2.0 - 0.1 * i} for i in range(1, 9)]
HISTORY += [{"kind": "epoch", "step": 80, "validation_loss": 1.1, "validation_accuracy": 0.625}]
HISTORY += [{"kind": "test", "step": 80, "test_loss": 1.0, "test_accuracy": 0.5}]


def test_the_lines_are_the_numbers():
    left, right = curves(HISTORY, title="a run").axes
    loss, mean, validation = left.lines
    np.testing.assert_allclose(loss.get_xydata(), [(10 * i, 2 - 0.1 * i) for i in range(1, 9)])
    np.testing.assert_allclose(mean.get_xdata(), loss.get_xdata())
    np.testing.assert_allclose(validation.get_xydata(), [(80, 1.1)])
    np.testing.assert_allclose(right.lines[0].get_xydata(), [(80, 62.5)])


def test_a_run_that_has_only_begun():
    left, right = curves([]).axes
    assert not left.lines and not right.lines


def test_the_running_mean_equals_a_loop():
    values = np.random.default_rng(0).normal(size=101)
    expected = [values[max(0, i - 9) : i + 1].mean() for i in range(101)]
    np.testing.assert_allclose(running_mean(values, share=0.1), expected)


def test_of_text_whole_answers_and_their_tokens_are_drawn():
    history = [
        record | {"validation_token_accuracy": 0.75} if "validation_loss" in record else record for record in HISTORY
    ]
    left, right = curves(history, smoothed=False).axes
    assert {line.get_label(): line.get_ydata()[0] for line in right.lines} == {
        "whole answers": 62.5,
        "their tokens": 75,
    }
    assert left.lines[0].get_label() == "training batch"
    assert curves(HISTORY).axes[0].lines[0].get_label() == "training batch, labels smoothed"
