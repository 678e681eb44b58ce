"""Attention that computes what a pattern allows, and little else.

Dense attention with a mask computes every score and throws most of them away. Here queries that look at nearly the same
keys are taken together: a *group* of n queries asks the m keys that any of them may look at, in one small dense
attention, [n, d] @ [d, m]. All groups of one size are one batched product.

How the queries are grouped changes no result, only the work: n m scores a group. A window is a group with its own keys,
n = m; a row or a column as well. A neighbourhood is cut into tiles, and a tile of t x t queries asks (t + 2r)^2 keys.
"""

from typing import NamedTuple

import numpy as np

from tinyvit.arrays import xp_of
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.patterns import pattern_bias


class Groups(NamedTuple):
    """G groups of one size."""

    queries: np.ndarray  # [G, n], the tokens that ask
    keys: np.ndarray  # [G, m], the tokens that they ask; in a group, none twice
    mask: np.ndarray | None  # [G, n, m]: 0, or -inf where a query may not look at a key; None: it may at all


def grouped(allowed, group):
    """The groups of a pattern, sorted by their numbers of queries.

    Parameters
    ----------
    allowed : bool array [T, S], or a function
        The pattern, see `patterns`; the function is given the numbers of n queries and returns their rows, [n, S].
    group : int array [T]
        To which group each query belongs.

    Returns
    -------
    tuple of Groups
        Where groups with as many queries differ in the number of their keys, the smaller are filled up with keys that
        nobody in them may look at.
    """
    rows_of = allowed if callable(allowed) else allowed.__getitem__
    order = np.argsort(group, kind="stable")
    sizes = np.unique(group, return_counts=True)[1]
    members = np.split(order, np.cumsum(sizes)[:-1])
    return tuple(_of_one_size([q for q in members if len(q) == size], rows_of) for size in np.unique(sizes))


def _of_one_size(members, rows_of):
    """The groups whose queries are these, each with as many keys as the group that asks most."""
    found = []  # of each group the keys that are asked, and who asks which
    for queries in members:
        rows = rows_of(queries)
        asked = np.flatnonzero(rows.any(axis=0))
        found.append((asked, rows[:, asked]))
    count = max(len(asked) for asked, _ in found)
    keys = np.zeros((len(members), count), int)
    may = np.zeros((len(members), len(members[0]), count), bool)
    for number, (asked, pairs) in enumerate(found):
        others = np.setdiff1d(np.arange(count), asked)[: count - len(asked)]  # of `count` keys enough are not asked
        keys[number] = np.append(asked, others)
        may[number, :, : len(asked)] = pairs
    return Groups(np.array(members), keys, None if may.all() else pattern_bias(may))


def sparse_attention(q, k, v, plan, bias=None):
    """y_t = sum over the allowed s of a_ts v_s, with a the softmax of q_t . k_s + bias_ts over the allowed s.

    Equal to `attention` with the pattern's bias, to rounding: a key at -inf has weight 0 there, and is left out here.

    Parameters
    ----------
    q : array [..., T, d]
        Queries, already scaled.
    k, v : array [..., S, d]
        Keys and values.
    plan : tuple of Groups
    bias : array [..., T, S], optional
        Added to the scores; of the leading axes of the tokens.

    Returns
    -------
    y : array [..., T, d], and the cache {k, v, groups}, and bias where there is one
        groups [{queries, keys, q, k, v, a}, ...]: of every entry of the plan, the cache of its dense attention.
    """
    y = xp_of(q).empty((*q.shape[:-1], v.shape[-1]), q.dtype)
    c = {"k": k, "v": v, "groups": []} | ({} if bias is None else {"bias": bias})
    for queries, keys, mask in (_on_device(group, q) for group in plan):
        added = mask
        if bias is not None:
            added = bias[..., queries[:, :, None], keys[:, None, :]]
            added = added if mask is None else added + mask
        part, cache = attention(q[..., queries, :], k[..., keys, :], v[..., keys, :], added)  # [..., G, n, d]
        y[..., queries, :] = part
        c["groups"].append({"queries": queries, "keys": keys} | cache)
    return y, c


def sparse_attention_backward(dy, c):
    """The gradients of q, k, v and the bias.

    Each query is in one group, and its gradient is put back where the query was taken from. A key is asked by several
    groups, and what was used more than once has the sum of the gradients; within a group no key stands twice.

    Returns
    -------
    dq [..., T, d], dk, dv [..., S, d], dbias [..., T, S]
        dbias is None without a bias.
    """
    xp, dscores = xp_of(dy), []
    dq = xp.empty((*dy.shape[:-1], c["k"].shape[-1]), dy.dtype)
    dk, dv = xp.zeros_like(c["k"]), xp.zeros_like(c["v"])
    for cache in c["groups"]:
        inside = {name: cache[name] for name in ("q", "k", "v", "a")}
        dq[..., cache["queries"], :], dk_part, dv_part, part = attention_backward(dy[..., cache["queries"], :], inside)
        for number, asked in enumerate(cache["keys"]):
            dk[..., asked, :] += dk_part[..., number, :, :]
            dv[..., asked, :] += dv_part[..., number, :, :]
        dscores.append(part)
    return dq, dk, dv, dense(dscores, c) if "bias" in c else None


def dense(parts, c):
    """Of groups' arrays [..., G, n, m], scores or weights, one array [..., T, S], zero where nobody looked."""
    tokens = sum(cache["queries"].size for cache in c["groups"])
    whole = xp_of(parts[0]).zeros((*parts[0].shape[:-3], tokens, c["k"].shape[-2]), parts[0].dtype)
    for part, cache in zip(parts, c["groups"], strict=True):
        whole[..., cache["queries"][:, :, None], cache["keys"][:, None, :]] = part
    return whole


def scores_computed(plan):
    """How many scores a head computes: of each group, queries times keys."""
    return sum(queries.size * keys.shape[1] for queries, keys, _ in plan)


def _on_device(group, like):
    """The arrays of a group where the tokens are, the mask in their dtype."""
    xp = xp_of(like)
    queries, keys, mask = (array if array is None else xp.asarray(array) for array in group)
    return queries, keys, mask if mask is None else mask.astype(like.dtype, copy=False)
