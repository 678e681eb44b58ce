"""The files of a run and of a lab: an honest one of each, for a Forger to damage, and how it is read."""

import functools
import json

import numpy as np

from tests.lab.helpers import records, shot_accuracy
from tests.training.helpers import CONFIG, RECIPE
from tinyvit.commands.options import saved_model
from tinyvit.lab.run import EXPERIMENTS, RESULTS, report_of, table
from tinyvit.lab.store import Store
from tinyvit.training.run import open_run
from tinyvit.training.settings import Settings
from tinyvit.viz.curves import curves


@functools.cache
def settings():
    """What config.json says."""
    return json.loads(json.dumps(Settings("digits", CONFIG, RECIPE).as_dict()))


def config(forger):
    return {"config.json": forger(forger.json(settings()))}


def read_config(folder):
    saved_model(folder)
    assert open_run(folder).settings.command


def history(forger):
    steps = [{"kind": "step", "step": i, "seconds": i / 2, "loss": 1.0, "learning_rate": 0.1} for i in range(9)]
    epoch = {"kind": "epoch", "step": 9, "seconds": 5.0, "validation_loss": 1.0, "validation_accuracy": 0.5}
    lines = [json.dumps(step).encode() for step in steps]
    lines[3:3] = [forger.json(steps[3]), forger.json(epoch)]
    return {"config.json": json.dumps(settings()).encode(), "history.jsonl": forger(b"\n".join(lines) + b"\n")}


def read_history(folder):
    found = open_run(folder).history()
    assert np.isfinite([(record["step"], record["seconds"]) for record in found]).all()
    curves(found)


def metrics(forger):
    names = "test_accuracy", "validation_accuracy", "parameters", "training_images", "epochs", "seconds"
    text = forger(forger.json(dict.fromkeys(names, 1) | {"seconds": 0.5}))
    return {"config.json": json.dumps(settings()).encode(), "metrics.json": text}


def read_metrics(folder):
    assert f"{open_run(folder).metrics()['test_accuracy']:.2%}"


@functools.cache
def lab_records():
    """Records of an experiment, made by hand."""

    def result(setting, noise):
        accuracies = shot_accuracy(0.8, noise)
        return {"accuracy": accuracies, "spread": {count: 0.2 / int(count) for count in accuracies}}

    return records("fewshot", result)


def results(forger):
    lines = [json.dumps(record).encode() for record in lab_records()]
    lines[2] = forger.json(lab_records()[2])
    record = lab_records()[5]
    lines[5] = json.dumps(record | {"result": "@"}).encode().replace(b'"@"', forger.json(record["result"]))
    return {RESULTS: forger(b"\n".join(lines) + b"\n")}


def read_results(folder):
    experiment = EXPERIMENTS["fewshot"]
    jobs = experiment.runs("digits", "quick", 3)
    store = Store(folder / RESULTS, "digits")
    if not store.missing(jobs):
        found = store.of(jobs)
        assert table(report_of(experiment, found, folder / RESULTS), found, "")
