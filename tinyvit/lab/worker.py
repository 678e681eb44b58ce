"""A worker process of the lab: `python -m tinyvit.lab.worker`, started by scheduler.py and by nobody else.

Its first line says where the data are; every other is a job, and the answer is its result. A job names one of TASKS,
functions that are given data, seed and arguments and return their results, in JSON.
"""

from tinyvit.errors import DivergedError
from tinyvit.lab.bottleneck import bottleneck
from tinyvit.lab.cost import cost
from tinyvit.lab.equal import backbone
from tinyvit.lab.fewshot import fewshot
from tinyvit.lab.job import task_data
from tinyvit.lab.masked import masked
from tinyvit.lab.pattern import pattern
from tinyvit.lab.train import train
from tinyvit.training.worker import serve

TASKS = {
    "train": train,
    "pattern": pattern,
    "backbone": backbone,
    "fewshot": fewshot,
    "masked": masked,
    "cost": cost,
    "bottleneck": bottleneck,
}


def do(name, data, arguments, seed):
    """Do a task: data are those of `task_data`. If it diverges, what it was to measure is unknown."""
    try:
        return TASKS[name](data, seed, **arguments)
    except DivergedError:
        return {"diverged": True}


def _set_up(where):
    data = task_data(**where)
    return lambda job: {"result": do(job["task"], data, job["arguments"], job["seed"])}


if __name__ == "__main__":
    serve(_set_up)
