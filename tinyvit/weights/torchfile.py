"""PyTorch's files (.pth, .pt, .bin), read without PyTorch.

    NAME/data.pkl      a pickle of dictionaries, in which a tensor is a place in a storage, its shape and its strides
    NAME/data/0, ...   the storages: plain numbers, each in an entry of its own that is not compressed
    NAME/byteorder     "little" or "big"

All in one zip archive, as `torch.save` writes it since version 1.6. The pickle is read as data (tinyvit.pickles), and
the storages are mapped into memory, not copied. So every number in the pickle is checked against the archive first.
"""

import functools
import math
import re
import zipfile
import zlib
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinyvit import npz
from tinyvit.errors import CheckpointError, first_line
from tinyvit.pickles import LARGEST, Record, Refused, keyed, read_pickle
from tinyvit.weights.safetensors import MOST_AXES, SIZES, STORED, check_supported, floats

EXPECTED = "a file of tensors, as PyTorch saves it"
DEEPEST = 8  # dictionaries in each other
LONGEST_KEY = 300  # characters that are kept of a key
ENCRYPTED = 1  # the flag of an entry
MOST_ITEMS = 200_000  # in all dictionaries together
LOCAL = 30  # bytes of an entry's own header, before its name
MOST_SHARED = 8  # how often the numbers of a file may be used, on average


class Storage(NamedTuple):
    """Numbers in an entry of the archive."""

    kind: str  # of the numbers, a key of WIDTHS; "" if the tensor says it
    key: str  # the name of the entry
    size: int  # how many numbers


class Strided(NamedTuple):
    """A tensor: the storage's numbers at offset + i stride[0] + j stride[1] ..."""

    kind: str
    storage: Storage
    offset: int
    shape: tuple
    strides: tuple


def _tensor(storage, offset, shape, strides, learns=False, hooks=(), bits=None):
    return _tensor_of_type(storage, offset, shape, strides, learns, hooks, storage.kind, bits)


def _tensor_of_type(storage, offset, shape, strides, learns, hooks, kind, bits=None):
    if bits:  # negated or conjugated only when it is read
        raise Refused("it has a tensor that is a lazy view of another: save it with .resolve_neg().resolve_conj()")
    return Strided(kind, storage, offset, shape, strides)


def _storage(pid):
    word, kind, key, _, count = pid
    if word != "storage" or type(key) is not str or type(kind) is not str:
        raise TypeError("what lies elsewhere is no storage")
    return Storage(kind, key, count)


WIDTHS = SIZES | {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}  # bytes of a number
WIDTHS |= {"complex64": 8, "complex128": 16, "complex32": 4, "uint16": 2, "uint32": 4, "uint64": 8}
WIDTHS |= dict.fromkeys(("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu"), 1)
KINDS = {"Double": "F64", "Float": "F32", "Half": "F16", "BFloat16": "BF16", "Long": "I64", "Int": "I32"}
KINDS |= {"Short": "I16", "Char": "I8", "Byte": "U8", "Bool": "BOOL"}
KINDS |= {"ComplexFloat": "complex64", "ComplexDouble": "complex128"}
TYPES = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "uint8": "U8", "bool": "BOOL"}
TYPES |= {f"int{8 * size}": f"I{8 * size}" for size in (1, 2, 4, 8)} | {name: name for name in WIDTHS if name.islower()}
BESIDE = ["torch.device", "torch.Size", "argparse.Namespace", "collections.Counter", "_codecs.encode"]  # not tensors
BESIDE += ["numpy.dtype", "numpy.ndarray", "pathlib.PosixPath", "pathlib.WindowsPath"]
BESIDE += [f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")]
BESIDE += [f"{home}.{name}" for home in ("builtins", "__builtin__") for name in ("set", "list", "dict", "int", "float")]
NAMES = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_parameter": lambda tensor, *rest: tensor,
    "torch._utils._rebuild_parameter_with_state": lambda tensor, *rest: tensor,
    "torch._tensor._rebuild_from_type_v2": lambda function, kind, arguments, state: function(*arguments),
    "torch.Tensor": "Tensor",
    "torch.nn.parameter.Parameter": "Parameter",
    "torch.storage.UntypedStorage": "",
    "collections.OrderedDict": lambda pairs=(): keyed(pairs),
    "collections.defaultdict": lambda *rest: {},
    **{f"torch.{name}Storage": kind for name, kind in KINDS.items()},
    **{f"torch.{name}": kind for name, kind in TYPES.items()},
    **dict.fromkeys(BESIDE, Record),
}
TENSORS = "tensors, numbers and texts only; save model.state_dict() alone"


@contextmanager
def opened(path):
    """{name: (shape, function that returns the array)} of a file, which must stay open as long as they are read.

    Names of dictionaries in dictionaries are joined by dots. Arrays of float32 and float64 are views into the file
    where they lie there row by row; others are copies.

    Raises
    ------
    CheckpointError
        If the file is damaged, asks for anything but tensors, or says of one what cannot be true.
    """
    with npz.opened(path, EXPECTED) as archive:
        file = _File(path, archive)
        try:
            found = _flat(read_pickle(file.text("data.pkl", LARGEST), NAMES, _storage, expected=TENSORS))
        except ValueError as error:
            raise CheckpointError(f"{path}: {first_line(error)}") from None
        npz.check_names(path, [name for name, _ in found])
        _check(file, found)
        yield {name: (tensor.shape, functools.partial(_array, file, name, tensor)) for name, tensor in found}


