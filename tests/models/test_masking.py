"""Which patches masked patch prediction corrupts, and which colours it asks for."""

import dataclasses
import math

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_same_bits
from tinyvit.models.config import ViTConfig
from tinyvit.models.masked import MaskedConfig, masked_colours, masked_masks, patch_colours
from tinyvit.ops.patches import unpatchify

VIT = ViTConfig(image=6, channels=1, patch=2, dim=8, depth=2, heads=4, mlp_dim=7, classes=5)
B, N = 3, 9


@pytest.mark.parametrize("patches", [4, 16])
def test_what_is_drawn(rng, patches):
    config = MaskedConfig(dataclasses.replace(VIT, image=8, patch=8 // math.isqrt(patches)))
    n = patches // 2
    masks = masked_masks(rng, config, 4000)
    source, chosen = masks["source"], masks["chosen"]
    assert set(masks) == {"source", "chosen"} and source.shape == (4000, patches) and chosen.shape == (4000, n)
    assert (np.sort(chosen, axis=1)[:, 1:] > np.sort(chosen, axis=1)[:, :-1]).all()  # n different ones
    corrupted = np.zeros(source.shape, bool)
    np.put_along_axis(corrupted, chosen, True, axis=1)
    own = source == np.arange(patches)
    assert own[~corrupted].all()
    total = corrupted.sum()
    counts = (corrupted & (source == patches)).sum(), (corrupted & own).sum(), (~own & (source < patches)).sum()
    for count, share in zip(counts, (0.8, 0.1, 0.1), strict=True):
        assert abs(count - share * total) < 5 * math.sqrt(share * (1 - share) * total)
    assert sum(counts) == total
    each = corrupted.sum(axis=0)  # every patch as often as any other
    assert abs(each - 2000).max() < 5 * math.sqrt(4000 / 4)
    place, other = np.nonzero(~own & (source < patches))[1], source[~own & (source < patches)]
    steps = np.bincount((other - place) % patches, minlength=patches)  # every other patch as often as any other
    assert steps[0] == 0
    assert abs(steps[1:] - steps.sum() / (patches - 1)).max() < 5 * math.sqrt(steps.sum() / (patches - 1))


def test_one_seed_gives_one_corruption():
    config = MaskedConfig(dataclasses.replace(VIT, dropout=0.3))
    first, second, other = (masked_masks(np.random.default_rng(seed), config, B) for seed in (1, 1, 2))
    assert_same_bits(first, second)
    assert not np.array_equal(first["source"], other["source"])
    assert {"stem", "blocks", "source", "chosen"} == set(first)
    assert first["blocks"][-1]["msa"].shape == (B, N + 1, 8)  # all rows of the last block are read
    assert set(masked_masks(np.random.default_rng(1), config, B, dropout=False)) == {"source", "chosen"}


@pytest.mark.parametrize("channels", [1, 3])
def test_colours_agree_with_their_twin(rng, channels):
    images = rng.uniform(-1.2, 1.2, (3, 6, 6, channels))
    images[0, :2, :2], images[0, :2, 2:4] = -3, 3
    found = patch_colours(images, 2)
    assert_same_bits(found, naive.patch_colours(images, 2))
    assert found.dtype.kind == "i" and (found[0, 0], found[0, 1]) == (0, 8**channels - 1)
    assert_same_bits(patch_colours(images.astype(np.float32), 2), found)


def test_colours_by_example():
    red_half_green_blue = np.array([1.0, 0.0, -1.0])
    images = np.broadcast_to(red_half_green_blue, (1, 2, 2, 3))
    assert patch_colours(images, 2).tolist() == [[7 + 4 * 8 + 0 * 64]]
    grey = np.array([-1, -0.76, -0.74, -0.01, 0.01, 0.74, 0.76, 1]).reshape(1, 1, 8, 1).repeat(4, axis=1)
    assert [patch_colours(grey[:, i : i + 1, j : j + 1], 1).item() for i, j in np.ndindex(1, 8)] == [
        0, 0, 1, 3, 4, 6, 7, 7,
    ]  # fmt: skip


def test_targets_are_the_colours_of_the_chosen_patches_image_by_image(rng):
    config, shades = MaskedConfig(VIT), rng.uniform(-1, 1, (B, N, 1))
    images = unpatchify(shades.repeat(4, axis=2), (B, 6, 6, 1))  # means of noise would nearly all be alike
    masks = masked_masks(rng, config, B)
    colours = patch_colours(images, 2)
    expected = [[colours[b, n] for n in masks["chosen"][b]] for b in range(B)]
    assert masked_colours(images, masks, config).tolist() == expected
