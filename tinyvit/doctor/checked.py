"""What a check says: what is wrong, what it looked at, or why it did not look."""

from collections.abc import Generator
from typing import NamedTuple


class Finding(NamedTuple):
    """What is wrong, and what to do."""

    check: str
    words: str


class Checked(NamedTuple):
    """One check, when it is through.

    check      its name
    findings   what is wrong, as Finding; none if all is well
    looked_at  what was looked at, in words; "" if findings say it
    skipped    why nothing was looked at, in words; "" if something was
    """

    check: str
    findings: list[Finding]
    looked_at: str = ""
    skipped: str = ""


class Skipped(str):
    """Why a check did not look: it returns this in the place of what it looked at."""


def drained(name: str, check: Generator[str, None, str | None]) -> Checked:
    """Run a check to its end: a generator that yields what is wrong, and returns what it looked at."""
    findings = []
    while True:
        try:
            findings.append(Finding(name, next(check)))
        except StopIteration as end:
            words = end.value or ""
            return (
                Checked(name, findings, skipped=words) if isinstance(words, Skipped) else Checked(name, findings, words)
            )
