"""What can be done in a run: each task is given data, seed and arguments, and returns its results, in JSON."""

from tinyvit.errors import DivergedError
from tinyvit.lab.cost import cost
from tinyvit.lab.fewshot import fewshot
from tinyvit.lab.masked import masked
from tinyvit.lab.train import train

TASKS = {"train": train, "fewshot": fewshot, "masked": masked, "cost": cost}


def do(name, data, arguments, seed):
    """Do a task: data is ((x, y), (x_test, y_test)). If it diverges, what it was to measure is unknown."""
    try:
        return TASKS[name](data, seed, **arguments)
    except DivergedError:
        return {"diverged": True}
