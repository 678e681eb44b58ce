"""Worker pools: the workers that share the phases of a training step.

A process computes without asking another; threads of one Python process wait for each other at every call into NumPy,
so they are the fallback where processes cannot be had. The worker processes are commands of their own (see worker.py):
they start alike from a terminal, a script without a main guard and a notebook, on every system.
"""

import contextvars
import dataclasses
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinyvit.arrays import gpu_module
from tinyvit.errors import UsageError
from tinyvit.models.model import name_of
from tinyvit.training.batches import take
from tinyvit.training.process import WorkerProcess
from tinyvit.training.shared import SharedMemory, arrays_in, size_of
from tinyvit.training.train_step import TrainStep, array_shapes, is_on_host


def start_worker_pool(config, recipe, seed, *, workers=1, device="cpu", kind="processes", ranks=None):
    """A pool of so many workers, this process or thread being the first of them.

    Parameters
    ----------
    config, recipe, seed
        Of the run.
    workers : int
    device : str
        "cpu" or "gpu"; a GPU has one worker.
    kind : str
        "processes" or "threads". Where processes cannot be started, there will be threads.
    ranks : Ranks, optional
        In place of workers: the processes that mpiexec started.

    Raises
    ------
    UsageError
        If the run's arrays do not fit into the machine's memory.
    """
    if ranks:
        return ranks.pool(config, recipe, seed)
    shapes = array_shapes(config, recipe)
    check_size(shapes)
    if workers > 1 and kind == "processes":
        try:
            return ProcessPool(config, recipe, seed, shapes, workers)
        except OSError as error:
            print(f"tinyvit: no worker processes ({error.strerror or error}): using threads", file=sys.stderr)
    xp = gpu_module() if device == "gpu" else np
    arrays = {name: (np if is_on_host(name) else xp).zeros(*spec) for name, spec in shapes.items()}
    train_step = TrainStep(config, recipe, seed, arrays)
    return ThreadPool(train_step, workers) if workers > 1 else SerialPool(train_step)


def check_size(shapes):
    """Raise UsageError if the arrays exceed the memory: the system would grant it, and fail at the first write."""
    import psutil

    try:
        needed, there = size_of(shapes), psutil.virtual_memory().total
    except OSError:  # a Linux without /proc does not say how much it has
        return
    if needed > there:
        largest = max(shapes, key=lambda name: size_of({name: shapes[name]}))
        raise UsageError(
            f"the run needs {needed / 2**30:,.0f} GiB of memory, of which {largest} are {list(shapes[largest][0])}, "
            f"and the machine has {there / 2**30:,.0f}: expected a smaller batch or model"
        )


class SerialPool:
    """A pool of one worker, this thread."""

    def __init__(self, train_step):
        self.train_step = train_step

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def take(self, part, indices):
        """The examples of a part of the data with these indices, or in this slice, for `put` and `gradient`."""
        return take(part, indices, self.train_step.config)

    def put(self, batch):
        """Bring a batch to where all workers see it; returns how many examples it has."""
        return self.train_step.put(batch)

    def spread(self):
        """What was written into the state, bring to where all workers see it."""

    def collect(self):
        """What the workers have written into the state, bring to where it can be read."""

    def if_lost(self, words):
        """What shall be said, after which it was, if a worker is killed, and this process with it."""

    def do(self, phase, *arguments):
        """Have every worker do its shard of a phase; returns when the last one has."""
        getattr(self.train_step, phase)(0, 1, *arguments)

    def gradient(self, step, batch, *, all_rows=False):
        """Compute the gradient of a batch, for `update`; returns its loss and its norm."""
        count = self.put(batch)
        self.do("gradients", step, count, all_rows)
        self.do("add", count)
        return self.train_step.loss(count), self.train_step.norm()

    def update(self, step, learning_rate):
        """One step of the recipe's optimiser along the gradient."""
        if self.train_step.recipe.optimizer == "muon":
            self.do("momentum")
        self.do("update", step, learning_rate)

    def close(self):
        """Let the other workers go."""


class ThreadPool(SerialPool):
    """Threads of this process."""

    def __init__(self, train_step, workers):
        super().__init__(train_step)
        self.workers = workers
        self.threads = ThreadPoolExecutor(workers - 1, "tinyvit-worker")

    def do(self, phase, *arguments):
        work = getattr(self.train_step, phase)
        others = [  # each in a copy of this thread's context, which holds NumPy's errstate
            self.threads.submit(contextvars.copy_context().run, work, worker, self.workers, *arguments)
            for worker in range(1, self.workers)
        ]
        try:
            work(0, self.workers, *arguments)
        finally:
            for other in others:
                other.result()

    def close(self):
        self.threads.shutdown()


class ProcessPool(SerialPool):
    """Processes of their own, over shared memory. Each waits for a phase on its standard input, and ends with it."""

    def __init__(self, config, recipe, seed, shapes, workers):
        self.workers, self.others, self.ready = workers, [], False
        memory = SharedMemory(size_of(shapes))
        run = {"model": name_of(config), "config": dataclasses.asdict(config)}
        run |= {"recipe": dataclasses.asdict(recipe), "seed": seed}
        run |= {"memory": memory.handle, "shapes": shapes, "workers": workers}
        try:
            super().__init__(TrainStep(config, recipe, seed, arrays_in(memory.buffer, shapes)))
            for worker in range(1, workers):
                name = f"worker {worker} of {workers}"
                self.others.append(WorkerProcess("tinyvit.training.worker", name, memory.descriptors))
                self.others[-1].send(run | {"worker": worker})
        except BaseException:
            self.close()
            raise
        finally:
            memory.close()

    def do(self, phase, *arguments):
        try:
            if not self.ready:  # each says so once, after a while, which this process has used to load its data
                self._wait()
                self.ready = True
            for process in self.others:
                process.send([phase, *arguments])
            getattr(self.train_step, phase)(0, self.workers, *arguments)
            self._wait()
        except BaseException:  # answers may be outstanding: nobody could tell them from the next phase's
            for process in self.others:
                process.kill()
            self.close()
            raise

    def _wait(self):
        for process in self.others:
            process.answer()

    def close(self):
        for process in self.others:
            process.close()
