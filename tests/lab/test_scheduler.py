"""Results are kept line by line, whatever happens; jobs are shared out over processes that are gone in the end."""

import dataclasses
import errno
import os
import time

import psutil
import pytest

from tests.lab.helpers import TINY, read, small_jobs, untimed
from tinyvit.errors import CheckpointError, WorkerError
from tinyvit.lab import scheduler
from tinyvit.lab import store as store_module
from tinyvit.lab.job import Job
from tinyvit.lab.run import RESULTS, run, source_of
from tinyvit.lab.scheduler import run_jobs
from tinyvit.lab.store import Store
from tinyvit.training.process import WorkerProcess

COST = [Job({"n": n}, "cost", {"part": "attention", "tokens": n, "repeats": 2}, work=n) for n in (8, 64, 16, 32)]


@pytest.fixture
def started(monkeypatch):
    """The worker processes that were started; none of them is left in the end."""
    processes, start = [], scheduler.WorkerProcess

    def starting(*arguments):
        processes.append(start(*arguments))
        return processes[-1]

    monkeypatch.setattr(scheduler, "WorkerProcess", starting)
    yield processes
    assert not any(psutil.pid_exists(process.process.pid) for process in processes)


def kept(path, jobs, workers=1):
    """What jobs that have no result yet came to, in a new Store."""
    store = Store(path, "digits")
    for job, result, seconds in run_jobs(store.missing(jobs), workers, "digits"):
        store.add(job, result, seconds)
    return store.of(jobs)


# ---- the store


def test_results_are_kept_as_they_come_and_are_found_again(tmp_path):
    path = tmp_path / "results.jsonl"
    store = Store(path, "digits")
    for number, job in enumerate(COST[:2], 1):
        store.add(job, {"seconds": 0.5}, 1.239)
        assert len(read(path)) == number
    record = read(path)[0]
    assert record.pop("machine").count("NumPy") == 1
    assert record == {
        "key": COST[0].key,
        "data": "digits",
        "setting": {"n": 8},
        "seed": 0,
        "result": {"seconds": 0.5},
        "seconds": 1.24,
    }
    again = Store(path, "digits")
    assert again.of(COST) == store.of(COST) == read(path)
    assert [job.setting["n"] for job in again.missing(COST)] == [32, 16]


def test_the_longest_are_first_and_equal_runs_are_one(tmp_path):
    jobs = [*COST, dataclasses.replace(COST[1], setting={"other": "name"})]
    store = Store(tmp_path / "results.jsonl", "digits")
    assert [job.setting.get("n") or 64 for job in store.missing(jobs)] == [64, 32, 16, 8]
    store.add(COST[1], {}, 1.0)
    assert [record["setting"] for record in store.of(jobs)] == [{"n": 64}, {"other": "name"}]


def test_the_records_are_in_the_order_of_the_jobs(tmp_path):
    store = Store(tmp_path / "results.jsonl", "digits")
    for job in reversed(COST):
        store.add(job, {}, 1.0)
    assert [record["setting"]["n"] for record in store.of(COST)] == [8, 64, 16, 32]


@pytest.mark.parametrize("cut", [1, 2, 40, -1])
def test_half_a_line_is_no_result_and_the_next_starts_on_its_own(tmp_path, cut):
    path = tmp_path / "results.jsonl"
    for job in COST[:2]:
        Store(path, "digits").add(job, {"seconds": 0.5}, 1.0)
    first, second = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + second.rstrip(b"\n")[:cut])
    store = Store(path, "digits")
    assert store.missing(COST[:2]) == [COST[1]]
    store.add(COST[1], {"seconds": 0.7}, 1.0)
    assert [record["result"]["seconds"] for record in Store(path, "digits").of(COST)] == [0.5, 0.7]


def test_a_whole_line_without_its_end_counts(tmp_path):
    path = tmp_path / "results.jsonl"
    Store(path, "digits").add(COST[0], {}, 1.0)
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    store = Store(path, "digits")
    assert store.missing(COST[:1]) == []
    store.add(COST[1], {}, 1.0)
    assert len(read(path)) == 2


@pytest.mark.parametrize(
    "line",
    [b"\xff\xfe\x00", b"null", b"[1]", b'{"no": "key"}', b'{"key": []}', b"\0\0\0\0\0\0", b"", b'{"key": "KEY"}'],
)
def test_a_damaged_line_is_skipped(tmp_path, line):
    path = tmp_path / "results.jsonl"
    path.write_bytes(line.replace(b"KEY", COST[0].key.encode()) + b"\n")
    Store(path, "digits").add(COST[1], {}, 1.0)
    assert [record["setting"] for record in Store(path, "digits").of(COST)] == [{"n": 64}]


def test_results_on_another_data_set_are_not_taken_for_these(tmp_path):
    """Their keys may be equal: MNIST and Fashion-MNIST have one model and one recipe."""
    path = tmp_path / "results.jsonl"
    Store(path, "mnist").add(COST[0], {}, 1.0)
    with pytest.raises(CheckpointError, match=r"results on mnist, not on fashion-mnist: choose another --out$"):
        Store(path, "fashion-mnist")


