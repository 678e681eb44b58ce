"""Cases for what a config may choose instead of the paper's: positions, pooling, scale, blocks."""

import numpy as np

from tinyvit.checks.case import B, Case, D, M, S, T, drawing
from tinyvit.layers import encoder_block, multi_head_attention
from tinyvit.layers.block import block, block_backward
from tinyvit.layers.pool import READOUTS
from tinyvit.layers.position import POSITIONS
from tinyvit.layers.post_norm_block import post_norm_block, post_norm_block_backward
from tinyvit.ops import dropout
from tinyvit.ops.mean_row import mean_row, mean_row_backward
from tinyvit.ops.patch_rows import patch_rows, patch_rows_backward
from tinyvit.ops.relative_bias import relative_bias, relative_bias_backward
from tinyvit.ops.scale import scale_queries, scale_queries_backward


def variants(rng):
    """Cases for what a config may choose instead of the paper's: positions, pooling, scale, blocks."""
    array, randomised = drawing(rng)
    x, grid = array(B, T, D), array(B, 1 + 9, D)
    positions = {
        "position/2d": (grid, randomised(POSITIONS["2d"].init(None, 10, D))),
        "position/2d, no class token": (grid[:, 1:], randomised(POSITIONS["2d"].init(None, 9, D))),
        "position/sinusoidal": (x, {}),
    }
    cases = {
        name: Case(kind.forward, kind.backward, inputs)
        for name, inputs in positions.items()
        for kind in [POSITIONS[name.split("/")[1].split(",")[0]]]
    }
    block_p = randomised(encoder_block.encoder_block_init(None, D, M))
    dropping = {"msa": dropout.dropout_mask(rng, (B, T, D), 0.4, np.float64)}
    table, keys = array(T, D), array(2 * T - 1, D)

    def block_case(pos, kinds, **options):
        """A case of a block into which positions enter: one tree holds the parameters of both."""
        p = {"block": block_p, "pos": pos}

        def backward(dz, p, c):
            dz, g, dpos = block_backward(dz, p["block"], p["pos"], c, **kinds)
            return dz, {"block": g, "pos": dpos}

        return Case(
            lambda z, p: block(z, p["block"], p["pos"], heads=4, gelu="tanh", **kinds, **options), backward, (x, p)
        )

    return cases | {
        "scale_queries": Case(scale_queries, scale_queries_backward, (array(B, 4, T, 5),)),
        "relative_bias": Case(relative_bias, relative_bias_backward, (array(B, 4, S, 2), array(4, 2 * S - 1, 2))),
        "relative_bias/rows": Case(relative_bias, relative_bias_backward, (array(B, 4, T, 2), array(4, 2 * S - 1, 2))),
        "mean_row": Case(mean_row, mean_row_backward, (array(B, T, D),)),
        "patch_rows": Case(patch_rows, patch_rows_backward, (array(B, T, D),)),
        **{
            forward.__name__: Case(forward, backward, (x, randomised(block_p["ln1"])))
            for forward, backward in READOUTS.values()
        },
        "multi_head_attention/no scale": _cross_attention(x, array(B, S, D), None, block_p["msa"], scale="none"),
        "multi_head_attention/relative": _cross_attention(
            x, array(B, S, D), array(B, 4, T, S), block_p["msa"] | {"r": array(2 * S - 1, D)}
        ),
        "post_norm_block": Case(post_norm_block, post_norm_block_backward, (x, block_p), dict(heads=4)),
        "post_norm_block/rows": Case(
            post_norm_block, post_norm_block_backward, (x, block_p), dict(heads=4, rows=2, gelu="tanh")
        ),
        "post_norm_block/dropout": Case(
            post_norm_block,
            post_norm_block_backward,
            (x, block_p),
            dict(heads=4, masks=dropping, scale="none", gelu="tanh"),
        ),
        "block": block_case(table, dict(position="1d")),
        "block/relative, post-norm": block_case(keys, dict(position="relative", norm="post")),
        "block/relative, rows": block_case(keys, dict(position="relative"), rows=2),
    }


def _cross_attention(x, kv, bias, p, **keywords):
    """A case of attention from one sequence to another, with or without a bias."""
    forward, backward = multi_head_attention.multi_head_attention, multi_head_attention.multi_head_attention_backward
    if bias is not None:
        return Case(
            lambda x, kv, bias, p, **k: forward(x, kv, p, heads=4, bias=bias, **k), backward, (x, kv, bias, p), keywords
        )

    def without_bias(dy, p, c):
        dx, dkv, _, g = backward(dy, p, c)
        return dx, dkv, g

    return Case(lambda x, kv, p, **k: forward(x, kv, p, heads=4, **k), without_bias, (x, kv, p), keywords)
