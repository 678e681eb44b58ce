"""Are both parts of one kind? A classifier that is asked which part a picture is from should have to guess."""

import numpy as np

from tinyvit.doctor.checked import Skipped
from tinyvit.doctor.luck import DEVIATIONS
from tinyvit.training.probe import accuracy, ridge

L2 = 0.01
TOLD = 0.56  # accuracy, where guessing has 0.5, that is no fault: MNIST's parts, of other writers, have up to 0.53
LEAST = 20  # pictures of each part
STATISTICS = {  # of a picture, in words
    "brightness": lambda x: x.mean(axis=(1, 2, 3)),
    "contrast": lambda x: x.std(axis=(1, 2, 3)),
    "darkest value": lambda x: x.min(axis=(1, 2, 3)),
    "brightest value": lambda x: x.max(axis=(1, 2, 3)),
    "typical value": lambda x: np.median(x, axis=(1, 2, 3)),
    "change from pixel to pixel": lambda x: np.abs(np.diff(x, axis=2)).mean(axis=(1, 2, 3)),
    "change from row to row": lambda x: np.abs(np.diff(x, axis=1)).mean(axis=(1, 2, 3)),
}


def check_parts(train, test, seed):
    """A linear classifier does not tell test pictures from training pictures (a classifier two-sample test).

    It sees every picture's coarse form, its colours' means and the STATISTICS. Of each class both parts give as many
    pictures, so that other proportions are no difference. Each half of them is classified by what was fitted to the
    other: with n decisions, guessing is right in 1/2 +- 1/(2 sqrt(n)) of them.

    Parameters
    ----------
    train, test : Sample
    seed : int

    Returns
    -------
    str : what was looked at
    """
    rng = np.random.default_rng(seed)
    pairs = _as_many(train.labels, test.labels, len(train.images), len(test.images), rng)
    if len(pairs[0]) < LEAST:
        return Skipped(f"{len(pairs[0])} pictures of each part are too few to compare")
    numbers = [_numbers(part, index) for part, index in zip((train, test), pairs, strict=True)]
    share = _told(np.concatenate(numbers), np.repeat([0, 1], [len(numbers[0]), len(numbers[1])]), rng)
    count = 2 * len(pairs[0])
    if share > max(TOLD, 0.5 + DEVIATIONS * 0.5 / np.sqrt(count)):
        yield (
            f"a linear classifier tells test from training images in {share:.0%} of {count:,} cases, where guessing "
            f"has 50 %: prepare both alike{_difference(train, test)}"
        )
    return f"{len(pairs[0]):,} images of each part: told apart in {share:.0%} of the cases, where guessing has 50%"


def _as_many(labels, test_labels, count, test_count, rng):
    """Indices into both parts, as many of each class from one as from the other."""
    if labels is None:
        labels, test_labels = np.zeros(count, int), np.zeros(test_count, int)
    chosen = [], []
    for k in np.intersect1d(labels, test_labels):
        members = [rng.permutation(np.flatnonzero(y == k)) for y in (labels, test_labels)]
        few = min(map(len, members))
        for indices, of_class in zip(chosen, members, strict=True):
            indices.append(of_class[:few])
    return [np.concatenate(indices or [np.zeros(0, int)]) for indices in chosen]


def _numbers(sample, index):
    """What the classifier sees of each picture, [n, d]."""
    images = sample.images[index]
    statistics = np.stack([statistic(images) for statistic in STATISTICS.values()], axis=1)
    return np.concatenate([sample.features[index], images.mean(axis=(1, 2)), statistics], axis=1)


def _told(numbers, part, rng):
    """The share of pictures whose part is told by what was fitted to the other half of them."""
    numbers = (numbers - numbers.mean(axis=0)) / (numbers.std(axis=0) + 1e-6)
    half = rng.permutation(len(part)) < len(part) // 2
    right = 0.0
    for fitted in (half, ~half):
        right += (
            accuracy(ridge(numbers[fitted], part[fitted], 2, L2), numbers[~fitted], part[~fitted]) * (~fitted).sum()
        )
    return right / len(part)


def _difference(train, test):
    """In which statistic the parts differ most, if in any by more than half of its deviation, in words."""
    found = {}
    for name, statistic in STATISTICS.items():
        own, other = statistic(train.images), statistic(test.images)
        spread = np.sqrt((own.var() + other.var()) / 2) + 0.01
        found[name] = abs(own.mean() - other.mean()) / spread, own.mean(), other.mean()
    name = max(found, key=lambda name: found[name][0])
    effect, own, other = found[name]
    if effect < 0.5:
        return " (they differ in form: turned, moved, or of other things?)"
    return f"; the {name} is {other:.2f} on average in the test part, and {own:.2f} in the training part"
