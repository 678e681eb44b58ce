"""The Transformer's decoder block (Vaswani et al. 2017, section 3.1): an encoder block that also asks the source.

Two forms, as of the encoder block: pre-norm, and post-norm as it was first. Their parameters are the same.
"""

from tinyvit.layers.encoder_block import encoder_block_init
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward, layer_norm_init
from tinyvit.layers.mlp import mlp, mlp_backward
from tinyvit.layers.multi_head_attention import (
    multi_head_attention,
    multi_head_attention_backward,
    multi_head_attention_init,
)
from tinyvit.ops.dropout import NO_MASKS, dropout, dropout_backward


def decoder_block_init(rng, dim, mlp_dim, *, dtype="float32"):
    """Parameters {ln1, msa, ln2, cross {q, k, v, o}, ln3, mlp}."""
    p = encoder_block_init(rng, dim, mlp_dim, dtype=dtype)
    p["cross"], p["ln3"] = multi_head_attention_init(rng, dim, dtype=dtype), layer_norm_init(rng, dim, dtype=dtype)
    return p


def decoder_block(
    z, memory, p, *, heads, gelu="relu", eps=1e-5, bias=None, memory_bias=None, past=NO_MASKS, masks=NO_MASKS
):
    """Tokens look back at each other, then at the source, then each thinks for itself.

        z'  = MSA(LN(z)) + z                 no token looks ahead: the bias is causal
        z'' = MSA(LN(z'), memory) + z'       queries from here, keys and values from the encoder
        z   = MLP(LN(z'')) + z''

    Parameters
    ----------
    z : array [B, T, D]
    memory : array [B, S, D]
        What the encoder gave; nothing of it, S = 0, where its keys and values are in `past` already.
    p : {ln1, msa, ln2, cross, ln3, mlp}
    heads, gelu, eps
        As in multi_head_attention, mlp and layer_norm.
    bias, memory_bias : array, optional
        Added to the scores [B, h, T, T] and [B, h, T, S].
    past : {msa, cross}, each {k, v}
        As in multi_head_attention, for decoding step by step: the `att` of both in an earlier cache.
    masks : {msa [B, T, D], cross [B, T, D], mlp {fc1, fc2}}
        Dropout masks, for training.

    Returns
    -------
    z : array [B, T, D], and the cache {ln1, msa, drop_msa, ln2, cross, drop_cross, ln3, mlp}
    """
    c = {}
    y, c["ln1"] = layer_norm(z, p["ln1"], eps=eps)
    y, c["msa"] = multi_head_attention(y, y, p["msa"], heads=heads, bias=bias, past=past.get("msa"))
    y, c["drop_msa"] = dropout(y, masks.get("msa"))
    z = y + z
    y, c["ln2"] = layer_norm(z, p["ln2"], eps=eps)
    y, c["cross"] = multi_head_attention(y, memory, p["cross"], heads=heads, bias=memory_bias, past=past.get("cross"))
    y, c["drop_cross"] = dropout(y, masks.get("cross"))
    z = y + z
    y, c["ln3"] = layer_norm(z, p["ln3"], eps=eps)
    y, c["mlp"] = mlp(y, p["mlp"], gelu=gelu, masks=masks.get("mlp", NO_MASKS))
    return y + z, c


def decoder_block_backward(dz, p, c):
    """The forward pass, line by line in reverse. Returns dz, dmemory and g."""
    g = {}
    dy, g["mlp"] = mlp_backward(dz, p["mlp"], c["mlp"])
    dy, g["ln3"] = layer_norm_backward(dy, p["ln3"], c["ln3"])
    dz = dy + dz
    dy = dropout_backward(dz, c["drop_cross"])
    dy, dmemory, _, g["cross"] = multi_head_attention_backward(dy, p["cross"], c["cross"])
    dy, g["ln2"] = layer_norm_backward(dy, p["ln2"], c["ln2"])
    dz = dy + dz
    dy = dropout_backward(dz, c["drop_msa"])
    dq, dkv, _, g["msa"] = multi_head_attention_backward(dy, p["msa"], c["msa"])
    dy, g["ln1"] = layer_norm_backward(dq + dkv, p["ln1"], c["ln1"])
    return dy + dz, dmemory, g


def post_norm_decoder_block(
    z, memory, p, *, heads, gelu="relu", eps=1e-5, bias=None, memory_bias=None, past=NO_MASKS, masks=NO_MASKS
):
    """As it was first: each sum is normalised. Parameters and results are those of `decoder_block`.

    z' = LN(MSA(z) + z),    z'' = LN(MSA(z', memory) + z'),    z = LN(MLP(z'') + z'')
    """
    c = {}
    y, c["msa"] = multi_head_attention(z, z, p["msa"], heads=heads, bias=bias, past=past.get("msa"))
    y, c["drop_msa"] = dropout(y, masks.get("msa"))
    z, c["ln1"] = layer_norm(y + z, p["ln1"], eps=eps)
    y, c["cross"] = multi_head_attention(z, memory, p["cross"], heads=heads, bias=memory_bias, past=past.get("cross"))
    y, c["drop_cross"] = dropout(y, masks.get("cross"))
    z, c["ln2"] = layer_norm(y + z, p["ln2"], eps=eps)
    y, c["mlp"] = mlp(z, p["mlp"], gelu=gelu, masks=masks.get("mlp", NO_MASKS))
    z, c["ln3"] = layer_norm(y + z, p["ln3"], eps=eps)
    return z, c


def post_norm_decoder_block_backward(dz, p, c):
    """The forward pass, line by line in reverse. Returns dz, dmemory and g."""
    g = {}
    dz, g["ln3"] = layer_norm_backward(dz, p["ln3"], c["ln3"])
    dy, g["mlp"] = mlp_backward(dz, p["mlp"], c["mlp"])
    dz, g["ln2"] = layer_norm_backward(dy + dz, p["ln2"], c["ln2"])
    dy = dropout_backward(dz, c["drop_cross"])
    dy, dmemory, _, g["cross"] = multi_head_attention_backward(dy, p["cross"], c["cross"])
    dz, g["ln1"] = layer_norm_backward(dy + dz, p["ln1"], c["ln1"])
    dy = dropout_backward(dz, c["drop_msa"])
    dq, dkv, _, g["msa"] = multi_head_attention_backward(dy, p["msa"], c["msa"])
    return dq + dkv + dz, dmemory, g


DECODER_BLOCKS = {
    "pre": (decoder_block, decoder_block_backward),
    "post": (post_norm_decoder_block, post_norm_decoder_block_backward),
}
