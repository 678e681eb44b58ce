"""Kill commands at random moments, give them again, and compare what they leave with what undisturbed ones do.

python -m tests.reliability.kills                four kills of each; an error if anything is not as it should be
python -m tests.reliability.kills --kills 100    a hundred kills over all of them, and the table of docs/reliability.md
python -m tests.reliability.kills lab convert    of these only

A command is killed by a signal, or one of its worker processes is. What is checked after each kill: no process is left;
no traceback, and a line that says what happened; no file is half-written, nor is there one beside them, but for what a
process that is killed without notice cannot clear away. In the end, after the last kill, the command is given until it
is through: then every file is as in a folder where nobody was killed, to the bit of every array.
"""

import argparse
import collections
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
from PIL import Image

import tinyvit
from tests.reliability.folders import compare, contents, read, side_files
from tests.training.helpers import ROOT, environment
from tinyvit.models.model import SEQUENCE_MODELS
from tinyvit.training.machine import machine

PAGE = ROOT / "docs" / "reliability.md"
TINY = {  # options of a run of a few seconds
    "vit": ["--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8"],
    "cnn": ["--widths=2,3"],
    "masked": ["--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8", "--dropout=0.1"],
    "swin": ["--patch=2", "--dim=8", "--depths=2,1", "--heads=2,4", "--window=2", "--drop-path=0.1"],
    "hybrid": ["--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8", "--width=8", "--groups=2"],
    "convstem": ["--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8", "--widths=4"],
    "seq2seq": ["--dim=8"],
    "attention": ["--dim=8"],
    "transformer": ["--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8", "--dropout=0.1"],
    "gpt": ["--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8", "--dropout=0.1"],
    "bert": ["--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8", "--dropout=0.1"],
}
SHORT = ["--length=3", "--examples=500"]  # of data by rule, for models of text
SCRIPT = """import sys
from tinyvit.cli import main
from tests.lab.helpers import add_tiny
add_tiny()
sys.exit(main())
"""  # the command, which knows an experiment of seconds


class Subject(NamedTuple):
    """A command that is killed: its words, its share of the kills in per cent, whether it has worker processes."""

    argv: list
    share: int
    workers: bool = False


def train(model, share, epochs=12, workers=2):
    """A run of a model, which is gone on with."""
    options = [f"--model={model}", *TINY[model], f"--epochs={epochs}", "--seed=3", f"--workers={workers}"]
    data = ["copy", *SHORT] if model in SEQUENCE_MODELS else ["digits"]
    return Subject(["train", *data, *options, "--out=run", "--resume"], share, workers > 1)


SUBJECTS = {
    "train vit": train("vit", 30),
    "train cnn": train("cnn", 12),
    "train masked": train("masked", 12),
    "lab": Subject(["lab", "tiny", "--seeds=3", "--workers=2", "--out=lab"], 20, True),
    "convert": Subject(["convert", "../run", "huggingface"], 10),
    "convert to .npz": Subject(["convert", "../run", "model.npz"], 5),
    "predict --figure": Subject(["predict", "../run", "../a.png", "--figure=look.png"], 5),
    "report": Subject(["report", "../run", "--out=page.html"], 3),
    "plot": Subject(["plot", "../run", "--out=figures"], 3),
}
WAYS = {  # how: the signals, and the exit status that may follow, besides that of a command which was through
    "SIGKILL": ([signal.SIGKILL], (-9,)),
    "SIGTERM": ([signal.SIGTERM], (143, -15)),  # -15: before the command was loaded
    "Ctrl-C": ([signal.SIGINT], (130, -2)),
    "Ctrl-C twice": ([signal.SIGINT] * 2, (130, -2)),
    "a worker": ([], (1,)),
}


def prepare(folder):
    """What the commands read, in a folder: a finished run, and a picture; and themselves."""
    (folder / "tinyvit").write_text(SCRIPT)
    undisturbed(
        Subject(["train", "digits", *TINY["vit"], "--epochs=1", "--workers=1", "--out=../run"], 0), folder / "empty"
    )
    _, (x, _) = tinyvit.load_data("digits")
    Image.fromarray(((x[0, :, :, 0] + 1) * 127.5).round().astype(np.uint8)).save(folder / "a.png")
    return folder


def start(subject, folder, mark):
    """The command, in a process that bears a mark, as do all that it starts."""
    path = os.pathsep.join([environment()["PYTHONPATH"], str(ROOT)])
    return subprocess.Popen(
        [sys.executable, "-P", folder.parent / "tinyvit", *subject.argv],
        cwd=folder,
        env=environment(MARK=mark, PYTHONPATH=path),
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a script's background commands ignore it
    )


def undisturbed(subject, folder):
    """Give the command until it is through; returns the seconds that it took."""
    folder.mkdir(exist_ok=True)
    begun, child = time.perf_counter(), start(subject, folder, "none")
    _, err = child.communicate()
    assert child.returncode == 0, f"given again, it fails: {err}"
    return time.perf_counter() - begun


