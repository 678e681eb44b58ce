"""Encoder blocks on top of each other, over tokens of any kind: BERT's, GPT's, and the Transformer's encoder."""

from functools import partial

from tinyvit.layers.block import BLOCKS
from tinyvit.layers.encoder_block import encoder_block_init
from tinyvit.layers.recompute import run_block, whole_cache
from tinyvit.ops.dropout import NO_MASKS


def encoder_stack_init(rng, dim, mlp_dim, depth, *, dtype="float32"):
    """Parameters [those of `encoder_block_init`, for each block]."""
    return [encoder_block_init(rng, dim, mlp_dim, dtype=dtype) for _ in range(depth)]


def encoder_stack(z, p, *, norm="pre", gelu="erf", masks=None, past=None, keep_cache=True, **options):
    """One block after another: from z_0 to z_L.

    Parameters
    ----------
    z : array [B, T, D]
    p : the list of `encoder_stack_init`
    norm : str
        "pre" or "post".
    gelu : str
        As in `mlp`.
    masks : list of trees, optional
        Dropout masks of each block.
    past : list of {k, v}, optional
        Keys and values from before, of each block: see `multi_head_attention`, and `kept`.
    keep_cache : bool or "inputs"
        As in `run_block`.
    options
        Those of `encoder_block`, heads among them, the same in every block.

    Returns
    -------
    z : array [B, T, D], and the caches of the blocks, a list
    """
    (forward, _), c = BLOCKS[norm], []
    for i, block in enumerate(p):
        own = dict(masks=masks[i] if masks else NO_MASKS) | (dict(past=past[i]) if past else {})
        z, c_block = run_block(partial(forward, **options, **own), z, block, keep_cache, gelu=gelu)
        c.append(c_block)
    return z, c


def encoder_stack_backward(dz, p, c, *, norm="pre"):
    """The blocks in reverse. Returns dz and g."""
    (_, backward), g = BLOCKS[norm], []
    for block, cache in zip(reversed(p), reversed(c), strict=True):
        dz, of_block = backward(dz, block, whole_cache(cache))
        g.insert(0, of_block)
    return dz, g


def kept(c):
    """The keys and values of every block, from the cache: the `past` of the tokens that follow."""
    return [{name: block["msa"]["att"][name] for name in "kv"} for block in c]


def block_masks(mask):
    """Dropout masks of one block, where each branch has one: mask() draws it."""
    return {"msa": mask(), "mlp": {"fc2": mask()}}
