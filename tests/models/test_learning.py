"""The model learns: eight images by heart, a loss curve to the digit, and the flat optimiser against the textbook's."""

import math

import numpy as np
import pytest

from tests.golden import make_loss_curve
from tests.reference import naive
from tests.reference.compare import assert_close, random_vit
from tests.reference.training import loss_and_gradients, train
from tinyvit import trees
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_init

CONFIG = ViTConfig(image=8, channels=1, patch=2, dim=16, depth=2, heads=2, mlp_dim=32, classes=8, position_std=0.5)


@pytest.fixture
def batch(rng):
    return rng.standard_normal((8, 8, 8, 1)), rng.permutation(8)


@pytest.mark.smoke
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_first_loss_is_ln_k(rng, batch, dtype):
    images, labels = batch
    logits, loss, *_ = loss_and_gradients(images.astype(dtype), labels, vit_init(rng, CONFIG, dtype=dtype), CONFIG)
    assert (logits == 0).all()
    assert loss == pytest.approx(math.log(8), rel=float(4 * np.finfo(dtype).eps))


def test_eight_images_are_overfitted(rng, batch):
    images, labels = batch[0].astype(np.float32), batch[1]
    p, losses = train(images, labels, vit_init(rng, CONFIG), CONFIG, steps=150, learning_rate=0.01, all_rows=False)
    assert losses[-1] < 0.01
    assert (vit(images, p, CONFIG)[0].argmax(axis=1) == labels).all()


def test_the_loss_curve_is_the_committed_one():
    expected = [float(line) for line in make_loss_curve.FILE.read_text().split()]
    found = make_loss_curve.losses()
    assert found[0] == pytest.approx(math.log(5), rel=1e-14)
    assert found[-1] < found[0]
    assert found == pytest.approx(expected, rel=0, abs=1e-9)


def test_the_flat_optimiser_is_the_textbooks_leaf_by_leaf(batch):
    images, labels = batch
    start = random_vit(CONFIG)
    found, _ = train(images, labels, start, CONFIG, steps=5, learning_rate=0.01, weight_decay=0.1, limit=0.5)

    p = trees.named(start)
    m, v = ({name: np.zeros_like(leaf) for name, leaf in p.items()} for _ in range(2))
    for step in range(1, 6):
        g = trees.named(loss_and_gradients(images, labels, trees.from_names(p, start), CONFIG)[3])
        g = naive.clip(g, 0.5)
        p, m, v = naive.adamw(p, g, m, v, step=step, learning_rate=0.01, weight_decay=0.1)
    for i in range(CONFIG.depth):  # steps of pure rounding, see test_torch
        del p[f"blocks/{i}/msa/k/b"], found["blocks"][i]["msa"]["k"]["b"]
    assert_close({name: leaf for name, leaf in trees.walk(found)}, p)
