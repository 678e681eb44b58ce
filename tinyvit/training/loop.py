"""The training loop.

A run is a function of its settings and its data. Every random draw comes from a generator seeded by what it is for and
when, so the state between two steps is four vectors and a number: parameters, two moments, the average, the step. A run
that is stopped, or killed, and resumed ends with the same bits as one that never was.
"""

import operator
import time
import warnings
from collections.abc import Callable
from contextlib import nullcontext

import numpy as np

from tinyvit import trees
from tinyvit.annotations import Data, Tree
from tinyvit.arrays import choose_device, flat, to_host, xp_of
from tinyvit.errors import CheckpointError, DivergedError, Interrupted, UsageError, WorkerError
from tinyvit.lock import locked
from tinyvit.models.config import Config
from tinyvit.models.model import check_parameters, model_of
from tinyvit.training.batches import check_pixels, checked_data, held_out
from tinyvit.training.checkpoint import load_training, save
from tinyvit.training.cores import workers_for
from tinyvit.training.evaluation import pool_outputs
from tinyvit.training.mpi import Ranks
from tinyvit.training.recipe import Recipe, check_recipe
from tinyvit.training.run import Run
from tinyvit.training.step import LOG_EVERY, arithmetic, diverged, epoch_order, take_step
from tinyvit.training.stopping import interrupts_of_python, stop_requests
from tinyvit.training.train_step import STATE
from tinyvit.training.worker_pool import start_worker_pool

SAVE_EVERY = 30.0  # seconds between two checkpoints within an epoch
FEWEST_RECORDS = 20  # of steps, so that a short run has a curve too


def fit(
    config: Config,
    data: Data,
    *,
    p: Tree | None = None,
    recipe: Recipe | None = None,
    seed: int = 0,
    workers: int | None = None,
    device: str = "cpu",
    run: Run | None = None,
    progress: bool = True,
    draw: Callable[[list[dict]], None] | None = None,
    stop: Callable[[], int] | None = None,
    ranks: Ranks | None = None,
) -> tuple[Tree, list[dict]]:
    """Train a model: what `tinyvit train` calls.

    Parameters
    ----------
    config : the configuration of one of MODELS
        Of a ViTConfig, a Vision Transformer.
    data : (training part, test part)
        Each a pair (images, labels), as from `load_data`, or a dictionary with the arrays that the model's task takes.
        Of the training data the recipe's share `validation` is held out; the test data are looked at once, at the end.
    p : tree, optional
        Parameters to start from, as from `load_weights`: fine-tuning. Without them, random ones. If the run has a
        checkpoint, the checkpoint takes precedence.
    recipe : Recipe, optional
    seed : int
        Of everything random.
    workers : int, optional
        Processes that share each batch between them: as many as there are cores, if nothing is said. The result is the
        same to the bit for any number.
    device : str
        "cpu", "gpu" or "auto".
    run : Run, optional
        Where to keep checkpoints and history; if it has a checkpoint, training goes on from there.
    progress : bool
        Show a progress bar on standard error.
    draw : callable, optional
        Called with the history when the run ends or is stopped, to draw the curves.
    stop : callable, optional
        Asked after every step; a signal's number, other than 0, makes the run save itself and end. Without it, Ctrl-C
        does (in a notebook, Interrupt). Where there is no run, the model so far is then returned, with a warning.
    ranks : Ranks, optional
        The processes that mpiexec started, as `mpi.run` gives them, in place of workers.

    Returns
    -------
    p : tree
        The model, on the host: the average of the weights.
    history : list of dict
        Records with a "kind": "step", "epoch" or, last of all, "test"; without the last, training was interrupted.

    Raises
    ------
    DivergedError
        If the loss is no longer a number: at which step. The last good state is kept.
    Interrupted
        If `stop` asked for it, or Ctrl-C did and there is a run.
    UsageError
        If another process is training in the run's folder.
    WorkerError
        If a worker was killed or failed. The last checkpoint is kept.
    DataError, UsageError, DeviceError
        If data, configuration and device do not fit each other.
    """
    recipe, seed = recipe or Recipe(), checked_seed(seed)
    check_recipe(config, recipe)
    data = checked_data(config, data)
    check_pixels(data)
    device = choose_device(device)
    workers = 1 if ranks else workers_for(recipe, workers, device)
    with (
        locked(run.folder, "training") if run else nullcontext(),
        arithmetic(),
        start_worker_pool(config, recipe, seed, workers=workers, device=device, ranks=ranks) as pool,
    ):
        training = _Training(pool, data, p, run, progress, draw)
        if stop is not None:
            return training.run_to_end(stop)
        with stop_requests(*interrupts_of_python()) as interrupt:
            try:
                return training.run_to_end(interrupt)
            except Interrupted as stopped:
                if run:
                    raise
                warnings.warn(f"{stopped}: the model so far is returned, not measured on the test data", stacklevel=2)
                return training.average(), training.history


