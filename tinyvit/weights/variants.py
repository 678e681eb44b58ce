"""One source's files are named in several ways; here each becomes the one way that its rules know."""

import functools

import numpy as np

from tinyvit.errors import CheckpointError
from tinyvit.models.config import DEEPEST
from tinyvit.weights.sources import SOURCES
from tinyvit.weights.tensors import Tensor

PREFIXES = ("opt/target/", "params/img/", "params/")
LINEN = {"MultiHeadDotProductAttention_0": "MultiHeadDotProductAttention_1", "MlpBlock_0": "MlpBlock_3"}
KNOWN = {theirs for theirs, _ in SOURCES["google"].rules.values()}
POSITIONS = SOURCES["google"].rules["pos"][0]


def canonical(path, tensors):
    """(source, tensors by the names that the source's rules have).

    Raises
    ------
    CheckpointError
        If the names are nobody's: some of them, and what was looked for.
    """
    for source, rename in (("google", _google), ("huggingface", _hugging_face), ("timm", dict)):
        renamed = rename(tensors)
        if SOURCES[source].rules["patch/w"][0] in renamed:
            return source, renamed
    if "config" in tensors:
        raise CheckpointError(f"{path} is a checkpoint of tinyvit's own: read it with tinyvit.load")
    tried = ", ".join(f"{naming.source}'s {naming.rules['patch/w'][0]}" for naming in SOURCES.values())
    found = ", ".join(list(tensors)[:3]) or "none"
    raise CheckpointError(f"{path}: its {len(tensors)} names ({found}, ...) are nobody's; looked for {tried}")


def _google(tensors):
    """Linen's and big_vision's numbering, prefixes, stacked blocks, positions without a row for the class token."""
    for prefix in PREFIXES:
        if f"{prefix}embedding/kernel" in tensors:
            tensors = {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
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
        found[POSITIONS] = _with_class_row(found.pop("pos_embedding"))
    return found


def _with_class_row(tensor):
    """big_vision adds positions before the class token is put in front, so its row of the table is zero."""
    tables, tokens, dim = tensor.shape

    def read():
        table = tensor.read()
        return np.concatenate([np.zeros((tables, 1, dim), table.dtype), table], axis=1)

    return Tensor((tables, tokens + 1, dim), read)


def _hugging_face(tensors):
    """ViTModel's names lack the prefix that ViTForImageClassification's have."""
    if "embeddings.patch_embeddings.projection.weight" not in tensors:
        return tensors
    return {name if name.startswith("classifier.") else f"vit.{name}": tensor for name, tensor in tensors.items()}
