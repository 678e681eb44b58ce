"""Names for what was observed: of the tensors of a forward pass, and of their gradients.

Nothing is known of any model. Names come from its trees and its code, by these rules.

- What a function returns is called by the path at which the cache has that function's cache: blocks/0/mlp/gelu. If it
  is handed on, the innermost function gives the name (blocks/0/mlp/fc2), or the outermost whose parameters are those of
  a single layer (pre_logits, patch).
- A leaf of the cache is called by its own path (blocks/0/msa/att/a), unless its name is x, y or z, which say no more
  than input, result, residual stream (design.md, 2).
- The sum of two tensors that a function makes in passing, as residual connections do, is z', and the last of a block z,
  as in the paper; if the block goes on after it, they are sum1, sum2.
- A matrix product that is neither is called by its variable: scores.
- The gradient of z is dz: what is handed to f_backward with the cache of f is the gradient of what f returned, and what
  it returns, of what f was given.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tinyvit import trees
from tinyvit.viz.observe import Call, Node, Observed

GENERIC = ("x", "y", "z")


@dataclass(eq=False)
class Tensor:
    """A name for a node. One node has two names where it is handed on as it is."""

    name: str
    node: Node
    shape: tuple
    time: int
    calls: list = field(default_factory=list)  # the functions that know it under this name


class Names(dict):
    """{name: Tensor}"""

    def give(self, node, name, *, time=None, call=None, shape=None):
        """Name a node, unless the name is taken."""
        if name not in self:
            shape, time = single(node) if shape is None else shape, node.made if time is None else time
            self[name] = Tensor(name, node, shape, time)
            node.tensors.append(self[name])
            node.tensors.sort(key=lambda tensor: tensor.time)
        if self[name].node is node:
            self[name].calls.append(call)

    def memory(self):
        """The memory that has a name."""
        return {tensor.node.born for tensor in self.values()}


def single(node):
    """The shape for one example: without the axis of the batch, which is of one."""
    return node.shape[1:] if node.batch and len(node.shape) > 1 and node.shape[0] == 1 else node.shape


def unviewed(node):
    """A node, or if it has no name, what it is a view of."""
    while not node.tensors and node.view:
        node = node.source
    return node


def tensor_of(node):
    """The last name of a node, or of what it is a view of; or None."""
    return next(reversed(unviewed(node).tensors), None)


def is_parameter(node):
    """Whether it is a parameter, or a view of one."""
    return any(source.op == "parameter" for source in node.chain())


def branches(tree, path=""):
    """Yield (path, branch) of every dictionary and list in a tree, and of the leaves."""
    yield path, tree
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for key, branch in items:
        yield from branches(branch, f"{path}/{key}" if path else str(key))


def parent(path):
    """blocks/0/ln1 -> blocks/0"""
    return path.rpartition("/")[0]


def joined(path, name):
    """blocks/0, ln1 -> blocks/0/ln1"""
    return f"{path}/{name}" if path else name


def name_forward(run, p, c, inputs):
    """The names of a forward pass, in a Names.

    Parameters
    ----------
    run : Run
        With the forward pass, and no more.
    p, c : parameters and cache, of Observed
    inputs : {name: Observed}
        Named in this way if the cache has no name for them.
    """
    names = Names()
    paths = {id(branch): path for path, branch in branches(c)}
    for call in run.calls:
        call.path = paths.get(id(call.cache))
    _name_leaves(names, run, c)
    for name, x in inputs.items():
        if not x.node.tensors:
            names.give(x.node, name)
    makers, unused = _makers(run, p)
    _name_results(names, {node: call for node, call in makers.items() if not _is_sum(node)})
    _name_sums(names, run)
    _name_results(names, makers)
    _name_products(names, run, unused)
    _name_kept(names, c)
    return names


def _name_leaves(names, run, c):
    """The leaves of the cache that a function keeps under a name of their own, which it made or was given."""
    owners = {call.path: call for call in reversed(run.calls) if call.path}
    kept = {}
    for path, x in trees.walk(c):
        call, node = owners.get(parent(path)), x.node
        if path.rpartition("/")[2] in GENERIC or call is None or is_parameter(node):
            continue
        made = call in node.call.within() if node.call else False
        if made or node in call.arrays:
            kept[node] = (
                path,
                min(
                    call.start if node.view and not made or node.op == "input" else node.made,
                    kept.get(node, (path, math.inf))[1],
                ),
            )
    for node, (path, time) in kept.items():
        names.give(node, path, time=time)


def _makers(run, p):
    """{what functions return: the function that gives it its name}, and the calls whose result has another name."""
    single_layers = {id(branch) for _, branch in branches(p) if _holds_arrays(branch)}
    makers, unused = {}, []
    for call in run.calls:  # the innermost first
        if not call.path or not call.results or call.results[0].time < call.start:
            continue
        node = call.results[0]
        if node.tensors:
            unused.append(call)
        elif node not in makers or any(id(x) in single_layers for x in call.arguments):
            makers[node] = call
    return makers, unused


def _holds_arrays(branch):
    """Whether these are the parameters of one layer, which are arrays, and not of several."""
    return isinstance(branch, dict) and branch and all(isinstance(x, Observed) for x in branch.values())


def _name_results(names, makers):
    """Name what functions return."""
    for node, call in makers.items():
        if node.tensors:
            continue
        *before, above, last = f"//{call.path}".rsplit("/", 2)
        short = joined(before[0].lstrip("/"), last)
        name = short if above and last.startswith(above) and short not in names else call.path  # patch/patches: patches
        grid = _grid(node)
        names.give(node, name, shape=grid and (*grid[0], *grid[1]))
        if grid and not grid[2]:
            names.give(node, joined(parent(name), "sequence"))


def _grid(node):
    """The rows and columns of an image's places, which stand in one line since; the other axes; whether since now."""
    made, end = node, node.shape[-1:]
    while made is not None:
        source = made.source or (made.inputs[0] if made.op in ("matmul", "reshape") else None)
        if made is not node and len(made.tensors) > 1:  # in line already
            return None
        if source is None or len(node.shape) != 3 or math.prod(made.shape[:-1]) != node.shape[1]:
            return None
        if made.op == "reshape" and len(source.shape) > len(made.shape) == 3 and source.shape[0] == 1:
            rows, columns = source.shape[1:3]
            if rows * columns == made.shape[1]:
                now = made is node
                return (rows, columns), source.shape[3:] if now else end, now
        made = source
    return None


