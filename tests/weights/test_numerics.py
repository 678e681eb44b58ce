"""Every choice is exchanged once, alone, and what it does to the logits is what the model itself says."""

from dataclasses import replace

import numpy as np
import pytest

from tests.reference.compare import cast, random_vit
from tinyvit import ViTConfig, trees, vit
from tinyvit.data.photos import Preparation, prepare_photo
from tinyvit.ops.resize_positions import resize_positions
from tinyvit.weights.numerics import numerics
from tinyvit.weights.sources import SOURCES

SIZES = ViTConfig(image=16, patch=4, dim=24, depth=2, heads=3, mlp_dim=40, classes=7)
POSITIONS = {"google": "bilinear aligned", "timm": "bicubic antialias", "huggingface": "bicubic"}
RESIZES = {"google": "bilinear, four pixels", "timm": "bicubic, crop 0.9", "huggingface": "bilinear"}
PHOTO = np.random.default_rng(2).integers(0, 256, (40, 56, 3), dtype=np.uint8)
every_source = pytest.mark.parametrize("source", RESIZES)


def model(source, dtype=np.float32, **changed):
    """p, config and preparation with the habits of a source."""
    config = replace(SIZES, gelu=SOURCES[source].gelu, eps=SOURCES[source].eps, **changed)
    p = cast(random_vit(config), dtype)
    louder = {"pos": trees.map(lambda table: 4 * table, p["pos"])} if config.position == "1d" else {}
    return p | louder, config, Preparation.of(source, config.image)


def logits(p, config, preparation, image=PHOTO, dtype=np.float32):
    return vit(prepare_photo(image, preparation, config.channels)[None].astype(dtype), p, config, all_rows=False)[0][0]


def by_hand(row, before, after):
    """The row is of these logits."""
    chances = [np.exp(y - y.max()) / np.exp(y - y.max()).sum() for y in (before.astype(float), after.astype(float))]
    best = before.argmax()
    assert row.logits == abs(after - before).max()
    assert np.isclose(row.probability, chances[1][best] - chances[0][best], rtol=1e-3, atol=1e-6)
    assert row.same_class == (after.argmax() == best)


def table(*args, **changed):
    """{(what, other): row}"""
    rows = numerics(*args, **changed)
    found = {(row.what, row.other): row for row in rows}
    assert len(found) == len(rows), "a row twice"
    return found


@every_source
def test_every_exchange_is_there_once(source):
    gelu, eps = SOURCES[source].gelu, SOURCES[source].eps
    expected = [("GELU", gelu, {"erf": "tanh", "tanh": "erf"}[gelu])]
    expected += [("LayerNorm's eps", f"{eps:g}", f"{other:g}") for other in (1e-12, 1e-6, 1e-5) if other != eps]
    expected += [("the picture's resize", RESIZES[source], other) for name, other in RESIZES.items() if name != source]
    others = [other for name, other in POSITIONS.items() if name != source]
    expected += [("positions, 4 x 4 to 6 x 6", POSITIONS[source], other) for other in others]
    expected += [("precision", "float32", "float64")]
    found = numerics(*model(source), source, PHOTO)
    assert [(row.what, row.usual, row.other) for row in found] == expected
    assert all(row.logits > 0 for row in found), "each does something"


@every_source
def test_gelu_eps_and_precision_by_hand(source):
    p, config, preparation = model(source)
    found, usual = table(p, config, preparation, source, PHOTO), logits(p, config, preparation)
    other = {"erf": "tanh", "tanh": "erf"}[config.gelu]
    by_hand(found["GELU", other], usual, logits(p, replace(config, gelu=other), preparation))
    by_hand(found["LayerNorm's eps", "1e-05"], usual, logits(p, replace(config, eps=1e-5), preparation))
    double = logits(cast(p, np.float64), config, preparation, dtype=np.float64)
    by_hand(found["precision", "float64"], usual, double)
    assert double.dtype == np.float64 and found["precision", "float64"].logits < 1e-3


