"""Masked patch prediction: a Vision Transformer that learns from images without labels (ViT paper, appendix B.1.2).

Half of the patches of an image are corrupted, and the model is asked for the mean colour of each of them. To answer, it
must use what the other patches say about this one, as BERT uses the words around a missing word (Devlin et al. 2019).
What it has learned is then the start of a classifier: `encoder_of`.
"""

from dataclasses import dataclass

from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError
from tinyvit.layers.embedding import patch_embedding, patch_embedding_backward
from tinyvit.layers.initializers import normal, zeros
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.pool import POOL
from tinyvit.models.blocks import block_of
from tinyvit.models.config import LARGEST_MATRIX, ViTConfig
from tinyvit.models.hiding import LEVELS
from tinyvit.models.placement import PLACEMENT, stem_of
from tinyvit.models.vit import vit_init
from tinyvit.ops.corrupt import corrupt, corrupt_backward
from tinyvit.ops.dropout import NO_MASKS, dropout, dropout_backward
from tinyvit.ops.take_rows import take_rows, take_rows_backward

ENCODER = ("patch", "cls", "pos", "blocks", "ln")  # the parameters that are also the ViT's


@dataclass(frozen=True)
class MaskedConfig:
    """The configuration of masked patch prediction.

    Parameters
    ----------
    vit : ViTConfig
        Of the encoder; its classes and pre_logits wait for the classifier. A dictionary, as JSON has it, becomes one.
    corrupted : float
        The share of the patches that are corrupted, and predicted: the nearest whole number of them, in every image.

    Raises
    ------
    UsageError
        If the share is not possible, or that of no patch.
    """

    vit: ViTConfig
    corrupted: float = 0.5

    def __post_init__(self):
        if not isinstance(self.vit, ViTConfig):
            object.__setattr__(self, "vit", ViTConfig.from_dict(self.vit))  # frozen for everybody else
        if type(self.corrupted) not in (int, float) or not 0 < self.corrupted <= 1:
            raise UsageError(f"corrupted is {self.corrupted!r}: expected a share of the patches above 0, at most 1")
        if self.patches < 2 or not self.hidden:
            raise UsageError(
                f"corrupted is {self.corrupted:g} of {self.patches} patches: expected at least one of two or more"
            )
        if self.classes * self.vit.dim > LARGEST_MATRIX:
            raise UsageError(f"{self.channels} channels have {LEVELS}^{self.channels} colours: expected fewer channels")

    @property
    def image(self):
        """Side of the images, in pixels."""
        return self.vit.image

    @property
    def channels(self):
        """C."""
        return self.vit.channels

    @property
    def depth(self):
        """L: number of encoder blocks."""
        return self.vit.depth

    @property
    def classes(self):
        """The colours that there are: 8^C, so 512 in colour and 8 in grey."""
        return LEVELS**self.channels

    @property
    def patches(self):
        """N, the patches of an image."""
        return self.vit.grid**2

    @property
    def hidden(self):
        """n, the patches of an image that are corrupted."""
        return round(self.patches * self.corrupted)


def masked_init(rng, config, *, dtype="float32"):
    """The parameters: {patch, cls, pos, blocks, ln} of the ViT, mask [D] and a head {w [D, 8^C], b}.

    The head starts at zero, as the ViT's. The mask does not: in a model without positions at the stem LayerNorm would
    see a token of zeros, whose variance is 0. With rng=None, the shapes alone (see initializers).
    """
    p, (D, K) = vit_init(rng, config.vit, dtype=dtype), (config.vit.dim, config.classes)
    p = {name: p[name] for name in ENCODER} | {"mask": normal(rng, (D,), 0.02, dtype)}
    return p | {"head": {"w": zeros(rng, (D, K), dtype), "b": zeros(rng, (K,), dtype)}}


def encoder_of(p, config, rng):
    """The parameters of a ViT, for config.vit: the pretrained encoder, with a head that is zero.

    Parameters
    ----------
    p : the tree of `masked_init`, on the host
    config : MaskedConfig
    rng : numpy.random.Generator
        For the pre-logits layer, if config.vit has one; no other parameter is taken from it.
    """
    return vit_init(rng, config.vit, dtype=p["mask"].dtype) | {name: p[name] for name in ENCODER}


