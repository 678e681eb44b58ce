"""Published weights into the parameter tree: who wrote them, what model they are, and every array in its place."""

import itertools
import math
import os
import re
import reprlib
from dataclasses import dataclass, replace

import numpy as np

from tinyvit import json_files
from tinyvit.annotations import Path, Tree
from tinyvit.data.datasets import Dataset
from tinyvit.data.inputs import Inputs
from tinyvit.data.photos import Preparation
from tinyvit.errors import CheckpointError, DataError, UsageError
from tinyvit.models.config import ViTConfig
from tinyvit.npz import first_line
from tinyvit.weights.adapt import adapt
from tinyvit.weights.naming import read_parameters
from tinyvit.weights.sources import SOURCES
from tinyvit.weights.tensors import Tensor, open_tensors, weights_file
from tinyvit.weights.variants import canonical

HEAD_WIDTH = 64  # of every ViT in the paper, where the file does not say
TANH = ("gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_tanh")  # the last is timm's name, the others Hugging Face's
ACTIVATIONS = {"gelu": "erf"} | dict.fromkeys(TANH, "tanh")
AXES = {"patch/w": 4, "patch/b": 1, "cls": 3, "pos": 3, "blocks/{i}/mlp/fc1/b": 1}  # of the arrays that tell the sizes
AXES |= {"pre_logits/w": 2, "pre_logits/b": 1, "head/w": 2, "head/b": 1}  # of layers that may be missing
OTHER = {"w": "b", "b": "w"}


@dataclass(frozen=True)
class Notes:
    """What is known of weights beyond the model itself. As text: a line for each thing worth saying."""

    source: str  # "google", "timm" or "huggingface"
    lines: tuple[str, ...]  # of sentences
    preparation: Preparation  # of a photograph, as the source does it
    class_names: tuple[str, ...] | None  # in the order of the classes
    has_head: bool  # False: the file has none, and the model's is zero
    dataset: Dataset | None = None  # what the model was trained on, if tinyvit wrote the file and knew

    def __str__(self):
        return "\n".join(self.lines)


def load_weights(
    path: Path,
    heads: int | None = None,
    *,
    gelu: str | None = None,
    eps: float | None = None,
    image: int | None = None,
    channels: int | None = None,
    classes: int | None = None,
) -> tuple[Tree, ViTConfig, Notes]:
    """Read published weights: `p, config, notes = tinyvit.load_weights("model.safetensors")`.

    Names and arrangement are recognised: Google's .npz (in all its numberings), timm's and Hugging Face's .safetensors.
    The model follows from the arrays, and from a config.json beside the file; where neither says, from the source's
    defaults; what is not certain is among the notes.

    Parameters
    ----------
    path : a .safetensors or .npz file, or a folder with model.safetensors
    heads : int, optional
        Attention heads; files by timm, and by Hugging Face without config.json, do not say.
    gelu : "erf" or "tanh", optional
        The form of GELU, in place of the source's.
    eps : float, optional
        Of every LayerNorm, in place of the source's.
    image : int, optional
        Run at another image size: positions are interpolated, as the source does it.
    channels : int, optional
        1: grey pictures; the kernels are summed over red, green and blue.
    classes : int, optional
        A fresh head, zero, for so many classes.

    Returns
    -------
    p : tree of float32 (or float64) arrays
        Views into the file where it is a .safetensors: read-only.
    config : ViTConfig
    notes : Notes

    Raises
    ------
    CheckpointError
        If the file is damaged, its names are nobody's, or an array is missing or misshapen.
    UsageError
        If the model cannot be what is asked for.
    """
    file = weights_file(os.path.expanduser(path))
    described = _description(file.parent / "config.json") if file.suffix == ".safetensors" else {}
    with open_tensors(file) as tensors:
        source, tensors = canonical(file, tensors)
        naming = SOURCES[source]
        config, lines = _config(file, tensors, naming, described, heads)
        config = replace(config, **{name: value for name, value in (("gelu", gelu), ("eps", eps)) if value is not None})
        has_head = naming.rules["head/w"][0] in tensors
        if not has_head:
            lines.append("no head: features only, unless it is given one")
            tensors = tensors | _zero_head(naming, config)
        p = read_parameters(file, tensors, naming, config)
    lines.append(f"GELU with {config.gelu}, LayerNorm with eps {config.eps:g}")
    preparation = _preparation(file, source, config, described)
    names = _class_names(described, config)
    p, adapted, more = adapt(p, config, source, image=image, channels=channels, classes=classes)
    if classes is not None:
        names, has_head = None, False
    preparation = replace(preparation, size=adapted.image)
    dataset = _dataset(file, described, adapted)
    return p, adapted, Notes(source, (*lines, *more), preparation, names, has_head, dataset)


