"""Is it too easy? One number that tells a class: from how pictures were made, not from what they show."""

import numpy as np

from tinyvit.doctor.checked import Skipped
from tinyvit.doctor.luck import surely_more
from tinyvit.doctor.parts import STATISTICS

BRIGHTNESS = ("brightness", "darkest value", "brightest value", "typical value")
APART = 0.995  # probability that a picture of a class is brighter than one of another class
TELLS, FOR_EACH = 0.9, 5  # share of a pixel's variance that lies between classes; pictures for each class to say so
MIXED, BETWEEN = 0.01, 0.25  # share of inverted pictures; pictures in between, for each of these, that there may be
APART_BY = 6  # deviations


def check_shortcuts(sample, classes):
    """No class is told by brightness alone, and no single pixel tells the classes.

    For a class, the probability that its pictures are brighter than those of other classes (the area under the ROC
    curve, with ties counted half) is near 0 or 1 only if a threshold separates it. For a pixel, the share of its
    variance that lies between the classes (omega squared: corrected for the number of classes).
    """
    x, y = sample.images, sample.labels
    present = np.flatnonzero(np.bincount(y, minlength=classes) >= FOR_EACH)
    if len(present) < 2:
        return Skipped("too few pictures of each class to look for shortcuts")
    for name in BRIGHTNESS:
        ranks = _ranks(STATISTICS[name](x))
        areas = np.array([_area(ranks, y == k) for k in present])
        worst = int(np.abs(areas - 0.5).argmax())
        if abs(areas[worst] - 0.5) > APART - 0.5:
            yield (
                f"the {name} alone tells class {present[worst]} from the others: were its pictures made or scaled in "
                "another way? A model learns that, and not what they show"
            )
            return ""
    share = _between_classes(x.reshape(len(x), -1), y)
    if len(y) >= FOR_EACH * classes and share.max() > TELLS:
        row, column, _ = np.unravel_index(int(share.argmax()), x.shape[1:])
        yield (
            f"one pixel (row {row}, column {column}) tells the class: {share.max():.0%} of its variance lies between "
            "classes; look for a mark or a frame in the pictures"
        )
    return f"{len(y):,} training images: no brightness tells a class, no pixel more than {share.max():.0%} of it"


def check_mixture(sample):
    """No part of the pictures is inverted.

    Pictures of one kind, each less its mean, lie on one side of 0 along their first principal direction, which does
    not change when some are inverted. These then lie on the other side, with nothing in between. Photographs are
    everywhere along it: nothing can be said of them. Drawings in any colours lie on both sides, too, but their typical
    values are not two: the sides must be further apart than six times the deviation within them.
    """
    shown = np.abs(sample.features).sum(axis=1) > 0
    features = sample.features[shown]
    if len(features) < 2:
        return Skipped("too few pictures to look for inverted ones")
    _, vectors = np.linalg.eigh(features.T @ features)
    along = features @ vectors[:, -1]
    along = along / np.sqrt((along**2).mean())
    other, between = min((along > 0).sum(), (along < 0).sum()), (np.abs(along) < BETWEEN).sum()
    two_sided = between < BETWEEN * other and surely_more(int(other), len(along), MIXED)
    if two_sided and _apart(STATISTICS["typical value"](sample.images[shown]), along > 0):
        yield (
            f"{other / len(along):.0%} of the training images are the other way round, dark for light: invert these, "
            "so that all are alike"
        )
    if between > 0.1 * len(along) or other > 0.1 * len(along):
        return Skipped("some pictures are light on dark, others dark on light, as photographs are")
    return f"{len(along):,} training images: none inverted"


def _apart(values, side):
    """Whether the values of the two sides are further apart than APART_BY times the deviation within them."""
    within = np.sqrt((values[side].var() * side.sum() + values[~side].var() * (~side).sum()) / len(values))
    return abs(values[side].mean() - values[~side].mean()) > APART_BY * within


def _between_classes(x, y):
    """The share of each column's variance that lies between classes, omega squared; 0 where nothing varies."""
    present = np.unique(y)
    total = x.var(axis=0) * len(x)
    within = sum(x[y == k].var(axis=0) * (y == k).sum() for k in present)
    noise = within / max(len(x) - len(present), 1)
    share = (total - within - (len(present) - 1) * noise) / (total + noise + 1e-12)
    return np.where(total > 1e-6 * len(x), share, 0)


def _ranks(values):
    """The rank of each value, from 0; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = counts.cumsum()
    return (last - (counts + 1) / 2)[inverse]


def _area(ranks, of_class):
    """The probability that a value of the class is above one of the others."""
    n = int(of_class.sum())
    return (ranks[of_class].mean() - (n - 1) / 2) / (len(ranks) - n)
