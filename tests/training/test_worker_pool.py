"""Workers: the same bits whoever computes, and nothing is left behind however a run ends."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.training import helpers
from tests.training.helpers import CONFIG, RECIPE, STEPS, toy, toy_run
from tinyvit import trees
from tinyvit.errors import UsageError, WorkerError
from tinyvit.models.vit import vit_init
from tinyvit.training import loop, process, train_step, worker_pool
from tinyvit.training.batches import as_part
from tinyvit.training.evaluation import outputs_and_scores, pool_outputs
from tinyvit.training.process import WorkerProcess
from tinyvit.training.worker_pool import ProcessPool, ThreadPool, start_worker_pool

RANDOM = dataclasses.replace(CONFIG, dropout=0.2)
NINE = dataclasses.replace(RECIPE, batch=9, micro_batch=2, epochs=2, rotate=5.0, clip_norm=0.1)  # five micro-batches
KILLED = "exit status 1" if os.name == "nt" else "killed by signal 9"
LINUX = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="reads /proc")


@pytest.fixture
def pool_of(monkeypatch):
    """Have fit use pools of a given kind and number of workers."""
    start = worker_pool.start_worker_pool

    def use(kind, workers):
        def pool(*args, **options):
            return start(*args, **options | {"kind": kind, "workers": workers})

        monkeypatch.setattr(loop, "start_worker_pool", pool)

    return use


def outcome(folder, config=RANDOM, recipe=NINE):
    loop.fit(config, toy(), recipe=recipe, seed=3, run=toy_run(folder, recipe, 3, config), progress=False)
    return helpers.outcome(folder)


@pytest.mark.parametrize("rows", [5, 2, 1], ids="{} rows".format)
def test_the_bits_do_not_depend_on_the_number_or_kind_of_workers(tmp_path, pool_of, monkeypatch, rows):
    monkeypatch.setattr(train_step, "BLOCK", 100)  # several to a worker
    monkeypatch.setattr(train_step, "LARGEST_ROWS", rows * train_step.parameter_count(RANDOM))
    pool_of("threads", 1)
    alone = outcome(tmp_path / "alone")
    for workers in (2, 3, 4, 7):
        pool_of("threads", workers)
        helpers.assert_same_outcome(outcome(tmp_path / f"threads{workers}"), alone)


@pytest.mark.parametrize("workers", [pytest.param(2, marks=pytest.mark.smoke), 3])
def test_nor_do_they_with_processes(tmp_path, pool_of, workers):
    pool_of("threads", 1)
    alone = outcome(tmp_path / "alone")
    pool_of("processes", workers)
    helpers.assert_same_outcome(outcome(tmp_path / "processes"), alone)


def test_nor_do_they_with_processes_that_share_several_blocks(tmp_path, pool_of):
    wide = dataclasses.replace(RANDOM, dim=64, mlp_dim=128, depth=2)
    assert train_step.parameter_count(wide) > 2 * train_step.BLOCK
    pool_of("threads", 1)
    alone = outcome(tmp_path / "alone", wide)
    pool_of("processes", 3)
    helpers.assert_same_outcome(outcome(tmp_path / "processes", wide), alone)


def test_the_number_of_rows_matters_no_more_than_rounding(tmp_path, monkeypatch):
    found = []
    for rows in (5, 2):
        monkeypatch.setattr(train_step, "LARGEST_ROWS", rows * train_step.parameter_count(CONFIG))
        with start_worker_pool(CONFIG, NINE, 0) as pool:
            fill(pool)
            pool.do("gradients", 1, 9)
            pool.do("add", 9)
            found.append(pool.train_step.arrays["rows"][0].copy())
            assert len(pool.train_step.arrays["rows"]) == rows
    np.testing.assert_allclose(*found, atol=1e-6)


def fill(pool, seed=0):
    """Put a model and a batch of nine into a pool's arrays."""
    arrays = pool.train_step.arrays
    p = vit_init(np.random.default_rng(seed), pool.train_step.config)
    for name in ("parameters", "average"):
        arrays[name][...] = np.concatenate([leaf.reshape(-1) for leaf in trees.leaves(p)])
    pool.train_step.put(as_part(toy(train=9)[0]))
    return p


