"""A run that ends at an awkward moment, and then goes on, is the run that never ended, with every line once."""

import dataclasses
import json
import shutil

import numpy as np
import pytest

from tests.training.helpers import CONFIG, RECIPE, STEPS, assert_same_outcome, outcome, toy, toy_run, untimed
from tinyvit.errors import CheckpointError
from tinyvit.models.model import parameter_count
from tinyvit.training import loop
from tinyvit.training.checkpoint import load_training, save
from tinyvit.training.run import open_run


class Killed(BaseException):
    """Stands for the end of the process: nothing may be done about it."""


def fit(run, **options):
    return loop.fit(run.settings.config, toy(), recipe=run.settings.recipe, run=run, progress=False, **options)


def killed_after(steps):
    """A `stop` that never returns from the call after so many steps."""
    calls = iter(range(1, 10_000))

    def stop():
        if next(calls) == steps:
            raise Killed
        return 0

    return stop


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The outcome of a run that nobody disturbed, and the folder it is in."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    fit(toy_run(folder))
    return outcome(folder), folder


@pytest.mark.parametrize("steps", [7, 8, 9, 11, 21, STEPS])
def test_killed_between_two_checkpoints(tmp_path, whole, steps):
    """At step 7 there is no checkpoint, at 11 and 21 there are lines past it."""
    run = toy_run(tmp_path / "run")
    with pytest.raises(Killed):
        fit(run, stop=killed_after(steps))
    _, history = fit(run)
    assert untimed(history) == whole[0]["history"]
    assert_same_outcome(outcome(tmp_path / "run"), whole[0])


def test_killed_before_the_first_checkpoint_leaves_no_lines_behind(tmp_path, whole):
    run = toy_run(tmp_path / "run")
    run.log({"kind": "step", "step": 7, "seconds": 9.0, "epoch": 1, "loss": 5.0})
    with open(run.folder / "history.jsonl", "a") as file:
        file.write('{"kind": "st')
    fit(run)
    assert_same_outcome(outcome(tmp_path / "run"), whole[0])


@pytest.mark.parametrize("lost", [["metrics.json"], ["metrics.json", "model.npz"]], ids=["metrics", "model"])
def test_killed_before_the_result_is_written(tmp_path, whole, lost):
    shutil.copytree(whole[1], tmp_path / "run")
    for name in lost:
        (tmp_path / "run" / name).unlink()
    run = open_run(tmp_path / "run")
    _, history = fit(run)
    assert [record["kind"] for record in history].count("test") == 1
    assert_same_outcome(outcome(tmp_path / "run"), whole[0])


def test_a_lost_history_does_not_stop_a_run(tmp_path, whole):
    shutil.copytree(whole[1], tmp_path / "run")
    for name in ("metrics.json", "history.jsonl"):
        (tmp_path / "run" / name).unlink()
    fit(open_run(tmp_path / "run"))
    assert outcome(tmp_path / "run")["model"] == whole[0]["model"]


@pytest.mark.parametrize("step", [-1, STEPS + 1, 2**62])
def test_a_checkpoint_of_an_impossible_step_is_refused(tmp_path, whole, step):
    shutil.copytree(whole[1], tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    path = tmp_path / "run" / "checkpoint.npz"
    vectors = dict.fromkeys(("moment1", "moment2", "average"), ((parameter_count(CONFIG),), None))
    p, config, state = load_training(path, vectors | {"step": ((), "int64")})
    save(path, p, config, training=state | {"step": np.int64(step)})
    with pytest.raises(CheckpointError, match=str(step)):
        fit(open_run(tmp_path / "run"))


def test_a_checkpoint_of_another_model_is_refused(tmp_path, whole):
    """Its parameters have the same shapes: only the configuration tells."""
    other = toy_run(tmp_path / "run", config=dataclasses.replace(CONFIG, heads=4), recipe=RECIPE)
    shutil.copy(whole[1] / "checkpoint.npz", other.checkpoint)
    with pytest.raises(CheckpointError, match="heads"):
        fit(other)


def test_a_run_is_saved_before_it_is_long(tmp_path, monkeypatch):
    """Within an epoch, too: a checkpoint is never older than SAVE_EVERY seconds and a step."""
    monkeypatch.setattr(loop, "SAVE_EVERY", 0)
    run = toy_run(tmp_path / "run")
    with pytest.raises(Killed):
        fit(run, stop=killed_after(6))
    with np.load(run.checkpoint) as file:
        assert file["training/step"] == 5


def test_a_runs_seconds_are_of_all_its_sessions(tmp_path):
    run = toy_run(tmp_path / "run")
    with pytest.raises(Killed):
        fit(run, stop=killed_after(9))
    records = [record | {"seconds": 1000.0} for record in run.history()]
    (run.folder / "history.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    _, history = fit(run)
    assert history[-1]["seconds"] >= run.metrics()["seconds"] > 1000
