"""A file is known by its bytes, whatever its name is."""

import io
import json
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from tests.reference.torch_files import save_torch
from tinyvit import load, load_weights
from tinyvit.errors import CheckpointError
from tinyvit.recognise import EMPTY, JSON, NPZ, SAFETENSORS, TORCH, UNKNOWN, recognise


def archive(names):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as opened:
        for name in names:
            opened.writestr(name, b"x")
    return file.getvalue()


def tarred():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as opened:
        opened.addfile(tarfile.TarInfo("vit.pth"), io.BytesIO())
    return file.getvalue()


def picture(form):
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, form)
    return file.getvalue()


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1\nsize 12345\n"
OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
FILES = {  # what is in it, and a word of what is said
    "git-lfs pointer": (LFS, "git lfs pull"),
    "HTML": (b"<!DOCTYPE html><html>", "an HTML page"),
    "HTML after a mark and blanks": (b"\xef\xbb\xbf\n  <HTML lang='en'>", "an HTML page"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied', "an XML text"),
    "a refusal": (b"Not Found\nno such file", "a text that begins 'Not Found'"),
    "JSON error": (b'{"error": "Repository not found"}', "a JSON text"),
    "JSON after a mark": (b'\xef\xbb\xbf{"error": 404}', "a JSON text"),
    "empty": (b"", "an empty file"),
    "zeros": (bytes(5000), "5000 bytes that begin with zeros"),
    "gzip": (b"\x1f\x8b\x08\x00", "gzip"),
    "xz": (b"\xfd7zXZ\x00\x00", "xz"),
    "zstd": (b"\x28\xb5\x2f\xfd\x00", "zstd"),
    "tar": (tarred(), "a tar archive"),
    "zip of other files": (archive(["vit/model.safetensors"]), "'vit/model.safetensors'"),
    "zip cut short": (archive(["data.npy"])[:40], "cut short"),
    "Keras": (archive(["metadata.json", "config.json", "model.weights.h5"]), "Keras"),
    "TorchScript": (archive(["m/data.pkl", "m/constants.pkl", "m/code/m.py"]), "TorchScript"),
    "one array": (b"\x93NUMPY\x01\x00", "a single array"),
    "old PyTorch": (OLD, "before version 1.6"),
    "pickle": (pickle.dumps({"a": 1}), "may run code"),
    "pickle of protocol 2": (pickle.dumps([1], 2), "may run code"),
    "HDF5": (b"\x89HDF\r\n\x1a\n\x00", "HDF5"),
    "ONNX": (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0", "an ONNX model"),
    "GGUF": (b"GGUF\x03\x00\x00\x00", "GGUF"),
    "TensorFlow Lite": (b"\x1c\x00\x00\x00TFL3\x14\x00", "TensorFlow Lite"),
    "SavedModel": (b"\x08\x01\x12\xd7\xb2", "SavedModel"),
    "TensorFlow's index": (b"\x00\x00\x02\x0f\x88" + bytes(50) + b"\x57\xfb\x80\x8b\x24\x75\x47\xdb", "checkpoint"),
    "Flax": (b"\x81\xa6params\x83\xa3cls\xc7", "msgpack"),
    "PNG": (picture("PNG"), "a picture (PNG)"),
    "JPEG": (picture("JPEG"), "a picture (JPEG)"),
    "WebP": (picture("WEBP"), "a picture (WebP)"),
    "PDF": (b"%PDF-1.7", "PDF"),
    "MATLAB": (b"MATLAB 5.0 MAT-file, Platform", "MATLAB"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_no_file_of_weights(tmp_path, name):
    data, words = FILES[name]
    for suffix in (".safetensors", ".npz", ".pth", ""):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(data)
        kind = recognise(path)
        assert words in f"{kind.what}: {kind.advice}" and kind not in (NPZ, SAFETENSORS, TORCH, UNKNOWN)
        for read in (load_weights,) if data.startswith(b"PK") else (load, load_weights):
            with pytest.raises(CheckpointError) as caught:
                read(path)
            line = str(caught.value)
            assert line.startswith(f"{path} is {kind.what}: {kind.advice}; expected ") and "\n" not in line


def test_what_is_one_under_any_name(tmp_path):
    path = tmp_path / "model.txt"
    header = json.dumps({"a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    assert recognise(path) is SAFETENSORS
    path.write_bytes((123).to_bytes(8, "little") + b"{" + bytes(200))  # its first byte is that of a JSON text
    assert recognise(path) is SAFETENSORS
    path.write_bytes((2).to_bytes(8, "little") + b"{}")  # the shortest
    assert recognise(path) is SAFETENSORS
    for save in (np.savez, np.savez_compressed):
        with open(path, "wb") as file:
            save(file, a=np.zeros(3))
        assert recognise(path) is NPZ
    save_torch(path, {"a": np.zeros(3, np.float32)})
    assert recognise(path) is TORCH
    path.write_bytes(b"[1, 2]")
    assert recognise(path) is JSON
    path.write_bytes(b"")
    assert recognise(path) is EMPTY


@pytest.mark.parametrize("data", [b"\xff\xfe\x01junk", b"\x00\x01" * 700, b"\xd0\xcf", b"\x80", b"\x08"], ids=repr)
def test_what_nobody_knows(tmp_path, data):
    (tmp_path / "a").write_bytes(data)
    assert recognise(tmp_path / "a") is UNKNOWN


def test_a_text_whose_last_character_is_cut(tmp_path):
    (tmp_path / "a").write_bytes(b"a" + "é".encode() * 2000)
    assert recognise(tmp_path / "a").what.startswith(r"a text that begins 'a\xe9\xe9")


def test_a_line_shows_no_control_characters(tmp_path):
    (tmp_path / "a").write_bytes("\x1b[2J é\n".encode())
    assert recognise(tmp_path / "a") is UNKNOWN
    (tmp_path / "a").write_bytes("Accès refusé".encode())
    assert recognise(tmp_path / "a").what == r"a text that begins 'Acc\xe8s refus\xe9'"
