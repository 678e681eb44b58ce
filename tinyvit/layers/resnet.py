"""The convolutional part of a hybrid: a ResNet whose output is the image that the Vision Transformer cuts into patches.

Google's "ResNet V1 with GroupNorm": a stem that divides the sides by 4, and stages of bottleneck units, each of which
but the first halves them and doubles the channels. Its last stage may be missing and its units stand in the stage
before (ViT paper, section 4.1): the map then has twice the side, and the sequence is four times as long.
"""

from tinyvit.arrays import is_on_gpu, xp_of
from tinyvit.layers.bottleneck import (
    WIDER,
    bottleneck,
    bottleneck_backward,
    bottleneck_init,
    standardised_convolution,
    standardised_convolution_backward,
    standardised_convolution_init,
)
from tinyvit.ops.max_pool import max_pool, max_pool_backward
from tinyvit.ops.relu import relu, relu_backward
from tinyvit.ops.standardise import standardise

STEM, POOL = 7, 3  # kernels, both with stride 2
AT_ONCE = 224 * 224  # pixels of the images whose features are computed at once, so that they stay in the cache


def resnet_init(rng, channels, width, units, *, dtype="float32"):
    """Parameters {stem {w, gn}, stages [[{conv1, conv2, conv3, proj}, ...], ...]}; units: how many each stage has."""
    p = {"stem": standardised_convolution_init(rng, STEM, channels, width, dtype=dtype), "stages": []}
    channels = width
    for number, count in enumerate(units):
        middle = width * 2**number
        inputs = [channels] + [WIDER * middle] * (count - 1)
        p["stages"].append([bottleneck_init(rng, n, middle, project=i == 0, dtype=dtype) for i, n in enumerate(inputs)])
        channels = WIDER * middle
    return p


def resnet(x, p, *, keep_cache=True, **options):
    """Stem, pooling, stages.

    Parameters
    ----------
    x : array [B, H, W, C]
        Images.
    p : {stem, stages}
    keep_cache : bool
        False drops the cache of each unit as soon as the next one has its input.
    options
        groups, eps and kind of standardised_convolution.

    Returns
    -------
    y : array [B, H', W', D], and the cache {stem, relu, pool, stages}
        H' is H / 4 for the stem, rounded up at each step, and half of that for every stage but the first; D = 4 width
        2^(stages - 1), or the stem's width without stages.
    """
    c = {"stages": []}
    y, c["stem"] = standardised_convolution(x, p["stem"], stride=2, **options)
    y, c["relu"] = relu(y)
    y, c["pool"] = max_pool(y, POOL, 2)
    if not keep_cache:
        c = {"stages": []}
    for number, units in enumerate(p["stages"]):
        caches = []
        for i, unit in enumerate(units):
            y, cache = bottleneck(y, unit, stride=stride(number, i), **options)
            caches.append(cache if keep_cache else {})
        c["stages"].append(caches)
    return y, c


def resnet_features(x, p, *, kind="std", **options):
    """The y of `resnet` for prediction: some images at a time, whose features fit the processor's cache.

    So memory does not grow with the batch. Kernels are standardised once, for all images. (A GPU takes them all.)
    """

    def with_kernel(convolution):
        return convolution | {"w": standardise(convolution["w"], kind=kind)[0]}

    p = {
        "stem": with_kernel(p["stem"]),
        "stages": [[{name: with_kernel(unit[name]) for name in unit} for unit in units] for units in p["stages"]],
    }
    count = len(x) if is_on_gpu(x) else max(1, AT_ONCE // (x.shape[1] * x.shape[2]))
    parts = [x[start : start + count] for start in range(0, len(x), count)]
    return xp_of(x).concatenate([resnet(part, p, keep_cache=False, kind=None, **options)[0] for part in parts])


def resnet_backward(dy, p, c, *, kind="std"):
    """The forward pass in reverse. Returns dx and g."""
    g = {"stages": [[{} for _ in units] for units in p["stages"]]}
    for number, units in reversed(list(enumerate(p["stages"]))):
        for i, unit in reversed(list(enumerate(units))):
            cache = c["stages"][number][i]
            dy, g["stages"][number][i] = bottleneck_backward(dy, unit, cache, stride=stride(number, i), kind=kind)
    dy = max_pool_backward(dy, c["pool"], POOL, 2)
    dy = relu_backward(dy, c["relu"])
    dx, g["stem"] = standardised_convolution_backward(dy, p["stem"], c["stem"], stride=2, kind=kind)
    return dx, g


def stride(stage, unit):
    """Of a unit: the first of every stage but the first halves the map."""
    return 2 if stage and not unit else 1
