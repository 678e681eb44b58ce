"""Kill a run at random moments, go on with it, and compare it with a run that nobody disturbed.

python -m tests.training.kill            ten kills of a run of each model; an error if a bit differs
python -m tests.training.kill cnn -n 3   three, of one model
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.training.helpers import assert_same_outcome, call, environment, outcome

TINY = {  # options of a run of a few seconds
    "vit": ["--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8"],
    "cnn": ["--widths=2,3"],
    "masked": ["--dim=8", "--depth=1", "--heads=2", "--mlp-dim=8", "--dropout=0.1"],
}


def arguments(model, epochs):
    """Of `tinyvit` for a run of the model, without --out."""
    return ["train", "digits", f"--model={model}", *TINY[model], f"--epochs={epochs}", "--seed=3"]


def start(argv, folder):
    """The command in a process of its own, from the moment on when it begins to train."""
    child = subprocess.Popen(
        [sys.executable, "-m", "tinyvit", *argv, "--workers=1"],
        cwd=folder,
        env=environment(),
        text=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    for line in child.stderr:
        if " parameters; " in line:
            break
    return child


def kill_at_random(model, kills, folder, *, seed=0, epochs=20, say=lambda words: None):
    """Kill a run of a model so many times, at moments spread over it, and go on after each.

    Returns
    -------
    steps : list of (int, int)
        For each kill the step that the history had come to, and that of the checkpoint; 0 is none yet. The run ended
        equal to the bit to one that was not killed.
    """
    moments, argv, folder, steps = random.Random(seed), arguments(model, epochs), Path(folder), []
    assert call(*argv, "--out", folder / "whole").code == 0
    whole = outcome(folder / "whole")
    for target in sorted(moments.uniform(0, last_step(folder / "whole")) for _ in range(kills)):
        child = start([*argv, "--out", "killed", "--resume"], folder)
        try:
            while child.poll() is None and last_step(folder / "killed") < target:
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.1))
            child.kill()
        finally:
            child.communicate()
        if child.returncode == 0:  # it ended sooner
            break
        steps.append((last_step(folder / "killed"), saved_step(folder / "killed")))
        say(f"{model}: killed after step {steps[-1][0]}; its checkpoint is of step {steps[-1][1]}")
    assert call(*argv, "--out", folder / "killed", "--resume").code == 0
    assert_same_outcome(outcome(folder / "killed"), whole)
    return steps


def last_step(folder):
    """The step of the last whole line of a run's history; 0 if there is none."""
    path = folder / "history.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return json.loads(lines[-1])["step"] if lines else 0


def saved_step(folder):
    """The step of a run's checkpoint; 0 if there is none."""
    path = folder / "checkpoint.npz"
    if not path.exists():
        return 0
    with np.load(path) as file:
        return int(file["training/step"])


def main():
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", nargs="*", choices=[*TINY, []], default=[])
    parser.add_argument("-n", "--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for model in args.model or TINY:
        with tempfile.TemporaryDirectory() as folder:
            steps = kill_at_random(model, args.kills, folder, seed=args.seed, say=print)
        print(f"{model}: killed {len(steps)} times, resumed, equal to the bit", flush=True)


if __name__ == "__main__":
    main()
