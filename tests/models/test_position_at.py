"""Where positions enter: at the stem, in every block, or in every block with one table for all."""

import dataclasses

import numpy as np
import pytest

from tests.reference.compare import assert_close, assert_same_bits, random_vit
from tinyvit import trees
from tinyvit.layers.block import BLOCKS
from tinyvit.layers.position import POSITIONS
from tinyvit.models.config import CHOICES, ViTConfig
from tinyvit.models.vit import encoder, encoder_backward, vit, vit_backward

CONFIG = ViTConfig(image=6, channels=2, patch=2, dim=8, depth=3, heads=4, mlp_dim=7, classes=5)
LEARNED = ["1d", "2d", "relative"]


@pytest.fixture
def images(rng):
    return rng.standard_normal((2, 6, 6, 2))


def gradients(dy, p, c, config):
    """The gradients of the images and of the parameters, the positions' apart."""
    dimages, g = vit_backward(dy, p, c, config)
    pos = g.pop("pos")
    return dimages, g, pos


@pytest.mark.parametrize("norm", BLOCKS)
@pytest.mark.parametrize("pool", ["class", "mean"])
@pytest.mark.parametrize("kind", LEARNED)
def test_one_table_for_all_layers_is_the_same_table_in_each_and_its_gradient_is_their_sum(
    rng, images, kind, pool, norm
):
    shared = dataclasses.replace(CONFIG, position=kind, position_at="shared", pool=pool, norm=norm)
    own, dy = dataclasses.replace(shared, position_at="layers"), rng.standard_normal((2, 5))
    p = random_vit(shared)
    copies = p | {"pos": [trees.map(np.copy, p["pos"]) for _ in range(3)]}
    (logits, c), (expected, c_own) = vit(images, p, shared), vit(images, copies, own)
    assert_same_bits(logits, expected)

    (*found, dpos), (*wanted, dcopies) = gradients(dy, p, c, shared), gradients(dy, copies, c_own, own)
    assert_same_bits(found, wanted)
    assert_close(dpos, trees.map(lambda *tables: sum(tables), *dcopies))
    for name, table in trees.walk(dcopies):
        assert abs(table).max() > 1e-3, name  # each layer has its part in the sum


@pytest.mark.parametrize("kind", ["1d", "2d"])
def test_tables_that_are_zero_but_the_first_are_a_stem(rng, images, kind):
    stem, layers = (dataclasses.replace(CONFIG, position=kind, position_at=place) for place in ("stem", "layers"))
    p = random_vit(stem)
    zero = trees.map(np.zeros_like, p["pos"])
    first, last = ([p["pos"], zero, zero], [zero, zero, p["pos"]])
    (expected, c_stem), (logits, c) = vit(images, p, stem), vit(images, p | {"pos": first}, layers)
    assert_close(logits, expected)
    assert abs(vit(images, p | {"pos": last}, layers)[0] - expected).max() > 0.01

    dy = rng.standard_normal((2, 5))
    *_, wanted = gradients(dy, p, c_stem, stem)
    *_, found = gradients(dy, p | {"pos": first}, c, layers)
    assert_close(found[0], wanted)  # and so the others are in their order, too


def test_waves_in_every_layer_are_a_table_of_waves_in_every_layer(images):
    waves, learned = (dataclasses.replace(CONFIG, position=kind, position_at="shared") for kind in ("sinusoidal", "1d"))
    p = random_vit(waves)
    table = POSITIONS["sinusoidal"].forward(np.zeros((1, 10, 8)), {})[0][0]
    assert_close(vit(images, p | {"pos": table}, learned)[0], vit(images, p, waves)[0])


@pytest.mark.parametrize("place", ["layers", "shared"])
def test_relative_positions_of_zero_are_none(images, place):
    relative = dataclasses.replace(CONFIG, position="relative", position_at=place)
    none, p = dataclasses.replace(CONFIG, position="none"), random_vit(relative)
    zero = p | {"pos": trees.map(np.zeros_like, p["pos"])}
    assert_close(vit(images, zero, relative)[0], vit(images, p | {"pos": {}}, none)[0])
    assert abs(vit(images, p, relative)[0] - vit(images, zero, relative)[0]).max() > 0.01


def test_the_class_token_stands_before_the_patches(images):
    """So says relative_position_init: patch n (from 1) is n away from it, as from a patch n places before it."""
    config = dataclasses.replace(CONFIG, position="relative", position_at="shared")
    r = vit(images, random_vit(config), config)[1]["blocks"][0]["msa"]["r"]
    assert r["r"].shape == (4, 19, 2) and r["q"].shape == (2, 4, 10, 2)
    p = random_vit(config)
    only_three = p | {"pos": np.where(np.arange(19)[:, None] == 9 + 3, p["pos"], 0)}  # a key for the offset 3 alone
    zero = p | {"pos": np.zeros_like(p["pos"])}
    with_key, without = (vit(images, q, config)[1]["blocks"][0]["msa"]["att"]["a"] for q in (only_three, zero))
    shift = np.log(with_key) - np.log(without)  # but for a constant in each row
    shift -= np.median(shift, axis=-1, keepdims=True)
    assert set(zip(*np.nonzero(abs(shift).max(axis=(0, 1)) > 1e-9), strict=True)) == {(t, t + 3) for t in range(7)}


def test_the_stem_adds_nothing_where_positions_enter_in_every_layer(images):
    """The first block is handed the tokens as the class token's layer left them."""
    for kind in POSITIONS:
        for place in ("layers", "shared"):
            config = dataclasses.replace(CONFIG, position=kind, position_at=place)
            p = random_vit(config)
            _, c = vit(images, p, config)
            assert "pos" not in c
            tokens = c["patch"]["linear"]["x"] @ p["patch"]["w"] + p["patch"]["b"]
            tokens = np.concatenate([np.broadcast_to(p["cls"], (2, 1, 8)), tokens], axis=1)
            z, _ = encoder(tokens, p, config)
            assert_close(z, c["readout"]["class_row"]["z"])
    assert "pos" in vit(images, random_vit(CONFIG), CONFIG)[1]


@pytest.mark.parametrize("place", CHOICES["position_at"])
def test_the_blocks_read_the_tree_itself(rng, place):
    """A model that is trained changes its parameters in place: what the blocks are given must change with them."""
    config = dataclasses.replace(CONFIG, position_at=place)
    z, p = rng.standard_normal((2, 10, 8)), random_vit(config)
    for leaf in trees.leaves([p["blocks"], p["pos"] if place != "stem" else []]):
        before, _ = encoder(z, p, config)
        leaf *= 1.5
        moved = abs(encoder(z, p, config)[0] - before).max() > 1e-12
        assert moved or any(leaf is b["msa"]["k"]["b"] for b in p["blocks"])


@pytest.mark.parametrize("norm", BLOCKS)
def test_a_block_has_the_configurations_options(rng, norm):
    config = dataclasses.replace(CONFIG, norm=norm, gelu="tanh", eps=0.1, scale="none", heads=2, depth=1)
    (z, dz), p = rng.standard_normal((2, 2, 10, 8)), random_vit(config)
    forward, backward = BLOCKS[norm]
    expected, cache = forward(z, p["blocks"][0], heads=2, gelu="tanh", eps=0.1, scale="none")
    y, c = encoder(z, p, config)
    assert_same_bits([y, c], [expected, [cache]])
    dx, gradients = backward(dz, p["blocks"][0], cache)
    assert_same_bits(encoder_backward(dz, p, c, config), (dx, [gradients], [None]))
