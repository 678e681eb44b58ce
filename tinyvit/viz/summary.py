"""The summary of a model: every tensor of a forward and a backward pass, row by row.

Nothing here describes a model. The model runs, with one example, and is watched (observe.py); its trees and its code
name what it makes (names.py, gradients.py).
"""

import math
from collections import defaultdict
from itertools import groupby, takewhile
from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.models.config import Config
from tinyvit.models.model import model_of
from tinyvit.models.sizes import check_whole
from tinyvit.viz.gradients import name_backward
from tinyvit.viz.names import name_forward
from tinyvit.viz.observe import observed
from tinyvit.viz.tensors import LISTED, is_parameter
from tinyvit.viz.trace import Run


class Row(NamedTuple):
    """One tensor. The shape is of one example; multiply-adds and bytes are of the batch."""

    name: str
    shape: tuple
    parameters: int
    multiply_adds: int  # of the matrix products that make it
    bytes: int  # of its memory; 0 if that is another row's
    memory: str  # "kept" in the cache, "passing", "gradient", or the name of the row whose memory it shares
    cached: tuple  # its names in the cache
    inputs: tuple  # the rows that it is made from


class Summary(list):
    """A list of Row that prints as a table, in which blocks that are alike stand in one line."""

    @property
    def totals(self):
        """The sums of parameters, multiply-adds and bytes."""
        return tuple(sum(row[i] for row in self) for i in (2, 3, 4))

    @property
    def kept(self):
        """The bytes that the cache holds until the backward pass."""
        return sum(row.bytes for row in self if row.memory == "kept")

    @property
    def forward(self):
        """The rows of the forward pass: those before the gradient of the last of them."""
        gradients = {f"{path}{slash}d{last}" for path, slash, last in (row.name.rpartition("/") for row in self)}
        return Summary(takewhile(lambda row: row.name not in gradients, self))

    def alike(self):
        """Yield number, rows, [(number, rows), ...]: a block, or what is in none, and the next ones like it."""
        blocks = [(block_number(rows[0]), rows) for rows in (list(rows) for _, rows in groupby(self, _block))]
        for _, alike in groupby(blocks, lambda block: (block[0] is not None, _form(block[1]))):
            (number, first), *others = alike
            yield number, first, others

    def folded(self):
        """The rows; of neighbouring blocks that are alike the first one's, and one row for the others."""
        shown = []
        for number, first, others in self.alike():
            shown += first
            if others:
                rows = Summary(row for _, rows in others for row in rows)
                numbers = " to ".join(dict.fromkeys(str(others[i][0]) for i in (0, -1)))
                name = LISTED.match(first[0].name)[1]
                shown.append(Row(f"{name}/{numbers}", (), *rows.totals, f"as {name}/{number}", (), ()))
        return shown

    def __str__(self):
        table = [("name", "shape", "parameters", "mul-adds", "bytes", "memory")]
        for row in self.folded():
            parameters = f"{row.parameters:,}" if row.parameters else ""
            sizes = (parameters, _short(row.multiply_adds), _short(row.bytes))
            table.append((row.name, str(list(row.shape)) if row.shape else "", *sizes, where(row)))
        parameters, work, size = self.totals
        table.append(("total", "", f"{parameters:,}", _short(work), _short(size), f"{_short(self.kept)} kept"))
        wide = [max(map(len, column)) for column in zip(*table, strict=True)]
        line = f"{{:<{wide[0]}}} {{:>{wide[1]}}} {{:>{wide[2]}}} {{:>{wide[3]}}} {{:>{wide[4]}}}  {{}}"
        return "\n".join(line.format(*words).rstrip() for words in table)

    __repr__ = __str__


def block_number(row):
    """The number of the block that a row belongs to, or None."""
    block = _block(row)
    return block[1] if block else None


def _block(row):
    """The number of the block that a row belongs to, and of which layer's steps it is one, if it is; or None."""
    found = LISTED.match(row.name)
    return (found[1] if found[1].endswith("/steps") else "", int(found[2])) if found else None


def _form(rows):
    """What blocks that are alike have in common."""
    return [(LISTED.sub(r"\1", row.name), row.shape) for row in rows]


def _short(number):
    """A number to three digits, for people: 605184 is 605 k. Nothing for 0."""
    for unit in ("", " k", " M", " G", " T"):
        if number < 999.5 or unit == " T":
            return f"{number:.3g}{unit}" if number else ""
        number /= 1000


def _joined(names):
    """Names that differ in one part as a shell writes them: msa/q/x, msa/k/x and msa/v/x are msa/{q,k,v}/x."""
    parts = [{*column} for column in zip(*(name.split("/") for name in names), strict=False)]
    if len(names) == 1 or len({name.count("/") for name in names}) > 1 or sum(len(part) > 1 for part in parts) != 1:
        return ", ".join(names)
    at = next(i for i, part in enumerate(parts) if len(part) > 1)
    found = [name.split("/") for name in names]
    return "/".join([*found[0][:at], f"{{{','.join(name[at] for name in found)}}}", *found[0][at + 1 :]])


