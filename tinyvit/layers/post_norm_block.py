"""The Transformer encoder block as it was first published, post-norm (Vaswani et al. 2017, section 3.1).

Its parameters are those of `encoder_block_init`: the two blocks differ in where LayerNorm stands, and in nothing else.
"""

from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward
from tinyvit.layers.mlp import mlp, mlp_backward
from tinyvit.layers.multi_head_attention import multi_head_attention, multi_head_attention_backward
from tinyvit.ops.dropout import NO_MASKS, dropout, dropout_backward


def post_norm_block(z, p, *, heads, rows=None, gelu="erf", eps=1e-6, masks=NO_MASKS, **attention):
    """Each sum is normalised, the residual stream with it.

        z' = LN(MSA(z) + z)
        z  = LN(MLP(z') + z')

    Pre-norm leaves an unbroken sum from the first block to the last; here every block rescales it twice, and the
    gradient passes 2L LayerNorms on its way back.

    Parameters and results are those of `encoder_block`.
    """
    c = {}
    y, c["msa"] = multi_head_attention(z[:, :rows], z, p["msa"], heads=heads, **attention)
    y, c["dropout"] = dropout(y, masks.get("msa"))
    z, c["ln1"] = layer_norm(y + z[:, :rows], p["ln1"], eps=eps)
    y, c["mlp"] = mlp(z, p["mlp"], gelu=gelu, masks=masks.get("mlp", NO_MASKS))
    z, c["ln2"] = layer_norm(y + z, p["ln2"], eps=eps)
    return z, c


def post_norm_block_backward(dz, p, c):
    """The forward pass, line by line in reverse; what was used twice has the sum of its gradients. Returns dz and g."""
    g = {}
    dz, g["ln2"] = layer_norm_backward(dz, p["ln2"], c["ln2"])
    dy, g["mlp"] = mlp_backward(dz, p["mlp"], c["mlp"])
    dz, g["ln1"] = layer_norm_backward(dy + dz, p["ln1"], c["ln1"])
    dy = dropout_backward(dz, c["dropout"])
    dq, dy, _, g["msa"] = multi_head_attention_backward(dy, p["msa"], c["msa"])
    dy[:, : dq.shape[1]] += dq + dz
    return dy, g
