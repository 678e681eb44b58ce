"""Softmax cross-entropy, with label smoothing (Szegedy et al. 2016)."""

import numpy as np

from tinyvit.annotations import Array, Tree
from tinyvit.arrays import is_on_gpu, xp_of
from tinyvit.errors import DataError, UsageError
from tinyvit.ops.labels import check_labels
from tinyvit.ops.sums import row_max, row_sums


def cross_entropy(logits: Array, labels: Array, smoothing: float = 0.0) -> tuple[Array, Tree]:
    """The mean, over the batch, of the surprise at the true label.

        loss = - 1/B sum_b sum_k t_bk log softmax(logits)_bk,    t_bk = (1 - s) 1[k = label_b] + s / K

    With smoothing s = 0 the target t is one-hot, and only the true class counts. A model that knows nothing gives ln K.

    Parameters
    ----------
    logits : array [B, K]
    labels : integer array [B]
        On the host, or where the logits are. On the host they are checked.
    smoothing : float
        The share s of the target that is spread evenly over all K classes.

    Returns
    -------
    loss : 0-d array in nats, and the cache {probabilities, targets}, both [B, K]

    Raises
    ------
    DataError
        If there is not one label for each image, or one is not one of the K classes.
    UsageError
        If the smoothing is no share.
    """
    if not 0 <= smoothing <= 1:
        raise UsageError(f"smoothing is {smoothing}: expected a share from 0 to 1")
    xp, (B, classes) = xp_of(logits), logits.shape
    if not is_on_gpu(labels):
        labels = check_labels(labels, classes)
    if labels.shape != (B,):
        raise DataError(f"labels: found {list(labels.shape)}, expected one for each of {B} rows of logits")
    targets = xp.full(logits.shape, smoothing / classes, logits.dtype)
    targets[xp.arange(B), xp.asarray(labels)] += 1 - smoothing
    shifted = logits - row_max(logits)
    probabilities = np.exp(shifted)
    sums = row_sums(probabilities)
    log_probabilities = shifted - np.log(sums)
    probabilities /= sums
    loss = -(targets * log_probabilities).sum() / B
    return loss, {"probabilities": probabilities, "targets": targets}


def cross_entropy_backward(dloss: Array, c: Tree) -> Array:
    """The gradient of the logits: dlogits = dloss (probabilities - targets) / B.

    Since log softmax(x)_k = x_k - log sum_j exp(x_j), its derivative by x_i is 1[i = k] - softmax(x)_i. Weighted by
    -t_k and summed over k, with sum_k t_k = 1, this is softmax(x)_i - t_i: what the model says, less what is true.
    """
    return (c["probabilities"] - c["targets"]) * (dloss / len(c["targets"]))
