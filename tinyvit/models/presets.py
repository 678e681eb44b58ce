"""Configurations of the Vision Transformer that have names."""

import dataclasses

from tinyvit.models.config import ViTConfig
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


PRESETS: dict[str, ViTConfig] = Named("preset", _presets())
