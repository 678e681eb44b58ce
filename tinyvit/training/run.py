"""A run's folder: what was asked for, what happened, and what came out.

config.json       data set, model, recipe, seed: what was asked for; a resumed run follows it
history.jsonl     one line of JSON for every few steps and one for every epoch
checkpoint.npz    everything needed to go on, replaced as the run proceeds
model.npz         the finished model: tinyvit.load("runs/digits-1/model.npz")
metrics.json      the result, once the run is finished
curves.png        drawn as it goes
"""

import dataclasses
import glob
import itertools
import json
import os
import re
import shlex
from pathlib import Path

from tinyvit.data import DATASETS, Dataset, dataset_named
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.files import clear_side_files, replacing
from tinyvit.models.config import Config
from tinyvit.models.model import model_named, model_of, name_of
from tinyvit.models.presets import PRESETS
from tinyvit.training.recipe import RECIPES, Recipe, fine_tuning

RECORDS = {  # what a record of the history has at least, by its kind
    "step": ("loss",),
    "epoch": ("validation_loss", "validation_accuracy"),
    "test": ("test_loss", "test_accuracy"),
}
FILES = ("config.json", "history.jsonl", "checkpoint.npz", "model.npz", "metrics.json", "curves.png")
FREE = ("image", "heads", "gelu", "eps", "dropout")  # settings still free when fine-tuning; the weights fix the rest
METRICS = ("test_accuracy", "validation_accuracy", "parameters", "training_images", "epochs", "seconds")  # at least


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run is: the same settings give the same model, to the bit."""

    data: str  # the name of a data set, or the absolute path of a folder or .zip of pictures
    config: Config
    recipe: Recipe
    seed: int = 0
    weights: str | None = None  # the file of the parameters that it started from
    pictures: Dataset | None = None  # the description of a data set of one's own pictures
    skip_broken: bool = False  # whether pictures that cannot be read were left out

    def __post_init__(self):
        if self.pictures is None and dataset_named(self.data) is None:
            raise UsageError(f"data is {self.data!r}: expected one of {', '.join(DATASETS)}")
        if type(self.seed) is not int or self.seed < 0:
            raise UsageError(f"seed is {self.seed!r}: expected a whole number of at least 0")
        if not isinstance(self.weights, str | None):
            raise UsageError(f"weights is {self.weights!r}: expected the name of a file")

    @classmethod
    def from_dict(cls, values):
        """Settings as config.json has them; version 0.1 knew no model but the ViT, and did not say so."""
        config = model_named(values.get("model", "vit")).config.from_dict(values["config"])
        recipe, pictures = Recipe.from_dict(values["recipe"]), values.get("pictures")
        if pictures is not None:
            pictures = Dataset(**pictures | {"class_names": tuple(pictures["class_names"])})
        how = {"weights": values.get("weights"), "skip_broken": values.get("skip_broken", False)}
        return cls(values["data"], config, recipe, values["seed"], **how, pictures=pictures)

    def as_dict(self):
        """The settings as config.json has them."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        values |= {"config": dataclasses.asdict(self.config), "recipe": dataclasses.asdict(self.recipe)}
        if self.pictures is None:
            del values["pictures"], values["skip_broken"]
        else:
            values["pictures"] = dataclasses.asdict(self.pictures)
        return {"data": values.pop("data"), "model": name_of(self.config)} | values

    @property
    def dataset(self):
        """The description of the data set."""
        return self.pictures or DATASETS[self.data]

    @property
    def preset(self):
        """The name, in PRESETS and RECIPES, of the settings that are usual for these data."""
        return "pictures" if self.pictures else self.data

    @property
    def command(self):
        """What a user types for a run with these settings: what differs from the data set's presets."""
        model, usual, asked = self.config.values(), model_of(self.config).preset(PRESETS[self.preset]).values(), {}
        recipe = RECIPES[self.preset]
        if self.weights:  # whose defaults are unknown here: every option is given
            model, usual, recipe = {name: model[name] for name in FREE}, {"dropout": 0.0}, fine_tuning(recipe)
            asked = {"from": (shlex.quote(self.weights), None)}
        asked |= {"model": (name_of(self.config), "vit"), "seed": (self.seed, 0)}
        asked |= {name: (value, usual.get(name)) for name, value in model.items()}
        asked |= {name: (value, getattr(recipe, name)) for name, value in vars(self.recipe).items()}
        options = [f"--{name.replace('_', '-')} {own}" for name, (own, usual) in asked.items() if own != usual]
        if self.skip_broken:
            options.append("--skip-broken")
        return " ".join(["tinyvit train", shlex.quote(self.data), *options])


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
        if self.settings.pictures and "data" in asked:
            asked = asked | {"data": os.path.abspath(os.path.expanduser(asked["data"]))}
        for name, value in asked.items():
            if value != known.get(name):
                option = "the data set" if name == "data" else "--" + name.replace("_", "-")
                raise UsageError(
                    f"{option} {value} contradicts the saved run in {self.folder}, which has {known.get(name)}: "
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


def open_run(folder):
    """The run in a folder.

    Raises
    ------
    CheckpointError
        If there is none, or its config.json is damaged.
    """
    folder = Path(folder)
    if not (folder / "config.json").exists():
        raise CheckpointError(f"no run in {folder}: expected a folder with config.json, as `tinyvit train` makes")
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

    return max((path.parent for path in runs.glob(f"{glob.escape(data) if data else '*'}-*/config.json")), key=age, default=None)


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
