"""The Vision Transformer (Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021), equations 1 to 4."""

from functools import partial, reduce

from numpy.random import Generator
from numpy.typing import DTypeLike

from tinyvit import trees
from tinyvit.annotations import Array, Masks, Tree
from tinyvit.layers.attend import attention_plan
from tinyvit.layers.block import block, block_backward
from tinyvit.layers.embedding import (
    class_token,
    class_token_backward,
    class_token_init,
    patch_embedding,
    patch_embedding_backward,
    patch_embedding_init,
)
from tinyvit.layers.encoder_block import encoder_block_init
from tinyvit.layers.initializers import zeros
from tinyvit.layers.layer_norm import layer_norm_init
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.pool import readout, readout_backward
from tinyvit.layers.position import position, position_backward, position_init
from tinyvit.layers.pre_logits import pre_logits, pre_logits_backward, pre_logits_init
from tinyvit.layers.recompute import run_block, whole_cache
from tinyvit.models.config import ViTConfig, check_config, check_images
from tinyvit.ops.dropout import NO_MASKS, dropout, dropout_backward, dropout_mask


def vit_init(rng: Generator | None, config: ViTConfig, *, dtype: DTypeLike = "float32") -> Tree:
    """The parameters of a Vision Transformer.

    Returns
    -------
    p : {patch {w, b}, cls, pos, blocks [{ln1, msa {q, k, v, o}, ln2, mlp {fc1, fc2}}], ln, head {w, b}}
        pos is one tree of positions, or with position_at="layers" a list of them, one for each block; pre_logits {w, b}
        stands before head, where the config asks for it. The head starts at zero: every class is then
        equally likely, and the first loss is ln K. With rng=None, the shapes alone (see initializers).
    """
    check_config(config)
    dim, depth, width = config.dim, config.depth, config.pre_logits or config.dim

    def table():
        return position_init(rng, config.position, config.tokens, dim, std=config.position_std, dtype=dtype)

    p = {"patch": patch_embedding_init(rng, config.patch, config.channels, dim, dtype=dtype)}
    p["cls"] = class_token_init(rng, dim, dtype=dtype) if config.class_token else {}
    p["pos"] = [table() for _ in range(depth)] if config.position_at == "layers" else table()
    p["blocks"] = [encoder_block_init(rng, dim, config.mlp_dim, dtype=dtype) for _ in range(depth)]
    p["ln"] = layer_norm_init(rng, dim, dtype=dtype)
    if config.pre_logits:
        p["pre_logits"] = pre_logits_init(rng, dim, width, dtype=dtype)
    p["head"] = {"w": zeros(rng, (width, config.classes), dtype), "b": zeros(rng, (config.classes,), dtype)}
    return p


def vit(
    images: Array,
    p: Tree,
    config: ViTConfig,
    *,
    masks: Masks = NO_MASKS,
    all_rows: bool = True,
    keep_cache: bool | str = True,
    freeze: int = 0,
) -> tuple[Array, Tree]:
    """Classify images.

        z_0  = [x_class; x_p^1 E; ...; x_p^N E] + E_pos        (1)
        z'_l = MSA(LN(z_{l-1})) + z_{l-1}                      (2)
        z_l  = MLP(LN(z'_l)) + z'_l                            (3)
        y    = LN(z_L^0),  logits = y w + b                    (4)

    These are the paper's equations, and the defaults of ViTConfig: MSA is multi-head self-attention, LN is LayerNorm.
    Each keyword below hands a choice of the configuration to its layer: another kind of position to `position`, another
    block to `block`, another readout to `readout`.

    Parameters
    ----------
    images : array [B, H, W, C]
        B images of H rows, W columns and C channels; they become N = HW / P^2 patches.
    p : the tree of `vit_init`
    config : ViTConfig
        T tokens (N, and the class token), of width D; h heads; K classes.
    masks : tree, optional
        Dropout masks of `vit_masks`, for training; without them, evaluation.
    all_rows : bool
        If False, the last block computes only the class token's row when the head reads only that row. Logits and
        gradients are unchanged, and sooner there. The default keeps every attention map whole.
    keep_cache : bool or "inputs"
        False drops each block's cache as soon as the next block has its input: for prediction, where there is no
        backward pass. "inputs" keeps each block's input alone, and the backward pass computes the rest again.
    freeze : int
        Blocks, from the first, that stay as they are, and with them the embedding: their caches are not kept, and
        `vit_backward` is given the same number.

    Returns
    -------
    logits : array [B, K], and the cache {patch, cls, pos, dropout, blocks, readout, pre_logits, head}
        For instance the attention maps of block 0 are c["blocks"][0]["msa"]["att"]["a"], [B, h, T, T].

    Raises
    ------
    UsageError
        If the images are not of the size that the model takes.
    """
    check_images(images, config)
    c = {}
    z, c["patch"] = patch_embedding(images, p["patch"], patch=config.patch)  # (1): [x_p^1 E; ...], [B, N, D]
    if config.class_token:
        z, c["cls"] = class_token(z, p["cls"])  # (1): [x_class; ...], [B, T, D]
    if config.position_at == "stem":
        z, c["pos"] = position(z, p["pos"], kind=config.position)  # (1): ... + E_pos
    z, c["dropout"] = dropout(z, masks.get("stem"))
    keep = dict(keep_cache=keep_cache, freeze=freeze)
    z, c["blocks"] = encoder(z, p, config, masks=masks, all_rows=all_rows, **keep)  # (2), (3), L times
    y, c["readout"] = readout(z, p["ln"], pool=config.pool, eps=config.eps)  # (4): LN(z_L^0), [B, T, D] -> [B, D]
    if config.pre_logits:
        y, c["pre_logits"] = pre_logits(y, p["pre_logits"])
    logits, c["head"] = linear(y, p["head"])
    return logits, c


