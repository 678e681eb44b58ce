"""What can be done in a run: each task is given data, seed and arguments, and returns its results, in JSON."""

import numpy as np

from tinyvit.errors import DivergedError
from tinyvit.lab.cost import cost
from tinyvit.lab.fewshot import fewshot
from tinyvit.lab.masked import masked
from tinyvit.lab.train import train

TASKS = {"train": train, "fewshot": fewshot, "masked": masked, "cost": cost}


def do(name, data, arguments, seed):
    """Do a task: data is ((x, y), (x_test, y_test)).

    A run that diverges has learned nothing: its accuracy is that of guessing, and it says so.
    """
    try:
        return TASKS[name](data, seed, **arguments)
    except DivergedError:
        chance = float(np.bincount(data[1][1]).max() / len(data[1][1]))
        return {"test_accuracy": chance, "validation_accuracy": chance, "diverged": True}
