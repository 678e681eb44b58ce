"""Agreement with PyTorch: from the committed file, and live where torch is installed."""

import dataclasses

import numpy as np
import pytest

from tests.golden.make_torch_vit import CONFIG, FILE, OPTIMISER, SMOOTHING, inputs, make
from tests.reference.compare import assert_close, cast
from tests.reference.training import flatten, loss_and_gradients, train
from tinyvit import trees
from tinyvit.models.vit import vit, vit_init

DTYPES = [(np.float64, 1e-12), (np.float32, 1e-5)]
VARIANTS = [{}, {"gelu": "tanh"}, {"position": "none"}, {"pre_logits": 9}, {"eps": 0.01}]


@pytest.fixture(scope="module")
def golden():
    with np.load(FILE) as arrays:
        return dict(arrays)


def _tree(arrays, prefix):
    like = vit_init(None, CONFIG)
    return trees.from_names({name: arrays[f"{prefix}/{name}"] for name in trees.named(like)}, like)


def _without_key_biases(p):
    return {name: leaf for name, leaf in trees.walk(p) if not name.endswith("k/b")}


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_logits_loss_and_gradients_agree_with_the_file(golden, dtype, tolerance, full):
    images, p = cast(golden["images"], dtype), cast(_tree(golden, "p"), dtype)
    found = loss_and_gradients(images, golden["labels"], p, CONFIG, smoothing=SMOOTHING, all_rows=full)
    assert_close(found, (golden["logits"], golden["loss"], golden["dimages"], _tree(golden, "g")), tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
def test_ten_steps_of_adamw_agree_with_the_file(golden, dtype, tolerance):
    images, p, expected = cast(golden["images"], dtype), cast(_tree(golden, "p"), dtype), _tree(golden, "trained")
    found, _ = train(images, golden["labels"], p, CONFIG, smoothing=SMOOTHING, **OPTIMISER)
    assert_close(_without_key_biases(found), _without_key_biases(expected), tolerance)

    # The gradient of a key bias is zero, so what is computed is rounding, which Adam scales up to whole steps: there
    # two correct programs part, by no more than the steps taken. No output sees it.
    for name, leaf in trees.walk(found):
        largest_step = OPTIMISER["steps"] * OPTIMISER["learning_rate"]
        assert not name.endswith("k/b") or abs(leaf - trees.named(expected)[name]).max() <= 2 * largest_step
    assert_close(vit(images, found, CONFIG)[0], vit(golden["images"], expected, CONFIG)[0], tolerance)


def test_the_file_is_of_steps_that_clip_and_move_everything(golden):
    p, g, trained = (_tree(golden, prefix) for prefix in ("p", "g", "trained"))
    assert np.linalg.norm(flatten(g, p)) > 2 * OPTIMISER["limit"]
    assert all((abs(a - b) > 0).all() for a, b in zip(trees.leaves(p), trees.leaves(trained), strict=True))


def test_torch_still_gives_what_the_file_says(golden):
    pytest.importorskip("torch")
    fresh = make()
    assert fresh.keys() == golden.keys()
    assert_close(_without_key_biases(fresh), _without_key_biases(golden))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_variants_agree_live(variant):
    pytest.importorskip("torch")
    from tests.golden import torch_vit

    config = dataclasses.replace(CONFIG, **variant)
    images, labels, p = inputs(config)
    expected = torch_vit.gradients(images, labels, p, config, smoothing=SMOOTHING)
    assert_close(loss_and_gradients(images, labels, p, config, smoothing=SMOOTHING), expected)
