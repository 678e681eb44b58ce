"""The whole Vision Transformer."""

import dataclasses

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits, random_vit
from tinyvit import trees
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.ops.dropout import NO_MASKS
from tinyvit.ops.patches import patchify, unpatchify

CONFIG = ViTConfig(image=6, channels=2, patch=2, dim=8, depth=2, heads=4, mlp_dim=7, classes=5)
B, T = 3, 10
VARIANTS = [{}, {"position": "none"}, {"gelu": "tanh"}, {"pre_logits": 6}, {"dropout": 0.3}, {"eps": 0.1}]


@pytest.fixture
def images(rng):
    return rng.standard_normal((B, 6, 6, 2))


def _masks(config, full=True):
    return vit_masks(np.random.default_rng(1), config, B, full=full, dtype=np.float64)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_agrees_with_its_twin(images, variant):
    config = dataclasses.replace(CONFIG, **variant)
    p, masks = random_vit(config), _masks(config)
    activation = naive.gelu_tanh if config.gelu == "tanh" else naive.gelu
    expected = naive.vit(images, p, patch=2, heads=4, activation=activation, eps=config.eps, masks=masks)
    assert_close(vit(images, p, config, masks=masks)[0], expected)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_class_row_alone_gives_the_same_logits_and_gradients(rng, images, variant):
    config = dataclasses.replace(CONFIG, **variant)
    p, masks, dy = random_vit(config), _masks(config), rng.standard_normal((B, 5))
    short = NO_MASKS
    if masks:
        last = trees.map(lambda mask: mask[:, :1], masks["blocks"][-1])
        short = masks | {"blocks": [*masks["blocks"][:-1], last]}
    logits, c = vit(images, p, config, masks=masks)
    short_logits, c_short = vit(images, p, config, masks=short, full=False)
    assert c_short["blocks"][-1]["msa"]["att"]["a"].shape == (B, 4, 1, T)
    assert_close(short_logits, logits)
    assert_close(vit_backward(dy, p, c_short, config), vit_backward(dy, p, c, config))


def test_each_image_is_classified_alone(images):
    p = random_vit(CONFIG)
    assert_close(vit(images[1:2], p, CONFIG)[0], vit(images, p, CONFIG)[0][1:2])


def _permuted(images, order):
    return unpatchify(patchify(images, 2)[0][:, order], images.shape)


def test_without_positions_permuted_patches_give_permuted_tokens_and_the_same_logits(rng, images):
    config, order = dataclasses.replace(CONFIG, position="none"), rng.permutation(T - 1)
    p = random_vit(config)
    logits, c = vit(images, p, config)
    permuted_logits, c_permuted = vit(_permuted(images, order), p, config)
    tokens = np.concatenate([[0], 1 + order])
    assert_close(permuted_logits, logits)
    assert_close(c_permuted["class_row"]["z"], c["class_row"]["z"][:, tokens])
    for permuted, block in zip(c_permuted["blocks"], c["blocks"], strict=True):
        assert_close(permuted["msa"]["att"]["a"], block["msa"]["att"]["a"][:, :, tokens][..., tokens])


def test_with_positions_the_order_of_the_patches_matters(rng, images):
    p, order = random_vit(CONFIG), rng.permutation(T - 1)
    assert abs(vit(_permuted(images, order), p, CONFIG)[0] - vit(images, p, CONFIG)[0]).max() > 0.01


def test_the_class_tokens_gradient_is_the_batch_sum_of_row_zero(rng, images):
    p, dy = random_vit(CONFIG), rng.standard_normal((B, 5))
    _, g = vit_backward(dy, p, vit(images, p, CONFIG)[1], CONFIG)
    alone = [vit_backward(dy[b : b + 1], p, vit(images[b : b + 1], p, CONFIG)[1], CONFIG)[1] for b in range(B)]
    assert_close(g["pos"][:1], g["cls"])  # the token and its position are added, so they share one gradient
    assert_close(g["cls"], sum(gradient["cls"] for gradient in alone))


def test_key_biases_have_no_gradient(rng, images):
    p = random_vit(CONFIG)
    _, g = vit_backward(rng.standard_normal((B, 5)), p, vit(images, p, CONFIG)[1], CONFIG)
    for block in g["blocks"]:
        assert abs(block["msa"]["k"]["b"]).max() < 1e-13 * abs(block["msa"]["k"]["w"]).max()


def test_the_tree_of_parameters(rng):
    p = vit_init(rng, CONFIG)
    assert list(p) == ["patch", "cls", "pos", "blocks", "ln", "head"]
    assert [list(block) for block in p["blocks"]] == [["ln1", "msa", "ln2", "mlp"]] * 2
    assert "blocks/1/msa/q/w" in trees.named(p)
    assert vit_init(rng, dataclasses.replace(CONFIG, position="none"))["pos"] == {}


def test_pre_logits_come_before_the_head(rng):
    p = vit_init(rng, dataclasses.replace(CONFIG, pre_logits=6))
    assert list(p) == ["patch", "cls", "pos", "blocks", "ln", "pre_logits", "head"]
    assert p["pre_logits"]["w"].shape == (8, 6)
    assert p["head"]["w"].shape == (6, 5)


def test_what_starts_at_zero_at_one_and_at_random(rng):
    p = vit_init(rng, dataclasses.replace(CONFIG, pre_logits=6))
    for name, leaf in trees.walk(p):
        if name.endswith("gamma"):
            assert (leaf == 1).all(), name
        elif name.endswith(("/b", "beta")) or name in ("cls", "head/w"):
            assert (leaf == 0).all(), name
        else:
            assert np.unique(leaf).size == leaf.size, name


def test_one_seed_gives_one_model():
    first, second, other = (vit_init(np.random.default_rng(seed), CONFIG) for seed in (1, 1, 2))
    assert_same_bits(first, second)
    assert not np.array_equal(first["pos"], other["pos"])


def test_shapes_alone_are_the_same_tree(rng):
    drawn, described = vit_init(rng, CONFIG), vit_init(None, CONFIG)
    shapes = lambda tree: [(name, leaf.shape, leaf.dtype) for name, leaf in trees.walk(tree)]  # noqa: E731
    assert shapes(described) == shapes(drawn)


@pytest.mark.parametrize("full", [True, False])
def test_masks_are_where_the_paper_puts_them(full):
    masks = _masks(dataclasses.replace(CONFIG, dropout=0.3), full)
    rows = T if full else 1
    assert {name: mask.shape for name, mask in trees.walk(masks)} == {
        "stem": (B, T, 8),
        "blocks/0/msa": (B, T, 8),
        "blocks/0/mlp/fc1": (B, T, 7),
        "blocks/0/mlp/fc2": (B, T, 8),
        "blocks/1/msa": (B, rows, 8),
        "blocks/1/mlp/fc1": (B, rows, 7),
        "blocks/1/mlp/fc2": (B, rows, 8),
    }


def test_masks_are_drawn_one_by_one_and_none_at_rate_zero():
    masks = trees.leaves(_masks(dataclasses.replace(CONFIG, dropout=0.3)))
    assert not any(np.array_equal(a, b) for i, a in enumerate(masks) for b in masks[:i])
    assert not _masks(CONFIG)


def test_dropout_is_off_at_evaluation(images):
    p = random_vit(CONFIG)
    assert_same_bits(vit(images, p, dataclasses.replace(CONFIG, dropout=0.3)), vit(images, p, CONFIG))
