"""Where positions enter, of which a config names one place: the columns of the ViT paper's table 8.

Before the first block, once ("stem", the paper's choice); or in every block, with tables of its own ("layers"), or with
one table for all ("shared"). A block in which positions enter is another function, and takes its positions among its
parameters; the tree p keeps them all under "pos".
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import NamedTuple

from tinyvit import trees
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward
from tinyvit.layers.nothing import nothing, nothing_backward
from tinyvit.layers.position import POSITION, Position
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


class Placement(NamedTuple):
    """One place.

    init(draw, depth): p["pos"], from tables that draw() makes. blocks(p): the parameters of each block. gradients(g):
    the way back, from the gradients of what each block was given to those of p.
    """

    init: Callable
    blocks: Callable
    gradients: Callable


def _add(g):
    """What several blocks used has the sum of their gradients."""
    parts = [block.pop("pos") for block in g["blocks"]]
    return g | {"pos": reduce(partial(trees.map, lambda a, b: a + b), parts)}


PLACEMENT = {
    "stem": Placement(lambda draw, depth: draw(), lambda p: p["blocks"], lambda g: g),
    "layers": Placement(
        lambda draw, depth: [draw() for _ in range(depth)],
        lambda p: [block | {"pos": pos} for block, pos in zip(p["blocks"], p["pos"], strict=True)],
        lambda g: g | {"pos": [block.pop("pos") for block in g["blocks"]]},
    ),
    "shared": Placement(
        lambda draw, depth: draw(), lambda p: [block | {"pos": p["pos"]} for block in p["blocks"]], _add
    ),
}


def stem_of(config):
    """The position, forward and backward, that is added before the first block."""
    kind = POSITION[config.position]
    return kind if config.position_at == "stem" else Position(kind.init, nothing, nothing_backward)


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
