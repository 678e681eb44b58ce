"""The gradient of a batch, computed in micro-batches.

A micro-batch is small enough that its activations stay in the processor's cache, and memory does not grow with the
batch. Its random draws (augmentation, dropout masks) come from a generator of its own, seeded by run, step and index,
and the gradients are added in the order of the index: the sum is the same to the bit however the work is shared out.
"""

import numpy as np

from tinyvit import trees
from tinyvit.arrays import xp_of
from tinyvit.data.augmentation import augment
from tinyvit.models.model import model_of

ORDER, MICRO_BATCH = 1, 2  # streams of random numbers, apart from each other and from the model's own (the bare seed)


def batch_gradient(batch, p, config, recipe, *, seed, step, all_rows=False, micro_batches=None, out=None):
    """The mean loss of a batch over its targets, and its gradient.

    Parameters
    ----------
    batch : {name: array}
        On the host; each micro-batch is taken to where p is.
    p : tree
        Parameters of the model.
    config : the configuration of one of MODELS
    recipe : Recipe
        Its micro_batch, label_smoothing, augmentation, freeze and recompute.
    seed, step : int
        Of the run, for its random draws.
    all_rows : bool
        As in vit.
    micro_batches : range, optional
        Take only these micro-batches' part of the loss and the gradient: those of a worker (see train_step.py).
    out : array [n], optional
        Where to put the gradient.

    Returns
    -------
    loss : 0-d array in nats
    gradient : array [n], flat, in the order of trees.leaves(p)
        Zero for what lies below the lowest trained parameter.
    """
    examples, size = len(next(iter(batch.values()))), recipe.micro_batch
    targets = model_of(config).task.count(batch, config)
    loss, gradient, first = 0.0, out, trees.leaves(p)[0]
    if out is None:
        gradient = xp_of(first).empty(trees.count(p), first.dtype)
    gradient[...] = 0
    for i in range(-(-examples // size)) if micro_batches is None else micro_batches:
        part = {name: array[i * size : (i + 1) * size] for name, array in batch.items()}
        rng = np.random.default_rng([seed, MICRO_BATCH, step, i])
        part_loss, g = _micro_batch_gradient(part, p, config, recipe, rng, targets, all_rows)
        loss, start = loss + part_loss, 0
        for count, piece in _pieces(g, p, frozen=recipe.freeze > 0):
            if piece is not None:
                gradient[start : start + count] += piece
            start += count
        del g, piece  # before the next micro-batch's are computed: in a large model they are large
    return loss, gradient


def _micro_batch_gradient(batch, p, config, recipe, rng, targets, all_rows):
    """The part of a micro-batch in the mean loss over all the batch's targets, and in its gradient, a tree."""
    first, model = trees.leaves(p)[0], model_of(config)
    xp = xp_of(first)
    if "images" in batch:
        batch = batch | {"images": augment(rng, batch["images"], **recipe.augmentation)}
    batch, masks = model.draw(rng, batch, config, all_rows=all_rows, dtype=first.dtype)
    inputs, masks = trees.map(xp.asarray, batch), trees.map(xp.asarray, masks)
    freeze = {"freeze": recipe.freeze} if recipe.freeze and model.block_options else {}
    keep = {"keep_cache": "inputs"} if recipe.recompute else {}
    y, c = model.forward(inputs, p, config, masks=masks, all_rows=all_rows, **freeze, **keep)
    loss, c_loss = model.task.loss(y, batch, recipe.label_smoothing)
    _, g = model.backward(model.task.loss_backward(1 / targets, c_loss), p, c, config, **freeze)
    return loss * (1 / targets), g


def _pieces(g, p, frozen):
    """The gradients in the order of trees.leaves(p), as pairs (size, vector).

    Of what is frozen there may be no gradient: then the vector is None. A gradient that is missing otherwise is a
    mistake of the backward pass, and raises KeyError.
    """
    if frozen and isinstance(g, dict) and not g:
        yield trees.count(p), None
    elif isinstance(p, dict | list):
        for key in p if isinstance(p, dict) else range(len(p)):
            yield from _pieces(g.get(key, {}) if frozen and isinstance(g, dict) else g[key], p[key], frozen)
    else:
        yield p.size, g.reshape(p.size)
