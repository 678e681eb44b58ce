"""The three sources' names and shapes, written down from their files and not from the package; and a small model."""

import functools

import numpy as np

from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit

SMALL = ViTConfig(image=8, patch=4, dim=24, depth=12, heads=3, mlp_dim=40, classes=7, gelu="tanh")
GOOGLE_BLOCK = {  # of ViT-B/16, as are all the tables
    "LayerNorm_0/scale": ("D",),
    "LayerNorm_0/bias": ("D",),
    "MultiHeadDotProductAttention_1/query/kernel": ("D", "h", "d"),
    "MultiHeadDotProductAttention_1/query/bias": ("h", "d"),
    "MultiHeadDotProductAttention_1/key/kernel": ("D", "h", "d"),
    "MultiHeadDotProductAttention_1/key/bias": ("h", "d"),
    "MultiHeadDotProductAttention_1/value/kernel": ("D", "h", "d"),
    "MultiHeadDotProductAttention_1/value/bias": ("h", "d"),
    "MultiHeadDotProductAttention_1/out/kernel": ("h", "d", "D"),
    "MultiHeadDotProductAttention_1/out/bias": ("D",),
    "LayerNorm_2/scale": ("D",),
    "LayerNorm_2/bias": ("D",),
    "MlpBlock_3/Dense_0/kernel": ("D", "M"),
    "MlpBlock_3/Dense_0/bias": ("M",),
    "MlpBlock_3/Dense_1/kernel": ("M", "D"),
    "MlpBlock_3/Dense_1/bias": ("D",),
}
GOOGLE = {
    "cls": (1, 1, "D"),
    "embedding/kernel": ("P", "P", "C", "D"),
    "embedding/bias": ("D",),
    "Transformer/posembed_input/pos_embedding": (1, "T", "D"),
    "Transformer/encoder_norm/scale": ("D",),
    "Transformer/encoder_norm/bias": ("D",),
    "head/kernel": ("D", "K"),
    "head/bias": ("K",),
}
TIMM_BLOCK = {
    "norm1.weight": ("D",),
    "norm1.bias": ("D",),
    "attn.qkv.weight": ("3D", "D"),
    "attn.qkv.bias": ("3D",),
    "attn.proj.weight": ("D", "D"),
    "attn.proj.bias": ("D",),
    "norm2.weight": ("D",),
    "norm2.bias": ("D",),
    "mlp.fc1.weight": ("M", "D"),
    "mlp.fc1.bias": ("M",),
    "mlp.fc2.weight": ("D", "M"),
    "mlp.fc2.bias": ("D",),
}
TIMM = {
    "cls_token": (1, 1, "D"),
    "pos_embed": (1, "T", "D"),
    "patch_embed.proj.weight": ("D", "C", "P", "P"),
    "patch_embed.proj.bias": ("D",),
    "norm.weight": ("D",),
    "norm.bias": ("D",),
    "head.weight": ("K", "D"),
    "head.bias": ("K",),
}
HUGGING_FACE_BLOCK = {
    "layernorm_before.weight": ("D",),
    "layernorm_before.bias": ("D",),
    "attention.attention.query.weight": ("D", "D"),
    "attention.attention.query.bias": ("D",),
    "attention.attention.key.weight": ("D", "D"),
    "attention.attention.key.bias": ("D",),
    "attention.attention.value.weight": ("D", "D"),
    "attention.attention.value.bias": ("D",),
    "attention.output.dense.weight": ("D", "D"),
    "attention.output.dense.bias": ("D",),
    "layernorm_after.weight": ("D",),
    "layernorm_after.bias": ("D",),
    "intermediate.dense.weight": ("M", "D"),
    "intermediate.dense.bias": ("M",),
    "output.dense.weight": ("D", "M"),
    "output.dense.bias": ("D",),
}
HUGGING_FACE = {
    "vit.embeddings.cls_token": (1, 1, "D"),
    "vit.embeddings.position_embeddings": (1, "T", "D"),
    "vit.embeddings.patch_embeddings.projection.weight": ("D", "C", "P", "P"),
    "vit.embeddings.patch_embeddings.projection.bias": ("D",),
    "vit.layernorm.weight": ("D",),
    "vit.layernorm.bias": ("D",),
    "classifier.weight": ("K", "D"),
    "classifier.bias": ("K",),
}
TABLES = {
    "google": (GOOGLE, "Transformer/encoderblock_{}/", GOOGLE_BLOCK),
    "timm": (TIMM, "blocks.{}.", TIMM_BLOCK),
    "huggingface": (HUGGING_FACE, "vit.encoder.layer.{}.", HUGGING_FACE_BLOCK),
}


