"""Multi-head attention within windows, or shifted windows, with a relative position bias (Swin: Liu et al. 2021)."""

import functools

from tinyvit.arrays import xp_of
from tinyvit.layers.initializers import normal
from tinyvit.layers.multi_head_attention import (
    multi_head_attention,
    multi_head_attention_backward,
    multi_head_attention_init,
)
from tinyvit.ops.window_bias import window_bias, window_bias_backward, window_of
from tinyvit.ops.windows import attention_over_map, from_windows, to_windows, to_windows_backward, window_mask


def window_attention_init(rng, dim, heads, window, *, dtype="float32"):
    """Parameters {q, k, v, o, table [(2M-1)^2, h]}."""
    table = normal(rng, ((2 * window - 1) ** 2, heads), 0.02, dtype)
    return multi_head_attention_init(rng, dim, dtype=dtype) | {"table": table}


def window_attention(x, p, *, heads, shift=0):
    """Let every token gather from the tokens of its window.

        y = softmax(q k^T / sqrt(d) + bias + mask) v,  within each window, for every head    (equation 4)

    Windows are a second batch axis: the same multi_head_attention as everywhere runs on [B n, M*M, C]. Its scores are
    M^2 for a token, not HW.

    Where M does not divide the map, zeros are put at the bottom and at the right, and no token looks at them. (Swin's
    programs differ here: timm, Hugging Face and torchvision let tokens look at the zeros, of which attention makes keys
    and values; Microsoft's refuses.) The map is padded, then rolled, as in all but timm, which rolls first.

    Parameters
    ----------
    x : array [B, H, W, C]
        A map of tokens.
    p : {q, k, v, o, table}
        M follows from the table.
    heads : int
        h; it divides C.
    shift : int
        s: 0, or floor(M / 2) in every other block.

    Returns
    -------
    y : array [B, H, W, C], and the cache of `multi_head_attention`, whose maps are [B n, h, M*M, M*M], with {windows,
        table}
    """
    xp, (B, H, W, C), window = xp_of(x), x.shape, window_of(p["table"])
    windows, c_windows = to_windows(x, window, shift)  # [B, n, M*M, C]
    tokens = windows.reshape(-1, window * window, C)
    bias, c_table = window_bias(p["table"])
    mask = _kept_mask(H, W, window, shift)
    if mask is not None:  # the batch is the slow axis, windows the fast one
        bias = xp.tile(bias + xp.asarray(mask[:, None], x.dtype), (B, 1, 1, 1))  # [B n, h, M*M, M*M]
    y, c = multi_head_attention(tokens, tokens, p, heads=heads, bias=bias)
    y = from_windows(y.reshape(windows.shape), x.shape, shift)
    return y, c | {"windows": c_windows, "table": c_table}


@functools.lru_cache(maxsize=64)
def _kept_mask(height, width, window, shift):
    """`window_mask`, computed once for each size; read only, since all share it."""
    mask = window_mask(height, width, window, shift)
    if mask is not None:
        mask.flags.writeable = False
    return mask


def window_attention_backward(dy, p, c, *, shift=0):
    """The forward pass in reverse. The table serves all windows, so its gradient is the sum over them.

    Returns
    -------
    dx [B, H, W, C] and g
    """
    windows, _ = to_windows(dy, window_of(p["table"]), shift)  # from_windows is to_windows' inverse
    dq, dkv, dbias, g = multi_head_attention_backward(windows.reshape(c["q"]["x"].shape), p, c)
    if dbias.ndim == 4:
        dbias = dbias.sum(axis=0)
    g["table"] = window_bias_backward(dbias, c["table"])
    return to_windows_backward((dq + dkv).reshape(windows.shape), c["windows"], shift), g


def window_attention_map(c, shift=0):
    """The attention of all tokens of the map, [B, h, HW, HW], from the cache: zero outside each one's window."""
    _, H, W, _ = c["windows"]["x"].shape
    return attention_over_map(c["att"]["a"], H, W, shift)
