"""Cases for the layers."""

import numpy as np

from tinyvit.checks.case import B, Case, D, M, S, T, array_parameter
from tinyvit.layers import embedding, encoder_block, fused_projection, layer_norm, linear, mlp, multi_head_attention
from tinyvit.layers import pre_logits as pre_logits_layer
from tinyvit.layers.position import POSITIONS
from tinyvit.ops import dropout


def layers(array, randomised, rng):
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
        "encoder_block/rows": Case(*block, (x, block_p), dict(heads=4, rows=2, gelu="tanh")),
        "encoder_block/dropout": Case(*block, (x, block_p), dict(heads=4, masks=masks, gelu="tanh")),
    }
    cases["class_token"] = array_parameter(cases["class_token"])
    learned, none = POSITIONS["1d"], POSITIONS["none"]
    case = Case(learned.forward, learned.backward, (x, randomised(learned.init(None, T, D))))
    return cases | {"position/1d": array_parameter(case), "position/none": Case(none.forward, none.backward, (x, {}))}
