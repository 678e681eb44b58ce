"""AdamW: Adam with decoupled weight decay (Loshchilov and Hutter 2019), and what surrounds it."""

import math

import numpy as np

from tinyvit import trees
from tinyvit.arrays import xp_of

BLOCK = 32_768  # entries updated at a time on the CPU: the five vectors' blocks stay in its cache through all passes


def adamw_step(p, g, m, v, *, step, learning_rate, decay, beta1=0.9, beta2=0.999, eps=1e-8):
    """One update, in place, of parameters p and moments m and v.

        m = beta1 m + (1 - beta1) g                 mean of the gradients
        v = beta2 v + (1 - beta2) g^2               mean of their squares
        p = p - learning_rate (decay p + mhat / (sqrt(vhat) + eps))

    with mhat = m / (1 - beta1^step) and vhat = v / (1 - beta2^step), which undo the pull towards the zeros that m and v
    start from. The decay acts on p itself, not through g: Adam would divide it by sqrt(vhat), and decay the parameters
    with large gradients least.

    Parameters
    ----------
    p, g, m, v : array [n]
        Flat vectors; p, m and v are changed.
    step : int
        1 for the first.
    learning_rate : float
    decay : float or array [n]
        One for each parameter, from `decay_of`.
    """
    block = BLOCK if isinstance(p, np.ndarray) else len(p)
    for start in range(0, len(p), block):
        part = slice(start, start + block)
        gb, mb, vb, pb = g[part], m[part], v[part], p[part]
        mb *= beta1
        mb += (1 - beta1) * gb
        vb *= beta2
        vb += (1 - beta2) * gb * gb
        update = np.sqrt(vb)
        update *= 1 / math.sqrt(1 - beta2**step)
        update += eps
        np.divide(mb, update, out=update)
        update *= learning_rate / (1 - beta1**step)
        pb *= 1 - learning_rate * (decay[part] if hasattr(decay, "shape") else decay)
        pb -= update


def decay_of(p, weight_decay):
    """The decay of each parameter, a vector [n]: weight_decay for matrices and tables of embeddings, none for the rest.

    Decay keeps a linear layer's gain in bounds. Biases, norms, the class token and positions have no gain: pulling them
    to zero would only take away what they say.
    """
    xp = xp_of(trees.leaves(p)[0])
    parts = [xp.full(w.size, weight_decay if name.endswith("/w") else 0, w.dtype) for name, w in trees.walk(p)]
    return xp.concatenate(parts)


def trainable(p, freeze):
    """1 for each parameter that is trained, 0 for the frozen ones: the first `freeze` blocks, and all that is below.

    Below are the embedding, a hybrid's ResNet, a convolutional stem, and of a Swin, whose blocks are counted through
    all stages, the mergings before the last frozen block.

    Positions that a block has for itself are frozen with it; those of the stem, or of all blocks, always. With a
    gradient of zero and no decay, AdamW leaves a parameter as it is, to the bit.
    """
    xp = xp_of(trees.leaves(p)[0])
    frozen = block_names(p)[:freeze]
    merged = {name.split("/")[1] for name in frozen if name.startswith("stages")} - {"0"}
    frozen += [f"stages/{int(stage) - 1}/merging" for stage in merged]
    positions = [f"pos/{i}" for i in range(freeze)] if isinstance(p.get("pos"), list) else ["pos"]
    below = tuple(f"{name}/" for name in [*frozen, *positions, "patch", "patch_ln", "cls", "resnet", "stem"])
    return xp.concatenate([xp.full(w.size, not f"{name}/".startswith(below), w.dtype) for name, w in trees.walk(p)])


def block_names(p):
    """The blocks of a model in their order, by what the names of their parameters begin with."""
    stages = [(f"stages/{n}/", stage) for n, stage in enumerate(p.get("stages", ()))]
    return [f"{name}blocks/{i}" for name, part in [("", p), *stages] for i in range(len(part.get("blocks", ())))]


def clip_factor(norm, limit):
    """What a gradient of this norm is multiplied by, so that its norm is at most `limit`.

    The direction stays: one wild batch makes a step of ordinary length instead of a wild one.
    """
    return np.minimum(1, limit / (norm + 1e-6))


def update_average(average, p, *, step, decay):
    """Move the running average of the parameters towards p, in place: average = d average + (1 - d) p.

    The average of many late steps lies in the middle of the valley whose sides single steps jump between. d grows
    towards `decay` as (1 + step) / (10 + step), so that the random start is soon forgotten.
    """
    d = min(decay, (1 + step) / (10 + step))
    average *= d
    average += (1 - d) * p
