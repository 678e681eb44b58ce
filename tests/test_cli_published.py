"""The commands on published models that answer in other ways: several labels, numbers, none; rectangles; addresses."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file, save_file

import tinyvit
from tests.golden.make_published import FOLDER as PUBLISHED
from tests.golden.make_weights import FOLDER
from tests.training.helpers import SMALL, call, fails, isolated
from tinyvit import load_weights, vit
from tinyvit.data import read_image
from tinyvit.data.photos import prepare_photo


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder with a picture in it, and no data set to be found by accident."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return isolated(tmp_path, monkeypatch)


@pytest.fixture
def hf(here):
    """Writes Hugging Face's model, with something else in its config.json, and another head."""

    def write(head=None, **described):
        shutil.copytree(FOLDER / "classifier", "hf")
        a, config = load_file("hf/model.safetensors"), json.loads(Path("hf/config.json").read_text())
        if head:
            save_file(a | {f"classifier.{name}": head(a[f"classifier.{name}"]) for name in ("weight", "bias")}, "hf/x")
            Path("hf/x").rename("hf/model.safetensors")
        Path("hf/config.json").write_text(json.dumps(config | described))
        return "hf"

    return write


def logits(model):
    """What the model itself says of the picture."""
    p, config, notes = load_weights(model)
    return vit(prepare_photo(read_image("a.png"), notes.preparation, config.channels)[None], p, config)[0][0]


def predicted(*argv):
    (found,) = json.loads(call("predict", *argv, "a.png", "--json").out)
    return found


def converted(name):
    """The model itself, and what `convert` makes of it: everywhere it is the same."""
    assert call("convert", name, "own.npz").code == call("convert", name, "other").code == 0
    return (name, "own.npz", "other")


def test_several_labels_have_a_sigmoid_each(hf):
    name = hf(problem_type="multi_label_classification")
    expected = 1 / (1 + np.exp(-logits(name)))
    assert abs(expected.sum() - 1) > 0.5
    for model in converted(name):
        found = {c["class"]: c["probability"] for c in predicted(model, "--top=7")["classes"]}
        assert np.allclose([found[f"class {k}"] for k in range(7)], expected, atol=2e-6)
    best = expected.argmax()
    assert f"a.png: class {best} ({100 * expected[best]:.1f} %)" in call("predict", name, "a.png").out


def test_a_regression_answers_with_its_numbers(hf):
    name = hf(problem_type="regression")
    for model in converted(name):
        values = predicted(model)["values"]
        assert list(values) == [f"class {k}" for k in range(7)] and np.allclose(list(values.values()), logits(name))
    refused = call("numerics", name, "a.png")
    assert refused.code == 2 and "expected one that answers with a single class" in refused.err
    result = call("predict", name, "a.png", "--figure=look.png")
    assert "%" not in result.out and f"class 0 {logits(name)[0]:.4g}, class 1 " in result.out and result.code == 0


@pytest.mark.parametrize("said", [None, "regression", "multi_label_classification"])
def test_one_output_is_never_certain_because_it_is_alone(hf, said):
    name = hf(lambda a: a[:1], id2label={"0": "age"}, problem_type=said)
    (number,) = logits(name)
    result = call("predict", name, "a.png")
    sigmoid = 1 / (1 + np.exp(-number))
    expected = f"age ({100 * sigmoid:.1f} %)" if said == "multi_label_classification" else f"age {number:.4g}"
    assert result.out == f"a.png: {expected}\n" and "100.0 %" not in result.out


def test_a_head_of_zeros_names_no_classes(hf, here):
    name = hf(np.zeros_like)
    fails(here, ["predict", name, "a.png"], "no head that was trained", "tinyvit features", code=2)
    result = call("features", name, "a.png")
    assert result.code == 0 and "its head is of zeros" in result.err and np.load("features.npy").shape == (1, 24)


ADDRESSES = [
    ("google/vit-base-patch16-224", "nothing is downloaded: fetch config.json, model.safetensors and preprocessor"),
    ("https://huggingface.co/google/vit-base-patch16-224", "is an address: nothing is downloaded"),
    ("gs://vit_models/augreg/Ti_16.npz", "is an address: nothing is downloaded"),
    ("hf-hub:timm/vit_tiny_patch16_224.augreg_in21k", "is an address: nothing is downloaded"),
]


