"""The bottleneck unit of a ResNet with weight standardisation and group normalisation.

He et al. 2016; Kolesnikov et al. 2020 (BiT). In the hybrids of the ViT paper, section 3.1, a ResNet of such units
stands before the Transformer. Its normalisation follows the convolution and its last ReLU the sum, as in the first
ResNets; the stride is in the 3 x 3 convolution.
"""

import math

from tinyvit.layers.group_norm import group_norm, group_norm_backward, group_norm_init
from tinyvit.layers.initializers import normal, zeros
from tinyvit.ops.convolution import convolution, convolution_backward
from tinyvit.ops.relu import relu, relu_backward
from tinyvit.ops.standardise import standardise, standardise_backward

WIDER = 4  # the output has so many times the channels of the 3 x 3 convolution


def standardised_convolution_init(rng, kernel, channels, width, *, dtype="float32"):
    """Parameters {w [K, K, C, D], gn {gamma, beta [D]}}."""
    w = normal(rng, (kernel, kernel, channels, width), 1 / math.sqrt(kernel * kernel * channels), dtype)
    return {"w": w, "gn": group_norm_init(rng, width, dtype=dtype)}


def standardised_convolution(x, p, *, stride=1, groups=32, eps=1e-6, kind="std"):
    """y = GN(x * standardise(w)): a convolution without bias, whose kernel is standardised, and group normalisation.

    Parameters
    ----------
    x : array [B, H, W, C]
    p : {w, gn}
    stride : int
    groups, eps
        As in group_norm.
    kind
        As in standardise; None, if the kernel is standardised already.

    Returns
    -------
    y : array [B, ceil(H/s), ceil(W/s), D], and the cache {standardise, convolution, gn}
    """
    c = {}
    w, c["standardise"] = standardise(p["w"], kind=kind) if kind else (p["w"], {})
    y, c["convolution"] = convolution(x, w, stride=stride)
    y, c["gn"] = group_norm(y, p["gn"], groups=groups, eps=eps)
    return y, c


def standardised_convolution_backward(dy, p, c, *, stride=1, kind="std"):
    """The forward pass in reverse. Returns dx and g."""
    g = {}
    dy, g["gn"] = group_norm_backward(dy, p["gn"], c["gn"])
    dx, dw, _ = convolution_backward(dy, c["convolution"], stride)
    g["w"] = standardise_backward(dw, c["standardise"], kind=kind)
    return dx, g


def bottleneck_init(rng, channels, width, *, project, dtype="float32"):
    """Parameters {conv1, conv2, conv3, proj}, each {w, gn}; proj only where the shortcut is projected.

    The last gamma starts at zero: a fresh unit hands on its shortcut.
    """
    out = WIDER * width
    p = {
        "conv1": standardised_convolution_init(rng, 1, channels, width, dtype=dtype),
        "conv2": standardised_convolution_init(rng, 3, width, width, dtype=dtype),
        "conv3": standardised_convolution_init(rng, 1, width, out, dtype=dtype),
    }
    p["conv3"]["gn"]["gamma"] = zeros(rng, (out,), dtype)
    return p | ({"proj": standardised_convolution_init(rng, 1, channels, out, dtype=dtype)} if project else {})


def bottleneck(x, p, *, stride=1, **options):
    """Three convolutions around a shortcut: narrow, look around, widen.

        y = ReLU(conv1(x)),  y = ReLU(conv2(y)),  y = ReLU(conv3(y) + shortcut(x))

    conv1 and conv3 are 1 x 1, conv2 is 3 x 3 and has the stride; each is a `standardised_convolution`. The shortcut is
    x, or, where the channels or the places change, a 1 x 1 convolution with the stride.

    Parameters
    ----------
    x : array [B, H, W, C]
    p : {conv1, conv2, conv3, proj}
        Without proj, the shortcut is x.
    stride : int
    options
        groups, eps and kind of standardised_convolution.

    Returns
    -------
    y : array [B, ceil(H/s), ceil(W/s), 4D], and the cache {conv1, relu1, conv2, relu2, conv3, proj, relu3}
    """
    c, shortcut = {}, x
    y, c["conv1"] = standardised_convolution(x, p["conv1"], **options)
    y, c["relu1"] = relu(y)
    y, c["conv2"] = standardised_convolution(y, p["conv2"], stride=stride, **options)
    y, c["relu2"] = relu(y)
    y, c["conv3"] = standardised_convolution(y, p["conv3"], **options)
    if "proj" in p:
        shortcut, c["proj"] = standardised_convolution(x, p["proj"], stride=stride, **options)
    y += shortcut
    y, c["relu3"] = relu(y)
    return y, c


def bottleneck_backward(dy, p, c, *, stride=1, kind="std"):
    """The forward pass in reverse; what comes back through the shortcut adds up with the rest. Returns dx and g."""
    g = {}
    dshortcut = relu_backward(dy, c["relu3"])
    dy, g["conv3"] = standardised_convolution_backward(dshortcut, p["conv3"], c["conv3"], kind=kind)
    dy = relu_backward(dy, c["relu2"])
    dy, g["conv2"] = standardised_convolution_backward(dy, p["conv2"], c["conv2"], stride=stride, kind=kind)
    dy = relu_backward(dy, c["relu1"])
    dx, g["conv1"] = standardised_convolution_backward(dy, p["conv1"], c["conv1"], kind=kind)
    if "proj" in p:
        dshortcut, g["proj"] = standardised_convolution_backward(
            dshortcut, p["proj"], c["proj"], stride=stride, kind=kind
        )
    return dx + dshortcut, g
