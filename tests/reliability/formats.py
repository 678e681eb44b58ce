"""Every format that the program reads: how an honest file of it is made and damaged, and how it is read."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from tests.reliability import data_files as data
from tests.reliability import run_files as runs
from tests.reliability import weight_files as weights

DECODED = 1000  # MB: a picture takes at most 805 to decode, and 201 as it is read


class Format(NamedTuple):
    """A format.

    make   make(forger) -> {name: bytes}, the files of a folder
    read   read(folder), as a user would
    most   MB of memory that no file may exceed
    """

    make: Callable
    read: Callable
    most: int = 300


def pictures(form, *kinds):
    """A format of one picture: of one of these kinds, which are options for saving it."""
    return Format(partial(data.picture_of, form, kinds), data.read_pictures, DECODED)


JPEGS = ({}, {"progressive": True}, {"mode": "CMYK"}, {"mode": "L"})
TIFFS = ({}, {"compression": "tiff_lzw"}, {"compression": "jpeg"}, {"compression": "packbits"}, {"mode": "F"})
FORMATS = {
    "a run's config.json": Format(runs.config, runs.read_config),
    "history.jsonl": Format(runs.history, runs.read_history),
    "metrics.json": Format(runs.metrics, runs.read_metrics),
    "a lab's results.jsonl": Format(runs.results, runs.read_results),
    "checkpoint (.npz)": Format(weights.checkpoint, weights.read_checkpoint),
    "Google's weights (.npz)": Format(weights.google, weights.read_weights),
    "Hugging Face's weights (.safetensors, .json)": Format(weights.huggingface, weights.read_weights),
    "timm's weights (.safetensors, .json)": Format(weights.timm, weights.read_weights),
    "shards (.safetensors, .index.json)": Format(weights.sharded, weights.read_weights),
    "PyTorch's weights (.pth)": Format(weights.torch, weights.read_weights),
    "PNG": pictures("PNG", *({"mode": mode} for mode in ("RGB", "RGBA", "L", "P", "LA", "1", "I;16"))),
    "JPEG": pictures("JPEG", *JPEGS),
    "GIF": pictures("GIF", {}, {"mode": "L"}),
    "BMP": pictures("BMP", {}, {"mode": "P"}, {"mode": "1"}),
    "TIFF": pictures("TIFF", *TIFFS),
    "WEBP": pictures("WEBP", {}, {"lossless": True}, {"mode": "RGBA"}),
    "PPM": pictures("PPM", {}, {"mode": "L"}),
    "a picture as .npy": Format(data.array, data.read_pictures),
    "MNIST (idx)": Format(data.mnist, data.read_mnist),
    "MNIST (idx.gz)": Format(data.mnist_packed, data.read_mnist),
    "CIFAR-10 (binary)": Format(data.cifar_binary, data.read_cifar),
    "CIFAR-10 (pickled)": Format(data.cifar_python, data.read_cifar),
    "pictures in a .zip": Format(data.archive, data.read_archive, DECODED),
    "pictures that were kept": Format(data.kept_pictures, data.read_kept),
}
