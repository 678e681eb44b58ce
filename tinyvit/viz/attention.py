"""Attention in numbers: maps, rollout, distance, and what each weight does for a class.

All of it is read from the cache of `vit`, which is the trace of what the model did: c["blocks"][l]["msa"]["att"]["a"]
are the maps of block l, [B, h, T, T]. Row t says how much token t takes from each token. Token 0 is the class token, of
a model that has one; all others are patches.
"""

import math

import numpy as np

from tinyvit.arrays import to_host, xp_of
from tinyvit.layers.linear import linear_backward
from tinyvit.layers.pool import POOL
from tinyvit.layers.pre_logits import pre_logits_backward
from tinyvit.models.blocks import block_of
from tinyvit.models.placement import PLACEMENT
from tinyvit.ops.dropout import dropout_backward
from tinyvit.ops.heads import split_heads


def attention_maps(c):
    """The attention maps of every block, on the host: a list of L arrays [B, h, T, T].

    The last is [B, h, 1, T], the class token's row, where the model ran with full=False.
    """
    return [to_host(block["msa"]["att"]["a"]) for block in c["blocks"]]


def class_tokens(tokens):
    """How many of so many tokens are no patches: 1, the class token, or 0. N is a square number, and N + 1 is not."""
    return tokens - math.isqrt(tokens) ** 2


def answers_row(weights):
    """What the answer takes from each patch: the class token's row; without one, the mean of all patches' rows.

    For the head reads the class token, or the mean of all patches.

    Parameters
    ----------
    weights : array [..., T, T]
        Maps, or a rollout; of a model with a class token, its row may be all there is.

    Returns
    -------
    array [..., N]
    """
    first = class_tokens(weights.shape[-1])
    return weights[..., 0, first:] if first else weights.mean(axis=-2)


def who_answers(tokens):
    """In words, whose row that is in maps of so many tokens."""
    return "the class token" if class_tokens(tokens) else "the average patch"


def rollout(maps, identity=True):
    """How much each token's last state comes from each patch: attention, followed through all layers.

        A = A_L ... A_2 A_1,    A_l = mean over heads of the maps,    or (mean + I) / 2

    Abnar and Zuidema 2020; the ViT paper's figure 6 takes the mean over heads. The identity stands for the residual
    connection, through which a token also keeps what it had; without it the product forgets where it began.

    Parameters
    ----------
    maps : list of arrays [B, h, T, T]
        From `attention_maps`; the last may be the class token's row alone.
    identity : bool

    Returns
    -------
    array [B, T, T] (or [B, 1, T])
        Each row sums to 1.
    """
    result = None
    for a in maps:
        a = a.mean(axis=1)
        if identity:
            a = (a + np.eye(*a.shape[-2:], dtype=a.dtype)) / 2
        result = a if result is None else a @ result
    return result


def attention_distance(maps, patch):
    """How far each head looks: the mean distance in pixels from a patch to what it attends to (the paper's figure 7).

        d = mean over images and patches t of sum_s a_ts |x_t - x_s| / sum_s a_ts

    x_t is the centre of patch t; a class token is nowhere and is left out.

    Parameters
    ----------
    maps : list of arrays [B, h, T, T]
        From `attention_maps` of a full pass.
    patch : int
        P, the side of a patch in pixels.

    Returns
    -------
    array [L, h], pixels
        NaN for a head in which no patch looks at any patch, but all at the class token.
    """
    tokens = maps[0].shape[-1]
    first = class_tokens(tokens)
    between, found = patch_distances(tokens - first, patch), []
    for a in maps:
        a = a[:, :, first:, first:]
        share = a.sum(-1)  # [B, h, N]
        looks = share > 0
        distances = (a * between).sum(-1) / np.where(looks, share, 1)
        count = looks.sum(axis=(0, 2))
        found.append(np.where(count, distances.sum(axis=(0, 2)) / np.maximum(count, 1), np.nan))
    return np.array(found)


def patch_distances(count, patch):
    """The distances in pixels between the centres of all patches of a square grid: [N, N]."""
    side = round(count**0.5)
    points = patch * np.stack(np.divmod(np.arange(count), side), axis=1)
    return np.linalg.norm(points[:, None] - points, axis=-1)


def uniform_distance(count, patch):
    """The attention distance of a head that takes as much from every patch: what "global" means on this grid."""
    return float(patch_distances(count, patch).mean())


def weighted_attention(dlogits, p, c, config):
    """What each attention weight does for a score: every map times its gradient, max(0, a * da), mean over heads.

    Where plain attention shows what is looked at, this shows what of it speaks for a class (Chefer et al. 2021, their
    equation 5, of each layer by itself). da is what attention's backward pass computes on its way, da = dy v^T; the
    walk to it is `vit_backward`'s.

    Parameters
    ----------
    dlogits : array [B, K]
        The gradient of the score: 1 at the class in question, 0 elsewhere.
    p, c, config
        The model and the cache of its forward pass.

    Returns
    -------
    list of L arrays [B, T, T] on the host
    """
    dy, _ = linear_backward(dlogits, p["head"], c["head"])
    if "pre_logits" in p:
        dy, _ = pre_logits_backward(dy, p["pre_logits"], c["pre_logits"])
    dz, _ = POOL[config.pool].read_backward(dy, p["ln"], c)
    _, block_backward = block_of(config)
    blocks, found = PLACEMENT[config.position_at].blocks(p), []
    for block, cache in zip(reversed(blocks), reversed(c["blocks"]), strict=True):
        a = cache["msa"]["att"]["a"]
        a_da = a * _gradient_of_maps(dz, block, cache, block_backward)
        found.insert(0, to_host(xp_of(a).maximum(a_da, 0).mean(axis=1)))
        dz, _ = block_backward(dz, block, cache)
    return found


def _gradient_of_maps(dz, p, c, block_backward):
    """da [B, h, T, T] of a block, pre-norm or post-norm, from the gradient of its output.

    What attention says is added to what the block was given, and all that follows reads the sum. Were its last
    projection zero, nothing would come back through attention, and the block's backward pass would end with what comes
    around it: the gradient of that sum, and so of either part. (In a block whose MLP reads something else, it is not.)
    """
    msa, T = p["msa"], c["msa"]["att"]["q"].shape[2]
    silent = p | {"msa": msa | {"o": msa["o"] | {"w": xp_of(dz).zeros_like(msa["o"]["w"])}}}
    dy = block_backward(dz, silent, c)[0][:, :T]
    dy, _ = linear_backward(dropout_backward(dy, c["dropout"]), msa["o"], c["msa"]["o"])
    v = c["msa"]["att"]["v"]
    return split_heads(dy, v.shape[1]) @ v.swapaxes(-1, -2)
