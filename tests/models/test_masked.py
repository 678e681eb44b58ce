"""Masked patch prediction."""

import dataclasses
import json

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, assert_same_bits, cast, randomised
from tests.test_planted_bugs import assert_found
from tinyvit import trees
from tinyvit.errors import UsageError
from tinyvit.models.config import ViTConfig
from tinyvit.models.masked import ENCODER, MaskedConfig, encoder_of, masked, masked_backward, masked_init, masked_masks
from tinyvit.models.model import check_parameters
from tinyvit.models.presets import PRESETS
from tinyvit.models.vit import encoder_backward, vit, vit_masks
from tinyvit.ops.patches import patchify, unpatchify

VIT = ViTConfig(image=6, channels=1, patch=2, dim=8, depth=2, heads=4, mlp_dim=7, classes=5)
B, N = 3, 9
VARIANTS = [
    {},
    {"pool": "mean"},
    {"dropout": 0.3},
    {"norm": "post", "scale": "none", "gelu": "tanh", "eps": 0.1},
    {"position": "none", "pre_logits": 6},
    *({"position": kind} for kind in ("2d", "sinusoidal")),
    *(
        {"position": kind, "position_at": place, "pool": pool}
        for kind in ("1d", "2d", "sinusoidal", "relative")
        for place, pool in (("layers", "class"), ("shared", "mean"))
    ),
]


@pytest.fixture
def images(rng):
    return rng.uniform(-1, 1, (B, 6, 6, 1))


def random_masked(config):
    return randomised(masked_init(None, config))


def drawn(config, seed=1, dtype="float64"):
    return masked_masks(np.random.default_rng(seed), config, B, dtype=dtype)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_encoder_is_the_vits(images, variant):
    """Where nothing is corrupted, each patch's token is that of the ViT with the same parameters."""
    config = MaskedConfig(dataclasses.replace(VIT, **variant))
    p = random_masked(config)
    masks = vit_masks(np.random.default_rng(1), config.vit, B, dtype=np.float64)  # of dropout, where there is any
    found, _ = masked(images, p, config, masks=masks)
    vit_p = {name: p[name] for name in ENCODER} | {"head": p["head"]}
    logits, c = vit(images, vit_p, dataclasses.replace(config.vit, classes=8, pre_logits=0), masks=masks)
    assert found.shape == (B, N, 8)
    if config.vit.pool == "mean":  # the head is linear: of the mean, it gives the mean
        assert_close(found.mean(axis=1), logits)
    else:
        tokens = naive.layer_norm(c["readout"]["class_row"]["z"][:, 1:], p["ln"], config.vit.eps)
        assert_close(found, naive.linear(tokens, p["head"]))


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_a_corrupted_patch_is_as_another_image(rng, images, variant):
    """An exchanged patch is one whose pixels were exchanged; a mask that says what black says is a black patch."""
    config = MaskedConfig(dataclasses.replace(VIT, **variant))
    p, masks = random_masked(config), drawn(config, seed=5)
    pixels = patchify(images, 2)[0]
    black = -np.ones((1, 4))
    p["mask"] = (black @ p["patch"]["w"] + p["patch"]["b"])[0]
    corrupted = unpatchify(naive.corrupt(pixels, black[0], masks["source"]), images.shape)
    assert not np.array_equal(corrupted, images)
    dropped = {name: mask for name, mask in masks.items() if name in ("stem", "blocks")}
    everywhere = masked(corrupted, p, config, masks=dropped)[0]
    found, c = masked(images, p, config, masks=masks)
    assert_close(found, naive.take_rows(everywhere, masks["chosen"]))
    dy = rng.standard_normal(found.shape)
    assert_same_bits(masked_backward(dy, p, c, config), masked_backward(dy, p, c, config))


def test_what_is_masked_has_no_influence(rng, images):
    config = MaskedConfig(VIT)
    p, masks = random_masked(config), drawn(config)
    found, c = masked(images, p, config, masks=masks)
    dimages, _ = masked_backward(rng.standard_normal(found.shape), p, c, config)
    unseen = np.array([[n not in sources for n in range(N)] for sources in masks["source"]])
    assert unseen.any() and not unseen.all()
    dpatches, _ = patchify(dimages, 2)
    assert not dpatches[unseen].any() and (dpatches[~unseen] != 0).any(axis=-1).all()
    pixels = patchify(images, 2)[0]
    pixels[unseen] = 7.0
    assert_same_bits(masked(unpatchify(pixels, images.shape), p, config, masks=masks)[0], found)


def test_each_image_is_predicted_alone(images):
    config = MaskedConfig(VIT)
    p, masks = random_masked(config), drawn(config)
    second = {"source": masks["source"][1:2], "chosen": masks["chosen"][1:2]}
    assert_close(masked(images[1:2], p, config, masks=second)[0], masked(images, p, config, masks=masks)[0][1:2])


def test_keep_drops_the_blocks_caches_only(images):
    config = MaskedConfig(VIT)
    p = random_masked(config)
    y, c = masked(images, p, config, keep_cache=False)
    assert_same_bits(y, masked(images, p, config)[0])
    assert c["blocks"] == [{}, {}]


def test_float32_in_and_out_and_close_to_float64(rng, images):
    config = MaskedConfig(dataclasses.replace(VIT, dropout=0.1))
    p = randomised(masked_init(None, config), noise=0.1)
    dy = rng.standard_normal((B, config.masked, 8))

    def results(dtype):
        x, parameters = images.astype(dtype), cast(p, dtype)
        y, c = masked(x, parameters, config, masks=drawn(config, dtype=dtype))
        return y, *masked_backward(dy.astype(dtype), parameters, c, config)

    assert {leaf.dtype for leaf in trees.leaves(list(results(np.float32)))} == {np.dtype("float32")}
    assert_close(results(np.float32), results(np.float64), 1e-5)


