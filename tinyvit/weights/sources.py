"""The sources whose weights can be read: their names for everything, and their numerics."""

import re

from tinyvit.weights.naming import (
    FROM_HEADS,
    HWIO,
    OIHW,
    ONE_MORE_AXIS,
    SAME,
    TO_HEADS,
    TRANSPOSED,
    Naming,
    Part,
)


def pair(ours, theirs, w, b=SAME, names=("weight", "bias")):
    """The rules of a layer with two arrays."""
    kinds = ("gamma", "beta") if re.search(r"(ln\d?|gn)$", ours) else ("w", "b")
    return {f"{ours}/{kind}": (f"{theirs}{name}", form) for kind, name, form in zip(kinds, names, (w, b), strict=True)}


def _google():
    """github.com/google-research/vision_transformer, in the numbering of its first files."""
    scale, kernel = ("scale", "bias"), ("kernel", "bias")
    block, mha = "Transformer/encoderblock_{i}/", "Transformer/encoderblock_{i}/MultiHeadDotProductAttention_1/"
    rules = {
        "cls": ("cls", ONE_MORE_AXIS),
        "pos": ("Transformer/posembed_input/pos_embedding", ONE_MORE_AXIS),
        **pair("patch", "embedding/", HWIO, names=kernel),
        **pair("blocks/{i}/ln1", f"{block}LayerNorm_0/", SAME, names=scale),
        **pair("blocks/{i}/ln2", f"{block}LayerNorm_2/", SAME, names=scale),
        **pair("blocks/{i}/msa/o", f"{mha}out/", FROM_HEADS, names=kernel),
        **pair("blocks/{i}/mlp/fc1", f"{block}MlpBlock_3/Dense_0/", SAME, names=kernel),
        **pair("blocks/{i}/mlp/fc2", f"{block}MlpBlock_3/Dense_1/", SAME, names=kernel),
        **pair("ln", "Transformer/encoder_norm/", SAME, names=scale),
        **pair("pre_logits", "pre_logits/", SAME, names=kernel),
        **pair("head", "head/", SAME, names=kernel),
    }
    for letter, name in zip("qkv", ("query", "key", "value"), strict=True):
        rules |= pair(f"blocks/{{i}}/msa/{letter}", f"{mha}{name}/", TO_HEADS, TO_HEADS, kernel)
    return Naming("Google", rules, gelu="tanh", eps=1e-6)


def _timm():
    """timm's VisionTransformer: query, key and value are one array."""
    rules = {
        "cls": ("cls_token", ONE_MORE_AXIS),
        "pos": ("pos_embed", ONE_MORE_AXIS),
        **pair("patch", "patch_embed.proj.", OIHW),
        **pair("blocks/{i}/ln1", "blocks.{i}.norm1.", SAME),
        **pair("blocks/{i}/ln2", "blocks.{i}.norm2.", SAME),
        **pair("blocks/{i}/msa/o", "blocks.{i}.attn.proj.", TRANSPOSED),
        **pair("blocks/{i}/mlp/fc1", "blocks.{i}.mlp.fc1.", TRANSPOSED),
        **pair("blocks/{i}/mlp/fc2", "blocks.{i}.mlp.fc2.", TRANSPOSED),
        **pair("ln", "norm.", SAME),
        **pair("pre_logits", "pre_logits.fc.", TRANSPOSED),
        **pair("head", "head.", TRANSPOSED),
    }
    for number, letter in enumerate("qkv"):
        part = (Part(number, TRANSPOSED), Part(number, SAME))
        rules |= pair(f"blocks/{{i}}/msa/{letter}", "blocks.{i}.attn.qkv.", *part)
    return Naming("timm", rules, gelu="erf", eps=1e-6)


def _hugging_face():
    """transformers' ViTForImageClassification."""
    layer = "vit.encoder.layer.{i}."
    rules = {
        "cls": ("vit.embeddings.cls_token", ONE_MORE_AXIS),
        "pos": ("vit.embeddings.position_embeddings", ONE_MORE_AXIS),
        **pair("patch", "vit.embeddings.patch_embeddings.projection.", OIHW),
        **pair("blocks/{i}/ln1", f"{layer}layernorm_before.", SAME),
        **pair("blocks/{i}/ln2", f"{layer}layernorm_after.", SAME),
        **pair("blocks/{i}/msa/o", f"{layer}attention.output.dense.", TRANSPOSED),
        **pair("blocks/{i}/mlp/fc1", f"{layer}intermediate.dense.", TRANSPOSED),
        **pair("blocks/{i}/mlp/fc2", f"{layer}output.dense.", TRANSPOSED),
        **pair("ln", "vit.layernorm.", SAME),
        **pair("pre_logits", "vit.pooler.dense.", TRANSPOSED),
        **pair("head", "classifier.", TRANSPOSED),
    }
    for letter, name in zip("qkv", ("query", "key", "value"), strict=True):
        rules |= pair(f"blocks/{{i}}/msa/{letter}", f"{layer}attention.attention.{name}.", TRANSPOSED)
    return Naming("Hugging Face", rules, gelu="erf", eps=1e-12)


SOURCES = {"google": _google(), "timm": _timm(), "huggingface": _hugging_face()}
