"""The doctor: every planted fault is found, by the check that is for it, and a healthy model passes in silence."""

import dataclasses
import json
import re

import numpy as np
import pytest

from tests.doctor import case
from tests.training import helpers
from tests.training.helpers import call
from tinyvit import trees
from tinyvit.data import load_data
from tinyvit.doctor import examine as examination
from tinyvit.doctor import learning, model, progress, settings
from tinyvit.errors import DataError
from tinyvit.layers import encoder_block, multi_head_attention
from tinyvit.layers.block import BLOCKS
from tinyvit.models import vit as vit_module
from tinyvit.models.config import ViTConfig
from tinyvit.models.model import ALL_MODELS, MODELS
from tinyvit.models.swin import SwinConfig, swin_init
from tinyvit.ops.patterns import windows
from tinyvit.training import train_step
from tinyvit.training.batches import as_part
from tinyvit.training.recipe import Recipe

CONFIG = ViTConfig(image=8, channels=1, patch=2, dim=16, depth=2, heads=2, mlp_dim=32, classes=10, position_std=0.5)
DROPPING = dataclasses.replace(CONFIG, dropout=0.9)
RECIPE = Recipe(batch=64, learning_rate=1e-2)
DECAYING = dataclasses.replace(RECIPE, weight_decay=20)
(X, Y), (X_TEST, Y_TEST) = load_data("digits")


def examined(config=CONFIG, x=X, y=Y, recipe=RECIPE, x_test=X_TEST, y_test=Y_TEST, **options):
    return examination.examine(config, ((x, y), (x_test, y_test)), recipe=recipe, **options)


def names():
    """Of all checks."""
    found = []
    list(examined(watch=lambda checks: found.extend(checks) or []))
    return set(found)


def findings(**options):
    return list(examined(**options))


def first_finding(check, **options):
    """The first or None; neither what comes after it is computed, nor the trials, which take long, if not meant."""
    return next(examined(**options, only=names() - ({"overfit", "learning rate"} - {check})), None)


def trained(change=lambda p: None):
    """A model after a short trial, with something changed in it."""
    p = learning.trial_of(as_part((X, Y)), CONFIG, RECIPE, 0, RECIPE.learning_rate).p
    change(p)
    return p


# ---- healthy

