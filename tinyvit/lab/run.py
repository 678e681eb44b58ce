"""An experiment from beginning to end: its runs, what is missing of them, its report on disk."""

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from tinyvit.data import dataset_named, read_data
from tinyvit.data.rules import RULES
from tinyvit.errors import CheckpointError, UsageError, first_line
from tinyvit.files import replacing
from tinyvit.lab.backbone import BACKBONE
from tinyvit.lab.bottleneck import BOTTLENECK
from tinyvit.lab.cost import COST
from tinyvit.lab.data_size import DATA_SIZE
from tinyvit.lab.experiment import Results
from tinyvit.lab.fewshot import FEWSHOT
from tinyvit.lab.job import BUDGETS, Pictures, task_data
from tinyvit.lab.masked import MASKED
from tinyvit.lab.norm import NORM
from tinyvit.lab.pattern import PATTERN
from tinyvit.lab.pooling import POOLING
from tinyvit.lab.position import POSITION
from tinyvit.lab.scale import SCALE
from tinyvit.lab.scheduler import run_jobs
from tinyvit.lab.shape import SHAPE
from tinyvit.lab.store import Store
from tinyvit.lock import locked
from tinyvit.names import expected

IN_ORDER = (POSITION, POOLING, NORM, SCALE, SHAPE, PATTERN, DATA_SIZE, BACKBONE, MASKED, FEWSHOT, COST, BOTTLENECK)
EXPERIMENTS = {e.name: e for e in IN_ORDER}
RESULTS, TABLE, FIGURE = "results.jsonl", "table.md", "figure.png"


def experiment_named(name):
    """The entry of EXPERIMENTS with that name.

    Raises
    ------
    UsageError
        If there is none; the line names the choices.
    """
    if name not in EXPERIMENTS:
        raise UsageError(f"no experiment is named {name!r}: {expected(name, EXPERIMENTS)}")
    return EXPERIMENTS[name]


class Source(NamedTuple):
    """What an experiment is run on.

    place         from where workers load it: a name, or the path of pictures
    asked         with what experiments are asked: the name of a data set, or Pictures
    label         under which results are kept: the name; of pictures, with a digest that changes when they do
    skip_broken   whether pictures that cannot be read are left out
    notes         on what was ignored or left out, sentences
    """

    place: str
    asked: str | Pictures
    label: str
    skip_broken: bool = False
    notes: tuple = ()

    @property
    def name(self):
        """In the names of folders."""
        return self.asked.dataset.name if isinstance(self.asked, Pictures) else self.asked


def source_of(data, *, skip_broken=False):
    """The Source of a data set's name, of a rule's, or of a folder or .zip of pictures, which is read and kept.

    Raises
    ------
    UsageError, DataError
        As `read_data`.
    """
    if data in RULES or dataset_named(data):
        return Source(data, data, data)
    loaded = read_data(data, skip_broken=skip_broken, progress=True)
    label = f"{loaded.dataset.name} {loaded.fingerprint}"
    return Source(data, Pictures(loaded.dataset, len(loaded.train[0])), label, skip_broken, loaded.notes)


def run(experiment, source, *, budget="quick", seeds=3, workers=1, folder, data_dir=None, watch=None, ranks=None):
    """Do the runs of an experiment that have no result yet.

    Parameters
    ----------
    experiment : Experiment
    source : Source
    budget : "quick" or "full"
    seeds : int
        Runs of each setting.
    workers : int
    folder : Path
        Where the results are kept.
    data_dir : folder, optional
        As in `read_data`.
    watch : callable, optional
        Called with the jobs that are to do and the number of those that are not, it returns what is called after each
        with the job that is done.
    ranks : Ranks, optional
        As in `run_jobs`.

    Returns
    -------
    list of records of all runs

    Raises
    ------
    WorkerError, CheckpointError
        As `run_jobs` and `Store`; what was finished is kept.
    UsageError
        If another process is at work in the folder, or there is no such budget.
    """
    if budget not in BUDGETS:
        raise UsageError(f"budget is {budget!r}: expected one of {', '.join(BUDGETS)}")
    jobs, label = experiment.runs(source.asked, budget, seeds), source.label
    where = {"data": source.place, "data_dir": data_dir, "skip_broken": source.skip_broken}
    path = folder / RESULTS
    if Store(path, label).missing(jobs):
        task_data(**where)  # if it is not to be had, that is said here and not by a worker
        with locked(folder, "running an experiment"):
            store = Store(path, label)  # once more: what another process has done until now
            store.check()
            missing, kept = store.missing(jobs), len(store.of({job.key: job for job in jobs}.values()))
            done = watch(missing, kept) if watch else lambda job: None
            with closing(run_jobs(missing, 1 if experiment.alone else workers, **where, ranks=ranks)) as outcomes:
                for job, result, seconds in outcomes:
                    store.add(job, result, seconds)
                    done(job)
    return Store(path, label).of(jobs)


def report_of(experiment, records, path):
    """What an experiment says of these records, read from a file at `path`.

    Raises
    ------
    CheckpointError
        If a result in the file is none that this experiment's runs have.
    """
    try:
        return experiment.report(Results(records))
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        raise CheckpointError(
            f"{path} has a result that no run of {experiment.name} gives "
            f"({type(error).__name__}: {first_line(error)}): move the file away, and give the same command again"
        ) from error


def table(report, records, about):
    """The report as Markdown: what was run, a table, what it says, and where and how long it was measured."""
    lines = [about, "", "| " + " | ".join(report.columns) + " |", "|" + "---|" * len(report.columns)]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in report.rows]
    where = "; ".join(dict.fromkeys(record["machine"] for record in records))
    runs = {record["key"]: record for record in records}.values()  # a run may stand for several settings
    seconds, diverged = sum(run["seconds"] for run in runs), sum(bool(run["result"].get("diverged")) for run in runs)
    lines += ["", report.verdict, ""]
    if diverged:
        counts = "test accuracy counts as that of guessing, what else was to be measured is unknown"
        lines += [f"Of the runs {diverged} diverged: {counts}.", ""]
    lines += [f"{len(runs)} runs, {seconds:,.0f} seconds of one core in all; {where}."]
    return "\n".join(lines) + "\n"


def write(folder, report, text):
    """Put the report beside the results: table.md and figure.png."""
    folder = Path(folder)
    with replacing(folder / TABLE, "w") as file:
        file.write(text)
    with replacing(folder / FIGURE) as file:
        report.figure.savefig(file, format="png")
