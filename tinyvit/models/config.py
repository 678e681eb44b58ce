"""Configurations: the sizes of a model and its choices, checked when one is made."""

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from tinyvit.annotations import Array
from tinyvit.errors import UsageError
from tinyvit.layers.attend import ATTENTION
from tinyvit.layers.block import BLOCKS
from tinyvit.layers.pool import READOUTS, WITHOUT_CLASS_TOKEN
from tinyvit.layers.position import POSITIONS
from tinyvit.models.sizes import LARGEST, ImageSize, check_whole, checked_size, in_pixels
from tinyvit.ops.gelu import GELU
from tinyvit.ops.resize import both_sides
from tinyvit.ops.scale import SCALES

DEEPEST = 1_000
LARGEST_MATRIX = 2**40  # entries: so that no product of sizes overflows
CHOICES = {
    "pool": READOUTS,
    "position": POSITIONS,
    "position_at": ("stem", "layers", "shared"),
    "norm": BLOCKS,
    "scale": SCALES,
    "attention": ATTENTION,
    "gelu": GELU,
}


@dataclass(frozen=True)
class Config:
    """The parent of the models' configurations, which are frozen dataclasses.

    A setting is a field that a user may choose, by its name, in an option of the command. A configuration that holds
    another one has its settings too: it overrides `settings`, `values` and `changed`.
    """

    if TYPE_CHECKING:  # every configuration has these, as fields or as properties

        @property
        def image(self) -> ImageSize: ...
        @property
        def channels(self) -> int: ...
        @property
        def classes(self) -> int: ...

    @property
    def size(self) -> tuple[int, int]:
        """(H, W): height and width of the images, in pixels."""
        return both_sides(self.image)

    @classmethod
    def settings(cls) -> dict[str, tuple[Any, Any]]:
        """The settings: {name: (class whose docstring describes it, type)}."""
        return {f.name: (cls, f.type) for f in dataclasses.fields(cls)}

    def values(self) -> dict[str, Any]:
        """The settings' values by name."""
        return {name: getattr(self, name) for name in self.settings()}

    def changed(self, **values: Any) -> Self:
        """The configuration with other values of some settings."""
        return dataclasses.replace(self, **values)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The configuration that `dataclasses.asdict` took apart, for instance read from a file.

        Raises
        ------
        UsageError
            If a name is unknown or a value is not possible.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(values, dict) or not set(values) <= known:
            unknown = [name for name in values if name not in known] if isinstance(values, dict) else values
            raise UsageError(f"not a {cls.__name__}: unknown {unknown!r}, expected some of {', '.join(sorted(known))}")
        return cls(**values)

    def check_images(self, images: Array) -> None:
        """Raise UsageError unless images are [B, H, W, C] as this model takes them."""
        expected = (*self.size, self.channels)
        if images.ndim != 4 or images.shape[1:] != expected:
            sizes = ", ".join(map(str, expected))
            raise UsageError(
                f"images are {list(images.shape)}: the model takes [B, {sizes}] (batch, rows, columns, channels)"
            )


