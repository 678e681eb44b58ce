"""Some of the pictures, and what they look like in a few numbers: by these the checks compare them."""

from typing import NamedTuple

import numpy as np

SIDE = 12  # features have at least as many pixels along a side, if the pictures have
FLAT = 0.02  # standard deviation, of numbers from -1 to 1, below which a picture shows nothing
BLOCK = 2000  # pictures that are converted at once


class Sample(NamedTuple):
    """Pictures of a part, drawn at random.

    images    float32 [n, H, W, C]
    labels    [n], or None
    features  float32 [n, d], see `features_of`
    numbers   [n], of the pictures in the part
    """

    images: np.ndarray
    labels: np.ndarray | None
    features: np.ndarray
    numbers: np.ndarray


def sample_of(part, most, seed):
    """So many pictures of a part of the data; all, if there are no more."""
    images, labels = part["images"], part.get("labels")
    index = np.sort(np.random.default_rng(seed).permutation(len(images))[:most])
    chosen = np.asarray(images[index], np.float32)
    return Sample(chosen, None if labels is None else labels[index], features_of(chosen), index)


def features_of(images):
    """Pictures as vectors of length 1 whose product is their correlation.

    Grey, and coarse: the means of blocks of pixels, about 12 to 23 along a side; less their mean, and divided by their
    length. So neither brightness nor contrast counts; the negative of a vector is that of the inverted picture. What
    shows nothing is all zeros.

    Parameters
    ----------
    images : array of floats [n, H, W, C]
    """
    vectors = coarse(images.mean(axis=3, keepdims=True), SIDE)[0].reshape(len(images), -1)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    shown = lengths > FLAT * np.sqrt(vectors.shape[1])
    return np.where(shown, vectors / np.where(shown, lengths, 1), 0).astype(np.float32)


def coarse(images, side):
    """The means of blocks of pixels, [n, h, w, C], and by what the size was divided.

    As coarse as leaves at least `side` pixels along the shorter side, if the pictures have so many.
    """
    n, height, width, channels = images.shape
    factor = max(1, min(height, width) // side)
    rows, columns = height // factor, width // factor
    images = images[:, : rows * factor, : columns * factor]
    return images.reshape(n, rows, factor, columns, factor, channels).mean(axis=(2, 4)), factor


def in_blocks(images):
    """Pictures [n, H, W, C] as float32, a block of them at a time."""
    for start in range(0, len(images), BLOCK):
        yield np.asarray(images[start : start + BLOCK], np.float32)


def nearest(queries, base, count, *, themselves=False):
    """The indices [n, count] of the vectors in the base that correlate most with each query, the best first.

    Parameters
    ----------
    queries [n, d], base [m, d] : features
    count : int
    themselves : bool
        The queries are the base: no one is its own neighbour.
    """
    products = queries @ base.T
    if themselves:
        np.fill_diagonal(products, -2)
    count = min(count, products.shape[1] - themselves)
    found = np.argpartition(-products, count - 1, axis=1)[:, :count]
    return np.take_along_axis(found, np.argsort(-np.take_along_axis(products, found, 1), axis=1), 1)
