"""A name that is almost right is answered with the right one: on the command line, and in Python."""

import pytest

import tinyvit
from tests.training.helpers import call, fails, isolated, put_run
from tinyvit.names import nearest

MEANT = {  # what was typed: what was meant
    "trian": "train",
    "evaluate": "eval",
    "Train": "train",
    "train --lr 0.01": "--learning-rate",
    "train --batch-size 64": "--batch",
    "train --patchsize=2": "--patch",
    "train --num-layers 3": "--depth",
    "train digits --pathc 2": "--patch",
    "train MNIST": "mnist",
    "train mnsit": "mnist",
    "train --preset Mnist-Best": "mnist-best",
    "train --model ViT": "vit",
    "shapes B16": "B/16",
    "shapes ViT-B/16": "B/16",
    "bench b16": "B/16",
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    return isolated(tmp_path, monkeypatch)


@pytest.mark.parametrize("typed", MEANT)
def test_the_nearest_name_is_asked_for(here, typed):
    fails(here, typed.split(), f"did you mean {MEANT[typed]}?", code=2)


@pytest.mark.parametrize("typed", ["xyzzy", "train --xyzzy", "train xyzzy", "shapes xyzzy"])
def test_no_name_is_made_up(here, typed):
    fails(here, typed.split(), "xyzzy", code=2)
    assert "did you mean" not in call(*typed.split()).err


IN_PYTHON = {
    "PRESETS['b16']": (lambda: tinyvit.PRESETS["b16"], "no preset is named 'b16': did you mean B/16?"),
    "PRESETS['?']": (lambda: tinyvit.PRESETS["?"], "no preset is named '?': expected one of Ti/8, "),
    "RECIPES['MNIST']": (lambda: tinyvit.RECIPES["MNIST"], "no recipe is named 'MNIST': did you mean mnist?"),
    "shapes('B/16')": (lambda: tinyvit.shapes("B/16"), "expected a configuration, such as tinyvit.PRESETS['B/16']"),
    "shapes('ViT-L16')": (lambda: tinyvit.shapes("ViT-L16"), "tinyvit.PRESETS['L/16']"),
    "parameter_count(3)": (lambda: tinyvit.parameter_count(3), "found 3: expected a configuration"),
    "load_data('MNIST')": (lambda: tinyvit.load_data("MNIST"), "did you mean mnist?"),
}


@pytest.mark.parametrize("what", IN_PYTHON)
def test_in_python(here, what):
    call_it, words = IN_PYTHON[what]
    with pytest.raises(tinyvit.TinyvitError) as caught:
        call_it()
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_presets_are_a_dictionary_besides():
    assert tinyvit.PRESETS.get("b16") is None and "b16" not in tinyvit.PRESETS and "B/16" in tinyvit.PRESETS


def test_nearest():
    assert nearest("ViT", ["vit", "cnn"]) == "vit"
    assert nearest("", ["vit"]) is None


def test_a_wrong_place_is_refused_before_the_work(here, monkeypatch):
    put_run("run")
    (here / "notes.txt").write_text("mine")
    monkeypatch.setattr("tinyvit.report.inside.look_inside", None)  # no work may begin
    fails(here, ["plot", "run", "--out", "notes.txt"], "--out notes.txt is a file: name a folder", code=2)
    fails(
        here,
        ["report", "run", "--out", "nowhere/report.html"],
        "nowhere/report.html",
        "there is no such folder",
        code=2,
    )
    fails(here, ["report", "run", "--out", "run"], "is a directory", code=2)


def test_bench_refuses_before_it_prints(here):
    fails(here, ["bench", "T"], "'T'", "expected one of S, M, B/16", code=2)
