"""The table of models, through which training knows each of them."""

import dataclasses
import json

import numpy as np
import pytest

from tests.reference.compare import assert_same_bits, randomised
from tinyvit import trees
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.config import ViTConfig
from tinyvit.models.masked import MaskedConfig
from tinyvit.models.model import MODELS, model_of, name_of, parameter_count

VIT = ViTConfig(image=6, channels=2, patch=2, dim=8, depth=2, heads=4, mlp_dim=7, classes=5, dropout=0.2)
CONFIGS = {
    "vit": VIT,
    "cnn": CNNConfig(image=6, channels=2, classes=5, widths=(3, 4)),
    "masked": MaskedConfig(dataclasses.replace(VIT, dim=4)),
}
every_model = pytest.mark.parametrize("name", MODELS)
B = 3


@pytest.fixture
def images(rng):
    return rng.uniform(-1, 1, (B, 6, 6, 2))


@every_model
def test_a_configuration_says_which_model_it_is_of(name):
    assert name_of(CONFIGS[name]) == name and model_of(CONFIGS[name]) is MODELS[name]


@every_model
def test_a_worker_gets_the_configuration_as_json(name):
    config = CONFIGS[name]
    assert MODELS[name].config(**json.loads(json.dumps(dataclasses.asdict(config)))) == config


@every_model
def test_parameters_are_counted_without_making_any(rng, name):
    assert parameter_count(CONFIGS[name]) == trees.count(MODELS[name].init(rng, CONFIGS[name]))


@every_model
def test_one_seed_gives_one_model(name):
    first, second, other = (MODELS[name].init(np.random.default_rng(seed), CONFIGS[name]) for seed in (1, 1, 2))
    assert_same_bits(first, second)
    assert any(not np.array_equal(a, b) for a, b in zip(*map(trees.leaves, (first, other)), strict=True))


@every_model
@pytest.mark.parametrize("full", [True, False])
def test_a_step_as_training_takes_it(images, name, full):
    model, config = MODELS[name], CONFIGS[name]
    p, labels = randomised(model.init(None, config)), np.array([1, 4, 0])
    masks, targets = model.draw(np.random.default_rng(1), config, images, labels, all_rows=full, dtype=np.float64)
    y, c = model.forward(images, p, config, masks=masks, all_rows=full)
    assert y.shape == (len(targets), config.classes) and targets.min() >= 0 and targets.max() < config.classes
    dimages, g = model.backward(np.ones_like(y), p, c, config)
    assert dimages.shape == images.shape
    assert {name: leaf.shape for name, leaf in trees.walk(g, p)} == {name: leaf.shape for name, leaf in trees.walk(p)}
    if model.classifies:
        assert len(y) == len(labels) and targets is labels


@every_model
def test_an_evaluation_as_training_asks_for_it(images, name):
    """Without masks, nothing is random, and nothing of it is needed for a backward pass."""
    model, config = MODELS[name], CONFIGS[name]
    p = randomised(model.init(None, config))
    y, _ = model.forward(images, p, config, all_rows=False, keep_cache=False)
    assert_same_bits(model.forward(images, p, config)[0].shape, y.shape)
    np.testing.assert_allclose(y, model.forward(images, p, config)[0], rtol=1e-12, atol=1e-12)


def test_what_is_hidden_is_found_in_the_images_that_are_given_and_no_label_is_read(images):
    def draw(images, labels):
        return MODELS["masked"].draw(
            np.random.default_rng(1), CONFIGS["masked"], images, labels, all_rows=False, dtype="float32"
        )

    masks, targets = draw(images, None)
    other_masks, other_targets = draw(-images, np.array([1, 4, 0]))
    assert_same_bits(masks, other_masks)
    assert_same_bits(targets + other_targets, np.full(len(targets), 63))  # 7 - level, in both channels