def _config(path, tensors, naming, described, heads):
    """The configuration that the arrays have, and notes on it, sentences."""
    depth, shape = _depth(path, tensors, naming), _shapes(path, tensors, naming)
    dim, tokens = shape["patch/b"][0], shape["pos"][1]
    kernel = shape["patch/w"]
    patch, channels = (kernel[0], kernel[2]) if naming.source == "Google" else (kernel[2], kernel[1])
    grid = math.isqrt(max(tokens - 1, 0))
    if not 0 < grid**2 == tokens - 1:
        raise CheckpointError(
            f"{path}: {naming.rules['pos'][0]} has {tokens} rows, expected the class token's and those of a square grid"
        )
    lines = [f"{naming.source}'s names: {depth} blocks of width {dim}, patches of {patch} x {patch} pixels"]
    sizes = dict(
        image=grid * patch,
        channels=channels,
        patch=patch,
        dim=dim,
        depth=depth,
        heads=_heads(path, tensors, naming, described, dim, lines) if heads is None else heads,
        mlp_dim=shape["blocks/{i}/mlp/fc1/b"][0],
        classes=shape.get("head/b", [1])[0],
        gelu=_gelu(path, naming, described),
        eps=described.get("layer_norm_eps", naming.eps),
        pre_logits=shape.get("pre_logits/b", [0])[0],
    )
    try:
        return ViTConfig(**sizes), lines
    except UsageError as error:
        beside = " with its config.json" if described else ""
        wrong = CheckpointError if heads is None else UsageError
        raise wrong(f"{path}{beside}: {first_line(error)}") from None


def _depth(path, tensors, naming):
    """How many blocks there are, numbered from 0 on."""
    name = naming.rules["blocks/{i}/ln1/gamma"][0]
    pattern = re.compile(re.escape(name.partition("{i}")[0]) + "([0-9]{1,4})[./]")
    numbers = {int(found[1]) for theirs in tensors if (found := pattern.match(theirs))}
    missing = next(i for i in itertools.count() if i not in numbers)
    if missing != len(numbers) or not numbers:
        found = f"{len(numbers)} blocks, up to number {max(numbers)}" if numbers else "no blocks"
        raise CheckpointError(f"{path}: {name.replace('{i}', str(missing))} is missing; found {found}")
    return len(numbers)


def _shapes(path, tensors, naming):
    """{our name: shape} of the arrays that tell the sizes, where a layer is there at all."""
    found = {}
    for ours, axes in AXES.items():
        layer, _, leaf = ours.partition("/")
        theirs = naming.rules[ours][0].replace("{i}", "0")
        if theirs in tensors:
            found[ours] = tensors[theirs].shape
            if len(found[ours]) != axes or 0 in found[ours]:
                raise CheckpointError(f"{path}: {theirs} is {list(found[ours])}, expected {axes} axes, none of them 0")
        elif layer not in ("head", "pre_logits") or naming.rules[f"{layer}/{OTHER[leaf]}"][0] in tensors:
            raise CheckpointError(f"{path}: {theirs} is missing")
    return found


