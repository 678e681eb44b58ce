"""What the tests of training and of the command share: a toy problem, run folders, the command in this process."""

import contextlib
import functools
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tinyvit.cli import main
from tinyvit.models.config import ViTConfig
from tinyvit.training.recipe import Recipe
from tinyvit.training.run import new_run, open_run
from tinyvit.training.settings import Settings

ROOT = Path(__file__).parents[2]
CONFIG = ViTConfig(image=4, channels=1, patch=2, dim=8, depth=2, heads=2, mlp_dim=12, classes=3, position_std=0.5)
RECIPE = Recipe(epochs=3, batch=3, micro_batch=2, learning_rate=0.01, ema_decay=0.9, validation=0.25, shift=1)
PER_EPOCH, STEPS = 8, 24  # 24 of toy()'s 32 training images, 3 in a step, 3 epochs
VARIANTS = {"plain": {}, "no position": {"position": "none"}, "pre_logits": {"pre_logits": 5, "gelu": "tanh"}}


def toy(train=32, test=9, seed=0):
    """Noisy 4 x 4 images of three classes, told apart by the quadrant that is bright."""
    rng = np.random.default_rng(seed)

    def part(count):
        y = np.arange(count) % 3
        x = rng.normal(-1, 0.3, (count, 4, 4, 1)).astype(np.float32)
        for image, label in zip(x, y, strict=True):
            row, column = divmod(int(label), 2)
            image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2] += 2
        return x, y

    return part(train), part(test)


def toy_run(folder, recipe=RECIPE, seed=0, config=CONFIG):
    """A new run in a folder."""
    return new_run(folder, Settings("digits", config, recipe, seed))


def contents(folder):
    """{relative path: bytes} of every file below a folder, and {relative path: None} of every folder."""
    paths = sorted(Path(folder).rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


def untimed(history):
    """The records of a history without the seconds that they took."""
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


def outcome(folder):
    """All that a finished run is, apart from how long it took: two runs are the same run if these are equal."""
    run = open_run(folder)
    metrics = {key: value for key, value in run.metrics().items() if key != "seconds"}
    return {
        "checkpoint": (folder / "checkpoint.npz").read_bytes(),
        "model": (folder / "model.npz").read_bytes(),
        "history": untimed(run.history()),
        "metrics": metrics,
        "files": sorted(os.listdir(folder)),
        "settings": run.settings,
    }


def assert_same_outcome(found, expected):
    """Two outcomes are equal; says which part is not, without printing thousands of bytes."""
    for part, value in expected.items():
        assert found[part] == value, f"{part} differs" if isinstance(value, bytes) else (part, found[part], value)


# ---- the command

SMALL = ["--epochs=1", "--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8", "--batch=256"]  # a sixth of a second


class Result(NamedTuple):
    """What a command did: its exit status, and what it wrote."""

    code: int
    out: str
    err: str


def call(*argv):
    """Run `tinyvit ARGV...` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(a) for a in argv])
        except SystemExit as stop:  # argparse's way out of --help
            code = stop.code or 0
    return Result(code, out.getvalue(), err.getvalue())


LONGEST = 400  # characters that an error may have: it is read on a terminal


def fails(here, argv, *words, code=None):
    """The command fails in one line that holds these words, and nothing on the disk changes."""
    before = contents(here)
    result = call(*argv)
    assert result.code in ((1, 2) if code is None else (code,)), result
    assert result.err.startswith("tinyvit: ") and result.err.count("\n") == 1 and result.err.endswith("\n"), result.err
    assert len(result.err) <= LONGEST and "Traceback" not in result.err, result.err
    assert not result.out, "an error is no result"
    assert contents(here) == before, "something was left, or lost, on the disk"
    for word in words:
        assert word in result.err, f"{word!r} is not in: {result.err}"


def environment(**more):
    """For a subprocess: it imports the package that this process has imported."""
    return os.environ | {"PYTHONPATH": str(Path(sys.modules["tinyvit"].__file__).parents[1])} | more


def command(*argv, cwd):
    """Run `python -m tinyvit ARGV...` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tinyvit", *map(str, argv)], cwd=cwd, env=environment(), capture_output=True, text=True
    )
    return Result(done.returncode, done.stdout, done.stderr)


def interrupted(argv, *, cwd, history, number, before=""):
    """Start the command in a process of its own, send it a signal once it has written history; returns its Result.

    `before` is Python to run first, after imports.
    """
    program = f"import sys, tinyvit.training.loop as loop\nfrom tinyvit.cli import main\n{before}\nsys.exit(main())"
    child = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, argv)],
        cwd=cwd,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (history.exists() and history.stat().st_size) and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    if child.poll() is None:
        child.send_signal(number)
    out, err = child.communicate(timeout=60)
    assert "Traceback" not in err, err
    if number == signal.SIGKILL:
        assert child.returncode == -number, "the run ended before it could be killed"
    return Result(child.returncode, out, err)


@functools.cache
def small_run():
    """{file: bytes} of a small finished run on digits; written once, see `put_run`."""
    with tempfile.TemporaryDirectory() as folder:
        assert call("train", *SMALL, "--out", f"{folder}/run").code == 0
        return contents(f"{folder}/run")


def isolated(folder, monkeypatch):
    """Make the folder the working one, let no data set be found by accident, and take the network away."""

    def no_network(*args, **keywords):
        raise OSError("Network is unreachable")

    monkeypatch.chdir(folder)
    monkeypatch.delenv("TINYVIT_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda project: folder / "cache" / project)
    monkeypatch.setattr("socket.getaddrinfo", no_network)
    return folder


def put_run(folder, **changed):
    """Write the small finished run into a folder; changed={"model": None} leaves files out, bytes replace them."""
    folder = Path(folder)
    folder.mkdir(parents=True)
    for name, data in small_run().items():
        data = changed.get(name.partition(".")[0], data)
        if data is not None:
            (folder / name).write_bytes(data)
    return folder


def changed_json(data, /, **values):
    """The JSON object in these bytes with some values changed."""
    return json.dumps(json.loads(data) | values).encode()