@pytest.mark.parametrize("when", ["on opening", "on writing"])
def test_what_cannot_be_written_is_said_in_one_line(tmp_path, monkeypatch, when):
    path = tmp_path / "results.jsonl"
    Store(path, "digits").add(COST[0], {}, 1.0)
    store, number = Store(path, "digits"), errno.EACCES if when == "on opening" else errno.ENOSPC

    def failing(*args, **options):
        if when == "on opening":
            raise OSError(number, os.strerror(number))
        with open(*args, **options) as file:
            file.write(b'{"half": ')
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(store_module, "open", failing, raising=False)
    with pytest.raises(CheckpointError) as problem:
        store.add(COST[1], {}, 1.0)
    assert str(problem.value).startswith(f"cannot write {path}: {os.strerror(number)}; ")
    assert "\n" not in str(problem.value)
    assert store.missing(COST[:2]) == [COST[1]], "what is not kept is to do"
    with pytest.raises(CheckpointError):
        store.check()
    monkeypatch.undo()
    store.check()
    store.add(COST[1], {}, 1.0)
    assert Store(path, "digits").missing(COST[:2]) == []


# ---- the workers


def test_the_same_results_for_any_number_of_workers_and_nothing_is_done_twice(tmp_path, started):
    jobs = small_jobs(4)
    alone = kept(tmp_path / "alone.jsonl", jobs)
    assert len(started) == 1
    assert [record["seed"] for record in read(tmp_path / "alone.jsonl")] == [3, 2, 1, 0], "the longest first"
    assert len({record["result"]["test_accuracy"] for record in alone}) > 1, "seeds differ"
    together = kept(tmp_path / "together.jsonl", jobs, 3)
    assert len(started) == 4
    assert untimed(together) == untimed(alone)
    before = (tmp_path / "together.jsonl").read_bytes()
    assert kept(tmp_path / "together.jsonl", jobs, 3) == together
    assert (tmp_path / "together.jsonl").read_bytes() == before and len(started) == 4


def test_there_are_no_more_workers_than_jobs(started):
    assert [job for job, _, _ in run_jobs(COST[:1], 9, "digits")] == COST[:1]
    assert len(started) == 1
    assert list(run_jobs([], 9, "digits")) == []
    assert len(started) == 1


def test_a_killed_worker_is_one_line_and_the_same_command_goes_on(tmp_path, started):
    jobs, store = small_jobs(4), Store(tmp_path / "results.jsonl", "digits")
    with pytest.raises(WorkerError) as lost:
        for job, result, seconds in run_jobs(store.missing(jobs), 2, "digits"):
            store.add(job, result, seconds)
            for process in started:
                process.kill()
    words = str(lost.value)
    assert words.startswith("a worker of the lab is gone (") and "\n" not in words
    done = len(read(tmp_path / "results.jsonl"))
    assert 1 <= done < 4
    kept(tmp_path / "results.jsonl", jobs, 2)
    assert [record["key"] for record in Store(tmp_path / "results.jsonl", "digits").of(jobs)] == [
        job.key for job in jobs
    ]
    assert len(read(tmp_path / "results.jsonl")) == 4


def test_a_worker_killed_at_once_is_one_line(started, monkeypatch):
    def killed(start=scheduler.WorkerProcess):
        def starting(*arguments):
            process = start(*arguments)
            process.kill()
            return process

        return starting

    monkeypatch.setattr(scheduler, "WorkerProcess", killed())
    with pytest.raises(WorkerError, match=r"^a worker of the lab is gone \((killed by signal 9|exit status 1)\); "):
        list(run_jobs(COST[:1], 1, "digits"))


def test_a_failing_job_says_why_in_one_line(started):
    bad = dataclasses.replace(COST[0], arguments={"part": "wheels", "tokens": 4, "repeats": 1})
    jobs = iter(run_jobs([COST[1], bad, COST[2]], 1, "digits"))
    assert next(jobs)[0] == COST[1]
    with pytest.raises(WorkerError) as problem:
        next(jobs)
    assert str(problem.value) == "a worker of the lab failed: KeyError: 'wheels'; the finished runs are kept"


def test_data_that_a_worker_cannot_read_are_one_line(started, tmp_path):
    with pytest.raises(WorkerError, match=r"^a worker of the lab failed: DataError: .*"):
        list(run_jobs(COST[:1], 1, "mnist", str(tmp_path)))


def test_what_a_killed_worker_was_still_to_be_sent_is_forgotten(started):
    with scheduler._worker({"data": "digits", "data_dir": None}) as process:
        process.kill()
        process.process.wait()
        process.process.stdin.write(b"half a job")


def test_a_lab_that_is_stopped_lets_its_workers_go_at_once(tmp_path, started):
    def stopping(job):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as stopped:
        run(TINY, source_of("digits"), workers=2, folder=tmp_path / "lab", watch=lambda missing, kept: stopping)
    assert stopped and not any(psutil.pid_exists(process.process.pid) for process in started)
    assert len(read(tmp_path / "lab" / RESULTS)) == 1


def test_nobody_who_stops_listening_leaves_a_worker(started):
    outcomes = run_jobs(small_jobs(3), 2, "digits")
    next(outcomes)
    outcomes.close()
    assert len(started) == 2


def test_a_worker_ends_in_the_middle_of_a_job_when_its_parent_is_gone():
    """The system closes a killed parent's pipes: here it is done by hand."""
    (job,) = small_jobs()
    endless = job.arguments | {"recipe": job.arguments["recipe"] | {"epochs": 10**6}}
    process = WorkerProcess("tinyvit.lab.worker", "a worker of the lab")
    try:
        process.send({"data": "digits", "data_dir": None})
        process.answer()
        process.send({"task": job.task, "arguments": endless, "seed": 0})
        time.sleep(0.3)  # it is at it
        assert process.process.poll() is None
        process.process.stdin.close()
        assert process.process.wait(timeout=30) == 0
    finally:
        process.kill()
        process.close()
