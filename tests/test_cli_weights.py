"""The commands that take weights: published files, tinyvit's own and runs; and fine-tuning from any of them."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import tinyvit
from tests.golden.make_weights import FOLDER
from tests.reference.compare import assert_close, assert_same_bits, cast, random_vit
from tests.training.helpers import SMALL, call, changed_json, contents, fails, isolated, put_run
from tests.weights.tables import arrays
from tinyvit import ViTConfig, load_weights, save_weights, vit
from tinyvit.commands import predict
from tinyvit.commands.models import OpenedModel
from tinyvit.commands.train import _settings
from tinyvit.data import read_image
from tinyvit.data.photos import Preparation, prepare_photo
from tinyvit.doctor import learning
from tinyvit.ops.softmax import softmax
from tinyvit.training.features import features_of
from tinyvit.training.run import FILES, open_run
from tinyvit.viz.look import class_attention

SIZES = ViTConfig(image=16, patch=4, dim=24, depth=2, heads=3, mlp_dim=40, classes=7)
QUICK = ["--epochs=1", "--batch=256", "--seed=3"]
HEADLESS = FOLDER / "features"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder, no data set to be found by accident, and no network."""
    return isolated(tmp_path, monkeypatch)


@pytest.fixture
def hf(here):
    """What Hugging Face wrote."""
    shutil.copytree(FOLDER / "classifier", here / "hf")
    return "hf"


@pytest.fixture
def google(here):
    """A file with Google's names."""
    np.savez("google.npz", **arrays("google", SIZES))
    return "google.npz"


def photo(height=40, width=56, seed=0):
    """A colourful picture, without much that JPEG would lose."""
    rows, columns = np.mgrid[:height, :width]
    tilt = np.random.default_rng(seed).uniform(1, 4, 3)
    return np.stack([columns * tilt[0], rows * tilt[1], (rows + columns) * tilt[2]], axis=-1).astype(np.uint8)


