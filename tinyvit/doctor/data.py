"""Is there something to learn? Checks of images and labels."""

import numpy as np

from tinyvit.doctor.luck import surely_more
from tinyvit.doctor.sample import FLAT

LARGEST = 5.0  # of an image's numbers: ImageNet's usual normalisation goes to 2.6
LEAST_DEVIATION = 0.05
UNLIKE, LOPSIDED, ENOUGH = 0.9, 0.25, 50  # see `_check_form`, `_lopsided`; images to say so
EMPTY = 0.005  # share of pictures of one colour that is no fault
COMPARED, NUMBERS = 2000, 2**25  # images, and numbers in all of them, at most


def _several(x):
    """How many images are looked at: fewer of large ones."""
    return max(200, min(COMPARED, NUMBERS // (x.shape[1] * x.shape[2] * x.shape[3])))


def check_images(x, part):
    """Numbers of a size that the first layer expects; of images that are stored as bytes, only some are looked at."""
    total, x = len(x), x if isinstance(x, np.ndarray) else x[: _several(x)]
    if not np.isfinite(x).all():
        yield f"{np.sum(~np.isfinite(x)):,} numbers of the {part} images are not finite: find where they come from"
        return
    low, high, deviation = float(x.min()), float(x.max()), float(x.std())
    if max(-low, high) > LARGEST:
        yield f"the {part} images range from {low:g} to {high:g}: scale them to -1 ... 1, as load_data does"
    elif deviation < LEAST_DEVIATION:
        yield (
            f"the {part} images hardly vary (standard deviation {deviation:.2g}, from {low:g} to {high:g}): scale them "
            "to -1 ... 1, as load_data does, and look at some"
        )
    else:
        yield from _check_form(x, part)
        flat = int((x.reshape(len(x), -1).std(axis=1) < FLAT).sum())
        if surely_more(flat, len(x), EMPTY):
            yield f"{flat:,} of {len(x):,} {part} images show nothing, they are of one colour: drop them"
    return f"{len(x):,} of {total:,} {part} images, from {low:.2g} to {high:.2g}"


def _check_form(x, part):
    """Neighbouring pixels are alike, and no side is the same in all pictures while the opposite one is not.

    The mean square difference of neighbours is divided by that of any two pixels of a picture: 0.1 in photographs, 0.2
    to 0.5 in small digits, and 1 where pixels stand in any order.
    """
    any_two = 2 * float(x.reshape(len(x), -1, x.shape[3]).var(axis=1).mean())
    pairs = [np.square(np.diff(x, axis=axis)).mean() for axis in (1, 2) if x.shape[axis] > 1]
    if len(x) >= ENOUGH and pairs and np.mean(pairs) > UNLIKE * any_two:
        yield (
            f"neighbouring pixels of the {part} images are no more alike than any two: noise, or pixels in a wrong "
            "order (a wrong reshape?); look at some"
        )
    if len(x) >= ENOUGH and _lopsided((np.ptp(x, axis=0) > 0).any(axis=2)):
        yield (
            f"one side of the {part} images is the same in all, and the other is not: is it cut off or covered? "
            "Look at some"
        )


def _lopsided(varies):
    """Whether the pixels [H, W] that vary lie far to one side: the margins of all others differ by a quarter of it."""
    for axis in (0, 1):
        where = np.flatnonzero(varies.any(axis=1 - axis))
        before, behind = (where[0], varies.shape[axis] - 1 - where[-1]) if len(where) else (0, 0)
        if abs(int(before) - int(behind)) > LOPSIDED * varies.shape[axis]:
            return True
    return False


def check_classes(y, classes):
    """Every class has examples."""
    counts = np.bincount(y, minlength=classes)
    if missing := [str(k) for k in np.flatnonzero(counts == 0)]:
        shown = ", ".join(missing[:10]) + (", ..." if len(missing) > 10 else "")
        yield f"no training image is of class {shown}: check how labels are read, or lower `classes`"
    return f"{classes} classes: all of them have training images"


def check_both(x, x_test):
    """Both parts' images; see `check_images`."""
    looked_at = []
    for part, images in (("training", x), ("test", x_test)):
        looked_at.append((yield from check_images(images, part)))
    return "; ".join(filter(None, looked_at))