class _Training:
    """A run in progress: the worker pool, the data, and how far it has come."""

    def __init__(self, pool, data, p, run, progress, draw):
        self.pool, self.train_step, self.arrays = pool, pool.train_step, pool.train_step.arrays
        self.config, self.recipe, self.seed = pool.train_step.config, pool.train_step.recipe, pool.train_step.seed
        self.train, self.test = data
        self.indices, self.held_out = held_out(self.train, self.recipe.validation)
        self.steps_per_epoch = -(-len(self.indices) // self.recipe.batch)
        self.steps = self.recipe.epochs * self.steps_per_epoch
        self.log_every = max(1, min(LOG_EVERY, self.steps // FEWEST_RECORDS))
        self.run, self.progress, self.draw = run, progress, draw
        self.history, self.displayed, self.validated = [], {}, None
        self.step = self._start(p)
        self.pool.if_lost(self._left())
        self.saved = self.begun = time.perf_counter()
        self.seconds_before = self.history[-1]["seconds"] if self.history else 0.0

    def _start(self, p):
        """Fill the state, with the checkpoint's, or a fresh one from p; returns the steps taken."""
        n, xp = len(self.arrays["parameters"]), xp_of(self.arrays["parameters"])
        if self.run and self.run.checkpoint.exists():
            p, training = self._load(n)
        else:
            if p is None:
                p = model_of(self.config).init(np.random.default_rng(self.seed), self.config)
            check_parameters(p, self.config, "the parameters to start from")
            p, training = to_host(p), {"step": 0}
        parameters = flat(p, like=self.train_step.p)
        step = int(training.pop("step"))
        if step == 0:
            zeros = np.zeros_like(parameters)
            training = {"moment1": zeros, "moment2": zeros, "average": parameters}
        for name, vector in ({"parameters": parameters} | training).items():
            self.arrays[name][...] = xp.asarray(vector)
        self.pool.spread()
        if self.run:
            self.history = self.run.cut_history(step)
        return step

    def _load(self, n):
        """Parameters and training state from the run's checkpoint, which must be of this model and this run."""
        path = self.run.checkpoint
        like = {name: ((n,), None) for name in ("moment1", "moment2", "average")} | {"step": ((), "int64")}
        p, config, training = load_training(path, like)
        if type(config) is not type(self.config):
            raise CheckpointError(f"{path} has a {type(config).__name__}, the run a {type(self.config).__name__}")
        for name, value in config.values().items():
            if value != (expected := self.config.values()[name]):
                raise CheckpointError(f"{path} is of another model: its {name} is {value}, the run's {expected}")
        if not 0 < training["step"] <= self.steps:
            raise CheckpointError(f"{path} is at step {training['step']}: expected one of the run's {self.steps}")
        return p, training

    def run_to_end(self, stop):
        """All steps that remain, then the result; `stop` as in `fit`."""
        from tqdm import tqdm

        self.stop = stop
        with tqdm(total=self.steps, initial=self.step, disable=not self.progress, unit="step", mininterval=0.5) as bar:
            try:
                while self.step < self.steps:
                    self._epoch(bar)
                return self._finish(bar)
            except WorkerError as error:
                raise WorkerError(f"{error} after step {self.step} of {self.steps}{self._left()}") from None

    def average(self):
        """The average of the weights so far, on the host."""
        self.pool.collect()
        return trees.map(np.array, to_host(self.train_step.average))

    def _finish(self, bar):
        """The one look at the test set; model, curves and result are written."""
        bar.close()
        seconds, p = self._seconds(), self.average()
        validation = self.validated or self._evaluate("validation", self.train, self.held_out)
        test = self._evaluate("test", self.test)
        self._record("test", **test)
        if self.run:
            save(self.run.model, p, self.config, dataset=self.run.settings.dataset)
        self._draw()
        if self.run:
            counted = "training_images" if "images" in self.train else "training_examples"
            self.run.finish(
                test
                | validation
                | {
                    "parameters": len(self.arrays["parameters"]),
                    counted: len(self.indices),
                    "epochs": self.recipe.epochs,
                    "seconds": seconds,
                }
            )
        return p, self.history

    def _epoch(self, bar):
        """The rest of the current epoch, and what the model can do after it."""
        epoch, first = divmod(self.step, self.steps_per_epoch)
        order = self.indices[epoch_order(self.seed, epoch, len(self.indices))]
        bar.set_description(f"epoch {epoch + 1}/{self.recipe.epochs}")
        for i in range(first, self.steps_per_epoch):
            batch = order[i * self.recipe.batch : (i + 1) * self.recipe.batch]
            begun = time.perf_counter()
            loss, norm, rate = self._step(batch)
            if self.step % self.log_every == 0:
                speed = len(batch) / (time.perf_counter() - begun)
                self._record("step", epoch=epoch + 1, loss=float(loss), learning_rate=rate, gradient_norm=float(norm))
                self._show(bar, loss=f"{float(loss):.3f}", examples=f"{speed:.0f}/s")
            bar.update()
            if i + 1 < self.steps_per_epoch:
                self._save_or_stop()
        self.validated = self._evaluate("validation", self.train, self.held_out)
        if self.validated:
            self._record("epoch", epoch=epoch + 1, **self.validated)
            self._show(bar, accuracy=f"{100 * self.validated['validation_accuracy']:.2f}%")
        self._save_or_stop(due=True)

    def _step(self, batch):
        """One step of the optimiser on the training examples with these indices: its loss, norm and rate."""
        try:
            taken = take_step(self.pool, self.step + 1, self.steps, self.pool.take(self.train, batch))
        except DivergedError:
            self._diverged(self.step + 1)
        self.step += 1
        return taken

    def _evaluate(self, name, part, indices=None):
        """The averaged model's scores, each under this name: {"test_loss": ...}; none where there are no examples."""
        if indices is not None and not len(indices):
            return {}
        _, scores = pool_outputs(self.pool, part, indices, keep_outputs=False)
        return {f"{name}_{score}": value for score, value in scores.items()}

    def _seconds(self):
        """Of training, over all sessions of the run."""
        return round(self.seconds_before + time.perf_counter() - self.begun, 3)

    def _record(self, kind, **values):
        record = {"kind": kind, "step": self.step, "seconds": self._seconds()} | values
        self.history.append(record)
        if self.run:
            self.run.log(record)

    def _show(self, bar, **values):
        self.displayed |= values
        bar.set_postfix(self.displayed, refresh=False)

    def _draw(self):
        if self.draw:
            self.draw(self.history)

    def _is_finite(self):
        parameters = self.arrays["parameters"]
        return bool(xp_of(parameters).isfinite(parameters).all())

    def _save(self):
        """Replace the checkpoint, but never a good one by a bad one."""
        if not self.run:
            return
        if not self._is_finite():
            self._diverged(self.step)
        self.pool.collect()
        vectors = {name: self.arrays[name] for name in STATE if name != "parameters"}
        state = {"dataset": self.run.settings.dataset, "training": vectors | {"step": np.int64(self.step)}}
        save(self.run.checkpoint, self.train_step.p, self.config, **state)
        self.saved = time.perf_counter()
        self.pool.if_lost(self._left())

    def _left(self):
        """What a run leaves behind whose workers are lost, and how to go on."""
        return self._kept() + (f"; go on with: {self.run.resume_command}" if self.run else "")

    def _kept(self):
        """What a run that failed leaves behind, in words."""
        return f"; the last good state is in {self.run.checkpoint}" if self.run and self.run.checkpoint.exists() else ""

    def _save_or_stop(self, due=False):
        """Between two steps: save if it is due or has been long, end if that was asked for.

        Not between an epoch's last step and its record: a run resumed from there would never write it.
        """
        number = self.stop()
        if number or due or time.perf_counter() - self.saved > SAVE_EVERY:
            self._save()
        if number:
            self._draw()
            kept = f", saved in {self.run.folder}; go on with: {self.run.resume_command}" if self.run else ""
            raise Interrupted(f"stopped after step {self.step} of {self.steps}{kept}", number)

    def _diverged(self, step):
        if self._is_finite():
            self._save()
        self._record("diverged")
        raise diverged(step, self.steps, self.recipe, self._kept()) from None


def checked_seed(seed):
    """The seed as Python's own number, which JSON can hold; raises UsageError unless it is a whole number from 0 on."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise UsageError(f"seed is {seed!r}: expected a whole number of at least 0")
    return number
