"""What is in the folders that commands write: whole files, apart from how long things took and when."""

import json
import re
from xml.etree import ElementTree

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from tinyvit.files import SIDE
from tinyvit.lab.run import RESULTS
from tinyvit.lock import LOCK


def read(path):
    """What a file says, apart from how long things took and when; an error if it is not whole."""
    form, data = path.suffix, path.read_bytes()
    if form == ".npz":
        with np.load(path) as arrays:
            return {name: (array.dtype, array.shape, array.tobytes()) for name, array in arrays.items()}
    if form == ".json":
        return untimed(json.loads(data))
    if form == ".jsonl":
        lines = [line for line in data.splitlines(keepends=True) if line.endswith(b"\n")]
        records = [untimed(json.loads(line)) for line in lines]
        return sorted(records, key=json.dumps) if path.name == RESULTS else records
    if form == ".png":
        with Image.open(path) as picture:
            picture.load()
    if form == ".svg":
        ElementTree.fromstring(data)
    if form == ".html":
        assert data.rstrip().endswith(b"</html>"), f"{path} is half a page"
    if form == ".safetensors":
        load_file(path)
    if form == ".md":
        return re.sub(rb"\d+ runs, .*\n$", b"", data)
    return data


def untimed(record):
    """A record without seconds and machine, wherever they are."""
    if isinstance(record, dict):
        return {key: untimed(value) for key, value in record.items() if key not in ("seconds", "machine")}
    return record


def contents(folder):
    """{name: what it says} of all files below a folder."""
    return {str(path.relative_to(folder)): read(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def compare(found, expected):
    """Two folders hold the same; says which file does not."""
    assert found.keys() == expected.keys(), f"files: {sorted(found)}, expected {sorted(expected)}"
    for name, value in expected.items():
        assert found[name] == value, f"{name} differs"


def side_files(folder):
    """The files below a folder that are not to stay: those half-written, and locks."""
    return {path for path in folder.rglob("*") if path.name.endswith(SIDE) or path.name == LOCK}
