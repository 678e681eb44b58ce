"""One gradient-check case for every op, every layer and the whole model.

The tests, the command `tinyvit gradcheck` and the exercises all read this table: what is not in it is not checked.
Every axis has a size of its own, where it can, so that a wrong axis cannot pass by accident; parameters are random
(gamma is not 1, no bias is 0), so that none of them hides a missing factor.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from tinyvit import trees
from tinyvit.gradcheck import gradcheck
from tinyvit.layers import embedding, encoder_block, fused_projection, layer_norm, linear, mlp, multi_head_attention
from tinyvit.layers import pool as pool_layer
from tinyvit.layers import pre_logits as pre_logits_layer
from tinyvit.layers.position import POSITION
from tinyvit.layers.positioned_block import (
    positioned_block,
    positioned_block_backward,
    relative_block,
    relative_block_backward,
)
from tinyvit.layers.post_norm_block import post_norm_block, post_norm_block_backward
from tinyvit.models.cnn import CNNConfig, cnn, cnn_backward, cnn_init
from tinyvit.models.config import ViTConfig
from tinyvit.models.hiding import masked_masks
from tinyvit.models.masked import MaskedConfig, masked, masked_backward, masked_init
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.ops import attention, class_row, convolution, cross_entropy, dropout, gelu, heads, patches, softmax, tanh
from tinyvit.ops.corrupt import corrupt, corrupt_backward
from tinyvit.ops.mean_row import mean_row, mean_row_backward
from tinyvit.ops.relative_bias import relative_bias, relative_bias_backward
from tinyvit.ops.resize import RESIZE, resize, resize_backward
from tinyvit.ops.resize_positions import resize_positions, resize_positions_backward
from tinyvit.ops.scale import scale_queries, scale_queries_backward
from tinyvit.ops.take_rows import take_rows, take_rows_backward
from tinyvit.ops.unfold import unfold, unfold_backward

B, T, S, D, M = 2, 3, 5, 8, 7  # batch, tokens, source tokens, width, MLP width; h = 4 heads of d = 2
SMALL = dict(image=6, patch=3, channels=2, dim=6, depth=2, heads=3, mlp_dim=7, classes=8)


@dataclass(frozen=True)
class Case:
    """A pair of functions and what to call them with.

    forward(*inputs, **keywords) -> y, c and backward(dy, *parameter trees, c) -> gradients, as gradcheck takes them.
    """

    forward: Callable
    backward: Callable
    inputs: tuple
    keywords: dict = field(default_factory=dict)

    def check(self):
        """The report of gradcheck on this case."""
        return gradcheck(self.forward, self.backward, *self.inputs, **self.keywords)


def _ops(array):
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


def _variants(rng):
    """Cases for what a config may choose instead of the paper's: positions, pooling, scale, blocks."""
    array, randomised = _drawing(rng)
    x, grid = array(B, T, D), array(B, 1 + 9, D)
    positions = {
        "position/2d": (grid, randomised(POSITION["2d"].init(None, 10, D))),
        "position/2d, no class token": (grid[:, 1:], randomised(POSITION["2d"].init(None, 9, D))),
        "position/sinusoidal": (x, {}),
    }
    cases = {
        name: Case(kind.forward, kind.backward, inputs)
        for name, inputs in positions.items()
        for kind in [POSITION[name.split("/")[1].split(",")[0]]]
    }
    block_p = randomised(encoder_block.encoder_block_init(None, D, M))
    plain = (encoder_block.encoder_block, encoder_block.encoder_block_backward)
    dropping = {"msa": dropout.dropout_mask(rng, (B, T, D), 0.4, np.float64)}
    table, keys = array(T, D), array(2 * T - 1, D)

    def surrounded(forward, backward, pos, **fixed):
        """A case of a block with positions; what it surrounds is fixed, for either pass."""
        return Case(
            lambda z, p, **options: forward(z, p, heads=4, **fixed, **options),
            lambda dz, p, c: backward(dz, p, c, **fixed),
            (x, block_p | {"pos": pos}),
        )

    return cases | {
        "scale_queries": Case(scale_queries, scale_queries_backward, (array(B, 4, T, 5),)),
        "relative_bias": Case(relative_bias, relative_bias_backward, (array(B, 4, S, 2), array(4, 2 * S - 1, 2))),
        "relative_bias/rows": Case(relative_bias, relative_bias_backward, (array(B, 4, T, 2), array(4, 2 * S - 1, 2))),
        "mean_row": Case(mean_row, mean_row_backward, (array(B, T, D),)),
        "class_readout": Case(
            pool_layer.class_readout, pool_layer.class_readout_backward, (x, randomised(block_p["ln1"]))
        ),
        "mean_readout": Case(
            pool_layer.mean_readout, pool_layer.mean_readout_backward, (x, randomised(block_p["ln1"]))
        ),
        "multi_head_attention/no scale": _cross_attention(x, array(B, S, D), None, block_p["msa"], scale="none"),
        "multi_head_attention/relative": _cross_attention(
            x, array(B, S, D), array(B, 4, T, S), block_p["msa"] | {"r": array(2 * S - 1, D)}
        ),
        "post_norm_block": Case(post_norm_block, post_norm_block_backward, (x, block_p), dict(heads=4)),
        "post_norm_block/rows": Case(post_norm_block, post_norm_block_backward, (x, block_p), dict(heads=4, rows=2)),
        "post_norm_block/dropout": Case(
            post_norm_block, post_norm_block_backward, (x, block_p), dict(heads=4, masks=dropping, scale="none")
        ),
        "positioned_block": surrounded(
            positioned_block, positioned_block_backward, table, block=plain, position=POSITION["1d"]
        ),
        "relative_block": surrounded(relative_block, relative_block_backward, keys, block=plain),
        "relative_block/rows": surrounded(
            lambda *a, **k: relative_block(*a, rows=2, **k), relative_block_backward, keys, block=plain
        ),
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


def _resizes(rng):
    """Cases for resizing: one side grows and the other shrinks, and a table from a grid of 3 to one of 5."""
    x, pos, size = rng.standard_normal((B, 3, 5, 4)), rng.standard_normal((1 + 3 * 3, 4)), dict(height=5, width=3)
    cases = {f"resize/{name}": Case(resize, resize_backward, (x,), size | dict(method=name)) for name in RESIZE}
    to_five = dict(grid=5, method="bicubic antialias")
    return cases | {"resize_positions": Case(resize_positions, resize_positions_backward, (pos,), to_five)}


def _layers(array, randomised, rng):
    """Cases for the layers; randomised(tree) draws every parameter of a tree."""
    x, source = array(B, T, D), array(B, S, D)
    attention_p = randomised(multi_head_attention.multi_head_attention_init(None, D))
    block_p = randomised(encoder_block.encoder_block_init(None, D, M))
    block = (encoder_block.encoder_block, encoder_block.encoder_block_backward)
    mask = lambda width: dropout.dropout_mask(rng, (B, T, width), 0.4, np.float64)  # noqa: E731
    masks = {"msa": mask(D), "mlp": {"fc1": mask(M), "fc2": mask(D)}}

    def self_attention(x, p):
        return multi_head_attention.multi_head_attention(x, x, p, heads=4)

    def self_attention_backward(dy, p, c):
        dx, dkv, _, g = multi_head_attention.multi_head_attention_backward(dy, p, c)
        return dx + dkv, g

    def cross_attention(x, kv, bias, p):
        return multi_head_attention.multi_head_attention(x, kv, p, heads=4, bias=bias)

    cases = {
        "linear": Case(linear.linear, linear.linear_backward, (x, randomised(linear.linear_init(None, D, M)))),
        "linear/no bias": Case(linear.linear, linear.linear_backward, (x, {"w": array(D, M)})),
        "layer_norm": Case(
            layer_norm.layer_norm, layer_norm.layer_norm_backward, (x, randomised(layer_norm.layer_norm_init(None, D)))
        ),
        "mlp": Case(mlp.mlp, mlp.mlp_backward, (x, block_p["mlp"])),
        "mlp/tanh": Case(mlp.mlp, mlp.mlp_backward, (x, block_p["mlp"]), dict(gelu="tanh")),
        "multi_head_attention": Case(self_attention, self_attention_backward, (x, attention_p)),
        "multi_head_attention/cross": Case(
            cross_attention,
            multi_head_attention.multi_head_attention_backward,
            (x, source, array(4, 1, S), attention_p),
        ),
        "fused_projection": Case(
            fused_projection.fused_projection,
            fused_projection.fused_projection_backward,
            (x, {"w": array(D, 3 * D), "b": array(3 * D)}),
        ),
        "patch_embedding": Case(
            embedding.patch_embedding,
            embedding.patch_embedding_backward,
            (array(B, 6, 9, 4), randomised(embedding.patch_embedding_init(None, 3, 4, D))),
            dict(patch=3),
        ),
        "class_token": Case(embedding.class_token, embedding.class_token_backward, (x, array(1, D))),
        "pre_logits": Case(
            pre_logits_layer.pre_logits,
            pre_logits_layer.pre_logits_backward,
            (array(B, D), randomised(pre_logits_layer.pre_logits_init(None, D, M))),
        ),
        "encoder_block": Case(*block, (x, block_p), dict(heads=4)),
        "encoder_block/rows": Case(*block, (x, block_p), dict(heads=4, rows=2)),
        "encoder_block/dropout": Case(*block, (x, block_p), dict(heads=4, masks=masks)),
    }
    cases["class_token"] = _array_parameter(cases["class_token"])
    learned, none = POSITION["1d"], POSITION["none"]
    case = Case(learned.forward, learned.backward, (x, randomised(learned.init(None, T, D))))
    return cases | {"position/1d": _array_parameter(case), "position/none": Case(none.forward, none.backward, (x, {}))}


def _drawing(rng):
    """array(*shape) draws one; randomised(tree) draws every parameter of a tree."""

    def array(*shape):
        return rng.standard_normal(shape)

    def randomised(tree):
        return trees.map(lambda leaf: 0.5 * array(*leaf.shape) + np.asarray(leaf, np.float64), tree)

    return array, randomised


def _array_parameter(case):
    """A layer whose parameter is a single array, as gradcheck sees it: the array is one more input."""
    p = case.inputs[1]
    return Case(case.forward, lambda dy, c: case.backward(dy, p, c), case.inputs, case.keywords)


def _models(array, randomised):
    """Cases for the whole model: every entry of every parameter, and of the images."""
    return _vits(
        {
            "vit": ({}, True),
            "vit/class row": ({}, False),
            "vit/no position": (dict(position="none"), True),
            "vit/dropout, pre_logits, tanh": (dict(dropout=0.3, pre_logits=5, gelu="tanh"), False),
        },
        array,
        randomised,
    )


def _model_variants(rng):
    """Cases for the whole model in every variant: of the less expensive kind, one block where one will do."""
    two = {
        f"vit/{kind}, {place}": (dict(position=kind, position_at=place), False)
        for kind in ("1d", "2d", "sinusoidal", "relative")
        for place in ("layers", "shared")
    }
    one = {
        "vit/2d": dict(position="2d"),
        "vit/sinusoidal": dict(position="sinusoidal"),
        "vit/mean": dict(pool="mean"),
        "vit/mean, 2d, dropout": dict(pool="mean", position="2d", dropout=0.3),
        "vit/mean, relative, post-norm": dict(pool="mean", position="relative", position_at="shared", norm="post"),
        "vit/post-norm": dict(norm="post"),
        "vit/post-norm, no scale, shared": dict(norm="post", scale="none", position_at="shared"),
        "vit/no scale": dict(scale="none"),
    }
    variants = two | {name: (options | {"depth": 1}, False) for name, options in one.items()}
    return _vits(variants, *_drawing(rng))


def _vits(variants, array, randomised):
    """A case of the whole model for each variant: what its config has other than SMALL, and whether it runs in full."""
    cases = {}
    for name, (options, full) in variants.items():
        config = ViTConfig(**SMALL | options)
        masks = vit_masks(np.random.default_rng(1), config, 4, full=full, dtype=np.float64)
        cases[name] = Case(
            vit,
            lambda dy, p, c, config=config: vit_backward(dy, p, c, config),
            (array(4, 6, 6, 2), randomised(vit_init(None, config))),
            dict(config=config, masks=masks, full=full),
        )
    return cases


def _convolutional(rng):
    """Cases for convolutions whose windows overlap, end at the image's edge, or leave gaps; and for the CNN."""
    array, randomised = _drawing(rng)
    x, config = array(B, 5, 6, 4), CNNConfig(image=7, channels=2, classes=6, widths=(3, 4))
    cases = {}
    for variant, kernel, stride in ("", 3, 1), ("/stride", 3, 2), ("/even", 2, 1), ("/gaps", 2, 3):
        cases["unfold" + variant] = Case(
            unfold,
            lambda dy, c, stride=stride: unfold_backward(dy, c, stride),
            (x,),
            dict(kernel=kernel, stride=stride),
        )
        cases["convolution" + variant] = Case(
            convolution.convolution,
            lambda dy, c, stride=stride: convolution.convolution_backward(dy, c, stride),
            (x, array(kernel, kernel, 4, 3), array(3)),
            dict(stride=stride),
        )
    p = randomised(cnn_init(None, config))
    model = Case(cnn, lambda dy, p, c: cnn_backward(dy, p, c, config), (array(5, 7, 7, 2), p), dict(config=config))
    return cases | {"cnn": model}


def _masked(rng):
    """Cases for rows that are taken twice or not at all, and for masked patch prediction."""
    array, randomised = _drawing(rng)
    rows, source = np.array([[2, 0, 2, 1], [4, 4, 4, 3]]), np.array([[5, 1, 1, 3, 5], [0, 4, 2, 5, 4]])
    found = {
        "take_rows": Case(take_rows, take_rows_backward, (array(B, S, D), rows)),
        "corrupt": Case(corrupt, corrupt_backward, (array(B, S, D), array(D), source)),
    }
    variants = {
        "masked": {},
        "masked/mean, relative, post-norm": dict(pool="mean", position="relative", position_at="shared", norm="post"),
        "masked/dropout": dict(dropout=0.3, depth=1),
    }
    for name, options in variants.items():
        config = MaskedConfig(ViTConfig(**SMALL | dict(channels=1, patch=2) | options))
        images = array(3, 6, 6, 1)
        found[name] = Case(
            masked,
            lambda dy, p, c, config=config: masked_backward(dy, p, c, config),
            (images, randomised(masked_init(None, config))),
            dict(config=config, masks=masked_masks(rng, config, images, dtype=np.float64)),
        )
    return found


def cases(names=None):
    """The cases by name, freshly drawn, always the same.

    Parameters
    ----------
    names : sequence of str, optional
        Only these; a name includes its variants: "attention" is also "attention/bias".

    Raises
    ------
    KeyError
        With the first name that there is no case of.
    """
    rng = np.random.default_rng(0)
    array, randomised = _drawing(rng)
    # Generators of their own: what the other cases draw stays what it was.
    resizes, variants = _resizes(np.random.default_rng(2)), _variants(np.random.default_rng(3))
    found = _ops(array) | resizes | _layers(array, randomised, rng) | variants
    found |= _models(array, randomised) | _model_variants(np.random.default_rng(4))
    found |= _convolutional(np.random.default_rng(5)) | _masked(np.random.default_rng(6))
    if not names:
        return found
    chosen = {}
    for name in names:
        matching = {key: case for key, case in found.items() if key == name or key.startswith(name + "/")}
        if not matching:
            raise KeyError(name)
        chosen |= matching
    return chosen
