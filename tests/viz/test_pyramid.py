"""Maps of windows over the whole map, and of a pyramid over its patches."""

import numpy as np
import pytest

from tests.reference.compare import assert_close, randomised
from tinyvit.layers.linear import linear
from tinyvit.layers.window_attention import window_attention, window_attention_init, window_attention_map
from tinyvit.models.swin import SwinConfig, swin, swin_init
from tinyvit.models.views import swin_maps
from tinyvit.ops import attention as attention_op
from tinyvit.ops.patterns import windows
from tinyvit.viz.attention import (
    answers_row,
    attention_distance,
    attention_maps,
    free_distances,
    rollout,
    uniform_distance,
    weighted_attention,
)
from tinyvit.viz.pyramid import merging_matrix, over_patches, stage_grid

SMALL = dict(channels=1, patch=2, dim=4, depths=(2, 2), heads=(2, 4), window=3, mlp_ratio=2, classes=5)
LOW, HIGH = slice(0, 4), slice(4, 7)
QUARTERS = [(LOW, LOW), (LOW, HIGH), (HIGH, LOW), (HIGH, HIGH)]


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(
    ("height", "width", "window", "shift"), [(4, 6, 2, 0), (4, 6, 2, 1), (5, 7, 3, 1), (3, 8, 4, 2)]
)
def test_the_dense_map_does_what_the_windows_did(rng, height, width, window, shift):
    """A v, with the maps A over all tokens, is what came out; A is zero outside the pattern, and its rows sum to 1."""
    x, p = rng.standard_normal((2, height, width, 4)), randomised(window_attention_init(None, 4, 2, window))
    y, c = window_attention(x, p, heads=2, shift=shift)
    a = window_attention_map(c, shift)
    assert_close(a.sum(axis=-1), np.ones((2, 2, height * width)))
    assert (a[:, :, windows(height, width, window, shift)] > 0).all()
    assert not a[:, :, ~windows(height, width, window, shift)].any()
    v = linear(x.reshape(2, -1, 4), p["v"])[0].reshape(2, -1, 2, 2)
    gathered = np.einsum("bhts,bshd->bthd", a, v).reshape(2, height * width, 4)
    assert_close(linear(gathered, p["o"])[0], y.reshape(2, -1, 4))


def test_the_public_maps_of_a_swin_are_over_the_tokens_of_each_stage(rng):
    config = SwinConfig(**SMALL | dict(image=14))
    _, c = swin(rng.standard_normal((2, 14, 14, 1)), randomised(swin_init(None, config)), config)
    maps = attention_maps(c, config)
    assert [a.shape for a in maps] == 2 * [(2, 2, 49, 49)] + 2 * [(2, 4, 16, 16)]
    for a, expected in zip(maps, swin_maps(c, config), strict=True):
        np.testing.assert_array_equal(a, expected)
        assert_close(a.sum(axis=-1), np.ones(a.shape[:-1]))


