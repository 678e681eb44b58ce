"""A run's folder: what was asked for, what happened, and what came out.

config.json       data set, model, recipe, seed: what was asked for; a resumed run follows it
history.jsonl     one line of JSON for every few steps and one for every epoch
checkpoint.npz    everything needed to go on, replaced as the run proceeds
model.npz         the finished model: tinyvit.load("runs/digits-1/model.npz")
metrics.json      the result, once the run is finished
curves.png        drawn as it goes
"""

import dataclasses
import json
import os
import re
import shlex
from pathlib import Path

from tinyvit import json_files
from tinyvit.data import DATASETS
from tinyvit.data.rules import RULES
from tinyvit.data.text import EXAMPLES
from tinyvit.errors import CheckpointError, DivergedError, UsageError, WriteError
from tinyvit.files import clear_side_files, replacing
from tinyvit.lock import ELSEWHERE
from tinyvit.models.model import model_of, name_of
from tinyvit.training.folders import check_empty, no_run
from tinyvit.training.settings import Settings, typed, typed_value

RECORDS = {  # what a record of the history has at least, by its kind
    "step": ("loss",),
    "epoch": ("validation_loss", "validation_accuracy"),
    "test": ("test_loss", "test_accuracy"),
    "diverged": (),  # the last step after which the parameters were numbers
}
FILES = ("config.json", "history.jsonl", "checkpoint.npz", "model.npz", "metrics.json", "curves.png")
METRICS = ("test_accuracy", "validation_accuracy", "parameters", "epochs", "seconds")  # at least, and one of these:
COUNTED = ("training_images", "training_examples")  # the second of text


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's folder and its settings."""

    folder: Path
    settings: Settings

    @property
    def checkpoint(self):
        return self.folder / "checkpoint.npz"

    @property
    def model(self):
        return self.folder / "model.npz"

    @property
    def resume_command(self):
        """What a user types to go on."""
        return f"tinyvit train --out {shlex.quote(str(self.folder))} --resume"

    @property
    def curves(self):
        return self.folder / "curves.png"

    def refuse_other(self, asked):
        """Raise UsageError if options {name: value} ask for something else than the run is."""
        known = {
            "data": self.settings.data,
            "seed": self.settings.seed,
            "from": self.settings.weights,
            "model": name_of(self.settings.config),
            **self.settings.config.values(),
            **vars(self.settings.recipe),
        }
        if self.settings.text:
            known.pop("length", None)  # a GPT's follows from the data; the option is of these
            known |= self.settings.text.options
            if self.settings.text.rule:
                known["examples"] = self.settings.examples or EXAMPLES
        if "data" in asked and not (asked["data"] in DATASETS or asked["data"] in RULES):
            asked = asked | {"data": os.path.abspath(os.path.expanduser(asked["data"]))}
        for name, value in asked.items():
            option = "the data set" if name == "data" else "--" + name.replace("_", "-")
            if name not in known:
                raise UsageError(f"{option}: {model_of(self.settings.config).title} has no such setting, leave it out")
            if value != known[name]:
                asks = f"{option} {value}" if name == "data" else typed(name, value)
                raise UsageError(
                    f"{asks} contradicts the saved run in {self.folder}, which has {typed_value(name, known[name])}: "
                    "leave it out, or start a new run"
                )

    def metrics(self):
        """The result of a finished run, or None.

        Raises
        ------
        CheckpointError
            If metrics.json is damaged.
        """
        path = self.folder / "metrics.json"
        if not path.exists():
            return None
        metrics = json_files.read(path)
        numbers = {n for n, x in metrics.items() if json_files.is_number(x)} if isinstance(metrics, dict) else set()
        if not numbers.issuperset(METRICS) or numbers.isdisjoint(COUNTED):
            wanted = f"{', '.join(METRICS)}, and {' or '.join(COUNTED)}"
            raise CheckpointError(f"{path} is not a run's result: expected numbers for {wanted}")
        return metrics

    def finish(self, metrics):
        """Write the result; the run is then finished."""
        _write_json(self.folder / "metrics.json", metrics)

    def log(self, record):
        """Append a line to the history.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        path = self.folder / "history.jsonl"
        try:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        except OSError as error:
            raise WriteError(path, error, then=f"go on with: {self.resume_command}") from None

    def history(self):
        """The records so far, without the lines that are none."""
        return self.read_history()[0]

    def read_history(self):
        """The records so far, and the numbers of the lines that are damaged.

        The last line is not: a run that was killed may have left it half-written.
        """
        records, damaged, number = [], [], 0
        for number, record in json_files.lines(self.folder / "history.jsonl"):
            if _is_record(record):
                records.append(record)
            else:
                damaged.append(number)
        return records, [line for line in damaged if line < number]

    @property
    def diverged(self):
        """After which step the loss was no longer a number; None if it always was.

        Whoever goes on with such a run does the same steps, and comes to the same end.
        """
        history = self.history()
        return history[-1]["step"] if history and history[-1]["kind"] == "diverged" else None

    def refuse_diverged(self):
        """Raise DivergedError if the run diverged."""
        if (step := self.diverged) is not None:
            rate = self.settings.recipe.learning_rate
            raise DivergedError(
                f"the run in {self.folder} diverged after step {step}, and would again: "
                f"start a new one with a lower --learning-rate than {rate:g}"
            )

    def cut_history(self, step):
        """Drop the lines past the checkpoint's `step`, and those of an end: they will come again."""
        ends = ("test", "diverged")
        records = [record for record in self.history() if record["step"] <= step and record["kind"] not in ends]
        with replacing(self.folder / "history.jsonl", "w") as file:
            file.writelines(json.dumps(record) + "\n" for record in records)
        return records


