"""The command in odd processes: streams that are closed or narrow, Python without docstrings, a second one, signals."""

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.training import helpers
from tests.training.helpers import SMALL, call, put_run
from tinyvit import startup
from tinyvit.lock import LOCK
from tinyvit.training.run import Run

POSIX = pytest.mark.skipif(os.name != "posix", reason="a POSIX shell, and signals")
SLOW = ["train", *SMALL[1:], "--epochs=5000", "--workers=1"]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@POSIX
def test_with_closed_streams_train_trains(tmp_path):
    """And no file of the run takes a closed stream's number, to have messages written into it."""
    argv = f"'{sys.executable}' -m tinyvit train {' '.join(SMALL)} --workers=2 --out run <&- >&- 2>&-"
    assert subprocess.run(argv, shell=True, cwd=tmp_path, env=helpers.environment()).returncode == 0
    assert call("train", *SMALL, "--out", "whole").code == 0
    helpers.assert_same_outcome(helpers.outcome(tmp_path / "run"), helpers.outcome(tmp_path / "whole"))


@pytest.mark.skipif(sys.platform != "linux", reason="other systems' file names are text")
def test_a_name_that_the_output_cannot_encode_and_that_is_no_text(tmp_path):
    name = "跑" + os.fsdecode(b"caf\xe9")
    put_run(tmp_path / name)
    argv = [sys.executable, "-m", "tinyvit", "train", "--resume", "--out", name]
    done = subprocess.run(argv, env=helpers.environment(PYTHONIOENCODING="ascii"), capture_output=True)
    shown = rb"\u8dd1caf\udce9"
    assert done.returncode == 0 and done.stdout.startswith(b"run " + shown + b": 1 epoch in "), done
    assert done.stderr == shown + b" is finished\nlook at it: tinyvit report '" + shown + b"'\n"


