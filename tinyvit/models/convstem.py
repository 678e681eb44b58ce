"""A Vision Transformer with a convolutional stem.

Xiao et al. 2021, "Early Convolutions Help Transformers See Better".

The ViT's first layer is a convolution as well, with kernel and stride P: large, visiting each pixel once, and nothing
else in the network is like it. In its place stand a few small convolutions, whose windows overlap. Neighbouring pixels
are compared before the image is cut, so attention is spared from learning what edges are; training needs fewer steps,
and bears larger ones. As in the hybrid, the Transformer takes their map for an image.

In the paper each convolution is followed by batch normalisation and a ReLU, here by a GELU, as in the CNN. Its last,
of a single pixel, is the patch embedding here; and its Transformer has a block less, to take no more multiply-adds.
"""

from dataclasses import dataclass

from numpy.random import Generator
from numpy.typing import DTypeLike

from tinyvit.annotations import Array, Masks, Tree
from tinyvit.errors import UsageError
from tinyvit.layers.convolutions import convolutions, convolutions_backward, convolutions_init
from tinyvit.layers.recompute import NotKept
from tinyvit.models.config import check_config, check_images
from tinyvit.models.map_config import MapConfig
from tinyvit.models.sizes import check_whole
from tinyvit.models.vit import vit, vit_backward, vit_init
from tinyvit.ops.dropout import NO_MASKS


@dataclass(frozen=True)
class ConvStemConfig(MapConfig):
    """The configuration of a Vision Transformer with a convolutional stem; the defaults are a ViT-B's.

    Parameters
    ----------
    vit : ViTConfig
        Of the Transformer, for the map; its image and channels follow from the stem. A dictionary, as JSON has it,
        becomes one.
    image : int
        Side of the (square) images, in pixels.
    channels : int
        3 for colour, 1 for grey.
    widths : tuple of int
        The channels that come out of each convolution of the stem, in order; each halves the sides.

    Raises
    ------
    UsageError
        If the sizes do not fit each other.
    """

    network, shortened_by, fewest_halvings = "stem", "widths", 1

    widths: tuple = (64, 128, 256, 512)

    def __post_init__(self):
        if not isinstance(self.widths, tuple | list) or not self.widths:
            raise UsageError(f"widths are {self.widths!r}: expected the channels of each convolution, at least one")
        object.__setattr__(self, "widths", tuple(self.widths))  # a list, as JSON has it
        for number, width in enumerate(self.widths, 1):
            check_whole(f"width {number}", width)
        super().__post_init__()

    @property
    def halvings(self) -> int:
        """How often the stem halves the sides."""
        return len(self.widths)

    @property
    def features(self) -> int:
        """The map's channels."""
        return self.widths[-1]


def convstem_init(rng: Generator | None, config: ConvStemConfig, *, dtype: DTypeLike = "float32") -> Tree:
    """The parameters: those of `vit_init`, and stem, those of `convolutions_init`. With rng=None, the shapes alone."""
    check_config(config, ConvStemConfig)
    p = {"stem": convolutions_init(rng, config.channels, config.widths, dtype=dtype)}
    return p | vit_init(rng, config.vit, dtype=dtype)


def convstem(
    images: Array,
    p: Tree,
    config: ConvStemConfig,
    *,
    masks: Masks = NO_MASKS,
    all_rows: bool = True,
    keep_cache: bool | str = True,
    freeze: int = 0,
) -> tuple[Array, Tree]:
    """Classify images: logits = ViT(convolutions(images)).

    Parameters
    ----------
    images : array [B, H, W, C]
    p : the tree of `convstem_init`
    config : ConvStemConfig
    masks, all_rows, keep_cache, freeze
        As in `vit`; what is frozen with the blocks is the stem too.

    Returns
    -------
    logits : array [B, K], and the cache of `vit`, with stem

    Raises
    ------
    UsageError
        If the images are not of the size that the model takes.
    """
    check_images(images, config, ConvStemConfig)
    features, c_stem = convolutions(images, p["stem"])  # [B, H, W, C] -> [B, H/16, W/16, 512]
    if freeze or not keep_cache:
        c_stem = NotKept()
    logits, c = vit(features, p, config.vit, masks=masks, all_rows=all_rows, keep_cache=keep_cache, freeze=freeze)
    return logits, {"stem": c_stem} | c


def convstem_backward(
    dlogits: Array, p: Tree, c: Tree, config: ConvStemConfig, *, freeze: int = 0
) -> tuple[Array | None, Tree]:
    """The forward pass in reverse.

    Parameters
    ----------
    dlogits : array [B, K]
    freeze : int
        As in `vit_backward`.

    Returns
    -------
    dimages : array [B, H, W, C]; None where blocks are frozen
    g : the gradients of all parameters, a tree like p; of those that are not frozen
    """
    dfeatures, g = vit_backward(dlogits, p, c, config.vit, freeze=freeze)
    if freeze:
        return None, g
    dimages, g["stem"] = convolutions_backward(dfeatures, p["stem"], c["stem"])
    return dimages, g
