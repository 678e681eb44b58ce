"""Small, realistic mistakes, planted one at a time: gradcheck must find every one.

Each is one edit of one function: what stands there, how it is easily written, and the case of tinyvit.checks that must
then fail. The function's code is exchanged for as long as the test runs, so whoever imported it gets the bug.
A mistake made alike in both passes (a scale left out of either) is a different function with a right gradient: no
gradient check sees it, and the tests against reference implementations do.
"""

import functools
import inspect
import textwrap

import numpy as np
import pytest

from tinyvit import trees
from tinyvit.checks import Case, cases
from tinyvit.layers.embedding import class_token_backward
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward
from tinyvit.layers.layer_norm import layer_norm_backward
from tinyvit.layers.linear import linear_backward
from tinyvit.layers.mlp import mlp_backward
from tinyvit.layers.multi_head_attention import multi_head_attention_backward
from tinyvit.layers.position import learned_position_backward
from tinyvit.layers.pre_logits import pre_logits_backward
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.ops.attention import _sum_to, attention_backward
from tinyvit.ops.class_row import class_row_backward
from tinyvit.ops.convolution import patch_convolution_backward
from tinyvit.ops.cross_entropy import cross_entropy_backward
from tinyvit.ops.dropout import dropout_backward
from tinyvit.ops.gelu import gelu, gelu_backward
from tinyvit.ops.heads import merge_heads, split_heads
from tinyvit.ops.patches import unpatchify
from tinyvit.ops.softmax import softmax_backward
from tinyvit.ops.tanh import tanh_backward

NOTHING = "..."  # the line is forgotten
BUGS = [  # function, the case that must fail, {mistake: (what stands there, how it is easily written)}
    (
        softmax_backward,
        "softmax",
        {
            "no row dot": ('dy - row_dots(dy, c["y"])', "dy + 0"),
            "a sign": ("dy - row_dots", "dy + row_dots"),
            "row dot along the wrong axis": ('row_dots(dy, c["y"])', '(dy * c["y"]).sum(axis=-2, keepdims=True)'),
            "as if it were a sigmoid": ('dx = dy - row_dots(dy, c["y"])', 'dx = dy * (1 - c["y"])'),
        },
    ),
    (
        cross_entropy_backward,
        "cross_entropy",
        {
            "not divided by B": ('(dloss / len(c["targets"]))', "dloss"),
            "divided by K": ('len(c["targets"])', 'c["targets"].shape[1]'),
            "a sign": ('c["probabilities"] - c["targets"]', 'c["targets"] - c["probabilities"]'),
        },
    ),
    (
        cross_entropy_backward,
        "cross_entropy/smoothing",
        {"smoothing forgotten": ('- c["targets"])', '- (c["targets"] > 0.5))')},
    ),
    (
        gelu,
        "gelu",
        {
            "derivative of the tanh form": ('return cdf, {"dydx": dydx}', "return cdf, gelu_tanh(x)[1]"),
            "half of the product rule": ("dydx += cdf", NOTHING),
        },
    ),
    (gelu_backward, "gelu_tanh", {"a derivative like that of ReLU": ('c["dydx"]', '(c["dydx"] > 0)')}),
    (tanh_backward, "tanh", {"1 - y for 1 - y^2": ('c["y"] * c["y"]', 'c["y"]')}),
    (
        dropout_backward,
        "dropout",
        {
            "mask not applied": ('dy * c["mask"]', "dy"),
            "what is kept is not scaled": ('dy * c["mask"]', 'dy * (c["mask"] > 0)'),
        },
    ),
    (
        attention_backward,
        "multi_head_attention",
        {
            "dq and dk exchanged": ("return dq, dk,", "return dk, dq,"),
            "dk not transposed": ("dscores.swapaxes(-1, -2) @ q", "dscores @ q"),
            "dv not transposed": ("a.swapaxes(-1, -2) @ dy", "a @ dy"),
            "no softmax": ('softmax_backward(da, {"y": a})', "da"),
        },
    ),
    (
        attention_backward,
        "attention/bias",
        {"dbias not reduced": ('_sum_to(dscores, c["bias"].shape)', "dscores")},
    ),
    (_sum_to, "attention/bias", {"averaged, not summed": ("x.sum(", "x.mean(")}),
    (
        multi_head_attention_backward,
        "multi_head_attention",
        {
            "no 1/sqrt(d_k)": ("dq = dq * (1 / math.sqrt(d))", NOTHING),
            "1/sqrt(D)": ("math.sqrt(d)", "math.sqrt(heads * d)"),
            "no output projection": ('dy, g["o"] = linear_backward', '_, g["o"] = linear_backward'),
            "dv through the weights of k": ('(dv, p["v"], c["v"])', '(dv, p["k"], c["v"])'),
        },
    ),
    (
        multi_head_attention_backward,
        "multi_head_attention/cross",
        {"dkv from v only": ("dkv += dk", NOTHING)},
    ),
    (merge_heads, "multi_head_attention", {"reshaped, axes not swapped": ("x.swapaxes(1, 2)", "x")}),
    (
        split_heads,
        "multi_head_attention",
        {"reshaped, axes not swapped": ("(B, T, heads, D // heads).swapaxes(1, 2)", "(B, heads, T, D // heads)")},
    ),
    (
        layer_norm_backward,
        "layer_norm",
        {
            "mean term lost": ("dx -= along_ones", NOTHING),
            "xhat term lost": ("dx -= np.multiply(xhat, along_xhat, out=scratch)", NOTHING),
            "not divided by sigma": ("dx *= rstd", NOTHING),
            "eps outside the root": ("dx *= rstd", "dx /= np.sqrt(1 / rstd**2 - 1e-6) + 1e-6"),
            "dx without gamma": ('dy * p["gamma"]', "dy * 1"),
            "means over the tokens": ("row_sums(dx) * (1 / D)", "dx.mean(axis=-2, keepdims=True)"),
            "dgamma without xhat": ("column_sums(scratch)", "column_sums(dy)"),
        },
    ),
    (linear_backward, "linear", {"db averaged": ("column_sums(rows)", "column_sums(rows) / len(rows)")}),
    (
        linear_backward,
        "multi_head_attention",  # where w is square, and no shape gives the mistake away
        {"dx without the transpose": ('@ p["w"].T', '@ p["w"]'), "dw transposed": ("x.T @ rows", "rows.T @ x")},
    ),
    (
        mlp_backward,
        "encoder_block/dropout",
        {"dropout forgotten": ('dy = dropout_backward(dy, c["dropout1"])', NOTHING)},
    ),
    (pre_logits_backward, "pre_logits", {"no tanh": ('dy = tanh_backward(dy, c["tanh"])', NOTHING)}),
    (
        learned_position_backward,
        "position/1d",
        {
            "averaged over the batch": ("dy.sum(", "dy.mean("),
            "wrong rows": ("dy.sum(axis=0)", "dy.sum(axis=0)[::-1]"),
            "none for the class token": ("dy.sum(axis=0)", "dy.sum(axis=0) * ([0], [1], [1])"),
        },
    ),
    (
        class_token_backward,
        "class_token",
        {
            "one image only": ("dy[:, 0].sum(axis=0, keepdims=True)", "dy[:1, 0]"),
            "averaged over the batch": (".sum(", ".mean("),
            "the last row": ("dy[:, 0]", "dy[:, -1]"),
        },
    ),
    (
        unpatchify,
        "patchify",
        {
            "rows and columns of the grid exchanged": ("H // patch, W // patch", "W // patch, H // patch"),
            "each patch transposed": ("x.swapaxes(2, 3)", "x.transpose(0, 1, 4, 2, 3, 5)"),
        },
    ),
    (patch_convolution_backward, "patch_convolution", {"dx only reshaped": ("dgrid.swapaxes(2, 3)", "dgrid")}),
    (class_row_backward, "class_row", {"dy given to every row": ("dz[:, 0] = dy", "dz[:] = dy[:, None]")}),
    (
        encoder_block_backward,
        "encoder_block/rows",
        {
            "residual around the MLP forgotten": ("dz = dy + dz", "dz = dy"),
            "residual around attention forgotten": ("dy[:, : dz.shape[1]] += dz", NOTHING),
            "query gradient forgotten": ("dy[:, : dq.shape[1]] += dq", NOTHING),
            "query gradient in the last rows": ("dy[:, : dq.shape[1]] += dq", "dy[:, -dq.shape[1] :] += dq"),
        },
    ),
    (
        encoder_block,
        "encoder_block",
        {"a stale cache, of the other LayerNorm": ('y, c["mlp"] =', 'c["ln2"] = c["ln1"]; y, c["mlp"] =')},
    ),
    (
        vit_backward,
        "small vit",
        {
            "gradients of the blocks in reverse order": (".insert(0, gradient)", ".append(gradient)"),
            "blocks from first to last": (
                'zip(reversed(p["blocks"]), reversed(c["blocks"])',
                'zip(p["blocks"], c["blocks"]',
            ),
            "dropout after the positions forgotten": ('dz = dropout_backward(dz, c["dropout"])', NOTHING),
        },
    ),
]


