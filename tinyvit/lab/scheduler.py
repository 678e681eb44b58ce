"""The lab's scheduler: jobs, shared out over worker processes, each with a thread that hands it one after another."""

import contextlib
import queue
import threading
from time import perf_counter

from tinyvit.errors import WorkerError
from tinyvit.training.process import WorkerProcess


def run_jobs(jobs, workers, data, data_dir=None, *, skip_broken=False, ranks=None):
    """Do jobs in worker processes.

    Parameters
    ----------
    jobs : list of Job
    workers : int
        Processes, each on one core.
    data, data_dir, skip_broken
        The data set, as in `read_data`.
    ranks : Ranks, optional
        The processes that mpiexec started: each has one of the workers, this one the first.

    Yields
    ------
    job, result, seconds
        As each is finished.

    Raises
    ------
    WorkerError
        If a worker is killed, or a job fails. What was yielded before is done.
    """
    waiting, finished = queue.SimpleQueue(), queue.SimpleQueue()
    for job in jobs:
        waiting.put(job)
    if ranks:
        ranks.if_lost("; the finished runs are kept, and the same command goes on")
    with contextlib.ExitStack() as stack:
        for number in range(min(workers, len(jobs))):
            where = {"data": data, "data_dir": data_dir, "skip_broken": skip_broken}
            process = stack.enter_context(_worker(where, ranks if number else None, number))
            threading.Thread(target=_keep_busy, args=(process, waiting, finished), daemon=True).start()
        for _ in jobs:
            outcome = finished.get()
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome


@contextlib.contextmanager
def _worker(where, ranks=None, number=0):
    """A worker process, of this rank or of another, that is gone when this ends, finished or not."""
    what = "tinyvit.lab.worker", "a worker of the lab"
    process = ranks.process(number, *what) if ranks else WorkerProcess(*what)
    try:
        process.send(where)
        yield process
    finally:
        process.kill()
        process.close()


def _keep_busy(process, waiting, finished):
    """One worker's thread: until there is no job left, or it fails."""
    try:
        process.answer()
        while True:
            job, begun = waiting.get_nowait(), perf_counter()
            process.send({"task": job.task, "arguments": job.arguments, "seed": job.seed})
            finished.put((job, process.answer()["result"], perf_counter() - begun))
    except queue.Empty:
        pass
    except Exception as error:
        finished.put(WorkerError(f"{error}; the finished runs are kept"))
