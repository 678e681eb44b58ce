"""What masked patch prediction hides, and what it asks for (the ViT paper, appendix B.1.2)."""

from tinyvit.arrays import xp_of
from tinyvit.models.vit import vit_masks
from tinyvit.ops.patches import patchify

LEVELS = 8  # of each channel: 3 bits
REPLACED, EXCHANGED = 0.8, 0.1  # of the corrupted patches: by the mask, and by another patch; the rest stay


def masked_masks(rng, config, images, *, dtype="float32"):
    """Draw what is corrupted, how, and the dropout masks: the tree that `masked` takes as `masks`.

    Of each image's N patches, n are chosen, any n with the same probability. Of these, each for itself,

        80 %   are replaced by the mask        source = N
        10 %   by another patch of the image   source = any other, with the same probability
        10 %   stay as they are                source = their own

    The model is asked for the colours of all n: so it cannot rely on a patch that is not masked to be what it seems.

    Parameters
    ----------
    rng : numpy.random.Generator
    images : array [B, H, W, C], on the host

    Returns
    -------
    masks : {source [B, N], chosen [B, n]}, with those of `vit_masks`
    """
    xp, B, N, n = xp_of(images), len(images), config.patches, config.hidden
    chosen = rng.random((B, N)).argsort(axis=1)[:, :n]
    other = (chosen + rng.integers(1, N, size=(B, n))) % N
    share = rng.random((B, n))
    new = xp.where(share < REPLACED, N, xp.where(share < REPLACED + EXCHANGED, other, chosen))
    source = xp.arange(N) + xp.zeros((B, 1), int)
    source[xp.arange(B)[:, None], chosen] = new
    return {**vit_masks(rng, config.vit, B, dtype=dtype), "source": source, "chosen": chosen}


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


def hidden_colours(images, masks, config):
    """The targets of `masked`: the colours [B*n] of the patches that `masks` chose, image by image."""
    rows = xp_of(images).arange(len(images))[:, None]
    return patch_colours(images, config.vit.patch)[rows, masks["chosen"]].reshape(-1)
