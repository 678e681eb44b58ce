"""Names for what was observed: of the tensors of a forward pass, and of their gradients.

Nothing is known of any model. Names come from its trees and its code, by these rules.

- What a function returns is called by the path at which the cache has that function's cache: blocks/0/mlp/gelu. If it
  is handed on, the innermost function gives the name (blocks/0/mlp/fc2), or the outermost whose parameters are those of
  a single layer (pre_logits, patch). What has no name when it is handed on, as tokens with positions, has that of the
  first function that does so (dropout).
- A leaf of the cache is called by its own path (blocks/0/msa/att/a), unless its name is x, y or z, which say no more
  than input, result, residual stream (design.md, 2). If several blocks keep it, as they do a mask, it is called by what
  their paths have in common (decoder/bias).
- The sum of two tensors that a function makes in passing, as residual connections do, is z', and the last of a block z,
  as in the paper; if the block goes on after it, they are sum1, sum2.
- A matrix product that is neither is called by its variable: scores. What the model returns is logits, if nothing else.
- The gradient of z is dz: what is handed to f_backward with the cache of f is the gradient of what f returned, and what
  it returns, of what f was given.
"""

import math
from collections import defaultdict
from collections.abc import Mapping

from tinyvit import trees
from tinyvit.viz.tensors import LISTED, Names, is_parameter, joined, parent, unviewed
from tinyvit.viz.trace import is_observed

GENERIC = ("x", "y", "z")


def branches(tree, path=""):
    """Yield (path, branch) of every dictionary and list in a tree, and of the leaves."""
    yield path, tree
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree) if isinstance(tree, list) else ()
    for key, branch in items:
        yield from branches(branch, f"{path}/{key}" if path else str(key))


def name_forward(run, p, c, inputs, y):
    """The names of a forward pass, in a Names.

    Parameters
    ----------
    run : Run
        With the forward pass, and no more.
    p, c : parameters and cache, of Observed
    inputs : {name: Observed}
        Named in this way if the model reads them and the cache has no name for them.
    y : Observed
        What the model returns.
    """
    names, c = Names(), _without_bare_composites(c, p)
    paths = {id(branch): path for path, branch in branches(c)}
    for call in run.calls:
        call.path = paths.get(id(call.cache))
    _name_leaves(names, run, c)
    read = {source for node in run.nodes for source in node.inputs}
    for name, x in inputs.items():
        if not x.node.tensors and x.node in read:
            names.give(x.node, name)
    makers, unused = _makers(run, p)
    _name_results(names, {node: call for node, call in makers.items() if not _is_sum(node)})
    _name_handed_on(names, run, makers)
    _name_sums(names, run)
    _name_results(names, makers)
    _name_products(names, run, unused)
    _name_kept(names, c)
    if not unviewed(y.node).tensors:
        names.give(y.node, "logits")
    return names


def _without_bare_composites(c, p):
    """The cache as if a composite that has no parameters under its own name, as a readout, stood in line: its parts
    are parts of the model.
    """
    parts = {}
    for key, branch in c.items():
        bare = isinstance(branch, dict) and key not in p and any(isinstance(part, dict) for part in branch.values())
        parts |= branch if bare else {key: branch}
    return parts


def _name_leaves(names, run, c):
    """The leaves of the cache that a function keeps under a name of their own, which it made or was given."""
    owners = {call.path: call for call in reversed(run.calls) if call.path}
    kept, times = defaultdict(list), defaultdict(list)
    for path, x in trees.walk(c):
        call, node = owners.get(parent(path)), x.node
        if path.rpartition("/")[2] in GENERIC or call is None or is_parameter(node):
            continue
        made = node.call is not None and call in node.call.within()
        if made or node in call.arrays:
            handed = node.op == "input" or (node.view and not made)  # nothing is made: it stands where it is handed in
            times[node].append(call.start if handed else node.made)
            kept[node].append(path)
    for node, paths in kept.items():
        names.give(node, _in_common(paths), time=min(times[node]))


