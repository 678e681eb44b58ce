"""The linear probe: how much do frozen features say about the classes, to a linear map fitted in closed form?

The paper's few-shot accuracies (section 4.1) are of this kind: not logistic regression, but regularised least squares
from features to targets in {-1, 1}^K, which needs no training loop.
"""

import statistics

import numpy as np

from tinyvit.errors import DataError

L2 = 0.1  # with which features are probed, if nothing else is said
SHOTS = (1, 2, 5, 10, 20, 50)  # images of each class, in the lab
SHOT_COLUMNS = ["1 shot (%)", *(f"{shots} shots (%)" for shots in SHOTS[1:])]  # of its tables
DRAWS = 20  # of these images, for each model of the lab
DRAW = 4  # a stream of random numbers, apart from the training loop's
LEAST = 1e-12  # l2: enough that there is one solution


def ridge(features, labels, classes, l2=1.0):
    """Regularised least squares from features to classes.

    With X the features, less their mean, and T the targets (1 for the true class, -1 for the others), less theirs,

        W = argmin |X W - T|^2 + lambda |W|^2 = (X^T X + lambda 1)^-1 X^T T    (the normal equations)
          = X^T (X X^T + lambda 1)^-1 T,

    which is the smaller system where there are fewer images than features. The means give the bias, which so is not
    regularised. lambda is `l2` times the mean square length of a row of X: then it does not matter how the
    features are scaled.

    Parameters
    ----------
    features : array [N, D]
    labels : integer array [N]
    classes : int
        K
    l2 : float
        At least 0; 0 is plain least squares, of all solutions the shortest.

    Returns
    -------
    {w [D, K], b [K]} : float64, as a linear layer takes it

    Raises
    ------
    DataError
        If there are no images.
    """
    if not len(features):
        raise DataError("there are no images to fit a probe to: expected at least one")
    x = np.asarray(features, np.float64)
    targets = 2.0 * (np.arange(classes) == np.asarray(labels)[:, None]) - 1
    middle, mean = x.mean(axis=0), targets.mean(axis=0)
    x, targets = x - middle, targets - mean
    decay = max(l2, LEAST) * ((x * x).sum() / len(x) or 1)
    if x.shape[1] <= len(x):
        w = np.linalg.solve(x.T @ x + decay * np.eye(x.shape[1]), x.T @ targets)
    else:
        w = x.T @ np.linalg.solve(x @ x.T + decay * np.eye(len(x)), targets)
    return {"w": w, "b": mean - middle @ w}


def accuracy(head, features, labels):
    """The share of the features [N, D] whose class, argmax of X W + b, is their label."""
    return float(((features @ head["w"] + head["b"]).argmax(-1) == labels).mean())


def shots(rng, labels, count):
    """The indices of `count` images of each class, drawn at random; of all, where there are fewer."""
    found = [rng.permutation(np.flatnonzero(labels == k))[:count] for k in np.unique(labels)]
    return np.sort(np.concatenate(found))


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


def probe_draws(extract, labels, test, answers, seed, draws):
    """`probe`, of few images that are drawn anew so many times: one draw of one image says little.

    Parameters
    ----------
    extract : callable
        From indices to the features of these images.
    labels : integer array [N]
        Of all images that may be drawn.
    test, answers
        As in `probe`.
    seed, draws : int
        No two seeds share a draw.

    Returns
    -------
    {accuracy: {shots: the mean of the draws' shares}, spread: {shots: their standard deviation}}
    """
    found = []
    for draw in range(draws * seed, draws * (seed + 1)):
        few = drawn(labels, draw)
        found.append(probe(extract(few), labels[few], test, answers, draw))
    shares = {count: [each[count] for each in found] for count in found[0]}
    return {
        "accuracy": {count: statistics.mean(each) for count, each in shares.items()},
        "spread": {count: statistics.stdev(each) for count, each in shares.items()},
    }


def accuracy_of(shots):
    """How to read the accuracy of a probe with so many shots from a run's result: a measure, as Results takes it."""
    return lambda result: result["accuracy"][str(shots)]
