"""What frozen blocks and recomputed caches leave out changes no bit of what is trained."""

import dataclasses
from functools import partial

import numpy as np
import pytest

import tinyvit
from tests.reference.compare import assert_same_bits, cast, random_vit
from tests.training.helpers import CONFIG, RECIPE, toy
from tinyvit import ConvStemConfig, HybridConfig, SwinConfig, ViTConfig, trees
from tinyvit.errors import UsageError
from tinyvit.gradcheck import gradcheck
from tinyvit.layers.recompute import NotKept, Recomputed
from tinyvit.models.bert import BERTConfig
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.config import CHOICES
from tinyvit.models.gpt import GPTConfig
from tinyvit.models.masked import MaskedConfig
from tinyvit.models.model import ALL_MODELS, model_of
from tinyvit.models.transformer import TransformerConfig
from tinyvit.models.vit import vit, vit_backward, vit_masks
from tinyvit.training import loop, train_step
from tinyvit.training.adamw import block_names, trainable
from tinyvit.training.gradients import batch_gradient
from tinyvit.training.recipe import Recipe, check_recipe

DEEP = dataclasses.replace(CONFIG, depth=3, dropout=0.2)
SWIN = SwinConfig(image=8, channels=1, patch=1, dim=4, depths=(2, 2), heads=(1, 2), window=2, classes=3, drop_path=0.3)
HYBRID = HybridConfig(DEEP.changed(image=1, patch=1), image=9, channels=1, units=(1, 1), width=4, groups=2)
CONVSTEM = ConvStemConfig(DEEP.changed(image=1, patch=1), image=9, channels=1, widths=(3, 4))
TEXT = dict(tokens=9, length=6, dim=8, depth=3, heads=2, mlp_dim=12, dropout=0.2)
VARIANTS = {
    "as in the paper": {},
    **{
        f"{kind}, {at}": dict(position=kind, position_at=at)
        for kind in ("1d", "relative")
        for at in ("layers", "shared")
    },
    "2d, layers": dict(position="2d", position_at="layers"),
    "sinusoidal": dict(position="sinusoidal"),
    "no position": dict(position="none"),
    "post-norm, no scale, tanh": dict(norm="post", scale="none", gelu="tanh"),
    "no dropout, pre_logits": dict(dropout=0.0, pre_logits=5),
    **{f"pool {pool}": dict(pool=pool) for pool in CHOICES["pool"] if pool != "class"},
    **{f"attention {kind}": dict(attention=kind) for kind in CHOICES["attention"] if kind != "full"},
}
MODELS = {name: dataclasses.replace(DEEP, **options) for name, options in VARIANTS.items()}
MODELS |= {"swin": SWIN, "hybrid": HYBRID, "convstem": CONVSTEM, "masked": MaskedConfig(DEEP, corrupted=0.5)}
MODELS |= {"gpt": GPTConfig(**TEXT), "bert": BERTConfig(**TEXT), "bert, pre-norm": BERTConfig(**TEXT, norm="pre")}
every_model = pytest.mark.parametrize("name", MODELS)


def parameters(config):
    """Random parameters, in which nothing is 0 or 1, as float32."""
    rng = np.random.default_rng(0)
    return trees.map(
        lambda leaf: rng.normal(0, 0.5, leaf.shape).astype(np.float32), model_of(config).init(None, config)
    )


def a_batch(config, count=3):
    """Random examples."""
    rng, task = np.random.default_rng(1), model_of(config).task
    most = task.vocabularies(config)
    batch = {}
    for name, (shape, dtype) in task.arrays(config).items():
        upper, size = most.get(name, getattr(config, "classes", 2)), (count, *shape)
        batch[name] = rng.integers(4 if most else 0, upper, size) if dtype != "float32" else rng.normal(size=size)
        batch[name] = batch[name].astype(dtype)
    return batch


def gradients(config, p, **settings):
    """The loss and the gradient of each parameter by name, in two micro-batches."""
    recipe = dataclasses.replace(RECIPE, micro_batch=2, shift=0, **settings)
    loss, vector = batch_gradient(a_batch(config), p, config, recipe, seed=3, step=4)
    return loss, trees.named(trees.views(vector, p))


# ---- frozen blocks


