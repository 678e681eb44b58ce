"""The command, as a user meets it: results on standard output, progress on standard error, exit codes."""

import json
import re
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tinyvit
from tests.training import helpers
from tests.training.helpers import SMALL, call, put_run
from tinyvit import checks
from tinyvit.cli import COMMANDS, GROUPS
from tinyvit.training.recipe import OF_MODELS
from tinyvit.training.run import FILES

INTERRUPTED = ["--epochs=6", "--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The outcome of a run with these options that nobody disturbed."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "whole"
    assert call("train", *INTERRUPTED, "--workers=1", "--out", folder).code == 0
    return helpers.outcome(folder)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_train_with_no_argument_learns_digits_in_numbered_folders(tmp_path):
    for number in (1, 2):
        result = call("train", *SMALL)
        assert result.code == 0 and "; 1 worker; " in result.err
        assert re.fullmatch(r"test accuracy \d+\.\d\d %", result.out.splitlines()[-1])
        assert "epoch 1/1" in result.err and "epoch 1/1" not in result.out
        assert ": 1 epoch in " in result.out
        assert result.err.endswith(f"look at it: tinyvit report {Path('runs', f'digits-{number}')}\n")
        assert sorted(f.name for f in (tmp_path / "runs" / f"digits-{number}").iterdir()) == sorted(FILES)
    first, second = (tmp_path / "runs" / f"digits-{number}" / "model.npz" for number in (1, 2))
    assert first.read_bytes() == second.read_bytes()


def test_options_reach_model_and_recipe(tmp_path):
    assert call("train", *SMALL, "--seed=5", "--position=none", "--shift=1", "--out", "run").code == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["seed"], config["config"]["position"], config["recipe"]["shift"]) == (5, "none", 1)
    assert config["config"]["dim"] == 8 and config["recipe"]["epochs"] == 1


