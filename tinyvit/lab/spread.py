"""Jobs, shared out over worker processes, and their results, kept as they come.

Each worker has a thread that hands it one job after another. What is finished is a line of results.jsonl at once: a lab
that is stopped, or killed, goes on where it was, and a job whose result is there is not done again.
"""

import contextlib
import json
import os
import queue
import threading
from time import perf_counter

from tinyvit.errors import CheckpointError, WorkerError
from tinyvit.training.crew import start_process
from tinyvit.training.machine import machine

FIELDS = ("key", "setting", "seed", "result", "seconds", "machine")


class Store:
    """The results in a file of JSON lines, each with FIELDS."""

    def __init__(self, path):
        self.path, self.records = path, {}
        for line in path.read_bytes().splitlines(keepends=True) if path.exists() else []:
            try:
                record = json.loads(line)
                self.records[record["key"]] = {name: record[name] for name in FIELDS}
            except (ValueError, TypeError, KeyError):  # half a line, of a lab that was killed
                continue

    def of(self, jobs):
        """The records of these jobs that are there, in their order, each under the name that its job has now."""
        found = [(job, self.records[job.key]) for job in jobs if job.key in self.records]
        return [record | {"setting": job.setting} for job, record in found]

    def missing(self, jobs):
        """The jobs that have no result, the longest first: so that no worker is left with one at the end.

        Settings that are one run, as the unchanged model in each series of an experiment, are one job.
        """
        different = {job.key: job for job in jobs}.values()
        return sorted((job for job in different if job.key not in self.records), key=lambda job: -job.work)

    def check(self):
        """Raise CheckpointError if nothing can be written, before the first run is done in vain."""
        self._append("")

    def add(self, job, result, seconds):
        """Keep a result.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        values = (job.key, job.setting, job.seed, result, round(seconds, 2), machine())
        record = dict(zip(FIELDS, values, strict=True))
        self._append(json.dumps(record) + "\n")
        self.records[job.key] = record

    def _append(self, text):
        """Add to the file, on a line of its own."""
        try:
            with open(self.path, "ab+") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    text = "\n" * (file.read() != b"\n") + text
                file.write(text.encode())
        except OSError as error:
            raise CheckpointError(
                f"cannot write {self.path}: {error.strerror or error}; mend that and give the same command again"
            ) from None


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
