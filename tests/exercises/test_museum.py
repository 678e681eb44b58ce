"""The museum: every exhibit is broken, the check says so, and its line can be found."""

import pytest

from tinyvit.exercises import museum
from tinyvit.exercises.exercise import exercises
from tinyvit.exercises.source import source

IDS = [f"{exhibit.number} {exhibit.title}" for exhibit in museum.EXHIBITS]


@pytest.mark.parametrize("exhibit", museum.EXHIBITS, ids=IDS)
def test_an_exhibit_can_be_found(exhibit):
    """The check fails; the lines that are an answer are those in which the source differs, or those around the gap."""
    assert not exhibit.check().ok
    shown = [line[5:] for line in repr(exhibit).splitlines()[1:]]
    right = source(exercises()[exhibit.function].function).splitlines()
    accepted = {line for line in range(1, len(shown) + 1) if "found." in exhibit.answer(line)}
    if len(shown) == len(right):
        assert accepted == {i for i, (one, other) in enumerate(zip(shown, right, strict=True), 1) if one != other}
    else:
        gap = next(i for i, (one, other) in enumerate(zip(shown, right, strict=False)) if one != other)
        assert len(shown) < len(right) and accepted == {gap, gap + 1}
    assert "..." not in "".join(shown)  # nothing in the source marks the place
    assert exhibit.mistake.right in exhibit.reveal()


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
