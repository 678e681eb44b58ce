"""Pictures and data sets: an honest file of each format, for a Forger to damage, and how it is read."""

import functools
import gzip
import io
import json
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests.reliability.packing import idx, npy, zipped
from tinyvit.data import cifar, kept, load_data, read_data, read_image
from tinyvit.data.sources import FILES

BATCHES = (*cifar.TRAIN, cifar.TEST)


@functools.cache
def picture(form, **options):
    """A picture's bytes."""
    rng, file = np.random.default_rng(0), io.BytesIO()
    mode = options.pop("mode", "RGB")
    Image.fromarray(rng.integers(0, 256, (19, 23, 3), np.uint8)).convert(mode).save(file, form, **options)
    return file.getvalue()


def picture_of(form, kinds, forger):
    """A picture of one of these kinds."""
    kind = kinds[0] if forger.rng is None else kinds[forger.rng.integers(len(kinds))]
    return {f"picture.{form.lower()}": forger(picture(form, **kind))}


def read_pictures(folder):
    for path in folder.iterdir():
        assert read_image(path).dtype == np.uint8


def array(forger):
    number = 0 if forger.rng is None else int(forger.rng.integers(4))
    rng = np.random.default_rng(0)
    kinds = [rng.random((9, 7)), rng.integers(0, 256, (9, 7, 3), np.uint8), np.asfortranarray(rng.random((9, 7, 3)))]
    return {"picture.npy": forger(npy([*kinds, rng.random((9, 7)).astype(">f4")][number]))}


@functools.cache
def idx_files():
    rng, files = np.random.default_rng(0), {}
    for i, count in enumerate((6, 4)):
        files[FILES[2 * i]] = idx(rng.integers(0, 256, (count, 28, 28), np.uint8))
        files[FILES[2 * i + 1]] = idx(rng.integers(0, 10, count, np.uint8))
    return files


def mnist(forger):
    return forger.one_of(idx_files())


def mnist_packed(forger):
    packed = {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in forger.one_of(idx_files()).items()}
    return forger.one_of(packed)


def cifar_images():
    rows = np.random.default_rng(0).integers(0, 256, (cifar.IMAGES, cifar.BYTES), np.uint8)
    return rows, np.arange(cifar.IMAGES) % 10


def cifar_binary(forger):
    rows, labels = cifar_images()
    batch = np.column_stack([labels.astype(np.uint8), rows]).tobytes()
    return in_folder("cifar-10-batches-bin", forger.one_of({f"{name}.bin": batch for name in BATCHES}))


def cifar_python(forger):
    rows, labels = cifar_images()
    batch = pickle.dumps({b"data": rows, b"labels": labels.tolist()}, protocol=2)
    return in_folder("cifar-10-batches-py", forger.one_of(dict.fromkeys(BATCHES, batch)))


def in_folder(folder, files):
    return {f"{folder}/{name}": data for name, data in files.items()}


def archive(forger):
    kinds = {"a.png": picture("PNG"), "b.jpg": picture("JPEG"), "c.gif": picture("GIF")}
    parts = {f"{name}/{file}": data for name in ("cats", "dogs") for file, data in kinds.items()}
    return {"pictures.zip": forger(zipped(forger.one_of(parts), zipfile.ZIP_DEFLATED))}


def read_archive(folder):
    loaded = read_data(folder / "pictures.zip", size=8)
    assert np.asarray(loaded.train[0]).shape[1:3] == (8, 8)


def kept_pictures(forger):
    with tempfile.TemporaryDirectory() as folder:
        about = {"class_names": ["a", "b"], "counts": [[2, 1], [1, 1]], "grey": False, "notes": [], "skipped": False}
        text = forger.json(about).decode()
        path = Path(folder) / "kept.npy"
        kept.save(path, 8, [np.zeros((5, 8, 8, 3), np.uint8)], lambda: json.loads(json.dumps("@")))
        data = path.read_bytes()
    plain = npy(np.frombuffer(b'"@"', np.uint8))
    return {"kept.npy": forger(data.replace(plain, npy(np.frombuffer(text.encode(), np.uint8))))}


def read_kept(folder):
    found = kept.load(folder / "kept.npy", 8)
    if found is not None:
        assert found[0].shape == (5, 8, 8, 3) and sum(map(sum, found[1]["counts"])) == 5
        assert np.asarray(found[0]).nbytes == 5 * 8 * 8 * 3


def read_mnist(folder):
    load_data("mnist", folder)


def read_cifar(folder):
    load_data("cifar-10", folder)
