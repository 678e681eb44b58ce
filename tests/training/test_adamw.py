"""AdamW and what surrounds it, against the textbook's formulas."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, randomised
from tinyvit import trees
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit_init
from tinyvit.training.adamw import BLOCK, adamw_step, clip_factor, decay_of, update_average

CONFIG = ViTConfig(image=6, channels=2, patch=3, dim=6, depth=2, heads=3, mlp_dim=7, classes=4, pre_logits=5)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def flat(tree):
    return np.concatenate([leaf.reshape(-1) for leaf in trees.leaves(tree)])


def steps(p, gradients, dtype, **options):
    """The tree after one step of adamw_step for each gradient, in the given dtype."""
    vector = flat(p).astype(dtype)
    m, v, decay = np.zeros_like(vector), np.zeros_like(vector), decay_of(trees.map(lambda x: x.astype(dtype), p), 0.1)
    for step, g in enumerate(gradients, 1):
        adamw_step(vector, flat(g).astype(dtype), m, v, step=step, learning_rate=0.01, decay=decay, **options)
    assert {vector.dtype, m.dtype, v.dtype, decay.dtype} == {np.dtype(dtype)}
    return trees.views(vector, p)


def textbook_steps(p, gradients, **options):
    p = trees.named(p)
    m, v = ({name: np.zeros_like(leaf) for name, leaf in p.items()} for _ in range(2))
    for step, g in enumerate(gradients, 1):
        p, m, v = naive.adamw(p, trees.named(g), m, v, step=step, learning_rate=0.01, weight_decay=0.1, **options)
    return p


@pytest.mark.parametrize("options", [{}, {"beta1": 0.5, "beta2": 0.7, "eps": 0.1}], ids=["defaults", "others"])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-6)])
def test_steps_are_the_textbooks_leaf_by_leaf(dtype, tolerance, options):
    p = randomised(vit_init(None, CONFIG))
    gradients = [randomised(p, seed) for seed in range(5)]
    found = steps(p, gradients, dtype, **options)
    assert_close(trees.named(found), textbook_steps(p, gradients, **options), tolerance)


@pytest.mark.parametrize("n", [1, BLOCK - 1, BLOCK, 3 * BLOCK + 17])
def test_every_entry_of_a_long_vector_is_updated_once(rng, n):
    p = {"w": rng.standard_normal(n)}  # not ".../w": no decay but where it is asked for below
    gradients = [{"w": rng.standard_normal(n)} for _ in range(3)]
    vector, m, v = p["w"].copy(), np.zeros(n), np.zeros(n)
    decay = rng.uniform(0, 1, n)
    for step, g in enumerate(gradients, 1):
        before, kept = vector.copy(), g["w"].copy()
        adamw_step(vector, g["w"], m, v, step=step, learning_rate=0.01, decay=decay)
        assert (g["w"] == kept).all(), "the gradient was changed"
        mhat, vhat = m / (1 - 0.9**step), v / (1 - 0.999**step)
        np.testing.assert_allclose(vector, before - 0.01 * (decay * before + mhat / (np.sqrt(vhat) + 1e-8)), rtol=1e-12)
    assert_close(m, 0.1 * (0.81 * gradients[0]["w"] + 0.9 * gradients[1]["w"] + gradients[2]["w"]))


def test_the_first_step_is_the_learning_rate_in_the_gradients_direction():
    p, m, v = np.zeros(3), np.zeros(3), np.zeros(3)
    adamw_step(p, np.array([1e-3, -50.0, 0.0]), m, v, step=1, learning_rate=0.1, decay=0.0)
    np.testing.assert_allclose(p, [-0.1, 0.1, 0], rtol=1e-4)


def test_decay_is_decoupled_from_the_gradients_size():
    shrunk = []
    for size in (1e-3, 1e3):
        p, m, v = np.ones(1), np.zeros(1), np.full(1, size)
        adamw_step(p, np.zeros(1), m, v, step=1, learning_rate=0.1, decay=0.5)
        shrunk.append(p[0])
    assert shrunk == [0.95, 0.95]


def test_only_matrices_decay():
    p = vit_init(None, CONFIG)
    decay = trees.named(trees.views(decay_of(p, 0.25), p))
    decaying = {name for name, leaf in decay.items() if (leaf == 0.25).all()}
    assert all((decay[name] == 0).all() for name in decay.keys() - decaying)
    matrices = ("msa/q", "msa/k", "msa/v", "msa/o", "mlp/fc1", "mlp/fc2")
    blocks = [f"blocks/{i}/{name}/w" for i in range(2) for name in matrices]
    assert decaying == {"patch/w", *blocks, "pre_logits/w", "head/w"}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clipping_shortens_to_the_limit(rng, dtype):
    g = rng.standard_normal(1000).astype(dtype)
    factor = clip_factor(np.linalg.norm(g), 2.0)
    assert np.linalg.norm(factor * g) == pytest.approx(2, rel=1e-5)
    assert (factor * g).dtype == g.dtype


def test_clipping_spares_a_short_gradient():
    assert clip_factor(np.float64(0.5), 1.0) == 1


def test_clipping_spares_nothing_at_all():
    assert clip_factor(np.float64(0), 1.0) == 1


def test_the_average_ramps_up_and_then_forgets_at_its_own_rate(rng):
    ps = rng.standard_normal((40, 3))
    average, expected = np.zeros(3), np.zeros(3)
    for step, p in enumerate(ps, 1):
        d = (1 + step) / (10 + step) if step < 35 else 0.8  # (1 + 35) / (10 + 35) = 0.8
        expected = d * expected + (1 - d) * p
        update_average(average, p, step=step, decay=0.8)
        np.testing.assert_allclose(average, expected, rtol=1e-12)


def test_an_average_without_decay_is_the_last_weights(rng):
    p = rng.standard_normal(5)
    average = rng.standard_normal(5)
    update_average(average, p, step=3, decay=0.0)
    assert (average == p).all()
