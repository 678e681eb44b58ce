"""A run that trains a model, and what it was like before the first step."""

from time import perf_counter

import numpy as np

from tinyvit import trees
from tinyvit.data.pixels import Pixels
from tinyvit.errors import DivergedError
from tinyvit.models.model import MODELS
from tinyvit.models.vit import vit, vit_backward, vit_init
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward
from tinyvit.training.loop import fit
from tinyvit.training.recipe import Recipe

SUBSET = 3  # a stream of random numbers, apart from the training loop's
PROBED = 100  # the gradients at the start are of so many images


def train(data, seed, *, model, config, recipe, images, gradients=False):
    """Train a model: its accuracies, and its seconds.

    Parameters
    ----------
    gradients : bool
        Also the norm of each block's gradient before the first step, and what attention is like then.
    """
    config, recipe = MODELS[model].config(**config), Recipe.from_dict(recipe)
    (x, y), test = data
    x, y = part(x, y, some(seed, len(x), images))
    found = _at_the_start(x, y, config, seed) if gradients else {}
    try:
        return found | learned(config, ((x, y), test), recipe, seed)[1]
    except DivergedError:
        return found | guessing(test[1])


def learned(config, data, recipe, seed):
    """A trained model's parameters, its accuracies, and its seconds; data as in `fit`."""
    begun = perf_counter()
    p, history = fit(config, data, recipe=recipe, seed=seed, workers=1, progress=False)
    last = {record["kind"]: record for record in history}
    return p, {
        "test_accuracy": last["test"]["test_accuracy"],
        "validation_accuracy": last["epoch"]["validation_accuracy"],
        "parameters": trees.count(p),
        "seconds": perf_counter() - begun,
    }


def guessing(labels):
    """What a run that diverged has learned: nothing, so that its accuracy is that of the commonest class."""
    chance = float(np.bincount(labels).max() / len(labels))
    return {"test_accuracy": chance, "validation_accuracy": chance, "diverged": True}


def some(seed, there, wanted):
    """The indices of `wanted` of the images, drawn at random; None wants all."""
    return np.sort(np.random.default_rng([seed, SUBSET]).permutation(there)[:wanted])


def part(x, y, few):
    """Some of the images and their labels; pictures stay bytes."""
    return Pixels(x.stored[few], x.size) if isinstance(x, Pixels) else x[few], y[few]


def _at_the_start(x, y, config, seed):
    """The untrained model, on a few images, with a random head: the zero head would pass no gradient on.

    gradient_norms   of the parameters of each block
    entropy          of the attention maps of the first block, as a share of the largest, ln T: 1 is even attention
    score_variance   of its scores, within each row
    """
    p = vit_init(np.random.default_rng(seed), config)
    head = np.random.default_rng([seed, SUBSET]).standard_normal(p["head"]["w"].shape) / np.sqrt(config.dim)
    p = p | {"head": p["head"] | {"w": head.astype(p["head"]["w"].dtype)}}
    logits, c = vit(x[:PROBED], p, config)
    _, c_loss = cross_entropy(logits, y[:PROBED])
    _, g = vit_backward(cross_entropy_backward(1.0, c_loss), p, c, config)
    att = c["blocks"][0]["msa"]["att"]
    scores, a = att["q"] @ att["k"].swapaxes(-1, -2), np.maximum(att["a"], 1e-30)
    return {
        "gradient_norms": [_norm(block) for block in g["blocks"]],
        "entropy": float(-(a * np.log(a)).sum(-1).mean() / np.log(a.shape[-1])),
        "score_variance": float(scores.var(axis=-1).mean()),
    }


def _norm(tree):
    """The norm of all leaves together."""
    return float(np.sqrt(sum((leaf.astype(np.float64) ** 2).sum() for leaf in trees.leaves(tree))))