def where(row):
    """Where a row's tensor is, in words: in the cache under these names (less the block's), or in whose memory."""
    found = LISTED.match(row.name)
    block = f"{found[0].removeprefix('g/')}/" if found else "/"
    if row.memory == "kept":
        return _joined([name.removeprefix(block) for name in row.cached])
    shared = row.memory not in ("passing", "gradient") and not row.memory.startswith("as ")
    return f"in {row.memory.removeprefix(block)}" if shared else row.memory


def shapes(config: Config, batch: int = 1, *, backward: bool = False) -> Summary:
    """Every tensor of the forward pass, and of the backward pass, in the order in which they are made.

    A gradient has the shape of what it is the gradient of, and its name with a d: dL/dx is called dx. Terms of a sum,
    and copies within one line of a layer, are not listed apart. The work: y = x w takes as many multiply-adds as y has
    numbers, times the rows of w; its backward pass takes twice as many, for dx and for dw. What is a product in form
    only (sums along rows, the choice of rows) takes none.

    Parameters
    ----------
    config : the configuration of any model in MODELS
    batch : int
        Examples.
    backward : bool
        Also the gradients, of tensors and (g/...) of parameters.

    Returns
    -------
    Summary
        A list of Row; print it.
    """
    check_whole("batch", batch)
    run, c, names, forward = observe(config, backward)
    cached = defaultdict(list)
    for path, x in trees.walk(c):
        if not is_parameter(x.node):
            cached[x.node.born].append(path)
    before: dict[str, int] = {}  # the rows so far: when the memory of each was made
    holders: dict[int, str] = {}
    rows, counted = Summary(), set()
    for tensor in sorted(names.values(), key=lambda tensor: tensor.time):
        inputs, used = _origins(tensor, before, 0 if tensor.time < forward else forward)
        used = [node for node in used if node not in counted]
        counted.update(used)
        parameters = sum(math.prod(node.shape) for node in used if node.op == "parameter")
        work = batch * sum(node.work for node in used)
        size, memory, kept_as = _memory(tensor, cached, batch)
        if (holder := holders.setdefault(tensor.node.born, tensor.name)) != tensor.name:
            size, kept_as = 0, ()
            memory = next((name for name in inputs if before[name] == tensor.node.born), holder)
        before[tensor.name] = tensor.node.born
        rows.append(Row(tensor.name, tensor.shape, parameters, work, size, memory, kept_as, inputs))
    if unread := sum(node.work for node in run.nodes if node not in counted):  # what a model computes for nothing
        rows.append(Row("unread", (), 0, batch * unread, 0, "passing", (), ()))
    return rows


def observe(config, backward):
    """Run a model with one example: what is noted, the cache, the names, and when the forward pass had ended.

    This is all that the summary knows of how a model is called.
    """
    model, rng = model_of(config), np.random.default_rng(0)
    tokens = model.task.vocabularies(config)  # they stay on the host, where they are checked, until they are embedded
    batch = {}
    for name, (shape, dtype) in model.task.arrays(config).items():
        batch[name] = np.full((1, *shape), tokens[name] - 1 if name in tokens else 0, dtype)  # no PADDING
    batch, masks = model.draw(rng, batch, config)
    run = Run()
    with run:
        p = trees.map(lambda leaf: observed(leaf, "parameter"), model.init(None, config))
        batch = {name: x if tokens else observed(x, "input") for name, x in batch.items()}
        masks = trees.map(lambda array: observed(array, "input"), masks)
        y, c = model.forward(batch, p, config, masks=masks)
    inputs = {} if tokens else {name.removesuffix("s"): array for name, array in batch.items()}  # of one example: image
    inputs |= {f"masks/{name}": mask for name, mask in trees.walk(masks)}
    names = name_forward(run, p, c, inputs, y)
    forward, calls = next(run.clock), list(run.calls)
    if backward:
        with run:
            _, g = model.backward(observed(np.empty(y.shape, y.dtype), "input"), p, c, config)
        name_backward(names, run, calls, g, forward)
    return run, c, names, forward


def _memory(tensor, cached, batch):
    """The fields bytes, memory and cached of the row that has this memory first; others lie in it."""
    gradient, kept = tensor.name.startswith("g/"), tuple(cached.get(tensor.node.born, ()))
    size = tensor.node.nbytes * (batch if tensor.node.batch and not gradient else 1)
    return size, "kept" if kept else "gradient" if gradient else "passing", kept


def _origins(tensor, before, start):
    """The names of the rows that a row is made from, and the nodes without a name in between, with its own."""
    earlier = [other for other in tensor.node.tensors if other.name in before]
    if earlier:
        return (earlier[-1].name,), []
    names, between = {}, {tensor.node: None}

    def follow(node):
        frames = list(node.call.within()) if node.call else []
        for source in node.inputs:
            if source.time < start or source in between:
                continue
            if named := [other for other in source.tensors if other.name in before]:
                # of several names the one that the reader knows, or the function around it; or the last
                near = [min(map(frames.index, {*other.calls} & {*frames}), default=len(frames)) for other in named]
                names[named[near.index(min(near)) if min(near) < len(frames) else -1].name] = None
            else:
                between[source] = None
                follow(source)

    follow(tensor.node)
    return tuple(names), list(between)
