"""The museum: every exhibit is broken, the check says so, and its line can be found."""

import numpy as np
import pytest

from tests.test_planted_bugs import passes
from tinyvit.errors import UsageError
from tinyvit.exercises import museum, record
from tinyvit.exercises.catalogue import exercises
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
    assert museum.answer(1, 5) == (
        'Exhibit 1, "the mean that was a sum": found. Here db is a mean over all rows: it is to be their sum.'
    )
    assert museum.EXHIBITS[0].reveal().splitlines() == [
        'Exhibit 1, "the mean that was a sum". Here db is a mean over all rows: it is to be their sum. In the package:',
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


@pytest.mark.parametrize("exhibit", museum.EXHIBITS, ids=IDS)
def test_an_exhibit_does_not_say_its_title_before_it_is_found(exhibit):
    assert exhibit.title not in repr(exhibit) and repr(exhibit).startswith(f"Exhibit {exhibit.number}\n")


def test_exhibits_have_names_that_stay():
    found = museum.exhibit("softmax_backward", "the sum over dy y is added")
    assert found in museum.EXHIBITS and found.mistake.kind == "sign"
    with pytest.raises(UsageError, match="expected one of the terms for i other; the sum over dy y is added"):
        museum.exhibit("softmax_backward", "nothing")
    with pytest.raises(UsageError, match=r"no exhibit is 'softmax'.*did you mean softmax_backward"):
        museum.exhibit("softmax", "the sum")
    assert [found.function for found in museum.EXHIBITS[-3:]] == [
        "class_token_backward",
        "encoder_block_backward",
        "vit_backward",
    ]


@pytest.mark.parametrize("exhibit", museum.EXHIBITS, ids=IDS)
def test_the_ratios_are_of_the_tensors_that_the_check_finds_wrong(exhibit):
    report = exhibit.check()
    found = exhibit.ratios()
    assert list(found) == [row.name for row in report.rows if row.error > report.rtol]
    for least, median, greatest in found.values():
        assert least <= median <= greatest or np.isnan(median)


def test_ratios_by_hand():
    assert museum.EXHIBITS[0].ratios() == {"p/b": pytest.approx((1 / 6,) * 3)}  # a mean over six rows
    assert museum.exhibit("cross_entropy_backward", "the sign").ratios() == {"logits": (-1, -1, -1)}
    assert museum.exhibit("dropout_backward", "the gradient").ratios() == {"x": pytest.approx((0.6,) * 3)}


def test_a_careless_check_misses_some():
    """Where the upstream gradient, a gamma or the head do not matter; of the one with gamma forgotten it is plain."""
    missed = [exhibit for exhibit in museum.EXHIBITS if not museum.careless(exhibit)]
    assert {
        museum.exhibit("layer_norm_backward", "gamma is forgotten"),
        museum.exhibit("cross_entropy_backward", "the upstream gradient"),
        museum.exhibit("vit_backward", "each block is handed"),
    } <= set(missed)
    assert len(missed) < len(museum.EXHIBITS) / 2


def test_the_score(progress_file):
    assert museum.score() == f"0 of {len(museum.EXHIBITS)} found, no wrong tries"
    museum.answer(1, 1)
    assert museum.score().endswith("0 of 23 found, 1 wrong try")
    museum.answer(1, 2)
    museum.answer(1, 5)
    museum.EXHIBITS[0].reveal()  # it is found already
    museum.EXHIBITS[2].reveal()
    museum.answer(22, 3)  # where many places are tried
    assert not record.kept()["exercises"]
    museum.answer(3, next(line for line in range(1, 9) if "found." in museum.answer(3, line)))
    assert museum.score().startswith("1 of 23 found, 1 given up, ") and progress_file.exists()
    for number in (0, 24, "1"):
        with pytest.raises(UsageError, match="expected 1 to 23"):
            museum.answer(number, 1)


def test_a_bug_of_ones_own():
    said = repr(museum.plant("softmax_backward", "dy - row_dots", "dy + row_dots"))
    assert said.startswith("tensor ") and said.endswith("The check finds x wrong.")
    assert repr(museum.plant("linear", 'y += p["b"]', "y += 0")).endswith("The check finds p/b wrong.")
    assert repr(museum.plant("softmax_backward", "dx *= c", "dx = c")).startswith("tensor ")
    crash = museum.plant("softmax_backward", 'c["y"])\n', 'c["z"])\n')
    assert repr(crash) == "softmax_backward crashes, so you would have noticed: KeyError: 'z'"
    exercise = exercises()["softmax_backward"]
    assert exercise.case(exercise.backward).check().ok  # all is as it was


def test_a_bug_in_both_passes_is_none_to_the_check():
    forward = museum.plant("scale_queries", "math.sqrt", "float")
    backward = museum.plant("scale_queries_backward", "math.sqrt", "float")
    assert not forward.check().ok and not backward.check().ok
    with forward.planted():
        assert repr(backward).endswith("The check finds nothing.")


def test_what_cannot_be_planted_is_said_in_one_line():
    for words, said in [
        (("softmax_backwards", "a", "b"), "no function is named 'softmax_backwards': did you mean softmax_backward"),
        (("merge_heads", "return", "return 2 *"), "merge_heads has no backward pass here"),
        (
            ("softmax_backward", "nowhere", "b"),
            "softmax_backward contains 0 times, expected once: nowhere; exercises.so",
        ),
        (("softmax_backward", "return dx", "return ("), "is no Python"),
    ]:
        with pytest.raises(UsageError) as raised:
            museum.plant(*words)
        assert said in str(raised.value) and "\n" not in str(raised.value)


def test_a_planted_bug_is_gone_afterwards():
    exhibit = museum.EXHIBITS[6]
    exercise = exercises()[exhibit.function]
    assert exercise.case(exercise.backward).check().ok
    with pytest.raises(ZeroDivisionError), exhibit.planted():
        assert not exercise.case(exercise.backward).check().ok
        raise ZeroDivisionError
    assert exercise.case(exercise.backward).check().ok
