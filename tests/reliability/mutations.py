"""Damage of every kind: what happens to bytes on a bad disk, and what somebody would do to them on purpose."""

import json
import re

import numpy as np

EXTREME = (0, 1, 2, 127, 255, 256, 65_535, 2**20, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**64 - 1)
NUMBERS = (b"0", b"-1", b"1e999", b"NaN", b"9" * 20, b"9" * 401, b"9" * 5000, b"1.5", b"true", b"[", b'"')
MAGIC = (  # how files of other kinds begin
    *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06" + bytes(18), b"\x93NUMPY\x02\0\xff\xff\xff\x7f"),
    *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xc0\0\x11\x08", b"GIF89a\xff\xff\xff\xff", b"II*\0\x08\0\0\0"),
    *(b"RIFF\xff\xff\xff\x7fWEBPVP8 ", b"BM" + b"\xff" * 24, b"\0\0\x08\x03" + b"\xff" * 12),
    *(b"\x1f\x8b\x08" + bytes(7), b"\x80\x02}q\0", b"{", bytes(64)),
)
DEEP, WIDE = "@deep", "@wide"  # stand for text that no value has
NASTY = [None, True, False, -1, 0, 1, 0.5, 1e300, -1e-300, 10**18, 2**63, 10**99, 10**400, float("nan"), float("inf")]
NASTY += ["", "x", "a\nb", "x" * 100_000, "\x1b[2J", "\ud800", "../../etc", [], {}, [[]], [1, 2], {"a": 1}, DEEP, WIDE]


def damaged(data, rng):
    """Bytes with one to three changes; half of these are near the beginning or the end, where headers are."""
    for _ in range(rng.choice([1, 1, 2, 3])):
        change = CHANGES[rng.integers(len(CHANGES))]
        data = change(data, int(_place(len(data), rng)), rng)
    return data


def damaged_json(value, rng):
    """The text of a value in JSON, of which one part is another: of another type, without bounds, gone, there twice."""
    text = json.dumps(_changed(value, rng, 1 + int(rng.integers(4))))
    text = text.replace(f'"{DEEP}"', "[" * 100_000 if rng.random() < 0.5 else '{"a":' * 40 + "1" + "}" * 40)
    text = text.replace(f'"{WIDE}"', "[" + "0," * 100_000 + "0]")
    if rng.random() < 0.1 and text.startswith("{") and len(text) > 2:  # the first name twice
        text = "{" + text[1:].split(",")[0].rstrip("}") + "," + text[1:]
    return text.encode()


def _changed(value, rng, depth):
    """A value in which something at most so deep was replaced or removed."""
    items = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    if not items or depth == 0:
        return NASTY[rng.integers(len(NASTY))]
    key, chosen = items[rng.integers(len(items))]
    copy = value.copy()
    if rng.random() < 0.1:
        del copy[key]
    elif rng.random() < 0.1 and isinstance(value, dict):
        copy["unheard of"] = copy.pop(key)
    else:
        copy[key] = _changed(chosen, rng, depth - 1)
    return copy


def _place(size, rng):
    where = rng.integers(4)
    if where == 0:
        return rng.integers(min(size, 300) + 1)
    if where == 1:
        return size - rng.integers(min(size, 300) + 1)
    return rng.integers(size + 1)


def _flip(data, at, rng):
    changed = bytearray(data)
    if at < len(data):
        changed[at] ^= 1 << rng.integers(8)
    return bytes(changed)


def _noise(data, at, rng):
    return data[:at] + rng.bytes(length := int(rng.integers(1, 9))) + data[at + length :]


def _cut(data, at, rng):
    return data[:at]


def _remove(data, at, rng):
    return data[:at] + data[at + int(rng.integers(1, 200)) :]


def _repeat(data, at, rng):
    piece = data[at : at + int(rng.integers(1, 200))]
    return data[:at] + piece * int(rng.integers(2, 60)) + data[at:]


def _splice(data, at, rng):
    return data[:at] + MAGIC[rng.integers(len(MAGIC))] + data[at + int(rng.integers(0, 20)) :]


def _length(data, at, rng):
    """A number where a length may stand, in any width and byte order."""
    width, order = int(rng.choice([1, 2, 4, 8])), ("little", "big")[rng.integers(2)]
    number = EXTREME[rng.integers(len(EXTREME))] % 256**width
    return data[:at] + number.to_bytes(width, order) + data[at + width :]


def _number(data, at, rng):
    """Another number for one that stands in the text."""
    found = list(re.finditer(rb"\d+", data[:100_000]))
    if not found:
        return data
    chosen = found[rng.integers(len(found))]
    return data[: chosen.start()] + NUMBERS[rng.integers(len(NUMBERS))] + data[chosen.end() :]


def _fill(data, at, rng):
    length = int(rng.integers(1, 400))
    return data[:at] + (b"\0", b"\xff", b"[", b"{")[rng.integers(4)] * length + data[at + length :]


def _append(data, at, rng):
    return data + rng.bytes(int(rng.integers(1, 100)))


def _swap(data, at, rng):
    return data[at:] + data[:at]


CHANGES = (
    _flip,
    _flip,
    _noise,
    _cut,
    _remove,
    _repeat,
    _splice,
    _length,
    _length,
    _length,
    _number,
    _fill,
    _append,
    _swap,
)


class Forger:
    """Damages one layer of a file as it is made: an entry before it is packed, say, or the archive.

    Parameters
    ----------
    rng : numpy.random.Generator
    layer : int, optional
        Which of the layers; None is none, and then `layers` says in the end how many there are.
    """

    def __init__(self, rng=None, layer=None):
        self.rng, self.layer, self.layers = rng, layer, 0

    def __call__(self, data):
        """A layer that is bytes."""
        return damaged(data, self.rng) if self._is_here() else data

    def one_of(self, parts):
        """A layer that is {name: bytes}, of which one is damaged."""
        if self._is_here():
            name = list(parts)[self.rng.integers(len(parts))]
            return parts | {name: damaged(parts[name], self.rng)}
        return parts

    def json(self, value):
        """A layer that is a value in JSON, as its text."""
        return damaged_json(value, self.rng) if self._is_here() else json.dumps(value).encode()

    def _is_here(self):
        self.layers += 1
        return self.layers - 1 == self.layer


def forged(make, number):
    """The files {name: bytes} that make(forger) makes, damaged in the way of this number."""
    counting = Forger()
    make(counting)
    rng = np.random.default_rng(number)
    return make(Forger(rng, rng.integers(counting.layers)))
