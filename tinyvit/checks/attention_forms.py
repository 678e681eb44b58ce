"""Cases for attention in other forms: sparse, in blocks, linear."""

import numpy as np

from tinyvit.checks.case import B, Case, S, T, drawing
from tinyvit.layers.attend import attend, attend_backward
from tinyvit.ops import patterns
from tinyvit.ops.blockwise_attention import blockwise_attention, blockwise_attention_backward
from tinyvit.ops.linear_attention import (
    causal_linear_attention,
    causal_linear_attention_backward,
    linear_attention,
    linear_attention_backward,
    positive_features,
    positive_features_backward,
)
from tinyvit.ops.sparse_attention import grouped, sparse_attention, sparse_attention_backward

HEIGHT, WIDTH, HEADS, WIDE = 3, 4, 2, 3  # of a grid of tokens; heads, and the width of one


def attention_forms(rng):
    """Cases for attention that is sparse (with a class token, and groups whose keys differ), in blocks, and linear."""
    array, _ = drawing(rng)
    allowed = patterns.with_global(patterns.neighbourhood(HEIGHT, WIDTH, 1))
    group = np.concatenate([[-1], np.arange(HEIGHT * WIDTH) // WIDTH])
    tokens = array(3, B, HEADS, len(allowed), WIDE)
    found = {}
    for name, plan in {
        "": grouped(allowed, group),
        "/windows": grouped(patterns.windows(HEIGHT, WIDTH, 2, 1), group[1:]),
    }.items():
        count = sum(g.queries.size for g in plan)
        q, k, v = tokens[..., len(allowed) - count :, :]
        found["sparse_attention" + name] = Case(
            sparse_attention, lambda dy, c: sparse_attention_backward(dy, c)[:3], (q, k, v), dict(plan=plan)
        )
        found[f"sparse_attention{name}, bias" if name else "sparse_attention/bias"] = Case(
            lambda q, k, v, bias, plan: sparse_attention(q, k, v, plan, bias),
            sparse_attention_backward,
            (q, k, v, array(B, HEADS, count, count)),
            dict(plan=plan),
        )
    q, k, v = array(B, HEADS, T, WIDE), array(B, HEADS, S, WIDE), array(B, HEADS, S, WIDE)
    found["blockwise_attention"] = Case(
        blockwise_attention,
        lambda dy, c: blockwise_attention_backward(dy, c, block=2),
        (q, k, v),
        dict(block=2),
    )
    found["attend"] = Case(attend, lambda dy, c: attend_backward(dy, c)[:3], (q, k, v), dict(plan="linear"))
    found["positive_features"] = Case(positive_features, positive_features_backward, (q,))
    features = abs(q) + 0.2, abs(k) + 0.2
    found["linear_attention"] = Case(linear_attention, linear_attention_backward, (*features, array(B, HEADS, S, 4)))
    found["causal_linear_attention"] = Case(
        causal_linear_attention,
        causal_linear_attention_backward,
        (features[0], features[1][..., :T, :], array(B, HEADS, T, 4)),
    )
    return found
