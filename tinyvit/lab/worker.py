"""A worker process of the lab: `python -m tinyvit.lab.worker`, started by scheduler.py and by nobody else.

Its first line says where the data are; every other is a job, and the answer is its result.
"""

from tinyvit.data import load_data
from tinyvit.lab.tasks import do
from tinyvit.training.worker import serve


def _set_up(where):
    data = load_data(where["data"], where["data_dir"])
    return lambda job: {"result": do(job["task"], data, job["arguments"], job["seed"])}


if __name__ == "__main__":
    serve(_set_up)
