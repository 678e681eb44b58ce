"""Models written for others: read back to the bit, opened by the libraries, and never half there."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest

from tests.golden.make_weights import FOLDER, answer
from tests.reference.compare import assert_close, assert_same_bits, cast, random_vit
from tests.weights.tables import SMALL, logits, pictures
from tinyvit import Recipe, fit, load_data, load_weights, save_weights
from tinyvit.data.photos import Preparation, prepare_photo
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.layers.pool import READOUTS
from tinyvit.models.config import CHOICES
from tinyvit.models.presets import PRESETS
from tinyvit.weights.save import LIBRARIES

CONFIG = replace(SMALL, depth=2, gelu="erf")
every_target = pytest.mark.parametrize("target", LIBRARIES)
VARIANTS = [
    {},
    {"gelu": "tanh"},
    {"eps": 1e-3},
    {"channels": 1, "heads": 8},
    {"mlp_dim": 34, "dim": 33},
    {"image": (8, 20)},
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@every_target
def test_there_and_back(tmp_path, target, variant, dtype):
    config = replace(CONFIG, **variant)
    p = cast(random_vit(config), dtype)
    folder = tmp_path / "not yet" / "there"
    save_weights(folder, p, config, target)
    q, same, notes = load_weights(folder)
    assert same == config and notes.source == target and q["cls"].dtype == dtype
    assert "assumed" not in str(notes)
    assert_same_bits(q, p)


@every_target
def test_from_the_golden_files_and_back(tmp_path, target):
    p, config, _ = load_weights(FOLDER / "classifier")
    save_weights(tmp_path, p, config, target)
    q, same, _ = load_weights(tmp_path)
    assert same == config
    assert_same_bits(q, p)
    save_weights(tmp_path, q, same, target)  # over the file that q is mapped to
    assert_same_bits(q, p)
    assert_same_bits(load_weights(tmp_path)[0], p)


@every_target
def test_names_and_preparation(tmp_path, target):
    p, names = random_vit(CONFIG), ["crane", "crane", *"abcde"]  # ImageNet has both the bird and the machine
    ways = ((None, False, "bilinear"), (0.9, False, "bicubic"), (1.0, False, "lanczos"), (0.7, True, "bicubic"))
    for crop, squash, resample in ways:
        how = dict(crop=crop, squash=squash, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))
        preparation = Preparation(8, resample, **how)
        assert save_weights(tmp_path, p, CONFIG, target, class_names=names, preparation=preparation) == []
        found = load_weights(tmp_path)[2]
        assert found.class_names == tuple(names)
        image = np.random.default_rng(0).integers(0, 256, (21, 33, 3), dtype=np.uint8)
        assert_same_bits(prepare_photo(image, found.preparation), prepare_photo(image, preparation))
    assert save_weights(tmp_path, p, CONFIG, target) == []
    assert load_weights(tmp_path)[2].preparation == Preparation(8)


def test_what_cannot_be_said_is_returned(tmp_path):
    p, config = random_vit(CONFIG), replace(CONFIG, eps=1e-12)
    nearest = Preparation(8, antialias=False)
    assert [line.split()[0] for line in save_weights(tmp_path, p, config, "timm", preparation=nearest)] == [
        "timm's",
        "pictures",
    ]
    assert save_weights(tmp_path, p, config, "huggingface") == []


def test_timms_own_names_of_classes(tmp_path):
    """Its files have the names of ImageNet's folders, and words for each of them beside."""
    save_weights(tmp_path, random_vit(CONFIG), CONFIG, "timm")
    for words, expected in (({}, tuple("abcdefg")), ({"b": "a bee", "z": "?"}, ("a", "a bee", *"cdefg"))):
        described = json.loads((tmp_path / "config.json").read_text())
        described |= {"label_names": list("abcdefg"), "label_descriptions": words}
        (tmp_path / "config.json").write_text(json.dumps(described))
        assert load_weights(tmp_path)[2].class_names == expected


@pytest.mark.parametrize("place", CHOICES["position_at"])
@every_target
def test_without_positions(tmp_path, target, place):
    config = replace(CONFIG, position="none", position_at=place)
    p = random_vit(config)
    save_weights(tmp_path, p, config, target)
    q, same, _ = load_weights(tmp_path)
    assert same == CONFIG and not q["pos"].any() and q["pos"].shape == (5, 24)
    images = pictures(config)
    assert_close(logits(q, same, images), logits(p, config, images), 1e-13)


@every_target
def test_what_has_no_place(tmp_path, target):
    config = replace(CONFIG, pre_logits=10)
    with pytest.raises(UsageError, match="pre-logits"):
        save_weights(tmp_path / "a", random_vit(config), config, target)
    with pytest.raises(UsageError, match="expected one of huggingface, timm, google"):
        save_weights(tmp_path / "a", random_vit(CONFIG), CONFIG, "torchvision")
    assert not (tmp_path / "a").exists()


