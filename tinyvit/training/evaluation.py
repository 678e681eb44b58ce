"""How good is a model? Its logits, loss and accuracy over a data set, in batches."""

import numpy as np

from tinyvit.arrays import to_host, xp_of
from tinyvit.models.vit import vit
from tinyvit.ops.cross_entropy import cross_entropy
from tinyvit.ops.softmax import softmax


def predict(images, p, config, *, batch=64):
    """Class probabilities [N, K] of images [N, H, W, C], on the host."""
    xp = xp_of(p["cls"])
    parts = [
        to_host(softmax(vit(xp.asarray(images[i : i + batch]), p, config, full=False)[0])[0])
        for i in range(0, len(images), batch)
    ]
    return np.concatenate(parts)


def evaluate(images, labels, p, config, *, batch=64):
    """The mean loss in nats, without smoothing, and the share of images classified correctly.

    Returns
    -------
    loss, accuracy : float
    """
    xp, loss, correct = xp_of(p["cls"]), 0.0, 0
    for i in range(0, len(images), batch):
        x, y = images[i : i + batch], labels[i : i + batch]
        logits, _ = vit(xp.asarray(x), p, config, full=False)
        loss += len(y) * float(cross_entropy(logits, y)[0])
        correct += int((to_host(logits).argmax(-1) == y).sum())
    return loss / len(images), correct / len(images)
