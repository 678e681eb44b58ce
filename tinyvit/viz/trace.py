"""What is noted while a model is watched (observe.py): the tensors that operations make, and the functions that run."""

import sys
from itertools import count
from pathlib import Path

FILES = {__file__, str(Path(__file__).with_name("observe.py"))}  # what runs here is no step of a model


def is_observed(x):
    """Whether it is an array that knows its node."""
    return isinstance(getattr(x, "node", None), Node)


class Node:
    """A tensor as an operation leaves it; an operation in place makes the next version of its result."""

    def __init__(self, run, op, data, inputs, shares=None, work=0):
        self.op, self.inputs, self.shape, self.work = op, inputs, data.shape, work
        self.time = self.made = next(run.clock)
        self.born, self.nbytes = (shares.born, shares.nbytes) if shares else (self.time, data.nbytes)  # its memory
        self.source = shares  # what it is a view of; or the version before, see `Observed.changed`
        self.view = shares is not None
        self.batch = self._is_of_examples()  # and not of parameters alone
        self.call = run.stack[-1]
        self.tensors = []  # the names that it is given, see names.py
        run.nodes.append(self)

    def _is_of_examples(self):
        """What is new, as tokens from the host or a first state, is so if it has the batch's axis, which is of 1."""
        new = self.op != "parameter" and not self.inputs and len(self.shape) > 1 and self.shape[0] == 1
        return self.op == "input" or new or any(source.batch for source in self.inputs)

    def chain(self):
        """The node, and what is in the same memory before it."""
        node = self
        while node:
            yield node
            node = node.source

    def derives_from(self, born):
        """Whether it is made from the memory that came to be at this time."""
        waiting, seen = [self], set()
        while waiting:
            node = waiting.pop()
            if node.born == born:
                return True
            if node.time > born and node not in seen:
                seen.add(node)
                waiting += node.inputs
        return False


class Call:
    """A function, while it runs and when it has returned."""

    def __init__(self, run, frame):
        code, self.module = frame.f_code, frame.f_globals.get("__name__", "")
        self.name, self.parent, self.start, self.end = code.co_name, run.stack[-1], next(run.clock), None
        self.arguments = [frame.f_locals.get(name) for name in code.co_varnames[: code.co_argcount]]
        self.arrays = [x.node for x in self.arguments if is_observed(x)]
        self.results, self.cache, self.path, self.locals = [], None, None, {}  # path: where the cache has its cache

    def finish(self, run, frame, value):
        """Note the arrays that are returned, the cache beside them, and the variables."""
        self.end = next(run.clock)
        self.locals = {name: x.node for name, x in frame.f_locals.items() if is_observed(x)}
        values = value if isinstance(value, tuple) else (value,)
        self.results = [x.node for x in values if is_observed(x)]
        if self.results and isinstance(values[-1], dict):
            self.cache = values[-1]
        run.calls.append(self)

    def within(self):
        """This call and those around it."""
        call = self
        while call:
            yield call
            call = call.parent


class Run:
    """What is noted, in order: `nodes` and finished `calls`. Used as `with Run() as run:`, by one thread."""

    current = None

    def __init__(self):
        self.clock, self.nodes, self.calls, self.stack = count(), [], [], [None]
        self.from_host = []  # arrays that were not made by what is watched

    def __enter__(self):
        self.outer, self.profile = Run.current, sys.getprofile()
        Run.current = self
        sys.setprofile(self.watch)
        return self

    def __exit__(self, *error):
        sys.setprofile(self.profile)
        Run.current = self.outer

    def watch(self, frame, event, value):
        """Called by Python when a function begins or returns; NumPy's own, and this file's, are no step of a model."""
        if frame.f_code.co_filename in FILES or frame.f_globals.get("__name__", "").startswith("numpy"):
            return
        if event == "call":
            self.stack.append(Call(self, frame))
        elif event == "return" and len(self.stack) > 1:
            self.stack.pop().finish(self, frame, value)
