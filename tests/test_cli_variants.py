"""Every command that looks at a model, on variants of it that together have all choices of a config."""

import re

import numpy as np
import pytest
from PIL import Image

from tests.training.helpers import SMALL, call, fails, isolated
from tinyvit.doctor import learning
from tinyvit.models.config import CHOICES, ViTConfig

ORDERED = ("2d", "sinusoidal")  # positions that are added before the first block, or the same in all: there is a table
VARIANTS = [
    dict(pool="mean", position="relative", position_at="shared", norm="post", scale="none", attention="local"),
    dict(pool="patch_mean_norm", position="2d", attention="window"),
    dict(pool="patch_mean", position="sinusoidal", position_at="shared", norm="post", attention="linear"),
    dict(position="1d", position_at="layers", gelu="tanh", attention="axial"),
    dict(pool="mean_norm", position="none", position_at="layers"),
    dict(attention="sliding"),
    dict(attention="strided"),
    dict(attention="fixed"),
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder with a picture in it; and the doctor's trials are short, for here they need not tell."""
    monkeypatch.setattr(learning, "STEPS", 4)
    monkeypatch.setitem(learning.OVERFIT, "steps", 4)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)).save(tmp_path / "a.png")
    return isolated(tmp_path, monkeypatch)


def runs(*argv, code=(0,)):
    """What the command prints."""
    result = call(*argv)
    assert result.code in code, result
    assert "Traceback" not in result.err
    return result.out


def test_all_choices_are_among_the_variants():
    for name, table in CHOICES.items():
        assert {variant.get(name, getattr(ViTConfig(), name)) for variant in VARIANTS} == set(table)


def trained(variant):
    """A short run in the folder `run`; returns the variant's options."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in variant.items()]
    runs("train", "digits", *SMALL, "--depth=2", *options, "--out=run")
    return options


def called(variant):
    return " ".join(variant.values())


@pytest.mark.parametrize("variant", VARIANTS[:3], ids=called)
def test_every_figure(variant, here, monkeypatch):
    trained(variant)
    if variant is not VARIANTS[0]:  # drawn, but not written: that takes the longest, and is the same for all
        monkeypatch.setattr("tinyvit.commands.plot.save_figure", lambda figure, path: None)
    assert runs("predict", "run", "a.png", "--figure=look.png").startswith("a.png: ")
    drawn = runs("plot", "run")
    assert ("positions: " in drawn) == (variant["position"] in ORDERED)
    who = "the average patch" if "pool" in variant else "the class token"
    assert f"Where {who}, from which the answer is read" in drawn
    runs("report", "run")
    page = (here / "run" / "report.html").read_text()
    assert page.count("<h2 ") == 3 + len(re.findall(r"^\w+: ", drawn, re.MULTILINE)), "and explorer, shapes, settings"


@pytest.mark.parametrize("variant", VARIANTS[5:], ids=called)
def test_other_patterns(variant):
    trained(variant)
    assert "of attention" not in runs("doctor", "run", code=(0, 1))
    assert runs("predict", "run", "a.png").startswith("a.png: ")


@pytest.mark.parametrize("variant", VARIANTS[:5], ids=called)
def test_every_command(variant, here):
    options = trained(variant)
    accuracy = re.search(r"test accuracy (.*) %", runs("eval", "run"))[1]
    assert f"test accuracy {accuracy} %" in runs("train", "digits", "--out=run", "--resume")
    assert runs("predict", "run", "a.png").startswith("a.png: ")
    found = runs("doctor", "run", code=(0, 1))
    assert ("order of the patches" in found) == (variant["position"] == "none")

    for more in ([], ["--layer=1"], ["--layer=2", "--pool=mean"]):
        runs("features", "run", "a.png", "--out=f.npy", *more)
        assert np.load("f.npy").shape == (1, 8)
    if variant.get("pool") == "mean":
        fails(here, ["features", "run", "a.png", "--layer=1", "--pool=class"], "has no class token")
    runs("probe", "run", "digits", "--shots=1", "--test=50")
    runs("numerics", "run", "a.png")
    ledger = runs("shapes", "digits", *options, "--backward").splitlines()
    assert any(line.startswith("g/pos") for line in ledger) == (variant["position"] not in ("sinusoidal", "none"))

    fails(here, ["convert", "run", "published"], "has no place", code=2)
    runs("convert", "run", "own.npz")
    assert runs("predict", "own.npz", "a.png") == runs("predict", "run", "a.png")
    larger = ["--from=run", "--epochs=1", "--batch=256", "--image=12", "--freeze=1", "--out=larger"]
    if variant["position"] in ("2d", "relative"):
        fails(here, ["train", "digits", *larger], "cannot be resized from 4 x 4: expected images of 8 pixels", code=2)
    else:
        runs("train", "digits", *larger)
    runs("train", "digits", *SMALL[:1], "--batch=256", "--from=run", "--freeze=1", "--out=tuned")


def test_the_patterns_of_a_models_blocks_are_drawn_and_counted(here):
    done = call("shapes", "S/16", "--attention=axial", "--pool=mean", "--depth=4", "--patterns=axial.png")
    assert done.err.splitlines() == [
        "blocks 1, 3: 196 tokens, 2,744 pairs, 7.14 %",
        "blocks 2, 4: 196 tokens, 2,744 pairs, 7.14 %",
        "written to axial.png",
    ]
    with Image.open(here / "axial.png") as picture:
        assert picture.size[0] > 400
    swin = call("shapes", "Swin-T", "--patterns=swin.png").err
    assert "block 2: 3,136 tokens, 135,424 pairs" in swin and "blocks 11, 12: 49 tokens, 2,401 pairs, 100 %" in swin
    fails(here, ["shapes", "mnist", "--model=cnn", "--patterns=a.svg"], "the model cnn has no attention", code=2)
