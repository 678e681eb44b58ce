"""Runs that several ranks do for test_ranks.py: `mpiexec -n 3 python -m tests.training.rank_runs FOLDER`."""

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np

from tests.training.helpers import CONFIG, RECIPE, toy, toy_run, untimed
from tinyvit import trees
from tinyvit.errors import WorkerError
from tinyvit.models.bert import BERTConfig
from tinyvit.models.cnn import CNNConfig
from tinyvit.models.convstem import ConvStemConfig
from tinyvit.models.gpt import GPTConfig
from tinyvit.models.hybrid import HybridConfig
from tinyvit.models.masked import MaskedConfig
from tinyvit.models.seq2seq import AttentionConfig, Seq2SeqConfig
from tinyvit.models.swin import SwinConfig
from tinyvit.models.transformer import TransformerConfig
from tinyvit.ops.tokens import END
from tinyvit.training import loop, mpi, ranks, train_step

CONSTANTS = {"BLOCK": 100, "LARGEST_ROWS": 3000}  # several blocks to a rank, and in a sum two or three micro-batches
NINE = dataclasses.replace(RECIPE, batch=9, micro_batch=2, epochs=2, rotate=5.0, clip_norm=0.1)  # five micro-batches
OF_TEXT = dataclasses.replace(NINE, shift=0, rotate=0.0)
PAIRS = dict(source_tokens=9, target_tokens=9, source_length=4, target_length=5)
STACK = dict(dim=8, heads=2, mlp_dim=8, depth=1, dropout=0.1)
RANDOM = dataclasses.replace(CONFIG, dropout=0.2)
CONFIGS = {
    "vit": RANDOM,
    "frozen": RANDOM,
    "cnn": CNNConfig(image=4, classes=3, widths=(2, 3)),
    "masked": MaskedConfig(dataclasses.replace(CONFIG, dropout=0.1)),
    "swin": SwinConfig(image=4, channels=1, patch=1, dim=4, depths=(1, 1), heads=(1, 2), window=2, classes=3),
    "hybrid": HybridConfig(dataclasses.replace(CONFIG, patch=1), image=4, channels=1, units=(), width=4, groups=2),
    "convstem": ConvStemConfig(dataclasses.replace(CONFIG, patch=1), image=4, channels=1, widths=(3,)),
    "muon": RANDOM,
    "seq2seq": Seq2SeqConfig(**PAIRS, dim=8),
    "attention": AttentionConfig(**PAIRS, dim=8),
    "transformer": TransformerConfig(**PAIRS, **STACK),
    "gpt": GPTConfig(tokens=9, length=6, **STACK),
    "bert": BERTConfig(tokens=9, length=6, **STACK),
}
BAD = 12  # the step at which a rank fails


def text(config, count):
    """Sequences by chance, which end; in a quarter of them there are fewer tokens to learn from."""
    rng = np.random.default_rng(count)
    if hasattr(config, "source_length"):
        return {"source": ended(rng, count, 4), "target": ended(rng, count, 5)}
    return {"tokens": ended(rng, count, 6)}


def ended(rng, count, length):
    """Tokens 5 to 8, then END, then padding."""
    tokens = rng.integers(5, 9, (count, length))
    stop = rng.integers(1, length, count)[:, None]
    tokens[np.arange(length) == stop] = END
    tokens[np.arange(length) > stop] = 0
    return tokens


def fit(name, folder, **how):
    """One of the runs; what it comes to is in a file, for text, or a folder."""
    config, recipe = CONFIGS[name], NINE
    data = toy()
    if name in ("seq2seq", "attention", "transformer", "gpt", "bert"):
        recipe, data = OF_TEXT, (text(config, 32), text(config, 9))
    if name == "frozen":
        recipe = dataclasses.replace(recipe, freeze=1)
    if name == "muon":
        recipe = dataclasses.replace(recipe, optimizer="muon")
    if name == "masked":
        data = tuple({"images": x} for x, _ in data)
    run = toy_run(folder / name, recipe, 3, config) if name in ("vit", "frozen", "muon") else None
    p, history = loop.fit(config, data, recipe=recipe, seed=3, run=run, progress=False, **how)
    return {"p": trees.named(p), "history": untimed(history)}


def failing(folder, ranks_started):
    """A run on which a rank fails; returns what is said of it."""
    run = toy_run(folder / "failing", seed=3)
    try:
        loop.fit(CONFIG, toy(), recipe=RECIPE, seed=3, run=run, progress=False, ranks=ranks_started)
    except WorkerError as error:
        return str(error)


def fail_once(share, step, *arguments, gradients=ranks.Share.gradients):
    """In place of a share's gradients: on the last rank, step BAD goes wrong, but only in a run of all STEPS."""
    if step == BAD and share.number == share.count - 1 and share.train_step.recipe == RECIPE:
        share.train_step.gradients = lambda *arguments: 1 / 0
    gradients(share, step, *arguments)


def count_hold(share, mine=None, hold=ranks.Share.hold):
    """In place of a share's hold: it also counts how often the data are sent."""
    global sent
    sent += 1
    hold(share, mine)


sent = 0


def all_runs(started):
    """What rank 0 does."""
    folder = Path(sys.argv[1])
    said = {"failing": failing(folder, started)}
    for name in CONFIGS:
        outcome = fit(name, folder, ranks=started)
        np.savez(folder / f"{name}.npz", **outcome["p"])
        said[name] = outcome["history"]
    said["sent"] = sent
    (folder / "said.json").write_text(json.dumps(said))
    return 0


if __name__ == "__main__":
    vars(train_step).update(CONSTANTS)
    ranks.Share.gradients, ranks.Share.hold = fail_once, count_hold
    sys.exit(mpi.run(all_runs))