def test_the_norm_is_of_the_whole_gradient_and_clips_it(monkeypatch):
    monkeypatch.setattr(train_step, "BLOCK", 64)
    with start_worker_pool(CONFIG, NINE, 0, workers=3, kind="threads") as pool:
        fill(pool)
        pool.do("gradients", 1, 9)
        pool.do("add", 9)
        g = pool.train_step.arrays["rows"][0]
        norm = np.linalg.norm(g)
        assert pool.train_step.norm() == pytest.approx(norm, rel=1e-6) and norm > NINE.clip_norm
        pool.do("update", 1, 1e-3)
        assert np.linalg.norm(g) == pytest.approx(NINE.clip_norm, rel=1e-3)


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_outputs_and_scores_over_a_pool(kind):
    part = as_part(toy(train=23)[0])
    with start_worker_pool(CONFIG, NINE, 0, workers=2, kind=kind) as pool:
        p = fill(pool)
        head = np.random.default_rng(1).standard_normal(p["head"]["w"].shape)  # a fresh one's outputs are all zero
        p["head"]["w"][...] = pool.train_step.average["head"]["w"][...] = head
        (outputs, scores), (expected, their_scores) = pool_outputs(pool, part), outputs_and_scores(part, p, CONFIG)
        np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)
        assert scores == pytest.approx(their_scores, rel=1e-5)
        assert pool_outputs(pool, part, keep_outputs=False) == (None, scores)


