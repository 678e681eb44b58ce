"""docs/one_page.py is the package's model: its logits, its gradients, its steps."""

import subprocess
import sys

import numpy as np
import pytest

from docs import one_page
from tinyvit import PRESETS, trees
from tinyvit.models.vit import vit, vit_backward, vit_init
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward
from tinyvit.training.adamw import adamw_step, decay_of

CONFIG = PRESETS["digits"].changed(gelu="tanh")
BOUND = 1e-6


@pytest.fixture
def random():
    return np.random.default_rng(3)


@pytest.fixture
def p(random):
    """Parameters of which none is 0 or 1, in double precision."""
    p = vit_init(random, CONFIG, dtype="float64")
    return trees.map(lambda w: w + 0.1 * random.standard_normal(w.shape), p)


@pytest.fixture
def batch(random):
    return random.uniform(-1, 1, (6, 8, 8, 1)), random.integers(0, 10, 6)


def gradient(images, labels, p):
    logits, c = vit(images, p, CONFIG)
    loss, c_loss = cross_entropy(logits, labels)
    return loss, vit_backward(cross_entropy_backward(1.0, c_loss), p, c, CONFIG)[1]


def copies(p):
    return {name: w.copy() for name, w in trees.named(p).items()}


def assert_near(found, expected):
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape, name
        assert np.abs(found[name] - array).max() <= BOUND * max(1, np.abs(array).max()), name


def test_names_and_shapes_are_the_packages():
    here, there = one_page.start(np.random.default_rng(0)), trees.named(vit_init(None, CONFIG))
    assert {name: w.shape for name, w in here.items()} == {name: w.shape for name, w in there.items()}


def test_it_starts_as_the_package_does():
    """Other draws, but of the same size: the mean square of a small matrix varies."""
    here, there = one_page.start(np.random.default_rng(0)), vit_init(np.random.default_rng(1), CONFIG)
    for name, w in trees.named(there).items():
        assert np.square(here[name]).mean() == pytest.approx(np.square(w).mean(), rel=0.4), name


def test_logits_and_gradients(p, batch):
    images, labels = batch
    logits, cache = one_page.vit(images, copies(p))
    loss, dlogits = one_page.cross_entropy(logits, labels)
    expected, g = gradient(images, labels, p)
    assert_near({"logits": logits}, {"logits": vit(images, p, CONFIG)[0]})
    assert abs(loss - expected) < BOUND
    assert_near(one_page.vit_backward(dlogits, copies(p), cache), trees.named(g))


def test_ten_steps(p, batch):
    here, m, v = copies(p), *({name: np.zeros_like(w) for name, w in trees.named(p).items()} for _ in range(2))
    flat = np.concatenate([w.ravel() for w in trees.leaves(p)])
    there, decay = trees.views(flat, p), decay_of(p, one_page.DECAY)
    first, second = np.zeros_like(flat), np.zeros_like(flat)
    for step in range(1, 11):
        logits, cache = one_page.vit(batch[0], here)
        _, dlogits = one_page.cross_entropy(logits, batch[1])
        one_page.adamw(here, one_page.vit_backward(dlogits, here, cache), m, v, step, one_page.RATE)
        g = np.concatenate([w.ravel() for w in trees.leaves(gradient(*batch, there)[1], like=p)])
        adamw_step(flat, g, first, second, step=step, learning_rate=one_page.RATE, decay=decay)
    assert_near(here, trees.named(there))


def test_it_is_one_page_of_numpy_alone():
    source = (one_page.Path(one_page.__file__)).read_text()
    assert len(source.splitlines()) <= 200
    assert "import tinyvit" not in source and "from tinyvit" not in source


def test_it_learns_light_from_dark(random):
    labels = random.integers(0, 2, 64)
    images = (random.uniform(-1, 1, (64, 8, 8, 1)) / 2 + labels[:, None, None, None] - 0.5).astype("float32")
    p = one_page.train(images, labels, random, epochs=10)
    assert (one_page.vit(images, p)[0].argmax(axis=1) == labels).all()


def test_the_command():
    done = subprocess.run([sys.executable, one_page.__file__], capture_output=True, text=True, check=True)
    accuracy = float(done.stdout.splitlines()[-1].split(" %")[0])
    assert accuracy >= 96
