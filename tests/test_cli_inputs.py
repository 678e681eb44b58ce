"""A model is fed what it learned, whatever file it lies in: the run's answers, or a refusal, never a guess."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tinyvit
from tests.data.paint import paint, picture
from tests.reference.compare import cast, random_vit
from tests.training.helpers import call, contents, fails, isolated, put_run
from tests.training.test_checkpoint import description
from tinyvit import trees
from tinyvit.data import DATASETS, prepare, read_image
from tinyvit.data.photos import Preparation
from tinyvit.ops.softmax import softmax
from tinyvit.training.checkpoint import load_for_use, load_training, save
from tinyvit.weights.load import load_weights

NOTHING = "does not say what the model was trained on"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder, no data set to be found by accident, and no network."""
    return isolated(tmp_path, monkeypatch)


def draw(name="drawn.png"):
    """Dark ink on light paper, off the middle: without preparation it is another picture. Returns the file's name."""
    paper = np.full((90, 120), 235, np.uint8)
    paper[10:60, 70:80], paper[50:60, 50:80] = 20, 20
    Image.fromarray(paper).save(name)
    return name


def answer(*argv):
    """What `tinyvit predict ... --json` says of one picture."""
    result = call("predict", *argv, "--json")
    assert result.code == 0, result
    (found,) = json.loads(result.out)
    return found


def without_inputs(path, config):
    """A file as version 0.2 wrote it: nothing in it says what the model is fed."""
    p, _ = tinyvit.load(path)
    tinyvit.save(path, p, config)
    return path


COPIES = {  # how a run's model comes to lie elsewhere
    "copy.npz": lambda: shutil.copy("run/model.npz", "copy.npz"),
    "kept.npz": lambda: shutil.copy("run/checkpoint.npz", "kept.npz"),
    "suffixless": lambda: shutil.copy("run/model.npz", "suffixless"),
    "run/model.npz": lambda: None,
    "run/checkpoint.npz": lambda: None,
    "own.npz": lambda: call("convert", "run", "own.npz"),
    "hf": lambda: call("convert", "run", "hf"),
    "timm": lambda: call("convert", "run", "timm", "--to=timm"),
    "again.npz": lambda: [call("convert", "run", "timm", "--to=timm"), call("convert", "timm", "again.npz")],
    "old.npz": lambda: without_inputs(shutil.copy("run/model.npz", "old.npz"), tinyvit.load("run/model.npz")[1]),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_model_answers_as_the_run_does_wherever_it_lies(name):
    put_run("run")
    expected = answer("run", draw())
    assert any("inverted" in note for note in expected["notes"]) and expected["classes"][0]["class"] in "0123456789"
    COPIES[name]()
    if name == "old.npz":
        for command in ("predict", "features", "numerics"):
            fails(Path(), [command, name, "drawn.png"], NOTHING, "--data, one of digits, mnist", code=2)
        assert answer(name, "drawn.png", "--data=digits") == expected
        assert call("convert", name, "mended.npz", "--data=digits").code == 0
        name = "mended.npz"
    assert answer(name, "drawn.png") == expected
    for model, file in (("run", "a.npy"), (name, "b.npy")):
        assert call("features", model, "drawn.png", "--out", file).code == 0
    np.testing.assert_allclose(np.load("b.npy"), np.load("a.npy"), atol=1e-6)


def test_a_run_on_pictures_of_ones_own_too():
    paint(Path("photos"), {"cats": 8, "dogs": 8})
    options = ["--image=8", "--patch=4", "--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8", "--epochs=2"]
    assert call("train", "photos", *options, "--batch=4", "--validation=0.3", "--workers=1", "--out=run").code == 0
    Path("a.png").write_bytes(picture(5, size=(30, 20)))
    expected = answer("run", "a.png")
    assert {row["class"] for row in expected["classes"]} == {"cats", "dogs"}
    shutil.copy("run/model.npz", "copy.npz")
    assert call("convert", "copy.npz", "hf").code == 0
    for name in ("copy.npz", "hf"):
        assert answer(name, "a.png") == expected


def test_published_weights_keep_their_preparation_and_names_in_tinyvits_own_file():
    config = tinyvit.ViTConfig(image=16, patch=4, dim=24, depth=1, heads=3, mlp_dim=40, classes=3)
    how = Preparation(16, "bicubic", antialias=False, crop=0.9, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), squash=True)
    tinyvit.save_weights("hf", cast(random_vit(config), np.float32), config, class_names=["a", "b", "c"])
    assert call("convert", "hf", "own.npz").code == 0
    Path("a.png").write_bytes(picture(5, size=(30, 20)))
    found, expected = answer("own.npz", "a.png"), answer("hf", "a.png")
    for one, other in zip(found.pop("classes"), expected.pop("classes"), strict=True):
        assert one["class"] == other["class"]
        assert one["probability"] == pytest.approx(other["probability"], abs=2e-6)  # arranged otherwise in memory
    assert found == expected
    tinyvit.save("other.npz", *tinyvit.load("own.npz"), preparation=how, class_names=["a", "b", "c"])
    assert load_for_use("other.npz")[2].preparation == how


