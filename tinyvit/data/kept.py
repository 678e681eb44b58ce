"""Pictures that were read once, kept as one array of bytes in the user's cache folder.

A file is NumPy's own format, which can be memory-mapped, with one more array behind the first:

    images       uint8 [N, size, size, 3]   those for training, then those for testing
    description  uint8 [...]                JSON: their classes and how many there are of each

Its name holds two digests: of where the pictures lie and how they are prepared, and of their names, sizes and dates. So
a change gives another file, and the old one is removed.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from tinyvit import json_files
from tinyvit.files import replacing

VERSION = 1  # of the file, and of how a picture is prepared
DIGITS = 16  # of each digest, in hexadecimal


def kept_path(source, size, state):
    """Where the images of a folder or archive are kept.

    Parameters
    ----------
    source : Path of the folder or archive
    size : int, side of the images in pixels
    state : what JSON can write; it changes with the names, sizes and dates of the pictures
    """
    import pooch

    place, state = (_digest(what) for what in ([str(source.resolve()), size, VERSION], state))
    return Path(pooch.os_cache("tinyvit")) / "pictures" / f"{place}-{state}.npy"


def load(path, size):
    """(images, description) as they were kept, the images memory-mapped; None if there are none.

    A file that is cut short, or is anything else, counts as none. The images' own bytes are not looked at: that would
    be to read them all.
    """
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
        with open(path, "rb") as file:
            file.seek(images.offset + images.nbytes)
            description = json_files.parse(np.load(file, allow_pickle=False).tobytes())
            complete = not file.read(1)
        counted = sum(map(sum, description["counts"]))
        lengths = [len(part) for part in description["counts"]]
        complete = complete and lengths == 2 * [len(description["class_names"])]
        fit = images.dtype == np.uint8 and images.shape == (counted, size, size, 3)
        return (images, description) if complete and fit else None
    except Exception:  # NumPy reads headers with Python's own tokenizer, which fails in half a dozen ways
        return None


def save(path, size, blocks, describe):
    """Keep images; `path` appears once all are on the disk, and replaces what was kept of the same pictures before.

    Parameters
    ----------
    path : Path
    size : int, side of the images in pixels
    blocks : iterable of uint8 [B, size, size, 3]
    describe : function that returns the description; it is called once the blocks are through

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    own = path.with_name(f"{path.stem}.{os.getpid()}.npy")  # two processes may be at it at once
    with replacing(own) as file:
        count = 0
        _header(file, count, size)
        for block in blocks:
            file.write(block)
            count += len(block)
        np.save(file, np.frombuffer(json.dumps(describe()).encode(), np.uint8), allow_pickle=False)
        file.seek(0)
        _header(file, count, size)  # as long as before: NumPy leaves room for the number
    os.replace(own, path)
    for old in set(path.parent.glob(f"{path.name[:DIGITS]}-*.npy")) - {path}:
        with suppress(OSError):  # Windows keeps a file that another process has mapped
            old.unlink()


def _header(file, count, size):
    shape = (count, size, size, 3)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _digest(what):
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:DIGITS]
