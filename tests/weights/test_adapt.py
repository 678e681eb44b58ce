"""Weights for other classes, other sizes, grey pictures; and numerics other than the source's."""

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.golden.make_weights import FOLDER
from tests.reference.compare import assert_same_bits, cast, random_vit
from tests.weights.tables import SMALL, arrays, logits, pictures
from tinyvit import load_weights, save_weights, trees
from tinyvit.errors import UsageError
from tinyvit.layers.embedding import patch_embedding
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit_init
from tinyvit.ops.cross_entropy import cross_entropy
from tinyvit.ops.resize import resize
from tinyvit.weights.adapt import adapt

CONFIG = replace(SMALL, image=20, depth=2)  # 5 x 5 patches
METHODS = {"google": "bilinear aligned", "timm": "bicubic antialias", "huggingface": "bicubic"}
INTERPOLATE = {
    "google": dict(mode="bilinear", align_corners=True),
    "timm": dict(mode="bicubic", align_corners=False, antialias=True),
    "huggingface": dict(mode="bicubic", align_corners=False),
}
every_source = pytest.mark.parametrize("source", METHODS)


@pytest.fixture
def written(tmp_path):
    """The file of a source, made of random numbers."""

    def write(source, config=CONFIG):
        a = cast(arrays(source, config), np.float64)
        file = tmp_path / ("a.npz" if source == "google" else "model.safetensors")
        np.savez(file, **a) if source == "google" else save_file(a, file)
        return file

    return write


def without(p, *names):
    return {name: leaf for name, leaf in trees.walk(p) if not name.startswith(names)}


@every_source
def test_a_fresh_head(written, source):
    file = written(source)
    p, config, notes = load_weights(file, heads=3, classes=5)
    q, before, has = load_weights(file, heads=3)
    assert config == replace(before, classes=5) and has.has_head and not notes.has_head
    assert "a fresh head for 5 classes" in str(notes)
    assert p["head"]["w"].shape == (24, 5) and p["head"]["w"].dtype == np.float64
    assert_same_bits(without(p, "head"), without(q, "head"))
    y, _ = cross_entropy(logits(p, config, pictures(config, batch=6)), np.arange(6) % 5)
    assert y == pytest.approx(np.log(5), abs=1e-15)
    assert not load_weights(file, heads=3, classes=7)[0]["head"]["w"].any()  # as many as before, yet fresh


def test_a_fresh_head_takes_the_place_of_pre_logits_as_well(tmp_path):
    """As in the paper, section 3.2: the whole head is removed."""
    np.savez(tmp_path / "a.npz", **arrays("google", CONFIG, pre_logits=10))
    p, config, notes = load_weights(tmp_path / "a.npz", classes=3)
    assert p["head"]["w"].shape == (CONFIG.dim, 3) and config.pre_logits == 0 and "pre_logits" not in p
    assert any("pre-logits layer" in line for line in notes.lines)
    assert not logits(p, config, pictures(config)).any()


def test_a_fresh_head_has_other_names(tmp_path):
    p, config, _ = load_weights(FOLDER / "classifier")
    save_weights(tmp_path, p, config, class_names=list("abcdefg"))
    assert load_weights(tmp_path)[2].class_names == tuple("abcdefg")
    assert load_weights(tmp_path, classes=7)[2].class_names is None


@every_source
def test_grey_pictures(written, source):
    """A grey picture gives the same tokens, and so the same logits, as its copy in red, green and blue."""
    file = written(source)
    p, config, notes = load_weights(file, heads=3, channels=1)
    q, colour, _ = load_weights(file, heads=3)
    assert (config.channels, colour.channels) == (1, 3) and "red, green and blue" in str(notes)
    grey = pictures(config)
    copy = np.repeat(grey, 3, axis=3)
    found, expected = (patch_embedding(x, t["patch"], patch=4)[0] for x, t in ((grey, p), (copy, q)))
    assert abs(found - expected).max() < 1e-13
    assert abs(logits(p, config, grey) - logits(q, colour, copy)).max() < 1e-12
    assert_same_bits(without(p, "patch/w"), without(q, "patch/w"))