def draw(name, pixels=None, **how):
    """Write a picture; returns its name."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(photo() if pixels is None else pixels)
    image.save(name, **how)
    return name


def answer(path, pixels, **options):
    """The probabilities that the model itself has for a picture."""
    p, config, notes = load_weights(path, **options)
    return softmax(vit(prepare_photo(pixels, notes.preparation)[None], p, config)[0])[0][0]


def results(*argv):
    """{name: {class: probability}} of `tinyvit predict ... --json`."""
    result = call("predict", *argv, "--json")
    assert result.code == 0, result
    return {r["image"]: {c["class"]: c["probability"] for c in r["classes"]} for r in json.loads(result.out)}


def agrees(found, probabilities, names=None):
    """These classes and probabilities are the best, best first."""
    names = names or [f"class {k}" for k in range(len(probabilities))]
    best = (-probabilities).argsort()[: len(found)]
    assert list(found) == [names[k] for k in best]
    assert np.allclose(list(found.values()), probabilities[best], atol=2e-6)


# ---- predict: whose weights


def test_what_hugging_face_wrote(hf):
    draw("a.png")
    (found,) = results(hf, "a.png", "--top=7").values()
    agrees(found, answer(hf, photo()))
    result = call("predict", hf, "a.png")
    assert re.fullmatch(r"a\.png: class \d \(\d+\.\d %\)(, class \d \(\d+\.\d %\)){2}\n", result.out)
    assert "Hugging Face's names: 2 blocks" in result.err and "eps 1e-12" in result.err
    assert results(f"{hf}/model.safetensors", "a.png", "--top=7")["a.png"] == found


def test_googles_file_and_numerics_of_ones_own(google):
    draw("a.png")
    agrees(results(google, "a.png", "--top=7")["a.png"], answer(google, photo()))
    other = results(google, "a.png", "--gelu=erf", "--eps=0.1", "--top=7")["a.png"]
    agrees(other, answer(google, photo(), gelu="erf", eps=0.1))
    assert other != results(google, "a.png", "--top=7")["a.png"]


def test_timms_file_and_its_heads(here):
    shutil.copy(FOLDER / "timm" / "model.safetensors", "timm.safetensors")
    draw("a.png")
    fails(here, ["predict", "timm.safetensors", "a.png"], "width 24", "--heads", code=2)
    agrees(results("timm.safetensors", "a.png", "--heads=3")["a.png"], answer("timm.safetensors", photo(), heads=3))


def test_tinyvits_own_file():
    p = cast(random_vit(SIZES), np.float32)
    tinyvit.save("own.npz", p, SIZES, preparation=Preparation(16))
    draw("a.png")
    for changed in ({}, {"gelu": "tanh"}, {"eps": 0.1}, {"heads": 4}):
        images = prepare_photo(photo(), Preparation(16))[None]
        options = [f"--{name}={value}" for name, value in changed.items()]
        expected = softmax(vit(images, p, replace(SIZES, **changed))[0])[0][0]
        agrees(results("own.npz", "a.png", *options)["a.png"], expected)


# ---- predict: which pictures


def test_kinds_of_picture_are_what_they_show(hf):
    """Each beside its plain twin, with which it must agree."""
    plain, rng = photo(), np.random.default_rng(0)
    draw("plain.png", plain)
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn by a quarter to the right"
    draw("turned.jpg", plain, exif=exif, quality=95)
    draw("turned-twin.png", np.rot90(np.asarray(Image.open("turned.jpg")), -1))
    alpha = rng.integers(0, 256, plain.shape[:2], dtype=np.uint8)
    draw("alpha.png", np.dstack([plain, alpha]))
    white = np.asarray(Image.alpha_composite(Image.new("RGBA", (56, 40), "white"), Image.open("alpha.png")))
    draw("alpha-twin.png", white[..., :3])
    draw("grey.png", plain[..., 0])
    draw("grey-twin.png", plain[..., [0, 0, 0]])
    Image.fromarray(plain).quantize(20).save("palette.png")
    draw("palette-twin.png", np.asarray(Image.open("palette.png").convert("RGB")))
    np.save("array.npy", plain)
    shutil.copy("plain.png", "array-twin.png")
    names = ["turned.jpg", "alpha.png", "grey.png", "palette.png", "array.npy"]
    found = results(hf, *names, *(f"{Path(name).stem}-twin.png" for name in names), "--top=7")
    for name in names:
        assert found[name] == found[f"{Path(name).stem}-twin.png"], name
    agrees(found["turned.jpg"], answer(hf, np.asarray(Image.open("turned-twin.png"))))
    assert len({json.dumps(found[name]) for name in names}) == len(names), "they are different pictures"


def test_a_folder_of_pictures_in_their_order(hf, monkeypatch):
    monkeypatch.setattr("tinyvit.commands.pictures.AT_ONCE", 4)
    for number in range(9):
        draw(f"photos/{number}.png", photo(seed=number))
    draw("photos/LOUD.JPG")
    result = call("predict", hf, "photos", "--json")
    found = json.loads(result.out)
    assert "left out" not in result.err
    assert [r["image"] for r in found] == [*(f"photos/{k}.png" for k in range(9)), "photos/LOUD.JPG"]
    assert "10/10" in result.err, "a bar"
    for r in found:
        one = {c["class"]: c["probability"] for c in r["classes"]}
        agrees(one, answer(hf, read_image(r["image"])))
    twice = json.loads(call("predict", hf, "photos/3.png", "photos", "photos/3.png", "--json", "--top=1").out)
    assert len(twice) == 12 and twice[0] == twice[4] == twice[-1]


def test_what_a_folder_has_beside_pictures_is_said_in_one_line(hf):
    draw("photos/a.png")
    for name in ("b.HEIC", "c.HEIC", "._a.png", "notes.txt", ".DS_Store", "plain"):
        (Path("photos") / name).write_text("none")
    (Path("photos") / "more").mkdir()
    result = call("predict", hf, "photos")
    found = "._*, macOS's notes on files (1), .HEIC (2), folders (1), .txt (1), names without a suffix (1)"
    advice = "left out, which are no pictures that can be read; convert .heic to JPEG first"
    assert result.code == 0 and result.err.splitlines().count(f"photos: {found} {advice}") == 1, result.err
    assert result.out.count(" %)") == 3, "one picture"
    Path("photos/a.png").unlink()
    last = call("predict", hf, "photos").err.splitlines()[-1]
    assert last.startswith("tinyvit: no pictures in photos: expected files that") and last.endswith(f"; found {found}")


@pytest.mark.parametrize("command", ["predict", "features"])
def test_patterns_that_the_shell_left_as_they_are(hf, command):
    for name in ("photos/b.png", "photos/a.png", "photos/c.jpg", "more/d.png"):
        draw(name)
    draw("photos/[1].png")
    Path("more/text.txt").write_text("none")
    cases = {
        "photos/*.png": ["photos/[1].png", "photos/a.png", "photos/b.png"],
        "photos/[ab].*": ["photos/a.png", "photos/b.png"],
        "photos/[1].png": ["photos/[1].png"],
        "mor?": ["more/d.png"],
        "**/*.jpg": ["photos/c.jpg"],
    }
    for pattern, names in cases.items():
        result = call(command, hf, pattern)
        assert result.code == 0 and re.findall(r"^\w+/\S+\.(?:png|jpg)", result.out, re.MULTILINE) == names, pattern
    result = call(command, hf, "*.gif")
    assert result.code == 1 and result.err.splitlines()[-1].startswith("tinyvit: no file matches *.gif: expected pict")


def test_a_figure_that_cannot_be_drawn_is_refused_before_the_work(hf, here, monkeypatch):
    draw("a.png")
    monkeypatch.setattr(predict, "open_for_pictures", lambda *args: pytest.fail("the work has begun"))
    fails(here, ["predict", hf, "a.png", "--figure=look.xyz"], "cannot draw look.xyz: expected a name that", code=2)
    fails(here, ["predict", hf, "a.png", "--figure=gone/look.png"], "there is no folder gone", code=2)


def test_good_pictures_are_answered_among_bad_ones(hf, monkeypatch):
    monkeypatch.setattr("tinyvit.commands.pictures.AT_ONCE", 2)
    draw("good.png")
    draw("fine.png", photo(seed=1))
    Path("empty.png").touch()
    Path("cut.png").write_bytes(Path("good.png").read_bytes()[:60])
    Path("text.jpg").write_text("no picture")
    names = ["empty.png", "good.png", "cut.png", "missing.png", "text.jpg", "text.jpg", "fine.png"]
    result = call("predict", hf, *names, "--json", "--figure", "look.png")
    assert result.code == 1
    assert [r["image"] for r in json.loads(result.out)] == ["good.png", "fine.png"]
    wrong = [line for line in result.err.splitlines() if line.startswith("tinyvit: ")]
    assert [line.split(":")[1].strip() for line in wrong] == ["empty.png", "cut.png", "missing.png", *["text.jpg"] * 2]
    assert Path("look.png").exists()
    alone = call("predict", hf, "empty.png", "--figure", "none.png")
    assert alone.code == 1 and not alone.out and not Path("none.png").exists()
    assert json.loads(call("predict", hf, "empty.png", "--json").out) == []


# ---- predict: what is said and drawn


def test_names_of_classes(here):
    p = cast(random_vit(SIZES), np.float32)
    names = [f"beast {k}, fur and all" for k in range(7)]
    save_weights("named", p, SIZES, class_names=names)
    draw("a.png")
    agrees(results("named", "a.png")["a.png"], answer("named", photo()), names)
    assert re.fullmatch(r"a\.png: beast \d \(.*\n", call("predict", "named", "a.png").out)
    assert ", fur" not in call("predict", "named", "a.png").out


def test_imagenets_names_for_a_thousand_classes():
    thousand = replace(SIZES, classes=1000)
    np.savez("thousand.npz", **arrays("google", thousand))
    draw("a.png")
    found = results("thousand.npz", "a.png")["a.png"]
    lines = (Path(tinyvit.__file__).parent / "data" / "imagenet.txt").read_text(encoding="utf-8").splitlines()
    names = [line for line in lines if not line.startswith("#")]
    assert len(found) == 5, "of many classes, five"
    agrees(found, answer("thousand.npz", photo()), names)
    assert names[0].startswith("tench") and names[999].startswith("toilet tissue")
    said = "the file names no classes: its 1,000 are taken to be ImageNet's"
    assert said in call("predict", "thousand.npz", "a.png").err


def test_top_is_as_many_as_there_are(hf):
    draw("a.png")
    for top, count in ((1, 1), (7, 7), (1000, 7)):
        found = results(hf, "a.png", f"--top={top}")["a.png"]
        assert len(found) == count and list(found.values()) == sorted(found.values(), reverse=True)
    assert abs(sum(found.values()) - 1) < 1e-5


def test_figures_of_the_attention(hf):
    names = [draw(f"photos/{number:02}.png", photo(seed=number)) for number in range(18)]
    assert call("predict", hf, names[0], "--attention", "one.svg").code == 0
    assert Path("one.svg").read_text().count("<image") == 4, "image, patches, attention and the image over it"
    assert call("predict", hf, "photos", "--attention", "many.png").code == 0
    with Image.open("many.png") as many:
        assert many.size[1] > 15 * 1.85 * 150, "sixteen of the eighteen"


def test_the_figure_shows_the_picture_as_it_is_whatever_the_normalisation(hf, monkeypatch):
    normal = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (Path(hf) / "preprocessor_config.json").write_text(json.dumps(normal))
    shown, look = [], predict.look
    monkeypatch.setattr(predict, "look", lambda images, *args: shown.append(images) or look(images, *args))
    assert call("predict", hf, draw("a.png"), "--figure", "look.png").code == 0
    assert_close(shown[0], prepare_photo(photo(), Preparation(32))[None], 1e-5)


def test_weights_without_a_head_name_no_classes(here):
    draw("a.png")
    for command in ("predict", "numerics"):
        fails(here, [command, HEADLESS, "a.png"], "no head", code=2)


# ---- features


def test_features_of_pictures(hf, here):
    names = [draw(f"photos/{number}.png", photo(seed=number)) for number in range(3)]
    p, config, notes = load_weights(hf)
    images = np.stack([prepare_photo(read_image(name), notes.preparation) for name in names])
    cases = {(): {}, ("--layer=1",): {"layer": 1}, ("--layer=2", "--pool=mean"): {"layer": 2, "pool": "mean"}}
    for options, how in cases.items():
        result = call("features", hf, "photos", "--out", "f.npy", *options)
        assert result.code == 0 and result.out.split() == names
        assert "f.npy: [3, 24]" in result.err and "Hugging Face's names" in result.err
        assert_close(np.load("f.npy"), features_of(images, p, config, **how), 1e-6)
    assert call("features", hf, *names).code == 0
    assert np.load("features.npy").shape == (3, 24)


def test_features_of_a_run_and_of_a_model_without_a_head():
    put_run("run")
    names = [draw(f"{number}.png", photo(seed=number)) for number in range(2)]
    assert call("features", "run", *names).code == 0
    assert np.load("features.npy").shape == (2, 8)
    assert call("features", HEADLESS, *names).code == 0
    assert np.load("features.npy").shape == (2, 12)


def test_features_go_on_after_a_bad_picture(hf, monkeypatch):
    monkeypatch.setattr("tinyvit.commands.pictures.AT_ONCE", 1)
    draw("a.png")
    Path("bad.png").touch()
    result = call("features", hf, "bad.png", "a.png")
    assert result.code == 1 and result.out == "a.png\n" and np.load("features.npy").shape == (1, 24)
    Path("features.npy").unlink()
    nothing = call("features", hf, "bad.png")
    assert nothing.code == 1 and nothing.err.splitlines()[-1].startswith("tinyvit: bad.png: ")
    assert not Path("features.npy").exists()


# ---- convert


def test_a_model_goes_through_every_form_and_answers_the_same(here):
    run = put_run("run")
    assert call("convert", "run", "hf").out == "hf: written\n"
    assert call("convert", "hf", "own.npz").code == 0
    assert call("convert", "own.npz", "timm", "--to=timm").code == 0
    assert call("convert", "timm", "hf2").code == 0
    p, config = tinyvit.load(run / "model.npz")
    x = tinyvit.load_data("digits")[1][0][:5]
    for path in ("hf", "timm", "hf2"):
        found, same, _ = load_weights(path)
        assert_same_bits(found, p)
        assert replace(same, position_std=config.position_std) == config
        assert np.array_equal(vit(x, found, same)[0], vit(x, p, config)[0])
    found, same = tinyvit.load("own.npz")
    assert_same_bits(found, p)
    assert replace(same, position_std=config.position_std) == config
    assert load_weights("hf")[2].class_names == tuple("0123456789")


def test_googles_file_becomes_the_others(google):
    p, config, _ = load_weights(google)
    assert call("convert", google, "hf").code == call("convert", google, "timm", "--to=timm").code == 0
    for path in ("hf", "timm"):
        found, same, _ = load_weights(path)
        assert_same_bits(found, p)
        assert same == config, "GELU and eps, too"


def test_what_hugging_face_wrote_comes_back_to_the_bit(hf):
    assert call("convert", hf, "again").code == 0
    before, after = (load_file(f"{folder}/model.safetensors") for folder in (hf, "again"))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) and before[name].dtype == after[name].dtype for name in before)
    assert call("convert", hf, hf).code == 0, "over itself, out of the mapped file"
    assert all(np.array_equal(leaf, before[name]) for name, leaf in load_file(f"{hf}/model.safetensors").items())


def test_the_normalisation_goes_along(hf):
    normal = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    (Path(hf) / "preprocessor_config.json").write_text(json.dumps(normal))
    draw("a.png")
    for target in ("huggingface", "timm"):
        assert call("convert", hf, target, "--to", target).code == 0
        preparation = load_weights(target)[2].preparation
        assert [list(preparation.mean), list(preparation.std)] == list(normal.values())
    assert results("huggingface", "a.png") == results(hf, "a.png")


def test_a_head_that_was_not_there_is_said(here):
    result = call("convert", HEADLESS, "own.npz")
    assert result.code == 0 and "the head that is written is of zeros" in result.err


# ---- probe


def test_probe_says_how_good_frozen_features_are(hf):
    result = call("probe", hf, "digits", "--shots", 1, 5, 20, "--test=200")
    rows = re.findall(r"^ +(\d+) of each class: (\d+\.\d) % \(spread \d+\.\d\)$", result.out, re.MULTILINE)
    assert result.code == 0 and [int(shots) for shots, _ in rows] == [1, 5, 20]
    assert 15 < float(rows[0][1]) < float(rows[2][1]), "chance is 10"
    assert "grey pictures" in result.err and "positions resized" not in result.err, (
        "the images are, to the model's size"
    )
    found = json.loads(call("probe", hf, "digits", "--shots", 1, 5, 20, "--test=200", "--json").out)
    assert [f"{100 * row['accuracy']:.1f}" for row in found] == [accuracy for _, accuracy in rows]
    assert all(0 < row["spread"] < 0.2 for row in found)


def test_probe_of_a_run_at_another_size_and_with_more_shots_than_images():
    put_run("run")
    found = call("probe", "run", "digits", "--shots=500", "--image=16", "--l2=0", "--test=50", "--json")
    row = json.loads(found.out)[0]
    assert row["accuracy"] > 0.3 and row["spread"] == 0, "all images, each time"
    counts = np.bincount(tinyvit.load_data("digits")[0][1])
    assert (row["shots"], row["images"]) == (500, f"{counts.min()} to {counts.max()}")
    few = call("probe", "run", "digits", "--shots", 500, 2, "--test=50").out
    assert re.findall(r"^ *(.*) of each class", few, re.MULTILINE) == [row["images"], "2"]
    assert "positions resized from 4 x 4 to 8 x 8" in found.err
    assert call("probe", HEADLESS, "digits", "--shots=1", "--test=50").code == 0


# ---- numerics


def test_numerics_is_a_table(hf, google):
    draw("a.png")
    result = call("numerics", hf, "a.png")
    heading, *lines = result.out.splitlines()
    rows = json.loads(call("numerics", hf, "a.png", "--json").out)
    assert result.code == 0 and heading.split()[:3] == ["what", "usual", "other"] and len(lines) == len(rows) == 8
    for line, row in zip(lines, rows, strict=True):
        words = [row["what"], row["usual"], row["other"], f"{row['logits']:.1e}"]
        assert re.match(" +".join(map(re.escape, words)), line) and len(line) <= 100
        assert line.endswith("the same" if row["same_class"] else "ANOTHER")
    p, config, notes = load_weights(hf)
    x = prepare_photo(photo(), notes.preparation)[None]
    drift = abs(vit(x, p, replace(config, gelu="tanh"))[0] - vit(x, p, config)[0]).max()
    assert np.isclose(rows[0]["logits"], drift, rtol=1e-6)
    usual = json.loads(call("numerics", google, "a.png", "--json").out)[0]
    asked = json.loads(call("numerics", google, "a.png", "--gelu=erf", "--json").out)[0]
    assert (usual["usual"], asked["usual"]) == ("tanh", "erf") and usual["logits"] == asked["logits"]


def test_numerics_of_a_run():
    put_run("run")
    rows = json.loads(call("numerics", "run", draw("a.png"), "--json").out)
    assert {row["what"] for row in rows} >= {"GELU", "precision", "positions, 4 x 4 to 6 x 6"}


# ---- fine-tuning


def read_start(path):
    """The parameters of a model that a run may start from."""
    if path == "run":
        path = "run/model.npz"
    return tinyvit.load(path)[0] if path.endswith("model.npz") or path == "own.npz" else load_weights(path)[0]


@pytest.mark.parametrize("kind", ["published", "google", "own", "run"])
def test_fine_tuning_starts_from_any_model(here, kind):
    if kind == "published":
        weights = shutil.copytree(FOLDER / "classifier", "hf")
    elif kind == "google":
        np.savez("google.npz", **arrays("google", SIZES))
        weights = "google.npz"
    elif kind == "own":
        tinyvit.save("own.npz", cast(random_vit(SIZES), np.float32), SIZES)
        weights = "own.npz"
    else:
        weights = "run"
        put_run("run")
    result = call("train", "digits", "--from", weights, *QUICK, "--freeze=1", "--out=tuned")
    assert result.code == 0, result
    assert "a fresh head for 10 classes, zero" in result.err
    assert ("grey pictures: kernels summed" in result.err) == (kind != "run")
    assert sorted(path.name for path in Path("tuned").iterdir()) == sorted(FILES)
    run, (found, config) = open_run("tuned"), tinyvit.load("tuned/model.npz")
    given = read_start(weights)
    assert (config.image, config.channels, config.classes) == (8, 1, 10)
    assert config == run.settings.config and run.settings.weights == weights
    assert run.settings.recipe.learning_rate == tinyvit.RECIPES["digits"].learning_rate / 10
    start = cast(given["blocks"], np.float32)
    assert_same_bits(found["blocks"][0], start[0])
    if len(start) > 1:
        assert abs(found["blocks"][1]["mlp"]["fc1"]["w"] - start[1]["mlp"]["fc1"]["w"]).max() > 1e-6
    assert np.array_equal(found["cls"], np.float32(given["cls"])) and found["head"]["w"].any()
    if kind != "run":
        kernel = np.asarray(given["patch"]["w"]).reshape(config.patch**2, 3, -1).sum(axis=1)
        assert_close(found["patch"]["w"], kernel, 1e-6)
    assert call("eval", "tuned").out.splitlines()[-1] == result.out.splitlines()[-1]
    assert call("predict", "tuned", draw("a.png")).code == 0


def test_image_dropout_and_numerics_of_a_fine_tuned_model(google):
    options = ["--image=12", "--dropout=0.1", "--gelu=erf", "--eps=1e-5", "--learning-rate=0.005"]
    result = call("train", "digits", "--from", google, *QUICK, *options, "--out=tuned")
    assert result.code == 0 and "positions resized from 4 x 4 to 3 x 3, bilinear aligned" in result.err
    _, config = tinyvit.load("tuned/model.npz")
    assert (config.image, config.dropout, config.gelu, config.eps, config.tokens) == (12, 0.1, "erf", 1e-5, 10)
    command = open_run("tuned").settings.command
    assert "--from google.npz" in command and "--learning-rate 0.005" in command
    again = call(*command.split()[1:], "--out=again")
    assert again.code == 0, again
    assert Path("again/model.npz").read_bytes() == Path("tuned/model.npz").read_bytes()
    assert open_run("again").settings == open_run("tuned").settings


def test_the_sizes_that_the_weights_have_may_be_said(hf):
    assert call("train", "--from", hf, *QUICK, "--patch=8", "--depth=2", "--heads=3", "--out=tuned").code == 0


def test_a_run_without_positions_at_another_size():
    assert call("train", *SMALL, "--position=none", "--out=run").code == 0
    result = call("train", "--from=run", *QUICK, "--image=12", "--out=tuned")
    assert result.code == 0 and "positions" not in result.err
    assert tinyvit.load("tuned/model.npz")[1].image == 12


def test_everything_but_the_head_frozen_is_a_linear_probe(hf):
    assert call("train", "--from", hf, *QUICK, "--freeze=2", "--out=tuned").code == 0
    found, (given, _, _) = tinyvit.load("tuned/model.npz")[0], load_weights(hf)
    assert_same_bits(found["blocks"], cast(given["blocks"], np.float32))


@pytest.mark.parametrize("saved", [True, False])
def test_a_fine_tuning_run_goes_on(google, monkeypatch, saved):
    """Also one that was stopped before its first checkpoint: its own settings count, not the command line's."""
    options = ["--epochs=2", "--batch=256", "--image=12", "--dropout=0.1", "--gelu=erf", "--eps=1e-5", "--freeze=1"]
    assert call("train", "--from", google, *options, "--out=whole").code == 0
    ends = iter([0] * (6 if saved else 2) + [15])
    with monkeypatch.context() as patch:
        if not saved:  # the end of a process that had no time to
            patch.setattr("tinyvit.training.loop._Training._save", lambda self: None)
        patch.setattr("tinyvit.commands.train.stop_requests", lambda *signals: _Stops(ends))
        assert call("train", "--from", google, *options, "--out=run").code == 143
    assert Path("run/checkpoint.npz").exists() == saved
    if saved:
        Path(google).unlink()  # the checkpoint has it all
    result = call("train", "--resume", "--out=run")
    assert result.code == 0, result
    assert ("nothing saved" in result.err) != saved
    for name in ("model.npz", "checkpoint.npz"):
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes(), name


