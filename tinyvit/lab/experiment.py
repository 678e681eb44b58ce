"""What an experiment is, and what it says in the end."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from tinyvit.data import DATASETS
from tinyvit.data.text import is_text
from tinyvit.errors import UsageError
from tinyvit.lab.statistics import estimate
from tinyvit.names import expected


class Report(NamedTuple):
    """The outcome: a table, the paper's beside ours; a figure; and sentences that the data bear out.

    columns   names
    rows      lists of words, as long
    figure    matplotlib's
    verdict   sentences
    """

    columns: list
    rows: list
    figure: object
    verdict: str


@dataclass(frozen=True)
class Experiment:
    """A question of the paper's, as settings to compare.

    name       in `tinyvit lab NAME`
    question   in a sentence
    source     where the paper asks it
    jobs       jobs(data, budget): one for each setting; data is the name of a data set, or Pictures
    report     report(results): of the Results of some, or all, of them
    alone      one run at a time, since it is time that is measured
    texts      the data by rule that it is asked about, the usual ones first; without any, it is about pictures
    """

    name: str
    question: str
    source: str
    jobs: Callable
    report: Callable
    alone: bool = False
    texts: tuple = ()

    @property
    def usual_data(self):
        """What it is asked about where nothing is said."""
        return self.texts[0] if self.texts else "digits"

    def check_data(self, data):
        """Raise UsageError unless it may be asked about these: the name of a data set, or a path."""
        if self.texts and data not in self.texts:
            raise UsageError(f"{self.name} is about text, found --data {data}: {expected(data, self.texts)}")
        if not self.texts and is_text(data):
            choices = f"expected one of {', '.join(DATASETS)}, or a folder or .zip of pictures"
            raise UsageError(f"{self.name} is about pictures, found --data {data}: {choices}")

    def runs(self, data, budget, seeds):
        """Every setting with every seed, the first seed of all of them first."""
        return [replace(job, seed=seed) for seed in range(seeds) for job in self.jobs(data, budget)]


class Results:
    """The records of an experiment, to be asked by setting."""

    def __init__(self, records):
        self.records = records

    def settings(self, *names):
        """The different settings, by these of their names, in the order of the jobs."""
        return list(dict.fromkeys(tuple(r["setting"][name] for name in names) for r in self.records))

    def values(self, measure, **setting):
        """A measure of all runs of a setting, one for each seed; `measure` is a name, or a function of the result.

        It is nan for a run that diverged before it was taken, and so is all that is computed from it: then nothing
        is shown.
        """
        read = measure if callable(measure) else lambda result: result[measure]
        chosen = [r["result"] for r in sorted(self.records, key=lambda r: r["seed"]) if _is(r, setting)]
        return [_taken(read, result) for result in chosen]

    def estimate(self, measure, **setting):
        """Its mean and interval."""
        return estimate(self.values(measure, **setting))

    def diverged(self, **setting):
        """How many runs of a setting diverged."""
        return sum(bool(r["result"].get("diverged")) for r in self.records if _is(r, setting))


def _is(record, setting):
    return setting.items() <= record["setting"].items()


def _taken(read, result):
    try:
        return read(result)
    except KeyError:
        if result.get("diverged"):
            return math.nan
        raise
