"""Write loss_curve.txt, ten losses of a tiny run in float64: python -m tests.golden.make_loss_curve

The file is committed. A run that no longer gives these numbers computes something else: another start, another order of
the random draws, another model, another optimiser. Where that is meant, run this again and say so.
"""

from pathlib import Path

import numpy as np

from tests.reference.training import train
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit_init

FILE = Path(__file__).with_name("loss_curve.txt")
CONFIG = ViTConfig(
    image=6, patch=2, channels=2, dim=8, depth=2, heads=2, mlp_dim=12, classes=5, dropout=0.1, position_std=0.5
)


def losses():
    """The loss before each of ten steps; the head starts at zero, so the first is ln 5."""
    rng = np.random.default_rng(0)
    p = vit_init(rng, CONFIG, dtype=np.float64)
    images, labels = rng.standard_normal((7, 6, 6, 2)), rng.integers(5, size=7)
    keywords = dict(steps=10, learning_rate=0.01, weight_decay=0.05, smoothing=0.05, all_rows=False)
    return train(images, labels, p, CONFIG, **keywords)[1]


if __name__ == "__main__":
    FILE.write_text("".join(f"{loss!r}\n" for loss in losses()))
