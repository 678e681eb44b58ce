"""Attention in numbers: maps, rollout, distance, and what each weight does for a class.

All of it is read from the cache of `vit`, which is the trace of what the model did: c["blocks"][l]["msa"]["att"]["a"]
are the maps of block l, [B, h, T, T]. Row t says how much token t takes from each token. Token 0 is the class token, of
a model that has one; all others are patches.
"""

import math
from collections.abc import Sequence

import numpy as np

from tinyvit.annotations import Array, Tree
from tinyvit.arrays import to_host, xp_of
from tinyvit.errors import UsageError
from tinyvit.layers.attend import attention_map
from tinyvit.layers.pool import BESIDE_CLASS_TOKEN, READOUTS, WITHOUT_CLASS_TOKEN
from tinyvit.models.config import Config
from tinyvit.models.model import backward, model_of
from tinyvit.models.views import swin_maps
from tinyvit.ops.heads import split_heads
from tinyvit.viz.pyramid import merged, stage_grid


def attention_maps(c: Tree, config: Config | None = None) -> list[np.ndarray]:
    """The attention maps of every block, on the host.

    Parameters
    ----------
    c : tree
        The cache of the model's forward pass.
    config : optional
        The model's, which a Swin needs: without it, it is not known where its windows stood.

    Returns
    -------
    list of L arrays [B, h, T, T]
        The last is [B, h, 1, T], the class token's row, where the model ran with all_rows=False. Of a Swin each is over
        the tokens of its stage, zero outside of windows.

    Raises
    ------
    UsageError
        If there is no attention, or the configuration of a Swin is missing.
    """
    if config is not None:
        return [to_host(a) for a in _views(config)["attention"](c, config)]
    if "blocks" not in c:
        raise UsageError("the cache has no list of blocks: of a Swin, give the config too, attention_maps(c, config)")
    return [to_host(attention_map(block["msa"]["att"])) for block in c["blocks"]]


def _views(config):
    """What can be looked at in a model with attention."""
    model = model_of(config)
    if "attention" not in model.views:
        raise UsageError(f"{model.title} has no attention: there is nothing to look at")
    return model.views


def class_tokens(tokens, pool=None):
    """How many of so many tokens are no patches: 1, the class token, or 0.

    The configuration's `pool` says so. Without it, the images are taken to be square: N is a square number then, and
    N + 1 is not.
    """
    return int(pool not in WITHOUT_CLASS_TOKEN) if pool in READOUTS else tokens - math.isqrt(tokens) ** 2


def answers_row(weights, pool=None):
    """What the answer takes from each patch: the row of the class token, or the mean of the rows that the head reads.

    Parameters
    ----------
    weights : array [..., T, T]
        Maps, or a rollout; of a model with a class token, its row may be all there is.
    pool : str, optional
        As in the configuration. Left out, the class token is read where there is one.

    Returns
    -------
    array [..., N]
    """
    first = class_tokens(weights.shape[-1], pool)
    rows = _rows_read(first, pool)
    return weights[..., 0, first:] if rows is None else weights[..., rows:, first:].mean(axis=-2)


def who_answers(tokens, pool=None):
    """In words, whose row that is in maps of so many tokens."""
    first = class_tokens(tokens, pool)
    rows = _rows_read(first, pool)
    return "the class token" if rows is None else "the average patch" if rows == first else "the average token"


def _rows_read(first, pool):
    """From which row on the head reads the mean of all rows; None if it reads the class token alone."""
    if first and pool in (None, "class"):
        return None
    return first if pool in BESIDE_CLASS_TOKEN else 0


def rollout(maps: Sequence[Array], identity: bool = True) -> Array:
    """How much each token's last state comes from each patch: attention, followed through all layers.

        A = A_L ... A_2 A_1,    A_l = mean over heads of the maps,    or (mean + I) / 2

    Abnar and Zuidema 2020; the ViT paper's figure 6 takes the mean over heads. The identity stands for the residual
    connection, through which a token also keeps what it had; without it the product forgets where it began. Where a map
    is of fewer tokens than the one before, as between the stages of a Swin, tokens were merged (see pyramid.py).

    Parameters
    ----------
    maps : list of arrays [B, h, T, T]
        From `attention_maps`; the last may be the class token's row alone.
    identity : bool

    Returns
    -------
    array [B, T, T] (or [B, 1, T]); [B, T_L, T_1] of a pyramid
        Each row sums to 1.

    Raises
    ------
    UsageError
        If there are no maps.
    """
    result = None
    for a in maps:
        a = a.mean(axis=1)
        if identity:
            a = (a + np.eye(*a.shape[-2:], dtype=a.dtype)) / 2
        if result is not None and result.shape[1] > a.shape[-1]:
            result = merged(result)
        result = a if result is None else a @ result
    if result is None:
        raise UsageError("found no maps: expected those of attention_maps, one or more")
    return result


