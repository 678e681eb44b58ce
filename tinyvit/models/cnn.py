"""A small convolutional network: what the Vision Transformer is compared with (the ViT paper's ResNet, in little).

What it knows about images before it has seen any, its inductive bias, lies in its form. Each convolution looks at a
window of 3 x 3 neighbours: what belongs together is near. And its weights are the same at every place: if the image is
shifted, its features are shifted, and nothing else changes (translation equivariance); the mean over all places then
does not see where they were. A ViT has to learn both from the images: its attention reaches everywhere from the first
block on, and where a patch is it is told by a table that starts at random. Only within its patches is it local, and
only from patch to patch, and from token to token, does it share weights.
"""

from dataclasses import dataclass

from tinyvit.errors import UsageError
from tinyvit.layers.convolutions import convolutions, convolutions_backward, convolutions_init
from tinyvit.layers.initializers import zeros
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.models.config import Config, check_images
from tinyvit.models.sizes import check_whole
from tinyvit.ops.mean_row import mean_row, mean_row_backward


@dataclass(frozen=True)
class CNNConfig(Config):
    """The configuration of a CNN; the defaults are for MNIST, with about as many parameters as PRESETS["mnist"].

    Parameters
    ----------
    image : int
        Side of the (square) images, in pixels; of any size.
    channels : int
        C: 3 for colour, 1 for grey.
    classes : int
        K: number of classes.
    widths : tuple of int
        The channels that come out of each convolution, in order. A list, as JSON has it, becomes a tuple.

    Raises
    ------
    UsageError
        If a value is not possible.
    """

    image: int = 28
    channels: int = 1
    classes: int = 10
    widths: tuple = (32, 64, 128)

    def __post_init__(self):
        if not isinstance(self.widths, tuple | list) or not self.widths:
            raise UsageError(f"widths are {self.widths!r}: expected the channels of each convolution, at least one")
        object.__setattr__(self, "widths", tuple(self.widths))  # the dataclass is frozen for everybody else
        sizes = {name: getattr(self, name) for name in ("image", "channels", "classes")}
        for name, value in [*sizes.items(), *((f"width {i}", width) for i, width in enumerate(self.widths, 1))]:
            check_whole(name, value)


def cnn_init(rng, config, *, dtype="float32"):
    """The parameters of a CNN: {convolutions [{w [3, 3, C, D], b [D]}, ...], head {w, b}}.

    The head starts at zero, as the ViT's. With rng=None, the shapes alone (see initializers).
    """
    p = {"convolutions": convolutions_init(rng, config.channels, config.widths, dtype=dtype)}
    shape = (config.widths[-1], config.classes)
    return p | {"head": {"w": zeros(rng, shape, dtype), "b": zeros(rng, shape[1:], dtype)}}


def cnn(images, p, config):
    """Classify images: logits = mean over places of convolutions(images), times w, + b.

    Parameters
    ----------
    images : array [B, H, W, C]
    p : the tree of `cnn_init`
    config : CNNConfig

    Returns
    -------
    logits : array [B, K], and the cache {convolutions [{convolution, gelu}, ...], places, mean_row, head}
        places are the last convolution's, [B, H', W', D].

    Raises
    ------
    UsageError
        If the images are not of the size that the model takes.
    """
    check_images(images, config)
    c = {}
    x, c["convolutions"] = convolutions(images, p["convolutions"])
    c["places"] = x
    x, c["mean_row"] = mean_row(x.reshape(len(x), -1, x.shape[-1]))  # [B, H', W', D] -> [B, H'W', D] -> [B, D]
    logits, c["head"] = linear(x, p["head"])
    return logits, c


def cnn_backward(dy, p, c, config):
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
    g = {}
    dx, g["head"] = linear_backward(dy, p["head"], c["head"])
    dx = mean_row_backward(dx, c["mean_row"]).reshape(c["places"].shape)
    dimages, g["convolutions"] = convolutions_backward(dx, p["convolutions"], c["convolutions"])
    return dimages, g