def vit_backward(dlogits: Array, p: Tree, c: Tree, config: ViTConfig, *, freeze: int = 0) -> tuple[Array | None, Tree]:
    """The forward pass, line by line in reverse. Settings such as eps are not needed: the cache holds their results.

    Parameters
    ----------
    dlogits : array [B, K]
        The gradient of the logits.
    freeze : int
        As in `vit`: the way back ends above so many blocks.

    Returns
    -------
    dimages : array [B, H, W, C]; None where blocks are frozen
    g : the gradients of all parameters, a tree like p; of those that are not frozen
    """
    g = {}
    dy, g["head"] = linear_backward(dlogits, p["head"], c["head"])
    if config.pre_logits:
        dy, g["pre_logits"] = pre_logits_backward(dy, p["pre_logits"], c["pre_logits"])
    dz, g["ln"] = readout_backward(dy, p["ln"], c["readout"], pool=config.pool)  # (4)
    dz, g["blocks"], g["pos"] = encoder_backward(dz, p, c["blocks"], config, freeze=freeze)  # (3), (2), L times
    if freeze:  # and with the blocks all that is below them
        return None, g
    dz = dropout_backward(dz, c["dropout"])
    if config.position_at == "stem":
        dz, g["pos"] = position_backward(dz, p["pos"], c["pos"], kind=config.position)  # (1)
    g["cls"] = {}
    if config.class_token:
        dz, g["cls"] = class_token_backward(dz, p["cls"], c["cls"])  # (1)
    dimages, g["patch"] = patch_embedding_backward(dz, p["patch"], c["patch"])  # (1)
    return dimages, g


def encoder(z, p, config, *, masks=NO_MASKS, all_rows=True, keep_cache=True, freeze=0):
    """L encoder blocks, one after another: from z_0 to z_L, equations (2) and (3) for l = 1 ... L.

    Parameters
    ----------
    z : array [B, T, D]
    p : a tree with blocks, and pos for the blocks in which positions enter
    config, masks, all_rows, keep_cache, freeze
        As in `vit`.

    Returns
    -------
    z : array [B, T, D], or [B, 1, D] of the class token alone, and the caches of the blocks, a list
    """
    last, read = config.depth - 1, rows_read(config, all_rows)
    choices = dict(norm=config.norm, position=config.position, eps=config.eps, scale=config.scale)
    c, block_masks = [{} for _ in p["blocks"]], masks.get("blocks", [NO_MASKS] * config.depth)
    for i, pos in enumerate(_block_positions(p, config)):
        rows = read if i == last else None
        shape = dict(heads=config.heads, rows=rows, **_pattern(config, i, rows))
        forward = partial(block, pos=pos, masks=block_masks[i], **shape, **choices)
        z, c[i] = run_block(forward, z, p["blocks"][i], i >= freeze and keep_cache, gelu=config.gelu)
    return z, c


def encoder_backward(dz, p, c, config, *, freeze=0):
    """The blocks in reverse. Returns dz, a list of the blocks' gradients, and the gradient of the blocks' positions.

    With positions at the stem no block has any, and the last is a list of None. The first `freeze` blocks are left out:
    dz is then that of the block above them, and they, and positions that they share, have no gradients, {}.
    """
    g, dpos, kind = [{}] * config.depth, [{}] * config.depth, dict(norm=config.norm, position=config.position)
    for i, pos in reversed(list(enumerate(_block_positions(p, config)))[freeze:]):
        dz, g[i], dpos[i] = block_backward(dz, p["blocks"][i], pos, whole_cache(c[i]), **kind)
    if config.position_at == "shared":  # one table for all blocks: its gradient is the sum over them
        dpos = reduce(lambda total, d: trees.map(lambda a, b: a + b, total, d), dpos)
    if freeze and config.position_at != "layers":  # a table of all is frozen as soon as one block is
        dpos = {}
    return dz, g, dpos


def rows_read(config, all_rows):
    """How many rows the last block computes: the class token's alone, if the head reads no other; None is all."""
    return 1 if config.pool == "class" and not all_rows else None


def _pattern(config, number, rows):
    """{plan}, which keys the queries of a block look at; {} in full. The class token, alone, looks at all of them."""
    if config.attention == "full" or (rows and config.attention != "linear"):
        return {}
    return {"plan": attention_plan(config.attention, config.grid_size, config.class_token, config.reach, number)}


def _block_positions(p, config):
    """For each block the positions added in it: a table of its own, the one that all share, or None."""
    tables = {"stem": [None] * config.depth, "layers": p["pos"], "shared": [p["pos"]] * config.depth}
    return tables[config.position_at]


def vit_masks(
    rng: Generator, config: ViTConfig, batch: int, *, all_rows: bool = True, dtype: DTypeLike = "float32"
) -> Masks:
    """Draw the dropout masks of one training step: the tree that `vit` takes as `masks`; none at all at rate 0.

    They stand as in the paper's appendix B.1: after adding positions, and after every dense layer of a block but q, k,
    v. With all_rows=False, the last block's masks are of the class token's row alone, where the head reads no other.
    """
    if not config.dropout:
        return NO_MASKS

    def mask(rows, width):
        return dropout_mask(rng, (batch, rows, width), config.dropout, dtype)

    def block_masks(rows):
        return {
            "msa": mask(rows, config.dim),
            "mlp": {"fc1": mask(rows, config.mlp_dim), "fc2": mask(rows, config.dim)},
        }

    T = config.tokens
    rows = [T] * (config.depth - 1) + [rows_read(config, all_rows) or T]
    return {"stem": mask(T, config.dim), "blocks": [block_masks(r) for r in rows]}
