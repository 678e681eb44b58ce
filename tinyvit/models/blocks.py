"""The encoder's blocks, as a config asks for them: where LayerNorm stands, and whether positions enter."""

from functools import partial

from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward
from tinyvit.layers.position import POSITION
from tinyvit.layers.positioned_block import (
    positioned_block,
    positioned_block_backward,
    relative_block,
    relative_block_backward,
)
from tinyvit.layers.post_norm_block import post_norm_block, post_norm_block_backward

NORM = {  # where LayerNorm stands in a block: its forward and its backward pass
    "pre": (encoder_block, encoder_block_backward),
    "post": (post_norm_block, post_norm_block_backward),
}


def block_of(config):
    """The forward and backward pass of a configuration's encoder blocks."""
    forward, backward = block = NORM[config.norm]
    if config.position_at != "stem":
        position = POSITION[config.position]
        if position.forward is None:
            wrapped, forward, backward = {"block": block}, relative_block, relative_block_backward
        else:
            wrapped = {"block": block, "position": position}
            forward, backward = positioned_block, positioned_block_backward
        forward, backward = partial(forward, **wrapped), partial(backward, **wrapped)
    options = dict(heads=config.heads, gelu=config.gelu, eps=config.eps, scale=config.scale)
    return partial(forward, **options), backward