class _Stops:
    """Stands for the signals: what the loop hears each time that it asks."""

    def __init__(self, numbers):
        self.numbers = numbers

    def __enter__(self):
        return lambda: next(self.numbers)

    def __exit__(self, *exception):
        pass


def test_a_resumed_run_may_be_asked_for_what_it_is(google, here):
    assert call("train", "--from", google, *QUICK, "--out=run").code == 0
    again = call("train", "--from", google, *QUICK, "--resume", "--out=run")
    assert again.code == 0 and "is finished" in again.err
    fails(here, ["train", "--from=other.npz", "--resume", "--out=run"], "--from other.npz", "google.npz", code=2)
    put_run("plain")
    fails(here, ["train", "--from", google, "--resume", "--out=plain"], "--from google.npz", code=2)


def test_other_weights_in_the_place_of_those_that_it_started_from(google, here):
    assert call("train", "--from", google, *QUICK, "--out=run").code == 0
    for name in ("checkpoint.npz", "model.npz", "metrics.json", "curves.png"):
        Path("run", name).unlink()
    np.savez("google.npz", **arrays("google", replace(SIZES, mlp_dim=20)))
    result = call("train", "--resume", "--out=run")
    assert result.code == 1 and "no longer the model" in result.err.splitlines()[-1]
    Path("google.npz").unlink()
    result = call("train", "--resume", "--out=run")
    assert result.code == 1 and "google.npz" in result.err.splitlines()[-1]


