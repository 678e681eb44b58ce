"""Swin: its parts against twins without roll and mask, its sizes against the published ones."""

import json

import numpy as np
import pytest

from tests.reference import naive, naive_pyramids
from tests.reference.compare import assert_close, assert_same_bits, randomised
from tinyvit import trees
from tinyvit.errors import UsageError
from tinyvit.layers.patch_merging import patch_merging, patch_merging_init
from tinyvit.layers.window_attention import _kept_mask, window_attention, window_attention_init
from tinyvit.models.swin import SwinConfig, swin, swin_backward, swin_init, swin_masks
from tinyvit.ops.window_bias import offsets
from tinyvit.ops.windows import from_windows, to_windows, window_mask

SMALL = dict(channels=2, patch=2, dim=4, depths=(2, 2), heads=(2, 4), window=3, mlp_ratio=2, classes=5, gelu="tanh")
HEADS = dict(T=(3, 6, 12, 24), S=(3, 6, 12, 24), B=(4, 8, 16, 32), L=(6, 12, 24, 48))
PUBLISHED = {  # name: (C, blocks of stage 3, heads, {(image, window, classes): parameters})
    "T": (96, 6, {(224, 7, 1000): 28_288_354, (224, 7, 21_841): 44_315_083, (384, 12, 1000): 28_338_034}),
    "S": (96, 18, {(224, 7, 1000): 49_606_258, (224, 7, 21_841): 65_632_987, (384, 12, 1000): 49_707_778}),
    "B": (128, 18, {(224, 7, 1000): 87_768_224, (224, 7, 21_841): 109_130_249, (384, 12, 1000): 87_903_584}),
    "L": (192, 18, {(224, 7, 1000): 196_532_476, (224, 7, 21_841): 228_565_093, (384, 12, 1000): 196_735_516}),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_are_as_many_as_published(name):
    dim, depth, counts = PUBLISHED[name]
    for (image, window, classes), count in counts.items():
        sizes = dict(dim=dim, depths=(2, 2, depth, 2), heads=HEADS[name])
        config = SwinConfig(image=image, window=window, classes=classes, **sizes)
        assert trees.count(swin_init(None, config)) == count


@pytest.mark.parametrize("image", [12, 14, 6])
def test_the_model_is_its_twin(rng, image):
    """Maps that the window divides (6, then 3: one window), that it does not (7, 4), and smaller ones (3, 2)."""
    config = SwinConfig(image=image, **SMALL)
    p, images = randomised(swin_init(None, config)), rng.standard_normal((2, image, image, 2))
    logits, _ = swin(images, p, config)
    sizes = dict(patch=2, heads=config.heads, window=3, eps=config.eps, activation=naive.gelu_tanh)
    assert_close(logits, naive_pyramids.swin(images, p, **sizes), 1e-11)


@pytest.mark.parametrize(
    ("height", "width", "window", "shift"), [(4, 6, 2, 0), (4, 6, 2, 1), (5, 7, 3, 1), (3, 8, 4, 2)]
)
def test_windows_are_displaced_ones(rng, height, width, window, shift):
    """Rolled and masked, or displaced where they stand: the same, on maps that the window divides and others."""
    x, p = rng.standard_normal((2, height, width, 4)), randomised(window_attention_init(None, 4, 2, window))
    y, _ = window_attention(x, p, heads=2, shift=shift)
    assert_close(y, naive_pyramids.window_attention(x, p, 2, shift))


def test_the_mask_has_as_many_pairs_as_swins():
    """56 x 56 and 14 x 14 tokens, windows of 7 x 7, displaced by 3."""
    assert window_mask(56, 56, 7) is None
    assert [int(np.isfinite(window_mask(side, side, 7, 3)).sum()) for side in (56, 14)] == [135_424, 5_476]


def test_the_mask_that_all_share_is_made_once_and_cannot_be_changed():
    mask = _kept_mask(4, 6, 2, 1)
    assert _kept_mask(4, 6, 2, 1) is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0, 0, 0] = 1


def test_offsets_are_those_of_published_tables():
    small, whole = offsets(2), offsets(7)
    assert small[0].tolist() == [4, 3, 1, 0] and small[3].tolist() == [8, 7, 5, 4]
    assert (whole[0, 0], whole[0, -1], whole[-1, 0], whole.sum()) == (84, 0, 168, 201_684)
    assert len(np.unique(whole)) == 169


@pytest.mark.parametrize("sides", [(4, 6), (5, 3)])
def test_merging_is_its_twin_and_the_row_runs_fastest(rng, sides):
    x, p = rng.standard_normal((2, *sides, 3)), randomised(patch_merging_init(None, 3))
    assert_close(patch_merging(x, p)[0], naive_pyramids.patch_merging(x, p, 1e-5))