def test_mnist_files_are_found_in_data_dir(tmp_path):
    rng = np.random.default_rng(0)
    for part, count in (("train", 40), ("t10k", 12)):
        images, labels = rng.integers(0, 256, (count, 28, 28), np.uint8), np.arange(count, dtype=np.uint8) % 10
        (tmp_path / "mnist").mkdir(exist_ok=True)
        head = b"\0\0\x08\x03" + np.array([count, 28, 28], ">u4").tobytes()
        (tmp_path / "mnist" / f"{part}-images-idx3-ubyte").write_bytes(head + images.tobytes())
        head = b"\0\0\x08\x01" + np.array([count], ">u4").tobytes()
        (tmp_path / "mnist" / f"{part}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())
    result = call("train", "mnist", *SMALL, "--data-dir", tmp_path, "--validation=0.25", "--out", "run")
    assert result.code == 0 and "30 images to learn from, 10 held out, 12 to test" in result.err
    assert call("eval", "run", "--data-dir", tmp_path).out.splitlines()[-1] == result.out.splitlines()[-1]


def test_resume_with_nothing_saved_begins_and_says_so():
    result = call("train", *SMALL, "--resume", "--out", "run")
    assert result.code == 0 and "nothing saved in run yet: starting from the beginning" in result.err
    assert call("train", *SMALL, "--resume").code == 0, "nor is there a latest run"


def test_resume_of_a_finished_run_prints_its_result(tmp_path):
    first = call("train", *SMALL, "--out", "run")
    before = helpers.contents(tmp_path)
    again = call("train", "--resume", "--out", "run")
    assert (again.code, again.out) == (0, first.out) and "run is finished" in again.err
    assert helpers.contents(tmp_path) == before


def test_resume_without_out_takes_the_latest_run():
    first = call("train", *SMALL)
    assert call("train", "--resume").out == first.out


def test_a_preset_brings_its_data_set(monkeypatch):
    asked = []
    monkeypatch.setattr("tinyvit.commands.runs.read_data", lambda name, *args, **how: asked.append(name) or 1 / 0)
    for preset in ("mnist-quick", "mnist-best", "fashion-mnist", "digits"):
        with pytest.raises(ZeroDivisionError):
            call("train", f"--preset={preset}")
    assert asked == ["mnist", "mnist", "fashion-mnist", "digits"]


def test_the_saved_settings_win_and_a_contradiction_is_refused():
    call("train", *SMALL, "--out", "run")
    assert call("train", "digits", *SMALL, "--resume", "--out", "run").code == 0
    result = call("train", "--resume", "--out", "run", "--epochs=2")
    assert result.code == 2 and "--epochs 2 contradicts the saved run in run, which has 1" in result.err


def test_force_replaces_a_run():
    call("train", *SMALL, "--out", "run")
    assert call("train", *SMALL, "--out", "run").code == 2
    assert call("train", *SMALL, "--seed=1", "--out", "run", "--force").code == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_says_how_to_go_on_and_loses_nothing(tmp_path, uninterrupted, number, code):
    arguments = ["train", *INTERRUPTED, "--out", "stopped"]
    result = helpers.interrupted(arguments, cwd=tmp_path, history=tmp_path / "stopped/history.jsonl", number=number)
    assert result.code == code
    last = result.err.replace("\r", "\n").splitlines()[-1]
    assert re.fullmatch(r"tinyvit: stopped after step \d+ of \d+, saved in stopped; go on with: (.*)", last)
    command = last.partition("go on with: tinyvit ")[2].split()
    assert call(*command).code == 0
    helpers.assert_same_outcome(helpers.outcome(tmp_path / "stopped"), uninterrupted)


def test_workers_change_nothing_and_may_differ_on_resume(tmp_path, uninterrupted):
    helpers.interrupted(
        ["train", *INTERRUPTED, "--workers=2", "--out", "stopped"],
        cwd=tmp_path,
        history=tmp_path / "stopped/history.jsonl",
        number=signal.SIGINT,
    )
    result = call("train", "--resume", "--out", "stopped", "--workers=9")
    assert result.code == 0 and "; 2 workers (a batch of 64 has no more micro-batches); " in result.err, (
        "a batch of 64 is two micro-batches"
    )
    helpers.assert_same_outcome(helpers.outcome(tmp_path / "stopped"), uninterrupted)
    evaluated = {call("eval", "stopped", f"--workers={n}").out for n in (1, 3)}
    assert len(evaluated) == 1


def test_a_preset_is_a_model_and_a_recipe_that_options_change(tmp_path):
    result = call("train", "digits", "--preset=mnist-best", *SMALL, "--out=run")
    assert result.code == 2 and "patch 7 does not divide image 8" in result.err and not (tmp_path / "run").exists()
    assert call("train", "digits", "--preset=mnist-best", *SMALL, "--patch=4", "--out=other").code == 0
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    assert (config["config"]["image"], config["recipe"]["rotate"]) == (8, tinyvit.RECIPES["mnist-best"].rotate)
    assert call("train", *SMALL, "--preset=digits", "--out=run").code == 0
    assert call("train", "--resume", "--preset=digits", *SMALL, "--out=run").code == 0
    result = call("train", "--resume", "--preset=digits", "--out=run")
    assert result.code == 2 and "contradicts the saved run" in result.err


def test_a_models_own_recipe_is_said_and_a_run_goes_on_by_it(monkeypatch, tmp_path):
    monkeypatch.setitem(OF_MODELS, "cnn", {"digits": {"batch": 256, "epochs": 1}})
    result = call("train", "digits", "--model=cnn", "--out=run")
    assert result.code == 0 and "the recipe digits for a convolutional network: batch 256, epochs 1\n" in result.err
    recipe = json.loads((tmp_path / "run" / "config.json").read_text())["recipe"]
    assert (recipe["batch"], recipe["epochs"]) == (256, 1)
    assert call("train", "--resume", "--preset=digits", "--model=cnn", "--out=run").code == 0


def test_eval_repeats_the_result():
    trained = call("train", *SMALL, "--out", "run")
    result = call("eval", "run")
    assert result.code == 0 and result.out.splitlines()[-1] == trained.out.splitlines()[-1]
    report = json.loads(call("eval", "run", "--json").out)
    assert f"test accuracy {100 * report['test_accuracy']:.2f} %" == trained.out.splitlines()[-1]
    assert report["images"] == 360


def write_pictures():
    """One digit in many guises: as the set has it, as a large PNG, inverted, coloured, as JPEG, as an array."""
    _, (x, _) = tinyvit.load_data("digits")
    grey = ((x[0, :, :, 0] + 1) * 127.5).round().astype(np.uint8)
    large = Image.fromarray(grey).resize((200, 200))
    Image.fromarray(grey).save("plain.png")
    large.save("large.png")
    Image.fromarray(255 - np.asarray(large)).save("inverted.png")
    Image.merge("RGB", [large, large, Image.new("L", large.size)]).save("coloured.jpg")
    np.save("array.npy", grey)
    return ["plain.png", "large.png", "inverted.png", "coloured.jpg", "array.npy"]


def test_predict_takes_pictures_of_many_kinds_and_says_what_it_did(tmp_path):
    put_run("run")
    names = write_pictures()
    results = {r["image"]: r for r in json.loads(call("predict", "run", *names, "--json", "--top=2").out)}
    assert list(results) == names
    assert results["plain.png"]["notes"] == results["array.npy"]["notes"] == []
    assert results["plain.png"]["classes"] == results["array.npy"]["classes"]
    assert any("inverted" in note for note in results["inverted.png"]["notes"])
    assert any("colour" in note for note in results["coloured.jpg"]["notes"])
    assert any("resized from 200x200 to 8x8" in note for note in results["large.png"]["notes"])
    for result in results.values():
        first, second = result["classes"]
        assert 1 >= first["probability"] >= second["probability"] >= 0
    p, config = tinyvit.load("run/model.npz")
    _, (x, _) = tinyvit.load_data("digits")
    logits = tinyvit.vit(x[:1], p, config)[0][0]
    assert results["plain.png"]["classes"][0]["class"] == str(logits.argmax())


@pytest.mark.smoke
def test_two_epochs_resumed_and_a_picture_named():
    assert call("train", *SMALL[1:], "--epochs=2", "--out", "run").code == 0
    Path("run/metrics.json").unlink()
    result = call("train", "--resume", "--out", "run")
    assert result.code == 0 and result.out.startswith("run run: 2 epochs in ")
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save("a.png")
    assert re.match(r"a\.png: \d \(", call("predict", "run", "a.png").out)


def test_predict_in_words_and_with_a_figure(tmp_path):
    put_run("run")
    names = write_pictures()
    result = call("predict", "run", *names[:3], "--figure", "look.png")
    assert result.code == 0
    assert re.search(r"^plain\.png: \d \(\d+\.\d %\), \d \(", result.out)
    assert "  inverted: the background was lighter than the ink" in result.out.splitlines()
    with Image.open("look.png") as figure:
        assert figure.size[0] > 600


def test_predict_goes_on_after_a_bad_picture():
    put_run("run")
    write_pictures()
    result = call("predict", "run", "missing.png", "plain.png")
    assert result.code == 1 and result.out.startswith("plain.png: ")
    assert result.err.startswith("tinyvit: missing.png: ") and result.err.count("\n") == 1


def test_gradcheck_is_a_table():
    result = call("gradcheck", "softmax", "attention")
    assert result.code == 0
    rows = [line.split() for line in result.out.splitlines()]
    assert [row[0] for row in rows[1:-1]] == ["softmax", "attention", "attention/bias"]
    assert all(float(row[2]) < 1e-7 and row[3] == "ok" for row in rows[1:-1])
    assert "every gradient agrees" in result.out


def test_gradcheck_reports_a_wrong_gradient(monkeypatch):
    broken = checks.cases(["tanh"])["tanh"]
    broken = checks.Case(broken.forward, lambda dy, c: dy, broken.inputs)
    monkeypatch.setattr("tinyvit.commands.gradcheck.cases", lambda names=None: {"tanh": broken})
    result = call("gradcheck")
    assert result.code == 1 and "WRONG: tanh" in result.out
    report = call("gradcheck", "--json")
    assert report.code == 1 and json.loads(report.out)[0]["ok"] is False


def test_shapes():
    lines = call("shapes").out.splitlines()
    for shape in ("[224, 224, 3]", "[14, 14, 768]", "[196, 768]", "[197, 768]"):
        assert any(shape in line for line in lines)
    assert lines[-1].split()[:2] == ["total", "86,567,656"]
    assert max(map(len, lines)) <= 90, "it fits a terminal, and a page"
    rows = json.loads(call("shapes", "digits", "--batch=3", "--json").out)
    image = {"name": "image", "shape": [8, 8, 1], "parameters": 0, "multiply_adds": 0, "bytes": 3 * 64 * 4}
    assert rows[0] == image | {"memory": "kept", "cached": ["patch/patches/x"], "inputs": []}


@pytest.mark.smoke
@pytest.mark.parametrize("name", COMMANDS)
def test_help_begins_with_what_most_people_need(name):
    result = call(name, "--help")
    assert result.code == 0 and not result.err
    first, _, rest = result.out.partition("more options:")
    shown = re.findall(r"^  (--[\w-]+)", first.partition("most used:")[2], re.MULTILINE)
    assert shown == list(COMMANDS[name][1]) and 1 <= len(shown) <= 3
    assert not re.findall(rf"^  ({'|'.join(shown)})\b(?!-)", rest, re.MULTILINE), "each option is shown once"
    assert f"tinyvit {name}" in rest.partition("examples:")[2]


@pytest.mark.smoke
def test_without_a_command_all_are_listed_with_an_example_each():
    result = call()
    assert result.code == 0 and not result.err
    assert re.findall(r"^  tinyvit (\w+)", result.out, re.MULTILINE) == list(COMMANDS)
    assert [title for title in result.out.splitlines() if title in GROUPS] == list(GROUPS)
    assert max(map(len, result.out.splitlines())) <= 100
    assert call("--help") == result


def test_version():
    assert call("--version").out == f"tinyvit {tinyvit.__version__}\n"


def test_as_a_module(tmp_path):
    result = helpers.command("shapes", "digits", cwd=tmp_path)
    assert result.code == 0 and "total" in result.out


def test_train_on_the_stand_in_for_a_gpu(tmp_path, strict_as_cupy):
    assert call("train", *SMALL, "--out", "cpu").code == 0
    result = call("train", *SMALL, "--device=gpu", "--out", "gpu")
    assert result.code == 0 and "; gpu; " in result.err
    assert (tmp_path / "cpu/model.npz").read_bytes() == (tmp_path / "gpu/model.npz").read_bytes()
    assert call("eval", "gpu", "--device=auto").out == call("eval", "cpu").out
    write_pictures()
    with_gpu = call("predict", "gpu", "plain.png", "--device=gpu", "--figure=look.png")
    assert with_gpu.out == call("predict", "cpu", "plain.png").out
