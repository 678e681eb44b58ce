"""The gradient of a batch, computed in micro-batches.

A micro-batch is small enough that its activations stay in the processor's cache, and memory does not grow with the
batch. Its random draws (augmentation, dropout masks) come from a generator of its own, seeded by run, step and index,
and the gradients are added in the order of the index: the sum is the same to the bit however the work is shared out.
"""

import numpy as np

from tinyvit import trees
from tinyvit.arrays import flat, xp_of
from tinyvit.data.augmentation import augment
from tinyvit.models.model import model_of
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward

ORDER, MICRO_BATCH = 1, 2  # streams of random numbers, apart from each other and from the model's own (the bare seed)


def batch_gradient(images, labels, p, config, recipe, *, seed, step, full=False, micro_batches=None, out=None):
    """The mean loss of a batch and its gradient.

    Parameters
    ----------
    images : array [B, H, W, C], labels : integer array [B]
        On the host; each micro-batch is taken to where p is.
    p : tree
        Parameters of the model.
    config : ViTConfig, or that of another of MODELS
    recipe : Recipe
        Its micro_batch, smoothing and augmentation.
    seed, step : int
        Of the run, for its random draws.
    full : bool
        As in vit.
    micro_batches : range, optional
        Take only these micro-batches' share of the loss and the gradient: a worker's (see work.py).
    out : array [n], optional
        Where to put the gradient.

    Returns
    -------
    loss : 0-d array in nats
    gradient : array [n], flat, in the order of trees.leaves(p)
    """
    loss, gradient = 0.0, None
    for i in range(-(-len(images) // recipe.micro_batch)) if micro_batches is None else micro_batches:
        part = slice(i * recipe.micro_batch, (i + 1) * recipe.micro_batch)
        rng = np.random.default_rng([seed, MICRO_BATCH, step, i])
        share = len(labels[part]) / len(labels)
        part_loss, g = _micro_batch_gradient(images[part], labels[part], p, config, recipe, rng, share, full)
        loss += share * part_loss
        if gradient is None:
            gradient = flat(g, like=p, out=out)
        else:
            gradient += flat(g, like=p)
    return loss, gradient


def _micro_batch_gradient(images, labels, p, config, recipe, rng, share, full):
    """The mean loss of one micro-batch, and its share of the batch's gradient, as a tree."""
    xp = xp_of(p["head"]["w"])
    images = augment(rng, images, **recipe.augmentation)
    model, dtype = model_of(config), p["head"]["w"].dtype
    masks, targets = model.draw(rng, config, images, labels, full=full, dtype=dtype)
    logits, c = model.forward(xp.asarray(images), p, config, masks=trees.map(xp.asarray, masks), full=full)
    loss, c_loss = cross_entropy(logits, targets, smoothing=recipe.smoothing)
    _, g = model.backward(cross_entropy_backward(share, c_loss), p, c, config)
    return loss, g