@pytest.mark.parametrize(("sides", "shift"), [((6, 4), 0), ((6, 4), 1), ((5, 7), 1)])
def test_from_windows_puts_together_what_to_windows_cut(rng, sides, shift):
    x = rng.standard_normal((2, *sides, 3))
    windows, _ = to_windows(x, 2, shift)
    assert windows.shape[2:] == (4, 3)
    np.testing.assert_array_equal(from_windows(windows, x.shape, shift), x)


def test_nothing_is_shifted_where_the_window_is_the_map():
    config = SwinConfig()
    assert config.sides == (56, 28, 14, 7)
    assert [config.shift_of(stage, 1) for stage in range(4)] == [3, 3, 3, 0]
    small = SwinConfig(image=112)
    assert [small.window_of(stage) for stage in range(4)] == [7, 7, 7, 4]
    assert [small.shift_of(stage, 1) for stage in range(4)] == [3, 3, 0, 0]


def test_drop_path_leaves_out_whole_branches_of_an_image():
    """The first block never, the last with the rate, and as often in the mean of many draws."""
    config = SwinConfig(image=12, **SMALL, drop_path=0.6)
    masks = swin_masks(np.random.default_rng(0), config, 4000)
    rates = [(mask == 0).mean() for stage in masks["stages"] for block in stage for mask in block.values()]
    np.testing.assert_allclose(rates, np.repeat([0, 0.2, 0.4, 0.6], 2), atol=0.03)
    assert masks["stages"][1][1]["mlp"].max() == np.float32(1 / 0.4)
    p, images = randomised(swin_init(None, config)), np.random.default_rng(1).standard_normal((2, 12, 12, 2))
    nothing = trees.map(np.zeros_like, swin_masks(np.random.default_rng(0), config, 2, dtype="float64"))
    y, c = swin(images, p, config, masks=nothing)
    _, g = swin_backward(np.ones_like(y), p, c, config)
    gradients = trees.named(g)
    assert all(not gradients[name].any() for name in gradients if "/msa/" in name or "/mlp/" in name)


@pytest.mark.parametrize(("stage", "block"), [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize("branch", ["msa", "mlp"])
def test_a_mask_leaves_out_its_own_branch(rng, stage, block, branch):
    """As if the branch's last layer were zero."""
    config = SwinConfig(image=12, **SMALL, drop_path=0.5)
    p, images = randomised(swin_init(None, config)), rng.standard_normal((2, 12, 12, 2))
    masks = trees.map(np.ones_like, swin_masks(np.random.default_rng(0), config, 2, dtype="float64"))
    masks["stages"][stage][block][branch][0] = 0
    logits, _ = swin(images, p, config, masks=masks)
    whole, _ = swin(images, p, config)
    last = p["stages"][stage]["blocks"][block][branch]["o" if branch == "msa" else "fc2"]
    last["w"], last["b"] = 0 * last["w"], 0 * last["b"]
    without, _ = swin(images, p, config)
    assert_close(logits, np.stack([without[0], whole[1]]), 1e-11)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (dict(patch=5), "patch 5 does not divide image 224"),
        (dict(heads=(3, 6, 12)), "there are 4 depths and 3 heads"),
        (dict(heads=(5, 6, 12, 24)), "heads 5 does not divide the width 96"),
        (dict(depths=()), "depths are ()"),
        (dict(depths=(2, 0, 1, 1)), "depths is 0"),
        (dict(drop_path=1), "drop_path is 1"),
        (dict(drop_path=-0.1), "drop_path is -0.1"),
        (dict(eps=0), "eps is 0"),
        (dict(image=16), "stage 3 has a map of 1 x 1 token, and merging takes 2 x 2"),
        (dict(gelu="relu"), "gelu is 'relu'"),
        (dict(window=0), "window is 0"),
    ],
)
def test_sizes_that_do_not_fit_are_one_line(changes, words):
    with pytest.raises(UsageError, match=None) as refused:
        SwinConfig(**changes)
    assert words in str(refused.value) and "\n" not in str(refused.value)


def test_without_a_cache_no_block_and_no_merging_is_kept(rng):
    config = SwinConfig(image=12, **SMALL)
    p, images = randomised(swin_init(None, config)), rng.standard_normal((2, 12, 12, 2))
    logits, c = swin(images, p, config, keep_cache=False)
    assert_same_bits(logits, swin(images, p, config)[0])
    assert not trees.leaves(c["stages"])


def test_a_configuration_goes_through_json():
    config = SwinConfig(image=12, **SMALL)
    assert SwinConfig.from_dict(json.loads(json.dumps(config.values()))) == config
