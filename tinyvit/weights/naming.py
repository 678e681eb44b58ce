"""How a source names and arranges the arrays of a model: a table of rules, read in one direction or the other.

A rule pairs the name of a leaf of our tree with the source's name for it, and with the form the array has there. Every
form is the same numbers in another arrangement, so that what is written can be read back to the bit.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.errors import CheckpointError
from tinyvit.models.bert import BERTConfig
from tinyvit.models.gpt import GPTConfig
from tinyvit.models.hybrid import HybridConfig
from tinyvit.models.model import model_of
from tinyvit.models.swin import SwinConfig


class Form(NamedTuple):
    """How an array of ours is arranged in the source."""

    shape: Callable  # (our shape, config) -> the shape there
    read: Callable  # (the array there, our shape) -> ours
    write: Callable  # (ours, the shape there) -> the array there


def reshaped(shape):
    """The same numbers in the same order; `shape` gives the shape there."""
    return Form(shape, lambda a, ours: a.reshape(ours), lambda a, theirs: a.reshape(theirs))


SAME = reshaped(lambda ours, config: ours)
ONE_MORE_AXIS = reshaped(lambda ours, config: (1, *ours))  # [1, 1, D] for the class token, [1, T, D] for positions
TRANSPOSED = Form(lambda ours, config: ours[::-1], lambda a, ours: a.T, lambda a, theirs: a.T)  # [out, in]
HWIO = reshaped(lambda ours, config: (config.patch, config.patch, config.channels, ours[1]))  # [P, P, C, D]
OIHW = Form(  # [D, C, P, P]
    lambda ours, config: (ours[1], config.channels, config.patch, config.patch),
    lambda a, ours: a.transpose(2, 3, 1, 0).reshape(ours),
    lambda a, theirs: a.reshape(*theirs[2:], theirs[1], theirs[0]).transpose(3, 2, 0, 1),
)
KERNEL = Form(  # [O, I, K, K], ours [K, K, I, O]
    lambda ours, config: (ours[3], ours[2], *ours[:2]),
    lambda a, ours: a.transpose(2, 3, 1, 0),
    lambda a, theirs: a.transpose(3, 2, 0, 1),
)
TO_HEADS = reshaped(lambda ours, config: (*ours[:-1], config.heads, config.dim // config.heads))  # [D, h, d], [h, d]
FROM_HEADS = reshaped(lambda ours, config: (config.heads, config.dim // config.heads, ours[-1]))  # [h, d, D]


NUMBER = re.compile(r"/(\d+)(?=/)")  # in our names: of a block, of a stage


class Part(NamedTuple):
    """One of three parts, along an axis, of an array that holds query, key and value."""

    number: int
    form: Form
    axis: int = 0

    def whole(self, shape):
        """The shape of the array, from that of a part."""
        return (*shape[: self.axis], 3 * shape[self.axis], *shape[self.axis + 1 :])


class Naming(NamedTuple):
    """A source's rules, and what else is particular to it."""

    source: str
    rules: dict  # {our name: (their name, form)}; {i} and {j} are the numbers in our name, {i1} and {j1} one more
    gelu: str
    eps: float
    resnet: dict | None = None  # of a hybrid: how its kernels are standardised, and eps of its group normalisation

    def forms(self, config):
        """[(our name, our shape, their name, form)] for every leaf of a model.

        A part's name is that of the whole.
        """
        found = []
        for name, leaf in trees.walk(model_of(config).init(None, config)):
            numbers = [int(number) for number in NUMBER.findall(name)]
            places = iter("ij")
            theirs, form = self.rules[NUMBER.sub(lambda _, places=places: f"/{{{next(places)}}}", name)]
            found.append((name, leaf.shape, numbered(theirs, *numbers), form))
        return found


def numbered(name, *numbers):
    """A source's name with the numbers in their places."""
    for letter, number in zip("ij", numbers, strict=False):
        name = name.replace(f"{{{letter}}}", str(number)).replace(f"{{{letter}1}}", str(number + 1))
    return name


def read_parameters(path, tensors, naming, config):
    """The parameter tree, out of {their name: Tensor}.

    Raises
    ------
    CheckpointError
        If an array is missing, misshapen, or left over: its name, what was found and what was expected.
    """
    arrays, used, whole, forms, sizes = {}, set(), {}, naming.forms(config), _of_patches(config)
    found = {_in_block(name) for name, _, theirs, _ in forms if theirs in tensors}
    for name, shape, theirs, form in forms:
        if theirs not in tensors:
            if re.fullmatch(r"msa/[qkv]/b", _in_block(name)) and _in_block(name) not in found:
                arrays[name] = np.zeros(shape, np.float32)  # a model without them is one in which they are zero
                continue
            raise CheckpointError(f"{path}: {theirs} is missing")
        used.add(theirs)
        part, form = (form, form.form) if isinstance(form, Part) else (None, form)
        expected = form.shape(shape, sizes)
        if part:
            expected = part.whole(expected)
        if tensors[theirs].shape != expected:
            raise CheckpointError(f"{path}: {theirs} is {list(tensors[theirs].shape)}, expected {list(expected)}")
        array = whole.pop(theirs, None) if part and part.number else None
        array = tensors[theirs].read() if array is None else array
        if part:
            whole[theirs] = array
            array = np.split(array, 3, part.axis)[part.number]
        arrays[name] = form.read(array, shape)
    if left := [name for name in tensors if name not in used]:
        raise CheckpointError(
            f"{path}: {left[0]} has no place in {_in_words(config)} ({len(left)} such array{'s' * (len(left) > 1)})"
        )
    kinds = {array.dtype for array in arrays.values()}
    if len(kinds) > 1:
        arrays = {name: array.astype(np.result_type(*kinds)) for name, array in arrays.items()}
    return trees.from_names(arrays, like=model_of(config).init(None, config))


def _of_patches(config):
    """The configuration whose patches and heads forms speak of: a hybrid's are its Transformer's."""
    return config.vit if isinstance(config, HybridConfig) else config


def _in_words(config):
    """A model for an error: what it is, and how deep."""
    if isinstance(config, SwinConfig):
        return f"a Swin Transformer with {', '.join(map(str, config.depths))} blocks"
    depth = _of_patches(config).depth
    blocks = f"{depth} block{'s' * (depth > 1)}"
    if isinstance(config, GPTConfig | BERTConfig):
        return f"{'a GPT-2' if isinstance(config, GPTConfig) else 'a BERT'} with {blocks}"
    if isinstance(config, HybridConfig):
        return f"a hybrid with {', '.join(map(str, config.units)) or 'no'} units and {blocks}"
    return f"a ViT with {blocks}"


def _in_block(name):
    """The name of a leaf within its block, which is the same in all blocks."""
    return re.sub(r"^(stages/\d+/)?blocks/\d+/", "", name)


def written(p, naming, config):
    """{their name: array, fresh and contiguous} of a model."""
    leaves, found, sizes = trees.named(p), {}, _of_patches(config)
    for name, shape, theirs, form in naming.forms(config):
        inner = form.form if isinstance(form, Part) else form
        array = np.ascontiguousarray(inner.write(leaves[name], inner.shape(shape, sizes)))
        found[theirs] = np.concatenate([found[theirs], array], form.axis) if theirs in found else array
    return found
