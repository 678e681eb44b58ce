"""The marker accepts every right answer, and says of a wrong one what kind of wrong it is."""

import numpy as np
import pytest

from tests.exercises.answers import RIGHT, WRONG
from tinyvit import exercises
from tinyvit.errors import UsageError
from tinyvit.exercises.exercise import exercises as all_exercises
from tinyvit.exercises.hints import hints
from tinyvit.exercises.mistakes import FORGOTTEN, mistakes
from tinyvit.exercises.source import edited

KNOWN = [
    pytest.param(name, mistake, id=f"{name}: {mistake.says}") for name in all_exercises() for mistake in mistakes(name)
]


@pytest.mark.parametrize("name", all_exercises())
def test_the_packages_own_function_is_right(name):
    verdict = exercises.check(name, all_exercises()[name].function)
    assert verdict and verdict.kind == "right", verdict


@pytest.mark.parametrize("name, answer, forward", [(*case, None)[:3] for case in RIGHT.values()], ids=RIGHT)
def test_every_right_answer_is_accepted(name, answer, forward):
    verdict = exercises.check(name, answer, forward)
    assert verdict, verdict


@pytest.mark.parametrize(
    "name, kind, words, answer, forward", [(*case, None)[:5] for case in WRONG.values()], ids=WRONG
)
def test_a_wrong_answer_gets_the_right_diagnosis(name, kind, words, answer, forward):
    verdict = exercises.check(name, answer, forward)
    assert not verdict
    assert (verdict.kind, words in verdict.says) == (kind, True), verdict


@pytest.mark.parametrize("name, mistake", KNOWN)
def test_every_known_mistake_is_named(name, mistake):
    """In the function itself, or, where only the cache shows it, in its backward pass."""
    wrong = edited(all_exercises()[name].function, mistake.edit)
    verdict = exercises.check(name, wrong)
    if verdict:
        forward, backward = all_exercises()[name].forward, all_exercises()[f"{name}_backward"].backward
        verdict = exercises.check(
            f"{name}_backward",
            lambda dy, c: backward(dy, wrong(*c["inputs"])[1]),
            lambda *inputs: (forward(*inputs)[0], {"inputs": inputs}),
        )
    assert not verdict and verdict.kind == mistake.kind
    assert mistake.says in verdict.says


def test_enough_is_known():
    assert len(KNOWN) >= 90 and len(WRONG) >= 40
    kinds = {kind for _, kind, *_ in WRONG.values()}
    assert kinds >= {"unwritten", "form", "error", "argument", "overflow", "dtype", "shape"}
    assert kinds >= {"axis", "missing term", "sign", "scale", "order", "value"}


@pytest.mark.parametrize("name", all_exercises())
def test_there_are_hints_one_at_a_time_and_a_solution(name):
    for number, text in enumerate(hints(name), 1):
        shown = exercises.hint(name, number)
        assert text in shown and shown.startswith(f"{number} of ")
        assert ("The solution" in shown) == (number == len(hints(name)))
    assert len(hints(name)) >= 1
    assert exercises.hint(name, 99).startswith(f"{name} has {len(hints(name))} hint")
    assert exercises.solution(name).startswith(f"def {name}(")


def test_the_verdict_reads_well():
    assert repr(exercises.check("softmax", lambda x: None)).splitlines() == [
        "softmax: to be written. It returns None: write the body, with its return.",
        'A hint: exercises.hint("softmax")',
    ]
    assert repr(exercises.check("linear", all_exercises()["linear"].function)) == (
        "linear: right. It agrees with the package, and float32 stays float32."
    )


def test_what_cannot_be_marked_is_said_in_one_line():
    with pytest.raises(UsageError, match="no exercise 'sofmax': expected one such as softmax"):
        exercises.check("sofmax", lambda x: x)
    with pytest.raises(UsageError, match="found ndarray, expected a function"):
        exercises.check("softmax", np.ones(3))
    with pytest.raises(UsageError, match="no exercise 'x'"):
        exercises.hint("x")


def test_the_line_of_an_error_is_quoted():
    def answer(x):
        total = x @ x
        return total, {}

    says = exercises.check("softmax", answer).says
    assert says.startswith("ValueError: matmul") and says.endswith("in the line: total = x @ x")
    assert "\n" not in says


def test_source_is_without_docstring_and_edits_stand_once():
    text = exercises.source(all_exercises()["softmax"].function)
    assert '"""' not in text and text.startswith("def softmax(x):\n    y = x - x.max")
    with pytest.raises(ValueError, match="contains 0 times"):
        edited(all_exercises()["softmax"].function, ("nowhere", FORGOTTEN))
