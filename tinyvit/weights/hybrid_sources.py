"""The sources of hybrids: the names that each has for its ViT, and those of the ResNet in front of it."""

import re

from tinyvit.weights.kinds import BIT_HYBRID, HYBRIDS, check_kind
from tinyvit.weights.naming import KERNEL, SAME
from tinyvit.weights.sources import SOURCES, pair
from tinyvit.weights.tensors import Tensor

UNIT = "resnet/stages/{i}/{j}/"
GOOGLE = dict(standardise="std", group_eps=1e-6)
TORCH = dict(standardise="var", group_eps=1e-5)
BACKBONE = "patch_embed.backbone."
BIT = "vit.embeddings.patch_embeddings.backbone.bit."


def _google():
    """github.com/google-research/vision_transformer: stages and units are numbered from 1."""
    names = ("scale", "bias")
    rules = {"resnet/stem/w": ("conv_root/kernel", SAME), **pair("resnet/stem/gn", "gn_root/", SAME, names=names)}
    for ours, theirs in (("conv1", "1"), ("conv2", "2"), ("conv3", "3"), ("proj", "_proj")):
        rules[f"{UNIT}{ours}/w"] = (f"block{{i1}}/unit{{j1}}/conv{theirs}/kernel", SAME)
        rules |= pair(f"{UNIT}{ours}/gn", f"block{{i1}}/unit{{j1}}/gn{theirs}/", SAME, names=names)
    return rules


def _torch(root, norm, unit):
    """timm's and Hugging Face's, which differ in what the parts are called."""
    rules = {"resnet/stem/w": (f"{root}.weight", KERNEL), **pair("resnet/stem/gn", f"{norm}.", SAME)}
    for number in "123":
        rules[f"{UNIT}conv{number}/w"] = (f"{unit}conv{number}.weight", KERNEL)
        rules |= pair(f"{UNIT}conv{number}/gn", f"{unit}norm{number}.", SAME)
    rules[f"{UNIT}proj/w"] = (f"{unit}downsample.conv.weight", KERNEL)
    return rules | pair(f"{UNIT}proj/gn", f"{unit}downsample.norm.", SAME)


RESNETS = {
    "google": (_google(), GOOGLE),
    "timm": (_torch(f"{BACKBONE}stem.conv", f"{BACKBONE}stem.norm", BACKBONE + "stages.{i}.blocks.{j}."), TORCH),
    "huggingface": (
        _torch(f"{BIT}embedder.convolution", f"{BIT}embedder.norm", BIT + "encoder.stages.{i}.layers.{j}."),
        TORCH,
    ),
}
HYBRID = {
    source: SOURCES[source]._replace(rules=SOURCES[source].rules | rules, resnet=numerics)
    for source, (rules, numerics) in RESNETS.items()
}
ROOT_ALONE = HYBRID["timm"]._replace(  # whose root then has no level of its own
    rules={ours: (theirs.replace(".stem.", "."), form) for ours, (theirs, form) in HYBRID["timm"].rules.items()}
)


def canonical(path, source, tensors):
    """The tensors by the names that the source's rules for hybrids have; None if these are none of a hybrid.

    Parameters
    ----------
    path : of the file, for errors
    source : one of HYBRID
    tensors : {name: Tensor}
        By the names that the source's rules for a ViT have.

    Raises
    ------
    CheckpointError
        If it is another kind of hybrid: which.
    """
    beginning = {"google": "conv_root/", "timm": BACKBONE, "huggingface": "vit.embeddings.patch_embeddings.backbone."}
    if not any(name.startswith(beginning[source]) for name in tensors):
        return None
    check_kind(path, tensors, HYBRIDS, "a hybrid")
    if source == "google":
        return {name: _flat(tensor) if re.search(r"(^|/)gn", name) else tensor for name, tensor in tensors.items()}
    if source == "timm":  # as ROOT_ALONE
        if f"{BACKBONE}stem.conv.weight" in tensors:  # else this is the name of ROOT_ALONE's norm
            check_kind(path, tensors, [(r"\.backbone\.norm\.", BIT_HYBRID)], "a hybrid")
        return {re.sub(r"\.backbone\.(conv|norm)\.", r".backbone.stem.\1.", name): t for name, t in tensors.items()}
    return tensors


def _flat(tensor):
    """Of group normalisation, [C]: old files have [1, 1, 1, C]."""
    if tensor.shape[:-1] != (1, 1, 1):
        return tensor
    return Tensor(tensor.shape[-1:], lambda: tensor.read().reshape(-1))