def attention_distance(maps, patch, grid=None):
    """How far each head looks: the mean distance in pixels from a patch to what it attends to (the paper's figure 7).

        d = mean over images and patches t of sum_s a_ts |x_t - x_s| / sum_s a_ts

    x_t is the centre of patch t; a class token is nowhere and is left out.

    Parameters
    ----------
    maps : list of arrays [B, h, T, T]
        From `attention_maps` of a full pass.
    patch : int
        P, the side of a patch in pixels.
    grid : (rows, columns), optional
        `grid_size` of the configuration; left out, the images are square.

    Returns
    -------
    array [L, h], pixels; a list of arrays [h], where blocks have other numbers of heads
        NaN for a head in which no patch looks at any patch, but all at the class token.
    """
    found = []
    for a, between in _of_patches(maps, patch, grid):
        share = a.sum(-1)  # [B, h, N]
        looks = share > 0
        distances = (a * between).sum(-1) / np.where(looks, share, 1)
        count = looks.sum(axis=(0, 2))
        found.append(np.where(count, distances.sum(axis=(0, 2)) / np.maximum(count, 1), np.nan))
    return np.array(found) if len({len(heads) for heads in found}) == 1 else found


def patch_distances(grid, patch):
    """The distances in pixels between the centres of all patches of a grid, [N, N].

    The grid is a pair, rows and columns, or for a square one its number of patches.
    """
    columns = math.isqrt(grid) if isinstance(grid, int) else grid[1]
    count = grid if isinstance(grid, int) else math.prod(grid)
    points = patch * np.stack(np.divmod(np.arange(count), columns), axis=1)
    return np.linalg.norm(points[:, None] - points, axis=-1)


def uniform_distance(grid, patch):
    """The attention distance of a head that takes as much from every patch: what "global" means on this grid."""
    return float(patch_distances(grid, patch).mean())


def free_distances(patterns, patch, grid):
    """The distance, in each block, of a head that takes as much from every patch that it may look at, [L] in pixels.

    That is `uniform_distance` where all may look at all.

    Parameters
    ----------
    patterns : list of L arrays [T, T] of bool
        The patterns of the blocks; of a pyramid, those of late stages are smaller.
    patch, grid
        As in `attention_distance`.
    """
    return np.array(attention_distance([allowed[None, None].astype(float) for allowed in patterns], patch, grid))[:, 0]


def _of_patches(maps, patch, grid):
    """Each map without the class token, and the distances in pixels between its tokens."""
    tokens = maps[0].shape[-1]
    first = class_tokens(tokens) if grid is None else tokens - math.prod(grid)
    grid = grid or 2 * (math.isqrt(tokens - first),)
    for a in maps:
        a = a[:, :, first:, first:]
        yield a, patch_distances(*stage_grid(a.shape[-1], grid, patch))


def weighted_attention(dlogits, p, c, config):
    """Each attention weight's part in a score: every map times its gradient, max(0, a * da), mean over heads.

    Plain attention shows where the model looks; this shows what of it speaks for a class (Chefer et al. 2021, their
    equation 5, of each layer by itself). The gradients come from the model's own backward pass, whatever its blocks:
    attention's output y goes into the projection w_o alone, and da = dy v^T.

    Parameters
    ----------
    dlogits : array [B, K]
        The gradient of the score: 1 at the class in question, 0 elsewhere.
    p, c, config
        The model and the cache of its forward pass.

    Returns
    -------
    list of L arrays [B, T, T] on the host; of a Swin over the tokens of each block's stage, as its maps are

    Raises
    ------
    UsageError
        If the model has no attention, or a block keeps it not under "msa", the name by which this function finds it.
    """
    _views(config)
    blocks = _blocks(c)
    if any("msa" not in block for block in blocks):
        raise UsageError('a block of this model has no attention under the name "msa": there is none to weigh')
    _, g = backward(dlogits, p, _with_blocks(c, [_with_one_hot_inputs(block) for block in blocks]), config)
    weighted = []
    for block, parameters, gradients in zip(blocks, _blocks(p), _blocks(g), strict=True):
        a, v = attention_map(block["msa"]["att"]), block["msa"]["att"]["v"]  # a Swin's are its windows'
        do = gradients["msa"]["o"]["w"].reshape(*block["msa"]["o"]["x"].shape[:2], -1)  # [B, T, D]
        da = split_heads(do @ parameters["msa"]["o"]["w"].T, v.shape[1]) @ v.swapaxes(-1, -2)
        weighted.append(xp_of(a).maximum(a * da, 0))  # [B, h, T, T]
    if "stages" in c:
        pairs = zip(blocks, weighted, strict=True)
        of_windows = [block | {"msa": block["msa"] | {"att": block["msa"]["att"] | {"a": a}}} for block, a in pairs]
        weighted = swin_maps(_with_blocks(c, of_windows), config)
    return [to_host(a.mean(axis=1)) for a in weighted]


def _blocks(tree):
    """The blocks of a cache, of parameters or of gradients; of a pyramid those of all stages, one after the other."""
    return tree["blocks"] if "blocks" in tree else [block for stage in tree["stages"] for block in stage["blocks"]]


def _with_blocks(c, blocks):
    """The cache with other blocks."""
    if "blocks" in c:
        return c | {"blocks": blocks}
    rest = iter(blocks)
    return c | {"stages": [stage | {"blocks": [next(rest) for _ in stage["blocks"]]} for stage in c["stages"]]}


def _with_one_hot_inputs(block):
    """A block's cache in which the input x [B, T, D] of the projection w_o is the identity [B, T, B*T].

    The gradient of w_o is x^T do, and x enters no other gradient. With the identity in its place, it is do itself, row
    by row: the gradient of the projection's output.
    """
    msa = block["msa"]
    B, T, _ = msa["o"]["x"].shape
    one_hot = xp_of(msa["o"]["x"]).eye(B * T, dtype=msa["o"]["x"].dtype).reshape(B, T, B * T)
    return block | {"msa": msa | {"o": msa["o"] | {"x": one_hot}}}
