"""How much do features say? A linear map, fitted in closed form to a few images of each class."""

import numpy as np

from tinyvit.training.probe import L2, accuracy, ridge, shots

SHOTS = (1, 2, 5, 10, 20, 50)  # images of each class
DRAW = 4  # a stream of random numbers, apart from the training loop's


def probe(features, labels, test, answers, seed):
    """The accuracy of ridge regression on few images, for several numbers of them.

    Parameters
    ----------
    features : array [N, D]
        With at least max(SHOTS) of each class, as far as there are.
    labels : integer array [N]
    test, answers
        Features and labels of the images to classify.
    seed : int
        Which images are taken.

    Returns
    -------
    {shots: share}, the shots as text, as JSON has them
    """
    classes, found = int(labels.max()) + 1, {}
    for count in SHOTS:
        few = shots(np.random.default_rng([seed, DRAW, count]), labels, count)
        head = ridge(features[few], labels[few], classes, L2)
        found[str(count)] = accuracy(head, test, answers)
    return found


def drawn(labels, seed):
    """The indices of as many images of each class as any probe takes."""
    return shots(np.random.default_rng([seed, DRAW]), labels, max(SHOTS))


def accuracy_of(shots):
    """How to read the accuracy of a probe with so many shots from a run's result: a measure, as Results takes it."""
    return lambda result: result["accuracy"][str(shots)]