# ---- a run that is not finished


def test_a_stopped_run_answers_with_its_average_so_far():
    """The checkpoint's average is given other numbers than its last weights, to tell them apart."""
    put_run("run", model=None, metrics=None)
    n = tinyvit.count(tinyvit.load("run/checkpoint.npz")[0])
    like = {name: ((n,), None) for name in ("moment1", "moment2", "average")} | {"step": ((), "int64")}
    p, config, training = load_training("run/checkpoint.npz", like)
    training["average"] = training["average"] + np.random.default_rng(0).normal(0, 0.5, n).astype(np.float32)
    save("run/checkpoint.npz", p, config, dataset="digits", training=training)
    images, _ = prepare(read_image(draw()), DATASETS["digits"])
    expected = softmax(tinyvit.vit(images[None], trees.views(training["average"], like=p), config)[0])[0][0]
    shutil.copy("run/checkpoint.npz", "kept.npz")
    for model in ("run", "run/checkpoint.npz", "kept.npz"):
        result = call("predict", model, "drawn.png", "--json", "--top=10")
        found = {row["class"]: row["probability"] for row in json.loads(result.out)[0]["classes"]}
        np.testing.assert_allclose([found[str(k)] for k in range(10)], expected, atol=2e-6)
        assert f"the average of the weights after step {training['step']} of training is taken" in result.err
        assert ("is not finished" in result.err) == (model != "kept.npz")
    fails(Path(), ["eval", "run"], "not finished", "--resume", code=1)


# ---- what is refused


def test_eval_takes_the_file_in_a_run_as_predict_does():
    put_run("run")
    shutil.copy("run/model.npz", "copy.npz")
    assert call("eval", "run/model.npz") == call("eval", "run")
    fails(Path(), ["eval", "copy.npz"], "no run in copy.npz: it is a file, expected the folder of a run", code=1)


REFUSED = {
    "run drawn.png --data mnist": "the run in run is on digits, leave it out",
    "hf drawn.png --data mnist": "is not a file of tinyvit's own",
    "old.npz drawn.png --data cifar-10": "channels are 10 and 1, those of cifar-10 are 10 and 3",
    "old.npz drawn.png --data cats": "expected one of digits, mnist",
    "copy.npz drawn.png --data mnist": "copy.npz is on digits, leave it out",
    "photos.npz drawn.png --data mnist": "photos.npz is on photos, leave it out",
}


@pytest.mark.parametrize("words", REFUSED)
def test_data_that_cannot_be_the_models(words):
    put_run("run")
    draw()
    COPIES["hf"]()
    COPIES["old.npz"]()
    COPIES["copy.npz"]()
    tinyvit.save("photos.npz", *tinyvit.load("old.npz"), preparation=Preparation(8))
    result, before = call("predict", *words.split()), contents(Path())
    assert result.code in (1, 2) and REFUSED[words] in result.err and result.err.count("\n") == 1
    assert contents(Path()) == before


def test_a_model_of_other_data_in_a_runs_folder():
    """Its classes would be named as the run's are."""
    put_run("run")
    clothes = DATASETS["digits"].class_names[::-1]
    other = dataclasses.replace(DATASETS["digits"], name="clothes", class_names=clothes)
    for name in ("model.npz", "checkpoint.npz"):
        tinyvit.save(f"run/{name}", *tinyvit.load(f"run/{name}"), dataset=other)
    for words in (["predict", "run", draw()], ["predict", "run/checkpoint.npz", "drawn.png"], ["eval", "run"]):
        fails(Path(), words, "is of a model trained on clothes, the run is on digits: restore it", code=1)


def test_a_model_that_others_trained_on_is_no_longer_of_its_data_set():
    """Other libraries keep the key in config.json that they do not know, and change the classes."""
    put_run("run")
    assert call("convert", "run", "hf").code == 0 and load_weights("hf")[2].dataset == DATASETS["digits"]
    described = json.loads(Path("hf/config.json").read_text())
    described["id2label"]["3"] = "cat"
    Path("hf/config.json").write_text(json.dumps(described))
    assert load_weights("hf")[2].dataset is None
    assert "inverted" not in str(answer("hf", draw())["notes"])


