"""evaluate and predict, against a plain computation over the whole set at once."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import random_vit
from tests.training.helpers import CONFIG, toy
from tinyvit import trees
from tinyvit.models.vit import vit
from tinyvit.training.evaluation import evaluate, predict

P = random_vit(CONFIG)


@pytest.fixture
def data():
    x, y = toy(train=23)[0]
    return x.astype(np.float64), np.roll(y, 5)


@pytest.mark.parametrize("batch", [1, 5, 22, 23, 64])
def test_evaluate(data, batch):
    logits, _ = vit(data[0], P, CONFIG)
    loss, accuracy = evaluate(*data, P, CONFIG, batch=batch)
    assert loss == pytest.approx(naive.cross_entropy(logits, data[1]), rel=1e-12)
    assert accuracy == sum(int(logits[i].argmax() == data[1][i]) for i in range(23)) / 23
    assert 0 < accuracy < 1, "the test shows nothing"
    assert type(loss) is type(accuracy) is float


@pytest.mark.parametrize("batch", [1, 5, 22, 23, 64])
def test_predict(data, batch):
    probabilities = predict(data[0], P, CONFIG, batch=batch)
    np.testing.assert_allclose(probabilities, naive.softmax(vit(data[0], P, CONFIG)[0]), rtol=1e-12)
    assert probabilities.shape == (23, 3)


def test_on_the_device(data, xp):
    p = trees.map(xp.asarray, P)
    assert evaluate(*data, p, CONFIG) == pytest.approx(evaluate(*data, P, CONFIG), rel=1e-10)
    found = predict(data[0], p, CONFIG)
    assert type(found) is np.ndarray
    np.testing.assert_allclose(found, predict(data[0], P, CONFIG), rtol=1e-10)