def _heads(path, tensors, naming, described, dim, lines):
    """How many heads: the arrays' axis, config.json's number, or an assumption, which the notes mention."""
    if naming.source == "Google":
        name = naming.rules["blocks/{i}/msa/q/w"][0].replace("{i}", "0")
        if name not in tensors or len(tensors[name].shape) != 3:
            raise CheckpointError(f"{path}: {name} is missing or has not three axes, [{dim}, heads, width of a head]")
        return tensors[name].shape[1]
    for place, name in ((described, "num_attention_heads"), (described.get("model_args"), "num_heads")):
        if isinstance(place, dict) and name in place:
            return place[name]
    if dim % HEAD_WIDTH:
        raise UsageError(f"{path}: width {dim} is no multiple of {HEAD_WIDTH}: say heads=, or --heads")
    lines.append(f"{dim // HEAD_WIDTH} heads: assumed, {HEAD_WIDTH} numbers each; the file does not say")
    return dim // HEAD_WIDTH


def _gelu(path, naming, described):
    """The form of GELU that config.json asks for, else the source's."""
    place, name = (described, "hidden_act") if "hidden_act" in described else (described.get("model_args"), "act_layer")
    if not isinstance(place, dict) or name not in place:
        return naming.gelu
    if place[name] not in list(ACTIVATIONS):
        found, expected = reprlib.repr(place[name]), ", ".join(ACTIVATIONS)
        raise CheckpointError(f"{path}: its config.json asks for {found}, expected one of {expected}")
    return ACTIVATIONS[place[name]]


def _zero_head(naming, config):
    """The head of a file that has none, under the source's names and in its arrangement."""
    found, ours = {}, {"w": (config.pre_logits or config.dim, config.classes), "b": (config.classes,)}
    for leaf in ours:
        name, form = naming.rules[f"head/{leaf}"]
        shape = form.shape(ours[leaf], config)
        found[name] = Tensor(shape, lambda shape=shape: np.zeros(shape, np.float32))
    return found


def _description(path):
    """What a config.json says; {} if there is none."""
    if not path.exists():
        return {}
    found = json_files.read(path)
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} is no table of settings")
    return found


def _preparation(path, source, config, described):
    """How the source prepares a photograph: its defaults, unless a file beside the weights says otherwise."""
    place, preparation = path.with_name("config.json"), described.get("pretrained_cfg")
    if not preparation and source == "huggingface":
        place = path.with_name("preprocessor_config.json")
        preparation = _description(place)
    try:
        return Preparation.of(source, config.image).as_described(preparation or {})
    except DataError as error:
        raise DataError(f"{place}: {first_line(error)}") from None


def _dataset(path, described, config):
    """The data set that tinyvit noted down beside weights of its own; None if it has other classes by now."""
    try:
        dataset = Inputs.from_dict(described["tinyvit"], config.image).dataset if "tinyvit" in described else None
    except (TypeError, UsageError) as error:
        place = path.with_name("config.json")
        raise CheckpointError(f"{place}: what it says of the data set cannot be read: {first_line(error)}") from None
    fits = dataset and (dataset.channels, dataset.classes) == (config.channels, config.classes)
    return dataset if fits else None


def _class_names(described, config):
    """The names of the classes, if the description has one for each."""
    names = described.get("id2label")
    if isinstance(described.get("label_names"), list):  # timm's: often short ones, with descriptions beside them
        words = described.get("label_descriptions")
        words = words if isinstance(words, dict) else {}
        names = {str(k): words.get(str(name), name) for k, name in enumerate(described["label_names"])}
    if isinstance(names, dict) and set(names) == {str(k) for k in range(config.classes)}:
        if names["0"] == "LABEL_0":  # transformers' word for a class without a name
            return None
        found = tuple(names[str(k)] for k in range(config.classes))
        return found if all(isinstance(name, str) and name.isprintable() for name in found) else None
    return None
