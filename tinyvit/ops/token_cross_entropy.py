"""Cross-entropy over the tokens of sequences of unequal length: padding is no target."""

import numpy as np

from tinyvit.arrays import to_host, xp_of
from tinyvit.errors import DataError
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward

NO_TARGET = -1  # in place of a token: nothing is asked here


def token_cross_entropy(logits, targets, smoothing=0.0):
    """The mean surprise at the true tokens, over all places where there is one.

        loss = 1/n sum over (b, t) with a target of - sum_k t_btk log softmax(logits_bt)_k

    The mean is over targets, not over sequences: a long sequence has more to say than a short one.

    Parameters
    ----------
    logits : array [B, T, V]
    targets : integer array [B, T]
        On the host. NO_TARGET where nothing is asked: at padding, or, in BERT, wherever no token was hidden.
    smoothing : float
        As in `cross_entropy`, over all V tokens; T2T's form, which leaves the true one out, differs by a constant and a
        scale.

    Returns
    -------
    loss : 0-d array in nats, and the cache {logits, places, loss}
        places [n] are the rows of logits, as [B T, V], that have a target.

    Raises
    ------
    DataError
        If there is no target at all, or one is not a token of the vocabulary.
    """
    targets = np.asarray(to_host(targets))
    if targets.shape != logits.shape[:2]:
        raise DataError(f"targets: found {list(targets.shape)}, expected {list(logits.shape[:2])}, one for each place")
    (places,) = np.nonzero(targets.reshape(-1) != NO_TARGET)
    if not len(places):
        raise DataError("targets: found padding alone, expected at least one token")
    rows = logits.reshape(-1, logits.shape[-1])
    on_device = xp_of(logits).asarray(places)
    asked = rows if len(places) == len(rows) else rows[on_device]  # without padding, as they are
    loss, c = cross_entropy(asked, targets.reshape(-1)[places], smoothing=smoothing)
    return loss, {"logits": logits, "places": on_device, "loss": c}


def token_cross_entropy_backward(dloss, c):
    """The gradient of the logits: `cross_entropy`'s where there is a target, and exactly 0 elsewhere."""
    logits, places = c["logits"], c["places"]
    dasked = cross_entropy_backward(dloss, c["loss"])
    if len(places) == logits.shape[0] * logits.shape[1]:
        return dasked.reshape(logits.shape)
    drows = xp_of(logits).zeros((logits.shape[0] * logits.shape[1], logits.shape[2]), logits.dtype)
    drows[places] = dasked
    return drows.reshape(logits.shape)
