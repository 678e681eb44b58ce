"""Masked patch prediction: a Vision Transformer that learns from images without labels (ViT paper, appendix B.1.2).

Half of the patches of an image are corrupted, and the model is asked for the mean colour of each of them. To answer, it
must use what the other patches say about this one, as BERT uses the words around a missing word (Devlin et al. 2019).
What it has learned is then the start of a classifier: `encoder_of`.
"""

from dataclasses import dataclass

import numpy as np

from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError
from tinyvit.layers.embedding import class_token, class_token_backward, patch_embedding, patch_embedding_backward
from tinyvit.layers.initializers import normal, zeros
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.position import position, position_backward
from tinyvit.models.config import LARGEST_MATRIX, Config, ViTConfig, check_images
from tinyvit.models.vit import encoder, encoder_backward, vit_init, vit_masks
from tinyvit.ops.corrupt import corrupt, corrupt_backward
from tinyvit.ops.dropout import NO_MASKS, dropout, dropout_backward
from tinyvit.ops.patches import patchify
from tinyvit.ops.take_rows import take_rows, take_rows_backward

ENCODER = ("patch", "cls", "pos", "blocks", "ln")  # the parameters that are also the ViT's
LEVELS = 8  # of each channel: 3 bits
REPLACED, EXCHANGED = 0.8, 0.1  # of the corrupted patches: by the mask, and by another patch; the rest stay


@dataclass(frozen=True)
class MaskedConfig(Config):
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
        if self.patches < 2 or not self.masked:
            raise UsageError(
                f"corrupted is {self.corrupted:g} of {self.patches} patches: expected at least one of two or more"
            )
        if self.classes * self.vit.dim > LARGEST_MATRIX:
            raise UsageError(f"{self.channels} channels have {LEVELS}^{self.channels} colours: expected fewer channels")

    @classmethod
    def settings(cls):
        """Those of the encoder, and the share."""
        return ViTConfig.settings() | {"corrupted": (cls, float)}

    def values(self):
        """The settings' values by name."""
        return self.vit.values() | {"corrupted": self.corrupted}

    def changed(self, **values):
        """The configuration with other values of some settings."""
        corrupted = values.pop("corrupted", self.corrupted)
        return MaskedConfig(self.vit.changed(**values), corrupted)

    @property
    def image(self):
        """Side of the images, in pixels, or height and width."""
        return self.vit.image

    @property
    def channels(self):
        """C."""
        return self.vit.channels

    @property
    def classes(self):
        """The colours that there are: 8^C, so 512 in colour and 8 in grey."""
        return LEVELS**self.channels

    @property
    def patches(self):
        """N, the patches of an image."""
        return self.vit.patches

    @property
    def masked(self):
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


def masked(images, p, config, *, masks=NO_MASKS, keep_cache=True):
    """Predict the mean colours of the corrupted patches.

        x_n = x_p^n E,    x~ = corrupt(x, mask, source)
        z_L = the encoder's output for [x_class; x~_1; ...; x~_N]      (1), (2), (3) of the ViT
        y_i = LN(z_L^n) w + b,    n = chosen_i

    Positions are added after the corruption: where a masked patch was is not masked.

    Parameters
    ----------
    images : array [B, H, W, C]
    p : the tree of `masked_init`
    config : MaskedConfig
    masks : tree, optional
        Of `masked_masks`: dropout masks as in `vit`, source [B, N], and chosen [B, n]. Without them nothing is
        corrupted, and the colours of all N patches are predicted.
    keep_cache : bool or "inputs"
        As in `vit`.

    Returns
    -------
    logits : array [B, n, 8^C], and the cache, whose tree has the parameters' names

    Raises
    ------
    UsageError
        If the images are not of the size that the model takes.
    """
    check_images(images, config)
    vit, xp, c = config.vit, xp_of(images), {}
    all_patches = xp.broadcast_to(xp.arange(config.patches), (len(images), config.patches))
    source, chosen = masks.get("source", all_patches), masks.get("chosen", all_patches)
    z, c["patch"] = patch_embedding(images, p["patch"], patch=vit.patch)
    z, c["mask"] = corrupt(z, p["mask"], source)
    if vit.class_token:
        z, c["cls"] = class_token(z, p["cls"])
    if vit.position_at == "stem":
        z, c["pos"] = position(z, p["pos"], kind=vit.position)  # (1)
    z, c["dropout"] = dropout(z, masks.get("stem"))
    z, c["blocks"] = encoder(z, p, vit, masks=masks, keep_cache=keep_cache)  # (2), (3)
    z, c["chosen"] = take_rows(z, chosen + int(vit.class_token))  # [B, T, D] -> [B, n, D]
    z, c["ln"] = layer_norm(z, p["ln"], eps=vit.eps)
    logits, c["head"] = linear(z, p["head"])
    return logits, c


