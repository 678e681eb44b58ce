"""evaluate and predict, against a plain computation over the whole set at once."""

import tracemalloc

import numpy as np
import pytest
import threadpoolctl

from tests.reference import naive
from tests.reference.compare import cast, random_vit, randomised
from tests.training.helpers import CONFIG, toy
from tinyvit import trees
from tinyvit.models.cnn import CNNConfig, cnn, cnn_init
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_init
from tinyvit.training import evaluation
from tinyvit.training.batches import as_part
from tinyvit.training.evaluation import evaluate, outputs_and_scores, predict

P = random_vit(CONFIG)


def outputs_of(images, p, config, **how):
    """The outputs alone, of images without labels."""
    return outputs_and_scores(as_part((images, np.zeros(len(images), np.int64))), p, config, **how)[0]


@pytest.fixture
def data():
    x, y = toy(train=23)[0]
    return x.astype(np.float64), np.roll(y, 5)


@pytest.mark.parametrize("batch", [1, 5, 22, 23, 64])
def test_evaluate(data, batch):
    logits, _ = vit(data[0], P, CONFIG)
    scores = evaluate(data, P, CONFIG, batch=batch)
    loss, accuracy = scores["loss"], scores["accuracy"]
    assert loss == pytest.approx(naive.cross_entropy(logits, data[1]), rel=1e-12)
    assert accuracy == sum(int(logits[i].argmax() == data[1][i]) for i in range(23)) / 23
    assert 0 < accuracy < 1, "the test shows nothing"
    assert type(loss) is type(accuracy) is float


@pytest.mark.parametrize("batch", [1, 5, 22, 23, 64])
def test_predict(data, batch):
    probabilities = predict(data[0], P, CONFIG, batch=batch)
    np.testing.assert_allclose(probabilities, naive.softmax(vit(data[0], P, CONFIG)[0]), rtol=1e-12)
    assert probabilities.shape == (23, 3)


@pytest.mark.parametrize("count", [0, 5, 23])
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_kept_of_the_outputs_may_be_less(data, monkeypatch, count, workers):
    """Twenty-three examples are for processes."""
    monkeypatch.setattr(evaluation, "MANY", 23)
    x, p = data[0][:count].astype(np.float32), trees.map(lambda a: a.astype(np.float32), P)
    whole, kept = (outputs_of(x, p, CONFIG, batch=4, workers=workers, **how) for how in ({}, {"of_outputs": best}))
    np.testing.assert_array_equal(kept, whole.argmax(-1))
    assert kept.shape == (count,)


def best(y):
    assert len(y) <= 8, "more at once than a batch of both workers"
    return y.argmax(-1)


@pytest.mark.parametrize("workers", [2, 3, 40])
@pytest.mark.parametrize("path", ["threads", "processes", "a large model"])
def test_workers(data, monkeypatch, path, workers):
    x, p = data[0].astype(np.float32), trees.map(lambda a: a.astype(np.float32), P)
    expected = vit(x, p, CONFIG)[0]
    if path == "processes":
        monkeypatch.setattr(evaluation, "MANY", 23)
        workers = min(workers, 3)
    if path == "a large model":
        monkeypatch.setattr(evaluation, "LARGE", 0)
    np.testing.assert_allclose(outputs_of(x, p, CONFIG, batch=4, workers=workers), expected, rtol=1e-4, atol=1e-5)


def test_the_order_and_precision_of_the_tree_are_its_own_with_processes_too(data, monkeypatch):
    monkeypatch.setattr(evaluation, "MANY", 23)
    x, p = data[0].astype(np.float32), trees.map(lambda a: a.astype(np.float32), P)
    expected = vit(x, p, CONFIG)[0]
    turned = dict(reversed(p.items()))
    np.testing.assert_allclose(outputs_of(x, turned, CONFIG, batch=4, workers=2), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        outputs_of(data[0], P, CONFIG, batch=4, workers=2), vit(data[0], P, CONFIG)[0], rtol=1e-12
    )


def test_there_are_no_more_processes_than_micro_batches(data, monkeypatch):
    monkeypatch.setattr(evaluation, "MANY", 23)
    asked, start = [], evaluation.start_worker_pool
    monkeypatch.setattr(
        evaluation, "start_worker_pool", lambda *args, workers: asked.append(workers) or start(*args, workers=workers)
    )
    x, p = data[0].astype(np.float32), trees.map(lambda a: a.astype(np.float32), P)
    outputs_of(x, p, CONFIG, batch=12, workers=500)
    assert asked == [2]


def test_no_images():
    assert outputs_of(np.zeros((0, 4, 4, 1), np.float32), P, CONFIG, workers=2).shape == (0, 3)


def test_a_large_models_few_images_share_its_products(monkeypatch):
    monkeypatch.setattr(evaluation, "LARGE", 0)
    seen, model = [], evaluation.model_of(CONFIG)

    def watched(batch, *args, **keywords):
        threads = {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}
        seen.append((len(batch["images"]), max(threads)))
        return model.forward(batch, *args, **keywords)

    monkeypatch.setattr(evaluation, "model_of", lambda config: model._replace(forward=watched))
    (x, _), _ = toy(train=8)
    outputs_of(x[:1], P, CONFIG, workers=2)
    outputs_of(x[:8], P, CONFIG, workers=2)
    assert seen == [(1, 2), (4, 1), (4, 1)], "one image over both threads; eight images, four to each thread"


@pytest.mark.parametrize(("least", "sizes"), [(0, [8, 8, 7]), (1e9, [23])])
def test_of_a_large_model_few_examples_are_computed_at_once(data, monkeypatch, least, sizes):
    """Memory does not grow with the batch."""
    model, taken = evaluation.model_of(CONFIG), []

    def forward(batch, *args, **keywords):
        taken.append(len(batch["images"]))
        return model.forward(batch, *args, **keywords)

    monkeypatch.setattr(evaluation, "LARGE", least)
    monkeypatch.setattr(evaluation, "model_of", lambda config: model._replace(forward=forward))
    outputs = outputs_of(data[0], P, CONFIG)
    assert taken == sizes
    np.testing.assert_allclose(outputs, vit(data[0], P, CONFIG)[0], rtol=1e-10)


@pytest.mark.parametrize("images", [7, evaluation.MANY])
def test_other_models_are_evaluated_as_well(images):
    config = CNNConfig(image=4, classes=3, widths=(2, 3))
    p, (x, _) = cast(randomised(cnn_init(None, config)), np.float32), toy(train=images)[0]
    np.testing.assert_allclose(outputs_of(x, p, config, workers=2), cnn(x, p, config)[0], atol=1e-5)


def test_caches_are_dropped_as_soon_as_they_are_not_needed():
    config = ViTConfig(image=32, channels=1, patch=4, dim=32, depth=8, heads=2, mlp_dim=128, classes=10)
    p, x = vit_init(np.random.default_rng(0), config), np.zeros((8, 32, 32, 1), np.float32)

    def peak(keep):
        tracemalloc.start()
        logits, _ = vit(x, p, config, all_rows=False, keep_cache=keep)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found, logits

    (kept, logits), (dropped, same) = peak(True), peak(False)
    assert dropped < kept / 4, "eight blocks' caches instead of one or two"
    assert (logits == same).all()


def test_on_the_device(data, xp):
    p = trees.map(xp.asarray, P)
    assert evaluate(data, p, CONFIG) == pytest.approx(evaluate(data, P, CONFIG), rel=1e-10)
    found = predict(data[0], p, CONFIG)
    assert type(found) is np.ndarray
    np.testing.assert_allclose(found, predict(data[0], P, CONFIG), rtol=1e-10)