@every_model
def test_what_is_trained_has_the_gradients_of_a_full_step(name):
    config = MODELS[name]
    p = parameters(config)
    loss, expected = gradients(config, p)
    blocks = len(block_names(p))
    assert blocks > 1
    for freeze in range(1, blocks + 1):
        found_loss, found = gradients(config, p, freeze=freeze)
        marks = trees.named(trees.views(trainable(p, freeze), p))
        assert found_loss == loss
        trained = [key for key in expected if marks[key].all()]
        assert 0 < len(trained) < len(expected)
        assert_same_bits({key: found[key] for key in trained}, {key: expected[key] for key in trained})
        if name not in ("masked", "gpt", "bert", "bert, pre-norm"):  # something below their blocks is trained
            assert not any(found[key].any() for key in expected if key not in trained)
            assert any(expected[key].any() for key in expected if key not in trained)


@pytest.mark.parametrize("name", ["as in the paper", "swin", "hybrid", "convstem"])
def test_below_the_lowest_trained_parameter_nothing_is_kept(name):
    """So the way back could not go there."""
    config = MODELS[name]
    model, p, batch = model_of(config), parameters(config), a_batch(config)
    blocks = len(block_names(p))
    for freeze in (1, 2, blocks):
        y, c = model.forward(batch, p, config, freeze=freeze)
        caches = [block for stage in c.get("stages", [c]) for block in stage["blocks"]]
        assert [isinstance(cache, NotKept) for cache in caches] == [i < freeze for i in range(blocks)]
        if name == "swin":
            assert isinstance(c["stages"][0]["merging"], NotKept) == (freeze > 2)
        if name == "hybrid":
            assert "stem" not in c["resnet"]
        if name == "convstem":
            assert isinstance(c["stem"], NotKept)
        dbatch, _ = model.backward(np.ones_like(y), p, c, config, freeze=freeze)
        assert dbatch == {}


@pytest.mark.parametrize("freeze", [1, 2])
def test_the_gradient_check_of_what_is_trained(freeze):
    config = ViTConfig(image=4, patch=2, channels=2, dim=4, depth=2, heads=2, mlp_dim=3, classes=7)
    p, images = random_vit(config), np.random.default_rng(1).normal(size=(3, 4, 4, 2))
    blocks = p["blocks"]

    def whole(top):
        return p | {"blocks": blocks[:freeze] + top["blocks"], "ln": top["ln"], "head": top["head"]}

    def forward(top):
        return vit(images, whole(top), config, freeze=freeze)

    def backward(dy, top, c):
        _, g = vit_backward(dy, whole(top), c, config, freeze=freeze)
        return {"blocks": g["blocks"][freeze:], "ln": g["ln"], "head": g["head"]}

    report = gradcheck(forward, backward, {"blocks": blocks[freeze:], "ln": p["ln"], "head": p["head"]})
    assert report.ok and report.worst_error < 1e-7, f"\n{report}"


def fit(recipe, config=DEEP, **options):
    p = cast(random_vit(config), np.float32)
    return loop.fit(config, toy(), p=p, recipe=recipe, seed=1, progress=False, **options)


def without_options(batch, p, config, *, masks, all_rows, keep_cache=True):
    return vit(batch["images"], p, config, masks=masks, all_rows=all_rows, keep_cache=keep_cache)