def shapes(source, config):
    """{name: shape} of a source's file."""
    D, h = config.dim, config.heads
    sizes = {"D": D, "3D": 3 * D, "h": h, "d": D // h, "M": config.mlp_dim, "P": config.patch, "C": config.channels}
    sizes |= {"T": config.tokens, "K": config.classes}
    whole, prefix, block = TABLES[source]
    table = whole | {prefix.format(i) + name: shape for i in range(config.depth) for name, shape in block.items()}
    return {name: tuple(sizes.get(axis, axis) for axis in shape) for name, shape in table.items()}


def arrays(source, config, seed=0, pre_logits=0):
    """{name: float32 array}, all random, of a source's file."""
    rng, found = np.random.default_rng(seed), shapes(source, config)
    if pre_logits:
        found |= {"pre_logits/kernel": (config.dim, pre_logits), "pre_logits/bias": (pre_logits,)}
        found["head/kernel"] = (pre_logits, config.classes)
    return {name: 0.3 * rng.standard_normal(shape, dtype=np.float32) for name, shape in found.items()}


def linen(a):
    """Numbered as newer versions of Flax do: within a block each kind of layer from 0 on."""
    names = {"LayerNorm_2": "LayerNorm_1", "MultiHeadDotProductAttention_1": "MultiHeadDotProductAttention_0"}
    names["MlpBlock_3"] = "MlpBlock_0"
    return {functools.reduce(lambda name, pair: name.replace(*pair), names.items(), name): x for name, x in a.items()}


def big_vision(a):
    """Positions at the top, of the patches alone: big_vision's own conversion adds the class token's row to it."""
    a = linen(a)
    pos = a.pop("Transformer/posembed_input/pos_embedding")
    return a | {"cls": a["cls"] + pos[:, :1], "pos_embedding": pos[:, 1:]}


def scanned(a):
    """The blocks in one array each, along a first axis."""
    found = {name: x for name, x in a.items() if "encoderblock_" not in name}
    for leaf in (name.removeprefix("Transformer/encoderblock_0/") for name in a if "encoderblock_0/" in name):
        depth = sum(name.endswith(f"/{leaf}") for name in a)
        found[f"Transformer/encoderblock/{leaf}"] = np.stack(
            [a[f"Transformer/encoderblock_{i}/{leaf}"] for i in range(depth)]
        )
    return found


def prefixed(prefix, a):
    """Every name behind a prefix."""
    return {prefix + name: x for name, x in a.items()}


def pictures(config, batch=2, seed=1):
    """float64 images [B, H, W, C]."""
    return np.random.default_rng(seed).standard_normal((batch, *config.size, config.channels))


def logits(p, config, images):
    """What our model answers."""
    return vit(images, p, config, all_rows=False, keep_cache=False)[0]


def google_vit(images, a):
    """The logits, in the arrays' own arrangement: every kernel is contracted over its own axes, as Flax does it."""
    B, H, _, C = images.shape
    kernel = a["embedding/kernel"]
    P, D = len(kernel), kernel.shape[3]
    z = np.einsum("bgphqc,pqcd->bghd", images.reshape(B, H // P, P, H // P, P, C), kernel) + a["embedding/bias"]
    z = np.concatenate([np.broadcast_to(a["cls"], (B, 1, D)), z.reshape(B, -1, D)], axis=1)
    z = z + a["Transformer/posembed_input/pos_embedding"]
    for i in range(sum(name.endswith("LayerNorm_0/scale") for name in a)):
        z = _google_block(z, {name.split("/", 2)[2]: x for name, x in a.items() if f"encoderblock_{i}/" in name})
    y = _layer_norm(z, a, "Transformer/encoder_norm")[:, 0]
    if "pre_logits/kernel" in a:
        y = np.tanh(y @ a["pre_logits/kernel"] + a["pre_logits/bias"])
    return y @ a["head/kernel"] + a["head/bias"]


def _layer_norm(x, a, name):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) * a[f"{name}/scale"] + a[f"{name}/bias"]


def _google_block(z, a):
    def project(y, name):
        return np.einsum("btD,Dhd->bhtd", y, a[f"{mha}/{name}/kernel"]) + a[f"{mha}/{name}/bias"][:, None]

    mha, y = "MultiHeadDotProductAttention_1", _layer_norm(z, a, "LayerNorm_0")
    q, k, v = (project(y, name) for name in ("query", "key", "value"))
    weights = np.exp(np.einsum("bhtd,bhsd->bhts", q, k) / np.sqrt(q.shape[-1]))
    y = np.einsum("bhts,bhsd->bhtd", weights / weights.sum(-1, keepdims=True), v)
    z = z + np.einsum("bhtd,hdD->btD", y, a[f"{mha}/out/kernel"]) + a[f"{mha}/out/bias"]
    x = _layer_norm(z, a, "LayerNorm_2") @ a["MlpBlock_3/Dense_0/kernel"] + a["MlpBlock_3/Dense_0/bias"]
    x = x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return z + x @ a["MlpBlock_3/Dense_1/kernel"] + a["MlpBlock_3/Dense_1/bias"]
