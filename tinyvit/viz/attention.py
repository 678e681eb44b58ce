"""Attention in numbers: maps, rollout, distance, and what each weight does for a class.

All of it is read from the cache of `vit`, which is the trace of what the model did: c["blocks"][l]["msa"]["att"]["a"]
are the maps of block l, [B, h, T, T]. Row t says how much token t takes from each token; token 0 is the class token.
"""

import numpy as np

from tinyvit.arrays import to_host, xp_of
from tinyvit.layers.encoder_block import encoder_block_backward
from tinyvit.layers.layer_norm import layer_norm_backward
from tinyvit.layers.linear import linear_backward
from tinyvit.layers.mlp import mlp_backward
from tinyvit.layers.pre_logits import pre_logits_backward
from tinyvit.ops.class_row import class_row_backward
from tinyvit.ops.dropout import dropout_backward
from tinyvit.ops.heads import split_heads


def attention_maps(c):
    """The attention maps of every block, on the host: a list of L arrays [B, h, T, T].

    The last is [B, h, 1, T], the class token's row, where the model ran with full=False.
    """
    return [to_host(block["msa"]["att"]["a"]) for block in c["blocks"]]


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

    x_t is the centre of patch t; the class token is nowhere and is left out.

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
    between = patch_distances(maps[0].shape[-1] - 1, patch)
    found = []
    for a in maps:
        a = a[:, :, 1:, 1:]
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


def weighted_attention(dlogits, p, c):
    """What each attention weight does for a score: every map times its gradient, max(0, a * da), mean over heads.

    Where plain attention shows what is looked at, this shows what of it speaks for a class (Chefer et al. 2021, their
    equation 5, of each layer by itself). da is what attention's backward pass computes on its way, da = dy v^T; the
    walk to it is `vit_backward`'s.

    Parameters
    ----------
    dlogits : array [B, K]
        The gradient of the score: 1 at the class in question, 0 elsewhere.
    p, c
        The model and the cache of its forward pass.

    Returns
    -------
    list of L arrays [B, T, T] on the host
    """
    dy, _ = linear_backward(dlogits, p["head"], c["head"])
    if "pre_logits" in p:
        dy, _ = pre_logits_backward(dy, p["pre_logits"], c["pre_logits"])
    dy, _ = layer_norm_backward(dy, p["ln"], c["ln"])
    dz = class_row_backward(dy, c["class_row"])
    found = []
    for block, cache in zip(reversed(p["blocks"]), reversed(c["blocks"]), strict=True):
        a = cache["msa"]["att"]["a"]
        a_da = a * _gradient_of_maps(dz, block, cache)
        found.insert(0, to_host(xp_of(a).maximum(a_da, 0).mean(axis=1)))
        dz, _ = encoder_block_backward(dz, block, cache)
    return found


def _gradient_of_maps(dz, p, c):
    """da [B, h, T, T] of a block, from the gradient of its output: the first lines of its backward pass."""
    dy, _ = mlp_backward(dz, p["mlp"], c["mlp"])
    dy, _ = layer_norm_backward(dy, p["ln2"], c["ln2"])
    dy, _ = linear_backward(dropout_backward(dz + dy, c["dropout"]), p["msa"]["o"], c["msa"]["o"])
    v = c["msa"]["att"]["v"]
    return split_heads(dy, v.shape[1]) @ v.swapaxes(-1, -2)