def test_from_does_not_change_what_it_starts_from(hf):
    before = contents(hf)
    put_run("run")
    kept = contents("run")
    for weights in (hf, "run"):
        assert call("train", "--from", weights, *QUICK, "--out", f"from-{weights}").code == 0
    assert contents(hf) == before and contents("run") == kept


def test_the_doctor_does_not_call_a_gentle_learning_rate_too_low(hf):
    options = ["--epochs=1", "--batch=64", "--image=16"]
    assert call("train", "--from", hf, *options, "--out=tuned").code == 0
    result = call("doctor", "tuned")
    assert "learning rate: " not in result.out, result.out


def test_report_of_a_model_with_a_single_patch(hf):
    """There is nothing beside it, of which to say how alike their positions are."""
    assert call("train", "--from", hf, *QUICK, "--out=tuned").code == 0
    assert tinyvit.load("tuned/model.npz")[1].tokens == 2
    assert call("report", "tuned").code == 0
    page = Path("tuned/report.html").read_text()
    assert "--from hf --seed 3 --image 8 --heads 3" in page and "Does it know where patches are?" not in page


def test_settings_with_weights_have_a_gentle_recipe():
    from tinyvit.cli import parser

    args = parser().parse_args(["train", "mnist", "--from", "x.npz", "--epochs=3"])
    settings, _ = _settings(args)
    assert (settings.weights, settings.recipe.epochs) == ("x.npz", 3)
    assert settings.recipe.learning_rate == tinyvit.RECIPES["mnist"].learning_rate / 10


