"""tinyvit's own checkpoints: an .npz file that holds a model's configuration and its parameters by name.

Nothing in it depends on the time, the machine or who wrote it: the same model gives the same bytes. Nothing in a file
is believed before it is checked: names, shapes and dtypes are compared with what the configuration implies, from the
headers alone, before any array is read.
"""

import dataclasses
import json
import zipfile
import zlib

import numpy as np

from tinyvit import trees
from tinyvit.arrays import to_host
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.files import replacing
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit_init

FORMAT = 1
LONGEST_DESCRIPTION = 65_536  # bytes; ours have a few hundred
TRAINING = "training/"  # what a run needs to go on, beside the model
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a zip entry can bear


def save(path, p, config, *, training=None):
    """Write a checkpoint; the file that was there stays whole until the new one is.

    Parameters
    ----------
    path : str or Path
        Ends in .npz, by custom.
    p : tree
        Parameters, on any device.
    config : ViTConfig
    training : {name: array}, optional
        State of a training run, kept under `training/`.

    Raises
    ------
    CheckpointError
        If the file cannot be written.
    """
    arrays = trees.named(to_host(p)) | {TRAINING + name: to_host(a) for name, a in (training or {}).items()}
    description = json.dumps({"format": FORMAT, "config": dataclasses.asdict(config)}, sort_keys=True)
    arrays = {"config": np.frombuffer(description.encode(), np.uint8)} | arrays
    try:
        with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
            for name, array in arrays.items():
                with archive.open(zipfile.ZipInfo(f"{name}.npy", EPOCH), "w", force_zip64=True) as entry:
                    np.lib.format.write_array(entry, np.asarray(array, order="C"), allow_pickle=False)
    except OSError as error:
        raise CheckpointError(
            f"cannot write {path}: {error.strerror or error}; free some space or choose another folder"
        ) from None


def load(path):
    """Read a model: `p, config = tinyvit.load(path)`.

    Raises
    ------
    CheckpointError
        If there is no such file, or it is damaged or not a checkpoint: which array, what was found, what was expected.
    """
    p, config, _ = load_training(path, {})
    return p, config


def load_training(path, like):
    """Read a model and the state of its training.

    Parameters
    ----------
    path : str or Path
    like : {name: (shape, dtype)}, or a function of the configuration that returns one
        The training state expected; {} reads none.

    Returns
    -------
    p, config, {name: array}
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(path, archive, like)
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}: expected an .npz file that tinyvit wrote") from None
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{path} is damaged or no checkpoint: {error}; expected an .npz file that tinyvit wrote"
        ) from None
    except (OSError, EOFError, zlib.error, NotImplementedError, RuntimeError, ValueError) as error:
        raise CheckpointError(
            f"cannot read {path}: {error}; the file is damaged, copy it again or use an earlier one"
        ) from None


def _read(path, archive, like):
    size = path_size(archive)
    entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    for name, info in entries.items():
        if info.compress_type != zipfile.ZIP_STORED or info.file_size > size:
            raise CheckpointError(
                f"{path}: {name} declares {info.file_size} bytes in a file of {size}: expected less, uncompressed"
            )
    config = _read_config(path, archive, entries)
    expected = {name: (leaf.shape, None) for name, leaf in trees.walk(vit_init(None, config))}
    state = like(config) if callable(like) else like
    expected |= {TRAINING + name: value for name, value in state.items()}
    _check_names(path, entries, expected)
    first = next(iter(expected))
    dtype = _header(path, archive, entries, first)[1]
    if dtype not in (np.float32, np.float64):
        raise CheckpointError(f"{path}: {first} has dtype {dtype}, expected float32 or float64")
    wanted = {name: (shape, np.dtype(kind or dtype)) for name, (shape, kind) in expected.items()}
    for name, form in wanted.items():
        if (found := _header(path, archive, entries, name)) != form:
            raise CheckpointError(f"{path}: {name} is {_form(*found)}, expected {_form(*form)}")
    arrays = {name: _array(path, archive, entries, name) for name in wanted}
    p = trees.from_names(arrays, like=vit_init(None, config))
    return p, config, {name: arrays[TRAINING + name] for name in state}


def path_size(archive):
    """Bytes in the archive's file."""
    archive.fp.seek(0, 2)
    return archive.fp.tell()


def _read_config(path, archive, entries):
    """The configuration in a checkpoint, itself checked: everything else is judged by it."""
    problem = "has no configuration"
    if "config" in entries and entries["config"].file_size <= LONGEST_DESCRIPTION:
        shape, dtype = _header(path, archive, entries, "config")
        if dtype == np.uint8 and len(shape) == 1 and shape[0] <= LONGEST_DESCRIPTION:
            try:
                description = json.loads(_array(path, archive, entries, "config").tobytes())
                if description["format"] == FORMAT:
                    return ViTConfig.from_dict(description["config"])
                problem = f"has format {description['format']!r}, expected {FORMAT}"
            except (ValueError, KeyError, TypeError, UsageError) as error:
                problem = f"has a configuration that cannot be read ({error})"
    raise CheckpointError(f"{path} {problem}: expected an .npz file that this version of tinyvit wrote")


def _check_names(path, entries, expected):
    missing = [name for name in expected if name not in entries]
    if missing:
        raise CheckpointError(f"{path}: {missing[0]} is missing ({len(missing)} of {len(expected)} arrays are)")
    unknown = [name for name in entries if name not in expected and name != "config" and not name.startswith(TRAINING)]
    if unknown:
        raise CheckpointError(f"{path}: {unknown[0]} does not belong to its configuration ({len(unknown)} such arrays)")


def _header(path, archive, entries, name):
    """Shape and dtype of an entry, from its header."""
    with archive.open(entries[name]) as file:
        return _read_header(path, file, name)


def _read_header(path, file, name):
    try:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}[version]
        shape, fortran_order, dtype = read(file)
        if fortran_order and len(shape) > 1:
            raise ValueError("its columns come first")
    except zipfile.BadZipFile:
        raise
    except Exception as error:  # NumPy parses headers with Python's own tokenizer, which fails in half a dozen ways
        raise CheckpointError(f"{path}: {name} is no array as tinyvit writes them: {_first_line(error)}") from None
    return shape, dtype


def _array(path, archive, entries, name):
    """An entry whose header has been checked, read into memory, every number of it finite."""
    with archive.open(entries[name]) as file:
        shape, dtype = _read_header(path, file, name)
        data = file.read()
    if len(data) != np.prod(shape, dtype=object) * dtype.itemsize:
        raise CheckpointError(f"{path}: {name} holds {len(data)} bytes, expected {_form(shape, dtype)}")
    array = np.frombuffer(bytearray(data), dtype).reshape(shape)
    if dtype.kind == "f" and not np.isfinite(array).all():
        where = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
        raise CheckpointError(f"{path}: {name} holds {array[tuple(where)]} at {where}, expected finite numbers")
    return array


def _first_line(error):
    return str(error).partition("\n")[0] or type(error).__name__


def _form(shape, dtype):
    return f"{dtype} {list(shape)}"
