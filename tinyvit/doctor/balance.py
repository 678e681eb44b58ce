"""Has every class its share? Checks of the numbers of examples."""

import math

import numpy as np

from tinyvit.doctor.luck import DEVIATIONS, RARE

MAJORITY = 0.75  # a class of such a share makes an accuracy say little
SCARCE, FEW = 0.1, 10  # of the median class; examples
OTHER = 0.1  # share of the pictures that would have to change class


def check_balance(labels, test_labels, classes):
    """No class stands for nearly all, none for nearly nothing, and both parts have them in the same proportions.

    The last is a test of each class's share in the two parts (4 standard deviations), together with the distance
    between the parts, sum |p - q| / 2, which says how many examples it is about.

    Returns
    -------
    str : what was looked at
    """
    counts, test_counts = (np.bincount(y, minlength=classes) for y in (labels, test_labels))
    shares, test_shares = counts / counts.sum(), test_counts / test_counts.sum()
    largest = int(counts.argmax())
    if shares[largest] > MAJORITY:
        yield (
            f"{shares[largest]:.0%} of the training images are of class {largest}: who always answers {largest} is as "
            "often right; add images of the others or drop some of these, and read the accuracy of each class"
        )
    scarce = np.flatnonzero((counts > 0) & (counts < FEW) & (counts < SCARCE * np.median(counts)))
    if len(scarce):
        yield (
            f"class {_named(scarce)} has only {_named(counts[scarce])} training images, the median class "
            f"{np.median(counts):.0f}: add some, or leave it out"
        )
    expected = shares * test_counts.sum()
    absent = np.flatnonzero((test_counts == 0) & (expected > -math.log(RARE)))
    if len(absent):
        yield (
            f"no test image is of class {_named(absent)}: the test accuracy says nothing about it; divide the images "
            "anew, class by class"
        )
    both = (counts + test_counts) / (counts.sum() + test_counts.sum())
    spread = np.sqrt(both * (1 - both) * (1 / counts.sum() + 1 / test_counts.sum())) + 1e-12
    distance = float(np.abs(shares - test_shares).sum() / 2)
    if distance > OTHER and (np.abs(shares - test_shares) / spread).max() > DEVIATIONS:
        k = int(np.abs(shares - test_shares).argmax())
        yield (
            f"the test part has other proportions: class {k} is {test_shares[k]:.0%} of it, and {shares[k]:.0%} of the "
            "training part; divide the images anew, class by class"
        )
    least = counts.min()
    return f"{classes} classes of {least:,} to {counts.max():,} training images, in the same shares in both parts"


def _named(numbers):
    """A few numbers in words."""
    return ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
