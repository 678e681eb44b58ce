"""The Transformer encoder block, pre-norm (ViT paper, equations 2 and 3)."""

from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward, layer_norm_init
from tinyvit.layers.mlp import mlp, mlp_backward, mlp_init
from tinyvit.layers.multi_head_attention import (
    multi_head_attention,
    multi_head_attention_backward,
    multi_head_attention_init,
)
from tinyvit.ops.dropout import NO_MASKS, dropout, dropout_backward


def encoder_block_init(rng, dim, mlp_dim, *, dtype="float32"):
    """Parameters {ln1, msa {q, k, v, o}, ln2, mlp {fc1, fc2}}."""
    return {
        "ln1": layer_norm_init(rng, dim, dtype=dtype),
        "msa": multi_head_attention_init(rng, dim, dtype=dtype),
        "ln2": layer_norm_init(rng, dim, dtype=dtype),
        "mlp": mlp_init(rng, dim, mlp_dim, dtype=dtype),
    }


def encoder_block(z, p, *, heads, rows=None, gelu="erf", eps=1e-6, masks=NO_MASKS, **attention):
    """Tokens talk to each other, then each thinks for itself; both times the result is added to what was there.

        z' = MSA(LN(z)) + z        (2)
        z  = MLP(LN(z')) + z'      (3)

    Parameters
    ----------
    z : array [B, T, D]
        The residual stream.
    p : {ln1, msa, ln2, mlp}
    heads : int
    rows : int, optional
        Compute only the first so many rows of the output. They are the same numbers: a row asks all tokens for keys and
        values, but only itself for its query. The last block needs no more than the class row.
    gelu, eps
        As in mlp and layer_norm.
    masks : {msa [B, T, D], mlp {fc1, fc2}}
        Dropout masks, for training, with as many rows as the output.
    attention
        Other choices of multi_head_attention: bias, scale, plan, past.

    Returns
    -------
    z : array [B, rows or T, D], and the cache {ln1, msa, dropout, ln2, mlp}
    """
    c = {}
    y, c["ln1"] = layer_norm(z, p["ln1"], eps=eps)
    y, c["msa"] = multi_head_attention(y[:, :rows], y, p["msa"], heads=heads, **attention)
    y, c["dropout"] = dropout(y, masks.get("msa"))
    z = y + z[:, :rows]  # (2)
    y, c["ln2"] = layer_norm(z, p["ln2"], eps=eps)
    y, c["mlp"] = mlp(y, p["mlp"], gelu=gelu, masks=masks.get("mlp", NO_MASKS))
    return y + z, c  # (3)


def encoder_block_backward(dz, p, c):
    """The forward pass, line by line in reverse; where a value was used twice, its gradients add up. Returns dz and g.

    A residual connection hands dz on unchanged beside what comes back through its branch: that is why deep stacks still
    learn.
    """
    g = {}
    dy, g["mlp"] = mlp_backward(dz, p["mlp"], c["mlp"])  # (3)
    dy, g["ln2"] = layer_norm_backward(dy, p["ln2"], c["ln2"])
    dz = dy + dz
    dy = dropout_backward(dz, c["dropout"])  # (2)
    dq, dy, _, g["msa"] = multi_head_attention_backward(dy, p["msa"], c["msa"])
    dy[:, : dq.shape[1]] += dq
    dy, g["ln1"] = layer_norm_backward(dy, p["ln1"], c["ln1"])
    dy[:, : dz.shape[1]] += dz
    return dy, g
