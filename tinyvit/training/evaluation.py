"""How good is a model? Its logits, loss and accuracy over a data set, in batches, over the workers.

A small model's data set goes to worker processes, as in training, where threads would wait for each other more than
they compute. A large model's images go to threads, who need no copy of it; and if there are fewer images than workers,
its matrix products are shared out instead.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinyvit.arrays import flat, is_on_gpu, to_host, xp_of
from tinyvit.models.config import ViTConfig
from tinyvit.models.model import model_of
from tinyvit.ops.cross_entropy import cross_entropy
from tinyvit.ops.softmax import softmax
from tinyvit.training.crew import start_crew
from tinyvit.training.memory import keep_freed_memory
from tinyvit.training.recipe import Recipe

LARGE = 2**22  # multiply-adds in a layer's largest product for one image, from which on it gains from threads
MANY = 2000  # images, from which on a small model's are worth the third of a second that processes take to start


def logits_of(images, p, config, *, batch=32, workers=1):
    """The logits [N, K] of images [N, H, W, C], on the host.

    Parameters
    ----------
    images : array [N, H, W, C], on the host
    p, config
        The model.
    batch : int
        Images computed at once by a worker, at most.
    workers : int
        At most; a GPU has one.
    """
    from threadpoolctl import threadpool_limits

    if not len(images):
        return np.empty((0, config.classes), images.dtype)
    keep_freed_memory()
    model, large = model_of(config), is_large(config)
    if is_on_gpu(p["head"]["w"]):
        workers = 1
    processes = min(workers, -(-len(images) // batch))
    if processes > 1 and not large and len(images) >= MANY and p["head"]["w"].dtype == images.dtype == np.float32:
        recipe = Recipe(batch=batch * processes, micro_batch=batch)
        with threadpool_limits(1, "blas"), start_crew(config, recipe, 0, workers=processes) as crew:
            crew.work.arrays["average"][...] = flat(p, like=crew.work.average)
            return crew_logits(crew, images)
    streams = min(workers, len(images)) if len(images) >= workers or not large else 1
    size = min(batch, -(-len(images) // streams))
    xp = xp_of(p["head"]["w"])

    def forward(start):
        y, _ = model.forward(xp.asarray(images[start : start + size]), p, config, full=False, keep=False)
        return to_host(y)

    starts = range(0, len(images), size)
    with threadpool_limits(workers // streams, "blas"), ThreadPoolExecutor(streams) as pool:
        return np.concatenate(list(map(forward, starts) if streams == 1 else pool.map(forward, starts)))


def is_large(config):
    """Whether a layer's products for one image are worth sharing out; of other models than the ViT they never are."""
    return isinstance(config, ViTConfig) and config.tokens * config.dim * config.mlp_dim >= LARGE


def crew_logits(crew, images):
    """The logits [N, K] of images [N, H, W, C] by the average of a crew's weights, on the host."""
    arrays, parts = crew.work.arrays, []
    for start in range(0, len(images), len(arrays["images"])):
        part = images[start : start + len(arrays["images"])]
        arrays["images"][: len(part)] = part
        crew.do("evaluate", len(part))
        parts.append(arrays["logits"][: len(part)].copy())
    return np.concatenate(parts)


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
