"""The steps from an image to the logits, for the shape ledger: what `vit` does, tensor by tensor, in its order."""

import math
import re
from typing import NamedTuple

from tinyvit.layers.identity import identity as nothing
from tinyvit.layers.position import POSITIONS


class Step(NamedTuple):
    """A tensor of the forward pass, and how it comes about."""

    name: str
    shape: tuple
    inputs: tuple = ()
    p: str = ""  # the parameters used, by their path
    multiply_adds: int = 0
    cached: tuple = ()  # its names in the cache, whoever reads it
    keeps: tuple = ()  # (input, its name in the cache) of what the backward pass of this step needs
    shares: str = ""  # the row whose memory it shares
    hands_on: str = ""  # the input whose gradient is this one's, in the same memory
    constant: bool = False  # noted for the backward pass; it has no gradient


class Steps:
    """The steps of a model; `c` and `p` are the shapes in its cache and its parameters, by name, with one block.

    Each part of the model is a method that yields its steps; one that may be left out, or chosen, returns the name of
    its result.
    """

    def __init__(self, config, c, p):
        self.config, self.c, self.p = config, c, p
        self.tokens = c["blocks/0/ln1/xhat"]

    def used(self, path):
        """The parameters at this path: {name: shape}."""
        first = _first(path)
        names = [name for name in self.p if path and (name == first or name.startswith(f"{first}/"))]
        return {path + name[len(first) :]: self.p[name] for name in names}

    def all(self):
        """From the image to the logits: equations 1 to 4."""
        image, (N, _), D = self.c["patch/patches/x"], self.c["patch/linear/x"], self.tokens[-1]
        side = self.config.patch
        grid = (image[0] // side, image[1] // side)
        yield Step("image", image)
        yield Step("patches", (*grid, side, side, image[2]), ("image",), keeps=(("image", "patch/patches/x"),))
        yield self.linear("patch", (*grid, D), "patches", cache="patch/linear")
        z = "sequence"
        yield Step(z, (N, D), ("patch",), shares="patch", hands_on="patch")
        if "cls" in self.p:
            yield Step("cls", self.tokens, (z,), "cls", hands_on=z)
            z = "cls"
        if self.config.position_at == "stem":
            z = yield from self.positions("pos", z, "pos")
        z = yield from self.dropped(z, "dropout")
        for i in range(self.config.depth):
            z = yield from self.block(i, z)
        y = yield from READOUT[self.config.pool](self, z)
        if "pre_logits/w" in self.p:
            width = self.c["pre_logits/tanh/y"]
            yield self.linear("pre_logits/linear", width, y, "pre_logits")
            yield Step("pre_logits", width, ("pre_logits/linear",), cached=("pre_logits/tanh/y",))
            y = "pre_logits"
        yield self.linear("head", self.p["head/b"], y)

    def block(self, i, z):
        """One encoder block on the residual stream z, with the positions that enter there."""
        b, table = f"blocks/{i}/", {"stem": "", "layers": f"pos/{i}", "shared": "pos"}[self.config.position_at]
        if table:
            z = yield from self.positions(f"{b}pos", z, table)
        return (yield from BLOCK[self.config.norm](self, b, z, table))

    def positions(self, name, z, table):
        """Positions, if they are of a kind that is added to tokens."""
        if POSITIONS[self.config.position].forward in (None, nothing):
            return z
        yield Step(name, self.tokens, (z,), table, hands_on=z)
        return name

    def pre_norm_block(self, b, z, table):
        """Equations 2 and 3."""
        yield from self.layer_norm(f"{b}ln1", z, hands_on=z)
        y = yield from self.attention(b, f"{b}ln1", table)
        yield Step(f"{b}z'", self.tokens, (y, z), hands_on=y)  # (2)
        yield from self.layer_norm(f"{b}ln2", f"{b}z'")
        y = yield from self.mlp(b, f"{b}ln2")
        yield Step(f"{b}z", self.tokens, (y, f"{b}z'"), hands_on=y)  # (3)
        return f"{b}z"

    def post_norm_block(self, b, z, table):
        """LayerNorm of each sum: what equations 2 and 3 call z' and z are here ln1 and ln2."""
        y = yield from self.attention(b, z, table)
        yield Step(f"{b}sum1", self.tokens, (y, z), hands_on=y)
        yield from self.layer_norm(f"{b}ln1", f"{b}sum1", hands_on=f"{b}sum1")
        y = yield from self.mlp(b, f"{b}ln1")
        yield Step(f"{b}sum2", self.tokens, (y, f"{b}ln1"), hands_on=y)
        yield from self.layer_norm(f"{b}ln2", f"{b}sum2", hands_on=f"{b}sum2")
        return f"{b}ln2"

    def attention(self, b, x, table):
        """Multi-head self-attention and dropout; with relative positions, the table is of keys."""
        heads, maps = (self.c[f"blocks/0/msa/att/{name}"] for name in "qa")
        for name in "qkv":
            yield self.linear(f"{b}msa/{name}", self.tokens, x)
        for name in "qkv":
            new = name == "q" and self.config.scale == "sqrt"  # by 1 / sqrt(d)
            yield Step(f"{b}msa/att/{name}", heads, (f"{b}msa/{name}",), shares="" if new else f"{b}msa/{name}")
        q, k, v, a, scores = (f"{b}msa/att/{name}" for name in ("q", "k", "v", "a", "scores"))
        bias = yield from self.relative_bias(b, q, table)
        inner = math.prod(maps) * heads[-1]
        yield Step(scores, maps, (q, k, bias) if bias else (q, k), "", inner, keeps=((q, q), (k, k)), hands_on=bias)
        yield Step(a, maps, (scores,), cached=(a,))
        yield Step(f"{b}msa/att", heads, (a, v), "", inner, keeps=((v, v),))
        yield Step(f"{b}msa/concat", self.tokens, (f"{b}msa/att",), hands_on=f"{b}msa/att")
        yield self.linear(f"{b}msa/o", self.tokens, f"{b}msa/concat")
        return (yield from self.dropped(f"{b}msa/o", f"{b}dropout"))

    def relative_bias(self, b, q, table):
        """The products of all queries with the keys of all offsets, of which the bias is a part; if there are any."""
        if self.config.position != "relative":
            return ""
        products, bias = f"{b}msa/r", f"{b}msa/att/bias"
        (h, T, d), (offsets, _) = self.c["blocks/0/msa/att/q"], self.p[_first(table)]
        yield Step(products, (h, T, offsets), (q,), table, h * T * offsets * d, keeps=((q, f"{b}msa/r/q"),))
        yield Step(bias, (h, T, T), (products,), cached=(bias,))
        return bias

    def mlp(self, b, x):
        """The MLP and dropout."""
        hidden, dydx = self.c["blocks/0/mlp/fc2/x"], f"{b}mlp/gelu/dydx"
        yield self.linear(f"{b}mlp/fc1", hidden, x)
        yield Step(dydx, hidden, (f"{b}mlp/fc1",), cached=(dydx,), constant=True)
        yield Step(f"{b}mlp/gelu", hidden, (f"{b}mlp/fc1",))
        y = yield from self.dropped(f"{b}mlp/gelu", f"{b}mlp/dropout1")
        yield self.linear(f"{b}mlp/fc2", self.tokens, y)
        return (yield from self.dropped(f"{b}mlp/fc2", f"{b}mlp/dropout2"))

    def class_readout(self, z):
        """Equation 4: of the class token alone."""
        yield Step("class_row", self.tokens[-1:], (z,), keeps=((z, "class_row/z"),), shares=z)
        yield from self.layer_norm("ln", "class_row", hands_on="class_row")
        return "ln"

    def mean_readout(self, z):
        """The mean of all tokens, each normalised."""
        yield from self.layer_norm("ln", z, hands_on=z, keeps=((z, "z"),))
        yield Step("mean_row", self.tokens[-1:], ("ln",), keeps=(("ln", "mean_row/x"),))
        return "mean_row"

    def linear(self, name, shape, x, p="", cache=""):
        """y = x w + b: each number of y is a sum over the rows of w."""
        p = p or name
        rows = self.p[_first(p) + "/w"][0]
        return Step(name, shape, (x,), p, math.prod(shape) * rows, keeps=((x, f"{cache or name}/x"),))

    def layer_norm(self, name, x, *, hands_on="", keeps=()):
        """xhat and 1 / sigma are kept for its own backward pass.

        This turns dxhat into dx in place. Where that is all of x's gradient, or what else there is is added to it
        there, dx is the same memory.
        """
        xhat = self.c[_first(name) + "/xhat"]
        yield Step(f"{name}/xhat", xhat, (x,), cached=(f"{name}/xhat",), keeps=keeps, hands_on=hands_on)
        yield Step(f"{name}/rstd", (*xhat[:-1], 1), (x,), cached=(f"{name}/rstd",), constant=True)
        yield Step(name, xhat, (f"{name}/xhat",), name)

    def dropped(self, x, name):
        """Dropout, if the model has any; returns the name of its result."""
        shape = self.c.get(_first(name) + "/mask")
        if shape is None:
            return x
        yield Step(f"{name}/mask", shape, cached=(f"{name}/mask",), constant=True)
        yield Step(name, shape, (x, f"{name}/mask"))
        return name


BLOCK = {"pre": Steps.pre_norm_block, "post": Steps.post_norm_block}  # of a config's norm
READOUT = {"class": Steps.class_readout, "mean": Steps.mean_readout}  # of its pool


def _first(name):
    """The name of the same thing in the first block."""
    return re.sub(r"^(blocks|pos)/\d+", r"\1/0", name)
