"""Images that stay bytes, on disk if they lie there, until a batch of them is asked for."""

from typing import Any

import numpy as np

from tinyvit.data.datasets import scale
from tinyvit.ops.resize import both_sides, resize


class Pixels:
    """Images that read like an array of float32 [B, H, W, C], values -1 to 1, and take a quarter of its memory.

    `x[batch]` is an ordinary array: those images, scaled (and resized) when they are asked for. What is not asked for
    is never converted; if the bytes are memory-mapped, it is not even read. np.asarray(x) converts everything.

    Parameters
    ----------
    stored : array of uint8 [B, H, W, C], values 0 to 255; it may be memory-mapped
    size : int or (int, int), optional
        Side of the images that are given out, in pixels, or height and width; resized bilinearly. None: as they are
        stored.
    """

    ndim = 4
    dtype = np.dtype(np.float32)

    def __init__(self, stored: np.ndarray, size: int | tuple[int, int] | None = None):
        self.stored = np.asarray(stored)  # a memory map without its class, which would stick to all that is made of it
        self.size = None if size is None or stored.shape[1:3] == both_sides(size) else size

    @property
    def shape(self) -> tuple[int, int, int, int]:
        count, height, width, channels = self.stored.shape
        return (count, height, width, channels) if self.size is None else (count, *both_sides(self.size), channels)

    def __len__(self) -> int:
        return len(self.stored)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Images by an index, a slice, or an array of indices; any other key is one of the whole array."""
        if isinstance(key, tuple) and self.size is not None:
            return np.asarray(self)[key]
        images = scale(self.stored[key], 255)
        return images if self.size is None else resized(images, self.size)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("images that are stored as bytes cannot be had as float32 without a copy")
        return self[:].astype(dtype or self.dtype, copy=False)


def resized(images: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    """Images [..., H, W, C] as [..., size, size, C], or [..., height, width, C], bilinearly, with anti-aliasing."""
    height, width = both_sides(size)
    return resize(images, height, width, "bilinear antialias")[0]