def test_channels_that_cannot_be_made(written):
    with pytest.raises(UsageError, match="3 channels, not 4"):
        load_weights(written("google"), channels=4)
    grey = written("timm", replace(CONFIG, channels=1))
    assert load_weights(grey, heads=3, channels=1)[1].channels == 1
    with pytest.raises(UsageError, match="1 channels, not 3"):
        load_weights(grey, heads=3, channels=3)


@every_source
@pytest.mark.parametrize("image", [8, 16, 32, 48])
def test_another_size(written, source, image):
    file, grid = written(source), image // 4
    p, config, notes = load_weights(file, heads=3, image=image)
    q, before, _ = load_weights(file, heads=3)
    assert config == replace(before, image=image) and notes.preparation.size == image
    assert METHODS[source] in str(notes) and f"from 5 x 5 to {grid} x {grid}" in str(notes)
    expected, _ = resize(q["pos"][1:].reshape(5, 5, -1), grid, grid, METHODS[source])
    assert_same_bits(p["pos"][0], q["pos"][0])
    assert_same_bits(p["pos"][1:].reshape(grid, grid, -1), expected)
    assert_same_bits(without(p, "pos"), without(q, "pos"))
    assert np.isfinite(logits(p, config, pictures(config))).all()


@pytest.mark.parametrize("pool", ["class", "mean"])
@pytest.mark.parametrize("place", ["stem", "shared", "layers"])
def test_learned_positions_are_resized_wherever_they_enter(place, pool):
    config = replace(CONFIG, position_at=place, pool=pool)
    q = random_vit(config)
    p, larger, said = adapt(q, config, "timm", image=32)
    assert larger == replace(config, image=32) and "from 5 x 5 to 8 x 8" in said[0]
    assert {name: leaf.shape for name, leaf in trees.walk(p)} == {
        name: leaf.shape for name, leaf in trees.walk(vit_init(None, larger))
    }
    first = config.tokens - 25
    for found, table in zip(trees.leaves(p["pos"]), trees.leaves(q["pos"]), strict=True):
        assert_same_bits(found[:first], table[:first])
        expected, _ = resize(table[first:].reshape(5, 5, -1), 8, 8, "bicubic antialias")
        assert_same_bits(found[first:].reshape(8, 8, -1), expected)
    assert np.isfinite(logits(p, larger, pictures(larger))).all()


@pytest.mark.parametrize("pool", ["class", "mean"])
@pytest.mark.parametrize("place", ["stem", "layers"])
def test_waves_need_no_resizing(place, pool):
    config = replace(CONFIG, position="sinusoidal", position_at=place, pool=pool)
    p, larger, said = adapt(random_vit(config), config, "tinyvit", image=32)
    assert said == [] and np.isfinite(logits(p, larger, pictures(larger))).all()


@pytest.mark.parametrize(("kind", "place"), [("2d", "stem"), ("2d", "layers"), ("relative", "shared")])
def test_positions_that_cannot_be_resized(kind, place):
    config = replace(CONFIG, position=kind, position_at=place)
    with pytest.raises(UsageError, match=f"of kind {kind} cannot be resized from 5 x 5: expected images of 20 pixels"):
        adapt(random_vit(config), config, "tinyvit", image=32)
    assert adapt(random_vit(config), config, "tinyvit", image=20)[1] == config


@every_source
def test_positions_as_torch_resizes_them_live(written, source):
    torch = pytest.importorskip("torch")
    file = written(source)
    q = load_weights(file, heads=3)[0]["pos"]
    table = torch.tensor(q[1:].reshape(1, 5, 5, -1)).permute(0, 3, 1, 2)
    for grid in (3, 7, 12):
        y = torch.nn.functional.interpolate(table, size=(grid, grid), **INTERPOLATE[source]).permute(0, 2, 3, 1)
        found = load_weights(file, heads=3, image=4 * grid)[0]["pos"]
        assert abs(found - np.concatenate([q[:1], y.numpy().reshape(grid * grid, -1)])).max() < 1e-12