@dataclass(frozen=True)
class ViTConfig(Config):
    """The configuration of a Vision Transformer; the defaults are ViT-B/16 as in the paper.

    Parameters
    ----------
    image : int or (int, int)
        Side of square images, in pixels; or height and width.
    channels : int
        C: 3 for colour, 1 for grey.
    patch : int
        P: side of a patch, in pixels; divides both sides of the image.
    dim : int
        D: width of the tokens.
    depth : int
        L: number of encoder blocks.
    heads : int
        h: attention heads; divides dim.
    mlp_dim : int
        M: hidden width of the MLPs.
    classes : int
        K: number of classes.
    pool : str
        What the head reads: "class", the class token, "mean", the mean of all patches, where there is no class token,
        "patch_mean", that mean beside a class token, or "mean_norm" and "patch_mean_norm", with LayerNorm after the
        mean.
    position : str
        Position embedding: "1d" or "2d" (learned), "sinusoidal", "relative" or "none".
    position_at : str
        Where it enters: "stem", before the first block, "layers", in every block its own, or "shared", in every block
        the same. Relative positions have no stem.
    position_std : float
        Standard deviation with which learned positions start.
    norm : str
        Where LayerNorm stands in a block: "pre" or "post".
    scale : str
        Of the attention scores: "sqrt" (1 / sqrt(d)) or "none".
    gelu : str
        "erf" (exact) or "tanh".
    eps : float
        Added to the variance in every LayerNorm.
    dropout : float
        Rate, in [0, 1), after every dense layer but q, k, v, and after adding positions.
    pre_logits : int
        Width of the hidden tanh layer before the head; 0 for none.
    attention : str
        Which keys a query looks at: all ("full"), those of a pattern ("local", "window", "axial", "sliding", "strided"
        or "fixed", see layers/attend.py), or all by another formula ("linear").
    reach : int
        How far a pattern goes: the radius of "local" and "sliding", the side of a "window", the patches of a row that
        sum it up in "fixed".

    Raises
    ------
    UsageError
        If the sizes do not fit each other.
    """

    image: ImageSize = 224
    channels: int = 3
    patch: int = 16
    dim: int = 768
    depth: int = 12
    heads: int = 12
    mlp_dim: int = 3072
    classes: int = 1000
    pool: str = "class"
    position: str = "1d"
    position_at: str = "stem"
    position_std: float = 0.02
    norm: str = "pre"
    scale: str = "sqrt"
    gelu: str = "erf"
    eps: float = 1e-6
    dropout: float = 0.0
    pre_logits: int = 0
    attention: str = "full"
    reach: int = 1

    def __post_init__(self):
        object.__setattr__(self, "image", checked_size(self.image))  # frozen for everybody else
        for name in ("channels", "patch", "dim", "depth", "heads", "mlp_dim", "classes", "pre_logits", "reach"):
            most = DEEPEST if name == "depth" else LARGEST
            check_whole(name, getattr(self, name), int(name != "pre_logits"), most)
        for name, least, below in (("position_std", 0, 1e3), ("eps", 1e-30, 1), ("dropout", 0, 1)):
            value = getattr(self, name)
            if type(value) not in (int, float) or not least <= value < below:
                raise UsageError(f"{name} is {value!r}: expected a number from {least:g} to below {below:g}")
        for name, table in CHOICES.items():
            if getattr(self, name) not in list(table):
                raise UsageError(f"{name} is {getattr(self, name)!r}: expected one of {', '.join(table)}")
        if self.position_at == "stem" and POSITIONS[self.position].forward is None:
            raise UsageError(
                f"position {self.position} acts within attention: position_at is stem, expected layers or shared "
                "(--position-at)"
            )
        if self.attention == "linear" and self.position == "relative":
            raise UsageError("attention linear has no scores to which relative positions could be added: choose others")
        common = math.gcd(*self.size)
        if common % self.patch:
            raise UsageError(
                f"patch {self.patch} does not divide image {in_pixels(self.image)}: choose a patch that "
                f"does{_near(common)}"
            )
        if self.attention == "fixed" and self.reach > self.grid_size[1]:
            raise UsageError(
                f"attention fixed: reach is {self.reach}, expected at most {self.grid_size[1]}, the patches of a row"
            )
        if self.position == "2d" and not isinstance(self.image, int):
            raise UsageError(
                f"position 2d is of square images, image is {in_pixels(self.image)}: choose another, such as 1d"
            )
        largest = (
            max(self.patch**2 * self.channels, self.tokens, self.dim, self.mlp_dim, self.classes, self.pre_logits)
            * self.dim
        )
        if largest > LARGEST_MATRIX:
            raise UsageError(f"the largest matrix would have {largest} entries: expected at most {LARGEST_MATRIX}")
        if self.dim % self.heads:
            raise UsageError(
                f"heads {self.heads} does not divide dim {self.dim}: choose a number that does{_near(self.dim)}"
            )

    @property
    def grid(self) -> int:
        """Patches along one side of a square image, H/P. Other images have none: see grid_size."""
        if not isinstance(self.image, int):
            raise UsageError(f"images of {in_pixels(self.image)} pixels are not square: expected square ones")
        return self.image // self.patch

    @property
    def grid_size(self) -> tuple[int, int]:
        """(H/P, W/P): rows and columns of patches."""
        height, width = self.size
        return height // self.patch, width // self.patch

    @property
    def patches(self) -> int:
        """N, the patches of an image: HW / P^2."""
        rows, columns = self.grid_size
        return rows * columns

    @property
    def class_token(self) -> bool:
        """Whether there is a class token before the patches: as `pool` says."""
        return self.pool not in WITHOUT_CLASS_TOKEN

    @property
    def tokens(self) -> int:
        """T: the patches and the class token, N + 1; without a class token, N."""
        return self.patches + self.class_token


def _near(n):
    """The divisors of n, for an error message."""
    divisors = [d for d in range(1, n + 1) if n % d == 0]
    return f", one of {', '.join(map(str, divisors))}" if len(divisors) <= 24 else ""


def check_config(config: Any, kind: type[Config] = Config, preset: str = "digits") -> None:
    """Raise UsageError unless it is a configuration (of that kind); the name of a preset is the usual mistake."""
    if not isinstance(config, kind):
        wanted = "configuration" if kind is Config else kind.__name__
        raise UsageError(f"found {config!r}: expected a {wanted}, such as tinyvit.PRESETS[{preset!r}]")


def check_images(images: Any, config: Config, kind: type[Config] = Config, preset: str = "digits") -> None:
    """Raise UsageError unless images are [B, H, W, C] as the model of a configuration (of that kind) takes them."""
    check_config(config, kind, preset)
    if not hasattr(images, "ndim"):
        raise UsageError(f"found a {type(images).__name__}: expected images, an array [B, H, W, C]")
    config.check_images(images)
