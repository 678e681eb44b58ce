"""The Swin Transformer block (Liu et al. 2021, equation 3)."""

from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward, layer_norm_init
from tinyvit.layers.mlp import mlp, mlp_backward, mlp_init
from tinyvit.layers.window_attention import window_attention, window_attention_backward, window_attention_init
from tinyvit.ops.dropout import NO_MASKS, dropout, dropout_backward


def swin_block_init(rng, dim, heads, window, mlp_dim, *, dtype="float32"):
    """Parameters {ln1, msa {q, k, v, o, table}, ln2, mlp {fc1, fc2}}."""
    return {
        "ln1": layer_norm_init(rng, dim, dtype=dtype),
        "msa": window_attention_init(rng, dim, heads, window, dtype=dtype),
        "ln2": layer_norm_init(rng, dim, dtype=dtype),
        "mlp": mlp_init(rng, dim, mlp_dim, dtype=dtype),
    }


def swin_block(x, p, *, heads, shift=0, gelu="erf", eps=1e-5, masks=NO_MASKS):
    """ViT's encoder block on a map of tokens, with attention within windows.

        x' = W-MSA(LN(x)) + x,    x = MLP(LN(x')) + x'

    Parameters
    ----------
    x : array [B, H, W, C]
    p : {ln1, msa, ln2, mlp}
    heads, shift
        As in window_attention.
    gelu, eps
        As in mlp and layer_norm.
    masks : {msa, mlp} [B, 1, 1, 1]
        Drop path (Huang et al. 2016), for training: an image leaves out a whole branch, or has it scaled up.

    Returns
    -------
    x : array [B, H, W, C], and the cache {ln1, msa, drop_msa, ln2, mlp, drop_mlp}
    """
    c = {}
    y, c["ln1"] = layer_norm(x, p["ln1"], eps=eps)
    y, c["msa"] = window_attention(y, p["msa"], heads=heads, shift=shift)
    y, c["drop_msa"] = dropout(y, masks.get("msa"))
    x = y + x
    y, c["ln2"] = layer_norm(x, p["ln2"], eps=eps)
    y, c["mlp"] = mlp(y, p["mlp"], gelu=gelu)
    y, c["drop_mlp"] = dropout(y, masks.get("mlp"))
    return y + x, c


def swin_block_backward(dx, p, c, *, shift=0):
    """The forward pass, line by line in reverse. Returns dx and g."""
    g = {}
    dy = dropout_backward(dx, c["drop_mlp"])
    dy, g["mlp"] = mlp_backward(dy, p["mlp"], c["mlp"])
    dy, g["ln2"] = layer_norm_backward(dy, p["ln2"], c["ln2"])
    dx = dy + dx
    dy = dropout_backward(dx, c["drop_msa"])
    dy, g["msa"] = window_attention_backward(dy, p["msa"], c["msa"], shift=shift)
    dy, g["ln1"] = layer_norm_backward(dy, p["ln1"], c["ln1"])
    return dy + dx, g
