"""A step of training: how it computes, the order of the examples, and a step of the optimiser."""

import contextlib

import numpy as np

from tinyvit.errors import DivergedError
from tinyvit.training.gradients import ORDER
from tinyvit.training.memory import keep_freed_memory
from tinyvit.training.schedule import SCHEDULES

LOG_EVERY = 10  # steps between two lines of the history


@contextlib.contextmanager
def arithmetic():
    """While it lasts, BLAS runs on one thread, and NumPy says nothing of overflows.

    The bits depend on the number of threads, and products as small as these are faster on one. A run that diverges
    overflows first; it is reported as DivergedError, not as a warning here and there.
    """
    from threadpoolctl import threadpool_limits

    keep_freed_memory()
    with threadpool_limits(1, "blas"), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        yield


def epoch_order(seed, epoch, examples):
    """The order of so many training examples in an epoch (from 0): their indices."""
    return np.random.default_rng([seed, ORDER, epoch]).permutation(examples)


def take_step(pool, step, steps, batch):
    """One step of the optimiser on a batch.

    Parameters
    ----------
    pool : from `start_worker_pool`
    step, steps : int
        Which one, from 1, of how many.
    batch : {name: array}
        On the host.

    Returns
    -------
    loss, norm, rate
        The mean loss in nats and the norm of the gradient, before the step; and the learning rate.

    Raises
    ------
    DivergedError
        If the loss or the gradient is no longer a number; the parameters are those before the step.
    """
    recipe = pool.train_step.recipe
    loss, norm = pool.gradient(step, batch)
    # Reading a number from a GPU waits for all that was asked of it so far: there, only every few steps.
    if (isinstance(norm, np.generic) or step % LOG_EVERY == 0) and not np.isfinite(float(loss + norm)):
        raise diverged(step, steps, recipe)
    rate = SCHEDULES[recipe.schedule](step, steps=steps, warmup=recipe.warmup, peak=recipe.learning_rate)
    pool.update(step, rate)
    return loss, norm, rate


def diverged(step, steps, recipe, kept=""):
    """The error of a run whose loss is not a number; `kept` says, after "; ", what it leaves behind."""
    return DivergedError(
        f"the loss is not a number at step {step} of {steps}{kept}: "
        f"start again with a lower --learning-rate than {recipe.learning_rate:g}"
    )