# ---- a run at another image size


def test_a_run_on_enlarged_images_keeps_to_them(monkeypatch):
    result = call("train", "digits", *SMALL, "--image=16", "--patch=4", "--out=run")
    assert result.code == 0
    p, config = tinyvit.load("run/model.npz")
    assert (config.image, p["pos"].shape) == (16, (17, 8))
    found = json.loads(call("eval", "run", "--json").out)
    _, (x, y) = tinyvit.load_data("digits", size=16)
    logits = vit(x, p, config)[0]
    assert found["test_accuracy"] == (logits.argmax(1) == y).mean()
    assert f"test accuracy {100 * found['test_accuracy']:.2f} %" in result.out
    digit = tinyvit.load_data("digits")[1][0][0, :, :, 0]
    np.save("digit.npy", ((digit + 1) / 2).astype(np.float32))
    (said,) = json.loads(call("predict", "run", "digit.npy", "--json", "--figure=look.png").out)
    assert said["classes"][0]["class"] == str(logits[0].argmax())
    assert call("features", "run", "digit.npy", "--layer=1").code == 0
    assert call("report", "run").code == 0, "and so is each figure of `plot`"
    assert "--image 16" in Path("run/report.html").read_text()
    monkeypatch.setattr("tinyvit.doctor.learning.STEPS", 4)  # its trials need not tell here
    monkeypatch.setitem(learning.OVERFIT, "steps", 4)
    assert call("doctor", "run").code in (0, 1), "after one epoch, it may find something"
    assert call("train", "--resume", "--out=run").code == 0