def _is_sum(node):
    """Whether it is the sum of two tensors of the examples, in memory of its own."""
    return node.op == "add" and node.born == node.time and sum(source.batch for source in node.inputs) == 2


def _name_sums(names, run):
    """Residual sums: z', z, or sum1, sum2."""
    readers = defaultdict(list)
    for node in run.nodes:
        for source in node.inputs:
            readers[source].append(node)
    sums = {}
    for node in run.nodes:
        if (
            _is_sum(node)
            and not node.tensors
            and all(term in sums or term.tensors for term in map(unviewed, node.inputs))
        ):
            sums[node] = None
    scopes = defaultdict(list)
    for node in sums:
        if not (len(readers[node]) == 1 and readers[node][0] in sums):  # a term of a longer sum
            scopes[_scope(run, node)].append(node)
    for scope, nodes in scopes.items():
        goes_on = any(t.time > nodes[-1].time and t.name.startswith(f"{scope}/") for t in names.values())
        for i, node in enumerate(nodes, 1):
            name = f"sum{i}" if goes_on else "z" + "'" * (i % len(nodes))
            names.give(node, joined(scope, name))


def _scope(run, node):
    """The path of what a node is made in: beside the function that ran last in the same frame, or around it."""
    beside = [call for call in run.calls if call.path and call.parent is node.call and call.end < node.time]
    if beside:
        return parent(beside[-1].path)
    return next((call.path for call in node.call.within() if call.path), "") if node.call else ""


def _name_products(names, run, unused):
    """Matrix products that are in no named memory: by their variable, or, one at least, by their function's path."""
    memory = names.memory()
    for call in run.calls:
        for name, node in call.locals.items():
            if any(source.work for source in node.chain()) and node.call is call and node.born not in memory:
                names.give(node, joined(_scope_of(call), name))
                memory.add(node.born)
    for call in unused:
        for node in run.nodes:
            if node.call is call and node.work and node.born not in memory:
                names.give(node, call.path)
                memory.add(node.born)


def _scope_of(call):
    return next((outer.path for outer in call.within() if outer.path), "")


def _name_kept(names, c):
    """What the cache keeps and nobody has named: parts that were put together are concat."""
    memory = names.memory()
    for path, x in trees.walk(c):
        node = x.node
        if node.born not in memory and not is_parameter(node):
            name = joined(_scope_of(node.call), "concat") if node.op == "reshape" and node.call else path
            names.give(node, name if name not in names else path)
            memory.add(node.born)