UNPUBLISHED = [
    (dict(position="2d"), "position is 2d", "1d or none"),
    (dict(position="sinusoidal"), "position is sinusoidal", "1d or none"),
    (dict(position="relative", position_at="layers"), "position is relative", "1d or none"),
    (dict(position_at="layers"), "position_at is layers", "stem"),
    (dict(position_at="shared"), "position_at is shared", "stem"),
    (dict(norm="post"), "norm is post", "pre"),
    (dict(scale="none"), "scale is none", "sqrt"),
]


def test_hugging_face_has_no_place_for_a_mean(tmp_path):
    config = replace(CONFIG, pool="mean")
    with pytest.raises(UsageError, match="pool is mean, for which Hugging Face has no place: expected class;"):
        save_weights(tmp_path / "a", random_vit(config), config)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("pool", READOUTS)
def test_every_pool_has_a_place_in_timm(tmp_path, pool):
    config = replace(CONFIG, pool=pool)
    p = random_vit(config)
    save_weights(tmp_path, p, config, "timm")
    q, same, _ = load_weights(tmp_path)
    assert same == config
    assert_same_bits(q, p)


@every_target
@pytest.mark.parametrize("crop", [None, 1.0])
def test_rectangles(tmp_path, target, crop):
    """Height and width keep their order, in the model and in the preparation."""
    config, preparation = replace(CONFIG, image=(8, 20)), Preparation((8, 20), crop=crop)
    p = random_vit(config)
    if crop and target == "huggingface":
        with pytest.raises(UsageError, match="square images only"):
            save_weights(tmp_path, p, config, target, preparation=preparation)
        return
    save_weights(tmp_path, p, config, target, preparation=preparation)
    q, same, notes = load_weights(tmp_path)
    assert (same, notes.preparation) == (config, preparation)
    assert_same_bits(q, p)


@every_target
@pytest.mark.parametrize("problem_type", ["multi_label_classification", "regression"])
def test_what_the_logits_stand_for(tmp_path, target, problem_type):
    lost = save_weights(tmp_path, random_vit(CONFIG), CONFIG, target, problem_type=problem_type)
    assert load_weights(tmp_path)[2].problem_type == problem_type
    assert [line for line in lost if problem_type in line] == (lost if target == "timm" else [])
    with pytest.raises(UsageError, match="problem_type is 'other'"):
        save_weights(tmp_path, random_vit(CONFIG), CONFIG, target, problem_type="other")


@pytest.mark.parametrize(("variant", "found", "expected"), UNPUBLISHED, ids=str)
@every_target
def test_a_variant_that_was_never_published(tmp_path, target, variant, found, expected):
    config = replace(CONFIG, **variant)
    with pytest.raises(UsageError) as error:
        save_weights(tmp_path / "a", random_vit(config), config, target)
    name = {"huggingface": "Hugging Face", "timm": "timm"}[target]
    assert f"the model's {found}, for which {name} has no place: expected {expected}; " in str(error.value)
    assert "\n" not in str(error.value) and not (tmp_path / "a").exists()


def test_saved_by_everyone_for_everyone(tmp_path):
    save_weights(tmp_path, random_vit(CONFIG), CONFIG)
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert set(modes) == {"model.safetensors", "config.json", "preprocessor_config.json"}
    assert len(set(modes.values())) == 1


