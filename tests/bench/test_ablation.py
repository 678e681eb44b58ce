"""The causes that docs/ablation.py switches off: the edits find their text, and change no result."""

import numpy as np
import pytest

from docs import ablation
from tests.reference.compare import assert_close
from tinyvit import trees
from tinyvit.bench import contender
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_backward, vit_init

CONFIG = ViTConfig(image=16, channels=1, patch=4, dim=16, depth=2, heads=2, mlp_dim=32, classes=3)


def results():
    p = vit_init(np.random.default_rng(0), CONFIG)
    p["head"]["w"] = np.random.default_rng(1).standard_normal(p["head"]["w"].shape).astype(np.float32)
    images = np.random.default_rng(2).standard_normal((5, 16, 16, 1), dtype=np.float32)
    logits, c = vit(images, p, CONFIG, all_rows=False)
    _, g = vit_backward(np.cos(np.arange(logits.size, dtype=np.float32)).reshape(logits.shape), p, c, CONFIG)
    return {"logits": logits, "predicted": vit(images, p, CONFIG, keep_cache=False)[0]} | trees.named(g)


@pytest.mark.parametrize("name", [name for name, cause in ablation.CAUSES.items() if cause.edits])
def test_without_a_cause_the_results_are_the_same(name):
    expected = results()
    with ablation.edits_of(name):
        assert_close(results(), expected, 1e-5)
    assert all((found == expected[name]).all() for name, found in results().items()), "nothing stays switched off"


def test_constants_and_settings_are_those_of_the_package():
    for cause in ablation.CAUSES.values():
        for module, name, _ in cause.constants:
            assert isinstance(getattr(module, name), int)
    assert contender.MICRO_BATCH < ablation.BATCH


def test_a_contender_without_a_cause(monkeypatch):
    some = {name: ablation.CAUSES[name] for name in (ablation.BASE, "GELU's signs by a division")}
    monkeypatch.setattr(ablation, "CAUSES", some)
    monkeypatch.setattr(ablation, "TURN", 0.01)
    found = ablation.ratios("infer", 1, rounds=1)
    assert found.keys() == some.keys() and min(found.values()) > 0
