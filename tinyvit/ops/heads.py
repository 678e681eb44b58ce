"""Heads: the width D is cut into h pieces of d = D/h, and put together again.

Both functions only rename indices, so neither needs a cache, and each is the other's backward pass.
"""


def split_heads(x, heads):
    """[B, T, D] -> [B, h, T, d]: head i takes columns i d to (i+1) d; matrix products then run over all heads at once.

    The T and h axes must be swapped, not reshaped away: [B, T, h, d] holds a token's heads side by side in memory, and
    reading it as [B, h, T, d] would mix tokens with heads.
    """
    B, T, D = x.shape
    return x.reshape(B, T, heads, D // heads).swapaxes(1, 2)


def merge_heads(x):
    """[B, h, T, d] -> [B, T, D]: the heads of each token, concatenated."""
    B, h, T, d = x.shape
    return x.swapaxes(1, 2).reshape(B, T, h * d)
