"""tinyvit.files: a file is whole or not there, whatever goes wrong while it is written."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tinyvit import files
from tinyvit.errors import WriteError

ROOT = Path(__file__).parents[1]
OLD = b"the old file"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "weights.npz"
    path.write_bytes(OLD)
    return path


def assert_untouched(path):
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == [path.name], "a side file was left"


def test_the_new_file_takes_the_place_of_the_old(path):
    with files.replacing(path) as file:
        file.write(b"new")
        assert path.read_bytes() == OLD, "until the end, readers see the old file"
    assert path.read_bytes() == b"new"
    assert os.listdir(path.parent) == [path.name]


def test_text_and_a_path_as_a_string(tmp_path):
    with files.replacing(str(tmp_path / "new.json"), "w") as file:
        file.write("γ, β")
    assert (tmp_path / "new.json").read_text(encoding="utf-8") == "γ, β"


def test_side_files_do_not_look_like_checkpoints(path):
    with files.replacing(path) as file:
        assert os.path.dirname(file.name) == str(path.parent), "a rename is atomic within one folder only"
        assert not file.name.endswith(".npz")


@pytest.mark.parametrize("error", [OSError("no space"), KeyboardInterrupt(), SystemExit(1), ValueError()], ids=repr)
def test_any_failure_in_the_middle_leaves_the_old_file(path, error):
    with pytest.raises(type(error)), files.replacing(path) as file:
        file.write(b"half of the new")
        raise error
    assert_untouched(path)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_is_full_or_broken_leaves_the_old_file(path, step, monkeypatch):
    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, step, fail)
    with pytest.raises(OSError, match="No space left"), files.replacing(path) as file:
        file.write(b"new")
    assert_untouched(path)


def test_bytes_are_on_disk_before_the_rename_and_the_folder_after_it(path, monkeypatch):
    done = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor):
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr(files.os, "fsync", recorded_fsync)
    monkeypatch.setattr(files.os, "replace", lambda *args: (done.append("rename"), replace(*args)))
    with files.replacing(path) as file:
        file.write(b"new")
    assert done[:2] == [3, "rename"]
    assert done[2:] == (["folder"] if sys.platform == "linux" else done[2:])


def test_a_folder_that_is_not_there_is_one_line(tmp_path):
    with (
        pytest.raises(WriteError, match=r"No such file or directory; its folder is not there$"),
        files.replacing(tmp_path / "nowhere" / "file") as file,
    ):
        file.write(b"new")


@pytest.mark.skipif(os.name != "posix", reason="limits on file sizes are POSIX")
def test_a_real_limit_on_the_size_of_files_leaves_the_old_file(path):
    program = """
import resource, signal, sys
from tinyvit.files import replacing
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with replacing(sys.argv[1]) as file:
        file.write(bytes(5000))
except OSError as error:
    sys.exit(str(error))
"""
    run = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 1 and "File too large" in run.stderr, run.stderr
    assert_untouched(path)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_killed_writer_leaves_the_old_file_and_a_side_file_that_can_be_cleared(path):
    program = """
import os, signal, sys
from tinyvit.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(bytes(5000))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    run = subprocess.run([sys.executable, "-c", program, path], cwd=ROOT)
    assert run.returncode < 0
    assert path.read_bytes() == OLD and len(os.listdir(path.parent)) == 2
    with files.replacing(path) as file:
        file.write(OLD)
    assert_untouched(path)


def test_clearing_spares_everything_else_and_the_side_files_of_living_processes(path):
    living, dead = os.getppid(), 2**31 - 1
    kept = [f"weights.npz.{living}.part", "weights.part", "part", "other.npz.part", "weights.npz.mine.part"]
    for name in (*kept, f"weights.npz.{dead}.part", f"weights.npz.{os.getpid()}.part", "weights.npz.part"):
        (path.parent / name).touch()
    files.clear_side_files(str(path))
    assert sorted(os.listdir(path.parent)) == sorted([*kept, path.name])


def test_two_processes_that_write_one_file_do_not_write_into_each_others(path, monkeypatch):
    with files.replacing(path) as first:
        first.write(b"first")
        monkeypatch.setattr(files.os, "getpid", os.getppid)
        with files.replacing(path) as second:
            second.write(b"the second")
        monkeypatch.undo()
        assert path.read_bytes() == b"the second"
    assert path.read_bytes() == b"first" and os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "No space left on device; free some space"),
        (errno.EACCES, "Permission denied; choose another place"),
        (errno.EROFS, "Read-only file system; choose another place"),
    ],
)
def test_what_cannot_be_written_is_said_with_what_to_do(path, number, words):
    with pytest.raises(WriteError) as problem, files.replacing(path):
        raise OSError(number, os.strerror(number))
    assert str(problem.value) == f"cannot write {path}: {words}" and problem.value.errno == number


def test_the_problem_of_another_file_is_not_this_ones(path):
    with pytest.raises(FileNotFoundError), files.replacing(path):
        (path.parent / "another").read_bytes()
    assert_untouched(path)


def test_a_name_that_is_no_text_is_written_all_the_same(path):
    with files.replacing(path, "w") as file:
        file.write("caf\udce9")
    assert path.read_text(encoding="utf-8") == "caf\\udce9"
