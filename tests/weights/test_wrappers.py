"""What stands around a model in a file, a script's dictionary or a prefix, is seen through, and said."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.reference.compare import assert_same_bits
from tests.reference.forgery import refused_in_one_line
from tests.reference.torch_files import save_torch
from tests.weights.tables import SMALL, arrays, prefixed
from tinyvit import load_weights
from tinyvit.weights.wrappers import AVERAGES

CONFIG = replace(SMALL, depth=2)
STATES = {source: arrays(source, CONFIG) for source in ("timm", "huggingface")}
STATES["bare"] = {name.removeprefix("vit."): x for name, x in STATES["huggingface"].items()}
ANOTHER = {name: x + 1 for name, x in STATES["timm"].items()}
STATE = STATES["timm"]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "vit.pth"


def loaded(path, content):
    """The model of a file with this content, and its notes beyond those that the bare model has."""
    save_torch(path.with_name("plain.pth"), STATE)
    plain = load_weights(path.with_name("plain.pth"), heads=3)[2].lines
    save_torch(path, content)
    p, _, notes = load_weights(path, heads=3)
    return p, [line for line in notes.lines if line not in plain]


def expected(path, state=STATE):
    """The bare model: in a file of its own, since arrays are views into the files that they were read from."""
    save_torch(path.with_name("expected.pth"), state)
    return load_weights(path.with_name("expected.pth"), heads=3)[0]


PREFIXES = [
    "module.",
    "model.",
    "backbone.",
    "encoder.",
    "_orig_mod.",
    "base_model.",
    "model.module.",
    "net.",
    "student.",
]
PREFIXES += ["_orig_mod.module.", "base_model.model.", "state_dict.module.backbone.", "teacher.backbone.", "model_ema."]


@pytest.mark.parametrize("source", STATES)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_prefix_is_seen_through(tmp_path, path, source, prefix):
    p = expected(path, STATES[source])
    save_torch(path, prefixed(prefix, STATES[source]))
    q, _, notes = load_weights(path, heads=3)
    assert notes.lines[0] == f"the names begin with {prefix}, which is left out"
    assert_same_bits(q, p)
    save_file(prefixed(prefix, STATES[source]), tmp_path / "model.safetensors")
    assert_same_bits(load_weights(tmp_path, heads=3)[0], p)


def test_timms_names_behind_vit(path):
    p, notes = loaded(path, prefixed("vit.", STATE))
    assert_same_bits(p, expected(path))
    assert notes == ["the names begin with vit., which is left out"]


def test_hugging_faces_own_prefix_is_none(path):
    save_torch(path, STATES["huggingface"])
    assert "begin with" not in str(load_weights(path, heads=3)[2])


STEP = {"optimizer": {"state": {0: {"exp_avg": np.ones(3, np.float32)}}, "lr": 0.1}, "epoch": 3}
CHOICES = {  # a content, what is read of it, and what is said
    "a script's": ({"model": STATE} | STEP, "model.", ["1 other arrays are not read: of optimizer"]),
    "with an average": ({"model_ema": ANOTHER, "model": STATE}, "model.", ["model.* is read, not model_ema.*"]),
    "timm's": ({"state_dict": STATE, "state_dict_ema": ANOTHER}, "state_dict.", ["not state_dict_ema.*"]),
    "an average alone": ({"model_ema": STATE} | STEP, "model_ema.", []),
    "an average in a module": (
        {"model_ema": {"module": STATE}, "model": {"x": STATE["cls_token"]}},
        "model_ema.module.",
        [],
    ),
    "DINO's": (
        {"student": prefixed("module.backbone.", ANOTHER), "teacher": prefixed("backbone.", STATE)},
        "teacher.backbone.",
        ["teacher.backbone.* is read, not student.module.backbone.*"],
    ),
    "DINO's with its head": (
        {"teacher": prefixed("backbone.", STATE) | {"head.mlp.0.weight": np.ones((2, 2), np.float32)}},
        "teacher.backbone.",
        ["1 other arrays are not read: of teacher"],
    ),
    "a student alone": ({"student": STATE}, "student.", []),
    "Lightning's": ({"state_dict": prefixed("model.", STATE), "hyper_parameters": {"lr": 1}}, "state_dict.model.", []),
    "one further in": (
        {"encoder": {"vit": ANOTHER}, "model": STATE},
        "model.",
        ["model.* is read, not encoder.vit.*"],
    ),
    "two beside, under one name": (
        {"model": STATE, "loss": {"a": np.ones(1, np.float32), "b": np.ones(1, np.float32)}},
        "model.",
        ["2 other arrays are not read: of loss"],
    ),
    "a scalar beside": ({"model": STATE, "scaler": np.ones((), np.float32)}, "model.", ["of scaler"]),
}


@pytest.mark.parametrize("name", CHOICES)
def test_what_is_chosen_is_said(path, name):
    content, prefix, words = CHOICES[name]
    p, notes = loaded(path, content)
    assert_same_bits(p, expected(path))
    assert notes[0] == f"the names begin with {prefix}, which is left out"
    for line in words:
        assert line in "; ".join(notes), notes


@pytest.mark.parametrize("average", sorted(AVERAGES))
def test_an_average_is_never_taken_before_the_model(path, average):
    p, notes = loaded(path, {average: ANOTHER, "state_dict": STATE})
    assert_same_bits(p, expected(path))
    assert f"state_dict.* is read, not {average}.*" in notes


def test_two_models_are_one_too_many(path):
    save_torch(path, {"model": STATE, "state_dict": ANOTHER})
    refused_in_one_line(lambda: load_weights(path, heads=3), path, "holds two models, model.* and state_dict.*")


def test_what_is_within_the_prefix_is_not_passed_over(path):
    """What stands among the model's own arrays belongs to it: a model with more in it is another model."""
    save_torch(path, {"model": STATE | {"blocks.0.ls1.gamma": np.ones(24, np.float32)}})
    refused_in_one_line(lambda: load_weights(path, heads=3), path, "blocks.0.ls1.gamma")


@pytest.mark.parametrize("prefix", ["visual.", "image_encoder.", "deit.", "x.model.", "modelx.", "model"])
def test_a_prefix_that_nobody_knows(path, prefix):
    save_torch(path, prefixed(prefix, STATE))
    refused_in_one_line(lambda: load_weights(path, heads=3), path)