@pytest.mark.parametrize("side", [1, 4, 5])
def test_a_merged_tokens_row_is_the_mean_of_its_fours(side):
    g, half = merging_matrix(side), -(-side // 2)
    assert not g.flags.writeable, "all who ask share it"
    assert g.shape == (half * half, side * side)
    for j in range(half * half):
        row, column = divmod(j, half)
        four = [(y, x) for y in (2 * row, 2 * row + 1) for x in (2 * column, 2 * column + 1) if max(x, y) < side]
        expected = np.zeros((side, side), np.float32)
        for place in four:
            expected[place] = 1 / len(four)
        np.testing.assert_array_equal(g[j].reshape(side, side), expected)


@pytest.mark.parametrize("image", [8, 12, 14])
@pytest.mark.parametrize("identity", [True, False])
def test_rollout_through_a_pyramid(rng, image, identity):
    """Its rows sum to 1 over the patches; it is the product of the stages' own rollouts, with G between."""
    config = SwinConfig(image=image, **SMALL)
    _, c = swin(rng.standard_normal((3, image, image, 1)), randomised(swin_init(None, config)), config)
    maps, (first, last) = swin_maps(c, config), [side * side for side in config.sides]
    whole = rollout(maps, identity)
    assert whole.shape == (3, last, first)
    assert_close(whole.sum(axis=-1), np.ones((3, last)), 1e-6)
    by_stage = [rollout(maps[:2], identity), rollout(maps[2:], identity)]
    assert_close(whole, by_stage[1] @ (merging_matrix(config.sides[0]) @ by_stage[0]), 1e-6)


def test_the_last_map_alone_is_the_last_of_all(rng):
    config = SwinConfig(image=14, **SMALL)
    _, c = swin(rng.standard_normal((2, 14, 14, 1)), randomised(swin_init(None, config)), config)
    (last,) = swin_maps(c, config, last=True)
    np.testing.assert_array_equal(last, swin_maps(c, config)[-1])


def test_the_gradient_of_a_windows_map_is_what_a_change_of_it_does(rng, monkeypatch):
    """Nudge one weight of one window's map: the score moves by da times the nudge."""
    config = SwinConfig(image=14, **SMALL)
    p, images = randomised(swin_init(None, config)), rng.standard_normal((2, 14, 14, 1))
    dlogits = np.eye(5)[[3, 1]]
    _, c = swin(images, p, config)
    found, h, moved = weighted_attention(dlogits, p, c, config), 1e-5, []
    assert [a.shape for a in found] == [(2, 49, 49)] * 2 + [(2, 16, 16)] * 2
    for layer, side, shift, b, query, key in [
        (0, 7, 0, 1, (1, 2), (0, 1)),
        (1, 7, 1, 0, (1, 2), (3, 3)),
        (2, 4, 0, 1, (3, 1), (3, 2)),
        (3, 4, 1, 1, (1, 3), (2, 1)),
        (0, 7, 0, 0, (6, 6), (6, 6)),
        (1, 7, 1, 1, (0, 0), (0, 0)),
        (2, 4, 0, 1, (0, 1), (2, 2)),
        (3, 4, 1, 0, (3, 2), (1, 1)),
    ]:
        window, t, s = _in_windows(side, shift, query, key)
        across = -(-side // 3)
        products = []
        for head in range(config.heads[layer // 2]):
            index, scores = (b * across**2 + window, head, t, s), []
            for nudge in (h, -h):
                monkeypatch.setattr(attention_op, "softmax", _nudged(layer, index, nudge))
                scores.append((swin(images, p, config)[0] * dlogits).sum())
                monkeypatch.undo()
            a = c["stages"][layer // 2]["blocks"][layer % 2]["msa"]["att"]["a"][index]
            products.append(max(0.0, a * (scores[0] - scores[1]) / (2 * h)))
        places = query[0] * side + query[1], key[0] * side + key[1]
        assert found[layer][b][places] == pytest.approx(np.mean(products), abs=1e-9)
        moved.append(sum(products) > 1e-4)
    assert all(any(moved[layer::4]) for layer in range(4)), "nothing was seen to move"


def _in_windows(side, shift, query, key):
    """The window that two tokens share once the padded map is rolled, and their places in it."""
    whole = -(-side // 3) * 3
    rolled = [[(x - shift) % whole for x in place] for place in (query, key)]
    (window, t), (same, s) = ((y // 3 * (whole // 3) + x // 3, y % 3 * 3 + x % 3) for y, x in rolled)
    assert window == same
    return window, t, s


def _nudged(layer, index, nudge):
    """Softmax, whose call number `layer` has one weight moved."""
    softmax, calls = attention_op.softmax, iter(range(99))

    def nudged(x):
        y, cache = softmax(x)
        if next(calls) == layer:
            y[index] += nudge
        return y, cache

    return nudged


def test_with_one_window_and_one_stage_it_is_a_vits(rng):
    config = SwinConfig(image=6, **SMALL | dict(depths=(2,), heads=(2,)))
    _, c = swin(rng.standard_normal((3, 6, 6, 1)), randomised(swin_init(None, config)), config)
    plain = [block["msa"]["att"]["a"] for block in c["stages"][0]["blocks"]]
    np.testing.assert_array_equal(rollout(swin_maps(c, config)), rollout(plain))


def test_what_a_late_stage_looks_at_is_spread_over_its_patches(rng):
    weights = rng.random((2, 3, 4))  # of 2 x 2 tokens, where there were 7 x 7 patches, then 4 x 4
    spread = over_patches(weights, 49)
    assert_close(spread.sum(axis=-1), weights.sum(axis=-1), 1e-6)
    tokens = [spread.reshape(2, 3, 7, 7)[..., y, x].sum(axis=(-2, -1)) for y, x in QUARTERS]
    assert_close(np.stack(tokens, axis=-1), weights, 1e-6)
    assert over_patches(weights, 4) is weights


def test_distances_are_in_pixels_of_the_image_in_every_stage():
    """In the first stage everybody looks at the right neighbour, or itself at the border; in the second, below."""
    first, second = np.zeros((1, 1, 16, 16)), np.zeros((1, 2, 4, 4))
    for t in range(16):
        first[0, 0, t, t if t % 4 == 3 else t + 1] = 1
    for t in range(4):
        second[0, :, t, t % 2 + 2] = 1
    one, two = attention_distance([first, second], 3, (4, 4))
    np.testing.assert_allclose(one, [0.75 * 3])
    np.testing.assert_allclose(two, [0.5 * 6] * 2)
    assert stage_grid(4, (7, 7), 3) == ((2, 2), 12)


def test_free_distances_are_those_of_the_pattern():
    pair = windows(1, 4, 2)  # each with one neighbour
    np.testing.assert_allclose(
        free_distances([pair, np.ones((4, 4), bool)], 5, (1, 4)), [2.5, uniform_distance((1, 4), 5)]
    )
    with_class_token = np.ones((5, 5), bool)
    np.testing.assert_allclose(free_distances([with_class_token], 5, (1, 4)), [uniform_distance((1, 4), 5)])


def test_who_answers_is_the_mean_of_the_last_maps_tokens(rng):
    a = rng.random((2, 3, 4, 4))
    np.testing.assert_allclose(answers_row(a, "mean"), a.mean(axis=2))
