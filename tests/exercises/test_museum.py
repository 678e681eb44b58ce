"""The museum: every exhibit is broken, the check says so, and its line can be found."""

import pytest

from tests.test_planted_bugs import passes
from tinyvit.exercises import museum
from tinyvit.exercises.exercise import exercises
from tinyvit.exercises.source import source

IDS = [f"{exhibit.number} {exhibit.title}" for exhibit in museum.EXHIBITS]


@pytest.mark.parametrize("exhibit", museum.EXHIBITS, ids=IDS)
def test_an_exhibit_can_be_found(exhibit):
    """The check fails; the lines that are an answer are those in which the source differs, or those around a gap.

    A gap is any place at which the forgotten line makes the check pass.
    """
    assert not exhibit.check().ok
    shown = [line[5:] for line in repr(exhibit).splitlines()[1:]]
    right = source(exercises()[exhibit.function].function).splitlines()
    accepted = {line for line in range(1, len(shown) + 1) if "found." in exhibit.answer(line)}
    if len(shown) == len(right):
        assert accepted == {i for i, (one, other) in enumerate(zip(shown, right, strict=True), 1) if one != other}
    else:
        gap = next(i for i, (one, other) in enumerate(zip(shown, right, strict=False)) if one != other)
        assert len(shown) < len(right) and accepted >= {gap, gap + 1}
        gone = right[gap : gap + len(right) - len(shown)]
        gaps = [i for i in range(1, len(shown)) if is_right(exhibit, [*shown[:i], *gone, *shown[i:]])]
        assert accepted == {line for i in gaps for line in (i, i + 1)}
    assert "..." not in "".join(shown)  # nothing in the source marks the place
    assert exhibit.mistake.right in exhibit.reveal()
    assert set(exhibit.reveal().splitlines()[1:]) <= set(right)  # whole lines


def is_right(exhibit, lines):
    """Whether a function of these lines is right."""
    exercise = exercises()[exhibit.function]
    namespace = dict(exercise.function.__globals__)
    try:
        exec("\n".join(lines), namespace)
        return passes(exercise.case(namespace[exhibit.function]))
    except Exception:
        return False


def test_what_is_said_of_an_exhibit_begins_with_no_changed_symbol():
    assert museum.EXHIBITS[0].answer(5) == "Exhibit 1: found. Here db is a mean over all rows: it is to be their sum."
    assert museum.EXHIBITS[0].reveal().splitlines() == [
        "Here db is a mean over all rows: it is to be their sum. In the package:",
        '        g["b"] = column_sums(rows)',
    ]


def test_a_wrong_guess_names_five_tensors_at_most():
    said = museum.EXHIBITS[22].answer(1)
    assert "The check finds images, p/patch/w, p/patch/b, p/cls, p/pos and 29 more wrong" in said


def test_a_wrong_guess_repeats_what_the_check_found():
    assert museum.EXHIBITS[0].answer(1) == ("Exhibit 1: not line 1. The check finds p/b wrong: which lines make it so?")


def test_there_are_about_twenty_and_each_is_another():
    assert len(museum.EXHIBITS) >= 20
    assert len({exhibit.mistake for exhibit in museum.EXHIBITS}) == len(museum.EXHIBITS)
    assert [exhibit.number for exhibit in museum.EXHIBITS] == list(range(1, len(museum.EXHIBITS) + 1))


def test_a_planted_bug_is_gone_afterwards():
    exhibit = museum.EXHIBITS[6]
    exercise = exercises()[exhibit.function]
    assert exercise.case(exercise.backward).check().ok
    with pytest.raises(ZeroDivisionError), exhibit.planted():
        assert not exercise.case(exercise.backward).check().ok
        raise ZeroDivisionError
    assert exercise.case(exercise.backward).check().ok
