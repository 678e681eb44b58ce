"""What a file really is, by its bytes: its name promises nothing.

Under the name of a model lies what a download left there: a page that asks for a password, a git-lfs pointer, the
first half of a file; or the weights of another library. Nothing is unpacked or run to find out.
"""

import codecs
import re
import zipfile
from typing import NamedTuple

FIRST = 1024  # bytes that are looked at
LONGEST_HEADER = 100_000_000  # bytes of a safetensors header, by the format's own limit


class Kind(NamedTuple):
    """A kind of file."""

    what: str  # in words
    advice: str = ""  # what to do where another kind is expected

    def refusal(self, path, expected):
        """The line that says that a file is of this kind, where something else was expected."""
        return f"{path} is {self.what}{self.advice and ': '}{self.advice}; expected {expected}"


AGAIN = "copy or download it again"
UNPACK = "unpack it first"
OTHERS = "take the model's .safetensors file, or save it as one in the library that wrote this"
PICTURE = "a model is named before the pictures"
LOAD_WEIGHTS = "read it with tinyvit.load_weights"
SAVE_AGAIN = "load it with PyTorch and save it again, with torch.save or as safetensors"

NPZ = Kind("an .npz archive of arrays")
SAFETENSORS = Kind("a safetensors file", LOAD_WEIGHTS)
TORCH = Kind("a file of PyTorch's (.pth, .pt, .bin)", LOAD_WEIGHTS)
JSON = Kind("a JSON text", "name the file of the weights")
UNKNOWN = Kind("of no kind that is known", AGAIN)
EMPTY = Kind("an empty file", AGAIN)

STARTS = {
    b"version https://git-lfs.github.com": Kind("a git-lfs pointer, not the file itself", "fetch it: git lfs pull"),
    b"\x93NUMPY": Kind("a single array (.npy)", "expected an archive of arrays (.npz)"),
    b"\x89HDF\r\n\x1a\n": Kind("an HDF5 file, as Keras and TensorFlow write", OTHERS),
    b"GGUF": Kind("a GGUF file, of llama.cpp", OTHERS),
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.": Kind("in PyTorch's form from before version 1.6", SAVE_AGAIN),
    b"\x1f\x8b": Kind("packed with gzip", UNPACK),
    b"BZh": Kind("packed with bzip2", UNPACK),
    b"\xfd7zXZ\x00": Kind("packed with xz", UNPACK),
    b"\x28\xb5\x2f\xfd": Kind("packed with zstd", UNPACK),
    b"7z\xbc\xaf\x27\x1c": Kind("a 7z archive", UNPACK),
    b"Rar!\x1a\x07": Kind("a rar archive", UNPACK),
    b"\x89PNG\r\n\x1a\n": Kind("a picture (PNG)", PICTURE),
    b"\xff\xd8\xff": Kind("a picture (JPEG)", PICTURE),
    b"GIF8": Kind("a picture (GIF)", PICTURE),
    b"%PDF-": Kind("a PDF document", AGAIN),
    b"\x08\x01\x12": Kind("TensorFlow's SavedModel", OTHERS),
    b"model_checkpoint_path:": Kind("the list of TensorFlow's checkpoints", OTHERS),
    b"MATLAB 5.0 MAT-file": Kind("a MATLAB file", OTHERS),
}
BEGINNINGS = {  # of what has no fixed beginning
    rb"\xef?\xbb?\xbf?\s*<(!doctype html|html|head|body)": Kind("an HTML page, not the file itself", AGAIN),
    rb"\xef?\xbb?\xbf?\s*<(\?xml|error)": Kind("an XML text, as servers answer with an error", AGAIN),
    rb".{257}ustar": Kind("a tar archive", UNPACK),
    rb"\x80[\x02-\x05]": Kind(
        "a Python pickle, which may run code when it is opened", "save it as safetensors or .npz"
    ),
    rb".{4}TFL3": Kind("a TensorFlow Lite model", OTHERS),
    rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x3a\x42]": Kind("an ONNX model", OTHERS),
    rb"RIFF.{4}WEBP": Kind("a picture (WebP)", PICTURE),
    rb"([\x81-\x8f]|\xde..|\xdf....)([\xa1-\xbf]|\xd9.)[\w./-]": Kind("a msgpack file, as Flax writes", OTHERS),
    rb"\xef?\xbb?\xbf?\s*[{\[]": JSON,
}
PATTERNS = [(re.compile(pattern, re.DOTALL | re.IGNORECASE), kind) for pattern, kind in BEGINNINGS.items()]
TABLE_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # of the file format in which TensorFlow keeps a checkpoint's names


def recognise(path):
    """The Kind of a file.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:
        first = file.read(FIRST)
        size = file.seek(0, 2)
        file.seek(-min(size, len(TABLE_END)), 2)
        last = file.read()
    if not first:
        return EMPTY
    if first.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _archive(path)
    if 2 <= int.from_bytes(first[:8], "little") <= LONGEST_HEADER and first[8:9] == b"{":
        return SAFETENSORS
    for start, kind in STARTS.items():
        if first.startswith(start):
            return kind
    for pattern, kind in PATTERNS:
        if pattern.match(first):
            return kind
    if last == TABLE_END:
        return Kind("the index of a TensorFlow checkpoint", OTHERS)
    return _text(first, size)


def _text(first, size):
    """The kind of a file without a known beginning: a text, as of a refusal, or zeros of a broken download."""
    if not any(first):
        return Kind(f"{size} bytes that begin with zeros, as of a download that broke off", AGAIN)
    try:
        text, _ = codecs.utf_8_decode(first, "strict", False)  # the last character may be cut in two
    except UnicodeDecodeError:
        return UNKNOWN
    line = text.strip().partition("\n")[0].strip()[:60]
    return Kind(f"a text that begins {line!a}", AGAIN) if line and line.isprintable() else UNKNOWN


def _archive(path):
    """The kind of a zip archive, by the names in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception:  # a damaged archive fails in a dozen ways
        return Kind("a zip archive that is cut short or damaged", AGAIN)
    if {"config.json", "model.weights.h5"} <= set(names):
        return Kind("a Keras model", OTHERS)
    inner = {name.partition("/")[2] for name in names}
    if "data.pkl" in inner:
        script = Kind("a TorchScript program, not only its arrays", "save the model's state_dict() in its place")
        return script if "constants.pkl" in inner else TORCH
    if not names or any(name.endswith(".npy") for name in names):
        return NPZ
    return Kind(f"a zip archive of other files ({names[0]!a}, ...)"[:200], UNPACK)
