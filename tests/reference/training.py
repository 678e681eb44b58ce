"""Steps of AdamW on one batch: tinyvit's functions in the order of a training loop, and nothing else."""

import numpy as np

from tinyvit import trees
from tinyvit.models.vit import vit, vit_backward, vit_masks
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward
from tinyvit.training.adamw import adamw_step, clip_factor, decay_of


def loss_and_gradients(images, labels, p, config, *, smoothing=0.0, **keywords):
    """Logits, loss, gradient of the images, and the tree of gradients; keywords go to vit."""
    logits, c = vit(images, p, config, **keywords)
    loss, c_loss = cross_entropy(logits, labels, smoothing)
    return logits, loss, *vit_backward(cross_entropy_backward(1.0, c_loss), p, c, config)


def flatten(tree, like):
    """The leaves of a tree, in the order of `like`, as one vector."""
    return np.concatenate([leaf.reshape(-1) for leaf in trees.leaves(tree, like)])


def train(
    images, labels, p, config, *, steps, learning_rate, weight_decay=0.0, limit=1.0, smoothing=0.0, all_rows=True
):
    """The parameters after some steps, as views of one flat vector, and the loss before each; p itself stays."""
    vector = flatten(p, p)
    m, v, decay, p = np.zeros_like(vector), np.zeros_like(vector), decay_of(p, weight_decay), trees.views(vector, p)
    losses = []
    for step in range(1, steps + 1):
        masks = vit_masks(np.random.default_rng(step), config, len(images), all_rows=all_rows, dtype=vector.dtype)
        _, loss, _, g = loss_and_gradients(
            images, labels, p, config, smoothing=smoothing, masks=masks, all_rows=all_rows
        )
        g = flatten(g, p)
        g *= clip_factor(np.sqrt(g @ g), limit)
        adamw_step(vector, g, m, v, step=step, learning_rate=learning_rate, decay=decay)
        losses.append(float(loss))
    return p, losses
