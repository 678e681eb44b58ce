"""How good is a model? Its logits, loss and accuracy over a data set, in batches."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinyvit.arrays import is_on_gpu, to_host, xp_of
from tinyvit.models.vit import vit
from tinyvit.ops.cross_entropy import cross_entropy
from tinyvit.ops.softmax import softmax
from tinyvit.training.memory import keep_freed_memory

LARGE = 2**22  # multiply-adds in a layer's largest product, from which on it gains from several BLAS threads


def logits_of(images, p, config, *, batch=32, workers=1):
    """The logits [N, K] of images [N, H, W, C], on the host.

    Workers are threads: nothing needs to be copied for them, and there is nothing to add up in an order. Each takes
    images of its own; if there are fewer images than workers, a large model's matrix products are shared out instead.

    Parameters
    ----------
    images : array [N, H, W, C], on the host
    p, config
        The model.
    batch : int
        Images computed at once by a worker, at most.
    workers : int
    """
    from threadpoolctl import threadpool_limits

    keep_freed_memory()
    large = config.tokens * config.dim * config.mlp_dim >= LARGE
    if is_on_gpu(p["cls"]):
        workers = 1
    streams = min(workers, len(images)) if len(images) >= workers or not large else 1
    size = min(batch, -(-len(images) // streams))
    xp = xp_of(p["cls"])

    def forward(start):
        y, _ = vit(xp.asarray(images[start : start + size]), p, config, full=False, keep=False)
        return to_host(y)

    starts = range(0, len(images), size)
    with threadpool_limits(workers // streams, "blas"), ThreadPoolExecutor(streams) as pool:
        return np.concatenate(list(map(forward, starts) if streams == 1 else pool.map(forward, starts)))


def predict(images, p, config, *, batch=32, workers=1):
    """Class probabilities [N, K] of images [N, H, W, C], on the host; as `logits_of`."""
    return softmax(logits_of(images, p, config, batch=batch, workers=workers))[0]


def evaluate(images, labels, p, config, *, batch=32, workers=1):
    """The mean loss in nats, without smoothing, and the share of images classified correctly; as `logits_of`.

    Returns
    -------
    loss, accuracy : float
    """
    return score(logits_of(images, p, config, batch=batch, workers=workers), labels)


def score(logits, labels):
    """The mean loss in nats, and the share of rows whose largest logit is the label's."""
    loss, _ = cross_entropy(logits, labels)
    return float(loss), float((logits.argmax(-1) == labels).mean())
