"""Arrays that several processes see.

The memory has no name in any file system, so nothing is left behind, whoever is killed: it goes when the last process
that holds it ends.
"""

import math
import mmap
import os
import secrets
import tempfile

import numpy as np

ALIGNMENT = 64  # bytes: a line of the cache, so that two workers never write to the same one at an array's border


class SharedMemory:
    """A block of memory, and the handle by which a child process opens it.

    Raises
    ------
    OSError
        If the system refuses. Linux and macOS do not: they grant more than there is.
    """

    def __init__(self, size):
        self.descriptors = ()
        if os.name == "nt":
            self.handle = f"tinyvit-{secrets.token_hex(16)}"
            self.buffer = mmap.mmap(-1, size, tagname=self.handle)
            return
        self.handle = _nameless_file(size)
        self.descriptors = (self.handle,)
        try:
            self.buffer = mmap.mmap(self.handle, size)
        except BaseException:
            self.close()
            raise

    def close(self):
        """Let go of the descriptors that children inherit; the memory stays as long as it is used."""
        while self.descriptors:
            os.close(self.descriptors[0])
            self.descriptors = self.descriptors[1:]


def _nameless_file(size):
    """A descriptor of a file in memory where there are such (Linux), else of a temporary file without a name."""
    with open(os.memfd_create("tinyvit"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile() as file:
        file.truncate(size)
        return os.dup(file.fileno())


def open_memory(handle, size):
    """The buffer of a parent's SharedMemory, in a child process."""
    if os.name == "nt":
        return mmap.mmap(-1, size, tagname=handle)
    buffer = mmap.mmap(handle, size)
    os.close(handle)
    return buffer


def size_of(shapes):
    """The bytes that arrays of {name: (shape, dtype)} take side by side."""
    return sum(_padded(shape, dtype) for shape, dtype in shapes.values())


def arrays_in(buffer, shapes):
    """Arrays of {name: (shape, dtype)}, side by side in a buffer."""
    arrays, start = {}, 0
    for name, (shape, dtype) in shapes.items():
        arrays[name] = np.frombuffer(buffer, dtype, math.prod(shape), start).reshape(shape)
        start += _padded(shape, dtype)
    return arrays


def _padded(shape, dtype):
    size = math.prod(shape) * np.dtype(dtype).itemsize
    return -(-size // ALIGNMENT) * ALIGNMENT