@pytest.mark.parametrize("name", ["run", "copy.npz", "hf", "timm"])
def test_what_is_asked_for_in_place_of_what_the_model_says_is_said(name):
    put_run("run")
    COPIES.get(name, lambda: None)()
    heads = tinyvit.load("run/model.npz")[1].heads
    result = call("predict", name, draw(), f"--heads={2 * heads}")
    assert result.code == 0 and re.search(f"{2 * heads}.*, as asked for, in place of {heads}, as .* says", result.err)
    assert "asked for" not in call("predict", name, "drawn.png", f"--heads={heads}").err


GOOD = dataclasses.asdict(DATASETS["digits"])
FORGED = {
    "no table": 3,
    "names that are no text": GOOD | {"class_names": list(range(10))},
    "names of fewer classes": GOOD | {"class_names": ["a"]},
    "names that are text": GOOD | {"class_names": "0123456789"},
    "no side": GOOD | {"side": 0},
    "a huge side": GOOD | {"side": 10**9},
    "a side of text": GOOD | {"side": "8"},
    "ink outside": GOOD | {"ink_centre": 80},
    "no ink": GOOD | {"ink_box": 0},
    "endless ink": GOOD | {"ink_box": float("nan")},
    "half of the ink": GOOD | {"ink_spread": None},
    "two channels": GOOD | {"channels": 2},
    "photos of text": GOOD | {"photos": "yes"},
    "unknown": GOOD | {"wings": 2},
    "too little": {"name": "digits", "class_names": []},
}


@pytest.mark.parametrize("dataset", FORGED.values(), ids=FORGED)
def test_forged_descriptions_are_one_line(dataset):
    put_run("run")
    p, config = tinyvit.load("run/model.npz")
    entry = description(config=dataclasses.asdict(config), dataset=dataset)
    np.savez("forged.npz", config=entry, **trees.named(p))
    fails(Path(), ["predict", "forged.npz", draw()], "forged.npz has a configuration that cannot be read", code=1)
    assert call("convert", "run", "hf").code == 0
    written = json.loads(Path("hf/config.json").read_text())
    Path("hf/config.json").write_text(json.dumps(written | {"tinyvit": {"dataset": dataset}}))
    fails(Path(), ["predict", "hf", "drawn.png"], "config.json", code=1)


@pytest.mark.parametrize("photos", [3, {}, {"antialias": 1}, {"antialias": True, "mean": ["a"]}])
def test_so_are_forged_descriptions_of_photographs(photos):
    put_run("run")
    p, config = tinyvit.load("run/model.npz")
    entry = description(config=dataclasses.asdict(config), photos=photos)
    np.savez("forged.npz", config=entry, **trees.named(p))
    fails(Path(), ["predict", "forged.npz", draw()], "forged.npz has a configuration that cannot be read", code=1)


# ---- in Python


def test_save_writes_just_that_path_and_knows_the_home(monkeypatch, here):
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("USERPROFILE", str(here))
    put_run("run")
    p, config = tinyvit.load("~/run/model.npz")
    tinyvit.save("~/mine", p, config, dataset="digits")
    assert Path("mine").is_file() and not Path("mine.npz").exists()
    assert tinyvit.load("mine")[1] == config
    assert read_image("~/" + draw()).shape == (90, 120, 1)
    tinyvit.save_weights("~/hf", p, config, dataset=DATASETS["digits"])
    assert load_weights("~/hf")[2].dataset == DATASETS["digits"]
    assert answer("~/mine", "~/drawn.png")["classes"] == answer("run", "drawn.png")["classes"]
    with pytest.raises(tinyvit.TinyvitError, match="dataset is 'cats': expected one of digits, mnist"):
        tinyvit.save("mine", p, config, dataset="cats")


def test_a_home_that_no_shell_has_put_in(monkeypatch, here):
    """As in --out=~/name: bash leaves it as it is. A run in the way is seen, and no folder is called ~."""
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("USERPROFILE", str(here))
    put_run("run")
    before = contents(Path("run"))
    fails(Path(), ["convert", "run", "~/run"], "holds a config.json that is not of weights", code=2)
    fails(Path(), ["train", "digits", "--out=~/run"], "exists and is not empty", code=2)
    assert contents(Path("run")) == before
    assert call("features", "run", draw(), "--out=~/a.npy").code == call("convert", "run", "~/b.npz").code == 0
    assert {path.name for path in Path().iterdir()} == {"run", "drawn.png", "a.npy", "b.npz"}
