"""Every model of pictures from the command: trained, killed, resumed, measured, asked; or a line that says why not."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

import tinyvit
from tests.reliability.kills import TINY as EVERY_TINY
from tests.training import helpers
from tests.training.helpers import call, changed_json, fails, isolated
from tinyvit import trees
from tinyvit.layers.embedding import patch_embedding
from tinyvit.layers.layer_norm import layer_norm
from tinyvit.layers.swin_block import swin_block
from tinyvit.models.masked import encoder_of
from tinyvit.models.model import MODELS

TINY = {model: EVERY_TINY[model] for model in MODELS}
SHORT = ["--epochs=2", "--batch=128", "--seed=3"]
NOT_A_VIT = "this is a convolutional network"


def train(model, out, *options):
    """A short run of a model in the folder `out`."""
    result = call("train", "digits", f"--model={model}", *TINY[model], *SHORT, "--out", out, *options)
    assert result.code == 0, result.err
    return result


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder that holds a finished run of each model, named like it."""
    folder = tmp_path_factory.mktemp("finished")
    for model in TINY:
        train(model, folder / model)
    return folder


@pytest.fixture
def here(tmp_path, monkeypatch, finished):
    """A working folder with those runs, and a picture."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    isolated(tmp_path, monkeypatch)
    _, (x, _) = tinyvit.load_data("digits")
    Image.fromarray(((x[0, :, :, 0] + 1) * 127.5).round().astype(np.uint8)).save("a.png")
    return tmp_path


# ---- the same bits


@pytest.mark.parametrize("model", ["cnn", "masked", "swin", "hybrid", "convstem"])
def test_a_run_has_the_same_bits_with_any_number_of_workers(here, model):
    alone = helpers.outcome(here / model)
    for workers in (2, 3):
        train(model, f"workers{workers}", f"--workers={workers}")
        helpers.assert_same_outcome(helpers.outcome(here / f"workers{workers}"), alone)


# ---- what each can be asked


@pytest.mark.parametrize("model", TINY)
def test_its_name_is_kept_and_it_is_measured_again(here, model):
    assert json.loads((here / model / "config.json").read_text())["model"] == model
    _, config = tinyvit.load(here / model / "model.npz")
    assert type(config) is MODELS[model].config
    scores = json.loads(call("eval", model, "--json").out)
    assert scores["model"] == model
    metrics = json.loads((here / model / "metrics.json").read_text())
    if model == "masked":  # it draws other masks
        assert scores["test_loss"] == pytest.approx(metrics["test_loss"], rel=0.05)
    else:
        assert scores["test_accuracy"] == metrics["test_accuracy"]
        assert scores["test_loss"] == pytest.approx(metrics["test_loss"], rel=1e-5)
    again = call("train", "--resume", "--out", model)
    assert again.code == 0 and "is finished" in again.err and "test accuracy" in again.out
    result = call("train", "--resume", "--out", model, "--model=" + ("vit" if model == "cnn" else "cnn"))
    assert result.code == 2 and f"which has {model}: leave it out" in result.err


def test_a_cnn_names_the_class_of_a_picture(here):
    (found,) = json.loads(call("predict", "cnn", "a.png", "--json").out)
    p, config = tinyvit.load("cnn/model.npz")
    _, (x, _) = tinyvit.load_data("digits")
    y, _ = tinyvit.forward({"images": x[:1]}, p, config)
    assert found["classes"][0]["class"] == str(y.argmax())


def test_and_is_written_as_tinyvits_own_file(here):
    assert call("convert", "cnn", "own.npz").code == 0
    p, config = tinyvit.load("own.npz")
    expected, same = tinyvit.load("cnn/model.npz")
    assert config == same
    assert all((a == b).all() for a, b in zip(trees.leaves(p), trees.leaves(expected), strict=True))
    assert call("predict", "own.npz", "a.png").out == call("predict", "cnn", "a.png").out


WHY_NOT = {
    "predict masked a.png": "masked has no head that was trained, so it names no classes: try tinyvit features",
    "numerics masked a.png": "has no head",
    "predict cnn a.png --figure look.png": NOT_A_VIT,
    "convert cnn published": NOT_A_VIT,
    "features cnn a.png": NOT_A_VIT,
    "probe cnn digits": NOT_A_VIT,
    "numerics cnn a.png": NOT_A_VIT,
    "train digits --from cnn": NOT_A_VIT,
    "train digits --from vit --model cnn": "--from starts from the model of the weights: leave --model cnn out",
    "features swin a.png --layer 4": "layer 4: expected 1 to 3, the model's blocks",
    "features swin a.png --layer 1 --pool class": "the model has no class token",
    "train digits --from swin --window 3": "--window 3 contradicts the weights, which have 2: leave it out",
    "train digits --from swin --dropout 0.1": "--dropout: a Swin Transformer has no such setting, it has --image",
    "train digits --from vit --window 3": "--window: a Vision Transformer has no such setting, it has --image",
    "train digits --from swin --freeze 4": "freeze is 4: the model has 3 blocks, expected at most that",
    "predict cnn a.png --heads 2": "--heads: a convolutional network has no such setting",
    "train digits --model resnet": "resnet",
    "shapes digits --model resnet": "resnet",
    "train digits --model cnn --depth 3": "--depth",
    "train digits --model vit --widths 2,3": "--widths: a Vision Transformer has no such setting, it has --image",
    "train digits --model=cnn --dim=8": "--dim: a convolutional network has no such setting, it has --image, --widths;",
    "train digits --model vit --corrupted 0.3": "--corrupted",
    "train digits --model cnn --widths 2,x": "--widths",
    "train digits --model cnn --widths 0": "width 1 is 0",
    "train digits --model masked --corrupted 0": "corrupted is 0",
    "train digits --model cnn --freeze 1": "freeze is 1: the model has 0 blocks",
}


@pytest.mark.parametrize("words", WHY_NOT)
def test_why_not_is_one_line(here, words):
    fails(here, words.split(), WHY_NOT[words])


def test_features_and_a_probe_are_of_the_encoder(here):
    result = call("features", "masked", "a.png", "--out=f.npy", "--layer=1", "--pool=mean")
    assert result.code == 0 and np.load("f.npy").shape == (1, 8)
    assert "its encoder is taken" in result.err
    assert call("probe", "masked", "digits", "--shots=1", "--test=50").code == 0


def test_fine_tuning_starts_from_the_encoder(here):
    still = ["--epochs=1", "--batch=256", "--learning-rate=0", "--ema-decay=0", "--out=tuned"]
    result = call("train", "digits", "--from=masked", *still)
    assert result.code == 0 and "its encoder is taken, under a head of zeros" in result.err
    p, config = tinyvit.load("tuned/model.npz")
    whole, masked = tinyvit.load("masked/model.npz")
    start = encoder_of(whole, masked, np.random.default_rng(0))
    found, expected = trees.named(p), trees.named(start)
    assert all((found[name] == expected[name]).all() for name in expected if not name.startswith("head"))
    assert config.dropout == 0 and not p["head"]["w"].any()


@pytest.mark.parametrize("model", ["swin", "hybrid", "convstem"])
def test_a_transformer_of_another_kind_is_looked_into_and_gone_on_with(here, model, monkeypatch):
    """All that a ViT can be asked."""
    monkeypatch.setattr("tinyvit.commands.plot.save_figure", lambda figure, path: None)  # it takes the longest
    drawn = call("plot", model).out
    for name in ("attention", "rollout", "distance", "filters"):
        assert re.search(rf"^{name}: ", drawn, re.MULTILINE)
    assert ("first convolution's" in drawn) == (model != "swin") == ("the class token, from which" in drawn)
    assert ("standardised kernels" in drawn) == (model == "hybrid")
    assert call("report", model).code == 0
    page = (here / model / "report.html").read_text()
    assert 'id="explorer"' in page and "explorer is left out" not in page
    assert ("after a merging there are fewer" in page) == (model == "swin")
    assert call("predict", model, "a.png", "--figure=look.png").code == 0 and (here / "look.png").exists()

    p, config = tinyvit.load(f"{model}/model.npz")
    _, (x, _) = tinyvit.load_data("digits")
    _, c = tinyvit.forward({"images": x[:1]}, p, config)
    for options, expected in [([], c["head"]["x"]), (["--layer=1", "--pool=mean"], _first_block(x[:1], c, p, config))]:
        assert call("features", model, "a.png", "--out=f.npy", *options).code == 0
        np.testing.assert_allclose(np.load("f.npy"), expected, atol=0.02)  # the picture is rounded
    assert call("probe", model, "digits", "--shots=1", "--test=50").code == 0
    assert "precision" in call("numerics", model, "a.png").out

    assert call("convert", model, "own.npz").code == 0
    still = ["--epochs=1", "--batch=256", "--ema-decay=0", "--freeze=1"]
    for source, image in ((model, 8), ("own.npz", 16)):
        result = call("train", "digits", f"--from={source}", *still, f"--image={image}", f"--out=tuned{image}")
        assert result.code == 0, result.err
        found, larger = tinyvit.load(f"tuned{image}/model.npz")
        assert type(larger) is type(config) and larger.image == image
        still_there = {"swin": "stages/0/blocks/0", "hybrid": "resnet", "convstem": "stem"}[model]
        moved = {name for name, leaf in trees.walk(found) if not np.array_equal(leaf, trees.named(p)[name])}
        assert moved and not any(name.startswith(still_there) for name in moved)
    assert call("train", "--out=tuned8", "--resume").code == 0


def _first_block(x, c, p, config):
    """The mean over the patches of the stream after the first block, which of the others is also the last."""
    if "stages" not in c:
        return c["readout"]["class_row"]["z"][:, 1:].mean(axis=1)
    z, _ = patch_embedding(x, p["patch"], patch=config.patch)
    z, _ = layer_norm(z, p["patch_ln"], eps=config.eps)
    z, _ = swin_block(z.reshape(1, 4, 4, 8), p["stages"][0]["blocks"][0], heads=2, eps=config.eps)
    return z.mean(axis=(1, 2))


@pytest.mark.parametrize("model", ["cnn", "masked"])
def test_the_doctor_finds_no_fault_in_a_healthy_model_but_that_it_was_trained_too_little(here, model):
    small = ["--depth=1", "--heads=2", "--mlp-dim=16", "--dim=16", "--learning-rate=0.01"]
    options = {"cnn": ["--widths=8,16", "--learning-rate=0.03"], "masked": small}[model]
    assert call("train", "digits", f"--model={model}", *options, "--epochs=1", "--batch=64", "--out=whole").code == 0
    said = json.loads(call("doctor", "whole", "--json").out)
    assert {finding["check"] for finding in said["findings"]} - {"settings", "predictions", "colours"} == set(), said


# ---- a run of a later version


@pytest.mark.parametrize("argv", ["eval vit", "train --resume --out vit", "predict vit a.png", "doctor vit"])
def test_a_run_of_a_model_that_this_version_does_not_know(here, argv):
    path = here / "vit" / "config.json"
    path.write_bytes(changed_json(path.read_bytes(), model="perceiver"))
    fails(here, argv.split(), "no model is named 'perceiver' in this version: expected one of vit, cnn, ", code=1)


# ---- old names of options


@pytest.mark.parametrize(
    ("old", "new", "value"),
    [("average", "ema_decay", 0.5), ("clip", "clip_norm", 0.7), ("smoothing", "label_smoothing", 0.2)],
)
def test_old_options_work_with_a_notice(here, old, new, value):
    result = call("train", "digits", *TINY["vit"], *SHORT, f"--{old}={value}", "--out=run")
    notice = f"tinyvit: --{old} is now --{new.replace('_', '-')}; the old name will go"
    assert result.code == 0 and result.err.splitlines().count(notice) == 1
    assert json.loads((here / "run" / "config.json").read_text())["recipe"][new] == value


def test_so_does_the_probes_strength(here):
    options = ["probe", "vit", "digits", "--shots=1", "--test=20"]
    old, new = call(*options, "--strength=0.5"), call(*options, "--l2=0.5")
    assert (old.code, old.out) == (0, new.out)
    assert re.findall(r"is now.*", old.err) == ["is now --l2; the old name will go"] and "is now" not in new.err
