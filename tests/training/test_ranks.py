"""Real ranks, started by mpiexec: the same bits as one process, and what happens when one fails, is killed, or stopped.

Skipped, with the reason, where mpiexec and mpi4py do not start two processes that know of each other.
"""

import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from tests.lab import helpers as lab
from tests.training import helpers, rank_runs
from tests.training.helpers import ROOT, SMALL, STEPS, call
from tests.training.rank_runs import BAD, CONFIGS
from tinyvit import startup
from tinyvit.errors import UsageError
from tinyvit.lab.run import RESULTS
from tinyvit.models.model import ALL_MODELS, name_of
from tinyvit.training import loop, mpi, train_step
from tinyvit.training.ranks import check_memory
from tinyvit.training.recipe import Recipe

LONG = ["train", *SMALL[1:], "--epochs=20"]
OPEN_MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
OPEN_MPI |= {"PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe"}  # which others do not read


def start(ranks, *argv, cwd):
    """Python with these arguments, so many times."""
    path = os.pathsep.join([helpers.environment()["PYTHONPATH"], str(ROOT)])
    return subprocess.Popen(
        [mpiexec(), "-n", str(ranks), sys.executable, *map(str, argv)],
        cwd=cwd,
        env=helpers.environment(PYTHONPATH=path, **OPEN_MPI),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a script's background commands ignore it
    )


def mpiexec():
    """The launcher: that of this Python's environment, if there is one."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


@functools.cache
def lacking():
    """Why there can be no ranks here; "" if there can."""
    if os.name == "nt" or not mpiexec():
        return "needs mpiexec: pip install mpich"
    child = start(2, "-c", "from mpi4py import MPI; assert MPI.COMM_WORLD.size == 2", cwd=ROOT)
    _, err = child.communicate(timeout=60)
    return f"mpiexec starts no ranks: {err.strip().splitlines()[-1:]}" if child.returncode else ""


@pytest.fixture(scope="module")
def ranks():
    """Starts ranks, none of which outlives the tests."""
    if lacking():
        pytest.skip(lacking())
    children = []
    yield lambda *what, **how: children.append(start(*what, **how)) or children[-1]
    for child in children:
        child.kill()
        child.communicate()


@pytest.fixture
def ranks_of_mpich(ranks):
    """Starts ranks, under a launcher that hands signals on and says nothing of its own."""
    version = subprocess.run([mpiexec(), "--version"], capture_output=True, text=True).stdout
    if "HYDRA" not in version:
        pytest.skip("Open MPI's mpiexec kills the ranks on Ctrl-C, and has words of its own for it")
    return ranks


@pytest.fixture(scope="module")
def done(ranks, tmp_path_factory):
    """{number of ranks: the folder of what so many have done}"""
    folders = {}
    for count in (2, 3):
        folders[count] = tmp_path_factory.mktemp(f"ranks{count}")
        child = ranks(count, "-m", "tests.training.rank_runs", folders[count], cwd=ROOT)
        _, err = child.communicate(timeout=120)
        assert (child.returncode, err) == (0, "")
    return folders


@pytest.fixture
def constants(monkeypatch):
    """Have the sums and blocks here that they have."""
    for name, value in rank_runs.CONSTANTS.items():
        monkeypatch.setattr(train_step, name, value)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_bits_are_those_of_one_process(done, tmp_path, constants, name):
    alone = rank_runs.fit(name, tmp_path)
    for folder in done.values():
        with np.load(folder / f"{name}.npz") as p:
            assert p.files == list(alone["p"])
            assert all(np.array_equal(p[entry], alone["p"][entry]) for entry in p.files)
        assert json.loads((folder / "said.json").read_text())[name] == json.loads(json.dumps(alone["history"]))
        if (tmp_path / name).exists():
            helpers.assert_same_outcome(helpers.outcome(folder / name), helpers.outcome(tmp_path / name))


def test_the_data_are_sent_once(done):
    """The training and the test part of each run; of the one that fails, the first."""
    for folder in done.values():
        assert json.loads((folder / "said.json").read_text())["sent"] == 1 + 2 * len(CONFIGS)


def test_all_kinds_of_models_are_tested():
    assert {name_of(config) for config in CONFIGS.values()} == ALL_MODELS.keys()


def test_a_rank_that_fails_is_said_and_the_run_goes_on_in_one_process(done, tmp_path, constants):
    whole = helpers.toy_run(tmp_path / "whole", seed=3)
    loop.fit(rank_runs.CONFIG, helpers.toy(), recipe=helpers.RECIPE, seed=3, run=whole, progress=False)
    for count, folder in done.items():
        run = helpers.open_run(folder / "failing")
        words = f"rank {count - 1} of {count} failed: ZeroDivisionError: division by zero"
        words += f" after step {BAD - 1} of {STEPS}"
        kept = f"; the last good state is in {run.checkpoint}; go on with: {run.resume_command}"
        assert json.loads((folder / "said.json").read_text())["failing"] == words + kept
        loop.fit(rank_runs.CONFIG, helpers.toy(), recipe=helpers.RECIPE, seed=3, run=run, progress=False)
        helpers.assert_same_outcome(helpers.outcome(run.folder), helpers.outcome(whole.folder))


# ---- the command


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What the run that others disturb is without that."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    assert call(*LONG, "--workers=1", "--out", folder).code == 0
    return helpers.outcome(folder)


def training(ranks, count, folder):
    """The command on so many ranks, in its third epoch: it has saved itself, and all know."""
    history = folder / "history.jsonl"
    child = ranks(count, "-m", "tinyvit", *LONG, "--out", folder.name, cwd=folder.parent)
    deadline = time.monotonic() + 60
    while not history.exists() or history.read_text().count('"kind": "epoch"') < 2:
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    return child


BAR = re.compile(r"\d%\|.*\| \d+/\d+ \[")  # of tqdm: a process that is ended a moment later may still draw it


def said(text):
    """The lines of the standard error from the command's last on, without those of a progress bar and empty ones."""
    lines = text[text.rindex("tinyvit: ") :].splitlines()
    return [line for line in lines if line.strip() and not BAR.search(line)]


