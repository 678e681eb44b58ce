"""tinyvit: the Vision Transformer in NumPy, with every gradient written by hand and checked."""

from tinyvit.models.config import PRESETS, ViTConfig
from tinyvit.models.vit import vit, vit_backward, vit_init