# ---- bad input: one line, nothing written


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--dim=32"], ["--dim 32 contradicts", "24"]),
        (["--depth=3"], ["--depth 3 contradicts", "2"]),
        (["--patch=4"], ["--patch 4 contradicts", "8"]),
        (["--mlp-dim=8"], ["--mlp-dim 8 contradicts", "40"]),
        (["--position=none"], ["--position none contradicts", "1d"]),
        (["--pre-logits=9"], ["--pre-logits 9 contradicts", "0"]),
        (["--heads=5"], ["heads 5 does not divide dim 24"]),
        (["--image=12"], ["expected a multiple of 8, such as 8 or 16"]),
        (["--image=0"], ["image", "0"]),
        (["--gelu=relu"], ["relu", "erf, tanh"]),
        (["--eps=0"], ["eps"]),
        (["--dropout=1"], ["dropout"]),
        (["--freeze=3"], ["freeze", "3", "2 blocks"]),
        (["--freeze=-1"], ["freeze", "-1"]),
        (["--freeze=x"], ["freeze", "x"]),
        (["--validation=0.0001"], ["hold out"]),
    ],
    ids=lambda value: value[0] if value[0].startswith("--") else None,
)
def test_options_that_contradict_the_weights(here, hf, options, words):
    fails(here, ["train", "digits", "--from", hf, *options], *words, code=2)


