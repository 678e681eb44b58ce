"""The arrays of a weights file by name, none of them read before it is asked for."""

import os
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinyvit import npz
from tinyvit.errors import CheckpointError, first_line
from tinyvit.recognise import NPZ, SAFETENSORS, TORCH, UNKNOWN, recognise
from tinyvit.weights import safetensors, shards, torchfile

FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")
EXPECTED = f"a .safetensors, .npz or PyTorch file of ViT weights, or a folder that holds {' or '.join(FILES[::2])}"
ENDINGS = {".safetensors", ".npz", ".bin", ".pth", ".pt", ".ckpt", ".h5", ".keras", ".msgpack", ".onnx", ".gguf"}
SUFFIXES = {".npz": NPZ, ".safetensors": SAFETENSORS}  # by its suffix, as what a file of no known kind is read


@dataclass(frozen=True)
class Tensor:
    """An array that is there, and can be read."""

    shape: tuple
    read: Callable  # () -> array of float32 or float64


@contextmanager
def open_tensors(path):
    """{name: Tensor} of a file, or of all shards, which must stay open as long as they are read.

    Raises
    ------
    CheckpointError
        If there is no such file, it is of another kind, or what it says of itself cannot be true.
    """
    path = weights_file(path)
    with ExitStack() as stack:
        if parts := shards.parts(path):
            opened = {part: stack.enter_context(_opened(ordinary(part))) for part in parts}
            yield shards.joined(path, opened)
        else:
            yield stack.enter_context(_opened(path))


@contextmanager
def _opened(path):
    """{name: Tensor} of one file, by what is in it."""
    kind = _kind(path)
    if kind is NPZ:
        with npz.opened(path, EXPECTED) as archive:
            found = npz.entries(path, archive, compressed=True)
            yield {name: _npz_tensor(path, archive, entry, name) for name, entry in found.items()}
    elif kind is SAFETENSORS:
        yield {name: Tensor(shape, read) for name, (shape, read) in safetensors.read(path).items()}
    elif kind is TORCH:
        with torchfile.opened(path) as found:
            yield {name: Tensor(shape, read) for name, (shape, read) in found.items()}
    else:
        raise CheckpointError(kind.refusal(path, EXPECTED))


def _kind(path):
    """The Kind of an ordinary file; of no known kind, the one that its suffix says, whose reader says what is wrong."""
    try:
        kind = recognise(path)
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from None
    return SUFFIXES.get(path.suffix, kind) if kind is UNKNOWN else kind


def weights_file(path):
    """The file meant by a path: itself, the first of FILES in a folder, or the index of a shard."""
    return found_weights(path)[0]


def found_weights(path):
    """The file meant by a path, and notes on the choice, sentences."""
    path, notes = Path(path), []
    if os.path.isdir(path):
        there = [name for name in FILES if os.path.exists(path / name)]
        if not there:
            raise CheckpointError(f"no {FILES[0]} in {path}{_found_instead(path)}: expected {EXPECTED}")
        path = path / there[0]
        if len(there) > 1:
            notes.append(f"{there[0]} is read, not {' or '.join(there[1:])} beside it")
    path, more = shards.whole(ordinary(path))
    return path, notes + more


def ordinary(path):
    """The path, once it is known that an ordinary file is there."""
    try:
        os.stat(path)
    except FileNotFoundError:
        raise CheckpointError(f"no file at {path}: expected {EXPECTED}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"cannot read {path}: {first_line(error)}; expected {EXPECTED}") from None
    if not path.is_file():  # a pipe would be waited for
        raise CheckpointError(f"{path} is no ordinary file: expected {EXPECTED}")
    return path


def named_like_weights(folder):
    """Names of files in a folder whose endings are those of weights, ours or another library's."""
    try:
        return sorted(name for name in os.listdir(folder) if Path(name).suffix in ENDINGS)
    except OSError:
        return []


def _found_instead(folder):
    """What a folder without FILES has in their place, for an error."""
    names = named_like_weights(folder)
    return f", which holds {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}: name the file" if names else ""


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
