"""Some of the patches are hidden: what a model that is to fill them in gets to see (the ViT paper, appendix B.1.2)."""

from tinyvit.arrays import xp_of
from tinyvit.ops.take_rows import take_rows, take_rows_backward


def corrupt(x, mask, source):
    """Replace the embeddings of some patches, by the mask's or by another patch's.

        y_n = [x_0; ...; x_{N-1}; mask]_s,    s = source_n

    so a patch whose source is its own number stays as it is, and N stands for the mask.

    Parameters
    ----------
    x : array [B, N, D]
        Patch embeddings.
    mask : array [D]
        The embedding that says "hidden", the same for every patch and image.
    source : integer array [B, N]
        From 0 to N, on the host or where x is.

    Returns
    -------
    y : array [B, N, D], and the cache {take_rows}
    """
    xp, (B, _, D) = xp_of(x), x.shape
    y, c = take_rows(xp.concatenate([x, xp.broadcast_to(mask, (B, 1, D))], axis=1), source)
    return y, {"take_rows": c}


def corrupt_backward(dy, c):
    """The gradients of x and mask: each embedding has the sum over all places where it stood.

    What was replaced and stood nowhere else has 0. The mask is shared by all images, so its gradient is also the sum
    over the batch, of the last row.
    """
    drows = take_rows_backward(dy, c["take_rows"])
    return drows[:, :-1], drows[:, -1].sum(axis=0)