@pytest.fixture
def room():
    """Sets how many bytes a file may have: for the next, writing fails as it does when the disk is full."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most: resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("full_at", ["model.safetensors", "config.json", "preprocessor_config.json"])
def test_a_full_disk(tmp_path, monkeypatch, room, before, full_at):
    """Whichever file does not fit: an older model stays whole, and where there was none there is none."""
    config = replace(CONFIG, image=4, dim=2, depth=1, heads=1, mlp_dim=2)  # of 3 kB
    if before:
        save_weights(tmp_path, random_vit(config, seed=1), config)
    there = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    long = "a" * 3000  # two of them do not fit, but wait in a buffer until the file is closed
    names = [long, *"bcdefg"] if full_at == "config.json" else None
    if full_at == "preprocessor_config.json":
        monkeypatch.setattr("tinyvit.weights.save.preprocessor", lambda *_: [long, long])
    p = random_vit(config)
    room(2000 if full_at == "model.safetensors" else 6000)
    with pytest.raises(CheckpointError, match=r"cannot write .*; free some space"):
        save_weights(tmp_path, p, config, class_names=names)
    room(2**40)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == there


@pytest.mark.parametrize(("eps", "words"), [(1e-12, "the model 1e-12"), (1e-6, None), (1e-5, "the model 1e-05")])
def test_an_eps_that_timm_cannot_be_told(tmp_path, eps, words):
    config = replace(CONFIG, eps=eps)
    lost = save_weights(tmp_path, random_vit(config), config, "timm")
    assert [words in line for line in lost] == [True] * bool(words)
    assert save_weights(tmp_path, random_vit(config), config) == []


@pytest.mark.parametrize("target", ["huggingface", "timm"])
def test_the_weights_take_their_place_first(tmp_path, monkeypatch, target):
    placed, replace_file = [], os.replace
    monkeypatch.setattr(os, "replace", lambda side, path: (placed.append(path.name), replace_file(side, path)))
    save_weights(tmp_path, random_vit(CONFIG), CONFIG, target)
    assert placed[0] == "model.safetensors" and len(placed) == len(set(placed)) == len(list(tmp_path.iterdir()))


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(CheckpointError, match="cannot write"):
        save_weights(tmp_path / "a", random_vit(CONFIG), CONFIG)
    (tmp_path / "b" / "config.json").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="cannot write"):
        save_weights(tmp_path / "b", random_vit(CONFIG), CONFIG)
    assert os.listdir(tmp_path / "b") == ["config.json"]


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_transformers_opens_it_live(tmp_path, variant):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = replace(CONFIG, **variant)
    p, images = random_vit(config), pictures(config)
    for dtype, tolerance in (("float64", 1e-10), ("float32", 1e-4)):
        save_weights(tmp_path, cast(p, dtype), config, class_names=list("abcdefg"))
        options = dict(dtype=dtype, output_loading_info=True)
        model, info = transformers.ViTForImageClassification.from_pretrained(tmp_path, **options)
        assert not any(info.values()), info
        expected = logits(cast(p, dtype), config, images.astype(dtype))
        assert abs(answer(model.eval(), images, dtype) - expected).max() < tolerance * max(1, abs(expected).max())
        assert model.config.id2label == dict(enumerate("abcdefg"))


def test_a_trained_model_opens_live(tmp_path):
    pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    data, config = load_data("digits"), PRESETS["digits"]
    p, _ = fit(config, data, recipe=Recipe(epochs=1), progress=False)
    save_weights(tmp_path, p, config, class_names=[str(digit) for digit in range(10)])
    images = data[1][0][:20]
    model = transformers.ViTForImageClassification.from_pretrained(tmp_path).eval()
    expected = logits(p, config, images)
    assert expected.std() > 0.1
    assert abs(answer(model, images, "float32") - expected).max() < 1e-4
    assert_same_bits(load_weights(tmp_path)[0], p)


TIMM = [{}, {"gelu": "tanh"}, {"channels": 1}, {"mlp_dim": 34, "dim": 33}, {"image": (8, 20)}]


@pytest.mark.parametrize("variant", [*TIMM, *({"pool": pool} for pool in READOUTS)], ids=str)
def test_timm_opens_it_live(tmp_path, variant):
    pytest.importorskip("torch")
    timm = pytest.importorskip("timm")
    config = replace(CONFIG, **variant)
    p, images = cast(random_vit(config), np.float32), pictures(config)
    save_weights(tmp_path, p, config, "timm")
    described = json.loads((tmp_path / "config.json").read_text())
    model = timm.create_model(
        described["architecture"],
        checkpoint_path=str(tmp_path / "model.safetensors"),
        num_classes=described["num_classes"],
        **described["model_args"],
    )
    expected = logits(cast(p, float), config, images)
    assert abs(answer(model.eval(), images, "float64") - expected).max() < 1e-10 * max(1, abs(expected).max())


def test_names_and_parameters_that_do_not_fit(tmp_path):
    p = random_vit(CONFIG)
    with pytest.raises(UsageError, match="found 2 names of classes, expected one for each of the model's 7"):
        save_weights(tmp_path / "a", p, CONFIG, class_names=["a", "b"])
    with pytest.raises(UsageError, match="the parameters to save: blocks/2/ln1/gamma is absent"):
        save_weights(tmp_path / "a", p, replace(CONFIG, depth=3))
    assert not (tmp_path / "a").exists()


def test_timms_heads_are_read_back(tmp_path):
    config = replace(CONFIG, heads=2)
    save_weights(tmp_path, random_vit(config), config, "timm")
    described = json.loads((tmp_path / "config.json").read_text())
    del described["num_attention_heads"]
    (tmp_path / "config.json").write_text(json.dumps(described))
    assert load_weights(tmp_path)[1].heads == 2


def test_a_model_that_was_fine_tuned_from_a_vit_model_can_be_saved(tmp_path):
    """Hugging Face's ViTModel has a pooler, which a fresh head takes the place of."""
    p, config, _ = load_weights(FOLDER / "features", classes=3)
    assert save_weights(tmp_path, p, config) == []
    assert_same_bits(load_weights(tmp_path)[0], p)
