"""What a model makes of images, for others to use: the features before its head, or after any of its blocks."""

import numpy as np

from tinyvit.arrays import to_host, xp_of
from tinyvit.errors import UsageError
from tinyvit.layers.pool import WITHOUT_CLASS_TOKEN
from tinyvit.models.model import model_of
from tinyvit.training.memory import keep_freed_memory

POOLS = ("class", "mean")  # of a layer


def features_of(images, p, config, *, layer=None, pool=None, batch=4):
    """Features [N, D] of images [N, H, W, C], on the host.

    Parameters
    ----------
    images : array [N, H, W, C]
    p, config
        The model: one whose `views` have "cut" and "stream".
    layer : int, optional
        The residual stream after so many blocks, 1 to L, as it is; of a Swin, the blocks of all stages count. Without
        it, what the head reads: the class token (or the mean) after the last block and the last LayerNorm, and the
        pre-logits layer where there is one.
    pool : "class" or "mean", optional
        The class token, or the mean over the patches; without it, which of them the model's head reads. The other is of
        a layer only, and a class token of a model that has one.
    batch : int
        Images computed at once. Each keeps its whole cache, some 140 MB for ViT-B/16, and more are no faster.

    Raises
    ------
    UsageError
        If there is no such layer or no class token, or the mean is asked for without a layer.
    """
    views = model_of(config).views
    reads, class_token = views["pool"](config), views["pool"](config) not in WITHOUT_CLASS_TOKEN
    reads = "class" if reads == "class" else "mean"
    pool = reads if pool is None else pool
    if pool not in POOLS:
        raise UsageError(f"pool {pool!r}: expected one of {', '.join(POOLS)}")
    if pool == "class" and not class_token:
        raise UsageError("the model has no class token: its features are the mean over the patches, pool mean")
    if layer is None and pool != reads:
        raise UsageError("the mean over the patches is of a layer: say which")
    if layer is not None and not 1 <= layer <= views["blocks"](config):
        raise UsageError(f"layer {layer}: expected 1 to {views['blocks'](config)}, the model's blocks")
    keep_freed_memory()
    if layer is not None:  # the model cut off behind this block; its head is not looked at
        p, config = views["cut"](p, config, layer)
    width = len(p["head"]["w"] if layer is None else p["ln"]["gamma"])
    found = [_features(images[i : i + batch], p, config, layer, pool) for i in range(0, len(images), batch)]
    return np.concatenate(found) if found else np.empty((0, width), np.float32)


def _features(images, p, config, layer, pool):
    whole = layer is not None and pool == "mean"
    model = model_of(config)
    _, c = model.forward({"images": xp_of(p["head"]["w"]).asarray(images)}, p, config, all_rows=whole)
    if layer is None:
        return to_host(c["head"]["x"])
    z = to_host(model.views["stream"](c, config))  # [B, T, D], or the class row alone
    first = int(model.views["pool"](config) not in WITHOUT_CLASS_TOKEN)
    return z[:, first:].mean(axis=1) if whole else z[:, 0]
