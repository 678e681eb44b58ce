"""The hybrid that a file's arrays are of: the ResNet from their shapes, the ViT as any ViT, on the ResNet's map."""

from tinyvit.errors import CheckpointError, UsageError, first_line
from tinyvit.models.hybrid import HybridConfig
from tinyvit.ops.resize import both_sides
from tinyvit.weights import sizes
from tinyvit.weights.naming import numbered

CONV1, STEM = "resnet/stages/{i}/{j}/conv1/w", "resnet/stem/w"


def configuration(path, tensors, naming, described, heads):
    """The configuration that the arrays have, the arrays, and notes; arguments and errors as of sizes.configuration."""
    units = _units(path, tensors, naming)
    stride = 4 * 2 ** max(len(units) - 1, 0)
    vit, tensors, lines = sizes.configuration(path, tensors, naming, described, heads, stride)
    stem = sizes.shapes(path, tensors, naming, {STEM: 4})[STEM]
    channels, width = stem[2:] if naming.source == "Google" else stem[1::-1]
    side = both_sides(vit.image)
    if side[0] != side[1]:
        raise CheckpointError(f"{path}: its maps are {side[0]} x {side[1]}; only hybrids of square images are read")
    given = described.square()
    image = side[0] * stride if given is None else given
    try:
        config = HybridConfig(vit, image=image, channels=channels, units=units, width=width, **naming.resnet)
    except UsageError as error:
        raise CheckpointError(f"{path}: {first_line(error)}") from None
    if vit.channels != config.features:
        raise CheckpointError(
            f"{path}: its patches are of {vit.channels} channels, expected the {config.features} of the ResNet's map"
        )
    _check_backbone(described, units)
    stages = f"stages of {', '.join(map(str, units))} units" if units else "a stem alone"
    where = "beside the deviation" if config.standardise == "std" else "in the root"
    lines.append(f"in front a ResNet, {stages}: kernels standardised with eps {where}, group_eps {config.group_eps:g}")
    return config, tensors, lines


def _check_backbone(described, units):
    """Raise CheckpointError if Hugging Face's description of the ResNet is of another one."""
    backbone = described.whole.get("backbone_config")
    expected = {"layer_type": "bottleneck", "global_padding": "same", "embedding_dynamic_padding": True}
    for name, value in (expected | {"depths": list(units), "num_groups": 32}).items():
        found = backbone.get(name, value) if isinstance(backbone, dict) else value
        if (found.lower() if isinstance(found, str) else found) != value:
            raise described.wrong(f"backbone_config {name}", found, f"{value}, as hybrids of the paper have")


def _units(path, tensors, naming):
    """Units of each stage; none of a stem alone."""
    name = naming.rules[CONV1][0]
    first, second = ("{i1}", "{j1}") if "{i1}" in name else ("{i}", "{j}")
    stages = sizes.count(path, tensors, name.replace(second, numbered(second, 0, 0)), "stage", least=0)
    units = (name.replace(first, numbered(first, stage)).replace(second, first) for stage in range(stages))
    return tuple(sizes.count(path, tensors, name, "unit") for name in units)
