"""Do pictures that look alike have the same label? Every picture is asked of its ten nearest neighbours."""

import math

import numpy as np

from tinyvit.doctor.checked import Skipped
from tinyvit.doctor.luck import DEVIATIONS, deviation, surely_more
from tinyvit.doctor.sample import nearest

NEIGHBOURS, MAJORITY = 10, 6  # votes, of which so many are a clear answer
CLEAR = 0.5  # share of clear answers, below which neighbours cannot judge labels: photographs are such
WRONG = 0.04  # share of labels that no neighbour has; where classes overlap, they are up to 3.5 %
UNCERTAIN = 0.1  # of a share: more is too little to say that labels and images are unrelated
OTHER, OTHER_CLASS = 0.05, 0.15  # shares by which the parts may differ, altogether and in one class


def votes_of(queries, base, labels, classes, *, themselves=False):
    """How many of each feature's ten nearest neighbours in the base are of each class: [n, K]."""
    found = labels[nearest(queries, base, NEIGHBOURS, themselves=themselves)]
    return np.stack([(found == k).sum(axis=1) for k in range(classes)], axis=1)


def check_labels(train, test, classes, seed, *, arranged=False):
    """Labels agree with those of the nearest pictures, in the test part as often as in the training part.

    A picture's neighbours are the ten training pictures, without itself, that correlate most with it. Three things
    are looked at: pictures whose neighbours clearly say one class, while none of them has the picture's own label: most
    of these labels are wrong; how often the neighbours are right in either part; and whether a class of one part is
    taken for another one, as it is not in the other part. The last two need no agreement: hard pictures are as hard in
    both parts.

    Parameters
    ----------
    train, test : Sample
    classes : int
    seed : int
    arranged : bool
        The pictures lie in folders of their classes, so that labels cannot be in another order.

    Returns
    -------
    str : what was looked at
    """
    base, labels = train.features, train.labels
    if len(base) <= NEIGHBOURS * 2:
        return Skipped("too few training images to ask neighbours")
    own = votes_of(base, base, labels, classes, themselves=True)
    if not arranged and not _related(train, own, seed):
        yield (
            "labels and images seem unrelated: neither the nearest class mean nor the nearest images tell a class "
            "better than chance; check that both are in the same order"
        )
        return ""
    other = votes_of(test.features, base, labels, classes)
    yield from _check_wrong(own, labels, train.numbers)
    yield from _check_other_part(own.argmax(axis=1), labels, other.argmax(axis=1), test.labels, classes)
    agreed = [np.mean(votes.argmax(axis=1) == y) for votes, y in ((own, labels), (other, test.labels))]
    weak = "" if _clear(own).mean() > CLEAR else "; too rarely to say which labels are wrong in both parts alike"
    return (
        f"{len(base):,} training and {len(test.labels):,} test images: the nearest ones agree with the label in "
        f"{agreed[0]:.0%} and {agreed[1]:.0%}{weak}"
    )


def _related(train, votes, seed):
    """Whether a class is told better than by chance, by the nearest mean of a class or by the nearest neighbours.

    Half of the images give the means, the other half is classified. What is right counts class by class, so that a
    common one does not hide the others; chance is then 1/K, and four standard deviations are allowed for luck. Where
    these are much, so few images do not say.
    """
    x, y = train.images.reshape(len(train.images), -1), train.labels
    half = np.random.default_rng(seed).permutation(len(x)) < len(x) // 2
    present = np.intersect1d(y[half], y[~half])
    if len(present) < 2:
        return True
    means = np.stack([x[half & (y == k)].mean(axis=0) for k in present])
    distances = (means**2).sum(axis=1) - 2 * x[~half] @ means.T
    answers = (present[distances.argmin(axis=1)], y[~half]), (votes.argmax(axis=1), y)
    return any(_told(*answer, present) for answer in answers)


def _told(answers, labels, present):
    """Whether classes are told better than by chance, as far as luck allows one to say."""
    shares = [(answers[labels == k] == k).mean() for k in present]
    chance = 1 / len(present)
    luck = math.sqrt(chance * (1 - chance) * sum(1 / (labels == k).sum() for k in present)) / len(present)
    return DEVIATIONS * luck > UNCERTAIN or np.mean(shares) > chance + DEVIATIONS * luck


def _clear(votes):
    return votes.max(axis=1) >= MAJORITY


def _check_wrong(votes, labels, numbers):
    """Labels that no neighbour has, where the neighbours clearly have another one."""
    clear = _clear(votes)
    alone = clear & (votes[np.arange(len(labels)), labels] == 0)
    if clear.mean() > CLEAR and surely_more(int(alone.sum()), int(clear.sum()), WRONG):
        contradicted = (clear & (votes.argmax(axis=1) != labels)).sum() / clear.sum()
        first = ", ".join(map(str, numbers[alone][:5]))
        yield (
            f"about {contradicted:.0%} of the training labels are wrong: most of the ten nearest images have one other "
            f"label, and of {alone.sum() / clear.sum():.0%} none has theirs; look at images {first} and others"
        )


def _check_other_part(own, labels, other, test_labels, classes):
    """The neighbours are right as often in both parts, and take the same classes for each other."""
    counts = [int((own == labels).sum()), len(labels), int((other == test_labels).sum()), len(test_labels)]
    shares = counts[0] / counts[1], counts[2] / counts[3]
    worse, better = ("test", "training") if shares[0] > shares[1] else ("training", "test")
    if abs(shares[0] - shares[1]) > OTHER and abs(deviation(*counts)) > DEVIATIONS:
        yield (
            f"the labels of the {worse} part fit less well: its nearest training images agree with them in "
            f"{min(shares):.0%}, with those of the {better} part in {max(shares):.0%}; check the labels and the images "
            f"of the {worse} part"
        )
    for k in range(classes):
        here, there = own[labels == k], other[test_labels == k]
        for taken in range(classes):
            counts = [int((here == taken).sum()), len(here), int((there == taken).sum()), len(there)]
            z = deviation(*counts)
            if taken == k or abs(z) < DEVIATIONS + 1:
                continue
            shares = counts[0] / counts[1], counts[2] / counts[3]
            if abs(shares[0] - shares[1]) > OTHER_CLASS:
                part, share = ("training", shares[0]) if z > 0 else ("test", shares[1])
                yield (
                    f"{share:.0%} of the {part} images of class {k} look like class {taken}, in the other part "
                    f"{min(shares):.0%}: check these labels"
                )
                return
