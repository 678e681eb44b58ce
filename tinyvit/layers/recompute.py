"""What is kept of a block's cache: all of it, nothing, or the block's input, from which backward computes it again.

The last is activation checkpointing (Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost"). Of L blocks
only the inputs stay in memory, and one cache at a time, for a second forward pass of each block: a third more work.
"""

from functools import partial

from tinyvit.errors import UsageError
from tinyvit.layers.mlp import value_alone


class NotKept(dict):
    """The cache of a block that was dropped: whoever reads in it is told why there is nothing."""

    def __missing__(self, name):
        raise UsageError("the cache was not kept: run the forward pass without keep_cache=False")


class Recomputed(dict):
    """The cache {input} of a block, from which `whole_cache` computes the rest: forward(input, p) is the block."""

    def __init__(self, forward, z, p):
        super().__init__(input=z)
        self.forward, self.p = forward, p

    def __missing__(self, name):
        raise UsageError('only the blocks\' inputs were kept: run the forward pass without keep_cache="inputs"')


def run_block(forward, z, p, keep_cache=True, *, gelu="erf"):
    """A block, and of its cache what is asked for.

    Parameters
    ----------
    forward : callable
        (z, p, gelu=...) -> z, c: the block with its other options and dropout masks. Called twice it computes the same
        bits.
    z : array
    p : tree
    keep_cache : bool or "inputs"
        True keeps the cache, False drops it, "inputs" keeps z alone.
    gelu : str
        As in `mlp`; where the cache is not kept, its derivative is not computed.

    Returns
    -------
    z : array, and the cache, a NotKept, or a Recomputed
    """
    output, c = forward(z, p, gelu=gelu if keep_cache is True else value_alone(gelu))
    if keep_cache == "inputs":
        return output, Recomputed(partial(forward, gelu=gelu), z, p)
    return output, c if keep_cache else NotKept()


def whole_cache(c):
    """The cache of a block for its backward pass: as it is, or computed again from the block's input."""
    return c.forward(c["input"], c.p)[1] if isinstance(c, Recomputed) else c
