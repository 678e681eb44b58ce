"""The shape ledger: every tensor of a Vision Transformer, forward and backward, row by row.

The shapes are not formulas: the model runs, with one block, on one blank image, and they are read from its cache. All
blocks are alike, so the block's rows are then repeated.
"""

import dataclasses
import math
import re
from itertools import groupby
from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.models.vit import vit, vit_init, vit_masks

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
    found = re.match(r"(?:g/)?blocks/(\d+)/", row.name)
    return int(found[1]) if found else None


def shapes(config, batch=1, *, backward=False):
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
    model = _Model(config, c, p)
    steps = list(model.steps())
    rows = [_forward_row(step, model, batch) for step in steps]
    return Ledger(rows + (list(_backward_rows(steps, model, batch)) if backward else []))


def _forward_row(step, model, batch):
    parameters = sum(map(math.prod, model.used(step.p).values()))
    size = 0 if step.shares else batch * ITEM * math.prod(step.shape)
    memory = step.shares or ("kept" if step.cached else "passing")
    work = batch * step.multiply_adds
    return Row(step.name, step.shape, parameters, work, size, memory, step.cached, step.inputs)


def _backward_rows(steps, model, batch):
    """A gradient for each step but the constants, last first, each followed by those of the step's parameters."""
    for step in reversed(steps):
        if step.constant:
            continue
        users = [user for user in steps if step.name in user.inputs and not user.constant]
        lender = next((_d(user.name) for user in users if user.hands_on == step.name), "")
        size = 0 if lender else batch * ITEM * math.prod(step.shape)
        work = batch * sum(user.multiply_adds for user in users)
        inputs = tuple(_d(user.name) for user in users)
        yield Row(_d(step.name), step.shape, 0, work, size, lender or "passing", (), inputs)
        for name, shape in model.used(step.p).items():
            work = batch * step.multiply_adds if name.endswith("/w") else 0
            yield Row(f"g/{name}", shape, 0, work, ITEM * math.prod(shape), "gradient", (), (_d(step.name),))


def _d(name):
    """The name of a tensor's gradient: blocks/0/msa/q -> blocks/0/msa/dq."""
    path, slash, last = name.rpartition("/")
    return f"{path}{slash}d{last}"


def _first(name):
    """The name of the same thing in the first block."""
    return re.sub(r"^blocks/\d+/", "blocks/0/", name)


class Step(NamedTuple):
    """A tensor of the forward pass, and how it comes about."""

    name: str
    shape: tuple
    inputs: tuple = ()
    p: str = ""  # the parameters used, by their path
    multiply_adds: int = 0
    cached: tuple = ()
    shares: str = ""  # the row whose memory it shares
    hands_on: str = ""  # the input whose gradient is this one's, in the same memory
    constant: bool = False  # noted for the backward pass; it has no gradient


