"""Side by side on the same cores: each contender in a process of its own, taking turns, medians of ratios."""

import contextlib
import dataclasses
import importlib.util
import statistics
import time

from tinyvit.bench.contender import PEAK_SIZE
from tinyvit.errors import UsageError
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.config import ViTConfig
from tinyvit.models.masked import MaskedConfig
from tinyvit.models.model import name_of
from tinyvit.models.presets import PRESETS, VIT_PRESETS
from tinyvit.models.seq2seq import AttentionConfig, Seq2SeqConfig
from tinyvit.models.transformer import TransformerConfig
from tinyvit.names import expected
from tinyvit.training.cores import usable_cores
from tinyvit.training.process import WorkerProcess
from tinyvit.viz.summary import shapes

SMALL = {"image": 28, "channels": 1, "heads": 4, "classes": 10}
VOCABULARIES = {"": 13, "-1000": 1000}  # of the sequence models: that of `copy` with ten symbols, and a larger one


def _sequence_models():
    """{name: configuration} of the sequence models; the cell is that of PyTorch's GRU."""
    found = {}
    for end, tokens in VOCABULARIES.items():
        sizes = dict(source_tokens=tokens, target_tokens=tokens, source_length=32, target_length=32, dim=128)
        found[f"transformer{end}"] = TransformerConfig(**sizes, mlp_dim=512)
        found[f"seq2seq{end}"] = Seq2SeqConfig(**sizes, cell="gru_after")
        found |= {f"{x}{end}": AttentionConfig(**sizes, cell="gru_after", score=x) for x in ("dot", "additive")}
    return found | {"decoding": TransformerConfig(source_length=64, target_length=64, dim=128, mlp_dim=512)}


SEQUENCES = _sequence_models()
MODELS = {
    "S": ViTConfig(patch=4, dim=64, depth=6, mlp_dim=256, **SMALL),
    "M": ViTConfig(patch=7, dim=128, depth=4, mlp_dim=512, **SMALL),
    **{name: PRESETS[name] for name in ("B/16", "Swin-T", "R50+B/16")},
    "B/16-train": PRESETS["B/16"],
    "cnn": CNNConfig(),
    "masked": MaskedConfig(VIT_PRESETS["mnist"]),
    **SEQUENCES,
}
DEFAULT = ("S", "M", "B/16")  # measured if none is named
LARGE = ("B/16", "Swin-T", "R50+B/16")  # not trained: one step of PyTorch's would take as long as all the other rows
LARGE_TRAINED = "B/16-train"  # but this, for whoever names it
NEEDED = {
    kind: ("torch",) for kind in ("vit", "transformer", "seq2seq", "attention")
}  # of packages, for PyTorch's side
NEEDED |= {kind: ("torch", "transformers") for kind in ("swin", "hybrid")}
BASE = "torch eager"
CONTENDERS = {  # name: (function in contender.py, by task; the last block for the class row only, or the cache)
    "tinyvit": ("tinyvit", True),
    "tinyvit, whole last block": ("tinyvit", False),
    "tinyvit, no cache": ("tinyvit", False),
    BASE: ("torch", False),
    "torch class row": ("torch", True),
}
TURN = 0.4  # seconds, at least, of a contender's turn


@dataclasses.dataclass(frozen=True)
class Race:
    """What is measured: a model, a batch, training, inference or decoding, on so many cores."""

    model: str
    batch: int
    task: str
    cores: int
    rounds: int = 7

    def contenders(self):
        """The names of those who can take part."""
        kind, names = name_of(MODELS[self.model]), ["tinyvit"]
        if kind in ("vit", "hybrid") and self.task == "train" and self.model != LARGE_TRAINED:
            names.append("tinyvit, whole last block")
        if self.task == "decode":
            names.append("tinyvit, no cache")
        if kind in NEEDED and all(importlib.util.find_spec(package) for package in NEEDED[kind]):
            names += [BASE] + ["torch class row"] * (kind in ("vit", "hybrid"))  # Swin's head reads all tokens
        return names


def not_installed(programme):
    """The packages that PyTorch's side of these races needs, and that are not there."""
    kinds = {name_of(MODELS[race.model]) for race in programme}
    needed = {package for kind in kinds for package in NEEDED.get(kind, ())}
    return sorted(package for package in needed if importlib.util.find_spec(package) is None)


def races(models=None, cores=None):
    """The programme of `tinyvit bench`: each model at 1, 2 and all cores, or those that are asked for.

    Raises
    ------
    UsageError
        If a model is unknown, or there are not so many cores.
    """
    models, most = models or list(DEFAULT), usable_cores()
    counts = cores or sorted({1, min(2, most), most})
    if unknown := [model for model in models if model not in MODELS]:
        raise UsageError(f"no model to measure is named {unknown[0]!r}: {expected(unknown[0], MODELS)}")
    if max(counts) > most:
        raise UsageError(f"cores is {max(counts)}: this process may use {most}")
    programme = []
    for model in models:
        for n in counts:
            if model == "decoding":
                programme += [Race(model, batch, "decode", n, rounds=3) for batch in (1, 64)]
            elif model == LARGE_TRAINED:
                programme.append(Race(model, 8, "train", n, rounds=3))
            elif model in SEQUENCES:
                programme.append(Race(model, 64, "train", n))
            elif model in LARGE:
                programme += [Race(model, batch, "infer", n, rounds=5) for batch in ((1, 8) if n > 1 else (1,))]
            else:
                programme += [Race(model, 128, "train", n), Race(model, 128, "infer", n, rounds=5)]
    return programme