def backward_without_options(dy, p, c, config):
    return {}, vit_backward(dy, p, c, config)[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_ends_as_one_that_computes_all_gradients_and_updates_all(monkeypatch, workers):
    """What is left out in the optimiser's step, too; with several blocks of the vector to a worker."""
    monkeypatch.setattr(train_step, "BLOCK", 100)
    monkeypatch.setattr(loop, "start_worker_pool", partial(loop.start_worker_pool, kind="threads"))
    recipe = dataclasses.replace(RECIPE, freeze=2, weight_decay=0.5)
    found, history = fit(recipe, workers=workers)
    start = train_step.TrainStep.__init__

    def with_all(self, *args):
        start(self, *args)
        assert self.lowest > 0
        self.lowest = 0

    monkeypatch.setattr(train_step.TrainStep, "__init__", with_all)
    plain = ALL_MODELS["vit"]._replace(forward=without_options, backward=backward_without_options, block_options=False)
    monkeypatch.setitem(ALL_MODELS, "vit", plain)
    expected, their_history = fit(recipe, workers=workers)
    assert_same_bits(found, expected)
    assert [record.get("gradient_norm") for record in history] == [r.get("gradient_norm") for r in their_history]


# ---- recomputed caches


@every_model
def test_recomputing_gives_the_same_bits(name):
    """Dropout's masks are drawn once, and a block that is computed again gets the same."""
    config = MODELS[name]
    p = parameters(config)
    expected = gradients(config, p)
    assert_same_bits(gradients(config, p, recompute=True), expected)
    assert_same_bits(gradients(config, p, recompute=True, freeze=1), gradients(config, p, freeze=1))


@pytest.mark.parametrize("all_rows", [True, False])
@pytest.mark.parametrize(
    "name", ["as in the paper", "relative, layers", "attention linear", "post-norm, no scale, tanh"]
)
def test_only_the_inputs_of_blocks_are_kept(name, all_rows):
    config = MODELS[name]
    p, images = parameters(config), a_batch(config)["images"]
    masks = vit_masks(np.random.default_rng(0), config, len(images), all_rows=all_rows)
    results = []
    for keep_cache in (True, "inputs"):
        y, c = vit(images, p, config, masks=masks, all_rows=all_rows, keep_cache=keep_cache)
        results.append([y, *vit_backward(np.cos(np.arange(y.size)).reshape(y.shape).astype("f4"), p, c, config)])
    assert_same_bits(*results)
    assert all(list(cache) == ["input"] and isinstance(cache, Recomputed) for cache in c["blocks"])  # afterwards, too


@pytest.mark.parametrize("name", ["as in the paper", "relative, layers"])
def test_the_gradient_check_of_recomputed_blocks(name):
    small = dict(image=4, patch=2, channels=2, dim=4, depth=2, heads=2, mlp_dim=3, classes=7, dropout=0.3)
    config = ViTConfig(**small | VARIANTS[name])
    masks = vit_masks(np.random.default_rng(1), config, 3, dtype=np.float64)
    images = np.random.default_rng(1).normal(size=(3, 4, 4, 2))
    how = dict(config=config, masks=masks, keep_cache="inputs")
    report = gradcheck(vit, lambda dy, p, c: vit_backward(dy, p, c, config), images, random_vit(config), **how)
    assert report.ok and report.worst_error < 1e-7, f"\n{report}"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_that_recomputes_ends_with_the_same_bits(workers):
    found, expected = (fit(dataclasses.replace(RECIPE, recompute=x), workers=workers)[0] for x in (True, False))
    assert_same_bits(found, expected)


def test_less_is_kept_on_the_way_back():
    """Of all the forward pass remembers, the inputs are a small part."""
    config = dataclasses.replace(DEEP, depth=6)
    p, images = parameters(config), a_batch(config)["images"]
    whole, inputs = (
        sum(leaf.nbytes for leaf in trees.leaves(vit(images, p, config, keep_cache=keep)[1]["blocks"]))
        for keep in (True, "inputs")
    )
    assert inputs < whole / 8


# ---- mistakes


def test_who_reads_in_a_cache_that_was_not_kept_is_told():
    p, images = parameters(DEEP), a_batch(DEEP)["images"]
    _, c = vit(images, p, DEEP, keep_cache="inputs")
    with pytest.raises(UsageError, match=r'inputs were kept: .* without keep_cache="inputs"'):
        tinyvit.attention_maps(c)
    y, c = vit(images, p, DEEP, freeze=1)
    with pytest.raises(UsageError, match="the cache was not kept"):
        vit_backward(y, p, c, DEEP)


@pytest.mark.parametrize(
    "config", [CNNConfig(image=8, channels=1, classes=3), TransformerConfig()], ids=["cnn", "text"]
)
def test_models_that_keep_all(config):
    with pytest.raises(UsageError, match=r"recompute is True: .* keeps its cache, expected False"):
        check_recipe(config, Recipe(recompute=True))


@pytest.mark.parametrize("value", [1, "yes", None])
def test_recompute_is_true_or_false(value):
    with pytest.raises(UsageError, match=r"recompute is .*: expected True or False"):
        Recipe(recompute=value)
