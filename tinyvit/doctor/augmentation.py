"""Does a picture keep its label when it is changed? What augmentation pushes out, or makes another class."""

import math

import numpy as np

from tinyvit.data.augmentation import augment
from tinyvit.doctor.labels import votes_of
from tinyvit.doctor.luck import DEVIATIONS, deviation
from tinyvit.doctor.sample import coarse, features_of

PICTURES, SIDE = 100, 32  # looked at, of so many pixels along a side
LOST = 0.2  # share of what there is to see that may leave the picture, on average
UNIFORM, NEAR = 0.5, 0.15  # share of border pixels that are near to their median: then that is a background
SMALLEST, SLANTED = 0.5, 0.5  # part of its size to which a picture may shrink; columns for each row
RECOGNISED = 0.7  # of the pictures that are recognised as they are, so many at least when they are turned
BACKGROUND = -1.0  # what comes in over the edge


def check_augmentation(sample, recipe, classes, seed):
    """What is to be seen stays in the picture, and is still of its class.

    Every change is made alone, at random as in training, to 100 pictures with a wide margin around them; what lies
    outside the frame afterwards is lost. Where pictures have a background (the same value along most of their border),
    what is to be seen is whatever differs from it; else all of the picture. Mirrored pictures, and those turned by
    what the recipe allows, are asked of the nearest neighbours of the training pictures (see labels.py), which must
    recognise nearly as many as of those that are as they were.

    Parameters
    ----------
    sample : Sample
    recipe : Recipe
    classes : int, or None where there are no labels
    seed : int

    Returns
    -------
    str : what was looked at
    """
    asked = {name: amount for name, amount in recipe.augmentation.items() if amount}
    if not asked:
        return "no augmentation is asked for"
    images, factor = coarse(sample.images[:PICTURES], SIDE)
    background = _background(images)
    lost = {
        name: _lost(images, background, name, amount, factor, seed)
        for name, amount in asked.items()
        if name != "mirror"
    }
    for name, share in lost.items():
        if share > LOST:
            yield (
                f"{name} {asked[name]:g} pushes {share:.0%} of what is to be seen out of the picture, on average: use "
                "less of it"
            )
    if recipe.zoom > SMALLEST:
        yield f"zoom {recipe.zoom:g} shrinks pictures to {1 - recipe.zoom:.0%} of their size: try 0.1 to 0.2"
    if recipe.shear > SLANTED:
        slant = math.degrees(math.atan(recipe.shear))
        yield f"shear {recipe.shear:g} slants pictures by {slant:.0f} degrees: try 0.1 to 0.2"
    if (
        background is not None
        and abs(background - BACKGROUND) > 0.5
        and {"shift", "rotate", "zoom", "shear"} & {*asked}
    ):
        yield (
            f"augmentation brings in {BACKGROUND:g} at the edges, and the background of the pictures is "
            f"{background:.2g}: invert the pictures, or augment by mirror and crop alone"
        )
    if classes and sample.labels is not None:
        yield from _check_turned(sample, recipe, classes)
    most = max(lost.values(), default=0.0)
    return f"{', '.join(f'{name} {amount:g}' for name, amount in asked.items())}: at most {most:.0%} leave the picture"


def _background(images):
    """The value of nearly all the border, or None."""
    border = np.concatenate([images[:, [0, -1]].ravel(), images[:, 1:-1, [0, -1]].ravel()])
    value = float(np.median(border))
    return value if (np.abs(border - value) < NEAR).mean() > UNIFORM else None


def _lost(images, background, name, amount, factor, seed):
    """The share of what is to be seen that one change takes out of the picture."""
    seen = np.ones_like(images[..., :1]) if background is None else np.abs(images - background).max(3, keepdims=True)
    height, width = seen.shape[1:3]
    wide = np.pad(seen, ((0, 0), (height, height), (width, width), (0, 0)))
    if name in ("shift", "crop"):  # both move the picture by whole pixels
        name, amount = "shift", min(-(-amount // factor), height)
    moved = augment(np.random.default_rng(seed), wide.astype(np.float32) + BACKGROUND, **{name: amount}) - BACKGROUND
    whole = moved.sum(axis=(1, 2, 3))
    inside = moved[:, height:-height, width:-width].sum(axis=(1, 2, 3))
    return float(1 - (inside[whole > 0] / whole[whole > 0]).mean()) if (whole > 0).any() else 0.0


def _check_turned(sample, recipe, classes):
    """Mirrored and turned pictures are recognised by the pictures as they are."""
    forms = {
        f"mirror {recipe.mirror:g}": (recipe.mirror > 0, lambda x: x[:, :, ::-1]),
        f"rotate {recipe.rotate:g} (turned by 90 degrees)": (
            recipe.rotate >= 75 and sample.images.shape[1] == sample.images.shape[2],
            lambda x: x.transpose(0, 2, 1, 3)[:, ::-1],
        ),
        f"rotate {recipe.rotate:g} (upside down)": (recipe.rotate >= 150, lambda x: x[:, ::-1, ::-1]),
    }
    forms = {name: turn for name, (asked, turn) in forms.items() if asked}
    if not forms or len(sample.labels) < 20:
        return
    base, labels = sample.features, sample.labels
    half = np.arange(len(labels)) % 2 == 0  # one half is asked about, the other answers
    right = _recognised(base[~half], base[half], labels, half, classes)
    for name, turn in forms.items():
        turned = _recognised(features_of(turn(sample.images[~half])), base[half], labels, half, classes)
        count = int((~half).sum())
        if turned < RECOGNISED * right and deviation(right, count, turned, count) > DEVIATIONS:
            yield (
                f"{name} makes other classes of the pictures: by their nearest neighbours {turned / count:.0%} are "
                f"recognised, and {right / count:.0%} of those that are as they were; leave it out"
            )


def _recognised(queries, base, labels, half, classes):
    """How many of the second half's pictures the first half recognises."""
    return int((votes_of(queries, base, labels[half], classes).argmax(axis=1) == labels[~half]).sum())
