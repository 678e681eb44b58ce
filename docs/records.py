"""Trials of recipes: which reaches an accuracy in the least time.

python -m docs.records DATA [NAME=VALUE ...] [--seeds 0 1]   a trial: a line of docs/records.jsonl
python docs/measure.py trials                                all of them -> docs/records.md

DATA is a data set, or a folder or .zip of pictures. A trial changes settings of a model (model=NAME names it) and of
its recipe, trains on one core, and keeps the accuracy on the held-out part of the training images. It never looks at
the test images.
"""

import argparse
import dataclasses
import json
import statistics
import time

import numpy as np

from docs.readme import DOCS, replace
from tinyvit.data import load_data
from tinyvit.models.model import parameter_count, preset_config
from tinyvit.training.loop import fit
from tinyvit.training.machine import machine
from tinyvit.training.recipe import Recipe, recipe_of

TRIALS = DOCS / "records.jsonl"
BASE = {"model": "convstem", "optimizer": "muon", "learning_rate": 0.01, "epochs": 3, "schedule": "linear"}
WITHOUT = {  # what is left out of the base, or takes its place
    "nothing": {},
    "the convolutional stem": {"model": "vit"},
    "Muon: AdamW at its own learning rate": {"optimizer": "adamw", "learning_rate": 0.005},
    "the linear schedule: the cosine": {"schedule": "cosine"},
    "the average of the weights": {"ema_decay": 0},
    "shifts of the images": {"shift": 0},
    "label smoothing": {"label_smoothing": 0},
}


def settings(preset, changes):
    """The model's configuration and the recipe of a preset, with changes of either, by name."""
    changes = dict(changes)
    model = changes.pop("model", "vit")
    config, recipe = preset_config(preset, model), recipe_of(preset, model)
    of_recipe = {name: value for name, value in changes.items() if name in {f.name for f in dataclasses.fields(Recipe)}}
    of_config = {name: value for name, value in changes.items() if name not in of_recipe}
    return config.changed(**of_config), dataclasses.replace(recipe, **of_recipe)


def trial(preset, data, changes, seed):
    """Of one run: accuracies on the held-out images after each epoch, the processor's seconds, how many parameters."""
    config, recipe = settings(preset, changes)
    images, labels = data
    begun = time.process_time()
    few = images[:1], labels[:1]  # in place of the test images
    _, history = fit(config, ((images, labels), few), recipe=recipe, seed=seed, workers=1, progress=False)
    accuracies = [record["validation_accuracy"] for record in history if record["kind"] == "epoch"]
    return accuracies, time.process_time() - begun, parameter_count(config)


def write():
    """The table of all trials, in their order; and that of the trials which change one thing of BASE, or none."""
    trials = [json.loads(line) for line in TRIALS.read_text().splitlines()]
    machines = "; ".join(sorted({row["machine"] for row in trials}))
    note = f"{machines}. Seconds of one core's own time, while other work ran beside it."
    rows = [_row(row, row["preset"], _changes(row["changes"])) for row in trials]
    head = "held out, each seed | mean | core-seconds a run |"
    replace(
        DOCS / "records.md",
        "trials",
        [f"| data | changes | {head}", "|---|---|---|--:|--:|", *rows, "", f"`python -m docs.records`: {note}"],
    )
    lines = ["| without | held out, each seed | mean | core-seconds a run |", "|---|---|--:|--:|"]
    for name, change in WITHOUT.items():
        lines += [_row(row, name) for row in trials if row["preset"] == "mnist" and row["changes"] == BASE | change]
    replace(DOCS / "records.md", "without", [*lines, "", f"`python -m docs.records mnist {_asked(BASE)}`: {note}"])


def _row(row, *cells):
    each, mean = ", ".join(f"{accuracy:.2f}" for accuracy in row["accuracy"]), statistics.mean(row["accuracy"])
    return f"| {' | '.join(cells)} | {each} | {mean:.2f} | {row['core_seconds']} |"


def _changes(changes):
    return ", ".join(f"{name} {_words(value)}" for name, value in changes.items())


def _asked(changes):
    return " ".join(f"{name}={value}" for name, value in changes.items())


def _words(value):
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def value_of(text):
    """A value as the command line has it: a number, a list, or a word."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("changes", nargs="*", metavar="NAME=VALUE")
    parser.add_argument("--preset", help="left out, the data's name")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    arguments = parser.parse_intermixed_args()
    changes = {name: value_of(value) for name, _, value in (change.partition("=") for change in arguments.changes)}
    preset = arguments.preset or arguments.data
    data, _ = load_data(arguments.data)
    runs = [trial(preset, data, changes, seed) for seed in arguments.seeds]
    accuracy = [round(100 * accuracies[-1], 2) for accuracies, _, _ in runs]
    line = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(),
        "preset": preset,
        "changes": changes,
        "seeds": arguments.seeds,
        "accuracy": accuracy,
        "core_seconds": round(statistics.mean(seconds for _, seconds, _ in runs)),
        "parameters": runs[0][2],
    }
    with TRIALS.open("a") as file:
        file.write(json.dumps(line) + "\n")
    curve = " ".join(f"{100 * a:.2f}" for a in np.mean([accuracies for accuracies, _, _ in runs], axis=0))
    print(f"{changes}: {accuracy}, {line['core_seconds']} s, {curve}", flush=True)


if __name__ == "__main__":
    main()