def mutated(function, right, wrong):
    """The code of a function in which `right`, that stands there once after the docstring, is replaced by `wrong`."""
    source = textwrap.dedent(inspect.getsource(function))
    head, quotes, body = source.rpartition('"""')
    assert body.count(right) == 1, f"{function.__name__} no longer contains, once, what the bug replaces: {right}"
    namespace = dict(function.__globals__)
    exec(compile(head + quotes + body.replace(right, wrong), "a planted bug", "exec"), namespace)
    return namespace[function.__name__].__code__


def small_vit():
    """A whole model with everything in it, small enough to be checked in no time."""
    sizes = dict(image=4, channels=1, patch=2, dim=4, depth=2, heads=2, mlp_dim=3, classes=3, pre_logits=2)
    config = ViTConfig(**sizes, gelu="tanh", dropout=0.3)
    rng = np.random.default_rng(0)
    p = trees.map(lambda leaf: rng.standard_normal(leaf.shape), vit_init(None, config))
    keywords = dict(config=config, masks=vit_masks(rng, config, 2, dtype=np.float64))
    images = rng.standard_normal((2, 4, 4, 1))
    return Case(vit, lambda dy, p, c: vit_backward(dy, p, c, config), (images, p), keywords)


def check(name):
    """The report on the case of this name."""
    return (small_vit() if name == "small vit" else cases([name])[name]).check()


@functools.cache
def is_right(name):
    """Whether a case passes as long as nothing is planted."""
    return check(name).ok


@pytest.mark.parametrize(
    "function, case, right, wrong",
    [
        pytest.param(function, case, *edit, id=f"{function.__name__}: {mistake}")
        for function, case, mistakes in BUGS
        for mistake, edit in mistakes.items()
    ],
)
def test_the_gradient_check_finds(function, case, right, wrong, monkeypatch):
    assert is_right(case)
    monkeypatch.setattr(function, "__code__", mutated(function, right, wrong))
    report = check(case)
    assert not report.ok, f"\n{report}"
