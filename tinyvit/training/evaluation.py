"""How good is a model? Its outputs, loss and accuracy over a data set, in batches, over the workers.

Small models with many examples run in worker processes, because threads would mostly wait for each other. All others
run in threads, which share the data without a copy. If a large model has fewer examples than workers, BLAS's own
threads share its matrix products instead.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinyvit import trees
from tinyvit.arrays import flat, is_on_gpu, to_host, xp_of
from tinyvit.errors import UsageError
from tinyvit.models.model import model_of
from tinyvit.ops.softmax import softmax
from tinyvit.training.batches import as_part, evaluation_batch, take
from tinyvit.training.memory import keep_freed_memory
from tinyvit.training.recipe import Recipe
from tinyvit.training.worker_pool import start_worker_pool

LARGE = 2**22  # parameters, from which on one example's products are large enough to gain from threads
FEW = 8  # examples of a large model computed at once: more would take more memory, and no less time
MANY = 2000  # examples, from which on a small model's are worth the third of a second that processes take to start


def outputs_and_scores(part, p, config, *, batch=32, workers=1, keep_outputs=True, of_outputs=None):
    """A model's outputs for all examples of a part of the data, and its mean scores.

    Parameters
    ----------
    part : {name: array [N, ...]}
        On the host.
    p, config
        The model, of one of MODELS.
    batch : int
        Examples computed at once by a worker, at most; of a large model on the CPU at most FEW.
    workers : int
        At most; a GPU has one.
    keep_outputs : bool
        If False, only the scores are kept: outputs are None.
    of_outputs : callable, optional
        What is kept of the outputs of some examples: outputs -> array. Those of text, over a large vocabulary, would
        hardly fit into memory all at once.

    Returns
    -------
    outputs : array [N, ...] on the host, or None
    scores : {name: mean over all targets}
    """
    from threadpoolctl import threadpool_limits

    model, first = model_of(config), trees.leaves(p)[0]
    count = len(next(iter(part.values())))
    if not count:
        none = np.empty((0, *model.task.output(config)), first.dtype)
        return of_outputs(none) if of_outputs else none, dict.fromkeys(model.task.scores, float("nan"))
    keep_freed_memory()
    if is_on_gpu(first):
        workers = 1
    large = trees.count(p) >= LARGE
    processes = min(workers, -(-count // batch))
    if processes > 1 and not large and count >= MANY and first.dtype == np.float32:
        recipe = Recipe(batch=batch * processes, micro_batch=batch)
        with threadpool_limits(1, "blas"), start_worker_pool(config, recipe, 0, workers=processes) as pool:
            pool.train_step.arrays["average"][...] = flat(p, like=pool.train_step.average)
            return pool_outputs(pool, part, keep_outputs=keep_outputs, of_outputs=of_outputs)
    streams = min(workers, count) if count >= workers or not large else 1
    most = min(batch, FEW) if large and not is_on_gpu(first) else batch
    size = min(most, -(-count // streams))
    xp = xp_of(first)

    def outputs_from(start):
        examples = take(part, slice(start, start + size), config)
        examples, masks = evaluation_batch(model, examples, config, start)
        how = dict(masks=trees.map(xp.asarray, masks), all_rows=False, keep_cache=False)
        y = to_host(model.forward(trees.map(xp.asarray, examples), p, config, **how)[0])
        kept = (of_outputs(y) if of_outputs else y) if keep_outputs else None
        return kept, model.task.score(y, examples)

    starts = range(0, count, size)
    with threadpool_limits(workers // streams, "blas"), ThreadPoolExecutor(streams) as threads:
        results = list(map(outputs_from, starts) if streams == 1 else threads.map(outputs_from, starts))
    sums = np.array([[scores[name] for name in model.task.scores] for _, scores in results]).sum(axis=0)
    outputs = np.concatenate([y for y, _ in results]) if keep_outputs else None
    return outputs, _means(model.task, sums)


def pool_outputs(pool, part, indices=None, *, keep_outputs=True, of_outputs=None):
    """As `outputs_and_scores`, by the average of a pool's weights; of the examples with these indices, or all."""
    step, outputs, sums = pool.train_step, [], 0.0
    size, count = step.recipe.batch, len(next(iter(part.values()))) if indices is None else len(indices)
    for start in range(0, count, size):
        chosen = slice(start, start + size)
        examples = pool.put(pool.take(part, chosen if indices is None else indices[chosen]))
        pool.do("evaluate", start, examples)
        sums = sums + step.arrays["scores"][: -(-examples // step.recipe.micro_batch)].sum(axis=0)
        if keep_outputs:
            y = step.arrays["outputs"][:examples]
            outputs.append(of_outputs(y) if of_outputs else y.copy())
    return np.concatenate(outputs) if outputs else None, _means(step.model.task, sums)


def _means(task, sums):
    return {name: float(total / count) for name, (total, count) in zip(task.scores, sums, strict=True)}


def predict(images, p, config, *, problem_type="single_label_classification", batch=32, workers=1):
    """Class probabilities [N, K] of images [N, H, W, C], on the host.

    Parameters
    ----------
    images : array [N, H, W, C], on the host
    p, config
        The model, one that classifies images.
    problem_type : str
        What the logits stand for: "single_label_classification", softmax: the probabilities of the classes sum to 1;
        "multi_label_classification", sigmoid: each class is or is not there; "regression": the logits are the answer.
    batch, workers
        As in `outputs_and_scores`.

    Raises
    ------
    UsageError
        If the model does not classify images.
    """
    task = model_of(config).task
    if task.answer is None:
        raise UsageError(f"{type(config).__name__}: {model_of(config).title} names no classes")
    unread = np.zeros(len(images), np.int64)  # no score is looked at
    logits, _ = outputs_and_scores({"images": images, "labels": unread}, p, config, batch=batch, workers=workers)
    if problem_type == "regression":
        return logits
    if problem_type == "multi_label_classification":
        return softmax(np.stack([logits, np.zeros_like(logits)], axis=-1))[0][..., 0]  # 1 / (1 + exp(-logit))
    return softmax(logits)[0]


def evaluate(part, p, config, *, batch=32, workers=1):
    """The mean scores of a model over a part of the data: {"loss": nats, without smoothing, "accuracy": share}.

    Parameters
    ----------
    part : {name: array}, or (images, labels)
    p, config, batch, workers
        As in `outputs_and_scores`.
    """
    return outputs_and_scores(as_part(part), p, config, batch=batch, workers=workers, keep_outputs=False)[1]
