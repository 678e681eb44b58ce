"""The gradient of a batch in micro-batches is the gradient of the batch."""

import dataclasses
import tracemalloc

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, random_vit
from tests.reference.training import flatten, loss_and_gradients
from tests.training.helpers import CONFIG, toy
from tinyvit import trees
from tinyvit.models.config import ViTConfig
from tinyvit.models.model import model_of
from tinyvit.models.vit import vit, vit_init
from tinyvit.training.batches import as_part
from tinyvit.training.gradients import batch_gradient
from tinyvit.training.recipe import Recipe

PLAIN = Recipe(label_smoothing=0.1)
RANDOM = dataclasses.replace(CONFIG, dropout=0.3)


@pytest.fixture
def batch():
    (x, y), _ = toy(train=14)
    return x.astype(np.float64), y


def gradient(batch, config=CONFIG, *, seed=0, step=1, p=None, all_rows=False, **recipe):
    p = random_vit(config) if p is None else p
    how = dict(seed=seed, step=step, all_rows=all_rows)
    return batch_gradient(as_part(batch), p, config, dataclasses.replace(PLAIN, **recipe), **how)


@pytest.mark.parametrize("all_rows", [True, False])
@pytest.mark.parametrize("micro_batch", [1, 3, 4, 5, 13, 14, 100])
def test_micro_batches_add_up_to_the_batch(batch, micro_batch, all_rows):
    p = random_vit(CONFIG)
    _, loss, _, g = loss_and_gradients(*batch, p, CONFIG, smoothing=0.1)
    found_loss, found = gradient(batch, micro_batch=micro_batch, all_rows=all_rows)
    assert float(found_loss) == pytest.approx(float(loss), rel=1e-12)
    assert found.shape == (trees.count(p),)
    assert_close(trees.views(found, p), trees.views(flatten(g, p), p), 1e-12)


def test_the_loss_is_the_textbooks_with_smoothing(batch):
    logits, _ = vit(batch[0], random_vit(CONFIG), CONFIG)
    loss, _ = gradient(batch, micro_batch=5, label_smoothing=0.2)
    assert float(loss) == pytest.approx(naive.cross_entropy(logits, batch[1], 0.2), rel=1e-12)


def test_float32_in_float32_out(batch):
    x, y = batch
    p = vit_init(np.random.default_rng(0), CONFIG)
    loss, g = gradient((x.astype(np.float32), y), p=p, micro_batch=5)
    assert loss.dtype == g.dtype == np.float32


def test_nothing_is_changed(batch):
    p = random_vit(RANDOM)
    before = [leaf.copy() for leaf in (*trees.leaves(p), *batch)]
    gradient(batch, RANDOM, p=p, micro_batch=5, shift=1, rotate=10.0)
    assert all((x == y).all() for x, y in zip((*trees.leaves(p), *batch), before, strict=True))


AUGMENTED, MASKED = (CONFIG, {"shift": 1}), (RANDOM, {})
MIRRORED, CROPPED = (CONFIG, {"mirror": 0.5}), (CONFIG, {"crop": 1})


@pytest.mark.parametrize(
    ("config", "recipe"), [AUGMENTED, MASKED, MIRRORED, CROPPED], ids=["augmentation", "dropout", "mirror", "crop"]
)
def test_random_draws_follow_from_seed_and_step(batch, config, recipe):
    def draw(seed, step):
        return gradient(batch, config, seed=seed, step=step, micro_batch=5, **recipe)[1]

    assert (draw(1, 2) == draw(1, 2)).all()
    assert (draw(1, 2) != draw(1, 3)).any(), "another step, the same draws"
    assert (draw(1, 2) != draw(2, 2)).any(), "another seed, the same draws"
    assert (draw(1, 2) != draw(2, 1)).any(), "seed and step are mixed up"


@pytest.mark.parametrize(
    ("config", "recipe"), [AUGMENTED, MASKED, MIRRORED, CROPPED], ids=["augmentation", "dropout", "mirror", "crop"]
)
def test_every_micro_batch_has_draws_of_its_own(batch, config, recipe):
    one = batch[0][:1], batch[1][:1]
    four = batch[0][:1].repeat(4, axis=0), batch[1][:1].repeat(4)
    found = gradient(four, config, micro_batch=1, **recipe)[1]
    assert not np.allclose(found, gradient(one, config, micro_batch=1, **recipe)[1])


def test_without_randomness_neither_seed_nor_step_matters(batch):
    assert (gradient(batch, seed=1, step=2)[1] == gradient(batch, seed=3, step=4)[1]).all()


def test_memory_does_not_grow_with_the_batch():
    config = ViTConfig(image=16, channels=1, patch=4, dim=32, depth=2, heads=2, mlp_dim=64, classes=10)
    p, rng = vit_init(np.random.default_rng(0), config), np.random.default_rng(1)

    def peak(count):
        x, y = rng.standard_normal((count, 16, 16, 1), dtype=np.float32), rng.integers(0, 10, count)
        recipe = Recipe(micro_batch=16, shift=1)
        batch_gradient(as_part((x, y)), p, config, recipe, seed=0, step=1)  # what is allocated once, is now
        tracemalloc.start()
        batch_gradient(as_part((x, y)), p, config, recipe, seed=0, step=1)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = peak(64), peak(256)
    assert small > 500_000, "the measurement misses the activations"
    assert large < 1.05 * small


def test_a_gradient_that_the_backward_pass_forgets_is_no_zero(monkeypatch, batch):
    """A model would train with what is left, and say nothing."""
    model = model_of(CONFIG)

    def forgetful(*args, **keywords):
        dbatch, g = model.backward(*args, **keywords)
        return dbatch, {name: part for name, part in g.items() if name != "ln"}

    monkeypatch.setattr("tinyvit.training.gradients.model_of", lambda config: model._replace(backward=forgetful))
    with pytest.raises(KeyError, match="ln"):
        gradient(batch)