class _Model:
    """The steps of a model; `c` and `p` are the shapes in its cache and its parameters, by name, with one block."""

    def __init__(self, config, c, p):
        self.config, self.c, self.p = config, c, p
        self.tokens = c["blocks/0/ln1/xhat"]

    def used(self, path):
        """The parameters at this path: {name: shape}."""
        first = _first(path)
        names = [name for name in self.p if path and (name == first or name.startswith(f"{first}/"))]
        return {path + name[len(first) :]: self.p[name] for name in names}

    def steps(self):
        """From the image to the logits: equations 1 to 4."""
        image, (N, _), (T, D) = self.c["patch/patches/x"], self.c["patch/linear/x"], self.tokens
        side, learned = self.config.patch, "pos" in self.p
        grid = (image[0] // side, image[1] // side)
        yield Step("image", image, cached=("patch/patches/x",))
        yield Step("patches", (*grid, side, side, image[2]), ("image",), cached=("patch/linear/x",))
        yield self.linear("patch", (*grid, D), "patches")
        yield Step("sequence", (N, D), ("patch",), shares="patch", hands_on="patch")
        yield Step("cls", (T, D), ("sequence",), "cls", hands_on="sequence")
        pos = dict(p="pos") if learned else dict(shares="cls")
        yield Step("pos", (T, D), ("cls",), hands_on="cls", **pos)
        z = yield from self.dropped("pos", "dropout")
        for i in range(self.config.depth):
            z = yield from self.block(f"blocks/{i}/", z)
        yield Step("class_row", (D,), (z,), shares=z)
        wide = "pre_logits/w" in self.p
        reader = "pre_logits/linear/x" if wide else "head/x"
        yield from self.layer_norm("ln", "class_row", hands_on="class_row", cached=[reader])
        y = "ln"
        if wide:
            width = self.c["pre_logits/tanh/y"]
            yield self.linear("pre_logits/linear", width, "ln", "pre_logits")
            yield Step("pre_logits", width, ("pre_logits/linear",), cached=("pre_logits/tanh/y", "head/x"))
            y = "pre_logits"
        yield self.linear("head", self.p["head/b"], y)

    def block(self, b, z):
        """One encoder block on the residual stream z, equations 2 and 3; returns the name of the new one."""
        tokens, only = self.tokens, "blocks/0/"
        heads, maps = (self.c[f"{only}msa/att/{name}"] for name in "qa")
        hidden = self.c[f"{only}mlp/fc2/x"]
        yield from self.layer_norm(f"{b}ln1", z, hands_on=z, cached=[f"{b}msa/{name}/x" for name in "qkv"])
        for name in "qkv":
            cached = () if name == "q" else (f"{b}msa/att/{name}",)
            yield self.linear(f"{b}msa/{name}", tokens, f"{b}ln1")._replace(cached=cached)
        yield Step(f"{b}msa/att/q", heads, (f"{b}msa/q",), cached=(f"{b}msa/att/q",))  # scaled by 1 / sqrt(d)
        for name in "kv":
            yield Step(f"{b}msa/att/{name}", heads, (f"{b}msa/{name}",), shares=f"{b}msa/{name}")
        inner = math.prod(maps) * heads[-1]
        yield Step(f"{b}msa/att/scores", maps, (f"{b}msa/att/q", f"{b}msa/att/k"), "", inner)
        yield Step(f"{b}msa/att/a", maps, (f"{b}msa/att/scores",), cached=(f"{b}msa/att/a",))
        yield Step(f"{b}msa/att", heads, (f"{b}msa/att/a", f"{b}msa/att/v"), "", inner)
        yield Step(f"{b}msa/concat", tokens, (f"{b}msa/att",), cached=(f"{b}msa/o/x",), hands_on=f"{b}msa/att")
        yield self.linear(f"{b}msa/o", tokens, f"{b}msa/concat")
        y = yield from self.dropped(f"{b}msa/o", f"{b}dropout")
        yield Step(f"{b}z'", tokens, (y, z), hands_on=y)  # (2)
        yield from self.layer_norm(f"{b}ln2", f"{b}z'", cached=[f"{b}mlp/fc1/x"])
        yield self.linear(f"{b}mlp/fc1", hidden, f"{b}ln2")
        dydx = f"{b}mlp/gelu/dydx"
        yield Step(dydx, hidden, (f"{b}mlp/fc1",), cached=(dydx,), constant=True)
        dropping = f"{only}mlp/dropout1/mask" in self.c
        yield Step(f"{b}mlp/gelu", hidden, (f"{b}mlp/fc1",), cached=() if dropping else (f"{b}mlp/fc2/x",))
        y = yield from self.dropped(f"{b}mlp/gelu", f"{b}mlp/dropout1", f"{b}mlp/fc2/x")
        yield self.linear(f"{b}mlp/fc2", tokens, y)
        y = yield from self.dropped(f"{b}mlp/fc2", f"{b}mlp/dropout2")
        last = b == f"blocks/{self.config.depth - 1}/"
        yield Step(f"{b}z", tokens, (y, f"{b}z'"), cached=("class_row/z",) if last else (), hands_on=y)  # (3)
        return f"{b}z"

    def linear(self, name, shape, x, p=None):
        """y = x w + b: each number of y is a sum over the rows of w."""
        p = p or name
        rows = self.p[_first(p) + "/w"][0]
        return Step(name, shape, (x,), p, math.prod(shape) * rows)

    def layer_norm(self, name, x, *, cached, hands_on=""):
        """xhat and 1 / sigma are kept, for its own backward pass; its result by the layers that read it.

        Its backward pass turns dxhat into dx in place. Where that is all of x's gradient, or what else there is is
        added to it there, dx is the same memory.
        """
        xhat = self.c[_first(name) + "/xhat"]
        yield Step(f"{name}/xhat", xhat, (x,), cached=(f"{name}/xhat",), hands_on=hands_on)
        yield Step(f"{name}/rstd", (*xhat[:-1], 1), (x,), cached=(f"{name}/rstd",), constant=True)
        yield Step(name, xhat, (f"{name}/xhat",), name, cached=tuple(cached))

    def dropped(self, x, name, *cached):
        """Dropout, if the model has any; returns the name of its result."""
        shape = self.c.get(_first(name) + "/mask")
        if shape is None:
            return x
        yield Step(f"{name}/mask", shape, cached=(f"{name}/mask",), constant=True)
        yield Step(name, shape, (x, f"{name}/mask"), cached=cached)
        return name