def masked(images, p, config, *, masks=NO_MASKS, keep=True):
    """Predict the mean colours of the corrupted patches.

        x_n = x_p^n E,    x~ = corrupt(x, mask, source)
        z_L = the encoder's output for [x_class; x~_1; ...; x~_N]      (1), (2), (3) of the ViT
        y_i = LN(z_L^n) w + b,    n = chosen_i

    Positions are added after the corruption: where a hidden patch was is not hidden.

    Parameters
    ----------
    images : array [B, H, W, C]
    p : the tree of `masked_init`
    config : MaskedConfig
    masks : tree, optional
        Of `masked_masks` (hiding.py): dropout masks as in `vit`, source [B, N], and chosen [B, n]. Without them nothing
        is corrupted, and the colours of all N patches are predicted.
    keep : bool
        As in `vit`.

    Returns
    -------
    logits : array [B*n, 8^C], image by image, and the cache, whose tree has the parameters' names

    Raises
    ------
    UsageError
        If the images are not of the size that the model takes.
    """
    config.vit.check_images(images)
    pool, position, (encoder_block, _) = POOL[config.vit.pool], stem_of(config.vit), block_of(config.vit)
    xp, c = xp_of(images), {}
    all_patches = xp.broadcast_to(xp.arange(config.patches), (len(images), config.patches))
    source, chosen = masks.get("source", all_patches), masks.get("chosen", all_patches)
    z, c["patch"] = patch_embedding(images, p["patch"], patch=config.vit.patch)
    z, c["mask"] = corrupt(z, p["mask"], source)
    z, c["cls"] = pool.token(z, p["cls"])
    z, c["pos"] = position.forward(z, p["pos"])  # (1)
    z, c["dropout"] = dropout(z, masks.get("stem"))
    c["blocks"] = []
    block_masks = masks.get("blocks", [NO_MASKS] * config.depth)
    for block, m in zip(PLACEMENT[config.vit.position_at].blocks(p), block_masks, strict=True):
        z, cache = encoder_block(z, block, masks=m)  # (2), (3)
        c["blocks"].append(cache if keep else {})
        del cache
    z, c["chosen"] = take_rows(z, chosen + pool.tokens)  # [B, T, D] -> [B, n, D]
    z, c["ln"] = layer_norm(z, p["ln"], eps=config.vit.eps)
    y, c["head"] = linear(z, p["head"])
    return y.reshape(-1, config.classes), c  # [B, n, 8^C] -> [B*n, 8^C]


def masked_backward(dy, p, c, config):
    """The forward pass, line by line in reverse.

    Parameters
    ----------
    dy : array [B*n, 8^C]
        The gradient of the logits.

    Returns
    -------
    dimages : array [B, H, W, C]
    g : the gradients of all parameters, a tree like p
    """
    pool, position, (_, encoder_block_backward) = POOL[config.vit.pool], stem_of(config.vit), block_of(config.vit)
    placement, g = PLACEMENT[config.vit.position_at], {"blocks": []}
    dy = dy.reshape(*c["head"]["x"].shape[:2], -1)
    dz, g["head"] = linear_backward(dy, p["head"], c["head"])
    dz, g["ln"] = layer_norm_backward(dz, p["ln"], c["ln"])
    dz = take_rows_backward(dz, c["chosen"])
    for block, cache in zip(reversed(placement.blocks(p)), reversed(c["blocks"]), strict=True):
        dz, gradient = encoder_block_backward(dz, block, cache)  # (3), (2)
        g["blocks"].insert(0, gradient)
    dz = dropout_backward(dz, c["dropout"])
    dz, g["pos"] = position.backward(dz, p["pos"], c["pos"])  # (1)
    dz, g["cls"] = pool.token_backward(dz, p["cls"], c["cls"])
    dz, g["mask"] = corrupt_backward(dz, c["mask"])
    dimages, g["patch"] = patch_embedding_backward(dz, p["patch"], c["patch"])
    return dimages, placement.gradients(g)
