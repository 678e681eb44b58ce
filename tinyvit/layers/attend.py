"""The heart of multi-head attention as a configuration asks for it: which keys each query looks at, and how.

    full      everybody looks at everybody                                     the paper's
    local     the (2r+1) x (2r+1) patches around                               Ramachandran et al. 2019
    window    windows of r x r patches, displaced by r // 2 in every other block   Swin, Liu et al. 2021
    axial     the own row, and in every other block the own column             the ViT paper, appendix D.6
    sliding   the r neighbours before and after, in the sequence of patches    Longformer, Beltagy et al. 2020
    strided   the patches up to a row away, and in every other block the own column    Child et al. 2019
    fixed     the own row, and in every other block the last r of every row    Child et al. 2019
    linear    everybody, without the exponential                               Katharopoulos et al. 2020

r is the configuration's `reach`. A class token looks at all, and all look at it. The Sparse Transformer's patterns look
back only, since it generates; here, where all patches are there from the start, they look both ways.
"""

from functools import lru_cache, partial

import numpy as np

from tinyvit.arrays import xp_of
from tinyvit.ops import patterns
from tinyvit.ops.attention import attention as attention_with_map
from tinyvit.ops.blockwise_attention import blockwise_attention, blockwise_attention_backward
from tinyvit.ops.linear_attention import (
    linear_attention,
    linear_attention_backward,
    positive_features,
    positive_features_backward,
)
from tinyvit.ops.sparse_attention import dense, grouped, sparse_attention, sparse_attention_backward

# Bytes of all maps [B, h, T, S] of one attention, from which on they are computed in blocks of keys and not kept. Of
# one image with 12 heads that is from T = 1,479 on. `python docs/measure.py long` measures it: blocks take a little
# more time, and a fifth to a third of the memory, which the system else hands out and takes back at every call.
LARGE_MAPS = 100 * 2**20
BLOCK = 24 * 2**20  # bytes of the scores of one block of keys: less than glibc hands back, see training/memory.py
FEWEST_KEYS = 64  # in a block: narrower products are slow


def _places(height, width):
    """Row and column of each patch."""
    return np.divmod(np.arange(height * width), width)


def _tiles(height, width, reach):
    """The tile in which each patch lies, about r + 3 wide and high.

    A tile of t x t queries asks (t + 2r)^2 keys: larger tiles compute more scores in vain, smaller ones are more and
    smaller products (r + 3 was the fastest, or nearly, where it was measured). Tiles of one size are one product, so
    the sides are cut as evenly as can be.
    """
    rows, columns = _places(height, width)
    down, across = (max(1, round(side / (reach + 3))) for side in (height, width))
    return rows * down // height * across + columns * across // width


def _local(height, width, reach, number):
    return partial(patterns.neighbourhood, height, width, reach), _tiles(height, width, reach)


def _window(height, width, reach, number):
    shift = reach // 2 if number % 2 else 0
    rows, columns = _places(height, width)
    group = (rows - shift) // reach * width + (columns - shift) // reach
    return partial(patterns.windows, height, width, reach, shift), group


def _axial(height, width, reach, number):
    pattern = patterns.column if number % 2 else patterns.row
    return partial(pattern, height, width), _places(height, width)[number % 2]


def _sliding(height, width, reach, number):
    tokens = height * width
    pieces = max(1, round(tokens / (reach + 8)))  # of about r + 8 queries, which ask 3r + 8 keys
    return partial(patterns.sliding, tokens, reach, 1), np.arange(tokens) * pieces // tokens


def _strided(height, width, reach, number):
    def rows(queries):
        return patterns.strided(height * width, width, queries)[number % 2]

    return rows, _places(height, width)[number % 2]


def _fixed(height, width, reach, number):
    def rows(queries):
        return patterns.fixed(height * width, width, reach, queries)[number % 2]

    return rows, _places(height, width)[0]


