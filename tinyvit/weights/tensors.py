"""The arrays of a weights file by name, none of them read before it is asked for."""

import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyvit import npz
from tinyvit.errors import CheckpointError
from tinyvit.weights import safetensors

EXPECTED = "a .safetensors or .npz file of ViT weights, or a folder that holds model.safetensors"


@dataclass(frozen=True)
class Tensor:
    """An array that is there, and can be read."""

    shape: tuple
    read: Callable  # () -> array of float32 or float64


@contextmanager
def open_tensors(path):
    """{name: Tensor} of a file, which must stay open as long as they are read.

    Raises
    ------
    CheckpointError
        If there is no such file, or what it says of itself cannot be true.
    """
    path = weights_file(path)
    if path.suffix == ".npz":
        with npz.opened(path, EXPECTED) as archive:
            found = npz.entries(path, archive, compressed=True)
            yield {name: _npz_tensor(path, archive, entry, name) for name, entry in found.items()}
    else:
        yield {name: Tensor(shape, read) for name, (shape, read) in safetensors.read(path).items()}


def weights_file(path):
    """The file meant by a path: itself, or model.safetensors in it."""
    path = Path(path)
    if os.path.isdir(path):
        if not os.path.exists(path / "model.safetensors"):
            raise CheckpointError(f"no model.safetensors in {path}: expected {EXPECTED}")
        path = path / "model.safetensors"
    if path.suffix not in (".npz", ".safetensors"):
        raise CheckpointError(f"{path} is neither .npz nor .safetensors: expected {EXPECTED}")
    try:
        os.stat(path)
    except FileNotFoundError:
        raise CheckpointError(f"no file at {path}: expected {EXPECTED}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {npz.first_line(error)}; expected {EXPECTED}") from None
    if not path.is_file():  # a pipe would be waited for
        raise CheckpointError(f"{path} is no ordinary file: expected {EXPECTED}")
    return path


def _npz_tensor(path, archive, entry, name):
    shape, dtype = npz.header(path, archive, entry, name)
    if dtype == np.dtype("V2"):  # how NumPy keeps a bfloat16
        return Tensor(shape, lambda: _from_bfloat16(path, name, npz.read(path, archive, entry, name)))
    if dtype.kind != "f" or dtype.itemsize > 8:
        return Tensor(shape, lambda: _refuse(path, name, dtype))
    return Tensor(shape, lambda: _native(npz.read(path, archive, entry, name)))


def _refuse(path, name, dtype):
    raise CheckpointError(f"{path}: {name} is of {dtype}, expected floating-point numbers")


def _from_bfloat16(path, name, array):
    array = safetensors.from_bfloat16(array.view(np.uint16))
    npz.check_finite(path, name, array)
    return array


def _native(array):
    """float64 and float32 as they are, in this machine's byte order; anything shorter as float32."""
    return array.astype(np.float64 if array.dtype.itemsize > 4 else np.float32, copy=False)
