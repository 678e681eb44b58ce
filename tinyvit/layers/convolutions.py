"""A stack of convolutions of 3 x 3 pixels and stride 2: each halves height and width, and a GELU follows it.

The same window sees twice as much of the image in each further one. A CNN is such a stack and a head; a Vision
Transformer with a convolutional stem cuts its patches from such a stack's map (Xiao et al. 2021).
"""

import math

from tinyvit.layers.initializers import normal, zeros
from tinyvit.ops.convolution import convolution, convolution_backward
from tinyvit.ops.gelu import gelu, gelu_backward

KERNEL, STRIDE = 3, 2


def convolutions_init(rng, channels, widths, *, dtype="float32"):
    """Parameters [{w [3, 3, C, D], b [D]}, ...], where the first C is `channels` and the D are the widths.

    Kernels have variance 2 / fan_in (He et al. 2015), over the fan_in = 9 C numbers of a window: a GELU halves the
    mean square of what goes through it, nearly, and the 2 makes up for that.
    """
    p = []
    for width in widths:
        shape, std = (KERNEL, KERNEL, channels, width), math.sqrt(2 / (KERNEL * KERNEL * channels))
        p.append({"w": normal(rng, shape, std, dtype), "b": zeros(rng, (width,), dtype)})
        channels = width
    return p


def convolutions(x, p):
    """From images to a map of features.

        x_l = GELU(x_{l-1} * w_l + b_l),    where * is a convolution of stride 2

    Parameters
    ----------
    x : array [B, H, W, C]
    p : [{w [3, 3, C, D], b [D]}, ...]

    Returns
    -------
    y : array [B, H', W', D], where H' is H / 2^L, rounded up at each of the L layers
    cache : [{convolution, gelu}, ...]
    """
    c = [{} for _ in p]
    for layer, cache in zip(p, c, strict=True):
        x, cache["convolution"] = convolution(x, layer["w"], layer["b"], STRIDE)
        x, cache["gelu"] = gelu(x)
    return x, c


def convolutions_backward(dx, p, c):
    """The forward pass, line by line in reverse. Returns the gradient of the images and g, a list like p."""
    g = [{} for _ in p]
    for gradient, cache in zip(reversed(g), reversed(c), strict=True):
        dx = gelu_backward(dx, cache["gelu"])
        dx, gradient["w"], gradient["b"] = convolution_backward(dx, cache["convolution"], STRIDE)
    return dx, g
