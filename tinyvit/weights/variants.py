"""One source's files are named in several ways; here each becomes the one way that its rules know."""

import functools

import numpy as np

from tinyvit.errors import CheckpointError
from tinyvit.models.config import DEEPEST
from tinyvit.weights import hybrid_sources, swin_sources, text_sources
from tinyvit.weights.kinds import check_kind
from tinyvit.weights.sources import SOURCES
from tinyvit.weights.tensors import Tensor

PREFIXES = ("opt/target/", "params/img/", "params/")
LINEN = {"MultiHeadDotProductAttention_0": "MultiHeadDotProductAttention_1", "MlpBlock_0": "MlpBlock_3"}
WITHIN = {  # the names that transformers 5 has within a block, and those that it writes into files
    "attention.q_proj": "attention.attention.query",
    "attention.k_proj": "attention.attention.key",
    "attention.v_proj": "attention.attention.value",
    "attention.o_proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
KNOWN = {theirs for theirs, _ in SOURCES["google"].rules.values()}
POSITIONS = SOURCES["google"].rules["pos"][0]


def canonical(path, tensors):
    """(model, source, tensors by the names that the source's rules have); the model is by its name in MODELS.

    Raises
    ------
    CheckpointError
        If the names are nobody's: some of them, and what was looked for; or those of another kind of model: which.
    """
    if found := swin_sources.canonical(path, tensors):
        return "swin", *found
    if found := text_sources.canonical(path, tensors):
        return found
    for source, rename in (("google", _google), ("huggingface", _hugging_face), ("timm", dict)):
        renamed = rename(tensors)
        if SOURCES[source].rules["patch/w"][0] in renamed:
            if (hybrid := hybrid_sources.canonical(path, source, renamed)) is not None:
                return "hybrid", source, hybrid
            check_kind(path, renamed)
            return "vit", source, renamed
    if "config" in tensors:
        raise CheckpointError(f"{path} is a checkpoint of tinyvit's own: read it with tinyvit.load")
    check_kind(path, tensors)
    tried = ", ".join(f"{naming.source}'s {naming.rules['patch/w'][0]}" for naming in SOURCES.values())
    found = ", ".join(list(tensors)[:3]) or "none"
    raise CheckpointError(f"{path}: its {len(tensors)} names ({found}, ...) are nobody's; looked for {tried}")


def _google(tensors):
    """Linen's and big_vision's numbering, prefixes, stacked blocks, positions without a row for the class token."""
    for prefix in PREFIXES:
        if f"{prefix}embedding/kernel" in tensors:
            with_texts = any(name == "params/t" or name.startswith("params/txt/") for name in tensors)
            tensors = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
            if with_texts:  # LiT's image tower: what its head gives is compared with texts, and names no classes
                tensors = {name: t for name, t in tensors.items() if not name.startswith("head/")}
            break
    found = {}
    for name, tensor in tensors.items():
        for linen, first in LINEN.items():
            name = name.replace(linen, first)
        block = name.replace("/encoderblock/", "/encoderblock_{i}/")
        if block != name and block.replace("/LayerNorm_1/", "/LayerNorm_2/") in KNOWN and tensor.shape:
            whole = functools.cache(tensor.read)  # read once; each block's part is a view into it
            for i in range(min(tensor.shape[0], DEEPEST)):
                part = Tensor(tensor.shape[1:], lambda whole=whole, i=i: whole()[i])
                found[block.replace("{i}", str(i))] = part
        else:
            found[name] = tensor
    if not any("/LayerNorm_2/" in name for name in found):
        found = {name.replace("/LayerNorm_1/", "/LayerNorm_2/"): tensor for name, tensor in found.items()}
    if "pos_embedding" in found and len(found["pos_embedding"].shape) == 3:
        pos = found.pop("pos_embedding")  # added before the class token is put in front
        found[POSITIONS] = with_class_row(pos) if "cls" in found else pos
    return found


def with_class_row(tensor):
    """A table of the patches' positions with a row of zeros before it, for a class token that has no position."""
    tables, tokens, dim = tensor.shape

    def read():
        table = tensor.read()
        return np.concatenate([np.zeros((tables, 1, dim), table.dtype), table], axis=1)

    return Tensor((tables, tokens + 1, dim), read)


def _hugging_face(tensors):
    """The names within transformers 5 become those of its files, and ViTModel's those of ViTForImageClassification."""
    bare, found = "embeddings.patch_embeddings.projection.weight" in tensors, {}
    for name, tensor in tensors.items():
        if bare and not name.startswith("classifier."):
            name = f"vit.{name}"
        if name.startswith("vit.layers."):
            name = name.replace("vit.layers.", "vit.encoder.layer.", 1)
            for new, old in WITHIN.items():
                name = name.replace(f".{new}.", f".{old}.")
        found[name] = tensor
    return found