def _in_common(paths):
    """The last of the paths; of several blocks', what they have in common: decoder/bias of decoder/blocks/0/msa/bias.

    A list is no part of that, only of what is in all of its blocks.
    """
    if len({found[0] for path in paths if (found := LISTED.match(path))}) < 2:
        return paths[-1]
    columns = [*zip(*(path.split("/") for path in paths), strict=False)]
    at = next(i for i, column in enumerate(columns) if len({*column}) > 1)
    around = columns[: at - all(part.isdigit() for part in columns[at])]
    return "/".join([*(column[0] for column in around), paths[0].rpartition("/")[2]])


def _makers(run, p):
    """{what functions return: the function that gives it its name}, and the calls whose result has another name."""
    layers = {id(branch): _holds_arrays(branch) for _, branch in branches(p) if isinstance(branch, dict) and branch}
    makers, unused = {}, []
    for call in run.calls:  # the innermost first
        if not call.path or not call.results or call.results[0].time < call.start:
            continue
        node, single = call.results[0], [layers[id(x)] for x in call.arguments if id(x) in layers]
        if node.tensors:
            unused.append(call)
        elif node not in makers or (single and all(single)):
            makers[node] = call
    return makers, unused


def _holds_arrays(branch):
    """Whether these are the parameters of one layer, which are arrays, and not of several."""
    return all(is_observed(x) for x in branch.values())


def _name_results(names, makers):
    """Name what functions return."""
    for node, call in makers.items():
        if node.tensors:
            continue
        above, _, last = call.path.rpartition("/")
        name = joined(parent(above), last)  # patch/patches says no more than patches
        if not last.startswith(above.rpartition("/")[2] or "/") or name in names:
            name = call.path
        shape, in_line = _grid(node)
        names.give(node, name, shape=shape)
        if in_line:
            names.give(node, joined(parent(name), "sequence"))


def _name_handed_on(names, run, makers):
    """Name what the model itself makes, and a function hands on as it is."""
    for call in run.calls:
        if call.path and call.results and call.results[0].time < call.start:
            node = call.results[0]
            other = node in makers and makers[node].path not in names
            if node.batch and not (node.tensors or node.view or other):
                names.give(node, call.path)


def _grid(node):
    """The shape of an image's places, [rows, columns, ...], which stand in one line; and whether since earlier.

    So it is with patches, and with what a linear layer makes of each of them: it is a convolution. Else None, False.
    """
    made = node
    while made.source or made.op in ("matmul", "reshape"):
        source = made.source or made.inputs[0]
        met = made is not node and len(made.tensors) > 1  # it has been said that they are in line
        if met or len(node.shape) != 3 or math.prod(made.shape[:-1]) != node.shape[1]:
            break
        if made.op == "reshape" and len(source.shape) > 3 == len(made.shape):
            one, rows, columns, *rest = source.shape
            if one == 1 and rows * columns == made.shape[1]:
                return (rows, columns, *(rest if made is node else node.shape[2:])), made is not node
        made = source
    return None, False


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
        named = [term for term in map(unviewed, node.inputs) if term in sums or term.tensors]
        if _is_sum(node) and not node.tensors and len(named) == 2:
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
    return _around(node.call)


def _name_products(names, run, unused):
    """Matrix products that are in no named memory: by their variable, or, one at least, by their function's path."""
    memory = names.memory()
    for call in run.calls:
        for name, node in call.locals.items():
            if any(source.work for source in node.chain()) and node.call is call and node.born not in memory:
                names.give(node, joined(_around(call), name))
                memory.add(node.born)
    products = defaultdict(list)
    for node in run.nodes:
        if node.work:
            products[node.call].append(node)
    for call in unused:
        for node in products[call]:
            if node.born not in memory:
                names.give(node, call.path)
                memory.add(node.born)


def _around(call):
    """The path of a call, or of the innermost one around it that has a path."""
    return next((outer.path for outer in call.within() if outer.path), "") if call else ""


def _name_kept(names, c):
    """What the cache keeps and nobody has named: parts that were put together are concat."""
    memory = names.memory()
    for path, x in trees.walk(c):
        node = x.node
        if node.born not in memory and not is_parameter(node):
            name = joined(_around(node.call), "concat") if node.op == "reshape" else path
            names.give(node, name if name not in names else path)
            memory.add(node.born)
