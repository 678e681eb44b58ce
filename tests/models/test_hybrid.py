"""The hybrid: its ResNet against a twin in loops, its sizes against the published ones."""

import json

import numpy as np
import pytest

from tests.reference import naive_pyramids
from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit import trees
from tinyvit.errors import UsageError
from tinyvit.layers import resnet as resnet_module
from tinyvit.layers.bottleneck import bottleneck, bottleneck_init
from tinyvit.layers.group_norm import group_norm, group_norm_init
from tinyvit.layers.resnet import resnet, resnet_features, resnet_init
from tinyvit.models.config import ViTConfig
from tinyvit.models.hybrid import HybridConfig, hybrid, hybrid_init
from tinyvit.models.model import model_of
from tinyvit.models.vit import vit
from tinyvit.ops.max_pool import max_pool, max_pool_backward
from tinyvit.ops.standardise import standardise, standardise_backward

VITS = {
    "Ti": dict(dim=192, heads=3, mlp_dim=768),
    "S": dict(dim=384, heads=6, mlp_dim=1536),
    "B": {},
    "L": dict(dim=1024, heads=16, mlp_dim=4096, depth=24),
}
PUBLISHED = {  # name: (ViT, units, patch on the map, its grid at 224, parameters at 224 and at 384)
    "R+Ti/16": ("Ti", (), 8, 7, 6_337_704, 6_355_944),
    "R26+S/32": ("S", (2, 2, 2, 2), 1, 7, 36_431_912, 36_468_392),
    "R26+B/32": ("B", (2, 2, 2, 2), 1, 7, 101_383_976, 101_456_936),
    "R50+B/16": ("B", (3, 4, 9), 1, 14, 98_659_112, 98_950_952),
    "R50+B/32": ("B", (3, 4, 6, 3), 1, 7, 110_945_832, 111_018_792),
    "R50+L/32": ("L", (3, 4, 6, 3), 1, 7, 328_994_856, 329_092_136),
}
SMALL = HybridConfig(
    ViTConfig(image=1, patch=1, dim=4, depth=1, heads=2, mlp_dim=3, classes=5), image=12, channels=2, units=(1, 2),
    width=4, groups=2,
)  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_many_as_published(name):
    size, units, patch, grid, *counts = PUBLISHED[name]
    for image, count in zip((224, 384), counts, strict=True):
        config = HybridConfig(ViTConfig(image=patch, patch=patch, **VITS[size]), image=image, units=units)
        assert trees.count(hybrid_init(None, config)) == count
        assert config.vit.grid == (grid if image == 224 else grid * 12 // 7)


@pytest.mark.parametrize("kind", ["std", "var"])
@pytest.mark.parametrize("sides", [(12, 12), (9, 14)])
def test_the_resnet_is_its_twin(rng, kind, sides):
    x, p = rng.standard_normal((2, *sides, 2)), randomised(resnet_init(None, 2, 4, (1, 2)))
    y, _ = resnet(x, p, groups=2, eps=1e-5, kind=kind)
    assert_close(y, naive_pyramids.resnet(x, p, 2, 1e-5, kind), 1e-11)


@pytest.mark.parametrize("kind", ["std", "var"])
@pytest.mark.parametrize("pixels", [1, 2 * 12 * 12, 10**6])
def test_prediction_takes_some_images_at_a_time(rng, monkeypatch, kind, pixels):
    """One, two, or all at once: the same features, and logits without a cache."""
    monkeypatch.setattr(resnet_module, "AT_ONCE", pixels)
    x, p = rng.standard_normal((5, 12, 12, 2)), randomised(resnet_init(None, 2, 4, (1, 2)))
    expected, _ = resnet(x, p, groups=2, kind=kind)
    assert_close(resnet_features(x, p, groups=2, kind=kind), expected)
    p, config = randomised(hybrid_init(None, SMALL)), SMALL.changed(standardise=kind)
    assert_close(hybrid(x, p, config, keep_cache=False)[0], hybrid(x, p, config)[0])


def test_a_fresh_unit_hands_on_its_shortcut(rng):
    x = rng.standard_normal((2, 4, 4, 8))
    y, _ = bottleneck(x, bottleneck_init(rng, 8, 2, project=False, dtype="float64"), groups=2)
    np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_without_a_cache_nothing_is_kept(rng):
    x, p = rng.standard_normal((2, 12, 12, 2)), randomised(resnet_init(None, 2, 4, (1, 2)))
    y, c = resnet(x, p, groups=2, keep_cache=False)
    assert_same_bits(y, resnet(x, p, groups=2)[0])
    assert not trees.leaves(c)


def test_the_transformer_takes_the_map_for_an_image(rng):
    p, images = randomised(hybrid_init(None, SMALL)), rng.standard_normal((2, 12, 12, 2))
    features, _ = resnet(images, p["resnet"], groups=2, eps=SMALL.group_eps, kind="std")
    assert features.shape[1:] == (SMALL.vit.image, SMALL.vit.image, SMALL.vit.channels) == (2, 2, 32)
    np.testing.assert_array_equal(hybrid(images, p, SMALL)[0], vit(features, p, SMALL.vit)[0])


@pytest.mark.parametrize("kind", ["std", "var"])
def test_the_filters_that_are_looked_at_are_those_that_are_used(kind):
    config, p = SMALL.changed(standardise=kind), randomised(hybrid_init(None, SMALL))
    w = p["resnet"]["stem"]["w"]
    found = model_of(config).views["filters"](p, config)
    np.testing.assert_array_equal(found, standardise(w, kind=kind)[0].reshape(-1, w.shape[-1]))


def test_where_eps_stands_changes_small_kernels():
    w = 0.003 * np.random.default_rng(0).standard_normal((3, 3, 8, 4))
    google, timm = (standardise(w, kind=kind)[0] for kind in ("std", "var"))
    assert 1e-3 < abs(google - timm).max() / abs(google).max() < 1e-2
    assert_close(google, naive_pyramids.standardise(w, "std"))
    assert_close(timm, naive_pyramids.standardise(w, "var"))


def test_a_kernel_of_one_number_everywhere_is_standardised_to_zero():
    """There is no deviation to divide by, and eps keeps the result finite."""
    for kind in ("std", "var"):
        y, c = standardise(np.zeros((3, 3, 2, 4), "float32"), kind=kind)
        assert not y.any()
        dw = standardise_backward(np.ones_like(y) * np.arange(2, dtype=y.dtype)[:, None], c, kind=kind)
        np.testing.assert_allclose(dw[:, :, 1], 0.5 * c["factor"][0], rtol=1e-5)
        assert dw.dtype == "float32"
        assert abs(standardise(np.full((3, 3, 2, 4), 0.7), kind=kind)[0]).max() < 1e-9


def test_one_group_and_as_many_groups_as_channels(rng):
    x, p = rng.standard_normal((2, 3, 5, 6)), randomised(group_norm_init(None, 6))
    for groups in (1, 3, 6):
        assert_close(group_norm(x, p, groups=groups)[0], naive_pyramids.group_norm(x, p, groups, 1e-6))


def test_a_mean_far_from_zero_costs_no_digits(rng):
    """The variance is of what is left without the mean: the mean of squares has too few digits for it."""
    x, p = (1000 + rng.standard_normal((2, 6, 6, 4))).astype(np.float32), randomised(group_norm_init(None, 4))
    y, _ = group_norm(x, trees.map(np.float32, p), groups=2)
    assert y.dtype == np.float32
    assert_close(y, naive_pyramids.group_norm(x.astype(np.float64), p, 2, 1e-6), 1e-3)


@pytest.mark.parametrize("kernel", [11, 12, 16, 17])
def test_windows_of_many_pixels_have_their_winner(kernel):
    """Its number may be too large for eight bits."""
    last = np.arange(kernel * kernel, dtype=float).reshape(1, kernel, kernel, 1)
    y, c = max_pool(last, kernel, kernel)
    assert y.ravel().tolist() == [kernel * kernel - 1]
    dx = max_pool_backward(np.full_like(y, 3), c, kernel, kernel)
    np.testing.assert_array_equal(dx, 3 * (last == last.max()))


def test_of_negative_pixels_at_the_edge_the_largest_wins_and_not_a_zero():
    x = -1 - np.arange(16.0).reshape(1, 4, 4, 1)
    y, c = max_pool(x, 3, 2)
    np.testing.assert_array_equal(y, naive_pyramids.max_pool(x, 3, 2))
    assert y.max() == -1
    assert max_pool_backward(np.ones_like(y), c, 3, 2).sum() == y.size


def test_of_equal_pixels_the_first_has_the_gradient():
    x = np.zeros((1, 2, 2, 1))
    _, c = max_pool(x, 2, 2)
    assert max_pool_backward(np.ones((1, 1, 1, 1)), c, 2, 2)[0, :, :, 0].tolist() == [[1, 0], [0, 0]]


def test_a_setting_of_either_part_can_be_changed_and_the_map_follows():
    changed = SMALL.changed(dim=8, units=(1,), image=16)
    assert (changed.vit.dim, changed.vit.image, changed.vit.channels) == (8, 4, 16)
    assert changed.values()["dim"] == 8 and changed.values()["image"] == 16
    assert HybridConfig.from_dict(json.loads(json.dumps({**vars(SMALL), "vit": vars(SMALL.vit)}))) == SMALL


@pytest.mark.parametrize("image", [*range(5, 24), 27, 30, 33])
@pytest.mark.parametrize("units", [(), (1, 1)])
def test_whatever_the_image_its_patches_are_those_of_the_map(image, units):
    """Also where halving rounds up, so that the last place reaches beyond the image."""
    config = HybridConfig(SMALL.vit, image=image, channels=2, units=units, width=4, groups=2)
    assert config.encoder.grid == config.vit.grid == config.side
    assert config.encoder.tokens == config.vit.tokens
    assert 0 <= config.encoder.image - image < config.side


def test_a_patch_is_measured_against_the_map_that_there_will_be():
    """Not against the map before the change, which no longer is."""
    assert SMALL.vit.image == 2
    changed = SMALL.changed(image=24, patch=3)
    assert (changed.side, changed.vit.grid) == (3, 1) and changed.changed(image=12, patch=2).vit.grid == 1


@pytest.mark.parametrize(
    ("image", "units", "patch", "of_image", "grid"),
    [
        (12, (1, 2), 1, 6, 2),
        (16, (), 2, 8, 2),
        (28, (1, 1), 1, 7, 4),
        (10, (), 1, 4, 3),  # whose grid does not divide it
        (30, (1, 1), 2, 15, 2),
        (30, (1, 1), 1, 8, 4),
    ],
)
def test_a_patch_of_the_map_stands_for_pixels_of_the_image(image, units, patch, of_image, grid):
    config = SMALL.changed(image=image, units=units, patch=patch)
    assert (config.encoder.patch, config.encoder.grid, config.vit.grid) == (of_image, grid, grid)
    assert config.encoder.image == of_image * grid and config.encoder.channels == 2


@pytest.mark.parametrize(("units", "least"), [((), 3), ((1,), 3), ((1, 1), 5), ((2, 2, 2, 2), 17)])
def test_the_smallest_image_leaves_a_map_that_every_stage_can_halve(rng, units, least):
    config = HybridConfig(ViTConfig(patch=1, dim=4, depth=1, heads=2), image=least, units=units, width=4, groups=2)
    features, _ = resnet(rng.standard_normal((1, least, least, 3)), hybrid_init(rng, config)["resnet"], groups=2)
    assert features.shape[1:] == (config.side, config.side, config.features)
    with pytest.raises(UsageError, match=f"image {least - 1} is too small: .* expected at least {least}"):
        config.changed(image=least - 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(groups=3), "groups 3 does not divide width 64"),
        (dict(units=3), "units are 3"),
        (dict(units=(3, 0, 9)), "units is 0"),
        (dict(units=(3, 4.0)), "units is 4.0"),
        (dict(standardise="no"), "standardise is 'no'"),
        (dict(group_eps=0), "group_eps is 0"),
        (dict(vit={"dimm": 3}), "not a ViTConfig: unknown ['dimm']"),
        (dict(image=16, units=(2, 2, 2, 2)), "image 16 is too small: the ResNet halves its sides 5 times, expected"),
        (
            dict(image=2, units=()),
            "image 2 is too small: the ResNet halves its sides 2 times, expected at least 3",
        ),
        (dict(image=100, vit=ViTConfig(patch=2)), "patch 2 does not divide the 7 x 7 places of the map that the ResN"),
    ],
)
def test_settings_that_do_not_fit_are_one_line(changes, words):
    with pytest.raises(UsageError) as refused:
        HybridConfig(**changes)
    assert words in str(refused.value)
