"""Relative positions as a bias of attention (Shaw et al. 2018; the ViT paper, appendix D.4)."""

from tinyvit.arrays import xp_of


def relative_bias(q, r):
    """Every query meets, beside the keys, the embedding of its distance to them: extra keys, one for each offset.

        bias_ts = q_t . r_{s-t}

    The offsets run along the sequence, in one dimension, from -(S-1) to S-1. The product with all of them is one matrix
    product [..., T, 2S-1]; row t of the bias is then S neighbouring columns of its row t, one further left for each t.

    Parameters
    ----------
    q : array [B, h, T, d]
        The scaled queries of the first T of S tokens.
    r : array [h, 2S-1, d]
        Row S-1+o of each head belongs to the offset o = s - t.

    Returns
    -------
    bias : array [B, h, T, S], and the cache {q, r}
    """
    rows, offsets = _offsets(q, r)
    return (q @ r.swapaxes(-1, -2))[..., rows, offsets], {"q": q, "r": r}


def relative_bias_backward(dbias, c):
    """The gradients of q and r.

    No query meets an offset twice, so the entries of dbias go back each to a place of its own in the gradient of all
    products, whose other entries are 0: no key is that far from that query. Then, as for any product,

        dq_t = sum_o dproducts_to r_o,    dr_o = sum over b, t of dproducts_to q_t.
    """
    q, r = c["q"], c["r"]
    rows, offsets = _offsets(q, r)
    dproducts = xp_of(q).zeros((*q.shape[:-1], r.shape[-2]), q.dtype)
    dproducts[..., rows, offsets] = dbias
    return dproducts @ r, (dproducts.swapaxes(-1, -2) @ q).sum(axis=0)


def _offsets(q, r):
    """Where bias [t, s] stands among the products [t, o]: the indices t, and S - 1 + s - t."""
    xp, (T, S) = xp_of(q), (q.shape[-2], (r.shape[-2] + 1) // 2)
    rows = xp.arange(T)[:, None]
    return rows, S - 1 + xp.arange(S) - rows