@every_source
def test_resizes_by_hand(source):
    p, config, preparation = model(source)
    found, usual = table(p, config, preparation, source, PHOTO), logits(p, config, preparation)
    for other, way in RESIZES.items():
        if other != source:
            theirs = logits(p, config, Preparation.of(other, config.image))
            by_hand(found["the picture's resize", way], usual, theirs)
    larger, shown = replace(config, image=24), replace(preparation, size=24)
    answers = {
        way: logits(p | {"pos": resize_positions(p["pos"], 6, way)[0]}, larger, shown) for way in POSITIONS.values()
    }
    for way in answers:
        if way != POSITIONS[source]:
            by_hand(found["positions, 4 x 4 to 6 x 6", way], answers[POSITIONS[source]], answers[way])


@every_source
def test_where_nothing_changes_there_is_no_drift(source):
    """A picture of the model's size is not resized, but for the one habit that cuts its border off."""
    rows = numerics(*model(source, np.float64), source, PHOTO[:16, :16])
    for row in rows:
        if row.what == "the picture's resize":
            assert (row.logits == row.probability == 0) == (RESIZES["timm"] not in (row.usual, row.other)), row
            assert row.logits or row.same_class
        if row.what == "precision":
            assert (row.usual, row.other, row.same_class) == ("float64", "float32", True) and 0 < row.logits < 1e-4


def test_another_best_class_is_said():
    """A head that is undecided between two classes half way between the two forms of GELU."""
    p, config, preparation = model("timm")
    rows = numerics(p, config, preparation, "timm", PHOTO)
    assert all(row.same_class for row in rows if row.logits < 1e-5)
    y = {gelu: logits(p, replace(config, gelu=gelu), preparation) for gelu in ("erf", "tanh")}
    drift = y["tanh"] - y["erf"]
    best, second = drift.argmin(), drift.argmax()
    bias = p["head"]["b"] - (y["erf"] + y["tanh"]) / 2  # half way between the two forms, all classes are alike
    bias = bias - 10
    bias[[best, second]] += 10
    changed = p | {"head": p["head"] | {"b": bias}}
    row = numerics(changed, config, preparation, "timm", PHOTO)[0]
    assert (row.what, row.same_class) == ("GELU", False) and row.probability < 0


def test_a_preparation_of_its_own_is_compared_with_all_three():
    p, config, preparation = model("timm")
    own = replace(preparation, crop=0.95, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    found, usual = table(p, config, own, "timm", PHOTO), logits(p, config, own)
    for other, way in RESIZES.items():
        theirs = replace(Preparation.of(other, 16), mean=own.mean, std=own.std)
        by_hand(found["the picture's resize", way], usual, logits(p, config, theirs))


def test_grey_pictures_and_a_model_without_positions():
    p, config, preparation = model("huggingface", channels=1, position="none")
    rows = numerics(p, config, preparation, "tinyvit", PHOTO[:, :, :1])
    assert not any("positions" in row.what for row in rows) and rows[-1].what == "precision"
    by_hand(rows[0], *(logits(p, replace(config, gelu=g), preparation, PHOTO[:, :, :1]) for g in ("erf", "tanh")))


@pytest.mark.parametrize(("pool", "place"), [("mean", "stem"), ("class", "layers"), ("mean", "shared")])
def test_learned_positions_drift_wherever_they_enter(pool, place):
    p, config, preparation = model("timm", pool=pool, position_at=place)
    drifts = [row.logits for row in numerics(p, config, preparation, "timm", PHOTO) if row.what.startswith("positions")]
    assert len(drifts) == 2 and min(drifts) > 0


@pytest.mark.parametrize("kind", ["2d", "sinusoidal", "relative"])
def test_positions_that_are_not_resized_are_not_compared(kind):
    p, config, preparation = model("timm", position=kind, position_at="shared", norm="post", scale="none")
    rows = numerics(p, config, preparation, "timm", PHOTO)
    assert rows and not any("positions" in row.what for row in rows)


def test_a_grid_of_one_patch():
    p, config, preparation = model("google", image=4)
    rows = numerics(p, config, preparation, "google", PHOTO)
    assert [row.logits for row in rows if row.what == "positions, 1 x 1 to 2 x 2"] == [0, 0], "one row, repeated"