def run(race):
    """Measure; a row {column: value} for each contender.

    model, batch, cores, task, contender
    seconds            of a step: the median over the rounds
    ratio              of the seconds to PyTorch eager's in the same round: the median; None without PyTorch
    quartiles          of these ratios, [lower, upper]: half of the rounds were between them; None without PyTorch
    memory_mb          of all its processes, each shared page once (Pss; where the system does not count so, the sum of
                       their resident memory)
    examples_per_second
    share_of_peak      the model's multiply-adds per second, over those of one large matrix product on the same cores.
                       Training counts three times the forward pass; the class row's economy is not taken off. None of
                       sequences
    load               cores that something else kept busy meanwhile
    """
    names = race.contenders()
    with contextlib.ExitStack() as stack:
        processes = {name: stack.enter_context(_contender(race, *CONTENDERS[name])) for name in names}
        processes["peak"] = stack.enter_context(_contender(race, "matrix_peak", False))
        for process in processes.values():
            process.answer()
        peak = PEAK_SIZE**3 / min(turn(processes["peak"], 1) for _ in range(5))
        steps = {name: max(1, round(TURN / turn(processes[name], 1))) for name in names}
        seconds = {name: [] for name in names}
        before = _busy_seconds(processes)
        for _ in range(race.rounds):
            for name in names:
                seconds[name].append(turn(processes[name], steps[name]))
        after = _busy_seconds(processes)
        memory = {name: _memory(processes[name].process.pid) for name in names}
    wall, machine, own = (b - a for a, b in zip(before, after, strict=True))
    work = _multiply_adds(race)
    rows = []
    for name in names:
        median = statistics.median(seconds[name])
        ratios = [mine / base for mine, base in zip(seconds[name], seconds.get(BASE, []), strict=False)]
        rows.append(
            {
                "model": race.model,
                "batch": race.batch,
                "cores": race.cores,
                "task": race.task,
                "contender": name,
                "seconds": round(median, 6),
                "ratio": round(statistics.median(ratios), 3) if ratios else None,
                "quartiles": _quartiles(ratios) if ratios else None,
                "memory_mb": round(memory[name] / 2**20, 1),
                "examples_per_second": round(race.batch / median, 1),
                "share_of_peak": work and round(work / median / peak, 3),
                "load": round(max(0.0, machine - own) / wall, 2),
            }
        )
    return rows


def _quartiles(ratios):
    lower, _, upper = statistics.quantiles(ratios, n=4, method="inclusive")
    return [round(lower, 3), round(upper, 3)]


def _multiply_adds(race):
    """The multiply-adds of a step: see `run`."""
    if race.model in SEQUENCES:
        return None
    _, multiply_adds, _ = shapes(MODELS[race.model], race.batch).totals
    return multiply_adds * (3 if race.task == "train" else 1)


@contextlib.contextmanager
def _contender(race, who, economy):
    """Start a contender, which warms up; it ends with the block."""
    function = who if who == "matrix_peak" else f"{who}_{race.task}"
    spec = {"function": function, "economy": economy, "cores": race.cores, "batch": race.batch}
    config = MODELS[race.model]
    spec |= {"model": name_of(config), "config": dataclasses.asdict(config)}
    with at_work("tinyvit.bench.contender", f"the contender {function}", spec) as process:
        yield process


@contextlib.contextmanager
def at_work(module, name, spec):
    """A process of a module that takes turns: what it is told first is the spec; its name is for messages."""
    process = WorkerProcess(module, name, one_thread=False)
    try:
        process.send(spec)
        yield process
    finally:
        process.kill()
        process.close()


def turn(process, steps):
    """The seconds of one step, in a turn of so many."""
    process.send(steps)
    return process.answer()["seconds"]


def _with_children(pid):
    import psutil

    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _memory(pid):
    """The bytes that a process and its children take, each shared page once."""
    infos = [process.memory_full_info() for process in _with_children(pid)]
    return sum(getattr(info, "pss", info.rss) for info in infos)


def _busy_seconds(processes):
    """Now; the seconds that all cores together have been busy since the machine started; those of the contenders."""
    import psutil

    now, machine = time.perf_counter(), psutil.cpu_times()
    idle = machine.idle + getattr(machine, "iowait", 0) + getattr(machine, "guest", 0)  # guest is in user as well
    times = [each.cpu_times() for process in processes.values() for each in _with_children(process.process.pid)]
    return now, sum(machine) - idle, sum(t.user + t.system for t in times)
