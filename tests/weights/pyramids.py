"""Small Swins and hybrids under the names of their sources, for the tests: the golden models, renamed."""

import json

import numpy as np
from safetensors.numpy import save_file

from tests.golden.make_pyramids import FILE, arrays
from tinyvit.weights.tensors import Tensor

GOLDEN = json.loads(FILE.read_text())
HEADS = {"root, timm": 3, "hybrid, timm": 3}  # timm's files do not say
RESNET = {  # timm's names of a hybrid's ResNet: Hugging Face's and, but for numbers, Google's
    "patch_embed.backbone.stem.conv.": ("backbone.bit.embedder.convolution.", "conv_root/"),
    "patch_embed.backbone.stem.norm.": ("backbone.bit.embedder.norm.", "gn_root/"),
}
BLOCK = {  # timm's names within a ViT's block, and the other two's
    "norm1.": ("layernorm_before.", "LayerNorm_0/"),
    "norm2.": ("layernorm_after.", "LayerNorm_2/"),
    "attn.proj.": ("attention.output.dense.", "MultiHeadDotProductAttention_1/out/"),
    "mlp.fc1.": ("intermediate.dense.", "MlpBlock_3/Dense_0/"),
    "mlp.fc2.": ("output.dense.", "MlpBlock_3/Dense_1/"),
}


def saved(folder, a, described=None):
    """A folder with these arrays, and a config.json beside them."""
    folder.mkdir(exist_ok=True)
    save_file({name: np.ascontiguousarray(x) for name, x in a.items()}, folder / "model.safetensors")
    if described:
        (folder / "config.json").write_text(json.dumps(described))
    return folder


def golden(name, folder):
    """A golden model's folder."""
    return saved(folder, arrays(GOLDEN[name]["shapes"]), GOLDEN[name].get("config"))


def weightless(shapes):
    """{name: Tensor} of arrays that are not there."""
    return {name: Tensor(shape, None) for name, shape in shapes.items()}


def microsofts(a, windows=(4, 4), sides=(16, 8)):
    """timm's Swin as Microsoft's program saves it: merging one stage before, another head, and buffers."""
    found = {}
    for name, x in a.items():
        name = name.replace("head.fc.", "head.")
        if ".downsample." in name:
            stage = int(name.split(".")[1])
            name = name.replace(f"layers.{stage}.", f"layers.{stage - 1}.")
        found[name] = x
        if name.endswith("attn.relative_position_bias_table"):
            stage, block = int(name.split(".")[1]), int(name.split(".")[3])
            tokens = windows[stage] ** 2
            found[name.replace("_bias_table", "_index")] = np.zeros((tokens, tokens), np.int64)
            if block % 2 and sides[stage] > windows[stage]:
                count = (sides[stage] // windows[stage]) ** 2
                found[f"layers.{stage}.blocks.{block}.attn_mask"] = np.zeros((count, tokens, tokens), np.float32)
    return found


def hugging_faces_swin(a):
    """timm's Swin under Hugging Face's names, query, key and value apart."""
    inner = {name: pair[0] for name, pair in BLOCK.items()} | {
        "attn.relative_position_bias_table": "attention.self.relative_position_bias_table"
    }
    found = {}
    for name, x in microsofts(a).items():
        if name.endswith(("_index", "attn_mask")):
            continue
        for theirs, its in inner.items():
            name = name.replace(f".{theirs}" if ".blocks." in name else "-", f".{its}")
        name = name.replace("patch_embed.proj.", "swin.embeddings.patch_embeddings.projection.")
        name = name.replace("patch_embed.norm.", "swin.embeddings.norm.").replace("head.", "classifier.")
        name = f"swin.encoder.{name}" if name.startswith("layers.") else name
        name = f"swin.layer{name}" if name.startswith("norm.") else name
        if ".attn.qkv." in name:
            for its, part in zip(("query", "key", "value"), np.split(x, 3), strict=True):
                found[name.replace("attn.qkv", f"attention.self.{its}")] = part
        else:
            found[name] = x
    return found


def hugging_faces_hybrid(a):
    """timm's hybrid under the names of Hugging Face's ViTHybridForImageClassification."""
    found, embeddings = {}, "vit.embeddings.patch_embeddings."
    for name, x in a.items():
        for theirs, (its, _) in RESNET.items():
            name = name.replace(theirs, embeddings + its)
        if name.startswith("patch_embed.backbone.stages."):
            name = name.replace("patch_embed.backbone.", f"{embeddings}backbone.bit.encoder.")
            name = name.replace(".blocks.", ".layers.")
        name = _outside(name.replace("patch_embed.proj.", f"{embeddings}projection."), "vit.embeddings.cls_token")
        if name.startswith("blocks."):
            for theirs, (its, _) in BLOCK.items():
                name = name.replace(f".{theirs}", f".{its}")
            name = name.replace("blocks.", "vit.encoder.layer.")
        if ".attn.qkv." in name:
            for its, part in zip(("query", "key", "value"), np.split(x, 3), strict=True):
                found[name.replace("attn.qkv", f"attention.attention.{its}")] = part
        else:
            found[name] = x
    return found


def _outside(name, cls):
    known = {"cls_token": cls, "pos_embed": "vit.embeddings.position_embeddings"}
    known |= {f"norm.{x}": f"vit.layernorm.{x}" for x in ("weight", "bias")}
    return (known | {f"head.{x}": f"classifier.{x}" for x in ("weight", "bias")}).get(name, name)


def googles_hybrid(a, heads=3):
    """timm's hybrid as Google's .npz, in its first numbering."""
    found = {}
    for name, x in a.items():
        for theirs, (_, its) in RESNET.items():
            name = name.replace(theirs, its)
        words = name.split(".")
        if name.startswith("patch_embed.backbone.stages."):
            rest = ".".join(words[6:]).replace("downsample.", "").replace("norm.", "gn_proj/")
            rest = rest.replace("norm", "gn").replace("conv.", "conv_proj/").replace(".", "/")
            name = f"block{int(words[3]) + 1}/unit{int(words[5]) + 1}/{rest}"
        name = name.replace("patch_embed.proj.", "embedding/").replace("head.", "head/")
        name = {"cls_token": "cls", "pos_embed": "Transformer/posembed_input/pos_embedding"}.get(name, name)
        if name.startswith("blocks."):
            for theirs, (_, its) in BLOCK.items():
                name = name.replace(f".{theirs}", f"/{its}")
            name = name.replace("blocks.", "Transformer/encoderblock_")
        elif name.startswith("norm."):
            name = name.replace("norm.", "Transformer/encoder_norm/")
        norm = any(word in name for word in ("gn", "Norm", "_norm"))
        name = name.replace("weight", "scale" if norm else "kernel")
        if ".attn.qkv." in name:
            for its, part in zip(("query", "key", "value"), np.split(x, 3), strict=True):
                its = name.replace(".attn.qkv.", f"/MultiHeadDotProductAttention_1/{its}/")
                found[its] = (part.T if part.ndim == 2 else part).reshape(*part.shape[1:], heads, -1)
        elif name.endswith("kernel"):
            x = x.transpose(2, 3, 1, 0) if x.ndim == 4 else x.T
            found[name] = x.reshape(heads, -1, x.shape[-1]) if name.endswith("out/kernel") else x
        else:
            found[name] = x
    return found
