"""The whole Vision Transformer."""

import dataclasses
import itertools

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits, random_vit
from tinyvit import trees
from tinyvit.errors import UsageError
from tinyvit.layers.block import BLOCKS
from tinyvit.layers.pool import READOUTS
from tinyvit.layers.position import POSITIONS
from tinyvit.models.config import CHOICES, ViTConfig
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.ops.dropout import NO_MASKS
from tinyvit.ops.patches import patchify, unpatchify
from tinyvit.ops.scale import SCALES

CONFIG = ViTConfig(image=6, channels=2, patch=2, dim=8, depth=2, heads=4, mlp_dim=7, classes=5)
B, T = 3, 10
PLACED = [  # every kind of position in every place; relative positions have no stem
    {"position": kind, "position_at": place}
    for kind, place in itertools.product(POSITIONS, CHOICES["position_at"])
    if (kind, place) != ("relative", "stem")
]
COMBINED = [
    {"pool": "mean", "norm": "post", "scale": "none", "dropout": 0.3},
    {"pool": "mean", "position": "2d", "position_at": "shared", "norm": "post", "eps": 0.1, "pre_logits": 6},
    {"pool": "mean", "position": "relative", "position_at": "layers", "gelu": "tanh", "dropout": 0.3},
    {"position": "relative", "position_at": "shared", "norm": "post", "scale": "none"},
    {"position": "sinusoidal", "position_at": "layers", "norm": "post", "dropout": 0.3},
]
EVERY_PAIR = [  # of two choices
    placed | dict(pool=pool, norm=list(BLOCKS)[(i + j) % 2], scale=list(SCALES)[(i // 2 + j) % 2])
    for i, placed in enumerate(PLACED)
    for j, pool in enumerate(READOUTS)
]
VARIANTS = [{}, {"gelu": "tanh"}, {"pre_logits": 6}, {"dropout": 0.3}, {"eps": 0.1}]
VARIANTS += [*({"pool": pool} for pool in READOUTS), {"norm": "post"}, {"scale": "none"}, *PLACED, *COMBINED]


@pytest.fixture
def images(rng):
    return rng.standard_normal((B, 6, 6, 2))


def naive_vit(images, p, config, masks):
    """The logits of the twin, whatever the configuration."""
    activation = {"erf": naive.gelu, "tanh": naive.gelu_tanh}[config.gelu]
    chosen = {name: getattr(config, name) for name in ("patch", "heads", "eps", "pool", "position", "position_at")}
    chosen |= {"norm": config.norm, "scale": config.scale}
    return naive.vit(images, p, activation=activation, masks=masks, **chosen)


def _masks(config, all_rows=True):
    return vit_masks(np.random.default_rng(1), config, B, all_rows=all_rows, dtype=np.float64)


@pytest.mark.parametrize("variant", [*VARIANTS, *EVERY_PAIR], ids=str)
def test_agrees_with_its_twin(images, variant):
    config = dataclasses.replace(CONFIG, **variant)
    p, masks = random_vit(config), _masks(config)
    assert_close(vit(images, p, config, masks=masks)[0], naive_vit(images, p, config, masks))


@pytest.mark.parametrize("placed", [placed for placed in PLACED if placed["position"] != "2d"], ids=str)
def test_rectangles_agree_with_the_twin(rng, placed):
    """Four rows of two patches, and two rows of four, are other models of the same images."""
    images, found = rng.standard_normal((B, 8, 4, 2)), []
    for image, shown in (((8, 4), images), ((4, 8), images.reshape(B, 4, 8, 2))):
        config = dataclasses.replace(CONFIG, image=image, **placed)
        assert (config.size, config.grid_size, config.tokens) == (image, (image[0] // 2, image[1] // 2), 9)
        found.append(vit(shown, random_vit(config), config)[0])
        assert_close(found[-1], naive_vit(shown, random_vit(config), config, NO_MASKS))
    assert abs(found[0] - found[1]).max() > 0.01
    with pytest.raises(UsageError, match=r"takes \[B, 4, 8, 2\]"):
        vit(images, random_vit(config), config)


def test_every_pair_of_values_of_two_choices_is_compared_with_the_twin():
    """Every combination is not needed here: test_variants.py has all of them."""
    tables = {name: list(CHOICES[name]) for name in ("position", "position_at", "pool", "norm", "scale")}
    for one, other in itertools.combinations(tables, 2):
        found = {(variant[one], variant[other]) for variant in EVERY_PAIR}
        assert found == set(itertools.product(tables[one], tables[other])) - {("relative", "stem")}


def test_every_value_of_every_choice_is_a_variant():
    for name, table in CHOICES.items():
        if name != "attention":  # whose kinds are compared with masked attention, in tests/layers/test_attend.py
            assert {getattr(dataclasses.replace(CONFIG, **variant), name) for variant in VARIANTS} == set(table)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_rows_that_are_read_alone_give_the_same_logits_and_gradients(rng, images, variant):
    """Of the class token, its row; a mean reads all."""
    config = dataclasses.replace(CONFIG, **variant)
    rows, tokens = 1 if config.pool == "class" else config.tokens, config.tokens
    p, masks, dy = random_vit(config), _masks(config), rng.standard_normal((B, 5))
    short = NO_MASKS
    if masks:
        last = trees.map(lambda mask: mask[:, :rows], masks["blocks"][-1])
        short = masks | {"blocks": [*masks["blocks"][:-1], last]}
    logits, c = vit(images, p, config, masks=masks)
    short_logits, c_short = vit(images, p, config, masks=short, all_rows=False)
    assert c_short["blocks"][-1]["msa"]["att"]["a"].shape == (B, 4, rows, tokens)
    assert_close(short_logits, logits)
    assert_close(vit_backward(dy, p, c_short, config), vit_backward(dy, p, c, config))


def test_each_image_is_classified_alone(images):
    p = random_vit(CONFIG)
    assert_close(vit(images[1:2], p, CONFIG)[0], vit(images, p, CONFIG)[0][1:2])


def _permuted(images, order):
    return unpatchify(patchify(images, 2)[0][:, order], images.shape)


@pytest.mark.parametrize("place", CHOICES["position_at"])
@pytest.mark.parametrize("norm", BLOCKS)
@pytest.mark.parametrize("pool", READOUTS)
def test_without_positions_permuted_patches_give_permuted_tokens_and_the_same_logits(rng, images, pool, norm, place):
    config = dataclasses.replace(CONFIG, position="none", position_at=place, pool=pool, norm=norm)
    p, order = random_vit(config), rng.permutation(T - 1)
    logits, c = vit(images, p, config)
    permuted_logits, c_permuted = vit(_permuted(images, order), p, config)
    tokens = np.concatenate([[0], 1 + order]) if config.class_token else order
    last = lambda c: c["readout"]["class_row"]["z"] if pool == "class" else c["readout"]["z"]  # noqa: E731
    assert_close(permuted_logits, logits)
    assert_close(last(c_permuted), last(c)[:, tokens])
    for permuted, block in zip(c_permuted["blocks"], c["blocks"], strict=True):
        assert_close(permuted["msa"]["att"]["a"], block["msa"]["att"]["a"][:, :, tokens][..., tokens])


@pytest.mark.parametrize("norm", BLOCKS)
@pytest.mark.parametrize("pool", READOUTS)
@pytest.mark.parametrize("placed", [placed for placed in PLACED if placed["position"] != "none"], ids=str)
def test_with_positions_the_order_of_the_patches_matters(rng, images, placed, pool, norm):
    config = dataclasses.replace(CONFIG, **placed, pool=pool, norm=norm)
    p, order = random_vit(config), rng.permutation(T - 1)
    assert abs(vit(_permuted(images, order), p, config)[0] - vit(images, p, config)[0]).max() > 0.01


def test_with_columns_alone_the_order_of_the_rows_does_not_matter(images):
    """Positions in two dimensions say two things: a table of zeros for one of them says the other alone."""
    config, rows = dataclasses.replace(CONFIG, position="2d"), np.array([3, 4, 5, 6, 7, 8, 0, 1, 2])
    p = random_vit(config)
    blind = p | {"pos": p["pos"] | {"y": np.zeros_like(p["pos"]["y"])}}
    assert_close(vit(_permuted(images, rows), blind, config)[0], vit(images, blind, config)[0])
    assert abs(vit(_permuted(images, rows), p, config)[0] - vit(images, p, config)[0]).max() > 0.01


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


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_tree_of_parameters(rng, variant):
    """Everywhere the same, but for the positions and the class token."""
    config = dataclasses.replace(CONFIG, **variant)
    p = vit_init(rng, config)
    assert [name for name in p if name != "pre_logits"] == ["patch", "cls", "pos", "blocks", "ln", "head"]
    assert [list(block) for block in p["blocks"]] == [["ln1", "msa", "ln2", "mlp"]] * 2
    assert "blocks/1/msa/q/w" in trees.named(p)
    assert ("cls" in trees.named(p)) == (config.pool not in ("mean", "mean_norm"))


TABLES = {  # the positions, by kind and whether there is a class token: names and shapes
    ("1d", True): {"": (T, 8)},
    ("1d", False): {"": (T - 1, 8)},
    ("2d", True): {"x": (3, 4), "y": (3, 4), "cls": (1, 8)},
    ("2d", False): {"x": (3, 4), "y": (3, 4)},
    ("relative", True): {"": (2 * T - 1, 8)},
    ("relative", False): {"": (2 * T - 3, 8)},
}


@pytest.mark.parametrize("pool", READOUTS)
@pytest.mark.parametrize("placed", PLACED, ids=str)
def test_the_tables_of_positions(rng, placed, pool):
    """One at the stem, one that all blocks share, or as many as there are blocks, each drawn for itself."""
    config = dataclasses.replace(CONFIG, **placed, pool=pool)
    pos, kind = vit_init(rng, config)["pos"], (placed["position"], config.class_token)
    tables = pos if placed["position_at"] == "layers" else [pos]
    assert len(tables) == (2 if placed["position_at"] == "layers" else 1)
    for table in tables:
        assert {name: leaf.shape for name, leaf in trees.walk(table)} == TABLES.get(kind, {})
    leaves = trees.leaves(tables)
    assert not any(np.array_equal(a, b) for i, a in enumerate(leaves) for b in leaves[:i])


def test_pre_logits_come_before_the_head(rng):
    p = vit_init(rng, dataclasses.replace(CONFIG, pre_logits=6))
    assert list(p) == ["patch", "cls", "pos", "blocks", "ln", "pre_logits", "head"]
    assert p["pre_logits"]["w"].shape == (8, 6)
    assert p["head"]["w"].shape == (6, 5)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_what_starts_at_zero_at_one_and_at_random(rng, variant):
    p = vit_init(rng, dataclasses.replace(CONFIG, **{"pre_logits": 6} | variant))
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


@pytest.mark.parametrize("std", [0.02, 0.5])
@pytest.mark.parametrize("placed", PLACED, ids=str)
def test_positions_start_with_the_given_deviation(rng, placed, std):
    config = dataclasses.replace(CONFIG, **placed, image=24, dim=64, position_std=std)
    for leaf in trees.leaves(vit_init(rng, config)["pos"]):
        if leaf.shape[0] > 1:
            assert np.std(leaf) == pytest.approx(std, rel=0.1)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_shapes_alone_are_the_same_tree(rng, variant):
    config = dataclasses.replace(CONFIG, **variant)
    drawn, described = vit_init(rng, config), vit_init(None, config)
    shapes = lambda tree: [(name, leaf.shape, leaf.dtype) for name, leaf in trees.walk(tree)]  # noqa: E731
    assert shapes(described) == shapes(drawn)


@pytest.mark.parametrize(
    "pool, full, tokens, rows",
    [("class", True, T, T), ("class", False, T, 1), ("mean", True, T - 1, T - 1), ("mean", False, T - 1, T - 1)],
)
def test_masks_are_where_the_paper_puts_them(pool, full, tokens, rows):
    masks = _masks(dataclasses.replace(CONFIG, dropout=0.3, pool=pool), full)
    assert {name: mask.shape for name, mask in trees.walk(masks)} == {
        "stem": (B, tokens, 8),
        "blocks/0/msa": (B, tokens, 8),
        "blocks/0/mlp/fc1": (B, tokens, 7),
        "blocks/0/mlp/fc2": (B, tokens, 8),
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
