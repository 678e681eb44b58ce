"""A run's folder: nothing is lost, nothing is overwritten, what is not a run is said not to be one."""

import dataclasses
import json
import os

import pytest

from tests.training.helpers import CONFIG, RECIPE, contents, toy_run
from tinyvit.cli import parser
from tinyvit.commands.train import _settings
from tinyvit.data import DATASETS
from tinyvit.errors import CheckpointError, DivergedError, UsageError
from tinyvit.lock import LOCK
from tinyvit.models.model import MODELS, SEQUENCE_MODELS
from tinyvit.models.presets import PRESETS
from tinyvit.training.folders import next_folder
from tinyvit.training.recipe import OF_MODELS, RECIPES, recipe_of
from tinyvit.training.run import COUNTED, METRICS, latest_run, new_run, open_run
from tinyvit.training.settings import Settings


def test_settings_survive_the_folder(tmp_path):
    run = toy_run(tmp_path / "run", seed=7)
    assert open_run(tmp_path / "run") == run
    assert run.settings == Settings("digits", CONFIG, RECIPE, 7)


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=r"exists and is not empty: go on with --resume, replace .* --force"):
        toy_run(tmp_path)
    assert contents(tmp_path) == before


def test_force_removes_only_the_runs_own_files(tmp_path):
    for name in ("notes.txt", "checkpoint.npz", "model.npz", "metrics.json", "history.jsonl", "checkpoint.npz.part"):
        (tmp_path / name).write_text("old")
    new_run(tmp_path, Settings("digits", CONFIG, RECIPE), force=True)
    assert sorted(os.listdir(tmp_path)) == ["config.json", "notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "old"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"cannot write .*: Not a directory; choose another folder with --out"):
        toy_run(tmp_path / "file" / "run")


def test_free_folders_are_counted_up(tmp_path):
    (tmp_path / "digits-9").mkdir()
    (tmp_path / "digits-10").mkdir()
    (tmp_path / "mnist-11").mkdir()
    (tmp_path / "digits-x").mkdir()
    assert next_folder("digits", tmp_path).name == "digits-11"
    assert next_folder("digits", tmp_path).name == "digits-12", "the one before is taken, though still empty"


def test_a_folder_taken_in_between_is_passed_over(tmp_path, monkeypatch):
    (tmp_path / "digits-1").mkdir()
    monkeypatch.setattr(type(tmp_path), "glob", lambda *args: iter([]))  # made after we looked
    assert next_folder("digits", tmp_path).name == "digits-2"


NO_RECORDS = [b"\xff", b"[1]", b"7", b'{"kind": "step"}', b'{"kind": "epoch", "step": 3}', b'{"kind": "x", "step": 3}']
NO_RECORDS += [b'{"kind": [], "step": 3}', b'{"kind": "step", "step": 3, "loss": 1}', b"[" * 100_000]
NO_RECORDS += [b'{"kind": "step", "seconds": 1, "loss": 1, "step": %s}' % step for step in (b"1e3", b"9" * 50, b"true")]
NO_RECORDS += [b'{"kind": "step", "seconds": %s, "loss": 1, "step": 3}' % what for what in (b"null", b"NaN", b'"1"')]


@pytest.mark.parametrize("line", NO_RECORDS)
def test_a_line_that_is_no_record_is_left_out_and_told_of(tmp_path, line):
    run = toy_run(tmp_path / "run")
    run.log({"kind": "step", "step": 10, "seconds": 0.5, "loss": 1.0})
    with open(run.folder / "history.jsonl", "ab") as file:
        file.write(line + b"\n")
    run.log({"kind": "step", "step": 20, "seconds": 0.5, "loss": 1.0})
    with open(run.folder / "history.jsonl", "ab") as file:
        file.write(b'{"kind": "st')  # of a run that was killed
    assert run.read_history() == (run.history(), [2])
    assert [record["step"] for record in run.cut_history(30)] == [10, 20]
    assert run.read_history()[1] == []


def test_what_says_that_a_run_has_ended_comes_again(tmp_path):
    run, step = toy_run(tmp_path / "run"), {"kind": "step", "step": 10, "seconds": 0.5, "loss": 1.0}
    run.log(step)
    assert run.diverged is None
    run.log({"kind": "diverged", "step": 10, "seconds": 0.5})
    assert run.diverged == 10
    with pytest.raises(DivergedError, match="diverged after step 10, and would again"):
        run.refuse_diverged()
    assert run.cut_history(10) == [step] == run.history() and run.diverged is None


def test_what_a_run_left_that_was_killed_at_once_is_no_run(tmp_path):
    (tmp_path / LOCK).write_text("1")
    assert toy_run(tmp_path) == open_run(tmp_path)


@pytest.mark.parametrize("count", [1, 4, 5])
def test_the_runs_in_a_folder_are_named_or_the_first_of_them(tmp_path, count):
    for k in range(count):
        (tmp_path / f"digits-{k}").mkdir()
        (tmp_path / f"digits-{k}" / "history.jsonl").touch()
    inside = ", ".join(str(tmp_path / f"digits-{k}") for k in range(min(count, 4))) + ", ..." * (count > 4)
    with pytest.raises(CheckpointError) as error:
        open_run(tmp_path)
    assert error.value.args[0] == f"no run in {tmp_path}: it holds {inside}; name one of them"


def test_the_command_of_settings_makes_them_again(tmp_path):
    config = dataclasses.replace(PRESETS["mnist"], patch=4, mlp_dim=128)
    recipe = dataclasses.replace(RECIPES["mnist"], learning_rate=0.002, micro_batch=16)
    settings = Settings("mnist", config, recipe, 3)
    assert (
        settings.command
        == "tinyvit train mnist --seed 3 --patch 4 --mlp-dim 128 --micro-batch 16 --learning-rate 0.002"
    )
    args = parser().parse_args(settings.command.split()[1:])
    assert _settings(args)[0] == settings
    assert Settings("digits", PRESETS["digits"], RECIPES["digits"]).command == "tinyvit train digits"


@pytest.mark.parametrize(
    "line",
    [
        "copy --both --examples 60 --length 4-8",
        "reverse --model transformer --dim 8 --shared --schedule noam --length 5 --symbols 4",
        "sort --model gpt --seed 2 --length 2-4",
        "sums --model bert --corrupted 0.3 --examples 80 --largest 20",
    ],
)
def test_the_command_of_a_run_with_text_makes_it_again(line, monkeypatch):
    monkeypatch.setattr("tinyvit.data.text.EXAMPLES", 300)  # a data set of the usual size takes a second to make
    settings = _settings(parser().parse_args(["train", *line.split()]))[0]
    again = settings.command.split()
    assert sorted(again) == sorted(["tinyvit", "train", *line.split()])
    assert _settings(parser().parse_args(again[1:]))[0] == settings


def test_a_hybrid_of_the_stem_alone_can_be_asked_for():
    settings, _ = _settings(parser().parse_args(["train", "digits", "--model=hybrid", "--units=none"]))
    assert settings.config.units == () and settings.command == "tinyvit train digits --model hybrid --units none"


OWN_RECIPES = [(model, preset) for model, recipes in OF_MODELS.items() for preset in recipes]


@pytest.mark.parametrize(("model", "preset"), [(m, p) for m, p in OWN_RECIPES if m in MODELS])
def test_a_model_has_its_own_recipe_and_the_command_need_not_say_it(model, preset):
    config, recipe = MODELS[model].preset(PRESETS[preset]), recipe_of(preset, model)
    changed = {name: value for name, value in vars(recipe).items() if value != vars(RECIPES[preset])[name]}
    assert changed == OF_MODELS[model][preset] and recipe_of(preset) == recipe_of(preset, "vit") == RECIPES[preset]
    data = preset if preset in DATASETS else "mnist"
    settings, notes = _settings(parser().parse_args(["train", f"--preset={preset}", f"--model={model}"]))
    assert (settings.config, settings.recipe, settings.data) == (config, recipe, data) and len(notes) == 1
    if PRESETS[preset] == PRESETS[data]:
        assert Settings(data, config, recipe_of(data, model)).command == f"tinyvit train {data} --model {model}"


@pytest.mark.parametrize(("model", "preset"), [(m, p) for m, p in OWN_RECIPES if m in SEQUENCE_MODELS])
def test_a_model_of_text_has_its_own_recipe_too(model, preset):
    settings, notes = _settings(parser().parse_args(["train", preset, f"--model={model}"]))
    assert settings.recipe == dataclasses.replace(RECIPES[preset], **OF_MODELS[model][preset]) != RECIPES[preset]
    assert settings.command == f"tinyvit train {preset} --model {model}" and len(notes) == 1


def test_what_is_asked_for_goes_before_a_models_own_recipe():
    asked = ["train", "mnist", "--model=swin", "--batch=128"]
    settings, notes = _settings(parser().parse_args(asked))
    assert (settings.recipe.batch, settings.recipe.epochs) == (128, recipe_of("mnist", "swin").epochs)
    assert notes == ("the recipe mnist for a Swin Transformer: epochs 12, learning rate 0.003",)
    assert settings.command == "tinyvit train mnist --model swin --batch 128"
    assert _settings(parser().parse_args(["train", "digits", "--model=swin"]))[1] == ()


def test_the_latest_run_is_one_to_go_on_with_of_any_data_set_or_of_one(tmp_path):
    assert latest_run("digits", tmp_path) is latest_run(None, tmp_path) is None
    for age, name in enumerate(["mnist-1", "digits-1", "mnist-2", "fashion-mnist-7", "digits-10", "digits-9"]):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        os.utime(tmp_path / name / "config.json", (1000 + age, 1000 + age))
    (tmp_path / "digits-11").mkdir()  # taken, but no run yet

    def ended(*names):
        for name in names:
            (tmp_path / name / "metrics.json").write_text("{}")

    assert latest_run("digits", tmp_path).name == "digits-10", "though the clock was set back before digits-9"
    assert latest_run(None, tmp_path).name == "digits-10"
    assert latest_run("mnist", tmp_path).name == "mnist-2"
    ended("digits-9", "digits-10", "fashion-mnist-7")
    assert latest_run(None, tmp_path).name == "mnist-2"
    assert latest_run("digits", tmp_path).name == "digits-1"
    (tmp_path / "mnist-2" / "history.jsonl").write_text('{"kind": "diverged", "step": 3, "seconds": 1}\n')
    assert latest_run(None, tmp_path).name == "digits-1", "the older of two: only it has something to go on with"
    assert latest_run("mnist", tmp_path).name == "mnist-1"
    ended("mnist-1", "digits-1")
    assert latest_run(None, tmp_path).name == "digits-10", "all are finished, or diverged"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no run in"),
        ("{", "cannot read .*config.json"),
        ("[]", "not a run's configuration"),
        ("{}", "not a run's configuration"),
        ('{"data": "digits", "config": {"patch": 3}, "recipe": {}, "seed": 0}', "patch 3 does not divide"),
        ('{"data": "digits", "config": {}, "recipe": {"epochs": 0}, "seed": 0}', "epochs is 0"),
        ('{"data": "digits", "config": {}, "recipe": {"nonsense": 1}, "seed": 0}', "nonsense"),
    ],
)
def test_what_is_not_a_run(tmp_path, text, message):
    if text is not None:
        (tmp_path / "config.json").write_text(text)
    with pytest.raises(CheckpointError, match=message):
        open_run(tmp_path)


