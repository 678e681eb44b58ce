"""A worker process: `python -m tinyvit.training.worker`, started by crew.py and by nobody else.

It reads lines of JSON from its standard input, first the run, then [task, arguments...], and answers each with a line:
null, or what went wrong. When its standard input ends it ends, and that is when its parent does, however it does.
"""

import json
import os
import signal
import sys

import numpy as np

from tinyvit.models.config import ViTConfig
from tinyvit.training.memory import keep_freed_memory
from tinyvit.training.recipe import Recipe
from tinyvit.training.shared import arrays_in, open_memory, size_of
from tinyvit.training.work import Work


def main():
    """Serve until the standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where a session of its own does not keep Ctrl-C away
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints is no answer
    keep_freed_memory()
    run = json.loads(sys.stdin.buffer.readline() or "null")
    if run is None:
        return
    arrays = arrays_in(open_memory(run["memory"], size_of(run["shapes"])), run["shapes"])
    work = Work(ViTConfig.from_dict(run["config"]), Recipe(**run["recipe"]), run["seed"], arrays)
    try:
        answers.write(b"null\n")
        for line in sys.stdin.buffer:
            answers.write(_answer(work, run["worker"], run["workers"], *json.loads(line)))
    except OSError:  # nobody reads the answers: the parent is gone
        pass


def _answer(work, worker, workers, task, *arguments):
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # as in fit, which sees it from the loss
            getattr(work, task)(worker, workers, *arguments)
    except Exception as error:
        return json.dumps(f"{type(error).__name__}: {error}").encode() + b"\n"
    return b"null\n"


if __name__ == "__main__":
    main()
