"""The Swin Transformer that a file's arrays are of: all sizes but the images' from their shapes."""

import math

from tinyvit.errors import CheckpointError, UsageError, first_line
from tinyvit.models.swin import SwinConfig
from tinyvit.weights.naming import numbered
from tinyvit.weights.sizes import count, shapes
from tinyvit.weights.swin_sources import EPS

TABLE = "stages/{i}/blocks/{j}/msa/table"
AXES = {"patch/w": 4, "patch/b": 1, TABLE: 2, "stages/{i}/blocks/{j}/mlp/fc1/b": 1, "head/w": 2, "head/b": 1}


def configuration(path, tensors, naming, described, heads):
    """The configuration that the arrays have, the arrays, and notes; arguments and errors as of sizes.configuration.

    The side of the images is config.json's, or else that in which the last stage's map is a single window, as in all
    published models: 224 pixels with windows of 7 x 7 tokens, 384 with 12 x 12.
    """
    if heads is not None:
        raise UsageError(f"{path}: the arrays of a Swin say how many heads it has: leave heads=, or --heads, out")
    shape, depths = shapes(path, tensors, naming, AXES), _depths(path, tensors, naming)
    tables = [_table(path, tensors, naming, stage) for stage in range(len(depths))]
    windows, (dim, channels, patch, _) = [window for window, _ in tables], shape["patch/w"]
    hidden, image, lines = shape["stages/{i}/blocks/{j}/mlp/fc1/b"][0], described.square(), []
    if hidden % dim:
        raise CheckpointError(f"{path}: the first MLP is {hidden} wide, expected a multiple of the width {dim}")
    if image is None:
        image = windows[-1] * 2 ** (len(depths) - 1) * patch
        lines.append(f"images of {image} pixels, whose last map is one window: nothing says so; image= says otherwise")
    sizes = dict(
        image=image,
        channels=channels,
        patch=patch,
        dim=dim,
        depths=depths,
        heads=tuple(heads for _, heads in tables),
        window=max(windows),
        mlp_ratio=hidden // dim,
        classes=shape.get("head/b", [1])[0],
        gelu=described.gelu() or naming.gelu,
        eps=described.whole.get("layer_norm_eps", naming.eps),
    )
    try:
        config = SwinConfig(**sizes)
    except UsageError as error:
        beside = " with its config.json" if described else ""
        raise CheckpointError(f"{path}{beside}: {first_line(error)}") from None
    expected = [config.window_of(stage) for stage in range(len(depths))]
    if windows != expected:
        raise CheckpointError(
            f"{path}: the windows of its stages, {_and(windows)} tokens wide, are not those of a Swin for images of "
            f"{image} pixels, {_and(expected)}"
        )
    lines = [
        f"{naming.source}'s names: a Swin with {_and(depths)} blocks of width {_and(config.widths)}, windows of "
        f"{config.window} x {config.window} tokens",
        *lines,
        *padding(config),
        *(other_eps(config.eps) if naming.source == "Hugging Face" else []),
    ]
    return config, tensors, lines


def padding(config):
    """A note, if some maps have to be padded to whole windows; else none."""
    if all(side % config.window_of(stage) == 0 for stage, side in enumerate(config.sides)):
        return []
    return ["some maps are padded to whole windows, and no token looks at the padding; in the source's program some do"]


def other_eps(eps):
    """A note, if Hugging Face's Swin would have this eps in some of its LayerNorms only; else none."""
    if eps == EPS:
        return []
    return [
        f"Hugging Face's Swin has eps {EPS:g}, not {eps:g}, after its patches and in merging: logits differ a little"
    ]


def _depths(path, tensors, naming):
    """Blocks of each stage."""
    name = naming.rules["stages/{i}/blocks/{j}/ln1/gamma"][0]
    stages = [stage for stage in tensors if stage.startswith(name.partition("{i}")[0]) and ".blocks." in stage]
    number = count(path, stages, name.replace("{j}", "0"), "stage")
    return tuple(count(path, tensors, name.replace("{i}", str(stage))) for stage in range(number))


def _table(path, tensors, naming, stage):
    """(M, heads) of a stage, from the table of its first block."""
    name = numbered(naming.rules[TABLE][0], stage, 0)
    shape = tensors[name].shape if name in tensors else ()
    side = math.isqrt(shape[0]) if shape else 0
    if len(shape) != 2 or side**2 != shape[0] or side % 2 == 0 or shape[1] == 0:
        found = list(shape) if shape else "missing"
        raise CheckpointError(f"{path}: {name} is {found}, expected [(2 M - 1)^2, heads]")
    return (side + 1) // 2, shape[1]


def _and(numbers):
    return ", ".join(map(str, numbers))
