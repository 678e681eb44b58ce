"""Has the model room for what it is to learn? Its sizes against each other and against the data."""

import numpy as np

from tinyvit import trees
from tinyvit.layers.embedding import patch_embedding
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.map_config import MapConfig
from tinyvit.models.model import model_of

NARROW_HEAD, NARROW = 4, 8
LARGEST_EPS = 0.01  # beside a variance of about 1
DROWNED = 20  # times the patches: the size of positions that hides them
LARGE = 20_000  # parameters for each image, from random ones
FEW_CORRUPTED, MANY_CORRUPTED = 0.1, 0.9


def check_sizes(config, images, p, *, count, fine_tuned=False):
    """Heads, tokens and layers are wide enough for the classes, and the model is no thousand times too large.

    Parameters
    ----------
    config : the configuration of one of MODELS
    images : array [n, H, W, C]
        A few.
    p : tree
        The first weights.
    count : int
        Training images.
    fine_tuned : bool
        The run started from given weights.

    Returns
    -------
    str : what was looked at
    """
    kind = model_of(config)
    encoder = kind.views["encoder"](config) if "encoder" in kind.views else None
    parameters, least = trees.count(p), min(config.classes - 1, NARROW)
    if encoder:
        of_map, least_width = isinstance(config, MapConfig), least if encoder is config else NARROW
        yield from _check_transformer(encoder, images, p, least_width, of_map)
    if isinstance(config, CNNConfig) and min(config.widths) < least:
        yield f"a convolution gives {min(config.widths)} channels for {config.classes} classes: expected 16 or more"
    if hasattr(config, "corrupted") and not FEW_CORRUPTED <= config.corrupted <= MANY_CORRUPTED:
        yield f"{config.corrupted:.0%} of the patches are corrupted: try 50%"
    if not fine_tuned and parameters > LARGE * count:
        yield (
            f"{parameters:,} parameters for {count:,} images, from random ones: take a smaller model, or start from "
            "trained weights with --from"
        )
    return f"{parameters:,} parameters for {count:,} images: widths of heads, tokens and layers"


def _check_transformer(config, images, p, least, of_map):
    """The sizes of a Vision Transformer; `of_map` if its patches are not of the images, but of a network's map."""
    if config.grid_size == (1, 1):
        yield f"one patch ({config.patch} pixels) is the whole image: attention has nothing to compare; take a smaller"
    if config.dim // config.heads < NARROW_HEAD:
        yield (
            f"each of the {config.heads} heads is {config.dim // config.heads} wide: too narrow to compare tokens; take"
            " fewer heads, 16 to 64 wide"
        )
    if config.mlp_dim < config.dim:
        yield f"mlp_dim {config.mlp_dim} is less than dim {config.dim}: expected about four times as much"
    for name, width in (("dim", config.dim), ("pre_logits", config.pre_logits)):
        if 0 < width < least:
            yield f"{name} {width} is too narrow for {config.classes} classes: expected 16 or more"
    if config.eps > LARGEST_EPS:
        yield f"eps {config.eps:g} is not small beside a variance of 1, so LayerNorm does not normalise: try 1e-6"
    if config.position_at == "stem" and not of_map:
        patches = patch_embedding(images, p["patch"], patch=config.patch)[0]
        ratio = _size(p["pos"]) / (_size(patches) + 1e-12) if trees.leaves(p["pos"]) else 0.0
        if ratio > DROWNED:
            yield (
                f"positions are {ratio:.0f} times as large as the embedded patches, and drown them: a smaller "
                "position_std, 0.02 to 0.5"
            )


def _size(arrays):
    """The root of the mean square of all entries."""
    return float(np.sqrt(np.mean([np.square(leaf).mean() for leaf in trees.leaves(arrays)])))
