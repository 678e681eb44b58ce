"""A few forged files of every format, and the bombs that are made at once.

`python -m tests.reliability.forged` has more of them.
"""

import json

import pytest

from tests.reliability import judge
from tests.reliability.bombs import SMALL
from tests.reliability.formats import FORMATS
from tests.reliability.judge import BOMBS, judged, made, name_of, prepared
from tests.reliability.mutations import Forger

FEW = 12  # of each format


@pytest.fixture(autouse=True)
def alone(tmp_path):
    with prepared(tmp_path):
        yield


@pytest.mark.parametrize("name", FORMATS)
def test_the_honest_file_is_read(name, tmp_path):
    judge.put(FORMATS[name].make(Forger()), tmp_path / "files")
    FORMATS[name].read(tmp_path / "files")


@pytest.mark.parametrize("index", range(len(FORMATS)), ids=list(FORMATS))
def test_forged_files_are_read_or_refused_in_one_line(index, tmp_path):
    first = len(BOMBS) + (index - len(BOMBS)) % len(FORMATS)
    outcomes = [judged(first + i * len(FORMATS), tmp_path / "files") for i in range(FEW)]
    assert {outcome.name for outcome in outcomes} == {list(FORMATS)[index]}
    assert not [outcome for outcome in outcomes if outcome.fault]


@pytest.mark.parametrize("number", range(len(SMALL)), ids=list(SMALL))
def test_bombs(number, tmp_path):
    assert name_of(number) == list(SMALL)[number]
    outcome = judged(number, tmp_path / "files")
    assert not outcome.fault, outcome


def test_a_number_is_a_file():
    for number in range(1000, 1000 + len(FORMATS)):
        assert made(number)[0] == made(number)[0] != made(number + len(FORMATS))[0]


PLANTED = {  # a bomb: a place in the program, what is put there, and the fault that this is
    "100,000 lists in each other": ("json_files.parse", json.loads, "an error that is none of ours"),
    "an entry whose data begin with a header": ("npz.LONGEST_HEADER", 2**40, "more than 50 MB"),
    "a number of a million digits": ("errors.one_line", lambda text: text + "\n", "no line of ordinary length"),
}


@pytest.mark.parametrize("bomb", PLANTED)
def test_a_planted_fault_is_found(tmp_path, monkeypatch, bomb):
    place, planted, fault = PLANTED[bomb]
    if "MB" in fault and not judge.STATUS.exists():
        pytest.skip("needs /proc")
    monkeypatch.setitem(FORMATS, SMALL[bomb][0], FORMATS[SMALL[bomb][0]]._replace(most=50))
    number = list(BOMBS).index(bomb)
    assert not judged(number, tmp_path / "files").fault
    monkeypatch.setattr(f"tinyvit.{place}", planted)
    assert judged(number, tmp_path / "files").fault == fault
