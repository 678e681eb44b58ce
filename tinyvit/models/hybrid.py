"""The hybrid: convolution first, then attention (ViT paper, section 3.1, "Hybrid Architecture").

A ResNet turns the image into a map of features, and the Vision Transformer takes that map for an image: of 14 x 14
pixels with 1,024 channels, say, and with patches of a single pixel. Not a line of it is different.
"""

from dataclasses import dataclass

from numpy.random import Generator
from numpy.typing import DTypeLike

from tinyvit.annotations import Array, Masks, Tree
from tinyvit.errors import UsageError
from tinyvit.layers.bottleneck import WIDER
from tinyvit.layers.recompute import NotKept
from tinyvit.layers.resnet import resnet, resnet_backward, resnet_features, resnet_init
from tinyvit.models.config import check_config, check_images
from tinyvit.models.map_config import MapConfig
from tinyvit.models.sizes import check_whole
from tinyvit.models.vit import vit, vit_backward, vit_init
from tinyvit.ops.dropout import NO_MASKS
from tinyvit.ops.standardise import STANDARDISE


@dataclass(frozen=True)
class HybridConfig(MapConfig):
    """The configuration of a hybrid; the defaults are R50+ViT-B/16 as in the paper.

    Parameters
    ----------
    vit : ViTConfig
        Of the Transformer, for the map; its image and channels follow from the ResNet. A dictionary, as JSON has it,
        becomes one.
    image : int
        Side of the (square) images, in pixels.
    channels : int
        3 for colour, 1 for grey.
    units : tuple of int
        Bottleneck units of each stage of the ResNet. (3, 4, 9) divides the sides by 16, (3, 4, 6, 3) by 32; none is
        the stem alone, which divides them by 4.
    width : int
        Channels of the stem; each stage has four times as many, and doubles them.
    groups : int
        Of group normalisation; divides width.
    group_eps : float
        Added to the variance in every group normalisation.
    standardise : str
        "std" (Google's) or "var" (timm's, Hugging Face's): how kernels are standardised.

    Raises
    ------
    UsageError
        If the sizes do not fit each other.
    """

    network, shortened_by, fewest_halvings = "ResNet", "stages in units", 2

    units: tuple = (3, 4, 9)
    width: int = 64
    groups: int = 32
    group_eps: float = 1e-6
    standardise: str = "std"

    def __post_init__(self):
        for name in ("width", "groups"):
            check_whole(name, getattr(self, name))
        if not isinstance(self.units, tuple | list):
            raise UsageError(f"units are {self.units!r}: expected a whole number for each stage")
        object.__setattr__(self, "units", tuple(self.units))  # a list, as JSON has it
        for count in self.units:
            check_whole("units", count)
        if type(self.group_eps) not in (int, float) or not 1e-30 <= self.group_eps < 1:
            raise UsageError(f"group_eps is {self.group_eps!r}: expected a number from 1e-30 to below 1")
        if self.standardise not in STANDARDISE:
            raise UsageError(f"standardise is {self.standardise!r}: expected one of {', '.join(STANDARDISE)}")
        if self.width % self.groups:
            raise UsageError(f"groups {self.groups} does not divide width {self.width}: choose a number that does")
        super().__post_init__()

    @property
    def halvings(self) -> int:
        """How often the ResNet halves the sides: in its stem, in the pooling, in all stages but the first."""
        return 2 + max(len(self.units) - 1, 0)

    @property
    def features(self) -> int:
        """The map's channels."""
        return WIDER * self.width * 2 ** (len(self.units) - 1) if self.units else self.width


def hybrid_init(rng: Generator | None, config: HybridConfig, *, dtype: DTypeLike = "float32") -> Tree:
    """The parameters: those of `vit_init`, and resnet, those of `resnet_init`. With rng=None, the shapes alone."""
    check_config(config, HybridConfig, "R50+B/16")
    p = {"resnet": resnet_init(rng, config.channels, config.width, config.units, dtype=dtype)}
    return p | vit_init(rng, config.vit, dtype=dtype)


def hybrid(
    images: Array,
    p: Tree,
    config: HybridConfig,
    *,
    masks: Masks = NO_MASKS,
    all_rows: bool = True,
    keep_cache: bool | str = True,
    freeze: int = 0,
) -> tuple[Array, Tree]:
    """Classify images: logits = ViT(ResNet(images)).

    Parameters
    ----------
    images : array [B, H, W, C]
    p : the tree of `hybrid_init`
    config : HybridConfig
    masks, all_rows, keep_cache, freeze
        As in `vit`; what is frozen with the blocks is the ResNet too.

    Returns
    -------
    logits : array [B, K], and the cache of `vit`, with resnet

    Raises
    ------
    UsageError
        If the images are not of the size that the model takes.
    """
    check_images(images, config, HybridConfig, "R50+B/16")
    options = dict(groups=config.groups, eps=config.group_eps, kind=config.standardise)
    if keep_cache:  # [B, H, W, C] -> [B, H/16, W/16, 1024]
        features, c_resnet = resnet(images, p["resnet"], keep_cache=not freeze, **options)
    else:
        features, c_resnet = resnet_features(images, p["resnet"], **options), NotKept()
    logits, c = vit(features, p, config.vit, masks=masks, all_rows=all_rows, keep_cache=keep_cache, freeze=freeze)
    return logits, {"resnet": c_resnet} | c


def hybrid_backward(
    dlogits: Array, p: Tree, c: Tree, config: HybridConfig, *, freeze: int = 0
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
    dimages, g["resnet"] = resnet_backward(dfeatures, p["resnet"], c["resnet"], kind=config.standardise)
    return dimages, g
