"""Swin: a pyramid of Transformers with shifted windows (Liu et al., "Swin Transformer", ICCV 2021).

Two answers to one question, what to do when an image has too many patches for everybody to look at everybody. Attention
stays within windows, and windows move from block to block. And the map becomes smaller: between stages four tokens are
merged into one of twice the width, as in a convolutional network, so that the same window sees four times as much.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import DTypeLike

from tinyvit.annotations import Array, Masks, Tree
from tinyvit.errors import UsageError
from tinyvit.layers.embedding import patch_embedding, patch_embedding_backward, patch_embedding_init
from tinyvit.layers.initializers import zeros
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward, layer_norm_init
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.patch_merging import patch_merging, patch_merging_backward, patch_merging_init
from tinyvit.layers.pool import mean_readout, mean_readout_backward
from tinyvit.layers.recompute import NotKept, run_block, whole_cache
from tinyvit.layers.swin_block import swin_block, swin_block_backward, swin_block_init
from tinyvit.models.config import Config, check_config, check_images
from tinyvit.models.sizes import check_whole
from tinyvit.ops.dropout import NO_MASKS, dropout_mask
from tinyvit.ops.gelu import GELU


@dataclass(frozen=True)
class SwinConfig(Config):
    """The configuration of a Swin Transformer; the defaults are Swin-T as in the paper.

    Parameters
    ----------
    image : int
        Side of the (square) images, in pixels.
    channels : int
        3 for colour, 1 for grey.
    patch : int
        Side of a patch, in pixels; divides image.
    dim : int
        C: width of the tokens in the first stage; every further stage doubles it.
    depths : tuple of int
        Blocks of each stage.
    heads : tuple of int
        Attention heads of each stage; each divides its width.
    window : int
        M: side of a window, in tokens. Where the map is no larger, the window is the map, and nothing is shifted.
    mlp_ratio : int
        Hidden width of the MLPs, in widths of their tokens.
    classes : int
        K: number of classes.
    gelu : str
        "erf" (exact) or "tanh".
    eps : float
        Added to the variance in every LayerNorm.
    drop_path : float
        Rate, in [0, 1), with which the last block leaves a branch out in training; the first never does, and those
        between rise evenly.

    Raises
    ------
    UsageError
        If the sizes do not fit each other.
    """

    image: int = 224
    channels: int = 3
    patch: int = 4
    dim: int = 96
    depths: tuple = (2, 2, 6, 2)
    heads: tuple = (3, 6, 12, 24)
    window: int = 7
    mlp_ratio: int = 4
    classes: int = 1000
    gelu: str = "erf"
    eps: float = 1e-5
    drop_path: float = 0.0

    def __post_init__(self):
        for name in ("image", "channels", "patch", "dim", "window", "mlp_ratio", "classes"):
            check_whole(name, getattr(self, name))
        for name in ("depths", "heads"):
            values = getattr(self, name)
            if not isinstance(values, tuple | list) or not values:
                raise UsageError(f"{name} are {values!r}: expected a whole number for each stage")
            object.__setattr__(self, name, tuple(values))  # a list, as JSON has it
            for value in values:
                check_whole(name, value)
        if len(self.depths) != len(self.heads):
            raise UsageError(f"there are {len(self.depths)} depths and {len(self.heads)} heads: expected as many")
        for name, least, below in (("eps", 1e-30, 1), ("drop_path", 0, 1)):
            if type(getattr(self, name)) not in (int, float) or not least <= getattr(self, name) < below:
                raise UsageError(
                    f"{name} is {getattr(self, name)!r}: expected a number from {least:g} to below {below}"
                )
        if self.gelu not in GELU:
            raise UsageError(f"gelu is {self.gelu!r}: expected one of {', '.join(GELU)}")
        if self.image % self.patch:
            raise UsageError(f"patch {self.patch} does not divide image {self.image}: choose a patch that does")
        if 1 in self.sides[:-1]:
            stage = 1 + self.sides.index(1)
            advice = "take fewer stages, a smaller patch or a larger image"
            raise UsageError(f"stage {stage} has a map of 1 x 1 token, and merging takes 2 x 2: {advice}")
        for width, heads in zip(self.widths, self.heads, strict=True):
            if width % heads:
                raise UsageError(f"heads {heads} does not divide the width {width} of its stage: choose one that does")

    @property
    def widths(self) -> tuple[int, ...]:
        """The width of each stage: C, 2C, 4C, ..."""
        return tuple(self.dim * 2**stage for stage in range(len(self.depths)))

    @property
    def sides(self) -> tuple[int, ...]:
        """The side of each stage's map, in tokens; merging halves it, rounded up."""
        sides = [self.image // self.patch]
        for _ in self.depths[1:]:
            sides.append(-(-sides[-1] // 2))
        return tuple(sides)

    def first_of(self, stage: int) -> int:
        """The number, counted through all stages, of a stage's first block."""
        return sum(self.depths[:stage])

    def window_of(self, stage: int) -> int:
        """The side of a stage's windows: M, or that of the map, if it is smaller."""
        return min(self.window, self.sides[stage])

    def shift_of(self, stage: int, block: int) -> int:
        """By how much a block displaces its windows: every other one by floor(M / 2), if there are several windows."""
        return self.window // 2 if block % 2 and self.sides[stage] > self.window else 0


def swin_init(rng: Generator | None, config: SwinConfig, *, dtype: DTypeLike = "float32") -> Tree:
    """The parameters of a Swin Transformer.

    Returns
    -------
    p : {patch {w, b}, patch_ln, stages [{blocks [{ln1, msa {q, k, v, o, table}, ln2, mlp}], merging {ln, reduction}}],
        ln, head {w, b}}
        The last stage has no merging. The head starts at zero, as ViT's. With rng=None, the shapes alone (see
        initializers).
    """
    check_config(config, SwinConfig, "Swin-T")
    p: Tree = {"patch": patch_embedding_init(rng, config.patch, config.channels, config.dim, dtype=dtype)}
    p["patch_ln"] = layer_norm_init(rng, config.dim, dtype=dtype)
    p["stages"] = []
    for number, (dim, depth, heads) in enumerate(zip(config.widths, config.depths, config.heads, strict=True)):
        sizes = (dim, heads, config.window_of(number), config.mlp_ratio * dim)
        stage = {"blocks": [swin_block_init(rng, *sizes, dtype=dtype) for _ in range(depth)]}
        if number + 1 < len(config.depths):
            stage["merging"] = patch_merging_init(rng, dim, dtype=dtype)
        p["stages"].append(stage)
    dim = config.widths[-1]
    p["ln"] = layer_norm_init(rng, dim, dtype=dtype)
    p["head"] = {"w": zeros(rng, (dim, config.classes), dtype), "b": zeros(rng, (config.classes,), dtype)}
    return p


def swin(
    images: Array,
    p: Tree,
    config: SwinConfig,
    *,
    masks: Masks = NO_MASKS,
    keep_cache: bool | str = True,
    freeze: int = 0,
) -> tuple[Array, Tree]:
    """Classify images.

        x = LN(patches E),    stage by stage: blocks, then merging,    logits = mean over tokens of LN(x), times w, + b

    There is no class token, and no table of positions: a block's bias says how far from each other two tokens are, and
    only within a window.

    Parameters
    ----------
    images : array [B, H, W, C]
    p : the tree of `swin_init`
    config : SwinConfig
    masks : tree, optional
        Drop path, of `swin_masks`, for training.
    keep_cache, freeze
        As in `vit`; blocks are counted through all stages, and a merging before a frozen block is frozen too.

    Returns
    -------
    logits : array [B, K], and the cache {patch, patch_ln, stages [{blocks, merging}], map, readout, head}
        map is the last stage's, [B, H', W', D]. Attention maps are by window: of the first block
        c["stages"][0]["blocks"][0]["msa"]["att"]["a"], [B n, h, M*M, M*M].

    Raises
    ------
    UsageError
        If the images are not of the size that the model takes.
    """
    check_images(images, config, SwinConfig, "Swin-T")
    c: Tree = {"stages": []}
    x, c["patch"] = patch_embedding(images, p["patch"], patch=config.patch)  # [B, N, C]
    x, c["patch_ln"] = layer_norm(x, p["patch_ln"], eps=config.eps)
    x = x.reshape(len(x), config.sides[0], config.sides[0], config.dim)
    for number, stage in enumerate(p["stages"]):
        drops = masks["stages"][number] if masks else [NO_MASKS] * len(stage["blocks"])
        cache: dict[str, Any] = {"blocks": []}
        for i, block in enumerate(stage["blocks"]):
            choices = dict(shift=config.shift_of(number, i), eps=config.eps)
            forward = partial(swin_block, heads=config.heads[number], masks=drops[i], **choices)
            keep = config.first_of(number) + i >= freeze and keep_cache
            x, c_block = run_block(forward, x, block, keep, gelu=config.gelu)
            cache["blocks"].append(c_block)
        if "merging" in stage:
            x, c_merging = patch_merging(x, stage["merging"], eps=config.eps)
            cache["merging"] = c_merging if config.first_of(number + 1) >= freeze and keep_cache else NotKept()
        c["stages"].append(cache)
    c["map"] = x
    y, c["readout"] = mean_readout(x.reshape(len(x), -1, x.shape[-1]), p["ln"], eps=config.eps)
    logits, c["head"] = linear(y, p["head"])
    return logits, c


def swin_backward(
    dlogits: Array, p: Tree, c: Tree, config: SwinConfig, *, freeze: int = 0
) -> tuple[Array | None, Tree]:
    """The forward pass in reverse.

    Parameters
    ----------
    dlogits : array [B, K]
    freeze : int
        As in `swin`: the way back ends above so many blocks.

    Returns
    -------
    dimages : array [B, H, W, C]; None where blocks are frozen
    g : the gradients of all parameters, a tree like p; of those that are not frozen
    """
    g: Tree = {"stages": [{"blocks": [{} for _ in stage["blocks"]]} for stage in p["stages"]]}
    dy, g["head"] = linear_backward(dlogits, p["head"], c["head"])
    dx, g["ln"] = mean_readout_backward(dy, p["ln"], c["readout"])
    dx = dx.reshape(c["map"].shape)
    for number in reversed(range(len(p["stages"]))):
        stage, cache, gradient = p["stages"][number], c["stages"][number], g["stages"][number]
        if "merging" in stage and config.first_of(number + 1) >= freeze:
            dx, gradient["merging"] = patch_merging_backward(dx, stage["merging"], cache["merging"])
        for i in reversed(range(max(0, freeze - config.first_of(number)), len(stage["blocks"]))):
            block, c_block, shift = stage["blocks"][i], whole_cache(cache["blocks"][i]), config.shift_of(number, i)
            dx, gradient["blocks"][i] = swin_block_backward(dx, block, c_block, shift=shift)
    if freeze:
        return None, g
    dx, g["patch_ln"] = layer_norm_backward(dx.reshape(len(dx), -1, config.dim), p["patch_ln"], c["patch_ln"])
    dimages, g["patch"] = patch_embedding_backward(dx, p["patch"], c["patch"])
    return dimages, g


def swin_masks(rng, config, batch, *, dtype="float32"):
    """Draw the masks of drop path for one training step: the tree that `swin` takes as `masks`; none at rate 0.

    The rate rises evenly from 0 in the first block to config.drop_path in the last.
    """
    if not config.drop_path:
        return NO_MASKS
    rates = iter(np.linspace(0, config.drop_path, sum(config.depths)))

    def masks():
        rate = float(next(rates))
        return {name: dropout_mask(rng, (batch, 1, 1, 1), rate, dtype) for name in ("msa", "mlp")}

    return {"stages": [[masks() for _ in range(depth)] for depth in config.depths]}
