"""tinyvit.lock: one process at a time in a folder, whatever became of those before."""

import errno
import os
import subprocess
import sys
from contextlib import contextmanager

import pytest

from tests.training.helpers import environment
from tinyvit import lock
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.lock import LOCK, locked

HOLD = """
import sys
from tinyvit.lock import locked
with locked(sys.argv[1], "training"):
    print("locked", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder):
    """A process that has the folder until its input ends, or it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, folder], env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline() == b"locked\n"
        yield child


def assert_free(folder):
    with locked(folder, "training"):
        assert os.listdir(folder) == [LOCK]
    assert os.listdir(folder) == []


@pytest.mark.parametrize("end", ["input ends", "killed"])
def test_another_process_is_refused_until_the_first_has_ended_however(tmp_path, end):
    folder = tmp_path / "new" / "run"
    with holder(folder) as child:
        for _ in range(2):
            with pytest.raises(UsageError) as refused, locked(folder, "training"):
                pass
            words = f"another process is training in {folder}: wait until it has ended, or choose another --out"
            assert str(refused.value) == words
        if end == "killed":
            child.kill()
    assert os.listdir(folder) == [LOCK] * (end == "killed"), "what a killed process leaves locks nothing"
    assert_free(folder)


@pytest.mark.skipif(os.name == "nt", reason="Windows removes no open file")
def test_a_lock_that_was_removed_since_it_was_opened_is_none(tmp_path, monkeypatch):
    """Between the opening and the taking, one process ends and another begins: both would have a lock, of two files."""
    path, take = tmp_path / LOCK, lock._take
    opened = []

    def taken(file):
        opened.append(file)
        if len(opened) == 1:
            path.rename(tmp_path / "removed")
            path.write_bytes(b"1")
        return take(file)

    monkeypatch.setattr(lock, "_take", taken)
    with locked(tmp_path, "training"):
        assert len(opened) == 2 and path.read_text() == str(os.getpid())


def test_within_a_process_a_folder_may_be_locked_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with locked("run", "training"):
        with locked(tmp_path / "run", "training"):
            pass
        assert (tmp_path / "run" / LOCK).exists(), "the outer one still has it"
    assert_free(tmp_path / "run")


def test_a_lock_that_was_removed_between_opening_and_locking_is_none(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    flock, left = fcntl.flock, [2]

    def late(file, how):
        if left[0]:
            left[0] -= 1
            os.unlink(tmp_path / LOCK)
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with locked(tmp_path, "training"):
        assert (tmp_path / LOCK).read_bytes() == b"%d" % os.getpid() and left == [0]


@pytest.mark.parametrize(
    ("number", "free"),
    [(os.getppid(), False), (os.getpid(), True), (2**31 - 1, True)],
    ids=["parent", "this one", "nobody"],
)
def test_a_file_system_without_locks_goes_by_the_number_of_the_process(tmp_path, monkeypatch, number, free):
    fcntl = pytest.importorskip("fcntl")

    def none(*args):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    (tmp_path / LOCK).write_bytes(b"%d" % number)
    if free:
        assert_free(tmp_path)
    else:
        with pytest.raises(UsageError, match="another process is training"), locked(tmp_path, "training"):
            pass


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").touch()
    problem = r"cannot write .*file/run: Not a directory; choose another folder with --out"
    with pytest.raises(CheckpointError, match=problem), locked(tmp_path / "file" / "run", "training"):
        pass
