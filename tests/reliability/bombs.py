"""Small files that ask for much: each a few megabytes at most, and made to take gigabytes, or minutes."""

import gzip
import json
import pickle
import zipfile

import numpy as np

from tests.reference.forgery import npy
from tests.reliability import headers
from tests.reliability.data_files import BATCHES, FILES, cifar_images, idx_files
from tests.reliability.packing import zipped
from tests.reliability.run_files import settings
from tests.reliability.weight_files import arrays

ZEROS = bytes(100_000_000)
RUN, LAB, HUB = "a run's config.json", "a lab's results.jsonl", "Hugging Face's weights (.safetensors, .json)"
GOOGLE, CIFAR, MNIST, PACKED = "Google's weights (.npz)", "CIFAR-10 (pickled)", "MNIST (idx)", "MNIST (idx.gz)"
ARRAY, ZIP = "a picture as .npy", "pictures in a .zip"


def _run(name, text):
    """A run one of whose files says this."""
    return {"config.json": json.dumps(settings()).encode(), name: text}


def _google(entry):
    """Google's weights with this entry, and noise, so that the archive may unpack to so much."""
    parts = {f"{name}.npy": npy(array.shape, data=array.tobytes()) for name, array in arrays("google").items()}
    noise = npy((16_000_000,), "|u1", data=np.random.default_rng(0).bytes(16_000_000))
    return {"model.npz": zipped(parts | {"cls.npy": entry, "noise.npy": noise}, zipfile.ZIP_DEFLATED)}


def _hub(*header):
    return {"model.safetensors": headers.safetensors(*header)}


def _names():
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    return _hub({f"x{i}": entry for i in range(15_000)})


def _mnist(number, data):
    return idx_files() | {FILES[number]: data}


def _packed(number, data):
    files = {f"{name}.gz": gzip.compress(whole, mtime=0) for name, whole in idx_files().items()}
    return files | {f"{FILES[number]}.gz": data}


def _cifar(data):
    return {f"cifar-10-batches-py/{name}": data for name in BATCHES}


def _laughs():
    """A batch whose labels are ten lists, each of which holds the next ten times: 10**10 zeros to whoever copies."""
    lists = b"]q\x80(" + b"K\0" * 10 + b"e"
    for depth in range(0x81, 0x8A):
        lists = b"]q%c(" % depth + lists + b"h%c" % (depth - 1) * 9 + b"e"
    text = pickle.dumps({b"data": cifar_images()[0], b"labels": "@"}, protocol=2)
    return _cifar(text.replace(b"X\1\0\0\0@", lists))


def _archive(compression, parts):
    return {"pictures.zip": zipped(parts, compression)}


def _picture(form, data):
    return {f"picture.{form}": data}


SMALL = {  # name: (format, function that makes the files)
    "100,000 lists in each other": (RUN, lambda: {"config.json": b"[" * 100_000}),
    "900 objects in each other": (RUN, lambda: {"config.json": b'{"a":' * 900 + b"1" + b"}" * 900}),
    "1 MB of empty lists": (RUN, lambda: {"config.json": b"[" + b"[]," * 333_000 + b"1]"}),
    "a number of a million digits": ("metrics.json", lambda: _run("metrics.json", b"9" * 1_000_000)),
    "a line of 20 MB": ("history.jsonl", lambda: _run("history.jsonl", b"[" + b"1," * 10_000_000)),
    "200,000 lines": ("history.jsonl", lambda: _run("history.jsonl", b"[\n" * 200_000)),
    "records in each other": (LAB, lambda: {"results.jsonl": b'{"key":' * 100_000}),
    "an entry whose data begin with a header": (GOOGLE, lambda: _google(headers.npy_2(len(ZEROS)) + ZEROS)),
    "an entry that unpacks a hundredfold": (GOOGLE, lambda: _google(npy((len(ZEROS) // 4,), data=ZEROS))),
    "a header of 2**63 bytes": (HUB, lambda: _hub(b"{}", 2**63)),
    "a header of 15,000 names": (HUB, _names),
    "a header of 500,000 lists": (HUB, lambda: _hub(b"[" * 500_000)),
    "3 GB of images declared": (MNIST, lambda: _mnist(0, headers.idx(2**22, 28, 28))),
    "0 images, each of 2**64 pixels": (MNIST, lambda: _mnist(0, headers.idx(0, 2**32 - 1, 2**32 - 1))),
    "a memo of 2**31 entries": (CIFAR, lambda: _cifar(b"\x80\2Nr\xff\xff\xff\x7f.")),
    "16 GiB of bytes declared": (CIFAR, lambda: _cifar(b"\x80\5\x96" + (2**34).to_bytes(8, "little") + b".")),
    "10**10 labels in some kilobytes": (CIFAR, _laughs),
    "a PNG of 60,000 x 60,000": ("PNG", lambda: _picture("png", headers.png(60_000, 60_000, rows=1))),
    "a GIF of 65,535 x 65,535": ("GIF", lambda: _picture("gif", headers.gif(65_535, 65_535))),
    "a BMP of 2**31 x 2**31": ("BMP", lambda: _picture("bmp", headers.bmp(2**31 - 1, 2**31 - 1))),
    "a PPM of 10**9 x 10**9": ("PPM", lambda: _picture("ppm", b"P6 1000000000 1000000000 255\n")),
    "an array of 65,000 x 65,000": (ARRAY, lambda: _picture("npy", npy((65_000, 65_000), "|u1"))),
    "an array's header of 120 MB": (ARRAY, lambda: _picture("npy", headers.npy_2(120_000_000) + bytes(1000))),
    "20,000 empty files": (ZIP, lambda: _archive(zipfile.ZIP_STORED, {f"a/{i}.png": b"" for i in range(20_000)})),
    "two pictures of 100 MB": (ZIP, lambda: _archive(zipfile.ZIP_DEFLATED, {"a/x.bmp": ZEROS, "b/x.bmp": ZEROS})),
}
LARGE = {  # seconds each
    "1 GiB of images in 1 MB": (PACKED, lambda: _packed(0, headers.gzipped(headers.idx(2**30 // 784, 28, 28), 1024))),
    "256 MiB of labels in 256 kB": (PACKED, lambda: _packed(1, headers.gzipped(headers.idx(2**28), 256))),
    "8,000 x 8,000 in 16 bits": ("PNG", lambda: _picture("png", headers.png(8_000, 8_000, 16, 0, 1))),
    "9,400 x 9,400 with transparency": ("PNG", lambda: _picture("png", headers.png(9_400, 9_400, 8, 6, 4))),
    "a PNG of 14,000 x 14,000": ("PNG", lambda: _picture("png", headers.png(14_000, 14_000))),
    "a WEBP of 9,400 x 9,400": ("WEBP", lambda: _picture("webp", headers.saved("RGB", 9_400, "WEBP"))),
    "a WEBP of 7,000 x 7,000": ("WEBP", lambda: _picture("webp", headers.saved("RGBA", 7_000, "WEBP", lossless=True))),
    "a progressive JPEG of 10,000 x 10,000": (
        "JPEG",
        lambda: _picture("jpg", headers.saved("RGB", 10_000, "JPEG", progressive=True)),
    ),
    "a JPEG of 16,000 x 16,000": ("JPEG", lambda: _picture("jpg", headers.saved("RGB", 16_000, "JPEG"))),
    "a TIFF in one strip": (
        "TIFF",
        lambda: _picture("tif", headers.saved("RGB", 9_000, "TIFF", compression="tiff_lzw", strip_size=2**30)),
    ),
}
