"""NumPy on the CPU, CuPy on the GPU, from one source.

Most of the mathematics needs no array module at all: operators, `@`, methods and NumPy's element-wise functions go
where their arguments live. Only functions that create or combine arrays need one, and they take it from an array at
hand: `xp = xp_of(x)`.
"""

import sys
from typing import Any

import numpy as np

from tinyvit import trees
from tinyvit.annotations import Array, Tree
from tinyvit.errors import DeviceError, UsageError

DEVICES = ("cpu", "gpu", "auto")


def xp_of(x):
    """The module whose functions apply to x: numpy for a NumPy array, cupy for a CuPy array."""
    return np if isinstance(x, np.ndarray) else sys.modules[type(x).__module__.partition(".")[0]]


def is_on_gpu(x):
    """Whether x is an array of another module than NumPy; lists and numbers are not."""
    return hasattr(x, "get") and hasattr(x, "dtype")


def gpu_module():
    """The module cupy, if it is installed and finds a GPU.

    Raises
    ------
    DeviceError
        With the reason, where there is no GPU to be had.
    """
    try:
        import cupy
    except ImportError:
        raise DeviceError(
            "no GPU: CuPy is not installed; install one of the extras gpu-cuda12, gpu-cuda13, or use --device cpu"
        ) from None
    if not cupy.cuda.is_available():
        raise DeviceError("no GPU: CuPy is installed but finds no CUDA device; check the driver, or use --device cpu")
    return cupy


def choose_device(device):
    """Resolve a device to "cpu" or "gpu": "auto" is the GPU where there is one.

    Raises
    ------
    DeviceError
        If the device is not one of cpu, gpu, auto, or is "gpu" and there is none.
    """
    if device not in DEVICES:
        raise DeviceError(f"unknown device {device!r}: expected one of {', '.join(DEVICES)}")
    if device == "auto":
        try:
            gpu_module()
        except DeviceError:
            return "cpu"
        return "gpu"
    if device == "gpu":
        gpu_module()
    return device


def to_device(tree: Tree | Array, device: str = "gpu") -> Any:
    """A tree, or one array, on a device ("cpu", "gpu" or "auto"); what is there already is not copied.

    Raises
    ------
    DeviceError
        If there is no such device.
    """
    if choose_device(device) == "cpu":
        return to_host(tree)
    return trees.map(gpu_module().asarray, tree)


def to_host(tree: Tree | Array) -> Any:
    """A tree, or one array, as NumPy arrays; what is there already is not copied."""
    return trees.map(lambda x: x.get() if is_on_gpu(x) else x, tree)


def flat(tree, like=None, out=None):
    """A tree's leaves one after another, in the order of `like`: the vector that `trees.views` takes apart."""
    parts = [leaf.reshape(-1) for leaf in trees.leaves(tree, like)]
    return xp_of(parts[0]).concatenate(parts, out=out)


def copied(tree: Tree | Array) -> Any:
    """The same tree with arrays of its own; what is no array is kept."""
    return trees.map(lambda x: xp_of(x).array(x) if _is_array(x) else x, tree)


def same(one: Tree | Array, other: Tree | Array) -> bool:
    """Whether two trees hold the same bits (a NaN equals itself); what is no array is not compared."""
    one, other = trees.named(one), trees.named(other)
    return one.keys() == other.keys() and all(_same_bits(one[name], other[name]) for name in one)


def _same_bits(a, b):
    if not _is_array(a):
        return True
    return _is_array(b) and a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())


def _is_array(x):
    return isinstance(x, np.ndarray | np.generic) or is_on_gpu(x)


def check_generator(rng: Any) -> None:
    """Raise UsageError unless it is a random generator; a seed is the usual mistake."""
    if not isinstance(rng, np.random.Generator):
        raise UsageError(f"found {rng!r}: expected a random generator, such as numpy.random.default_rng(0)")