class _File:
    """An archive of PyTorch's, mapped into memory."""

    def __init__(self, path, archive):
        self.path, self.archive, self.data = path, archive, np.memmap(path, mode="r")
        self.entries = npz.entries(path, archive, compressed=True)
        roots = [name.removesuffix("data.pkl") for name in self.entries if re.fullmatch("[^/]+/data.pkl", name)]
        if len(roots) != 1:
            raise CheckpointError(f"{path} has {len(roots)} entries NAME/data.pkl, expected one")
        self.root = roots[0]
        self.read = {}  # {name: bytes} of the entries that were: each is checked once, and unpacked once
        order = self.text("byteorder", 9) if self.entry("byteorder") else b"little"
        if order not in (b"little", b"big"):
            raise CheckpointError(f"{path}: its byteorder is {order!a}, expected little or big")
        self.order = {b"little": "<", b"big": ">"}[order]

    def entry(self, name):
        """What the archive says of an entry; None if there is no such entry."""
        return self.entries.get(self.root + name)

    def text(self, name, longest):
        """A short entry's bytes."""
        size = self.entry(name).file_size
        if size > longest:
            raise CheckpointError(f"{self.path}: {self.root}{name} has {size} bytes, expected at most {longest}")
        return self.bytes(name).tobytes()

    def bytes(self, name):
        """The bytes of an entry, as uint8: read-only, and in the file itself if it is not compressed."""
        if name not in self.read:
            self.read[name] = self._bytes(self.entry(name), name)
        return self.read[name]

    def _bytes(self, entry, name):
        if entry.compress_type != zipfile.ZIP_STORED:
            return npz.unpacked(self.path, self.archive, entry, name)
        begin = entry.header_offset + LOCAL
        header = self.data[entry.header_offset : begin].tobytes()
        begin += int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        end = begin + entry.file_size
        if entry.flag_bits & ENCRYPTED or header[:4] != b"PK\x03\x04" or end > len(self.data):
            raise CheckpointError(f"{self.path}: the entry {self.root}{name} is damaged or encrypted; copy it again")
        found = self.data[begin:end]
        if entry.CRC and zlib.crc32(found) != entry.CRC:  # PyTorch can be told not to write it
            raise CheckpointError(f"{self.path}: the entry {self.root}{name} has changed since it was written")
        return found


def _flat(content):
    """[(name, tensor)] of dictionaries in dictionaries, in their order; whatever else is in them is left out.

    Raises
    ------
    ValueError
        If they hold more than any model does, as a dictionary in itself would.
    """
    found, waiting, count = [], [("", content, 0)], 0
    while waiting:
        name, item, depth = waiting.pop()
        if isinstance(item, Strided):
            found.append((name, item))
        elif isinstance(item, dict) and depth < DEEPEST:
            count += len(item)
            if count > MOST_ITEMS:
                raise ValueError(f"its dictionaries hold more than {MOST_ITEMS} things")
            named = [(str(key)[:LONGEST_KEY], x) for key, x in item.items() if isinstance(key, str | int)]
            inner = [(f"{name}.{key}" if name else key, x, depth + 1) for key, x in named]
            waiting += reversed(inner)
    return found


def _check(file, found):
    """Raise CheckpointError unless every tensor lies within its storage, and has its numbers for itself."""
    total = 0
    for name, tensor in found:
        what = f"{file.path}: {name}"
        if not _is_sound(tensor):
            raise CheckpointError(f"{what} has no storage, shape and strides that can be read; the file is damaged")
        storage, width = tensor.storage, WIDTHS[tensor.kind]
        entry = file.entry(f"data/{storage.key}")
        if entry is None:
            where = f"{file.root}data/{storage.key}"[: npz.LONGEST_NAME]
            raise CheckpointError(f"{what} lies in {where!a}, which is not there; copy it again")
        size = storage.size * WIDTHS.get(storage.kind, 1)  # a storage without a kind is of bytes
        if entry.file_size != size or size % width:
            raise CheckpointError(
                f"{what} lies in a storage of {entry.file_size} bytes, expected {size}; copy it again"
            )
        count, room = math.prod(tensor.shape), size // width
        last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True))
        if count and (last >= room or count > room):
            form = f"{list(tensor.shape)} with strides {list(tensor.strides)} from {tensor.offset}"
            raise CheckpointError(f"{what} is {form} in a storage of {room} numbers; the file is damaged")
        total += count * width
    if total > MOST_SHARED * len(file.data):
        raise CheckpointError(
            f"{file.path} has {total} bytes of tensors, expected at most {MOST_SHARED} times its size"
        )


def _is_sound(tensor):
    """Whether what the pickle says of a tensor is of the types that it should be."""
    storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
    if not isinstance(storage, Storage) or type(tensor.kind) is not str or tensor.kind not in WIDTHS:
        return False
    if type(shape) is not tuple or type(strides) is not tuple or not len(shape) == len(strides) <= MOST_AXES:
        return False
    numbers = (storage.size, tensor.offset, *shape, *strides)
    return all(type(number) is int and 0 <= number < 2**63 for number in numbers)


def _array(file, name, tensor):
    """The numbers of a tensor, row by row."""
    check_supported(file.path, name, tensor.kind)
    width = SIZES[tensor.kind]
    numbers = file.bytes(f"data/{tensor.storage.key}").view(np.dtype(STORED[tensor.kind]).newbyteorder(file.order))
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, np.float32)
    strides = [width * step for step in tensor.strides]
    array = floats(as_strided(numbers[tensor.offset :], tensor.shape, strides, writeable=False), tensor.kind)
    npz.check_finite(file.path, name, array)
    return array