def test_what_is_said_is_without_the_progress_bar():
    bar = "\r  5%|5         | 3/60 [00:00<00:01, 40.12step/s, loss 2.1]"
    assert said(f"{bar}\ntinyvit: stopped\n{bar}\n\n{bar}") == ["tinyvit: stopped"]
    assert said("tinyvit: one\nand 5% more") == ["tinyvit: one", "and 5% more"]


def test_what_is_said_last_is_read_before_all_is_ended(tmp_path):
    """mpiexec that is told to abort reads no more: without the wait it lost one line in six."""
    ours, theirs = os.pipe()
    os.write(theirs, b"tinyvit: rank 1 is gone\n")
    reader = threading.Timer(0.2, os.read, (ours, 100))
    reader.start()
    begun = time.monotonic()
    startup.wait_until_read(theirs)
    assert 0.1 < time.monotonic() - begun < 4
    reader.join()
    with open(tmp_path / "file", "wb") as file:  # no pipe
        startup.wait_until_read(file.fileno())
    for end in (ours, theirs):
        os.close(end)


def test_ctrl_c_saves_and_another_number_of_ranks_goes_on(ranks_of_mpich, tmp_path, whole):
    child = training(ranks_of_mpich, 2, tmp_path / "run")
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 130 and "Traceback" not in err, err
    (line,) = said(err)
    assert err.count("tinyvit: ") == 1 and line.startswith("tinyvit: stopped after step ")
    assert line.endswith(", saved in run; go on with: tinyvit train --out run --resume")
    child = ranks_of_mpich(3, "-m", "tinyvit", "train", "--resume", "--out", "run", cwd=tmp_path)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0 and out.count("test accuracy") == 1 and "; 3 ranks; run" in err, err
    helpers.assert_same_outcome(helpers.outcome(tmp_path / "run"), whole)


def test_a_rank_that_is_killed_ends_all_with_one_line_and_one_process_goes_on(ranks_of_mpich, tmp_path, whole):
    child = training(ranks_of_mpich, 2, tmp_path / "run")
    processes = psutil.Process(child.pid).children(recursive=True)
    (rank,) = (p for p in processes if p.environ().get("PMI_RANK") == "1" and startup.SUPERVISOR in p.environ())
    rank.kill()
    _, err = child.communicate(timeout=60)
    assert child.returncode == 1 and err.count("tinyvit: ") == 1, err
    checkpoint = os.path.join("run", "checkpoint.npz")
    words = f"tinyvit: rank 1 of 2 is gone (killed by signal 9); the last good state is in {checkpoint}; "
    assert said(err) == [words + "go on with: tinyvit train --out run --resume"]
    assert not psutil.wait_procs(processes, timeout=10)[1], "a process is left"
    assert call("train", "--resume", "--out", tmp_path / "run").code == 0
    helpers.assert_same_outcome(helpers.outcome(tmp_path / "run"), whole)