@pytest.mark.parametrize(("address", "words"), ADDRESSES)
def test_what_lies_elsewhere_is_said_to(here, address, words):
    for argv in (["predict", address, "a.png"], ["convert", address, "out"], ["train", "digits", "--from", address]):
        fails(here, argv, words, code=1)
    with pytest.raises(tinyvit.TinyvitError, match=words):
        load_weights(address)


@pytest.mark.parametrize("name", ["gone/model.npz", "gone/model.safetensors", "gone/model.pth"])
def test_a_file_in_a_folder_that_is_not_there(here, name):
    fails(here, ["predict", name, "a.png"], f"no file at {name}", code=1)


def test_the_home_folder(hf, here, monkeypatch):
    hf()
    monkeypatch.setenv("HOME", str(here))
    monkeypatch.setenv("USERPROFILE", str(here))
    assert load_weights("~/hf")[1] == load_weights("hf")[1]
    assert predicted("~/hf") == predicted("hf")


def test_a_size_that_patches_do_not_fill():
    with pytest.raises(tinyvit.TinyvitError) as caught:
        load_weights(FOLDER / "classifier", image=222)
    words = "image is 222, and the weights' patches have 8 pixels: expected a multiple of 8, such as 216 or 224"
    assert str(caught.value) == words


def test_a_rectangular_model():
    model = str(PUBLISHED / "rectangle")
    expected = logits(model).argmax()
    assert logits(model).shape == (5,) and load_weights(model)[1].image == (8, 32)
    assert call("convert", model, "own.npz").code == 0
    assert call("convert", model, "other", "--to=timm").code == 0
    for name in (model, "own.npz", "other"):
        assert predicted(name)["classes"][0]["class"] == f"class {expected}"
    assert call("predict", model, "a.png", "--figure=look.png").code == 0
    assert call("features", model, "a.png").code == 0
    table = call("numerics", model, "a.png").out
    assert "positions, 2 x 8 to 3 x 12" in table


@pytest.mark.parametrize("name", ["avg_fc_norm", "avg_norm", "no_class_token_fc_norm", "no_class_token_norm"])
def test_average_pooling(name):
    """Features are what the head reads; of a layer, the mean of its patches; the figure says whose attention it is."""
    model = str(PUBLISHED / name)
    p, config, notes = load_weights(model)
    image = prepare_photo(read_image("a.png"), notes.preparation)[None]
    _, c = vit(image, p, config)
    assert call("features", model, "a.png").code == 0
    assert np.allclose(np.load("features.npy"), c["head"]["x"], atol=1e-6)
    assert call("features", model, "a.png", "--layer=2").code == 0
    patches = c["readout"]["z"][:, int(config.class_token) :]
    assert np.allclose(np.load("features.npy"), patches.mean(axis=1), atol=1e-6)
    assert call("predict", model, "a.png", "--figure=look.svg").code == 0
    assert "attention of the average patch" in Path("look.svg").read_text()


def test_a_run_on_rectangles():
    assert call("train", "digits", *SMALL, "--image=8x16", "--patch=4", "--out=run").code == 0
    p, config = tinyvit.load("run/model.npz")
    assert (config.image, config.grid_size, p["pos"].shape) == ((8, 16), (2, 4), (9, 8))
    digit = tinyvit.load_data("digits")[1][0][0, :, :, 0]
    np.save("digit.npy", ((digit + 1) / 2).astype(np.float32))
    _, (x, _) = tinyvit.load_data("digits", size=(8, 16))
    (said,) = json.loads(call("predict", "run", "digit.npy", "--json").out)
    assert said["classes"][0]["class"] == str(vit(x[:1], p, config)[0].argmax())
    assert call("train", "--resume", "--out=run").code == 0
    assert call("report", "run").code == 0, "and so is each figure of `plot`"
    page = Path("run/report.html").read_text()
    assert "--image 8x16" in page and 'id="explorer"' not in page


def test_shapes_of_rectangles(here):
    assert "[128, 192]" in call("shapes", "Ti/16", "--image=128x256").out
    fails(here, ["shapes", "--image=32x"], "found '32x'", "32x128", code=2)
    fails(here, ["shapes", "--image=32x33"], "patch 16 does not divide image 32 x 33", code=2)
    fails(here, ["shapes", "--image=32x64", "--position=2d"], "position 2d is of square images", code=2)
