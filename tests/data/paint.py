"""Small pictures for the tests, of every kind that people keep."""

import io

import numpy as np
from PIL import Image


def painted(seed, size=(9, 7), mode="RGB"):
    """A Pillow image of random pixels; size is (width, height)."""
    channels = {"L": (), "RGB": (3,), "RGBA": (4,), "LA": (2,), "CMYK": (4,)}[mode]
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], *channels), dtype=np.uint8)
    return Image.frombytes(mode, size, pixels.tobytes())


def encoded(image, form="PNG", **options):
    """A picture's file, as bytes."""
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def picture(seed, size=(9, 7), mode="RGB"):
    """The bytes of a PNG."""
    return encoded(painted(seed, size, mode))


def paint(root, counts, **how):
    """Write {folder: how many} pictures, 00.png and on; each is different. Returns root."""
    seed = 0
    for folder, count in counts.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        for number in range(count):
            (root / folder / f"{number:02}.png").write_bytes(picture(seed, **how))
            seed += 1
    return root
