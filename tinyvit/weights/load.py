"""Published weights into the parameter tree: who wrote them, what model they are, and every array in its place."""

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tinyvit import trees
from tinyvit.annotations import Path, Tree
from tinyvit.data.datasets import Dataset
from tinyvit.data.inputs import ANSWERS
from tinyvit.data.photos import Preparation
from tinyvit.errors import UsageError
from tinyvit.models.config import Config
from tinyvit.models.model import model_of
from tinyvit.weights import hybrid_sizes, sizes, swin_sizes, text_sizes
from tinyvit.weights.adapt import adapt
from tinyvit.weights.description import Description
from tinyvit.weights.hybrid_sources import HYBRID
from tinyvit.weights.naming import Naming, read_parameters
from tinyvit.weights.place import local
from tinyvit.weights.sources import SOURCES
from tinyvit.weights.swin_sources import SWIN
from tinyvit.weights.tensors import Tensor, found_weights, open_tensors
from tinyvit.weights.text_sources import BERT, GPT
from tinyvit.weights.variants import canonical
from tinyvit.weights.wrappers import unwrapped

READ: dict[str, tuple[dict[str, Naming], Callable]] = {  # {model: (its sources, what finds its configuration)}
    "vit": (SOURCES, sizes.configuration),
    "swin": (SWIN, swin_sizes.configuration),
    "hybrid": (HYBRID, hybrid_sizes.configuration),
    "gpt": (GPT, functools.partial(text_sizes.configuration, model="gpt")),
    "bert": (BERT, functools.partial(text_sizes.configuration, model="bert")),
}
HEADS = dict.fromkeys(("vit", "swin", "hybrid"), ("head",)) | {"gpt": (), "bert": ("transform", "transform_ln", "bias")}
TEXTS = ("gpt", "bert")
NO_WORDS = "no head (cls.predictions.*), so its scores of words are zero"


@dataclass(frozen=True)
class Notes:
    """What is known of weights beyond the model itself. As text: a line for each thing worth saying."""

    source: str  # "google", "timm" or "huggingface"; of a Swin also "microsoft"
    lines: tuple[str, ...]  # of sentences
    preparation: Preparation | None  # of a photograph, as the source does it; None: it is a model of text
    class_names: tuple[str, ...] | None  # in the order of the classes
    has_head: bool  # False: the file has none, or one of zeros, and the model's is zero
    dataset: Dataset | None = None  # what the model was trained on, if tinyvit wrote the file and knew
    problem_type: str = ANSWERS[0]  # or "multi_label_classification", or "regression"

    def __str__(self):
        return "\n".join(self.lines)