@LINUX
def test_a_pool_leaves_no_process_and_no_descriptor(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with start_worker_pool(CONFIG, NINE, 0, workers=3) as pool:
        fill(pool)
        pool.do("gradients", 1, 9)
        pids = [process.process.pid for process in pool.others]
        opened = [os.readlink(f"/proc/{pids[1]}/fd/{n}") for n in os.listdir(f"/proc/{pids[1]}/fd")]
        assert sum("pipe" in name for name in opened) <= 3, f"a worker holds pipes of others: {opened}"
    assert not any(psutil.pid_exists(pid) for pid in pids)
    del pool  # and with it the memory
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_worker_that_fails_says_how():
    with (
        start_worker_pool(CONFIG, NINE, 0, workers=2) as pool,
        pytest.raises(WorkerError, match="worker 1 of 2 failed: ValueError: expected non-negative"),
    ):
        fill(pool)
        pool.train_step.gradients = lambda *arguments: None  # its own share goes well
        pool.do("gradients", -1, 9)  # no such step: as a seed of random numbers it is refused


@pytest.mark.parametrize("when", ["before the first step", "later"])
def test_a_worker_that_is_killed_ends_the_run_with_one_line_and_the_checkpoint_kept(tmp_path, monkeypatch, when):
    start, bad = worker_pool.start_worker_pool, 1 if when == "before the first step" else 12

    def fragile(*args, **options):
        pool = start(*args, **options)
        do = pool.do

        def killing(task, *arguments):
            if task == "gradients" and arguments[0] == bad:
                pool.others[0].kill()
            do(task, *arguments)

        pool.do = killing
        return pool

    whole = outcome(tmp_path / "whole", CONFIG, RECIPE)
    monkeypatch.setattr(loop, "start_worker_pool", fragile)
    run = toy_run(tmp_path / "run", seed=3)
    with pytest.raises(WorkerError) as lost:
        loop.fit(CONFIG, toy(), recipe=RECIPE, seed=3, workers=2, run=run, progress=False)
    words = str(lost.value)
    assert f"worker 1 of 2 is gone ({KILLED}) after step {bad - 1} of {STEPS}" in words
    assert words.count("\n") == 0 and "--resume" in words
    assert ("the last good state is in" in words) == run.checkpoint.exists() == (bad > 1)
    monkeypatch.undo()
    loop.fit(CONFIG, toy(), recipe=RECIPE, seed=3, workers=1, run=run, progress=False)
    helpers.assert_same_outcome(helpers.outcome(tmp_path / "run"), whole)


def test_where_processes_cannot_be_started_there_are_threads(monkeypatch, capsys):
    def refused(*args, **options):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(process.subprocess, "Popen", refused)
    with start_worker_pool(CONFIG, NINE, 0, workers=2) as pool:
        assert isinstance(pool, ThreadPool)
    assert capsys.readouterr().err == "tinyvit: no worker processes (Operation not permitted): using threads\n"


SCRIPT = """
import numpy as np, tinyvit
from tests.training.helpers import CONFIG, RECIPE, toy
p, _ = tinyvit.fit(CONFIG, toy(), recipe=RECIPE, seed=3, workers=2, progress=False)
print(p["head"]["w"].tobytes().hex())
"""


def head():
    p, _ = loop.fit(CONFIG, toy(), recipe=RECIPE, seed=3, workers=1, progress=False)
    return p["head"]["w"].tobytes().hex()


@pytest.mark.parametrize("how", ["a script without a guard", "standard input", "a folder with a file like Python's"])
def test_workers_start_from(tmp_path, how):
    (tmp_path / "script.py").write_text(SCRIPT)
    if how.startswith("a folder"):
        (tmp_path / "random.py").write_text("raise SystemExit('not the one from Python')")
    environment = helpers.environment(PYTHONPATH=os.pathsep.join([str(helpers.ROOT), *filter(None, sys.path)]))
    argv = [sys.executable, *(["-P", "script.py"] if how.startswith("a folder") else ["script.py"])]
    done = subprocess.run(
        [sys.executable, "-"] if how == "standard input" else argv,
        input=SCRIPT if how == "standard input" else None,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == head(), done.stderr


def test_workers_import_this_very_package_wherever_it_was_found(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", Path("elsewhere"), "/elsewhere"])  # "": the current folder, in a notebook
    started = []
    monkeypatch.setattr(process.subprocess, "Popen", lambda *args, env, **options: started.append(env["PYTHONPATH"]))
    WorkerProcess("tinyvit.training.worker", "a worker")
    package = Path(sys.modules["tinyvit"].__file__).parents[1]
    assert started == [os.pathsep.join([str(package), "/elsewhere"])]


def test_a_run_that_does_not_fit_the_memory_is_refused_in_one_line():
    enormous = dataclasses.replace(RECIPE, batch=999_999_999)
    with pytest.raises(UsageError, match=r"needs .* GiB of memory, .* batch/images are \[999999999, 1000, 1000, 1\]"):
        start_worker_pool(dataclasses.replace(CONFIG, image=1000), enormous, 0)


@LINUX
def test_a_pool_that_cannot_be_set_up_keeps_no_descriptor(monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(worker_pool, "TrainStep", fail)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(MemoryError):
        start_worker_pool(CONFIG, NINE, 0, workers=2)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_worker_that_cannot_open_the_memory_says_so(monkeypatch):
    shapes = worker_pool.array_shapes(CONFIG, NINE)
    # It inherits no memory.
    monkeypatch.setattr(worker_pool, "WorkerProcess", lambda module, name, descriptors: WorkerProcess(module, name))
    with (
        pytest.raises(WorkerError, match=r"worker 1 of 2 failed: OSError: .*Bad file descriptor"),
        ProcessPool(CONFIG, NINE, 0, shapes, 2) as pool,
    ):
        pool.do("gradients", 1, 9)


SLOW = ["--epochs=500", "--batch=64", "--workers=2"]


@contextlib.contextmanager
def running(folder):
    """The command train in a session of its own, once it has written history, and its workers; killed in the end."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tinyvit", "train", *SLOW, "--out", str(folder)],
        env=helpers.environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    history, deadline = folder / "history.jsonl", time.monotonic() + 60
    try:
        while not (history.exists() and history.stat().st_size) and child.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        workers = psutil.Process(child.pid).children()
        assert len(workers) == 1, (child.poll(), workers)
        yield child, workers
    finally:
        child.kill()
        child.communicate()


def gone(workers, timeout=10):
    return not psutil.wait_procs(workers, timeout=timeout)[1]


@pytest.mark.skipif(os.name == "nt", reason="signals to a group")
def test_ctrl_c_reaches_the_command_alone_which_saves_and_lets_the_workers_go(tmp_path):
    with running(tmp_path / "run") as (child, workers):
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does
        workers[0].send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=30)
        assert child.returncode == 130 and "saved in" in err and "Traceback" not in err, err
        assert gone(workers)
    settings = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "workers" not in json.dumps(settings), "how a run is computed is not what it is"


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    with running(tmp_path / "run") as (child, workers):
        child.kill()
        child.communicate(timeout=30)
        assert gone(workers)


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_the_command_reports_a_killed_worker_in_one_line(tmp_path):
    with running(tmp_path / "run") as (child, workers):
        workers[0].kill()
        _, err = child.communicate(timeout=30)
    assert child.returncode == 1 and "Traceback" not in err
    assert f"worker 1 of 2 is gone ({KILLED})" in err.splitlines()[-1]
