"""Where positions enter, of which a config names one place: the columns of the ViT paper's table 8.

Before the first block, once ("stem", the paper's choice); or in every block, with tables of its own ("layers"), or with
one table for all ("shared"). The tree p keeps them all under "pos"; a block in which positions enter finds its own
among its parameters (see blocks.py).
"""

from collections.abc import Callable
from functools import partial, reduce
from typing import NamedTuple

from tinyvit import trees
from tinyvit.layers.nothing import nothing, nothing_backward
from tinyvit.layers.position import POSITION, Position


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