def load_weights(
    path: Path,
    heads: int | None = None,
    *,
    gelu: str | None = None,
    eps: float | None = None,
    image: int | tuple[int, int] | None = None,
    channels: int | None = None,
    classes: int | None = None,
) -> tuple[Tree, Config, Notes]:
    """Read published weights: `p, config, notes = tinyvit.load_weights("model.safetensors")`.

    Names and arrangement are recognised: Google's .npz (in all its numberings), timm's and Hugging Face's .safetensors
    and PyTorch files (.pth, .bin), in shards as well; in PyTorch's, nothing is run.
    The model follows from the arrays, and from a config.json beside the file; where neither says, from the source's
    defaults; what is not certain is among the notes. Swin Transformers and hybrids with a ResNet are read likewise, and
    two models of text, GPT-2 and BERT, for `gpt` and `bert`. A model that is not quite one of these as in its paper is
    refused by the name of its kind, and so is a config.json that contradicts the arrays.

    Parameters
    ----------
    path : a file of weights, a shard or an index, or a folder with model.safetensors or pytorch_model.bin
    heads : int, optional
        Attention heads; files by timm, and by Hugging Face without config.json, do not say. Those of the published
        sizes are known; for any other they are asked for.
    gelu : "erf" or "tanh", of text also "relu", optional
        The form of GELU, in place of the source's.
    eps : float, optional
        Of every LayerNorm, in place of the source's.
    image : int or (int, int), optional
        Run at another image size, or another height and width: positions are interpolated, as the source does it.
    channels : int, optional
        1: grey pictures; the kernels are summed over red, green and blue.
    classes : int, optional
        A fresh head, zero, for so many classes.

    Returns
    -------
    p : tree of float32 (or float64) arrays
        Views into the file where it is not an .npz: read-only.
    config : ViTConfig, SwinConfig, HybridConfig, GPTConfig or BERTConfig
    notes : Notes

    Raises
    ------
    CheckpointError
        If the file is damaged, its names are nobody's, or an array is missing or misshapen.
    UsageError
        If the model cannot be what is asked for.
    """
    file, found = found_weights(local(path))
    beside = file.parent / "config.json" if file.suffix != ".npz" else None
    described = Description(beside)
    with open_tensors(file) as tensors:
        tensors, wrapped = unwrapped(file, tensors)
        model, source, tensors = canonical(file, tensors)
        described.check_model(model)
        sources, configuration = READ[model]
        naming = sources[source]
        config, tensors, lines = configuration(file, tensors, naming, described, heads)
        config = config.changed(**{name: value for name, value in (("gelu", gelu), ("eps", eps)) if value is not None})
        tensors, has_head = _with_head(tensors, naming, config, HEADS[model])
        if not has_head:
            lines.append(NO_WORDS if model in TEXTS else "no head: features only, unless it is given one")
        if model not in TEXTS:
            described.check_agrees(config, biases=sizes.has_biases(tensors, naming), has_head=has_head)
        p = read_parameters(file, tensors, naming, config)
    if model in TEXTS:
        _check_no_pictures(file, image=image, channels=channels, classes=classes)
        return p, config, Notes(source, (*found, *wrapped, *lines, _numerics(config)), None, None, has_head)
    if has_head and not p["head"]["w"].any():
        has_head = False
        lines.append("its head is of zeros, and was never trained: features only, unless it is given one")
    lines = [*found, *wrapped, *lines]
    lines.append(_numerics(config))
    preparation, usual = described.preparation(source, config, model)
    names, problem_type = described.class_names(config.classes), described.problem_type()
    if classes is not None:
        names, has_head, problem_type = None, False, ANSWERS[0]
    if problem_type is None:
        problem_type = ANSWERS[2] if has_head and config.classes == 1 else ANSWERS[0]
    p, adapted, more = adapt(p, config, source, image=image, channels=channels, classes=classes)
    preparation = replace(preparation, size=adapted.image)
    about = (preparation, names, has_head, described.dataset(adapted), problem_type)
    return p, adapted, Notes(source, (*lines, *usual, *more), *about)


def _check_no_pictures(file, **asked):
    """Raise UsageError if something is asked for that pictures have."""
    for name, value in asked.items():
        if value is not None:
            raise UsageError(f"{file} holds a model of text, which has no {name}: leave {name}= out")


def _numerics(config):
    """A note."""
    settings = config.values()
    return f"GELU with {settings['gelu']}, LayerNorm with eps {settings['eps']:g}"


def _with_head(tensors, naming, config, names):
    """The arrays, and whether those of the head, with these names in our tree, are there; if not, zeros in their place.

    GPT-2 has no head of its own: the table of its tokens makes the scores.
    """
    rules = {ours: rule for ours, rule in naming.rules.items() if ours.partition("/")[0] in names}
    if not rules or any(theirs in tensors for theirs, _ in rules.values()):
        return tensors, True
    zeros, leaves = {}, trees.named(model_of(config).init(None, config))
    for ours, (theirs, form) in rules.items():
        shape = form.shape(leaves[ours].shape, config)
        zeros[theirs] = Tensor(shape, lambda shape=shape: np.zeros(shape, np.float32))
    return tensors | zeros, False