def test_more_blocks_frozen_than_a_new_model_has(here):
    fails(here, ["train", "--freeze=9"], "freeze is 9", "3 blocks", code=2)


def test_too_large_an_image_is_no_traceback(here, monkeypatch):
    def full(*args, **keywords):
        raise MemoryError("Unable to allocate 9.00 TiB for an array")

    monkeypatch.setattr("tinyvit.data.resized", full)
    fails(here, ["train", "--image=90000"], "not enough memory", "9.00 TiB", code=1)


def test_no_room_for_the_run(here, hf):
    put_run("run")
    fails(here, ["train", "--from", hf, "--out=run"], "not empty", "--force", code=2)


def test_no_data_for_the_fine_tuning(here, hf):
    for argv in (["train", "mnist", "--from", hf], ["probe", hf, "mnist"]):
        result = call(*argv)
        assert result.code == 1 and result.err.count("\n") == 1 and "MNIST" in result.err, result
        assert not Path("runs").exists()


COMMANDS = {
    "predict": ["predict", "WEIGHTS", "a.png"],
    "features": ["features", "WEIGHTS", "a.png"],
    "numerics": ["numerics", "WEIGHTS", "a.png"],
    "probe": ["probe", "WEIGHTS", "digits"],
    "convert": ["convert", "WEIGHTS", "out"],
    "train": ["train", "digits", "--from", "WEIGHTS"],
}


