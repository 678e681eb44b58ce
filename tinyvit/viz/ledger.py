"""The shape ledger: every tensor of a Vision Transformer, forward and backward, row by row.

The shapes are not formulas: the model runs, with one block, on one blank image, and they are read from its cache. All
blocks are alike, so the block's rows are then repeated.
"""

import dataclasses
import math
import re
from collections import defaultdict
from itertools import groupby
from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_init, vit_masks
from tinyvit.viz.steps import Steps

ITEM = 4  # bytes, of a float32


class Row(NamedTuple):
    """One tensor. The shape is of one image; multiply-adds and bytes are of the batch."""

    name: str
    shape: tuple
    parameters: int
    multiply_adds: int  # of the matrix products that make it
    bytes: int  # of its memory; 0 if that is another row's
    memory: str  # "kept" in the cache, "passing", or the name of the row whose memory it shares
    cached: tuple  # its names in the cache
    inputs: tuple  # the rows that it is made from


class Ledger(list):
    """A list of Row that prints as a table, in which blocks that are alike stand in one line."""

    @property
    def totals(self):
        """The sums of parameters, multiply-adds and bytes."""
        return tuple(sum(row[i] for row in self) for i in (2, 3, 4))

    @property
    def kept(self):
        """The bytes that the cache holds until the backward pass."""
        return sum(row.bytes for row in self if row.memory == "kept")

    def folded(self):
        """The rows, with all blocks but the first that is met in one row."""
        shown = []
        for inside, rows in groupby(self, lambda row: block_number(row) is not None):
            rows = list(rows)
            first = block_number(rows[0])
            shown += [row for row in rows if block_number(row) == first]
            if inside and (others := Ledger(row for row in rows if block_number(row) != first)):
                numbers = dict.fromkeys(block_number(row) for row in (others[0], others[-1]))
                name = "blocks/" + " to ".join(map(str, numbers))
                shown.append(Row(name, (), *others.totals, f"as blocks/{first}", (), ()))
        return shown

    def __str__(self):
        line = "{:<23} {:>20} {:>13} {:>17} {:>15}  {}"
        lines = [line.format("name", "shape", "parameters", "multiply-adds", "bytes", "memory")]
        for row in self.folded():
            shape = str(list(row.shape)) if row.shape else ""
            lines.append(line.format(row.name, shape, *(f"{n:,}" if n else "" for n in row[2:5]), where(row)))
        lines.append(line.format("total", "", *(f"{n:,}" for n in self.totals), f"{self.kept:,} kept"))
        return "\n".join(text.rstrip() for text in lines)

    __repr__ = __str__


def where(row):
    """Where a row's tensor is, in words: in the cache under these names (less the block's), or in whose memory."""
    block = f"blocks/{block_number(row)}/"
    if row.memory == "kept":
        return ", ".join(name.removeprefix(block) for name in row.cached)
    shared = row.memory not in ("passing", "gradient") and not row.memory.startswith("as ")
    return f"in {row.memory.removeprefix(block)}" if shared else row.memory


def block_number(row):
    """The number of the block that a row belongs to, or None."""
    found = re.match(r"(?:g/)?(?:blocks|pos)/(\d+)(?:/|$)", row.name)
    return int(found[1]) if found else None


def shapes(config: ViTConfig, batch: int = 1, *, backward: bool = False) -> Ledger:
    """Every tensor of the forward pass, and of the backward pass, in the order in which they are made.

    A gradient has the shape of what it is the gradient of, and its name with a d: dL/dx is called dx. Terms of a sum,
    and copies within one line of a layer, are not listed apart. The work: y = x w takes as many multiply-adds as y has
    numbers, times the rows of w; its backward pass takes twice as many, for dx and for dw.

    Parameters
    ----------
    config : ViTConfig
    batch : int
        Images.
    backward : bool
        Also the gradients, of tensors and (g/...) of parameters.

    Returns
    -------
    Ledger
        A list of Row; print it.
    """
    single = dataclasses.replace(config, depth=1)
    p = trees.map(np.array, vit_init(None, single))
    image = np.zeros((1, config.image, config.image, config.channels), np.float32)
    _, c = vit(image, p, single, masks=vit_masks(np.random.default_rng(0), single, 1))
    c = {name: array.shape[1:] for name, array in trees.walk(c)}
    p = {name: array.shape for name, array in trees.walk(p)}
    model = Steps(config, c, p)
    steps = list(model.all())
    users = _users(steps)
    rows = list(_forward_rows(steps, users, model, batch))
    return Ledger(rows + (list(_backward_rows(steps, users, model, batch)) if backward else []))


def _users(steps):
    """{path: the steps that use these parameters, in order}; what several use is counted at the first."""
    users = defaultdict(list)
    for step in steps:
        users[step.p].append(step)
    return users


def _cached(steps):
    """{name: under which names the cache has this tensor}: its own, and those of the steps that are made from it."""
    names, holders = {}, {}
    for step in steps:
        holder = holders[step.name] = holders.get(step.shares, step.name)
        names.setdefault(holder, []).extend(step.cached)
        for x, name in step.keeps:
            names[holders[x]].append(name)
    return names


def _forward_rows(steps, users, model, batch):
    cached = _cached(steps)
    for step in steps:
        names = tuple(cached.get(step.name, ()))
        parameters = sum(map(math.prod, model.used(step.p).values())) if users[step.p][0] is step else 0
        size = 0 if step.shares else batch * ITEM * math.prod(step.shape)
        memory = step.shares or ("kept" if names else "passing")
        yield Row(step.name, step.shape, parameters, batch * step.multiply_adds, size, memory, names, step.inputs)


def _backward_rows(steps, users, model, batch):
    """A gradient for each step but the constants, last first, each followed by those of the step's parameters.

    What several steps use has the sum of their gradients, which is made in the end.
    """
    for step in reversed(steps):
        if step.constant:
            continue
        readers = [reader for reader in steps if step.name in reader.inputs and not reader.constant]
        lender = next((_d(reader.name) for reader in readers if reader.hands_on == step.name), "")
        size = 0 if lender else batch * ITEM * math.prod(step.shape)
        work = batch * sum(reader.multiply_adds for reader in readers if reader.hands_on != step.name)
        inputs = tuple(_d(reader.name) for reader in readers)
        yield Row(_d(step.name), step.shape, 0, work, size, lender or "passing", (), inputs)
        if users[step.p] == [step]:
            yield from _parameter_rows(step.p, users, model, batch)
    for path, several in users.items():
        if len(several) > 1:
            yield from _parameter_rows(path, users, model, batch)


def _parameter_rows(path, users, model, batch):
    """The gradients of the parameters at this path."""
    inputs = tuple(_d(user.name) for user in users[path])
    work = batch * sum(user.multiply_adds for user in users[path])
    for name, shape in model.used(path).items():
        size = ITEM * math.prod(shape)
        yield Row(f"g/{name}", shape, 0, 0 if name.endswith("/b") else work, size, "gradient", (), inputs)


def _d(name):
    """The name of a tensor's gradient: blocks/0/msa/q -> blocks/0/msa/dq."""
    path, slash, last = name.rpartition("/")
    return f"{path}{slash}d{last}"
