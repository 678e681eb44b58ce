"""Swins and hybrids written for other libraries, and by the commands: read back to the bit, opened by the libraries."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tinyvit
from tests.golden.make_weights import answer
from tests.reference.compare import assert_same_bits, cast, randomised
from tests.training.helpers import call, fails, isolated
from tests.weights.pyramids import golden
from tests.weights.tables import pictures
from tinyvit import load_weights, save_weights
from tinyvit.data import read_image
from tinyvit.data.photos import IMAGENET, Preparation, prepare_photo
from tinyvit.errors import UsageError
from tinyvit.models.config import ViTConfig
from tinyvit.models.hybrid import HybridConfig
from tinyvit.models.model import forward, model_of
from tinyvit.models.swin import SwinConfig

SWIN = SwinConfig(image=32, patch=2, dim=8, depths=(2, 2), heads=(2, 4), window=4, mlp_ratio=2, classes=5)
SHRINKING = replace(SWIN, depths=(1, 2, 1), heads=(2, 2, 4), window=8)
VIT = ViTConfig(image=8, channels=64, patch=2, dim=12, depth=1, heads=3, mlp_dim=20, classes=5)
ROOT = HybridConfig(VIT, image=32, units=(), group_eps=1e-5, standardise="var")
SAVED = {
    "swin for Hugging Face": (SWIN, "huggingface"),
    "swin for timm": (SWIN, "timm"),
    "tanh": (replace(SWIN, gelu="tanh"), "huggingface"),
    "grey": (replace(SWIN, channels=1), "timm"),
    "small last map": (SHRINKING, "timm"),
    "hybrid": (ROOT, "timm"),
    "hybrid that reads the mean": (ROOT.changed(pool="mean_norm"), "timm"),
}
LIVE = ["swin for Hugging Face", "tanh", "swin for timm", "small last map", "hybrid"]


def random(config):
    return randomised(model_of(config).init(None, config), noise=0.3)


@pytest.mark.parametrize("name", SAVED)
def test_there_and_back(tmp_path, name):
    config, target = SAVED[name]
    p, names = cast(random(config), "float32"), ("a", "b", "c", "d", "e")
    preparation = Preparation(32, "bicubic", crop=0.9, **IMAGENET)
    assert save_weights(tmp_path, p, config, target, class_names=names, preparation=preparation) == []
    q, found, notes = load_weights(tmp_path)
    assert found == config and notes.source == target and notes.class_names == names
    assert (notes.preparation.mean, notes.preparation.resample) == (IMAGENET["mean"], "bicubic")
    assert_same_bits(q, p)


@pytest.mark.parametrize("name", LIVE)
def test_the_library_opens_it(tmp_path, name):
    pytest.importorskip("torch")
    config, target = SAVED[name]
    p = cast(cast(random(config), "float32"), "float64")  # what the libraries' models of float32 can hold
    assert save_weights(tmp_path, p, config, target) == []
    if target == "huggingface":
        model = pytest.importorskip("transformers").SwinForImageClassification.from_pretrained(tmp_path)
    else:
        timm = pytest.importorskip("timm")
        described = json.loads((tmp_path / "config.json").read_text())
        sizes = described["model_args"] | {"num_classes": described["num_classes"]}
        file = str(tmp_path / "model.safetensors")
        if "act_layer" in sizes:
            sizes["act_layer"] = None
        model = timm.create_model(described["architecture"], checkpoint_path=file, **sizes)
    images = pictures(config)
    expected = forward({"images": images}, p, config, keep_cache=False)[0]
    assert abs(answer(model.eval(), images, "float64") - expected).max() < 1e-10


GOOGLES = {
    "hybrid": ROOT.changed(units=(1, 2), width=32, standardise="std", group_eps=1e-6, gelu="tanh"),
    "root": ROOT.changed(standardise="std", group_eps=1e-6, gelu="tanh"),
    "vit": replace(VIT, channels=3, gelu="tanh"),
    "vit with pre-logits": replace(VIT, channels=3, gelu="tanh", pre_logits=6),
    "vit that reads the mean": replace(VIT, channels=3, gelu="tanh", pool="mean"),
}


@pytest.mark.parametrize("name", GOOGLES)
def test_googles_there_and_back(tmp_path, name):
    config = GOOGLES[name]
    p = cast(random(config), "float32")
    (line,) = save_weights(tmp_path, p, config, "google")
    assert "name no classes" in line and [file.name for file in tmp_path.iterdir()] == ["model.npz"]
    q, found, notes = load_weights(tmp_path / "model.npz")
    assert found == config and notes.source == "google" and notes.preparation.antialias is False
    assert_same_bits(q, p)


REFUSED = {
    "small maps for Hugging Face": (SHRINKING, "huggingface", "16, 8, 4 tokens wide, are smaller than its windows, 8"),
    "tanh for timm": (replace(SWIN, gelu="tanh"), "timm", "gelu is tanh, for which timm's Swin has no place"),
    "odd maps for timm": (replace(SWIN, image=36, depths=(1, 1, 1), heads=(1, 1, 1)), "timm", "18, 9, 5 tokens wide"),
    "hybrid for Hugging Face": (ROOT, "huggingface", "transformers has no hybrids any more: expected timm"),
    "Swin for Google": (SWIN, "google", "Google's files hold no Swin: expected huggingface or timm"),
    "other groups for Google": (ROOT.changed(groups=4), "google", "groups are 4, for which Google has no place"),
    "a rectangle for Google": (replace(VIT, image=(8, 16)), "google", "images of 8 x 16; Google's files are of square"),
    "LayerNorm after the mean for Google": (replace(VIT, pool="mean_norm"), "google", "expected class or mean"),
    "other units": (ROOT.changed(units=(1, 2)), "timm", "units (1, 2), width 64 and 32 groups, for which timm has no"),
    "other groups": (ROOT.changed(groups=4), "timm", "and 4 groups, for which timm has no place"),
    "other positions": (ROOT.changed(position="2d"), "timm", "position is 2d, for which timm has no place"),
    "local attention": (VIT.changed(attention="local"), "timm", "attention is local, for which timm has no place"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_place(tmp_path, name):
    config, target, words = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        save_weights(tmp_path / "a", model_of(config).init(np.random.default_rng(0), config), config, target)
    assert words in str(caught.value) and "\n" not in str(caught.value) and not (tmp_path / "a").exists()


def test_what_is_lost_is_said(tmp_path):
    def lines(config, target):
        return save_weights(tmp_path, cast(random(config), "float32"), config, target)

    google = ROOT.changed(standardise="std", group_eps=1e-6)
    assert [line.partition(" is")[0] for line in lines(google, "timm")] == ["timm's standardise", "timm's group_eps"]
    changed = lines(ROOT.changed(eps=1e-3), "google")
    assert [line.partition(" is")[0] for line in changed[1:-1]] == ["Google's GELU"] + [
        f"Google's {name}" for name in ("standardise", "group_eps")
    ]
    assert "Google's LayerNorm has eps 1e-06, the model 0.001" in changed[0] and "no classes" in changed[-1]
    assert "eps 1e-05, the model 0.001" in lines(replace(SWIN, eps=1e-3), "timm")[0]
    assert "has eps 1e-05, not 0.001, after its patches" in lines(replace(SWIN, eps=1e-3), "huggingface")[0]
    assert "has eps 1e-05, not 0.001, after its patches" in str(load_weights(tmp_path)[2])
    assert "padded to whole windows, at which Hugging Face's" in lines(replace(SWIN, image=40), "huggingface")[0]


# ---- the commands


@pytest.fixture
def here(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return isolated(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["swin, Hugging Face", "swin, timm", "root, timm"])
def test_predict_and_convert(here, name):
    golden(name, here / "a")
    heads = ["--heads=3"] if name.startswith("root") else []
    p, config, notes = load_weights("a", heads=3 if heads else None)
    x = prepare_photo(read_image("a.png"), notes.preparation)
    expected = forward({"images": x[None]}, p, config)[0][0]
    best = f"class {expected.argmax()}"
    (found,) = json.loads(call("predict", "a", "a.png", "--json", *heads).out)
    assert found["classes"][0]["class"] == best
    assert np.isclose(found["classes"][0]["probability"], np.exp(expected).max() / np.exp(expected).sum(), atol=1e-5)
    assert call("convert", "a", "own.npz", *heads).code == 0
    (again,) = json.loads(call("predict", "own.npz", "a.png", "--json").out)
    assert again == found
    own = tinyvit.load("own.npz")
    assert own[1] == config
    if name.startswith("swin"):
        for target in ("timm", "huggingface"):
            assert call("convert", "own.npz", target, f"--to={target}").code == 0
            assert_same_bits(load_weights(target)[0], p)
        fails(here, ["convert", "own.npz", "google", "--to=google"], "Google's files hold no Swin")
    else:
        assert call("convert", "own.npz", "google", "--to=google").code == 0
        assert_same_bits(load_weights("google/model.npz")[0], p)
        fails(here, ["convert", "own.npz", "google.npz", "--to=google"], "google.npz: name a folder")
    assert Path("own.npz").stat().st_size < 200_000


def test_heads_of_a_swin(here):
    golden("swin, timm", here / "a")
    fails(here, ["predict", "a", "a.png", "--heads=2"], "the arrays of a Swin say how many heads it has")