SPARSE = {  # (rows of patches, columns, reach, number of the block) -> the pattern's rows of queries, group of each
    "local": _local,
    "window": _window,
    "axial": _axial,
    "sliding": _sliding,
    "strided": _strided,
    "fixed": _fixed,
}
ATTENTION = ("full", *SPARSE, "linear")  # the choices of a configuration's `attention`


@lru_cache(maxsize=64)
def attention_plan(kind, grid, class_token, reach, number):
    """How block `number` attends, for `attend`: None in full, "linear", or the groups of its pattern.

    It is made once for each grid; its arrays are read only, since all share them.
    """
    if kind not in SPARSE:
        return None if kind == "full" else kind
    plan = grouped(*_rows_and_groups(kind, grid, class_token, reach, number))
    for array in (array for group in plan for array in group if array is not None):
        array.flags.writeable = False
    return plan


def allowed_pairs(kind, grid, class_token, reach, number):
    """Which keys each query of block `number` may look at, [T, T]."""
    tokens = grid[0] * grid[1] + class_token
    if kind not in SPARSE:
        return patterns.full(tokens)
    rows, _ = _rows_and_groups(kind, grid, class_token, reach, number)
    return rows(np.arange(tokens))


def _rows_and_groups(kind, grid, class_token, reach, number):
    """What `grouped` takes; with a class token, which is a group of its own, in front."""
    of_patches, group = SPARSE[kind](*grid, reach, number)
    if not class_token:
        return of_patches, group

    def rows(queries):
        allowed = np.ones((len(queries), 1 + len(group)), bool)
        allowed[queries > 0, 1:] = of_patches(queries[queries > 0] - 1)
        return allowed

    return rows, np.concatenate([[group.min() - 1], group])


def attention(q, k, v, bias=None):
    """Everybody looks at everybody: `ops.attention`, or, where its maps would be large, `blockwise_attention`.

    Parameters and y are theirs, and so are the caches. That of the latter has lse in place of the maps a; whoever asks
    for them, by `attention_map`, has them computed. A bias is added to whole maps, and a GPU has them whole as well.
    """
    if bias is not None or xp_of(q) is not np or _map_bytes(q) * k.shape[-2] < LARGE_MAPS:
        return attention_with_map(q, k, v, bias)
    return blockwise_attention(q, k, v, _keys_at_once(q))


def _map_bytes(q):
    """The bytes of the maps for each key."""
    return q.nbytes // q.shape[-1]


def _keys_at_once(q):
    """How many keys are in a block."""
    return max(FEWEST_KEYS, BLOCK // _map_bytes(q))


def attend(q, k, v, plan, bias=None):
    """`sparse_attention` or `linear_attention`, as the plan says; parameters and results are theirs."""
    if plan != "linear":
        return sparse_attention(q, k, v, plan, bias)
    c = {}
    q, c["q_features"] = positive_features(q)
    k, c["k_features"] = positive_features(k)
    y, c["linear"] = linear_attention(q, k, v)
    return y, c | {"v": v}


def attend_backward(dy, c):
    """The forward pass in reverse, of all that keep no map a. Returns dq, dk, dv and dbias, None where no bias was."""
    if "lse" in c:
        return *blockwise_attention_backward(dy, c, _keys_at_once(c["q"])), None
    if "groups" in c:
        return sparse_attention_backward(dy, c)
    dq, dk, dv = linear_attention_backward(dy, c["linear"])
    dq = positive_features_backward(dq, c["q_features"])
    dk = positive_features_backward(dk, c["k_features"])
    return dq, dk, dv, None


def attention_map(c):
    """The weights [..., T, S] of attention of any kind, from its cache: of a pattern zero where nobody looks."""
    if "groups" in c:
        return dense([group["a"] for group in c["groups"]], c)
    if "lse" in c:
        return np.exp(c["q"] @ c["k"].swapaxes(-1, -2) - c["lse"])
    if "linear" in c:
        return c["linear"]["q"] @ c["linear"]["k"].swapaxes(-1, -2) / c["linear"]["total"]
    return c["a"]
