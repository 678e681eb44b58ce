"""Files that say what is not so, and what is to become of them: refused in one line, before memory is spent."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from tinyvit.errors import CheckpointError

LITTLE = 20_000_000  # bytes


def npy(shape, descr="<f4", fortran_order=False, data=b""):
    """The bytes of an .npy file whose header says whatever it likes."""
    file = io.BytesIO()
    header = {"descr": descr, "fortran_order": fortran_order, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


def write_zip(path, entries, compression=zipfile.ZIP_STORED):
    """A zip file with these entries: bytes, or arrays as .npy."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, entry in entries.items():
            if not isinstance(entry, bytes):
                file = io.BytesIO()
                np.lib.format.write_array(file, entry)
                entry = file.getvalue()
            archive.writestr(f"{name}.npy", entry)


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def refused_in_one_line(read, path, *words, error=CheckpointError, little=LITTLE):
    """`read()` raises this error, or one of these, in one line with the path and the words, and takes little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(error) as caught:
            read()
        assert tracemalloc.get_traced_memory()[1] < little, "memory was spent on a bad file"
    finally:
        tracemalloc.stop()
    line = str(caught.value)
    assert "\n" not in line and str(path) in line and len(line) < 1000, line
    for word in words:
        assert word in line, f"{word!r} is not in: {line}"
