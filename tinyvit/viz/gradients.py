"""Names for the gradients of an observed backward pass: dz has the shape of z, and stands beside it.

What is handed to f_backward with the cache of f is the gradient of what f returned, and what it returns are gradients,
or terms of them, of what f was given; the sum of terms is the gradient of the tensor that was made first.
"""

from collections import defaultdict

from tinyvit import trees
from tinyvit.viz.tensors import parent, tensor_of


def name_backward(names, run, forward, g, start):
    """Name the gradients.

    Parameters
    ----------
    names : Names
        Of the forward pass; the gradients' are added.
    run : Run
        With both passes.
    forward : list of Call
        The calls of the forward pass.
    g : tree of Observed
        The gradients of the parameters, which are called g/blocks/0/msa/q/w.
    start : int
        When the backward pass began.
    """
    made_by, inner = defaultdict(list), _inner(names)
    for call in forward:
        made_by[id(call.cache)].append(call)
    calls = [(call, twin) for call in run.calls if call.start > start and (twin := _twin(call, made_by))]
    for tensor, (node, time, call) in _sums(names, run, calls, start).items():
        _give(names, node, tensor, time, call)
    for call, twin in calls:
        if call.module == twin.module and call.results:
            _name_inner(names, call, [t for t in inner[twin.path] if twin.start < t.node.time < twin.end])
    for path, x in trees.walk(g):
        names.give(x.node, f"g/{path}", shape=x.shape)


def _sums(names, run, calls, start):
    """Name what functions are handed, as it comes; {tensor: its gradient's last term, when and where it was added}."""
    events = {node.time: (node, None) for node in run.nodes if node.time > start}
    for call, twin in calls:
        events |= {call.start: (call, twin), call.end: (call, twin)}
    terms, whole = {}, {}  # terms: of which tensor's gradient a node is one
    for time, (what, twin) in sorted(events.items(), key=lambda event: event[0]):
        if twin is None:
            _inherit(what, terms, whole)
        elif time == what.start:
            if what.arrays and (tensor := _result(twin)):
                _give(names, what.arrays[0], tensor, time, what)
        elif what.module == twin.module:
            for x, node in zip(twin.arrays, what.results, strict=False):
                if tensor := tensor_of(x):
                    terms[node] = tensor
                    if whole.get(tensor, (None,))[0] is not node:
                        whole[tensor] = node, time, what.parent
    return whole


def _twin(call, made_by):
    """The function of the forward pass whose cache this one is given: of its own name, if there are several."""
    found = [twin for x in call.arguments if isinstance(x, dict) for twin in made_by.get(id(x), ())]
    return next((twin for twin in found if call.name == f"{twin.name}_backward"), found[0] if found else None)


def _result(call):
    """The tensor that a function returned; where it handed on what it was given, by the name that it was given."""
    node = call.results[0]
    return node.tensors[0] if node.tensors and node not in call.arrays else tensor_of(node)


def _inherit(node, terms, whole):
    """A sum of terms of several gradients belongs to the tensor that was made first; a view, to what it is of."""
    of = [terms[source] for source in node.inputs if source in terms]
    if node.op in ("add", "setitem") and of and node.source in (None, *terms):
        tensor = min(of, key=lambda tensor: tensor.time)
        terms[node], whole[tensor] = tensor, (node, node.time, node.call)
    elif of and node.view:
        terms[node] = of[0]


def _d(tensor):
    """blocks/0/ln1 -> blocks/0/dln1"""
    path, slash, last = tensor.name.rpartition("/")
    return f"{path}{slash}d{last}"


def _give(names, node, tensor, time, call=None):
    names.give(node, _d(tensor), time=time, call=call, shape=tensor.shape)


def _inner(names):
    """{path: the tensors beside each other there that others are made from}."""
    read = {source for tensor in names.values() for source in _origins(tensor.node)}
    inner = defaultdict(list)
    for tensor in names.values():
        if tensor.node in read:
            inner[parent(tensor.name)].append(tensor)
    return inner


def _name_inner(names, call, inner):
    """The gradients of tensors within a function: by their variables, dscores.

    Without a variable, it is the first array of that shape on the way to what the function returns: LayerNorm turns
    dxhat into dx in place.
    """
    for tensor in inner:
        node = call.locals.get(f"d{tensor.name.rpartition('/')[2]}")
        if _d(tensor) in names:
            continue
        if node is None or node.time < call.start or node.shape != tensor.node.shape:
            node = _first(call.results[0], tensor.node.shape, call.start)
        if node:
            _give(names, node, tensor, node.time)


def _origins(node):
    """The named nodes that a node is made from."""
    waiting, seen = list(node.inputs), set()
    while waiting:
        source = waiting.pop()
        if source not in seen:
            seen.add(source)
            if source.tensors:
                yield source
            else:
                waiting += source.inputs


def _first(node, shape, start):
    """The first node of a shape, since start, from which this one is made."""
    waiting, seen, found = [node], set(), []
    while waiting:
        node = waiting.pop()
        if node.time > start and node not in seen:
            seen.add(node)
            waiting += node.inputs
            if node.shape == shape and node.inputs:
                found.append(node)
    return min(found, key=lambda node: node.time, default=None)
