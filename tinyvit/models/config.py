"""What a Vision Transformer is made of: its sizes and its choices, and the sizes that have names."""

import dataclasses
from dataclasses import dataclass

from tinyvit.errors import UsageError
from tinyvit.layers.pool import POOL
from tinyvit.layers.position import POSITION
from tinyvit.models.blocks import NORM
from tinyvit.models.placement import PLACEMENT
from tinyvit.ops.gelu import GELU
from tinyvit.ops.scale import SCALE

LARGEST = 100_000  # of any size: far beyond every model
DEEPEST = 1_000
LARGEST_MATRIX = 2**40  # entries: so that no product of sizes overflows
CHOICES = {"pool": POOL, "position": POSITION, "position_at": PLACEMENT, "norm": NORM, "scale": SCALE, "gelu": GELU}


@dataclass(frozen=True)
class ViTConfig:
    """The configuration of a Vision Transformer; the defaults are ViT-B/16 as in the paper.

    Parameters
    ----------
    image : int
        Side of the (square) images, in pixels.
    channels : int
        C: 3 for colour, 1 for grey.
    patch : int
        P: side of a patch, in pixels; divides image.
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
        What the head reads: "class", the class token, or "mean", the mean of all patches; there is no class token then.
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

    Raises
    ------
    UsageError
        If the sizes do not fit each other.
    """

    image: int = 224
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

    def __post_init__(self):
        for name in ("image", "channels", "patch", "dim", "depth", "heads", "mlp_dim", "classes", "pre_logits"):
            least, most = int(name != "pre_logits"), DEEPEST if name == "depth" else LARGEST
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise UsageError(f"{name} is {value!r}: expected a whole number from {least} to {most}")
        for name, least, below in (("position_std", 0, 1e3), ("eps", 1e-30, 1), ("dropout", 0, 1)):
            value = getattr(self, name)
            if type(value) not in (int, float) or not least <= value < below:
                raise UsageError(f"{name} is {value!r}: expected a number from {least:g} to below {below:g}")
        for name, table in CHOICES.items():
            if getattr(self, name) not in list(table):
                raise UsageError(f"{name} is {getattr(self, name)!r}: expected one of {', '.join(table)}")
        if self.position_at == "stem" and POSITION[self.position].forward is None:
            raise UsageError(
                f"position {self.position} acts within attention: position_at is stem, expected layers or shared "
                "(--position-at)"
            )
        if self.image % self.patch:
            raise UsageError(
                f"patch {self.patch} does not divide image {self.image}: choose a patch that does{_near(self.image)}"
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
    def grid(self):
        """Patches along one side, H/P."""
        return self.image // self.patch

    @property
    def tokens(self):
        """T: the patches and the class token, N + 1; without a class token, N."""
        return self.grid**2 + POOL[self.pool].tokens

    def check_images(self, images):
        """Raise UsageError unless images are [B, H, W, C] as this model takes them."""
        expected = (self.image, self.image, self.channels)
        if images.ndim != 4 or images.shape[1:] != expected:
            sizes = ", ".join(map(str, expected))
            raise UsageError(
                f"images are {list(images.shape)}: the model takes [B, {sizes}] (batch, rows, columns, channels)"
            )

    @classmethod
    def from_dict(cls, values):
        """The configuration that `dataclasses.asdict` took apart, for instance read from a file.

        Raises
        ------
        UsageError
            If a name is unknown or a value is not possible.
        """
        known = {f.name for f in dataclasses.fields(cls)}
        if not isinstance(values, dict) or not set(values) <= known:
            unknown = [name for name in values if name not in known] if isinstance(values, dict) else values
            raise UsageError(
                f"not a ViT configuration: unknown {unknown!r}, expected some of {', '.join(sorted(known))}"
            )
        return cls(**values)


def _near(n):
    """The divisors of n, for an error message."""
    divisors = [d for d in range(1, n + 1) if n % d == 0]
    return f", one of {', '.join(map(str, divisors))}" if len(divisors) <= 24 else ""


def _presets():
    sizes = {  # dim, depth, heads, mlp_dim: table 1 of the paper; Ti and S of Touvron et al. 2021
        "Ti": (192, 12, 3, 768),
        "S": (384, 12, 6, 1536),
        "B": (768, 12, 12, 3072),
        "L": (1024, 24, 16, 4096),
        "H": (1280, 32, 16, 5120),
    }
    presets = {
        f"{name}/{patch}": ViTConfig(patch=patch, dim=dim, depth=depth, heads=heads, mlp_dim=mlp_dim)
        for name, (dim, depth, heads, mlp_dim) in sizes.items()
        for patch in (8, 14, 16, 32)
    }
    small = dict(channels=1, heads=4, classes=10, position_std=0.5)
    presets["digits"] = ViTConfig(image=8, patch=2, dim=32, depth=3, mlp_dim=128, **small)
    presets["mnist"] = ViTConfig(image=28, patch=7, dim=64, depth=2, mlp_dim=256, **small)
    presets["fashion-mnist"] = presets["mnist-quick"] = presets["mnist"]
    presets["mnist-best"] = dataclasses.replace(presets["mnist"], dim=128, mlp_dim=512)
    colour = dict(channels=3, heads=4, classes=10, position_std=0.5)
    presets["cifar-10"] = presets["pictures"] = ViTConfig(image=32, patch=4, dim=64, depth=4, mlp_dim=256, **colour)
    return presets


PRESETS = _presets()