def test_without_docstrings_every_command_starts(tmp_path):
    program = """
import contextlib, io
from tinyvit.cli import COMMANDS, main
for name in COMMANDS:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
        main(["eval" if name == "evaluate" else name, "--help"])
raise SystemExit(main())
"""
    argv = [sys.executable, "-OO", "-c", program, "train", *SMALL, "--workers=1", "--out", "run"]
    done = subprocess.run(argv, env=helpers.environment(), capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    assert call("eval", "run").out.splitlines()[-1] == done.stdout.splitlines()[-1]


@contextlib.contextmanager
def training(folder):
    """A run that is training in another process until the block ends."""
    argv = [sys.executable, "-m", "tinyvit", *SLOW, "--out", folder]
    with subprocess.Popen(argv, env=helpers.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as child:
        try:
            history, deadline = folder / "history.jsonl", time.monotonic() + 60
            while not (history.exists() and history.stat().st_size) and child.poll() is None:
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield child
        finally:
            child.kill()
            child.communicate()


def test_a_run_that_another_process_trains_is_refused_and_left_alone(tmp_path):
    folder = tmp_path / "run"
    with training(folder) as child:
        for options in (["--resume"], ["--force"], ["--force", "--dim=16"], ["--resume", "--workers=1"]):
            before = (folder / "history.jsonl").read_bytes()
            result = call("train", *(SMALL if "--force" in options else []), *options, "--out", folder)
            words = (
                f"tinyvit: another process is training in {folder}: wait until it has ended, or choose another --out\n"
            )
            assert (result.code, result.out) == (2, "") and result.err.endswith(words), result
            assert (folder / "history.jsonl").read_bytes().startswith(before)
        result = call("train", *SMALL, "--out", folder)
        assert result.code == 2 and "exists and is not empty" in result.err
        assert child.poll() is None
    assert (folder / LOCK).exists()
    assert json.loads((folder / "config.json").read_text())["config"]["dim"] == 8
    assert call("train", *SMALL, "--force", "--out", folder).code == 0, "a killed one locks nothing"
    assert not (folder / LOCK).exists()


@POSIX
def test_ctrl_c_while_modules_are_loaded_is_one_line(tmp_path):
    """Sent to itself at the first import of NumPy, which is long before `main`."""
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text("""
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a script's background commands ignore it
class Interrupt:
    def find_spec(self, name, path, target=None):
        if name == "numpy":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
""")
    path = os.pathsep.join([str(tmp_path / "hook"), helpers.environment()["PYTHONPATH"]])
    argv = [sys.executable, "-m", "tinyvit", "shapes"]
    done = subprocess.run(argv, env=helpers.environment(PYTHONPATH=path), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "tinyvit: interrupted\n")


@pytest.mark.parametrize(
    ("argv0", "original", "expected"),
    [
        ("/usr/bin/tinyvit", ["python", "/usr/bin/tinyvit", "lab"], True),
        (r"tinyvit.exe", ["tinyvit.exe"], True),
        ("-m", ["python", "-P", "-m", "tinyvit", "lab"], True),
        ("-m", ["python", "-m", "tinyvit.lab.worker"], False),
        ("/site-packages/pytest/__main__.py", ["python", "-m", "pytest"], False),
        ("script.py", ["python", "script.py", "tinyvit"], False),
        ("", ["python"], False),
    ],
)
def test_handlers_are_the_commands_own_only(monkeypatch, argv0, original, expected):
    monkeypatch.setattr(sys, "argv", [argv0])
    monkeypatch.setattr(sys, "orig_argv", original)
    assert startup.is_command() is expected


@POSIX
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_any_command_in_one_line_and_the_handlers_are_as_before(monkeypatch, number, code):
    def killed(args):
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr("tinyvit.commands.shapes.shapes", killed, raising=False)
    monkeypatch.setattr("tinyvit.commands.shapes.run", killed)
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    if before[0] is signal.SIG_IGN:
        pytest.skip("Ctrl-C is ignored here")
    result = call("shapes", "digits")
    assert (result.code, result.out, result.err) == (code, "", "tinyvit: interrupted\n")
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


@POSIX
def test_without_a_folder_for_temporary_files_or_a_home_a_run_has_no_curves(tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import tempfile\ntempfile._candidate_tempdir_list = list\n")
    path = os.pathsep.join([str(tmp_path), helpers.environment()["PYTHONPATH"]])
    env = helpers.environment(PYTHONPATH=path, HOME="/dev/null/home", XDG_CONFIG_HOME="", XDG_CACHE_HOME="")
    env.pop("MPLCONFIGDIR", None)
    argv = [sys.executable, "-m", "tinyvit", "train", *SMALL, "--workers=1", "--out", "run"]
    done = subprocess.run(argv, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and "tinyvit: no curves: Matplotlib requires" in done.stderr
    assert (tmp_path / "run" / "model.npz").exists() and not (tmp_path / "run" / "curves.png").exists()


def test_a_run_folder_that_is_removed_while_it_trains_is_said_to_be_gone(tmp_path, monkeypatch):
    monkeypatch.setattr("tinyvit.training.run.Run.log", lambda run, record, log=Run.log: removed(run, record, log))

    def removed(run, record, log):
        shutil.rmtree(run.folder)
        log(run, record)

    result = call("train", *SMALL, "--out", "run")
    last = result.err.splitlines()[-1]
    assert result.code == 1 and last.startswith("tinyvit: cannot write run") and "No such file or directory" in last
    assert last.endswith("its folder is not there")


def test_where_the_system_does_not_say_how_much_memory_it_has_training_starts(monkeypatch):
    def no_proc():
        raise FileNotFoundError(2, "No such file or directory", "/proc/meminfo")

    monkeypatch.setattr("psutil.virtual_memory", no_proc)
    assert call("train", *SMALL, "--out", "run").code == 0


def test_a_diverged_run_is_neither_resumed_nor_advised(tmp_path):
    result = call("train", *SMALL, "--epochs=3", "--learning-rate=1e6", "--out", "run")
    assert result.code == 1 and "lower --learning-rate" in result.err
    for argv in (["train", "--resume", "--out", "run"], ["eval", "run"], ["report", "run"]):
        again = call(*argv)
        assert (
            again.code == 1 and again.out == "" and again.err.startswith("tinyvit: the run in run diverged after step ")
        )
        assert again.err.endswith("and would again: start a new one with a lower --learning-rate than 1e+06\n")
    assert call("train", *SMALL, "--force", "--out", "run").code == 0


def test_a_damaged_line_of_the_history_is_told_of_and_the_rest_kept(tmp_path):
    put_run(tmp_path / "run", metrics=None)
    path = tmp_path / "run" / "history.jsonl"
    first, *rest = path.read_bytes().splitlines(keepends=True)
    record = json.loads(first) | {"step": 1}
    path.write_bytes(json.dumps(record).encode() + b"\n" + b'{"damaged\n' + first + b"".join(rest))
    result = call("train", "--resume", "--out", "run")
    assert (
        result.code == 0 and f"{os.path.join('run', 'history.jsonl')}: line 2 is damaged and left out\n" in result.err
    )
    kinds = [json.loads(line)["kind"] for line in path.read_text().splitlines()]
    assert kinds == [record["kind"], *(json.loads(line)["kind"] for line in (first, *rest))]


@pytest.mark.parametrize(
    "argv",
    [
        ["features", "run", "a.npy", "--out=f.npy"],
        ["predict", "run", "a.npy", "--figure=f.png"],
        ["convert", "run", "f.npz"],
    ],
    ids=lambda argv: argv[0],
)
def test_where_one_may_not_write_one_line_says_which_file_and_what_to_do(tmp_path, monkeypatch, argv):
    def denied(path, *args, **options):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    put_run(tmp_path / "run")
    np.save("a.npy", 255 * np.eye(8, dtype=np.uint8))
    monkeypatch.setattr("tinyvit.files.open", denied, raising=False)
    result = call(*argv)
    out = argv[-1].rpartition("=")[2]
    words = f"tinyvit: cannot write {out}: Permission denied; choose another place"
    assert result.code == 1 and result.err.splitlines()[-1].startswith(words), result
    assert not list(tmp_path.glob("f.*"))
