"""Where the speed comes from: the time of S without each of the causes that docs/speed.md names, measured.

python docs/measure.py ablation     -> docs/speed.md

A cause is switched off in the contenders' own processes, by an edit of the source (see `planted`) or another setting;
the package knows nothing of it. An edit whose text is no longer there raises ValueError.
"""

import contextlib
import dataclasses
import os
import statistics
from functools import partial

from threadpoolctl import threadpool_limits

from docs.readme import DOCS, replace
from tinyvit.bench import contender
from tinyvit.bench.compare import MODELS, TURN, at_work, turn
from tinyvit.exercises.source import planted
from tinyvit.layers.linear import linear
from tinyvit.layers.mlp import value_alone
from tinyvit.models.model import name_of
from tinyvit.ops import erf, gelu, sums
from tinyvit.training import adamw, memory, worker, worker_pool
from tinyvit.training.cores import usable_cores
from tinyvit.training.machine import machine
from tinyvit.training.process import WorkerProcess
from tinyvit.training.train_step import TrainStep

MODEL, BATCH, ROUNDS = "S", 128, 7
BASE = "all of them"
UNBOUNDED = 2**62  # numbers: the block that holds every array
SWITCHED_OFF = contextlib.ExitStack()  # the edits of this process, which nobody undoes
DERIVATIVE_LATER = [
    (gelu.gelu, ("    dydx *= x\n    dydx += cdf\n", "")),
    (gelu.gelu, ('{"dydx": dydx}', '{"dydx": x}')),
    (
        gelu.gelu_backward,
        (
            'return dy * c["dydx"]',
            'cdf, pdf = normal_distribution(c["dydx"])\n    return dy * (cdf + c["dydx"] * pdf)',
        ),
    ),
]
PLAIN_SUMS = [
    (sums.row_sums, ("(x.reshape(-1, x.shape[-1]) @ ones).reshape(*x.shape[:-1], 1)", "x.sum(-1, keepdims=True)")),
    (sums.column_sums, ("xp_of(x).ones(len(rows), x.dtype) @ rows", "rows.sum(axis=0)")),
    (sums.row_dots, ('xp_of(x).einsum("...d,...d->...", x, y)[..., None]', "(x * y).sum(-1, keepdims=True)")),
    (sums.row_max, ("if x.shape[-1] > SHORT or", "if True or")),
]


@dataclasses.dataclass(frozen=True)
class Cause:
    """What is switched off: edits (function, (right, wrong)), constants (module, name, value), and other settings."""

    edits: tuple = ()
    constants: tuple = ()
    tasks: tuple = ("train", "infer")
    least_cores: int = 1
    economy: bool = True  # the class row alone
    kind: str = "processes"  # of the workers
    blas_threads: bool = False  # as many for each worker as there are cores


CAUSES = {  # by the words of the table
    BASE: Cause(),
    "the class row alone in the last block": Cause(
        economy=False, edits=((TrainStep.evaluate, ("all_rows=False", "all_rows=True")),)
    ),
    "micro-batches of 32": Cause(constants=((contender, "MICRO_BATCH", BATCH),)),
    "processes; threads instead": Cause(least_cores=2, kind="threads"),
    "one BLAS thread for each worker": Cause(least_cores=2, blas_threads=True),
    "a linear layer as one product": Cause(edits=((linear, ("x.reshape(-1, x.shape[-1]) @", "x @")),)),
    "sums by products, maxima of folded rows": Cause(edits=tuple(PLAIN_SUMS)),
    "GELU's derivative kept from the forward pass": Cause(edits=tuple(DERIVATIVE_LATER), tasks=("train",)),
    "GELU without its derivative in prediction": Cause(
        edits=((value_alone, ("quicker if quicker in ACTIVATIONS else gelu", "gelu")),), tasks=("infer",)
    ),
    "GELU's signs by a division": Cause(
        edits=((erf._abramowitz_stegun, ("np.divide(x, size, out=size)", "np.sign(x)")),)
    ),
    "GELU in blocks that fit the cache": Cause(constants=((gelu, "BLOCK", UNBOUNDED),)),
    "freed memory kept": Cause(edits=((memory.keep_freed_memory, ("mallopt = ctypes.CDLL(None).mallopt", "return")),)),
    "AdamW in blocks that fit the cache": Cause(constants=((adamw, "BLOCK", UNBOUNDED),), tasks=("train",)),
}


