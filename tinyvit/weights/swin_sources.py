"""The sources of Swin Transformers: Microsoft's and timm's names, which are nearly the same, and Hugging Face's."""

import re

from tinyvit.weights.kinds import SWINS, check_kind
from tinyvit.weights.naming import OIHW, SAME, TRANSPOSED, Naming, Part
from tinyvit.weights.sources import pair

BLOCK = "stages/{i}/blocks/{j}/"
INDEX = re.compile(r"relative_position_index$|\.attn_mask$")  # what each forward pass could compute anew
WITHIN = {  # the names that transformers 5 has within a block, and those that it writes into files
    "attention.q_proj.": "attention.self.query.",
    "attention.k_proj.": "attention.self.key.",
    "attention.v_proj.": "attention.self.value.",
    "attention.o_proj.": "attention.output.dense.",
    "attention.relative_position_bias.": "attention.self.",
    "mlp.fc1.": "intermediate.dense.",
    "mlp.fc2.": "output.dense.",
}


def _timm(merging, head):
    """timm's, which since 0.9 merges at the start of a stage, or Microsoft's, which does so at the end of the one
    before."""
    block = "layers.{i}.blocks.{j}."
    rules = {
        **pair("patch", "patch_embed.proj.", OIHW),
        **pair("patch_ln", "patch_embed.norm.", SAME),
        **pair(f"{BLOCK}ln1", f"{block}norm1.", SAME),
        **pair(f"{BLOCK}ln2", f"{block}norm2.", SAME),
        **pair(f"{BLOCK}msa/o", f"{block}attn.proj.", TRANSPOSED),
        f"{BLOCK}msa/table": (f"{block}attn.relative_position_bias_table", SAME),
        **pair(f"{BLOCK}mlp/fc1", f"{block}mlp.fc1.", TRANSPOSED),
        **pair(f"{BLOCK}mlp/fc2", f"{block}mlp.fc2.", TRANSPOSED),
        **pair("stages/{i}/merging/ln", f"layers.{merging}.downsample.norm.", SAME),
        "stages/{i}/merging/reduction/w": (f"layers.{merging}.downsample.reduction.weight", TRANSPOSED),
        **pair("ln", "norm.", SAME),
        **pair("head", head, TRANSPOSED),
    }
    for number, letter in enumerate("qkv"):
        rules |= pair(f"{BLOCK}msa/{letter}", f"{block}attn.qkv.", Part(number, TRANSPOSED), Part(number, SAME))
    return rules


def _hugging_face():
    """transformers' SwinForImageClassification, as its files have it."""
    block = "swin.encoder.layers.{i}.blocks.{j}."
    rules = {
        **pair("patch", "swin.embeddings.patch_embeddings.projection.", OIHW),
        **pair("patch_ln", "swin.embeddings.norm.", SAME),
        **pair(f"{BLOCK}ln1", f"{block}layernorm_before.", SAME),
        **pair(f"{BLOCK}ln2", f"{block}layernorm_after.", SAME),
        **pair(f"{BLOCK}msa/o", f"{block}attention.output.dense.", TRANSPOSED),
        f"{BLOCK}msa/table": (f"{block}attention.self.relative_position_bias_table", SAME),
        **pair(f"{BLOCK}mlp/fc1", f"{block}intermediate.dense.", TRANSPOSED),
        **pair(f"{BLOCK}mlp/fc2", f"{block}output.dense.", TRANSPOSED),
        **pair("stages/{i}/merging/ln", "swin.encoder.layers.{i}.downsample.norm.", SAME),
        "stages/{i}/merging/reduction/w": ("swin.encoder.layers.{i}.downsample.reduction.weight", TRANSPOSED),
        **pair("ln", "swin.layernorm.", SAME),
        **pair("head", "classifier.", TRANSPOSED),
    }
    for letter, name in zip("qkv", ("query", "key", "value"), strict=True):
        rules |= pair(f"{BLOCK}msa/{letter}", f"{block}attention.self.{name}.", TRANSPOSED)
    return rules


EPS = 1e-5
SWIN = {
    "microsoft": Naming("Microsoft", _timm("{i}", "head."), gelu="erf", eps=EPS),
    "timm": Naming("timm", _timm("{i1}", "head.fc."), gelu="erf", eps=EPS),
    "huggingface": Naming("Hugging Face", _hugging_face(), gelu="erf", eps=EPS),
}


def canonical(path, tensors):
    """(source, tensors by the names that its rules have) of a Swin Transformer's; None of anything else.

    Old files of timm's are as Microsoft's.

    Raises
    ------
    CheckpointError
        If it is another kind of Swin: which.
    """
    if "patch_embed.proj.weight" in tensors and any(re.match(r"layers\.\d+\.blocks\.\d", name) for name in tensors):
        new = any(name.startswith("head.fc.") for name in tensors) or not any(
            name.startswith(("layers.0.downsample.", "head.")) for name in tensors
        )
        source = "timm" if new else "microsoft"
    else:
        source, tensors = "huggingface", _with_prefix(tensors)
        if "swin.embeddings.patch_embeddings.projection.weight" not in tensors:
            return None
    check_kind(path, tensors, SWINS, "a Swin")
    return source, {name: tensor for name, tensor in tensors.items() if not INDEX.search(name)}


def _with_prefix(tensors):
    """SwinModel's and SwinBackbone's names, and those within transformers 5, as SwinForImageClassification's files."""
    bare = any(re.match(r"encoder\.layers\.\d+\.blocks\.\d", name) for name in tensors)
    found = {}
    for name, tensor in tensors.items():
        if bare and not name.startswith(("swin.", "classifier.")):
            name = f"swin.{name}"
        for new, old in WITHIN.items():
            name = name.replace(f".{new}", f".{old}")
        found[name] = tensor
    return {name: tensor for name, tensor in found.items() if not name.startswith("swin.hidden_states_norms.")}
