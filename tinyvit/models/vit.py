"""The Vision Transformer (Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021), equations 1 to 4."""

from tinyvit.layers.embedding import patch_embedding, patch_embedding_backward, patch_embedding_init
from tinyvit.layers.encoder_block import encoder_block_init
from tinyvit.layers.initializers import zeros
from tinyvit.layers.layer_norm import layer_norm_init
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.pool import POOL
from tinyvit.layers.position import POSITION
from tinyvit.layers.pre_logits import pre_logits, pre_logits_backward, pre_logits_init
from tinyvit.models.blocks import block_of
from tinyvit.models.placement import PLACEMENT, stem_of
from tinyvit.ops.dropout import NO_MASKS, dropout, dropout_backward, dropout_mask


def vit_init(rng, config, *, dtype="float32"):
    """The parameters of a Vision Transformer.

    Returns
    -------
    p : {patch {w, b}, cls, pos, blocks [{ln1, msa {q, k, v, o}, ln2, mlp {fc1, fc2}}], ln, head {w, b}}
        And pre_logits {w, b} before head, where the config asks for it. The head starts at zero: every class is then
        equally likely, and the first loss is ln K. With rng=None, the shapes alone (see initializers).
    """
    dim = config.dim

    def table():
        return POSITION[config.position].init(rng, config.tokens, dim, std=config.position_std, dtype=dtype)

    p = {
        "patch": patch_embedding_init(rng, config.patch, config.channels, dim, dtype=dtype),
        "cls": POOL[config.pool].token_init(rng, dim, dtype=dtype),
        "pos": PLACEMENT[config.position_at].init(table, config.depth),
        "blocks": [encoder_block_init(rng, dim, config.mlp_dim, dtype=dtype) for _ in range(config.depth)],
        "ln": layer_norm_init(rng, dim, dtype=dtype),
    }
    if config.pre_logits:
        p["pre_logits"] = pre_logits_init(rng, dim, config.pre_logits, dtype=dtype)
    width = config.pre_logits or dim
    p["head"] = {"w": zeros(rng, (width, config.classes), dtype), "b": zeros(rng, (config.classes,), dtype)}
    return p


def vit(images, p, config, *, masks=NO_MASKS, full=True, keep=True):
    """Classify images.

        z_0  = [x_class; x_p^1 E; ...; x_p^N E] + E_pos        (1)
        z'_l = MSA(LN(z_{l-1})) + z_{l-1}                      (2)
        z_l  = MLP(LN(z'_l)) + z'_l                            (3)
        y    = LN(z_L^0),  logits = y w + b                    (4)

    This is the paper's model, and what the defaults give. What else a config may choose is found behind these lines:
    the token, and what is read of the result, in pool.py; positions in position.py, and where they enter in
    placement.py; the block in blocks.py.

    Parameters
    ----------
    images : array [B, H, W, C]
    p : the tree of `vit_init`
    config : ViTConfig
    masks : tree, optional
        Dropout masks of `vit_masks`, for training; without them, evaluation.
    full : bool
        False computes of the last block only the rows that are read, the class token's: the same logits and gradients,
        sooner. The default keeps every map.
    keep : bool
        False drops each block's cache as soon as the next block has its input: for prediction, where there is no
        backward pass.

    Returns
    -------
    logits : array [B, K], and the cache, whose tree has the parameters' names
        For instance the attention maps of block 0 are c["blocks"][0]["msa"]["att"]["a"], [B, h, T, T].

    Raises
    ------
    UsageError
        If the images are not of the size that the model takes.
    """
    config.check_images(images)
    pool, position, (encoder_block, _) = POOL[config.pool], stem_of(config), block_of(config)
    c = {}
    z, c["patch"] = patch_embedding(images, p["patch"], patch=config.patch)
    z, c["cls"] = pool.token(z, p["cls"])
    z, c["pos"] = position.forward(z, p["pos"])  # (1)
    z, c["dropout"] = dropout(z, masks.get("stem"))
    c["blocks"] = []
    rows = [None] * (config.depth - 1) + [None if full else pool.rows]
    block_masks = masks.get("blocks", [NO_MASKS] * config.depth)
    for block, r, m in zip(PLACEMENT[config.position_at].blocks(p), rows, block_masks, strict=True):
        z, cache = encoder_block(z, block, rows=r, masks=m)
        c["blocks"].append(cache if keep else {})  # (2), (3)
        del cache  # with keep=False it is gone before the next block needs the room
    y, read = pool.read(z, p["ln"], eps=config.eps)  # (4)
    c |= read  # class_row and ln, for the class token
    if "pre_logits" in p:
        y, c["pre_logits"] = pre_logits(y, p["pre_logits"])
    y, c["head"] = linear(y, p["head"])
    return y, c


def vit_backward(dy, p, c, config):
    """The forward pass, line by line in reverse.

    Parameters
    ----------
    dy : array [B, K]
        The gradient of the logits.

    Returns
    -------
    dimages : array [B, H, W, C]
    g : the gradients of all parameters, a tree like p
    """
    pool, position, (_, encoder_block_backward) = POOL[config.pool], stem_of(config), block_of(config)
    placement, g = PLACEMENT[config.position_at], {}
    dy, g["head"] = linear_backward(dy, p["head"], c["head"])
    if "pre_logits" in p:
        dy, g["pre_logits"] = pre_logits_backward(dy, p["pre_logits"], c["pre_logits"])
    dz, g["ln"] = pool.read_backward(dy, p["ln"], c)  # (4)
    g["blocks"] = []
    for block, cache in zip(reversed(placement.blocks(p)), reversed(c["blocks"]), strict=True):
        dz, gradient = encoder_block_backward(dz, block, cache)  # (3), (2)
        g["blocks"].insert(0, gradient)
    dz = dropout_backward(dz, c["dropout"])
    dz, g["pos"] = position.backward(dz, p["pos"], c["pos"])  # (1)
    dz, g["cls"] = pool.token_backward(dz, p["cls"], c["cls"])
    dimages, g["patch"] = patch_embedding_backward(dz, p["patch"], c["patch"])
    return dimages, placement.gradients(g)


def vit_masks(rng, config, batch, *, full=True, dtype="float32"):
    """Draw the dropout masks of one training step: the tree that `vit` takes as `masks`; none at all at rate 0.

    Where the paper's code has them: after adding positions, and after every dense layer but q, k, v. With full=False,
    the last block's masks have the rows that are read only.
    """
    if not config.dropout:
        return NO_MASKS

    def mask(rows, width):
        return dropout_mask(rng, (batch, rows, width), config.dropout, dtype)

    def block(rows):
        return {
            "msa": mask(rows, config.dim),
            "mlp": {"fc1": mask(rows, config.mlp_dim), "fc2": mask(rows, config.dim)},
        }

    T = config.tokens
    rows = [T] * (config.depth - 1) + [T if full else POOL[config.pool].rows or T]
    return {"stem": mask(T, config.dim), "blocks": [block(r) for r in rows]}
