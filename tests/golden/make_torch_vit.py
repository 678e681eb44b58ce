"""Write torch_vit.npz, what PyTorch computes from seeded random parameters: python -m tests.golden.make_torch_vit

Run once, where torch is installed; the file is committed, so that no test needs torch. Names are `p/...` for the
parameters, `g/...` for their gradients, `trained/...` for the parameters after ten steps of AdamW.
"""

from pathlib import Path

import numpy as np

from tests.reference.compare import random_vit
from tinyvit import trees
from tinyvit.models.config import ViTConfig

FILE = Path(__file__).with_name("torch_vit.npz")
CONFIG = ViTConfig(image=8, channels=3, patch=4, dim=12, depth=2, heads=3, mlp_dim=20, classes=7)
BATCH, SMOOTHING = 6, 0.1
OPTIMISER = dict(steps=10, learning_rate=1e-3, weight_decay=0.05, limit=1.0)


def inputs(config, seed=1):
    """Images, labels and parameters, all random, in float64."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((BATCH, config.image, config.image, config.channels))
    return images, rng.integers(config.classes, size=BATCH), random_vit(config, seed + 1)


def make():
    """The arrays of the file, by name."""
    from tests.golden import torch_vit

    images, labels, p = inputs(CONFIG)
    logits, loss, dimages, g = torch_vit.gradients(images, labels, p, CONFIG, smoothing=SMOOTHING)
    trained = torch_vit.train(images, labels, p, CONFIG, smoothing=SMOOTHING, **OPTIMISER)
    arrays = dict(images=images, labels=labels, logits=logits, loss=loss, dimages=dimages)
    for prefix, tree in (("p", p), ("g", g), ("trained", trained)):
        arrays |= {f"{prefix}/{name}": leaf for name, leaf in trees.walk(tree)}
    return arrays


if __name__ == "__main__":
    np.savez_compressed(FILE, **make())
