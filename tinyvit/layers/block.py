"""An encoder block as a configuration asks for it: where LayerNorm stands, and the positions that enter the block.

Positions enter at every block in two columns of the ViT paper's table 8 (appendix D.4): each block is told once more
where its tokens were. Relative positions act within attention, as extra keys.
"""

from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward
from tinyvit.layers.position import position as add_position
from tinyvit.layers.position import position_backward as add_position_backward
from tinyvit.layers.post_norm_block import post_norm_block, post_norm_block_backward

BLOCKS = {  # the choices of a configuration's `norm`
    "pre": (encoder_block, encoder_block_backward),
    "post": (post_norm_block, post_norm_block_backward),
}


def block(z, p, pos=None, *, norm="pre", position="1d", **options):
    """One encoder block, given positions or not: block(z + E), or block(z) with E among its keys.

    Parameters
    ----------
    z : array [B, T, D]
    p : the parameters of `encoder_block_init`
    pos : tree, optional
        The parameters of the positions that enter this block.
    norm : str
        "pre" or "post".
    position : str
        Of which kind pos is.
    options
        Those of `encoder_block`.

    Returns
    -------
    z : array [B, rows or T, D], and the cache of the block, with pos where positions are added
    """
    forward, _ = BLOCKS[norm]
    c_pos = {}
    if position == "relative":
        p = p | {"msa": p["msa"] | {"r": pos}}
    elif pos is not None:
        z, c_pos["pos"] = add_position(z, pos, kind=position)
    z, c = forward(z, p, **options)
    return z, c | c_pos


def block_backward(dz, p, pos, c, *, norm="pre", position="1d"):
    """The forward pass in reverse. Returns dz, g and dpos, which is None where no positions enter."""
    _, backward = BLOCKS[norm]
    dz, g = backward(dz, p, c)
    if position == "relative":
        return dz, g, g["msa"].pop("r")
    if pos is None:
        return dz, g, None
    dz, dpos = add_position_backward(dz, pos, c["pos"], kind=position)
    return dz, g, dpos