def kill_at_random(subject, kills, here, moments, *, ways=tuple(WAYS), earliest=0.03, say=lambda words: None):
    """Kill a command so many times, at moments spread over it, giving it again after each.

    Parameters
    ----------
    subject : Subject
    kills : int
    here : Path
        Where `prepare` has been. The command is given in folders of it.
    moments : random.Random
    ways : some keys of WAYS
    earliest : float
        Of the seconds that the command takes undisturbed, the part in which it is not killed.

    Returns
    -------
    how : list of keys of WAYS
        One for each kill; a command that was through before it could be killed does not count.
    """
    seconds, folder, how = undisturbed(subject, here / "whole"), here / "killed", []
    whole, ways = contents(here / "whole"), [way for way in ways if subject.workers or way != "a worker"]
    folder.mkdir()
    for attempt in range(20 * kills):
        if len(how) == kills:
            break
        way = ways[len(how) % len(ways)]
        code = kill(subject, folder, way, moments.uniform(earliest, 0.9) * seconds, moments)
        if code == 0:  # it was through before
            seconds *= 0.8
        else:
            how.append(way)
            say(f"{' '.join(subject.argv[:2])}: {way}: {code}")
            if moments.random() < 0.9:  # the command goes on with what is there
                continue
            undisturbed(subject, folder)
        compare(contents(folder), whole)
        folder.rename(here / f"done{attempt}")
        folder.mkdir()
    undisturbed(subject, folder)
    compare(contents(folder), whole)
    assert how, "none of the kills came in time"
    return how


def kill(subject, folder, way, delay, moments):
    """Start the command, and kill it so after a while; returns its exit status, having checked what it left."""
    before, mark = side_files(folder), secrets.token_hex(8)
    child = start(subject, folder, mark)
    signals, expected = WAYS[way]
    try:
        time.sleep(delay)
        if way == "a worker":
            kill_worker(child)
        for number in signals:
            child.send_signal(number)
            time.sleep(moments.uniform(0, 0.05) * (len(signals) > 1))
        _, err = child.communicate(timeout=60)
    finally:
        child.kill()
    assert not left(mark), f"{way}: a process is left"
    assert child.returncode in (0, *expected), f"{way}: exit status {child.returncode}: {err}"
    check_words(way, child.returncode, err)
    if way not in ("SIGKILL", "Ctrl-C twice"):  # these cannot, or need not, clear anything away
        assert side_files(folder) <= before, f"{way}: {side_files(folder) - before} are left"
    for path in {path for path in folder.rglob("*") if path.is_file()} - side_files(folder):
        read(path)
    return child.returncode


def kill_worker(child):
    """Kill a worker of a command, once it has one."""
    while child.poll() is None:
        try:
            workers = psutil.Process(child.pid).children()
            if workers:
                workers[-1].kill()
                return
        except psutil.Error:
            return
        time.sleep(0.01)


def left(mark):
    """The processes with this mark that have not ended after a few seconds."""
    deadline = time.monotonic() + 5
    while (found := [p for p in psutil.process_iter() if marked(p, mark)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found


def marked(process, mark):
    """Whether a process bears the mark."""
    try:
        return process.environ().get("MARK") == mark and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


def check_words(way, code, err):
    """No traceback, but one of Python's own start; and a line that says what happened, if somebody could write it."""
    assert "Traceback" not in err or f"{os.sep}tinyvit{os.sep}" not in err, err
    last = err.replace("\r", "\n").rstrip().rpartition("\n")[2]
    if code > 0:
        assert last.startswith("tinyvit: "), f"{way}: {err}"


# ---- the command


def table(killed, seconds):
    """The rows of docs/reliability.md: how often each command was killed, and how."""
    lines = ["| command | " + " | ".join(WAYS) + " | then |", "|---" * (len(WAYS) + 2) + "|"]
    for name, how in killed.items():
        counts = collections.Counter(how)
        lines.append(f"| {name} | " + " | ".join(str(counts[way] or "-") for way in WAYS) + " | equal to the bit |")
    total = sum(map(len, killed.values()))
    about = f"{total} kills in {seconds:,.0f} s. `python -m tests.reliability.kills --kills {total}`; {machine()}."
    return [*lines, "", about]


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("subject", nargs="*", choices=[*SUBJECTS, []], default=[])
    parser.add_argument("--kills", type=int, help="over all subjects, by their shares; and the table is written")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    moments, killed, begun = random.Random(args.seed), {}, time.perf_counter()
    for name in args.subject or SUBJECTS:
        kills = round(args.kills * SUBJECTS[name].share / 100) if args.kills else 4
        with tempfile.TemporaryDirectory() as folder:
            killed[name] = kill_at_random(SUBJECTS[name], kills, prepare(Path(folder)), moments, say=print)
        print(f"{name}: killed {len(killed[name])} times, then equal to the bit", flush=True)
    lines = table(killed, time.perf_counter() - begun)
    print("\n".join(lines))
    if args.kills and not args.subject:
        text = PAGE.read_text(encoding="utf-8")
        block = "\n".join(["<!-- kills -->", *lines, "<!-- /kills -->"])
        text = re.sub("<!-- kills -->.*?<!-- /kills -->", lambda _: block, text, flags=re.DOTALL)
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
