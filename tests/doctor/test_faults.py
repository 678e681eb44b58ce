"""Every fault of both lists is found by a check that is for it, but for those that docs/doctor.md says are not seen."""

from pathlib import Path

import pytest

from tests.doctor import faults, more_faults
from tests.doctor.measure import findings_of

UNSEEN = {  # a reason for each; the page lists them
    "half of the 4s are called 9": "the two are one crowd then, as classes that look alike are",
    "40 % of the 1s are called 7 in both parts": "the same",
    "stopped after a third": "a run may be examined on its way: how far it is, is said in what was looked at",
}
ALL = faults.FAULTS + more_faults.FAULTS
PAGE = Path(__file__).parents[2] / "docs" / "doctor.md"


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: fault.name)
def test_a_fault_is_found_by_a_check_that_is_for_it(fault):
    found = findings_of(fault, only=fault.checks.split(","))
    assert bool(found) == (fault.name not in UNSEEN), found
    assert all("\n" not in words and "nan" not in words.split() for words in found.values())


def test_the_page_says_what_is_not_seen_and_how_many_faults_were_planted():
    page = PAGE.read_text(encoding="utf-8")
    assert all(name in page for name in UNSEEN)
    assert f"{len(faults.FAULTS)} faults" in page and f"{len(more_faults.FAULTS)} others" in page
