"""Files as torch.save writes them, made without PyTorch: and what PyTorch never writes, in every part of one."""

import struct
import zipfile
from typing import NamedTuple

import numpy as np

TYPES = {"f8": "Double", "f4": "Float", "f2": "Half", "i8": "Long", "u1": "Byte", "b1": "Bool"}


class Name(NamedTuple):
    """What the pickle asks for: a class or a function of a module."""

    module: str
    name: str


class Call(NamedTuple):
    """A name and the arguments that it is to be called with."""

    function: object
    arguments: tuple


class Made(NamedTuple):
    """An object and the state that it is to have."""

    made: object
    state: object


class Stored(NamedTuple):
    """A tensor: where its numbers lie. The storage is an entry, "data/KEY", of so many numbers."""

    key: object
    count: object
    kind: object = "Float"
    offset: object = 0
    shape: object = ()
    strides: object = ()
    more: tuple = ()  # further arguments


ORDERED = Call(Name("collections", "OrderedDict"), ())
TENSOR = Name("torch._utils", "_rebuild_tensor_v2")


def pickled(content):
    """The pickle of a content in protocol 2, as bytes."""
    return b"\x80\x02" + code(content) + b"."


def code(x):
    """The instructions that make a thing."""
    if isinstance(x, bytes):  # instructions already
        return x
    if x is None or isinstance(x, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[x]
    if isinstance(x, int):
        if 0 <= x < 2**31:
            return b"J" + struct.pack("<i", x)
        data = x.to_bytes(x.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data
    if isinstance(x, float):
        return b"G" + struct.pack(">d", x)
    if isinstance(x, str):
        data = x.encode()
        return b"X" + struct.pack("<I", len(data)) + data
    if isinstance(x, Name):
        return f"c{x.module}\n{x.name}\n".encode()
    if isinstance(x, Call):
        return code(x.function) + code(x.arguments) + b"R"
    if isinstance(x, Made):
        return code(x.made) + code(x.state) + b"b"
    if isinstance(x, Stored):
        kind = Name("torch", f"{x.kind}Storage") if isinstance(x.kind, str) else x.kind
        storage = code(("storage", kind, x.key, "cpu", x.count)) + b"Q"
        return code(Call(TENSOR, (storage, x.offset, x.shape, x.strides, False, ORDERED, *x.more)))
    if isinstance(x, tuple):
        return b"(" + b"".join(map(code, x)) + b"t"
    if isinstance(x, list):
        return b"](" + b"".join(map(code, x)) + b"e"
    return b"}(" + b"".join(code(key) + code(value) for key, value in x.items()) + b"u"


def stored(content, storages, order="<"):
    """The content with every array as a tensor whose numbers are in `storages`, which is filled."""
    if isinstance(content, dict):
        return {key: stored(x, storages, order) for key, x in content.items()}
    if not isinstance(content, np.ndarray):
        return content
    key, kind = str(len(storages)), TYPES[content.dtype.str[1:]]
    storages[key] = content.astype(content.dtype.newbyteorder(order)).tobytes()
    strides = [step // content.itemsize for step in np.empty(content.shape, content.dtype).strides]
    return Stored(key, content.size, kind, 0, content.shape, tuple(strides))


def save_torch(path, content, storages=None, *, root="archive", compression=zipfile.ZIP_STORED, extra=None, order=None):
    """Write a file; arrays in the content, which may be pickled already, get storages of their own.

    Parameters
    ----------
    path, content
    storages : {key: bytes}, optional
    root : str, the folder in the archive
    compression : of zipfile
    extra : {name: bytes} of further entries, optional
    order : "little" or "big", optional
    """
    storages = dict(storages or {})
    content = stored(content, storages, ">" if order == "big" else "<")
    entries = {"data.pkl": content if isinstance(content, bytes) else pickled(content)}
    entries |= {"byteorder": order.encode()} if order else {}
    entries |= {f"data/{key}": data for key, data in storages.items()} | {"version": b"3\n"} | (extra or {})
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in entries.items():
            archive.writestr(f"{root}/{name}", data)
