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
    bias: np.ndarray | None  # [G, n, m]: 0, or -inf where a query may not look at a key; None: it may at all


def grouped(allowed, group):
    """The groups of a pattern, sorted by their numbers of queries and keys.

    Parameters
    ----------
    allowed : bool array [T, S]
        The pattern, see `patterns`.
    group : int array [T]
        To which group each query belongs.

    Returns
    -------
    list of Groups
        Where groups with as many queries differ in the number of their keys, the smaller are filled up with keys that
        nobody in them may look at.
    """
    members = [np.flatnonzero(group == number) for number in np.unique(group)]
    plan = []
    for size in sorted({len(queries) for queries in members}):
        queries = np.array([q for q in members if len(q) == size])
        asked = allowed[queries].any(axis=1)  # [G, S]
        count = asked.sum(axis=1).max()
        keys = np.sort((~asked).argsort(axis=1, kind="stable")[:, :count], axis=1)  # those asked first, then any others
        may = np.take_along_axis(allowed[queries], keys[:, None], axis=2)  # [G, n, m]
        plan.append(Groups(queries, keys, None if may.all() else pattern_bias(may)))
    return plan


def sparse_attention(q, k, v, plan):
    """y_t = sum over the allowed s of a_ts v_s, with a the softmax of q_t . k_s over the allowed s.

    Equal to `attention` with the pattern's bias, to rounding: a key at -inf has weight 0 there, and is left out here.

    Parameters
    ----------
    q : array [..., T, d]
        Queries, already scaled.
    k, v : array [..., S, d]
        Keys and values.
    plan : list of Groups

    Returns
    -------
    y : array [..., T, d], and the cache {k, groups}: of every entry of the plan, the cache of its dense attention
    """
    y = xp_of(q).empty((*q.shape[:-1], v.shape[-1]), q.dtype)
    c = {"k": k, "groups": []}
    for group in plan:
        queries, keys, bias = _on_device(group, q)
        part, cache = attention(q[..., queries, :], k[..., keys, :], v[..., keys, :], bias)  # [..., G, n, d]
        y[..., queries, :] = part
        c["groups"].append(cache)
    return y, c


def sparse_attention_backward(dy, c, plan):
    """The gradients of q, k and v.

    Each query is in one group, and its gradient is put back where the query was taken from. A key is asked by several
    groups, and what was used more than once has the sum of the gradients; within a group no key stands twice.

    Returns
    -------
    dq [..., T, d], dk, dv [..., S, d]
    """
    xp = xp_of(dy)
    dq = xp.empty((*dy.shape[:-1], c["k"].shape[-1]), dy.dtype)
    dk, dv = xp.zeros_like(c["k"]), xp.zeros((*c["k"].shape[:-1], dy.shape[-1]), dy.dtype)
    for group, cache in zip(plan, c["groups"], strict=True):
        queries, keys, _ = _on_device(group, dy)
        dq[..., queries, :], dk_part, dv_part, _ = attention_backward(dy[..., queries, :], cache)
        for number, asked in enumerate(keys):
            dk[..., asked, :] += dk_part[..., number, :, :]
            dv[..., asked, :] += dv_part[..., number, :, :]
    return dq, dk, dv


def dense_maps(c, plan, tokens):
    """The attention maps [..., T, S] of sparse attention, zero where nobody looked: for those who look inside."""
    first = c["groups"][0]["a"]
    maps = xp_of(first).zeros((*first.shape[:-3], tokens, c["k"].shape[-2]), first.dtype)
    for group, cache in zip(plan, c["groups"], strict=True):
        queries, keys, _ = _on_device(group, maps)
        maps[..., queries[:, :, None], keys[:, None, :]] = cache["a"]
    return maps


def scores_computed(plan):
    """How many scores a head computes: of each group, queries times keys."""
    return sum(queries.size * keys.shape[1] for queries, keys, _ in plan)


def _on_device(group, like):
    """The arrays of a group where the tokens are, the bias in their dtype."""
    xp = xp_of(like)
    queries, keys, bias = (array if array is None else xp.asarray(array) for array in group)
    return queries, keys, bias if bias is None else bias.astype(like.dtype, copy=False)
