"""Cases for the operations."""

import numpy as np

from tinyvit.checks.case import B, Case, D, M, S, T
from tinyvit.ops import attention, class_row, convolution, cross_entropy, dropout, gelu, heads, patches, softmax, tanh
from tinyvit.ops.resize import RESIZE, resize, resize_backward
from tinyvit.ops.resize_positions import resize_positions, resize_positions_backward


def ops(array):
    """Cases for the operations; array(*shape) draws one."""
    labels, mask = np.array([1, 6, 0]), dropout.dropout_mask(np.random.default_rng(1), (B, T, D), 0.4, np.float64)
    score_bias = array(4, T, S)
    return {
        "softmax": Case(softmax.softmax, softmax.softmax_backward, (array(B, T, S),)),
        "gelu": Case(gelu.gelu, gelu.gelu_backward, (2 * array(B, T, M),)),
        "gelu_tanh": Case(gelu.gelu_tanh, gelu.gelu_backward, (2 * array(B, T, M),)),
        "tanh": Case(tanh.tanh, tanh.tanh_backward, (array(B, D),)),
        "attention": Case(
            attention.attention,
            lambda dy, c: attention.attention_backward(dy, c)[:3],
            (array(B, 4, T, D), array(B, 4, S, D), array(B, 4, S, D)),
        ),
        "attention/bias": Case(
            attention.attention,
            attention.attention_backward,
            (array(B, 4, T, D), array(B, 4, S, D), array(B, 4, S, D), score_bias),
        ),
        "split_heads": Case(
            lambda x: (heads.split_heads(x, 4), {}), lambda dy, c: heads.merge_heads(dy), (array(B, T, D),)
        ),
        "merge_heads": Case(
            lambda x: (heads.merge_heads(x), {}), lambda dy, c: heads.split_heads(dy, 4), (array(B, 4, T, 2),)
        ),
        "patchify": Case(patches.patchify, patches.patchify_backward, (array(B, 6, 9, 4),), dict(patch=3)),
        "patch_convolution": Case(
            convolution.patch_convolution,
            convolution.patch_convolution_backward,
            (array(B, 6, 9, 4), array(3, 3, 4, 5), array(5)),
        ),
        "dropout": Case(dropout.dropout, dropout.dropout_backward, (array(B, T, D),), dict(mask=mask)),
        "class_row": Case(class_row.class_row, class_row.class_row_backward, (array(B, T, D),)),
        "cross_entropy": Case(cross_entropy.cross_entropy, cross_entropy.cross_entropy_backward, (array(3, 7), labels)),
        "cross_entropy/smoothing": Case(
            cross_entropy.cross_entropy,
            cross_entropy.cross_entropy_backward,
            (array(3, 7), labels),
            dict(smoothing=0.1),
        ),
    }


def resizes(rng):
    """Cases for resizing: one side grows and the other shrinks, and a table from a grid of 3 to one of 5."""
    x, pos, size = rng.standard_normal((B, 3, 5, 4)), rng.standard_normal((1 + 3 * 3, 4)), dict(height=5, width=3)
    cases = {f"resize/{name}": Case(resize, resize_backward, (x,), size | dict(method=name)) for name in RESIZE}
    to_five = dict(grid=5, method="bicubic antialias")
    return cases | {"resize_positions": Case(resize_positions, resize_positions_backward, (pos,), to_five)}