def test_a_mistake_is_said_once(ranks, tmp_path):
    child = ranks(2, "-m", "tinyvit", "train", "--workers=2", cwd=tmp_path)
    out, err = child.communicate(timeout=60)
    lines = [line for line in err.splitlines() if "tinyvit" in line]
    assert lines == ["tinyvit: --workers 2 beside mpiexec, which has started 2: leave it out"]
    assert (child.returncode, out, list(tmp_path.iterdir())) == (2, "", [])


LAB = """
import sys
from tests.lab.helpers import add_tiny
from tinyvit.cli import main
from tinyvit.training import mpi
add_tiny()
process = mpi.Ranks.process
mpi.Ranks.process = lambda *what: print("another rank's", file=sys.stderr) or process(*what)
sys.exit(main())
"""


def test_the_lab_over_ranks_has_the_same_results(ranks, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(lab.EXPERIMENTS, "tiny", lab.TINY)
    child = ranks(2, "-c", LAB, "lab", "tiny", "--seeds=1", "--out=ranks", cwd=tmp_path)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0 and "2 runs, " in out and err.count("another rank's") == 1, err
    assert call("lab", "tiny", "--seeds=1", "--workers=1", "--out=alone").code == 0
    found, expected = (lab.untimed(lab.read(tmp_path / folder / RESULTS)) for folder in ("ranks", "alone"))
    assert found == expected and len(found) == 2


# ---- without ranks


def test_what_mpiexec_says(monkeypatch):
    for name in (name for names in startup.LAUNCHERS for name in names):
        monkeypatch.delenv(name, raising=False)
    assert startup.rank() == (0, 1)
    for names in startup.LAUNCHERS:
        monkeypatch.setenv(names[0], "2")
        assert startup.rank() == (0, 1), "a number alone is somebody else's"
        monkeypatch.setenv(names[1], "5")
        assert startup.rank() == (2, 5)
        monkeypatch.delenv(names[0])


def started_by_mpiexec(monkeypatch, number, module):
    monkeypatch.setenv("PMI_RANK", str(number))
    monkeypatch.setenv("PMI_SIZE", "3")
    monkeypatch.setitem(sys.modules, "mpi4py", module)


class Foreign:
    """mpi4py with the library of another MPI than that of mpiexec."""

    class MPI:
        class COMM_WORLD:
            size = 1

        @staticmethod
        def Get_library_version():
            return "Open MPI v5.0.11, package: Open MPI\0"


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (None, "which need mpi4py to work together ("),
        (Foreign, "of which Open MPI v5.0.11, mpi4py's, sees 1: give the command with the mpiexec of that MPI"),
    ],
    ids=["no mpi4py", "another MPI"],
)
def test_processes_that_cannot_work_together_say_so_once(monkeypatch, capsys, module, words):
    for number in (0, 1, 2):
        started_by_mpiexec(monkeypatch, number, module)
        assert mpi.run(lambda ranks: pytest.fail("it started")) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"tinyvit: mpiexec has started 3 processes, {words}") and err.count("\n") == 1


def test_one_process_is_none_of_several(monkeypatch):
    started_by_mpiexec(monkeypatch, 0, None)
    monkeypatch.setenv("PMI_SIZE", "1")
    assert mpi.run(lambda ranks: "alone" if ranks is None else ranks) == "alone"


def test_commands_that_gain_nothing_refuse_ranks(capsys):
    from tinyvit.cli import status_of

    assert status_of(["shapes", "digits"], ranks="some") == 2
    assert capsys.readouterr().err == "tinyvit: tinyvit shapes works in one process: leave mpiexec out\n"


def test_a_model_beyond_the_memory_of_a_rank_is_refused():
    with pytest.raises(UsageError, match=r"needs .* GiB of memory, of which "):
        check_memory(CONFIGS["vit"], Recipe(batch=999_999_999), 2)