def test_positions_as_googles_own_code_resizes_them_live(written):
    ndimage = pytest.importorskip("scipy.ndimage")
    q = load_weights(written("google"))[0]["pos"]
    for grid in (3, 7, 12):
        zoomed = ndimage.zoom(q[1:].reshape(5, 5, -1), (grid / 5, grid / 5, 1), order=1).reshape(grid * grid, -1)
        found = load_weights(written("google"), image=4 * grid)[0]["pos"]
        assert abs(found - np.concatenate([q[:1], zoomed])).max() < 1e-12


@every_source
def test_the_same_size_is_the_same_model(written, source):
    file = written(source)
    p, config, notes = load_weights(file, heads=3, image=20, channels=3)
    q, same, before = load_weights(file, heads=3)
    assert config == same and notes == before and "resized" not in str(notes)
    assert_same_bits(p, q)


def test_a_size_that_the_patch_does_not_divide(written):
    with pytest.raises(UsageError, match="expected a multiple of 4, such as 28 or 32"):
        load_weights(written("google"), image=30)


def test_everything_at_once(written):
    p, config, notes = load_weights(written("google"), image=12, channels=1, classes=2, gelu="erf", eps=1e-3)
    assert config == replace(CONFIG, image=12, channels=1, classes=2, gelu="erf", eps=1e-3)
    assert logits(p, config, pictures(config)).shape == (2, 2)
    assert [line.partition(":")[0] for line in notes.lines[-3:]] == [
        "grey pictures",
        "images of 12 pixels",
        "a fresh head for 2 classes, zero",
    ]


def test_what_is_adapted_is_not_changed():
    config = ViTConfig(image=8, patch=4, dim=12, depth=1, heads=3, mlp_dim=8, classes=3)
    p = random_vit(config)
    before = trees.map(np.copy, p)
    adapt(p, config, "timm", image=16, channels=1, classes=2)
    assert_same_bits(p, before)


@pytest.mark.parametrize("source", [*METHODS, "tinyvit"])
def test_without_positions_there_is_nothing_to_resize(source):
    config = ViTConfig(image=8, patch=4, dim=12, depth=1, heads=3, mlp_dim=8, classes=3, position="none")
    p, larger, _ = adapt(random_vit(config), config, source, image=12)
    assert larger.image == 12 and logits(p, larger, pictures(larger)).shape == (2, 3)


@every_source
def test_numerics_other_than_the_sources(written, source):
    file, images = written(source), pictures(CONFIG)
    p, config, notes = load_weights(file, heads=3)
    assert (config.gelu, config.eps) == {"google": ("tanh", 1e-6), "timm": ("erf", 1e-6)}.get(source, ("erf", 1e-12))
    other = "erf" if config.gelu == "tanh" else "tanh"
    q, changed, said = load_weights(file, heads=3, gelu=other, eps=0.1)
    assert changed == replace(config, gelu=other, eps=0.1)
    assert f"GELU with {config.gelu}, LayerNorm with eps {config.eps:g}" in str(notes)
    assert f"GELU with {other}, LayerNorm with eps 0.1" in str(said)
    assert_same_bits(p, q)
    answers = [
        logits(p, load_weights(file, heads=3, **options)[1], images)
        for options in ({}, {"gelu": other}, {"eps": 0.1}, {"gelu": other, "eps": 0.1})
    ]
    for i, answer in enumerate(answers):
        for another in answers[:i]:
            assert abs(answer - another).max() > 1e-6


def test_other_heads(written):
    file = written("timm")
    found = {heads: load_weights(file, heads=heads) for heads in (1, 3, 8)}
    assert all(config.heads == heads for heads, (_, config, _) in found.items())
    assert abs(logits(*found[3][:2], pictures(CONFIG)) - logits(*found[8][:2], pictures(CONFIG))).max() > 1e-3
    assert load_weights(FOLDER / "classifier", heads=8)[1].heads == 8  # before what config.json says
    with pytest.raises(UsageError, match="erf, tanh"):
        load_weights(file, heads=3, gelu="relu")
    with pytest.raises(UsageError, match="eps is 0"):
        load_weights(file, heads=3, eps=0)
