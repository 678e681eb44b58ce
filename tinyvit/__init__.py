"""tinyvit: the Vision Transformer in NumPy, with every gradient written by hand and checked.

    config = tinyvit.ViTConfig(image=28, channels=1, patch=7, dim=64, depth=4, heads=4, mlp_dim=256, classes=10)
    p = tinyvit.vit_init(np.random.default_rng(0), config)
    logits, c = tinyvit.vit(images, p, config)
    loss, c_loss = tinyvit.cross_entropy(logits, labels)
    dimages, g = tinyvit.vit_backward(tinyvit.cross_entropy_backward(1.0, c_loss), p, c, config)

p, c and g are trees of arrays with the same keys: parameters, what the forward pass remembers, gradients.
"""

from tinyvit import startup  # noqa: F401 - first of all
from tinyvit.arrays import to_device, to_host
from tinyvit.data import load_data
from tinyvit.doctor.examine import examine
from tinyvit.errors import TinyvitError
from tinyvit.gradcheck import gradcheck
from tinyvit.live.page import Live
from tinyvit.models.config import ViTConfig
from tinyvit.models.convstem import ConvStemConfig, convstem, convstem_backward, convstem_init
from tinyvit.models.hybrid import HybridConfig, hybrid, hybrid_backward, hybrid_init
from tinyvit.models.model import backward, forward, parameter_count
from tinyvit.models.presets import PRESETS
from tinyvit.models.swin import SwinConfig, swin, swin_backward, swin_init
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward
from tinyvit.report.explorer import Explorer
from tinyvit.training.checkpoint import load, save
from tinyvit.training.loop import fit
from tinyvit.training.recipe import RECIPES, Recipe
from tinyvit.trees import count
from tinyvit.viz.attention import attention_maps, rollout
from tinyvit.viz.summary import shapes
from tinyvit.weights.load import load_weights
from tinyvit.weights.save import save_weights

__version__ = "0.3.0"

__all__ = [
    "PRESETS",
    "RECIPES",
    "ConvStemConfig",
    "Explorer",
    "HybridConfig",
    "Live",
    "Recipe",
    "SwinConfig",
    "TinyvitError",
    "ViTConfig",
    "attention_maps",
    "backward",
    "convstem",
    "convstem_backward",
    "convstem_init",
    "count",
    "cross_entropy",
    "cross_entropy_backward",
    "examine",
    "fit",
    "forward",
    "gradcheck",
    "hybrid",
    "hybrid_backward",
    "hybrid_init",
    "load",
    "load_data",
    "load_weights",
    "parameter_count",
    "rollout",
    "save",
    "save_weights",
    "shapes",
    "swin",
    "swin_backward",
    "swin_init",
    "to_device",
    "to_host",
    "vit",
    "vit_backward",
    "vit_init",
    "vit_masks",
]
