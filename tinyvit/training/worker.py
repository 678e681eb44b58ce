"""A worker process: `python -m tinyvit.training.worker`, started by worker_pool.py and by nobody else.

It reads lines of JSON from its standard input, first the run, then [task, arguments...], and answers each with a line:
null, or {"problem": what went wrong}. It exits when its standard input closes, however the parent died.
"""

import json
import os
import signal
import sys

import numpy as np

from tinyvit.models.model import model_named
from tinyvit.training.memory import keep_freed_memory
from tinyvit.training.recipe import Recipe
from tinyvit.training.shared import arrays_in, open_memory, size_of
from tinyvit.training.train_step import TrainStep


def serve(first):
    """Answer each line of the standard input until it ends.

    Parameters
    ----------
    first : callable
        Given the first line's JSON, it returns what is called with that of every other; what that returns is the
        answer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where a session of its own does not keep Ctrl-C away
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)  # whatever a library prints is no answer
    keep_freed_memory()
    do = None
    try:
        for line in sys.stdin.buffer:
            answer = None
            try:
                if do is None:
                    do = first(json.loads(line))
                else:
                    answer = do(json.loads(line))
            except Exception as error:
                answer = {"problem": f"{type(error).__name__}: {error}"}
            answers.write(json.dumps(answer).encode() + b"\n")
    except OSError:  # nobody reads the answers: the parent is gone
        pass


def _set_up(run):
    """The first line; returns what does the others."""
    arrays = arrays_in(open_memory(run["memory"], size_of(run["shapes"])), run["shapes"])
    config = model_named(run["model"]).config(**run["config"])
    train_step = TrainStep(config, Recipe(**run["recipe"]), run["seed"], arrays)

    def do(task):
        name, *arguments = task
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # as in fit, which sees it from the loss
            getattr(train_step, name)(run["worker"], run["workers"], *arguments)

    return do


if __name__ == "__main__":
    serve(_set_up)
