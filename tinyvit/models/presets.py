"""Configurations that have names: of the Vision Transformer, Swin, the hybrid, and published models of text."""

import dataclasses

from tinyvit.models.bert import BERTConfig
from tinyvit.models.config import Config, ViTConfig
from tinyvit.models.gpt import GPTConfig
from tinyvit.models.hybrid import HybridConfig
from tinyvit.models.swin import SwinConfig
from tinyvit.models.transformer import TransformerConfig
from tinyvit.names import Named


def _presets():
    sizes = {  # dim, depth, heads, mlp_dim: table 1 of the paper; Ti and S of Touvron et al. 2021
        "Ti": (192, 12, 3, 768),
        "S": (384, 12, 6, 1536),
        "B": (768, 12, 12, 3072),
        "L": (1024, 24, 16, 4096),
        "H": (1280, 32, 16, 5120),
    }
    presets = {
        f"{name}/{patch}": ViTConfig(patch=patch, dim=dim, depth=depth, heads=heads, mlp_dim=mlp_dim)
        for name, (dim, depth, heads, mlp_dim) in sizes.items()
        for patch in (8, 14, 16, 32)
    }
    small = dict(channels=1, heads=4, classes=10, position_std=0.5)
    presets["digits"] = ViTConfig(image=8, patch=2, dim=32, depth=3, mlp_dim=128, **small)
    presets["mnist"] = ViTConfig(image=28, patch=7, dim=64, depth=2, mlp_dim=256, **small)
    presets["fashion-mnist"] = presets["mnist-quick"] = presets["mnist"]
    presets["mnist-best"] = dataclasses.replace(presets["mnist"], dim=128, mlp_dim=512)
    colour = dict(channels=3, heads=4, classes=10, position_std=0.5)
    presets["cifar-10"] = presets["pictures"] = ViTConfig(image=32, patch=4, dim=64, depth=4, mlp_dim=256, **colour)
    return presets


def _swin_presets():
    """Liu et al. 2021, section 3.3; heads of 32 numbers throughout. Those for images of 384 have windows of 12."""
    sizes = {"T": (96, 6), "S": (96, 18), "B": (128, 18), "L": (192, 18)}  # dim, blocks of the third stage
    presets = {}
    for end, larger in (("", {}), ("/384", {"image": 384, "window": 12})):
        for name, (dim, depth) in sizes.items():
            heads = tuple(dim * 2**stage // 32 for stage in range(4))
            presets[f"Swin-{name}{end}"] = SwinConfig(dim=dim, depths=(2, 2, depth, 2), heads=heads, **larger)
    return presets


def _hybrid_presets(vits):
    """The ViT paper's and those of Steiner et al. 2021; the number is what the sides are divided by, but in R+Ti/16."""
    units = {  # the ResNet's, and the patch of its map
        "R+Ti/16": ((), 8),  # the stem alone divides by 4: with patches of 8, by 32
        "R26+S/32": ((2, 2, 2, 2), 1),
        "R26+B/32": ((2, 2, 2, 2), 1),
        "R50+B/16": ((3, 4, 9), 1),
        "R50+B/32": ((3, 4, 6, 3), 1),
        "R50+L/32": ((3, 4, 6, 3), 1),
    }
    presets = {}
    for name, (of_stages, patch) in units.items():
        vit = vits[name.partition("+")[2].partition("/")[0] + "/16"]
        presets[name] = HybridConfig(vit.changed(image=patch, patch=patch), units=of_stages)
    return presets


def _text_presets():
    """The papers' base models. The Transformer has one table of 37,000 tokens; sequences may be of any length."""
    vocabulary = dict(source_tokens=37_000, target_tokens=37_000, shared=True)
    sizes = dict(dim=512, depth=6, heads=8, mlp_dim=2048, norm="post", source_length=512, target_length=512)
    return {
        "transformer-base": TransformerConfig(**vocabulary, **sizes),
        "gpt2": GPTConfig(),
        "bert-base": BERTConfig(),
    }


VIT_PRESETS: dict[str, ViTConfig] = Named("preset", _presets())
PRESETS: dict[str, Config] = Named(
    "preset", VIT_PRESETS | _swin_presets() | _hybrid_presets(VIT_PRESETS) | _text_presets()
)