def new_run(folder, settings, *, force=False):
    """Make the folder of a new run.

    Raises
    ------
    UsageError
        If there is a run, or anything else, in it already and `force` is not given. Only a run's own files are ever
        removed.
    CheckpointError
        If the folder cannot be written.
    """
    folder = Path(folder)
    if not force:
        check_empty(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in (*FILES, "report.html", "live.html"):
            clear_side_files(folder / name)
            (folder / name).unlink(missing_ok=True)
        _write_json(folder / "config.json", settings.as_dict())
    except OSError as error:
        raise WriteError(folder, error, advice=ELSEWHERE) from None
    return Run(folder, settings)


def open_run(folder):
    """The run in a folder.

    Raises
    ------
    CheckpointError
        If there is none, or its config.json is damaged.
    """
    folder = Path(folder)
    if not (folder / "config.json").exists():
        raise no_run(folder, "a folder with config.json, as `tinyvit train` makes")
    values = json_files.read(folder / "config.json")
    try:
        return Run(folder, Settings.from_dict(values))
    except (KeyError, TypeError, UsageError) as error:
        raise CheckpointError(f"{folder / 'config.json'} is not a run's configuration: {error}") from None


def _is_record(record):
    """Whether this is a line of the history: a dictionary with the numbers of its kind."""
    if not isinstance(record, dict) or record.get("kind") not in list(RECORDS):  # it may be a list, which has no hash
        return False
    numbers = ("seconds", *RECORDS[record["kind"]])
    return json_files.is_whole(record.get("step")) and all(json_files.is_number(record.get(n)) for n in numbers)


def latest_run(data=None, runs=Path("runs")):
    """The last of runs/DATA-1, -2, ..., those that can be gone on with first; of one data set, or of any; or None.

    Of two data sets' the newer, by the time when it was begun; of one data set's that with the higher number, for a
    clock may have been set back.
    """
    numbered, latest = re.compile((f"({re.escape(data)})" if data else "(.*)") + r"-(\d+)"), {}
    for folder in (path.parent for path in runs.glob("*/config.json")):
        if match := numbered.fullmatch(folder.name):
            place = is_open(folder), int(match[2])
            latest[match[1]] = max(latest.get(match[1], (place, folder)), (place, folder))
    begun = {folder: (place[0], (folder / "config.json").stat().st_mtime_ns) for place, folder in latest.values()}
    return max(begun, key=begun.get, default=None)


def is_open(folder):
    """Whether there is something to go on with: a run that is neither finished nor diverged."""
    return not (folder / "metrics.json").exists() and Run(folder, None).diverged is None


def _write_json(path, values):
    with replacing(path, "w") as file:
        file.write(json.dumps(values, indent=2) + "\n")
