"""Honest files as bytes: archives, arrays and idx files."""

import io
import struct
import zipfile

import numpy as np

EPOCH = (1980, 1, 1, 0, 0, 0)


def zipped(parts, compression=zipfile.ZIP_STORED):
    """The bytes of an archive of these entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in parts.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), data, compression)  # no date: the same bytes every time
    return file.getvalue()


def npy(array):
    """The bytes of an .npy file."""
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def idx(array):
    """The bytes of an idx file."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()
