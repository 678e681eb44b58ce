"""A worker process: `python -m tinyvit.training.worker`, started by worker_pool.py and by nobody else.

It reads lines of JSON from its standard input, first the run, then [task, arguments...], and answers each with a line:
null, or {"problem": what went wrong}. It exits when its standard input closes, however the parent died, and whatever it
is doing.
"""

import json
import os
import queue
import signal
import sys
import threading

import numpy as np

from tinyvit.models.model import model_named
from tinyvit.training.memory import keep_freed_memory
from tinyvit.training.recipe import Recipe
from tinyvit.training.shared import arrays_in, open_memory, size_of
from tinyvit.training.train_step import TrainStep


def serve(first):
    """Answer each line of the standard input; does not return.

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
    lines, do = queue.SimpleQueue(), None
    threading.Thread(target=_read, args=(lines,), daemon=True).start()
    while True:
        message, answer = json.loads(lines.get()), None
        try:
            if do is None:
                do = first(message)
            else:
                answer = do(message)
        except Exception as error:
            answer = {"problem": f"{type(error).__name__}: {error}"}
        try:
            answers.write(json.dumps(answer).encode() + b"\n")
        except OSError:  # nobody reads the answers: the parent is gone
            os._exit(1)


def _read(lines):
    """A thread that hands the lines of the standard input on. With their end the process ends, in whatever it is at.

    So nobody computes for a parent that was killed: the system closes the pipe.
    """
    for line in sys.stdin.buffer:
        lines.put(line)
    os._exit(0)


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
