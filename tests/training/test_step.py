"""A step of the optimiser, the order of the images, and how they are computed."""

import dataclasses
import warnings

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tests.training.helpers import CONFIG, RECIPE, toy
from tinyvit.arrays import flat
from tinyvit.errors import DivergedError
from tinyvit.models.vit import vit_init
from tinyvit.training.batches import as_part
from tinyvit.training.schedule import noam, warmup_cosine
from tinyvit.training.step import arithmetic, epoch_order, take_step
from tinyvit.training.worker_pool import start_worker_pool

BATCH = as_part(toy(train=3)[0])


@pytest.fixture
def pool():
    with start_worker_pool(CONFIG, RECIPE, 0) as pool:
        p = flat(vit_init(np.random.default_rng(0), CONFIG), like=pool.train_step.p)
        pool.train_step.arrays["parameters"][...] = pool.train_step.arrays["average"][...] = p
        yield pool


def test_a_step_moves_the_parameters_at_the_schedules_rate(pool):
    before = pool.train_step.arrays["parameters"].copy()
    loss, norm, rate = take_step(pool, 3, 20, BATCH)
    assert loss == pytest.approx(np.log(3), rel=1e-6) and norm > 0
    assert rate == warmup_cosine(3, steps=20, warmup=RECIPE.warmup, peak=RECIPE.learning_rate)
    assert not np.array_equal(pool.train_step.arrays["parameters"], before)


def test_a_recipe_chooses_the_schedule():
    recipe = dataclasses.replace(RECIPE, schedule="noam")
    with start_worker_pool(CONFIG, recipe, 0) as pool:
        pool.train_step.arrays["parameters"][...] = flat(vit_init(None, CONFIG), like=pool.train_step.p)
        _, _, rate = take_step(pool, 20, 20, BATCH)
    assert rate == noam(20, steps=20, warmup=RECIPE.warmup, peak=RECIPE.learning_rate) > 0
    assert warmup_cosine(20, steps=20, warmup=RECIPE.warmup, peak=RECIPE.learning_rate) == pytest.approx(0)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_a_step_that_diverges_changes_nothing(pool, where):
    before = pool.train_step.arrays["parameters"].copy()
    poisoned = {"loss": "loss", "gradient": "norm"}[where]
    setattr(pool.train_step, poisoned, lambda *count: np.float32("inf"))
    with pytest.raises(DivergedError, match="the loss is not a number at step 3 of 20: start again with a lower"):
        take_step(pool, 3, 20, BATCH)
    assert np.array_equal(pool.train_step.arrays["parameters"], before)


def test_an_epochs_order_is_of_seed_and_epoch():
    orders = [epoch_order(seed, epoch, 50).tolist() for seed, epoch in ((0, 0), (0, 1), (1, 0))]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert len(set(map(tuple, orders))) == 3
    assert epoch_order(0, 1, 50).tolist() == orders[1]


def test_blas_has_one_thread_and_numpy_is_silent_while_it_lasts():
    def threads():
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    with threadpool_limits(2, "blas"):
        before = threads()
        with arithmetic(), warnings.catch_warnings():
            warnings.simplefilter("error")
            assert threads() == {1}
            assert np.isinf(np.float32(1e38) * np.float32([1e38]))
        assert threads() == before
        with pytest.warns(RuntimeWarning):
            np.float32(1e38) * np.float32([1e38])
