"""Positions at a layer: a block that is told, once more, where its tokens were (the ViT paper, appendix D.4).

Either function takes the block that it surrounds, a pair (forward, backward), whichever that is. The positions are the
entry `pos` of the block's parameters.
"""


def positioned_block(z, p, *, block, position, **options):
    """Add positions to the block's input, whatever the kind: block(z + E).

    Parameters
    ----------
    z : array [B, T, D]
    p : the parameters of the block, and pos, those of the position
    block : (forward, backward)
    position : Position
        One that is added to tokens.
    options
        The block's.

    Returns
    -------
    z, and the cache of the block with pos
    """
    z, c_pos = position.forward(z, p["pos"])
    z, c = block[0](z, p, **options)
    return z, c | {"pos": c_pos}


def positioned_block_backward(dz, p, c, *, block, position):
    """The forward pass in reverse. Returns dz and g."""
    dz, g = block[1](dz, p, c)
    dz, g["pos"] = position.backward(dz, p["pos"], c["pos"])
    return dz, g


def relative_block(z, p, *, block, **options):
    """Relative positions: pos [2T-1, D] are extra keys of the block's attention.

    Parameters and results are those of `positioned_block`.
    """
    return block[0](z, p | {"msa": p["msa"] | {"r": p["pos"]}}, **options)


def relative_block_backward(dz, p, c, *, block):
    """The forward pass in reverse. Returns dz and g."""
    dz, g = block[1](dz, p, c)
    return dz, g | {"pos": g["msa"].pop("r")}
