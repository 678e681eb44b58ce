"""Files that are little more than a header, which says whatever it likes; and zeros, packed as small as can be."""

import io
import json
import struct
import zlib

from PIL import Image


def png(width, height, bits=8, colour=2, channels=3, rows=None):
    """A PNG of zeros, of whose rows so many are there."""
    packer, row = zlib.compressobj(9), bytes(1 + width * channels * bits // 8)
    packed = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    header = struct.pack(">2I5B", width, height, bits, colour, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*parts) for parts in chunks)


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def gif(width, height):
    """The header of a GIF, and of a picture in it."""
    return b"GIF89a" + struct.pack("<2H3B", width, height, 0xF0, 0, 0) + bytes(6) + _gif_picture(width, height)


def _gif_picture(width, height):
    return b"," + struct.pack("<4HB", 0, 0, width, height, 0) + b"\2\0;"


def bmp(width, height):
    """The header of a BMP."""
    return b"BM" + bytes(8) + struct.pack("<2I2i2H", 54, 40, width, height, 1, 24) + bytes(24)


def idx(*shape):
    """The header of an idx file."""
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)


def npy_2(length):
    """The beginning of an .npy file whose header has so many bytes."""
    return b"\x93NUMPY\2\0" + length.to_bytes(4, "little")


def safetensors(header, length=None):
    """A .safetensors file of a header, and what it says of that one's length."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text


def gzipped(header, zeros):
    """A header and so many megabytes of zeros."""
    packer, megabyte = zlib.compressobj(9, wbits=31), bytes(2**20)
    packed = [packer.compress(header), *(packer.compress(megabyte) for _ in range(zeros))]
    return b"".join(packed) + packer.flush()


def saved(mode, side, form, **options):
    """A black picture."""
    file = io.BytesIO()
    Image.new(mode, (side, side)).save(file, form, **options)
    return file.getvalue()
