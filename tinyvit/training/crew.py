"""Workers: who does the tasks of a training step.

A process needs no other's permission to compute; threads of one Python process do, at every call into NumPy, so they
are the fallback where processes cannot be had. The worker processes are commands of their own (see worker.py): they
start alike from a terminal, a script without a main guard and a notebook, on every system.
"""

import contextlib
import contextvars
import dataclasses
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from tinyvit.arrays import gpu_module
from tinyvit.errors import UsageError, WorkerError
from tinyvit.models.model import name_of
from tinyvit.training.shared import SharedMemory, arrays_in, size_of
from tinyvit.training.work import Work, array_shapes

ON_THE_HOST = ("images", "labels", "logits")
BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def start_crew(config, recipe, seed, *, workers=1, device="cpu", kind="processes"):
    """A crew of so many workers, this process or thread being the first of them.

    Parameters
    ----------
    config, recipe, seed
        Of the run.
    workers : int
    device : str
        "cpu" or "gpu"; a GPU has one worker.
    kind : str
        "processes" or "threads". Where processes cannot be started, there will be threads.

    Raises
    ------
    UsageError
        If the run's arrays do not fit into the machine's memory.
    """
    shapes = array_shapes(config, recipe)
    _check_size(shapes)
    if workers > 1 and kind == "processes":
        try:
            return Processes(config, recipe, seed, shapes, workers)
        except OSError as error:
            print(f"tinyvit: no worker processes ({error.strerror or error}): using threads", file=sys.stderr)
    xp = gpu_module() if device == "gpu" else np
    arrays = {name: (np if name in ON_THE_HOST else xp).zeros(*spec) for name, spec in shapes.items()}
    work = Work(config, recipe, seed, arrays)
    return Threads(work, workers) if workers > 1 else Alone(work)


def _check_size(shapes):
    """Raise UsageError for more than the machine has: shared memory is granted, and missed only when it is written."""
    import psutil

    needed, there = size_of(shapes), psutil.virtual_memory().total
    if needed > there:
        largest = max(shapes, key=lambda name: size_of({name: shapes[name]}))
        raise UsageError(
            f"the run needs {needed / 2**30:,.0f} GiB of memory, of which {largest} are {list(shapes[largest][0])}, "
            f"and the machine has {there / 2**30:,.0f}: expected a smaller batch or model"
        )


class Alone:
    """A crew of one, who does everything itself."""

    def __init__(self, work):
        self.work = work

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def do(self, task, *arguments):
        """Have every worker do its share of a task; returns when the last one has."""
        getattr(self.work, task)(0, 1, *arguments)

    def gradient(self, step, images, labels, *, full=False):
        """Compute the gradient of a batch, for `do("update", step, learning_rate)`; returns its loss and its norm."""
        arrays, count = self.work.arrays, len(labels)
        arrays["images"][:count], arrays["labels"][:count] = images, labels
        self.do("gradients", step, count, full)
        self.do("add", count)
        return self.work.loss(count), self.work.norm()

    def close(self):
        """Let the other workers go."""


class Threads(Alone):
    """Threads of this process."""

    def __init__(self, work, workers):
        super().__init__(work)
        self.workers = workers
        self.pool = ThreadPoolExecutor(workers - 1, "tinyvit-worker")

    def do(self, task, *arguments):
        task = getattr(self.work, task)
        others = [  # each in a copy of this thread's context, which holds NumPy's errstate
            self.pool.submit(contextvars.copy_context().run, task, worker, self.workers, *arguments)
            for worker in range(1, self.workers)
        ]
        try:
            task(0, self.workers, *arguments)
        finally:
            for other in others:
                other.result()

    def close(self):
        self.pool.shutdown()


class Processes(Alone):
    """Processes of their own, over shared memory. A worker waits for a task on its standard input, and ends with it."""

    def __init__(self, config, recipe, seed, shapes, workers):
        self.workers, self.others, self.ready = workers, [], False
        memory = SharedMemory(size_of(shapes))
        run = {"model": name_of(config), "config": dataclasses.asdict(config)}
        run |= {"recipe": dataclasses.asdict(recipe), "seed": seed}
        run |= {"memory": memory.handle, "shapes": shapes, "workers": workers}
        try:
            super().__init__(Work(config, recipe, seed, arrays_in(memory.buffer, shapes)))
            for worker in range(1, workers):
                self.others.append(start_process("tinyvit.training.worker", memory.descriptors))
                self._send(worker, run | {"worker": worker})
        except BaseException:
            self.close()
            raise
        finally:
            memory.close()

    def do(self, task, *arguments):
        try:
            if not self.ready:  # each says so once, after a while, which this process has used to load its data
                self._wait()
                self.ready = True
            for worker in range(1, self.workers):
                self._send(worker, [task, *arguments])
            getattr(self.work, task)(0, self.workers, *arguments)
            self._wait()
        except BaseException:  # answers may be outstanding: nobody could tell them from the next task's
            for process in self.others:
                process.kill()
            self.close()
            raise

    def _send(self, worker, message):
        try:
            self.others[worker - 1].stdin.write(json.dumps(message).encode() + b"\n")
            self.others[worker - 1].stdin.flush()
        except OSError:
            self._lost(worker)

    def _wait(self):
        for worker, process in enumerate(self.others, 1):
            answer = process.stdout.readline()
            if not answer:
                self._lost(worker)
            if failed := json.loads(answer):
                raise WorkerError(f"worker {worker} of {self.workers} failed: {failed['problem']}")

    def _lost(self, worker):
        code = self.others[worker - 1].wait()
        how = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        raise WorkerError(f"worker {worker} of {self.workers} is gone ({how})")

    def close(self):
        for process in self.others:
            with contextlib.suppress(OSError):  # of a worker that is gone: what was still to be sent
                process.stdin.close()
        for process in self.others:
            process.wait()
            process.stdout.close()


def import_path():
    """The PYTHONPATH on which a child process finds what this one does, and this very package first.

    What else is on sys.path is no path: "" stands for the folder where a notebook was started, and may be another.
    """
    package = Path(__file__).parents[2]
    return os.pathsep.join([str(package), *(entry for entry in sys.path if isinstance(entry, str) and entry)])


def start_process(module, descriptors=()):
    """A process that runs a module of this very package, with one BLAS thread and pipes; deaf to Ctrl-C.

    -P: a file of the user's called random.py, where the run was started, is not Python's.

    Parameters
    ----------
    module : str
        One that serves its standard input (see `serve` in worker.py).
    descriptors : sequence of int
        Of open files that it is to have, too, as shared memory.
    """
    one_thread = dict.fromkeys(BLAS_THREADS, "1")  # set before NumPy loads: BLAS then makes no others
    if os.name == "nt":
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    else:
        apart = {"start_new_session": True, "pass_fds": descriptors}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | one_thread | {"PYTHONPATH": import_path()},
        **apart,
    )
