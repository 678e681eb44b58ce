"""Jobs, shared out over worker processes: each has a thread that hands it one job after another."""

import contextlib
import json
import queue
import threading
from time import perf_counter

from tinyvit.errors import WorkerError
from tinyvit.training.crew import start_process


def spread(jobs, workers, data, data_dir=None):
    """Do jobs in worker processes.

    Parameters
    ----------
    jobs : list of Job
    workers : int
        Processes, each on one core.
    data, data_dir
        The data set, as in `load_data`.

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
    with contextlib.ExitStack() as stack:
        for _ in range(min(workers, len(jobs))):
            process = stack.enter_context(_worker({"data": data, "data_dir": data_dir}))
            threading.Thread(target=_keep_busy, args=(process, waiting, finished), daemon=True).start()
        for _ in jobs:
            outcome = finished.get()
            if isinstance(outcome, Exception):
                raise outcome
            yield outcome


@contextlib.contextmanager
def _worker(where):
    """A worker process that is gone when this ends, finished or not."""
    process = start_process("tinyvit.lab.worker")
    try:
        _send(process, where)
        yield process
    finally:
        process.kill()
        process.wait()
        with contextlib.suppress(OSError):  # what was still to be sent
            process.stdin.close()
        process.stdout.close()


def _keep_busy(process, waiting, finished):
    """One worker's thread: until there is no job left, or it fails."""
    try:
        _answer(process)
        while True:
            job, begun = waiting.get_nowait(), perf_counter()
            _send(process, {"task": job.task, "arguments": job.arguments, "seed": job.seed})
            finished.put((job, _answer(process)["result"], perf_counter() - begun))
    except queue.Empty:
        pass
    except Exception as error:
        finished.put(error if isinstance(error, WorkerError) else WorkerError(f"a worker of the lab is gone: {error}"))


def _send(process, message):
    """Give a worker a line. Should it be gone, that is said by `_answer`, which knows how it ended."""
    with contextlib.suppress(OSError):
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()


def _answer(process):
    """The worker's next line."""
    line = process.stdout.readline()
    if not line:
        code = process.wait()
        raise WorkerError(
            f"a worker of the lab is gone ({f'killed by signal {-code}' if code < 0 else f'exit status {code}'}); "
            "what was finished is kept"
        )
    answer = json.loads(line)
    if answer and "problem" in answer:
        raise WorkerError(f"a run of the lab failed: {answer['problem']}")
    return answer
