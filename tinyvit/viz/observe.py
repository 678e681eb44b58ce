"""Watch a real run: an array that notes every operation that is done with it, and every function that it goes through.

`Observed` has a shape, a dtype and memory of its own, as a NumPy array has: what is a view and what a copy is NumPy's
answer. Its numbers are not computed: memory that nobody touches is never given by the operating system, so a whole
ViT-H/14 runs, forward and backward, in little. It belongs to the array module of this file (see `arrays.xp_of`), so
what layers create while they are watched is observed too. What is counted, and named, is noted in trace.py.
"""

import math
import sys
import types

import numpy as np

from tinyvit.viz.trace import Node, Run

UNCOUNTED = ("tinyvit.ops.sums", "tinyvit.ops.take_rows")  # products with 0 and 1: in truth, sums and choices
MODULE = "tinyvit_observed"  # the name of the array module


def observed(array, op):
    """An array from outside: op is "parameter" or "input"."""
    return Observed(array, Node(Run.current, op, array, []))


class Observed(np.lib.mixins.NDArrayOperatorsMixin):
    """An array under observation; `data` is the memory, `node` the latest version."""

    __module__ = MODULE

    def __init__(self, data, node):
        self.data, self.node = data, node

    def __getattr__(self, name):
        if name.startswith("__"):  # by which NumPy would take the memory without asking
            raise AttributeError(name)
        value = getattr(self.data, name)
        if callable(value):
            return lambda *args, **options: noted(name, getattr(self.data, name), [self], args, options)
        return wrapped(name, value, [self]) if isinstance(value, np.ndarray) else value

    def __array__(self, dtype=None, copy=None):
        raise TypeError("an observed array cannot become a NumPy array: make arrays with xp_of(x), as for the GPU")

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return noted("getitem", self.data.__getitem__, [self], (index,), {})

    def __setitem__(self, index, value):
        self.changed("setitem", [value] if isinstance(value, Observed) else [])

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        sources = [x for x in inputs if isinstance(x, Observed)]
        if out and isinstance(out[0], Observed):
            return out[0].changed(ufunc.__name__, sources)
        op = ufunc.__name__ if method == "__call__" else method
        if method != "__call__" or all(x.dtype.kind in "biu" for x in sources):  # integers may be places of something
            return noted(op, getattr(ufunc, method), [], inputs, options)
        kinds = (x.dtype if hasattr(x, "dtype") else type(x) for x in inputs)
        dtype = ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))[-1]
        shapes = [getattr(x, "shape", ()) for x in inputs]
        shape, work = product_shape(*shapes) if ufunc is np.matmul else (np.broadcast_shapes(*shapes), 0)
        return wrapped(op, np.empty(shape, dtype), sources, work)

    def __array_function__(self, function, kinds, args, options):
        return noted(function.__name__, function, [], args, options)

    def changed(self, op, sources):
        """The next version, after a change in place.

        What was itself made from this memory is no further source, unless it is the work of a matrix product.
        """
        old = self.node
        inputs = [old] if op == "setitem" or any(x is self for x in sources) else []
        others = [x.node for x in sources if x.node is not old]
        inputs += [x for x in others if x.work or x.born == old.born or not x.derives_from(old.born)]
        self.node = Node(Run.current, op, self.data, inputs, shares=old)
        self.node.view = False
        self.node.made = self.node.time if op == "add" and len(inputs) > 1 else old.made  # a sum has its last term
        return self


def product_shape(a, b):
    """The shape of a product of arrays of these shapes, and its multiply-adds."""
    shape = (*np.broadcast_shapes(a[:-2], b[:-2]), *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))
    return shape, math.prod(shape) * a[-1]


def noted(op, function, sources, args, options):
    """Call a function of NumPy with the arrays themselves, and observe its result."""
    found = [*sources]

    def plain(x):
        if isinstance(x, Observed):
            found.append(x)
            return x.data
        return type(x)(plain(y) for y in x) if type(x) in (list, tuple) else x

    args, options = plain(args), {name: plain(x) for name, x in options.items()}
    with np.errstate(all="ignore"):  # the numbers mean nothing
        result = function(*args, **options)
    if op == "einsum":
        work = einsum_work(*args)
    else:  # of the products ik, kj -> ij of other names: ik kj ij = (ikj)^2
        work = math.isqrt(args[0].size * args[1].size * np.size(result)) if op in ("tensordot", "dot") else 0
    return wrapped(op, result, found, work)


def einsum_work(formula, *arrays):
    """The multiply-adds of an einsum that is written with letters: the product of the lengths of all its axes."""
    lengths = {}
    for term, x in zip(formula.partition("->")[0].split(","), arrays, strict=True):
        letters = term.replace(" ", "").split("...")
        before, after = letters[0], letters[-1] if len(letters) > 1 else ""
        hidden = [f"...{i}" for i in range(x.ndim - len(before) - len(after), 0, -1)]  # counted from the last
        for axis, length in zip([*before, *hidden, *after], x.shape, strict=True):
            lengths[axis] = max(length, lengths.get(axis, 1))
    return math.prod(lengths.values())


def wrapped(op, result, sources, work=0):
    """A result with its node: in the memory of one of the sources, or in its own."""
    if isinstance(result, tuple | list):
        return type(result)(wrapped(op, x, sources, work) for x in result)
    if not isinstance(result, np.ndarray | np.generic):
        return result
    data, run = np.asarray(result), Run.current
    if run.stack[-1] and run.stack[-1].module in UNCOUNTED:
        work = 0
    shares = next((x.node for x in sources if np.may_share_memory(x.data, data)), None)
    return Observed(data, Node(run, op, data, list(dict.fromkeys(x.node for x in sources)), shares, work))


class Function:
    """A function of NumPy that returns observed arrays."""

    def __init__(self, name, function):
        self.name, self.function = name, function

    def __call__(self, *args, **options):
        if self.name != "asarray" or not isinstance(args[0], np.ndarray):
            return noted(self.name, self.function, [], args, options)
        before = Run.current.from_host  # the same array may come twice: a mask, to be read forwards and backwards
        same = [x for x in before if np.may_share_memory(x.data, args[0])]
        before.append(noted(self.name, self.function, same[:1], args, options))
        return before[-1]

    @staticmethod
    def at(x, index, y):
        """As `np.add.at`: y goes to these places of x."""
        x.changed("setitem", [y])


class Functions(types.ModuleType):
    """NumPy's functions, each of which returns observed arrays: the array module of `Observed`."""

    def __getattr__(self, name):
        value = getattr(np, name)
        return Function(name, value) if callable(value) else value


sys.modules[MODULE] = Functions(MODULE)