def put_bad(kind):
    """Write weights that cannot be read; returns their name, and a word of the line that says so."""
    if kind == "missing":
        return "missing.safetensors", "missing.safetensors"
    if kind == "no run":
        return "nowhere", "no run in nowhere"
    if kind == "of another kind":
        Path("weights.pth").write_bytes(b"PK")
        return "weights.pth", ".safetensors"
    if kind == "hardly begun":
        put_run("begun", model=None, metrics=None, checkpoint=None)
        return "begun", "the run in begun has saved nothing yet: go on with"
    if kind == "cut":
        data = (FOLDER / "classifier" / "model.safetensors").read_bytes()
        Path("cut.safetensors").write_bytes(data[: len(data) // 2])
        return "cut.safetensors", "cut.safetensors"
    if kind == "text":
        Path("text.npz").write_text("no weights")
        return "text.npz", "text.npz"
    np.savez("strange.npz", a=np.zeros(3))
    return "strange.npz", "nobody's"


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("kind", ["missing", "no run", "of another kind", "hardly begun", "cut", "text", "strange"])
def test_weights_that_cannot_be_read(here, command, kind):
    draw("a.png")
    name, word = put_bad(kind)
    fails(here, [name if part == "WEIGHTS" else part for part in COMMANDS[command]], word, code=1)


@pytest.mark.parametrize("command", COMMANDS)
def test_options_that_no_weights_can_have(here, hf, command):
    argv = [hf if part == "WEIGHTS" else part for part in COMMANDS[command]]
    draw("a.png")
    for option in ("--heads=7", "--heads=x", "--gelu=relu", "--eps=-1", "--eps=nan"):
        fails(here, [*argv, option], code=2)
    put_run("run")
    fails(here, ["run" if part == hf else part for part in argv] + ["--heads=3"], "heads 3", code=2)


WRONG = [
    (["features", "hf", "a.png", "--out=f.txt"], ".npy"),
    (["features", "hf", "a.png", "--pool=max"], "max"),
    (["features", "hf", "a.png", "--pool=mean"], "say which"),
    (["features", "hf", "a.png", "--layer=0"], "0"),
    (["features", "hf", "a.png", "--layer=3"], "1 to 2"),
    (["convert", "hf", "x.safetensors"], "name the folder"),
    (["convert", "hf", "x", "--to=jax"], "jax"),
    (["convert", "run", "run"], "config.json"),
    (["convert", HEADLESS, "x"], "pre-logits"),
    (["probe", "hf", "cifar"], "cifar"),
    (["probe", "hf", "digits", "--shots=0"], "0"),
    (["probe", "hf", "digits", "--test=0"], "0"),
    (["probe", "hf", "digits", "--l2=-1"], "l2"),
    (["probe", "hf", "digits", "--l2=nan"], "l2"),
    (["probe", "hf", "digits", "--seed=-1"], "seed"),
    (["probe", "hf", "digits", "--image=12"], "expected a multiple of 8, such as 8 or 16"),
    (["predict", "hf"], "IMAGE"),
    (["predict", "hf", "a.png", "--top=0"], "0"),
]


@pytest.mark.parametrize(("argv", "word"), WRONG, ids=lambda value: " ".join(map(str, value[:1] + value[3:])))
def test_wrong_usage(here, hf, argv, word):
    draw("a.png")
    put_run("run")
    result, before = None, contents(here)
    if argv[0] == "features" and any(word in argv[-1] for word in ("mean", "layer=3")):
        result = call(*argv)  # known only once the model is, whose notes come first
        assert result.code == 2 and word in result.err.splitlines()[-1] and contents(here) == before
    else:
        fails(here, argv, word, code=2)


def test_pictures_that_are_none(here, hf):
    Path("hollow").mkdir()
    Path("bad.png").write_text("no")
    for command in ("predict", "features"):
        for name, word in (("hollow", "no pictures in hollow"), ("bad.png", "bad.png"), ("missing.png", "missing.png")):
            before = contents(here)
            result = call(command, hf, name)
            lines = [line for line in result.err.splitlines() if line.startswith("tinyvit: ")]
            assert result.code == 1 and not result.out and word in lines[0] and contents(here) == before, result
    for name in ("bad.png", "missing.png", "hollow"):
        fails(here, ["numerics", hf, name], name, code=1)


def test_places_that_cannot_be_written(here, hf):
    draw("a.png")
    Path("file").write_text("mine")
    for argv in (["convert", hf, "file"], ["convert", hf, "gone/x.npz"], ["convert", hf, "file/x"]):
        fails(here, argv, argv[-1].partition("/")[0], code=1)
    before = contents(here)
    result = call("features", hf, "a.png", "--out=gone/f.npy")
    assert result.code == 1 and "gone/f.npy" in result.err.splitlines()[-1] and contents(here) == before


def test_a_forged_name_of_weights_in_a_run(here):
    data = put_run("plain")
    put_run("run", config=changed_json((data / "config.json").read_bytes(), weights=7))
    for argv in (["eval", "run"], ["report", "run"], ["train", "--resume", "--out=run"]):
        fails(here, argv, "weights is 7", code=1)


# ---- what cannot go along is said


def test_a_run_that_is_converted_says_what_others_do_not_know(here):
    put_run("run")
    assert "others must be told to" in call("convert", "run", "hf").err
    assert call("convert", "hf", "own.npz").code == 0
    with pytest.raises(tinyvit.TinyvitError, match=r"read it with tinyvit\.load"):
        load_weights("own.npz")


def test_numerics_of_a_run_begin_with_what_predict_sees(here):
    put_run("run")
    dark_on_light = 255 - np.pad(np.full((12, 4), 255, np.uint8), ((4, 4), (8, 8)))
    draw("ink.png", dark_on_light)
    draw("inverted.png", 255 - dark_on_light)
    tables = [call("numerics", "run", name).out for name in ("ink.png", "inverted.png")]
    assert tables[0] == tables[1] and "the picture's resize" not in tables[0]


def test_probe_says_that_images_are_not_normalised_as_they_were(here):
    p, config = tinyvit.load(put_run("run") / "model.npz")
    save_weights("vit", p, config, preparation=Preparation(config.image, mean=(0.4,) * 3, std=(0.2,) * 3))
    assert "the weights were trained with mean 0.4, 0.4, 0.4" in call("probe", "vit", "digits", "--shots=1").err


def test_the_figures_attention_is_that_of_each_picture(here):
    p, config = tinyvit.load(put_run("run") / "model.npz")
    model = OpenedModel(p, config, "tinyvit", (), Preparation(config.image), ())
    images = np.random.default_rng(0).standard_normal((3, config.image, config.image, config.channels), np.float32)
    _, c = vit(images, p, config)
    assert_close(predict._attention(model, list(images)), class_attention(c), 1e-6)