def masked_backward(dlogits, p, c, config):
    """The forward pass, line by line in reverse.

    Parameters
    ----------
    dlogits : array [B, n, 8^C]
        The gradient of the logits.

    Returns
    -------
    dimages : array [B, H, W, C]
    g : the gradients of all parameters, a tree like p
    """
    vit, g = config.vit, {}
    dz, g["head"] = linear_backward(dlogits, p["head"], c["head"])
    dz, g["ln"] = layer_norm_backward(dz, p["ln"], c["ln"])
    dz = take_rows_backward(dz, c["chosen"])
    dz, g["blocks"], g["pos"] = encoder_backward(dz, p, c["blocks"], vit)  # (3), (2)
    dz = dropout_backward(dz, c["dropout"])
    if vit.position_at == "stem":
        dz, g["pos"] = position_backward(dz, p["pos"], c["pos"], kind=vit.position)  # (1)
    g["cls"] = {}
    if vit.class_token:
        dz, g["cls"] = class_token_backward(dz, p["cls"], c["cls"])
    dz, g["mask"] = corrupt_backward(dz, c["mask"])
    dimages, g["patch"] = patch_embedding_backward(dz, p["patch"], c["patch"])
    return dimages, g


def masked_masks(rng, config, batch, *, dropout=True, dtype="float32"):
    """Draw what is corrupted, how, and the dropout masks: the tree that `masked` takes as `masks`.

    Of each image's N patches, n are chosen, any n with the same probability. Of these, each for itself,

        80 %   are replaced by the mask        source = N
        10 %   by another patch of the image   source = any other, with the same probability
        10 %   stay as they are                source = their own

    The model is asked for the colours of all n: so it cannot rely on a patch that is not masked to be what it seems.

    Parameters
    ----------
    rng : numpy.random.Generator
    config : MaskedConfig
    batch : int
        B.
    dropout : bool
        False draws no dropout masks: for evaluation.

    Returns
    -------
    masks : {source [B, N], chosen [B, n]}, with those of `vit_masks`
    """
    B, N, n = batch, config.patches, config.masked
    chosen = rng.random((B, N)).argsort(axis=1)[:, :n]
    other = (chosen + rng.integers(1, N, size=(B, n))) % N
    share = rng.random((B, n))
    new = np.where(share < REPLACED, N, np.where(share < REPLACED + EXCHANGED, other, chosen))
    source = np.arange(N) + np.zeros((B, 1), int)
    source[np.arange(B)[:, None], chosen] = new
    masks = vit_masks(rng, config.vit, B, dtype=dtype) if dropout else NO_MASKS
    return {**masks, "source": source, "chosen": chosen}


def patch_colours(images, patch):
    """The mean colour of each patch, in 3 bits for each channel: integers [B, N] below 8^C, in raster order.

    Each channel's mean, from -1 to 1, falls into one of 8 equal parts; what lies outside counts as the end's. The first
    channel has the lowest three bits.

    Parameters
    ----------
    images : array [B, H, W, C]
        As the model sees them: after augmentation, from -1 to 1.
    patch : int
    """
    xp, (B, _, _, C) = xp_of(images), images.shape
    means = patchify(images, patch)[0].reshape(B, -1, patch * patch, C).mean(axis=2)
    levels = ((means + 1) * (LEVELS / 2)).astype(int).clip(0, LEVELS - 1)
    return (levels * LEVELS ** xp.arange(C)).sum(axis=-1)


def masked_colours(images, masks, config):
    """The targets of `masked`: the colours [B, n] of the patches that `masks` chose."""
    rows = xp_of(images).arange(len(images))[:, None]
    return patch_colours(images, config.vit.patch)[rows, masks["chosen"]]
