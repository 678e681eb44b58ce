"""Healthy data are no fault: with any seed, in colour and in grey, many pictures and few, stored as bytes or not."""

import dataclasses

import numpy as np
import pytest

from tests.doctor.case import Case, digits
from tinyvit.data.pixels import Pixels
from tinyvit.doctor import luck
from tinyvit.doctor.examine import examination
from tinyvit.models.presets import PRESETS
from tinyvit.training.recipe import RECIPES

ON_DATA = [
    "images",
    "classes",
    "balance",
    "repeats",
    "leakage",
    "mixture",
    "parts",
    "shortcuts",
    "labels",
    "settings",
    "sizes",
    "augmentation",
]
SIDE = 32


def drawings(count, seed):
    """Discs, squares and triangles of any colour on any other, anywhere: as people draw."""
    rng, y = np.random.default_rng(seed), np.arange(count) % 3
    at = np.stack(np.meshgrid(*2 * [np.arange(SIDE)], indexing="ij"), axis=-1)
    x = np.empty((count, SIDE, SIDE, 3), np.uint8)
    for image, label in zip(x, y, strict=True):
        paper = rng.integers(0, 256, 3)
        ink, size, middle = (paper + rng.integers(90, 166, 3)) % 256, rng.uniform(6, 11), rng.uniform(11, 21, 2)
        down, right = np.moveaxis(at - middle, -1, 0)
        shapes = [down**2 + right**2 < size**2, np.maximum(np.abs(down), np.abs(right)) < 0.85 * size]
        shapes += [(np.abs(down) < 0.7 * size) & (np.abs(right) < 0.6 * (down + size))]
        clean = np.where(shapes[label][..., None], ink, paper)
        image[...] = np.clip(clean + rng.normal(0, 12, image.shape), 0, 255)
    return x, y


def of_drawings(count, form):
    (x, y), (x_test, y_test) = drawings(count, 0), drawings(count // 4, 1)
    recipe = dataclasses.replace(RECIPES["pictures"], epochs=60)
    return Case(PRESETS["pictures"].changed(classes=3), form(x), y, form(x_test), y_test, recipe)


def framed(case):
    """The digits with a margin as wide as they are, as MNIST is padded to 32 x 32."""
    x, x_test = (np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)), constant_values=-1) for x in (case.x, case.x_test))
    return case._replace(x=x, x_test=x_test, config=case.config.changed(image=16))


def as_floats(x):
    return Pixels(x)[:]


HEALTHY = {
    "digits": digits,
    "digits on white": lambda: digits()._replace(x=-digits().x, x_test=-digits().x_test, recipe=RECIPES["pictures"]),
    "digits in a wide frame": lambda: framed(digits()),
    "drawings": lambda: of_drawings(600, Pixels),
    "few drawings": lambda: of_drawings(240, as_floats),
}


@pytest.mark.parametrize("name", HEALTHY)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_healthy_data_pass_in_silence(name, seed):
    case = HEALTHY[name]()
    if name == "digits on white":  # mirrored digits are no digits: that is another matter
        case = case._replace(recipe=dataclasses.replace(case.recipe, mirror=0.0, crop=0))
    checked = list(examination(case.config, case.data, recipe=case.recipe, seed=seed, only=ON_DATA))
    assert [finding for each in checked for finding in each.findings] == []
    assert [each.check for each in checked] == ON_DATA and all(each.looked_at or each.skipped for each in checked)


@pytest.mark.parametrize(
    ("count", "total", "share", "surely"),
    [(5, 10, 0.5, False), (10, 10, 0.5, True), (9, 10, 0.5, False), (60, 1000, 0.04, False), (62, 1000, 0.04, True)],
)
def test_what_luck_brings_is_not_reported(count, total, share, surely):
    """P(X >= 10) = 0.001 - 2e-5 for 10 coins, P(X >= 9) = 0.011; of 1,000, 61 and more have 0.0009."""
    assert luck.surely_more(count, total, share) == surely


def test_two_shares_are_compared_in_standard_deviations():
    assert luck.deviation(60, 100, 40, 100) == pytest.approx(0.2 / np.sqrt(0.25 * 0.02))
    assert luck.deviation(0, 100, 0, 50) == 0 == luck.deviation(1, 0, 1, 1)
