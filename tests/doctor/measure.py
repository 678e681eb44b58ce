"""How many of the listed faults does the doctor find? `python -m tests.doctor.measure [faults | more_faults]`.

A fault is found if a check that is for it reports it; what other checks say of it counts as a hint.
"""

import importlib
import sys

from tests.doctor.case import digits, trained
from tinyvit.doctor.examine import examination


def findings_of(fault, only=None):
    """{check: its first finding, in words} of a fault."""
    case = fault.plant(trained() if fault.trained else digits())
    how = dict(recipe=case.recipe, p=case.p, history=case.history, only=only)
    return {
        checked.check: checked.findings[0].words
        for checked in examination(case.config, case.data, **how)
        if checked.findings
    }


def main(name="faults"):
    """A line for each fault, and how many of them were found."""
    faults, found, hinted = importlib.import_module(f"tests.doctor.{name}").FAULTS, 0, 0
    for fault in faults:
        words = findings_of(fault)
        by = [check for check in words if check in fault.checks.split(",")]
        found, hinted = found + bool(by), hinted + bool(words and not by)
        first = words[by[0]] if by else "; ".join(f"{check}: {said}" for check, said in words.items())
        print(
            f"{'found' if by else 'hint' if words else 'SILENT':<6} | {fault.name} | {', '.join(words)} | {first}",
            flush=True,
        )
    print(f"{found} of {len(faults)} found by a check for them; {hinted} more by another one")


if __name__ == "__main__":
    main(*sys.argv[1:])
