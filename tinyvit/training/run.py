"""A run's folder: what was asked for, what happened, and what came out.

config.json       data set, model, recipe, seed: what was asked for; a resumed run follows it
history.jsonl     one line of JSON for every few steps and one for every epoch
checkpoint.npz    everything needed to go on, replaced as the run proceeds
model.npz         the finished model: tinyvit.load("runs/digits-1/model.npz")
metrics.json      the result, once the run is finished
curves.png        drawn as it goes
"""

import dataclasses
import itertools
import json
import os
import re
import shlex
from pathlib import Path

from tinyvit.data import DATASETS
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.files import clear_side_files, replacing
from tinyvit.models.model import model_of, name_of
from tinyvit.training.settings import Settings

RECORDS = {  # what a record of the history has at least, by its kind
    "step": ("loss",),
    "epoch": ("validation_loss", "validation_accuracy"),
    "test": ("test_loss", "test_accuracy"),
}
FILES = ("config.json", "history.jsonl", "checkpoint.npz", "model.npz", "metrics.json", "curves.png")
METRICS = ("test_accuracy", "validation_accuracy", "parameters", "training_images", "epochs", "seconds")  # at least


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
        if self.settings.pictures and "data" in asked and asked["data"] not in DATASETS:
            asked = asked | {"data": os.path.abspath(os.path.expanduser(asked["data"]))}
        for name, value in asked.items():
            option = "the data set" if name == "data" else "--" + name.replace("_", "-")
            if name not in known:
                raise UsageError(f"{option}: {model_of(self.settings.config).title} has no such setting, leave it out")
            if value != known[name]:
                raise UsageError(
                    f"{option} {value} contradicts the saved run in {self.folder}, which has {known[name]}: "
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
        metrics = _read_json(path)
        if not isinstance(metrics, dict) or any(type(metrics.get(name)) not in (int, float) for name in METRICS):
            raise CheckpointError(f"{path} is not a run's result: expected numbers for {', '.join(METRICS)}")
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
            raise CheckpointError(
                f"cannot write {path}: {error.strerror or error}; free some space and resume"
            ) from None

    def history(self):
        """The records so far, up to the first line that is none: a killed run may have left one half-written."""
        path = self.folder / "history.jsonl"
        records = []
        for line in path.read_bytes().splitlines() if path.exists() else []:
            try:
                record = json.loads(line)
            except ValueError:  # no JSON, or no text
                break
            if not _is_record(record):
                break
            records.append(record)
        return records

    def cut_history(self, step):
        """Drop the lines past the checkpoint's `step`, and the look at the test set: both will come again."""
        records = [record for record in self.history() if record["step"] <= step and record["kind"] != "test"]
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
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise UsageError(
            f"{folder} exists and is not empty: "
            "go on with --resume, replace the run with --force, or choose another --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        clear_side_files(folder)
        for name in (*FILES, "report.html"):
            (folder / name).unlink(missing_ok=True)
        _write_json(folder / "config.json", settings.as_dict())
    except OSError as error:
        raise CheckpointError(
            f"cannot write to {folder}: {error.strerror or error}; choose another folder with --out"
        ) from None
    return Run(folder, settings)


def no_run(folder, expected):
    """The error that there is no run in a folder: what is there, what was expected, and which runs there are."""
    folder = Path(folder)
    if inside := _runs_in(folder):
        return CheckpointError(f"no run in {folder}: it holds {inside}; name one of them")
    if folder.exists():
        return CheckpointError(f"no run in {folder}: expected {expected}")
    others = f"; there are {found}" if (found := _runs_in(Path("runs"))) else ""
    return CheckpointError(f"no run in {folder}: there is no such folder; expected {expected}{others}")


def _runs_in(folder, most=4):
    """The names of the runs in a folder, or the first of them."""
    names = sorted(str(path.parent) for path in folder.glob("*/history.jsonl"))
    return ", ".join(names[:most] + ["..."] * (len(names) > most))


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
    values = _read_json(folder / "config.json")
    try:
        return Run(folder, Settings.from_dict(values))
    except (KeyError, TypeError, UsageError) as error:
        raise CheckpointError(f"{folder / 'config.json'} is not a run's configuration: {error}") from None


def _is_record(record):
    """Whether this is a line of the history: a dictionary with the numbers of its kind."""
    if not isinstance(record, dict) or record.get("kind") not in RECORDS:
        return False
    return all(type(record.get(name)) in (int, float) for name in ("step", *RECORDS[record["kind"]]))


def latest_run(data=None, runs=Path("runs")):
    """The newest of runs/DATA-1, -2, ..., those that are not finished first; of any data set, or of one; or None."""

    def age(folder):
        return not (folder / "metrics.json").exists(), (folder / "config.json").stat().st_mtime_ns, folder.name

    name = re.compile((re.escape(data) if data else ".*") + r"-\d+")
    folders = (path.parent for path in runs.glob("*/config.json"))
    return max((folder for folder in folders if name.fullmatch(folder.name)), key=age, default=None)


def next_folder(data, runs=Path("runs")):
    """The first free one of runs/DATA-1, -2, ..., made at once, so that a run started beside this one takes another.

    Raises
    ------
    CheckpointError
        If it cannot be made.
    """
    taken = [int(m[1]) for path in runs.glob("*") if (m := re.fullmatch(rf"{re.escape(data)}-(\d+)", path.name))]
    for number in itertools.count(1 + max(taken, default=0)):
        folder = runs / f"{data}-{number}"
        try:
            folder.mkdir(parents=True)
            return folder
        except FileExistsError:
            continue
        except OSError as error:
            raise CheckpointError(
                f"cannot make {folder}: {error.strerror or error}; choose another folder with --out"
            ) from None


def _read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {error}; the file is damaged") from None


def _write_json(path, values):
    with replacing(path, "w") as file:
        file.write(json.dumps(values, indent=2) + "\n")
