"""The files of weights: an honest one of each kind, for a Forger to damage, and how it is read."""

import dataclasses
import functools
import tempfile
import zipfile

import numpy as np

from tests.reference.compare import cast, random_vit
from tests.reference.torch_files import pickled, stored
from tests.reliability.packing import npy, zipped
from tinyvit.models.config import ViTConfig
from tinyvit.training.checkpoint import load, save
from tinyvit.weights.load import load_weights
from tinyvit.weights.naming import written
from tinyvit.weights.sources import SOURCES

TINY = ViTConfig(image=4, channels=3, patch=2, dim=4, depth=1, heads=2, mlp_dim=8, classes=3)


def checkpoint(forger):
    with tempfile.TemporaryDirectory() as folder:
        save(f"{folder}/model.npz", cast(random_vit(TINY), np.float32), TINY)
        with zipfile.ZipFile(f"{folder}/model.npz") as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
    described = {"format": 1, "model": "vit", "config": dataclasses.asdict(TINY)}
    text = np.frombuffer(forger.json(described), np.uint8)
    return {"model.npz": forger(zipped(forger.one_of(parts | {"config.npy": npy(text)})))}


def google(forger):
    entries = {f"{name}.npy": npy(array) for name, array in arrays("google").items()}
    return {"model.npz": forger(zipped(forger.one_of(entries), zipfile.ZIP_DEFLATED))}


def safetensors(entries, forger):
    """A .safetensors file's bytes."""
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name, array in entries.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    text = forger(forger.json(header))
    return forger(len(text).to_bytes(8, "little") + text + data)


def huggingface(forger):
    config = {"num_attention_heads": 2, "layer_norm_eps": 1e-12, "hidden_act": "gelu", "model_type": "vit"}
    config |= {"id2label": {"0": "a", "1": "b", "2": "c"}, "image_size": 4, "hidden_size": 4, "patch_size": 2}
    prepared = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2, "size": {"height": 4, "width": 4}}
    files = {"config.json": forger(forger.json(config)), "preprocessor_config.json": forger(forger.json(prepared))}
    return {"model.safetensors": safetensors(arrays("huggingface"), forger)} | files


def sharded(forger):
    names, files = sorted(arrays("huggingface")), {}
    parts = {f"model-0000{k}-of-00002.safetensors": names[k - 1 :: 2] for k in (1, 2)}
    for file, part in parts.items():
        files[file] = safetensors({name: arrays("huggingface")[name] for name in part}, forger)
    index = {"metadata": {}, "weight_map": {name: file for file, part in parts.items() for name in part}}
    return files | {"model.safetensors.index.json": forger(forger.json(index))}


def torch(forger):
    storages = {}
    text = forger(pickled(stored({"model": arrays("huggingface"), "epoch": 3}, storages)))
    parts = {f"archive/data/{key}": data for key, data in storages.items()}
    parts |= {"archive/data.pkl": text, "archive/byteorder": b"little", "archive/version": b"3\n"}
    return {"model.pth": forger(zipped(forger.one_of(parts)))}


def timm(forger):
    prepared = {
        "mean": [0.5] * 3,
        "std": [0.5] * 3,
        "interpolation": "bicubic",
        "crop_pct": 0.9,
        "input_size": [3, 4, 4],
    }
    config = {"num_classes": 3, "global_pool": "token", "pretrained_cfg": prepared}
    config |= {"num_features": 4, "label_names": ["a", "b", "c"], "label_descriptions": {"a": "x"}}
    weights = safetensors(arrays("timm"), forger)
    return {"model.safetensors": weights, "config.json": forger(forger.json(config))}


@functools.cache
def arrays(source):
    """The arrays of TINY under a source's names."""
    return written(cast(random_vit(TINY), np.float32), SOURCES[source], TINY)


def read_weights(folder):
    path = next((path for path in folder.iterdir() if path.suffix in (".npz", ".pth")), folder)
    load_weights(path, heads=2)


def read_checkpoint(folder):
    load(folder / "model.npz")
