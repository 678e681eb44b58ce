"""Slips that no list of mistakes names: what the marker says of them, and that it says nothing against the evidence."""

import inspect
import math
import re
from pathlib import Path

import numpy as np
import pytest

from tinyvit import exercises
from tinyvit.checks import cases
from tinyvit.exercises import slips, textbook
from tinyvit.exercises.answer import by_name, in_one_line
from tinyvit.exercises.catalogue import exercises as all_exercises
from tinyvit.exercises.diagnosis import exchanged, partly, related, wrong_order
from tinyvit.exercises.source import edited, with_code
from tinyvit.layers.layer_norm import layer_norm
from tinyvit.ops.softmax import softmax, softmax_backward


def tries():
    """(exercise, source, what is to be replaced, by what, kind, words)."""
    text = (Path(__file__).parent / "tries.txt").read_text(encoding="utf-8")
    for name, source, rest in re.findall(r"^@ (\w+)\n(def (?:.*\n)+?)((?:[-+=](?: .*)?\n)+)", text, re.M):
        for right, wrong, kind, words in re.findall(r"- (.*)\n\+ ?(.*)\n= (.+?) \| (.*)\n", rest):
            yield name, source, right, wrong, kind, words


TRIES = [pytest.param(*each, id=f"{each[0]}: {each[-1]}") for each in tries()]


def written(source):
    names = {"np": np, "math": math, "layer_norm": layer_norm}
    exec(compile(source, "a learner's answer", "exec"), names)
    return names["f"]


@pytest.mark.parametrize("name, source, right, wrong, kind, words", TRIES)
def test_a_slip_is_named(name, source, right, wrong, kind, words):
    assert right in source
    verdict = exercises.check(name, written(source.replace(right, wrong)))
    assert (verdict.kind, words in verdict.says) == (kind, True), verdict


def test_a_condition_that_is_not_asked_is_named():
    gradient = all_exercises()["recurrence_backward"].function
    wrong = edited(gradient, ('if "mask" in steps[t]:  #', "if False:  #"))
    verdict = exercises.check("recurrence_backward", wrong)
    assert verdict.kind == "missing term" and "if `'mask' in steps[t]` is never done" in verdict.says, verdict


def test_the_answers_without_a_slip_are_right():
    sources = {name: source for name, source, *_ in tries()}
    assert len(TRIES) >= 60 and len(sources) >= 20
    for name, source in sources.items():
        verdict = exercises.check(name, written(source))
        assert verdict and "is not the package's" not in verdict.says, verdict


@pytest.mark.parametrize("name, function", textbook.FUNCTIONS.items())
def test_the_textbook_computes_what_the_package_does(name, function):
    verdict = exercises.check(name, function)
    assert verdict and "is not the package's" not in verdict.says, verdict


@pytest.mark.parametrize("name", textbook.FUNCTIONS)
def test_the_textbook_runs_in_the_packages_place(name):
    """Among the globals of the package's file: a name that is not there would leave no slip to be tried."""
    exercise = all_exercises()[name]
    inputs, keywords = exercise.arguments(exercise.calls[0], exercise.forward)
    right = by_name(exercise, exercise.function(*inputs, **keywords))
    function = inspect.unwrap(exercise.function)
    code = slips.code_of(slips.Slip(function, "right", "nothing is changed", ()))
    with with_code(function, code):
        found = by_name(exercise, exercise.function(*inputs, **keywords))
    assert function.__code__ is not code and found.keys() == right.keys()
    for name, array in right.items():
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-12)


def test_every_slip_ends_and_what_it_changed_is_as_before():
    """In a loop over its own results, or in a list that holds itself, it might not end."""
    for name in ("softmax_backward", "recurrence", "unfold_backward"):
        exercise = all_exercises()[name]
        inputs, keywords = exercise.arguments(exercise.calls[-1], exercise.forward)
        codes = {part: part.__code__ for part in slips.reachable(exercise.function, slips.DEPTH)}
        ran = 0
        for slip in slips.slips(exercise.function):
            code = slips.code_of(slip)
            if code:
                try:
                    with with_code(slip.function, code):
                        assert slip.function.__code__ is code
                        exercise.function(*inputs, **keywords)
                        ran += 1
                except Exception:  # it may be no mathematics
                    pass
        assert ran > 20
        assert all(part.__code__ is code for part, code in codes.items())


