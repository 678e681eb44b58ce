"""The dtype of a whole model: what goes in is what comes out, and float32 agrees with float64.

Each op and layer alone is checked so in tests/test_contracts.py.
"""

import numpy as np
import pytest

from tests.reference.compare import assert_close, cast, randomised
from tests.reference.training import loss_and_gradients
from tinyvit import trees
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_init, vit_masks

CONFIG = dict(image=12, patch=3, dim=24, depth=3, heads=4, mlp_dim=40, classes=9, pre_logits=10, dropout=0.1)


def _dtypes(tree):
    return {name: leaf.dtype for name, leaf in trees.walk(tree)}


VARIANTS = [
    dict(gelu="erf"),
    dict(gelu="tanh"),
    dict(position="sinusoidal", norm="post"),
    dict(position="2d", position_at="layers", pool="mean"),
    dict(position="relative", position_at="shared", pool="mean", norm="post", scale="none"),
]


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_float32_in_and_out_and_close_to_float64(rng, variant, full):
    config = ViTConfig(**CONFIG, **variant)
    images, labels = rng.standard_normal((5, 12, 12, 3)), rng.integers(9, size=5)
    p = randomised(vit_init(rng, config), noise=0.1)

    def results(dtype):
        masks = vit_masks(np.random.default_rng(1), config, 5, all_rows=full, dtype=dtype)
        images_, p_, keywords = images.astype(dtype), cast(p, dtype), dict(masks=masks, all_rows=full)
        found = loss_and_gradients(images_, labels, p_, config, smoothing=0.1, **keywords)
        cache = vit(images_, p_, config, **keywords)[1]
        assert not {name: t for name, t in _dtypes([cache, *found]).items() if t != dtype}
        return found

    assert_close(results(np.float32), results(np.float64), 1e-5)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parameters_start_in_the_dtype_asked_for(rng, dtype, variant):
    for generator in None, rng:
        p = vit_init(generator, ViTConfig(**CONFIG, **variant), dtype=dtype)
        assert set(_dtypes(p).values()) == {np.dtype(dtype)}