def test_the_first_guess_is_the_same_for_every_colour(rng, images):
    config = MaskedConfig(VIT)
    assert (masked(images.astype(np.float32), masked_init(rng, config), config)[0] == 0).all()


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_the_encoder_becomes_a_classifier(rng, images, variant):
    config = MaskedConfig(dataclasses.replace(VIT, **variant))
    p = trees.map(np.float32, random_masked(config))
    found = encoder_of(p, config, rng)
    check_parameters(found, config.vit, "the encoder")
    for name in ENCODER:
        assert_same_bits(found[name], p[name])
    assert not trees.leaves(found["head"])[0].any()
    assert {leaf.dtype for leaf in trees.leaves(found)} == {np.dtype("float32")}
    logits, _ = vit(images.astype(np.float32), found, config.vit)
    assert logits.shape == (B, 5) and not logits.any()
    if config.vit.pre_logits:
        assert found["pre_logits"]["w"].any()  # beside a head of zeros, zeros would never learn


def test_the_tree_of_parameters(rng):
    config = MaskedConfig(dataclasses.replace(VIT, channels=3))
    p = masked_init(rng, config)
    assert list(p) == [*ENCODER, "mask", "head"]
    assert (p["mask"].shape, p["head"]["w"].shape, p["head"]["b"].shape) == ((8,), (8, 512), (512,))
    assert p["mask"].all() and not p["head"]["w"].any()
    shapes = lambda tree: [(name, leaf.shape, leaf.dtype) for name, leaf in trees.walk(tree)]  # noqa: E731
    assert shapes(masked_init(None, config)) == shapes(p)


def test_there_and_back_through_json():
    for config in MaskedConfig(VIT), MaskedConfig(PRESETS["mnist"], corrupted=0.25), MaskedConfig({"image": 32}):
        found = MaskedConfig(**json.loads(json.dumps(dataclasses.asdict(config))))
        assert found == config and hash(found) == hash(config) and isinstance(found.vit, ViTConfig)


def test_what_training_asks_of_a_configuration():
    config = MaskedConfig(PRESETS["mnist"])
    assert (config.image, config.channels, config.vit.depth, config.classes) == (28, 1, 2, 8)
    assert (config.patches, config.masked) == (16, 8)
    assert MaskedConfig(ViTConfig()).classes == 512  # the paper's
    assert MaskedConfig(VIT, corrupted=1).masked == 9


WRONG = [
    (dict(corrupted=0), "corrupted is 0: expected a share of the patches above 0, at most 1"),
    (dict(corrupted=1.5), "corrupted is 1.5: expected a share of the patches above 0, at most 1"),
    (dict(corrupted="half"), "corrupted is 'half': expected a share of the patches above 0, at most 1"),
    (dict(corrupted=0.05), "corrupted is 0.05 of 9 patches: expected at least one of two or more"),
    (
        dict(vit=dataclasses.replace(VIT, patch=6)),
        "corrupted is 0.5 of 1 patches: expected at least one of two or more",
    ),
    (dict(vit={"dims": 8}), "not a ViTConfig: unknown ['dims'], expected some of "),
    (dict(vit=None), "not a ViTConfig: unknown None, expected some of "),
    (dict(vit=dataclasses.replace(VIT, channels=20)), "20 channels have 8^20 colours: expected fewer channels"),
]


@pytest.mark.parametrize(
    ("values", "message"), WRONG, ids=[str(next(iter(values.values())))[:30] for values, _ in WRONG]
)
def test_a_wrong_value_is_one_line_that_names_it(values, message):
    with pytest.raises(UsageError) as error:
        MaskedConfig(**{"vit": VIT} | values)
    assert str(error.value).startswith(message) and "\n" not in str(error.value)


def test_images_of_another_size_are_refused(images):
    config = MaskedConfig(VIT)
    with pytest.raises(UsageError, match=r"images are \[3, 5, 6, 1\]: the model takes \[B, 6, 6, 1\]"):
        masked(images[:, 1:], random_masked(config), config)


BUGS = [  # function, the case that must fail, the mistake, what stands there, how it is easily written
    (
        masked_backward,
        "masked",
        "the tokens of other patches",
        'take_rows_backward(dz, c["chosen"])',
        'take_rows_backward(dz[:, ::-1], c["chosen"])',
    ),
    (
        masked_backward,
        "masked",
        "no gradient through the mask",
        'dz, g["mask"] = corrupt_backward',
        '_, g["mask"] = corrupt_backward',
    ),
    (
        masked_backward,
        "masked",
        "LayerNorm forgotten",
        'dz, g["ln"] = layer_norm_backward',
        '_, g["ln"] = layer_norm_backward',
    ),
    (encoder_backward, "masked", "blocks in the order of the way back", "dz, g[i], dpos[i]", "dz, g[-1 - i], dpos[i]"),
    (masked_backward, "masked/dropout", "dropout forgotten", 'dz = dropout_backward(dz, c["dropout"])', "..."),
    (
        masked_backward,
        "masked/mean, relative, post-norm",
        "positions forgotten",
        "# (3), (2)",
        '\n    g["pos"] = 0 * g["pos"]',
    ),
    (
        masked_backward,
        "masked",
        "the positions' gradient of the first image only",
        'position_backward(dz, p["pos"], c["pos"], kind=vit.position)',
        'position_backward(dz[:1], p["pos"], c["pos"], kind=vit.position)',
    ),
]


@pytest.mark.parametrize(
    ("function", "case", "right", "wrong"), [pytest.param(f, c, r, w, id=n) for f, c, n, r, w in BUGS]
)
def test_the_gradient_check_finds(function, case, right, wrong):
    assert_found(function, case, right, wrong)
