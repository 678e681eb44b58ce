"""One's own pictures from the command: trained on, asked, moved, changed, and named in any script."""

import json
import shlex
import shutil

import numpy as np
import pytest

import tinyvit
from tests.data.paint import paint, picture
from tests.training.helpers import call, changed_json, isolated
from tinyvit.models.masked import MaskedConfig
from tinyvit.training.evaluation import evaluate
from tinyvit.training.recipe import Recipe
from tinyvit.training.run import latest_run, open_run

CLASSES = {"猫": 8, "US$ and $^$": 8, "a dog": 8}
TINY = ["--image=8", "--patch=4", "--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8", "--epochs=2", "--workers=1"]
TINY += ["--batch=8"]  # more than one step, which would leave the head at zero


def refused(result, code, *words):
    """One line with these words; what was read may be kept, so the disk is not compared."""
    assert result.code == code and result.err.count("\n") == 1 and not result.out, result
    assert all(word in result.err for word in words), result.err


def change(file, **values):
    file.write_bytes(changed_json(file.read_bytes(), **values))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with pictures in photos/ and a finished run on them in run/."""
    folder = tmp_path_factory.mktemp("own")
    paint(folder / "photos", CLASSES)
    with pytest.MonkeyPatch.context() as patch:
        isolated(folder, patch)
        done = call("train", "photos", *TINY, "--validation=0.3", "--out=run")
    assert done.code == 0, done.err
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, finished):
    """A copy of that folder, which tests may change; the run looks for its pictures where they were."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    isolated(tmp_path, monkeypatch)
    change(tmp_path / "run" / "config.json", data=str(tmp_path / "photos"))
    return tmp_path


def test_names_of_any_script_in_answers_report_and_figures(here):
    (here / "a.png").write_bytes(picture(5))
    result = call("predict", "run", "a.png", "--figure=look.png", "--json")
    assert result.code == 0 and {row["class"] for row in json.loads(result.out)[0]["classes"]} == set(CLASSES)
    result = call("report", "run")
    assert result.code == 0 and "Glyph" not in result.err
    assert json.dumps("猫")[1:-1] in (here / "run" / "report.html").read_text(encoding="utf-8")


def test_eval_finds_the_pictures_again_where_they_are_now(here):
    before = call("eval", "run", "--json")
    shutil.move("photos", "elsewhere")
    refused(call("eval", "run"), 1, "the pictures of this run are gone from", "--data-dir")
    moved = call("eval", "run", "--json", "--data-dir=elsewhere")
    assert before.code == moved.code == 0
    assert json.loads(before.out)["test_accuracy"] == json.loads(moved.out)["test_accuracy"]


@pytest.mark.parametrize("what", ["one more", "another", "one less"])
def test_changed_pictures_are_noticed(here, what):
    first = here / "photos" / "猫" / "00.png"
    if what == "one less":
        first.unlink()
    else:
        (first if what == "another" else first.with_name("99.png")).write_bytes(picture(99))
    refused(call("eval", "run"), 1, "has other pictures than this run was begun with")


def test_a_picture_that_breaks_later_is_not_to_be_skipped(here):
    (here / "photos" / "猫" / "00.png").write_bytes(b"no picture")
    result = call("eval", "run")
    refused(result, 1, "restore the pictures")
    assert "--skip-broken" not in result.err


@pytest.mark.parametrize("bad", [{"class_names": [1, 2, 3]}, {"class_names": ["a"]}, {"classes": 2}, {"channels": 1}])
def test_a_description_that_is_none(here, bad):
    config = json.loads((here / "run" / "config.json").read_text(encoding="utf-8"))
    change(here / "run" / "config.json", pictures=config["pictures"] | bad)
    refused(call("predict", "run", "a.png"), 1, "is not a run's configuration")


def test_a_converted_model_is_fed_what_the_run_is(here):
    assert call("convert", "run", "hf").code == 0
    prepared = json.loads((here / "hf" / "preprocessor_config.json").read_text(encoding="utf-8"))
    assert prepared["do_center_crop"] is True


def test_a_probe_reads_pictures_too(here):
    result = call("probe", "run", "photos", "--shots", "1", "2")
    assert result.code == 0 and "2 of each class" in result.out


def test_the_latest_run_of_a_name_is_not_that_of_a_longer_one(tmp_path):
    for name in ("digits-1", "digits-photos-1", "digits-x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    assert latest_run("digits", tmp_path) == tmp_path / "digits-1"
    assert latest_run("digits-photos", tmp_path) == tmp_path / "digits-photos-1"
    assert latest_run(None, tmp_path).name in ("digits-1", "digits-photos-1")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["train", "--preset=pictures"], "name their folder or .zip"),
        (["train", "--model"], "expected one argument"),
        (["train", "--out=run", "--resume", "--widths=4,4"], "--widths: a Vision Transformer has no such setting"),
    ],
)
def test_one_line_each(here, words, line):
    refused(call(*words), 2, line)


def test_an_option_that_the_saved_model_does_not_have(here):
    assert call("train", "digits", "--model=cnn", "--widths=4", "--epochs=1", "--out=rc").code == 0
    (here / "rc" / "metrics.json").unlink()
    refused(call("train", "--out=rc", "--resume", "--model=vit", "--dim=8"), 2, "contradicts the saved run")
    refused(call("train", "--out=rc", "--resume", "--widths=8"), 2, "--widths 8 contradicts")


def test_an_evaluation_draws_for_each_example_whoever_computes_it():
    data = tinyvit.load_data("digits")
    config = MaskedConfig(
        tinyvit.ViTConfig(image=8, channels=1, patch=2, dim=8, depth=1, heads=2, mlp_dim=8, classes=10)
    )
    recipe = Recipe(epochs=1, micro_batch=17)
    p, history = tinyvit.fit(config, data, recipe=recipe, seed=4, workers=1, progress=False)
    scores = [
        evaluate(data[1], p, config, batch=batch, workers=workers) for batch, workers in ((32, 1), (5, 2), (7, 3))
    ]
    for score in scores:
        assert score["accuracy"] == history[-1]["test_accuracy"]
        np.testing.assert_allclose(score["loss"], history[-1]["test_loss"], rtol=1e-5)


def test_a_run_without_its_broken_pictures_is_measured_without_them(here):
    shutil.move("photos", "my photos")
    (here / "my photos" / "猫" / "00.png").write_bytes(b"no picture")
    done = call("train", "my photos", *TINY, "--validation=0.3", "--skip-broken", "--out=rest")
    assert done.code == 0, done.err
    assert call("eval", "rest").code == 0
    words = shlex.split(open_run(here / "rest").settings.command)
    assert words[2] == str(here / "my photos") and words[-1] == "--skip-broken"
