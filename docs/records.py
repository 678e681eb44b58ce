"""Records: how little time a recipe needs for an accuracy.

python -m docs.records DATA [NAME=VALUE ...] [--seeds 0 1]   a trial: a line of docs/records/trials.jsonl
python docs/measure.py records [NAME ...]                    the records: test images, three seeds -> docs/records.md

DATA is a data set or a folder or .zip of pictures. A trial changes settings of a model (model=NAME first) and of its
recipe, trains, and keeps the accuracy on the held-out part of the training images. It never looks at the test images.
"""

import argparse
import dataclasses
import json
import statistics
import time

import numpy as np

from docs.readme import DOCS
from tinyvit.data import load_data
from tinyvit.models.model import parameter_count, preset_config
from tinyvit.training.loop import fit
from tinyvit.training.machine import machine
from tinyvit.training.recipe import Recipe, recipe_of

TRIALS = DOCS / "records" / "trials.jsonl"


def settings(preset, changes):
    """The model's configuration and the recipe of a preset, with changes of either, by name."""
    changes = dict(changes)
    model = changes.pop("model", "vit")
    config, recipe = preset_config(preset, model), recipe_of(preset, model)
    of_recipe = {name: value for name, value in changes.items() if name in {f.name for f in dataclasses.fields(Recipe)}}
    of_config = {name: value for name, value in changes.items() if name not in of_recipe}
    return config.changed(**of_config), dataclasses.replace(recipe, **of_recipe)


def trial(preset, data, changes, seed):
    """(accuracy on the held-out images after each epoch, the processor's seconds) of one run."""
    config, recipe = settings(preset, changes)
    images, labels = data
    begun = time.process_time()
    few = images[:1], labels[:1]  # in place of the test images
    _, history = fit(config, ((images, labels), few), recipe=recipe, seed=seed, workers=1, progress=False)
    accuracies = [record["validation_accuracy"] for record in history if record["kind"] == "epoch"]
    return accuracies, time.process_time() - begun, parameter_count(config)


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
    TRIALS.parent.mkdir(exist_ok=True)
    with TRIALS.open("a") as file:
        file.write(json.dumps(line) + "\n")
    curve = " ".join(f"{100 * a:.2f}" for a in np.mean([accuracies for accuracies, _, _ in runs], axis=0))
    print(f"{changes}: {accuracy}, {line['core_seconds']} s, {curve}", flush=True)


if __name__ == "__main__":
    main()
