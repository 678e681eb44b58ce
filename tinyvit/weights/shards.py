"""A model in several files: its shards, and the index that names the shard of each array.

    model.safetensors.index.json        {"weight_map": {"name": "model-00001-of-00002.safetensors", ...}, ...}
    model-00001-of-00002.safetensors    one shard

PyTorch's files are divided in the same way: pytorch_model.bin.index.json, pytorch_model-00001-of-00002.bin. Without an
index, the shards' own names say how many there are.
"""

import re

from tinyvit import json_files
from tinyvit.errors import CheckpointError
from tinyvit.npz import LONGEST_NAME, check_names

NAME = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.[a-z]+)")
MOST = 1000  # shards


def whole(path):
    """What stands for all shards, where the path is one of them: the index that names it; and notes, sentences."""
    if not (match := NAME.fullmatch(path.name)):
        return path, []
    index = path.with_name(f"{match[1]}{match[4]}.index.json")
    named = index.is_file() and path.name in _map(index).values()
    return (index if named else path), [f"{path.name} is one of {int(match[3])} shards: all are read"]


def parts(path):
    """The shards, where the path is an index or one of them; otherwise none.

    Raises
    ------
    CheckpointError
        If an index names no shards, or a file that does not lie beside it.
    """
    if path.name.endswith(".index.json"):
        names = sorted(set(_map(path).values()))
    elif match := NAME.fullmatch(path.name):
        count = int(match[3])
        names = [f"{match[1]}-{k:05d}-of-{match[3]}{match[4]}" for k in range(1, min(count, MOST + 1) + 1)]
    else:
        return []
    if len(names) > MOST:
        raise CheckpointError(f"{path} is of more than {MOST} shards, expected fewer")
    files = [path.with_name(name) for name in names]
    if missing := [file.name for file in files if not file.exists()]:
        more = f" ({len(missing)} of {len(files)} shards are missing)"
        raise CheckpointError(f"{path}: the shard {missing[0]} is not beside it{more}: fetch it as well")
    return files


def joined(path, opened):
    """The tensors of all shards in one dictionary.

    Parameters
    ----------
    path : of the index or of a shard
    opened : {path of a shard: its tensors by name}

    Raises
    ------
    CheckpointError
        If an array is in two shards, or not in the one that the index names.
    """
    names = [name for tensors in opened.values() for name in tensors]
    check_names(path, names)
    if path.name.endswith(".index.json"):
        for name, shard in _map(path).items():
            if name not in opened[path.with_name(shard)]:
                raise CheckpointError(f"{path}: {name} is not in {shard}, expected it there; copy both files again")
    return {name: tensor for tensors in opened.values() for name, tensor in tensors.items()}


def _map(path):
    """{name: name of its shard} of an index."""
    described = json_files.read(path)
    found = described.get("weight_map") if isinstance(described, dict) else None
    if not isinstance(found, dict) or not found:
        raise CheckpointError(f"{path} has no weight_map, expected one that names the shard of each array")
    for shard in found.values():
        if not isinstance(shard, str) or not re.fullmatch(rf"[\w.-]{{1,{LONGEST_NAME}}}", shard) or set(shard) == {"."}:
            raise CheckpointError(f"{path} names {str(shard)[:LONGEST_NAME]!a}, expected a file beside it")
    return found
