"""Tensors that have names: what becomes a row of the summary."""

import re
from dataclasses import dataclass, field

from tinyvit.viz.trace import Node

# blocks/0/msa/q, decoder/0/steps/3/n: of which list, which one; of a recurrent layer's, of its steps
LISTED = re.compile(r"(?:g/)?(.+/steps|.+?)/(\d+)(?=/|$)")


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
    """The shape for one example: without the axis of the batch, which is of one: the first; behind time, the second."""
    if node.batch and len(node.shape) > 2 and node.shape[1] == 1 != node.shape[0]:
        return node.shape[0], *node.shape[2:]
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


def parent(path):
    """blocks/0/ln1 -> blocks/0"""
    return path.rpartition("/")[0]


def joined(path, name):
    """blocks/0, ln1 -> blocks/0/ln1"""
    return f"{path}/{name}" if path else name