def test_a_contradiction_names_both_values(tmp_path):
    run = toy_run(tmp_path / "run")
    run.refuse_other({"epochs": 3, "seed": 0, "data": "digits", "dim": 8})
    for asked, words in (({"epochs": 4}, "--epochs 4"), ({"mlp_dim": 5}, "--mlp-dim 5"), ({"data": "mnist"}, "mnist")):
        with pytest.raises(UsageError, match=f"{words} contradicts the saved run"):
            run.refuse_other(asked)


def test_history_survives_a_line_cut_short_and_is_cut_to_a_step(tmp_path):
    run = toy_run(tmp_path / "run")
    assert run.history() == []
    for step in (10, 20, 30):
        run.log({"kind": "step", "step": step, "seconds": 0.5, "loss": 1.0})
    with open(run.folder / "history.jsonl", "a") as file:
        file.write('{"kind": "ste')
    assert [record["step"] for record in run.history()] == [10, 20, 30]
    assert [record["step"] for record in run.cut_history(20)] == [10, 20]
    lines = (run.folder / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [10, 20]


@pytest.mark.parametrize("counted", COUNTED)
def test_a_result_says_how_many_images_or_other_examples_it_is_of(tmp_path, counted):
    run = toy_run(tmp_path / "run")
    numbers = dict.fromkeys((*METRICS, counted), 1)
    run.finish(numbers)
    assert run.metrics() == numbers
    for missing in numbers:
        run.finish({name: value for name, value in numbers.items() if name != missing})
        with pytest.raises(CheckpointError, match=r"numbers for .*, and training_images or training_examples"):
            run.metrics()