def test_a_slip_that_another_call_speaks_against_is_not_named():
    """In the first call the learner's eps is ten times what is given; in the last it is not."""

    def always(eps_of):
        return lambda x, p, eps=1e-6: layer_norm(x, p, eps=eps_of(eps))

    says = exercises.check("layer_norm", always(lambda eps: 10 * eps)).says
    assert "eps is 10 times what it is to be" in says
    assert "times what it is to be" not in exercises.check("layer_norm", always(lambda eps: 1e-7)).says


def test_of_what_is_unlike_any_slip_nothing_is_said_but_where():
    noise = np.random.default_rng(5).standard_normal

    def answer(dy, c):
        return softmax_backward(dy, c) + noise(dy.shape)

    verdict = exercises.check("softmax_backward", answer)
    assert verdict.kind == "value" and verdict.says.startswith("dx is wrong in 30 of 30 entries")


def test_two_results_that_are_exchanged_are_told_whatever_their_shapes():
    a, b = np.ones((2, 3)), np.arange(4.0)
    assert exchanged({"a": b, "b": a}, {"a": a, "b": b}, ["a", "b"]).startswith("a and b are exchanged")
    assert exchanged({"a": b, "b": b}, {"a": a, "b": b}, ["a"]) is None


@pytest.mark.parametrize(
    "found, said",
    [
        (lambda x, r: x * r, "times `r`, a factor too many"),
        (lambda x, r: x / r, "without the factor `r`"),
        (lambda x, r: x + r, "plus `r`, a term too many"),
        (lambda x, r: x - r, "without the term `r`"),
        (lambda x, r: x - 2 * r, "with the term `r` of the wrong sign"),
        (lambda x, r: r + 0 * x, None),
        (lambda x, r: x * x, "is the square of what is expected"),
        (lambda x, r: 1 / x, "is 1 divided by what is expected"),
        (lambda x, r: 0 * x, "is 0 in every entry"),
        (lambda x, r: np.sin(x), None),
    ],
)
def test_what_follows_from_what_was_expected_is_told(found, said):
    rng = np.random.default_rng(3)
    x, r = rng.standard_normal((3, 4)), rng.standard_normal((3, 1))
    fault = related(found(x, r), x, {"`r`": r})
    assert (fault is None) == (said is None)
    assert said is None or said in fault[1]


def test_equal_parts_in_another_order_are_told():
    i, f, g, o = np.random.default_rng(4).standard_normal((4, 2, 5))
    right = np.concatenate([i, f, g, o], axis=1)
    said = wrong_order(np.concatenate([i, f, o, g], axis=1), right)
    assert said == "has the right numbers, but its 4 parts along axis 1 stand in the order 0, 1, 3, 2"
    assert wrong_order(np.concatenate([i, f, o, o], axis=1), right) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: 0, "is 0 at index 1 of axis 0, and right everywhere else"),
        (lambda x: -x, "has the wrong sign at index 1 of axis 0, and right everywhere else"),
        (lambda x: 3 * x, "is 3 times what is expected at index 1 of axis 0, and right everywhere else"),
        (lambda x: x + 1, None),
        (lambda x: x, None),
    ],
)
def test_what_is_wrong_in_a_part_alone_is_told(change, said):
    x = np.random.default_rng(4).standard_normal((3, 5))
    found = x.copy()
    found[1] = change(x[1])
    fault = partly(found, x)
    assert (fault and fault[1].partition(":")[0]) == said
    if said and " 0 " in said:  # and the other way round
        assert partly(x, found)[1].startswith("is not 0 at index 1 of axis 0")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (lambda x: x / x.sum(axis=-1), "keepdims=True keeps its axis"),
        (lambda x: x.reshape(-1, 5) @ np.ones((7, 5)), "is one of the two to be transposed?"),
        (lambda x: x + np.ones(7), None),
    ],
)
def test_an_error_of_shapes_says_what_would_mend_it(line, said):
    x = cases()["softmax"].inputs[0]
    with pytest.raises(ValueError) as caught:
        line(x)
    words = in_one_line(caught.value, [x[0]])
    assert (said or "could not be broadcast") in words and ("keepdims" in words) == ("keepdims" in (said or ""))


def test_the_rules_know_what_is_the_same_in_the_fast_form():
    says = {slip.says for slip in slips.slips(softmax)}
    assert any("`y.sum(axis=-1, keepdims=True)`" in each for each in says)
    assert not any("row_sums" in each for each in says)