VARIANTS = [{}, dict(dropout=0.1, gelu="tanh"), dict(pre_logits=8, depth=4, heads=1)]
VARIANTS += [
    dict(pool="mean", norm="post", scale="none", position="relative", position_at="shared"),
    dict(pool="mean", position="2d"),
    dict(norm="post", position="sinusoidal", position_at="layers"),
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_healthy_model_passes_in_silence(options):
    assert findings(config=dataclasses.replace(CONFIG, **options)) == []


def test_so_does_a_healthy_run():
    run = case.trained()
    found = examination.examine(run.config, run.data, recipe=run.recipe, p=run.p, history=run.history, seed=4)
    assert list(found) == []


# ---- planted: a change to what is examined, the check that finds it, and some of its words


def shuffled():
    return dict(y=np.random.default_rng(0).permutation(Y))


def rate(factor):
    return dict(recipe=dataclasses.replace(RECIPE, learning_rate=factor * RECIPE.learning_rate))


def with_nan():
    x = X.copy()
    x[3, 2, 2] = np.nan
    return dict(x=x)


def blocks(change):
    return dict(p=trained(lambda p: [change(block) for block in p["blocks"]]))


def deaden(block):
    block["mlp"]["fc1"]["b"][...] = -20


def saturate(block):
    for name in "qk":
        block["msa"][name]["w"] *= 100


def flatten(block):
    block["msa"]["q"]["w"][...] = block["msa"]["q"]["b"][...] = 1e-9


def stare(p):
    """Token 3 is, by its position, what every query asks for."""
    p["pos"][3] = 0
    p["pos"][3, 0] = 100
    for block in p["blocks"]:
        block["msa"]["q"]["w"][...], block["msa"]["q"]["b"][...] = 1e-9, 10
        block["msa"]["k"]["w"][...] = 0
        block["ln1"]["gamma"][...], block["ln1"]["beta"][...] = 0, 0
        block["ln1"]["gamma"][0] = 1
        block["msa"]["k"]["w"][0] = 10


IN_WHAT_IS_EXAMINED = {
    "images from 0 to 255": (lambda: dict(x=127.5 * (X + 1)), "images", "training images range from 0 to 255: scale"),
    "test images not scaled": (lambda: dict(x_test=127.5 * (X_TEST + 1)), "images", "test images range from 0 to 255"),
    "images divided twice": (lambda: dict(x=X / 255), "images", "hardly vary"),
    "black images": (lambda: dict(x=np.full_like(X, -1)), "images", "hardly vary"),
    "a number that is none": (with_nan, "images", "1 numbers of the training images are not finite"),
    "a class without examples": (lambda: dict(x=X[Y != 4], y=Y[Y != 4]), "classes", "no training image is of class 4"),
    "labels from 1, so to say": (lambda: dict(y=np.maximum(Y, 1)), "classes", "of class 0"),
    "labels shuffled": (shuffled, "labels", "seem unrelated"),
    "no positions": (
        lambda: dict(config=dataclasses.replace(CONFIG, position="none")),
        "input",
        "order of the patches",
    ),
    "no positions, nor a class token": (
        lambda: dict(config=dataclasses.replace(CONFIG, position="none", position_at="layers", pool="mean")),
        "input",
        "order of the patches",
    ),
    "learning rate x 30": (lambda: rate(30), "learning rate", "too high"),
    "learning rate / 30": (lambda: rate(1 / 30), "learning rate", "too low"),
    "weight decay x 400": (
        lambda: dict(recipe=dataclasses.replace(RECIPE, weight_decay=20)),
        "settings",
        "weight decay 20",
    ),
    "dropout 0.9": (lambda: dict(config=dataclasses.replace(CONFIG, dropout=0.9)), "settings", "90% dropout"),
    "dead units": (lambda: blocks(deaden), "units", "100 % of the hidden units of layer 1 (blocks/0) are dead"),
    "saturated softmax": (lambda: blocks(saturate), "attention", "saturated in layer 1 (blocks/0)"),
    "attention without preference": (lambda: blocks(flatten), "attention", "uniform in layer 1 (blocks/0)"),
    "attention collapsed": (lambda: dict(p=trained(stare)), "attention", "collapsed in layer 1 (blocks/0)"),
}


@pytest.mark.parametrize("fault", IN_WHAT_IS_EXAMINED)
def test_a_fault_in_what_is_examined_is_found_first(fault):
    plant, check, words = IN_WHAT_IS_EXAMINED[fault]
    found = first_finding(check, **plant())
    assert found, "silent"
    assert found.check == check and words in found.words and "\n" not in found.words, found


def test_a_run_that_went_on_without_learning():
    history = [{"kind": "step", "step": 10 * i, "loss": 2.31} for i in range(1, 50)]
    (found,) = findings(history=history, only=["progress"])
    assert found.check == "progress" and "it has learned nothing" in found.words


# ---- planted in the code


def without_gradient(name):
    """The MLP's backward pass loses one of its gradients."""

    def plant(monkeypatch):
        whole = encoder_block.mlp_backward

        def broken(dy, p, c):
            dy, g = whole(dy, p, c)
            g[name]["w"] = 0 * g[name]["w"]
            return dy, g

        monkeypatch.setattr(encoder_block, "mlp_backward", broken)

    return plant


def scale_forgotten(monkeypatch):
    """dq is not scaled by 1/sqrt(d_k): the linear layer gets too much."""
    whole = multi_head_attention.attention_backward

    def broken(dy, c):
        dq, *rest = whole(dy, c)
        return dq * np.sqrt(dq.shape[-1]), *rest

    monkeypatch.setattr(multi_head_attention, "attention_backward", broken)


def no_residual(monkeypatch):
    """The gradient takes no way around the blocks."""
    forward, backward = BLOCKS["pre"]

    def broken(dz, p, c):
        dx, g = backward(dz, p, c)
        return 1e-4 * dx, g

    monkeypatch.setitem(BLOCKS, "pre", (forward, broken))


def uphill(monkeypatch):
    """The update climbs."""
    whole = train_step.adamw_step
    monkeypatch.setattr(train_step, "adamw_step", lambda p, g, *rest, **options: whole(p, -g, *rest, **options))


def wild_head(monkeypatch):
    whole = MODELS["vit"].init

    def wild(rng, config):
        p = whole(rng, config)
        if rng is None:  # the shapes alone
            return p
        p["head"]["w"] += np.random.default_rng(0).normal(0, 3, p["head"]["w"].shape).astype(np.float32)
        return p

    monkeypatch.setitem(ALL_MODELS, "vit", MODELS["vit"]._replace(init=wild))


def blind(monkeypatch):
    """Every patch is the same to the model."""
    whole = vit_module.patch_embedding
    monkeypatch.setattr(vit_module, "patch_embedding", lambda x, *rest, **options: whole(0 * x, *rest, **options))


IN_THE_CODE = {
    "fc1 without a gradient": (
        without_gradient("fc1"),
        "gradients",
        "the gradient of blocks/1/mlp/fc1/w is missing (and 1 nearer",
    ),
    "fc2 without a gradient": (
        without_gradient("fc2"),
        "gradients",
        "the gradient of blocks/1/mlp/fc2/w is missing (and 1 nearer",
    ),
    "scale forgotten backwards": (scale_forgotten, "gradients", "the gradient of blocks/1/msa/q/b is wrong"),
    "gradients lost on the way": (no_residual, "gradients", "blocks/0/mlp/fc2/b is wrong"),
    "uphill": (uphill, "overfit", "cannot learn 32 images by heart"),
    "a head that starts large": (wild_head, "first loss", "let the head start at zero"),
    "a model that sees nothing": (blind, "input", "the same for all images"),
}


@pytest.mark.parametrize("fault", IN_THE_CODE)
def test_a_fault_in_the_code_is_found(fault, monkeypatch):
    plant, check, words = IN_THE_CODE[fault]
    plant(monkeypatch)
    found = first_finding(check)
    assert found, "silent"
    assert found.check == check and words in found.words, found


def test_gradients_that_vanish_are_told_from_those_that_do_not():
    assert list(model._check_flow([[np.full(4, 1.0)], [np.full(4, 0.01)]])) == []
    (found,) = model._check_flow([[np.full(4, 1e-5)], [np.full(4, 1.0)]])
    assert "their norm is 2e-05 in layer 1 and 2 in layer 2" in found


def test_the_given_model_is_not_changed():
    p = trained()
    before = trees.map(np.copy, p)
    findings(p=p, only=("units", "attention", "predictions"))
    assert all((a == b).all() for a, b in zip(trees.leaves(p), trees.leaves(before), strict=True))


def test_data_of_another_model_are_refused():
    with pytest.raises(DataError):
        findings(y=Y + 1)


@pytest.mark.parametrize("digit", [3, 8])
def test_a_rare_class_is_no_fault(digit):
    two = dataclasses.replace(CONFIG, classes=2)
    found = findings(config=two, y=(Y == digit).astype(int), y_test=(Y_TEST == digit).astype(int), only=["labels"])  # noqa: SIM300
    assert found == []


def test_a_run_that_is_still_warming_up_is_no_fault():
    recipe = dataclasses.replace(RECIPE, epochs=100)  # 2,245 steps, of which 225 warm up
    history = [{"kind": "step", "step": 10 * i, "loss": 2.28} for i in range(1, 31)]
    assert not list(progress.check_progress(history, len(X), CONFIG, recipe))
    history += [{"kind": "step", "step": 10 * i, "loss": 2.28} for i in range(31, 45)]
    assert "it has learned nothing" in next(progress.check_progress(history, len(X), CONFIG, recipe))


def test_a_model_with_one_patch_has_no_order_to_know():
    assert findings(config=dataclasses.replace(CONFIG, patch=8), only=["input"]) == []


def test_a_gradient_that_stops_altogether_does_not_flow():
    (found,) = model._check_flow([[np.zeros(4)], [np.ones(4)]])
    assert "their norm is 0 in layer 1" in found


def test_between_two_findings_the_callers_settings_hold():
    before = np.geterr()
    found = examination.examine(CONFIG, ((127.5 * (X + 1), Y), (X_TEST, Y_TEST)), recipe=RECIPE)
    next(found)
    assert np.geterr() == before
    found.close()


EMPTY = dict(x_test=X_TEST[:0], y_test=Y_TEST[:0])


@pytest.mark.parametrize("change", [dict(y=Y[:-1]), dict(x=X[:0], y=Y[:0]), dict(x=X[:, :4]), EMPTY])
def test_data_that_do_not_fit_are_one_line(change):
    with pytest.raises(DataError) as error:
        findings(**change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("images", [1, 2, 3])
def test_few_images_are_no_traceback(images):
    findings(x=X[:images], y=Y[:images])


# ---- the command


def test_the_command_on_the_preset_says_what_it_looked_at():
    result = call("doctor")
    assert result.code == 0 and "23 checks, nothing found" in result.err and "docs/doctor.md" in result.err
    well, _, skipped = result.out.partition("not looked at:\n")
    assert well.startswith("looked at, and found well:\n")
    assert re.search(r"^  leakage +360 test and 1,437 training images: none in both", well, re.MULTILINE)
    assert len(re.findall("^  [a-z]", well, re.MULTILINE)) == 20 and "nan" not in well
    assert max(map(len, result.out.splitlines())) <= 100
    assert [line.split()[0] for line in skipped.splitlines()] == ["weights", "predictions", "progress"]


def test_the_command_on_a_run_that_is_ill(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "STEPS", 12)
    monkeypatch.setitem(learning.OVERFIT, "steps", 4)
    helpers.put_run(tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["recipe"]["learning_rate"] = 3.0
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    result = call("doctor", tmp_path / "run")
    assert result.code == 1
    assert re.search(r"^learning rate: the learning rate 3 is too high: .*; try that$", result.out, re.MULTILINE)
    said = json.loads(call("doctor", tmp_path / "run", "--json").out)
    assert "learning rate" in [finding["check"] for finding in said["findings"]]
    assert said["looked_at"]["leakage"].startswith("360 test and 1,437 training images: none in both")
    assert said["looked_at"].keys() & said["skipped"].keys() == set()


def test_the_command_without_such_a_run(tmp_path):
    result = call("doctor", tmp_path / "none")
    assert result.code and result.err.count("\n") == 1


def test_a_model_that_is_not_the_configured_one(tmp_path):
    run = helpers.put_run(tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["config"]["depth"] = 2
    (run / "config.json").write_text(json.dumps(config))
    result = call("doctor", run)
    assert result.code and result.err.count("\n") == 1 and "is of another model than" in result.err


def test_the_learning_rate_of_a_fine_tuned_run_is_not_judged():
    wild = dataclasses.replace(RECIPE, learning_rate=3.0)
    data = (X, Y), (X_TEST, Y_TEST)
    (checked,) = examination.examination(CONFIG, data, recipe=wild, fine_tuned=True, only=["learning rate"])
    assert not checked.findings and "random weights" in checked.skipped


def test_more_label_smoothing_than_is_usual_is_said():
    (found,) = settings.check_settings(CONFIG, dataclasses.replace(RECIPE, label_smoothing=0.6), len(X))
    assert found.startswith("60% label smoothing")


def test_a_loss_that_bends_is_no_wrong_gradient():
    """Behind a LayerNorm of patches of one pixel, whose variance may be almost 0, differences need smaller steps."""
    config = SwinConfig(image=8, channels=1, patch=1, dim=16, depths=(2, 2), heads=(2, 4), window=4, classes=10)
    p = swin_init(np.random.default_rng(0), config)
    p["head"]["w"] += np.random.default_rng(0).normal(0, 0.1, p["head"]["w"].shape).astype("f")
    images, labels = load_data("digits")[0]
    assert not list(model.check_gradients({"images": images[:4], "labels": labels[:4]}, p, config, 0))


def test_attention_is_judged_by_what_a_query_may_look_at():
    """Alike within windows is uniform; who may look at itself alone cannot be told to look elsewhere."""
    pairs, alone = windows(1, 4, 2), np.eye(4, dtype=bool)
    (found,) = model.check_attention([np.full((1, 1, 4, 4), 0.5) * pairs], [pairs], ["blocks/0"])
    assert "attention is uniform in layer 1 (blocks/0)" in found
    assert not list(model.check_attention([np.eye(4)[None, None]], [alone], ["blocks/0"]))
    (found,) = model.check_attention([np.eye(4)[None, None]], [pairs], ["stages/0/blocks/0"])
    assert "softmax is saturated in layer 1 (stages/0/blocks/0)" in found
