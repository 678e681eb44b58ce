"""Kill a run at random moments, go on with it, and compare it with a run that nobody disturbed.

    python -m tests.training.kill            ten kills of a run of each model; exit status 1 if a bit differs
    python -m tests.training.kill cnn -n 3   three, of one model
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    """Kill runs of a model so many times in all, go on after each, and compare every one that ends.

    Returns
    -------
    ended : int
        How many runs came to their end, killed or not; each was equal to the bit to the first, which was not killed.
    steps : list of int
        The steps of the checkpoints that there were at each kill; 0 is none yet.
    """
    moments, argv, folder = random.Random(seed), arguments(model, epochs), Path(folder)
    assert call(*argv, "--out", folder / "whole").code == 0
    whole = outcome(folder / "whole")
    lasts, ended, steps = whole_seconds(folder / "whole"), 0, []
    while len(steps) < kills:
        run = f"killed-{ended}"
        child = start([*argv, "--out", run, "--resume"], folder)
        try:
            moment = moments.uniform(0, 2 * lasts / kills)
            time.sleep(moment)
            child.kill()
        finally:
            child.communicate()
        if child.returncode == 0:  # it ended before it was killed
            assert_same_outcome(outcome(folder / run), whole)
            ended += 1
            continue
        steps.append(saved_step(folder / run))
        say(f"{model}: kill {len(steps)} of {kills}, {moment:.2f} s after the start, checkpoint of step {steps[-1]}")
    assert call(*argv, "--out", folder / run, "--resume").code == 0
    assert_same_outcome(outcome(folder / run), whole)
    return ended + 1, steps


def whole_seconds(folder):
    """How long a finished run took."""
    from tinyvit.training.run import open_run

    return open_run(folder).metrics()["seconds"]


def saved_step(folder):
    """The step of a run's checkpoint; 0 if there is none."""
    import numpy as np

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
            ended, steps = kill_at_random(model, args.kills, folder, seed=args.seed, say=print)
        print(f"{model}: killed {len(steps)} times at steps {steps}, {ended} runs ended, all equal to the bit")


if __name__ == "__main__":
    main()