@contextlib.contextmanager
def edits_of(name):
    """While it lasts, the functions have a cause's edits."""
    by_function = {}
    for function, edit in CAUSES[name].edits:
        by_function.setdefault(function, []).append(edit)
    with contextlib.ExitStack() as stack:
        for function, edits in by_function.items():
            stack.enter_context(planted(function, *edits))
        yield


def switch_off(name, cores):
    """Switch a cause off, for the rest of this process."""
    cause = CAUSES[name]
    SWITCHED_OFF.enter_context(edits_of(name))
    for module, constant, value in cause.constants:
        setattr(module, constant, value)
    contender.start_worker_pool = partial(contender.start_worker_pool, kind=cause.kind)
    worker_pool.WorkerProcess = partial(_Worker, cause=name, cores=cores)


class _Worker(WorkerProcess):
    """A worker process that switches the same cause off before it begins."""

    def __init__(self, module, name, descriptors, *, cause, cores):
        super().__init__("docs.ablation", name, descriptors, one_thread=not CAUSES[cause].blas_threads)
        self.send({"cause": cause, "cores": cores})
        self.answer()


def _set_up(spec):
    """The first message says what is switched off, and of a contender what it does."""
    switch_off(spec["cause"], spec["cores"])
    return _contend(spec) if "task" in spec else _work()


def _contend(spec):
    """What answers a number of steps with the seconds of one."""
    config, cause = MODELS[MODEL], CAUSES[spec["cause"]]
    about = {"function": f"tinyvit_{spec['task']}", "economy": cause.economy, "cores": spec["cores"]}
    about |= {"batch": BATCH, "model": name_of(config), "config": dataclasses.asdict(config)}
    turn = contender._set_up(about)
    if cause.blas_threads:
        threadpool_limits(spec["cores"], "blas")
    return turn


def _work():
    """What answers the lines of tinyvit.training.worker: the run, then its tasks."""
    do = None

    def answer(message):
        nonlocal do
        if do is None:
            do = worker._set_up(message)
            return None
        return do(message)

    return answer


def ratios(task, cores, rounds=ROUNDS):
    """{cause: seconds of a step without it, over those with all; of BASE the seconds}: the medians of all rounds."""
    names = [name for name, cause in CAUSES.items() if task in cause.tasks and cause.least_cores <= cores]
    with contextlib.ExitStack() as stack:
        processes = {name: stack.enter_context(_contender(name, task, cores)) for name in names}
        for process in processes.values():
            process.answer()
        steps = max(1, round(TURN / turn(processes[BASE], 1)))
        turns = [{name: turn(processes[name], steps) for name in names} for _ in range(rounds)]
    found = {name: statistics.median(turn[name] / turn[BASE] for turn in turns) for name in names}
    return found | {BASE: statistics.median(turn[BASE] for turn in turns)}


def _contender(cause, task, cores):
    spec = {"cause": cause, "task": task, "cores": cores}
    return at_work("docs.ablation", f"the contender without {cause}", spec)


def write(rounds=ROUNDS):
    """Measure, and write the table."""
    load = os.getloadavg()[0]
    counts = sorted({1, min(2, usable_cores())})
    columns = [(task, cores) for cores in counts for task in ("train", "infer")]
    found = [ratios(task, cores, rounds) for task, cores in columns]
    titles = [f"{task}, {cores} core{'s' * (cores > 1)}" for task, cores in columns]
    lines = ["| without | " + " | ".join(titles) + " |", "|---|" + "--:|" * len(columns)]
    lines.append(f"| - | {' | '.join(f'{1000 * column[BASE]:.1f} ms' for column in found)} |")
    for name in (name for name in CAUSES if name != BASE):
        cells = (f"{column[name]:.2f}" if name in column else "" for column in found)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    where = f"`python docs/measure.py ablation`: {MODEL}, batch {BATCH}; {machine()}; load before {load:.1f}."
    replace(DOCS / "speed.md", "ablation", [*lines, "", where])


if __name__ == "__main__":
    worker.serve(_set_up)
