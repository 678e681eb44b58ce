"""Shifts and affine maps of a whole batch of images, each image by its own amounts.

Rows grow downward, columns to the right; an offset is (rows, columns).
"""

import numpy as np


def shift(images: np.ndarray, offsets: np.ndarray, fill: float = -1.0) -> np.ndarray:
    """Move each image by whole pixels, exactly: y[b, i, j] = x[b, i - offsets[b, 0], j - offsets[b, 1]].

    Parameters
    ----------
    images : array of float32 [B, H, W, C]
    offsets : integer array [B, 2], pixels down and to the right
    fill : float, the value of what comes in over the edge; -1 is the background

    Returns
    -------
    array of float32 [B, H, W, C], fresh
    """
    count, height, width, channels = images.shape
    offsets = np.clip(offsets, [-height, -width], [height, width])  # further than out of sight is out of sight
    margin = int(np.abs(offsets).max(initial=0))
    padded = _pad(images, margin, margin, fill)
    # every window of the image's size in the padded image, as a view [B, 2 margin + 1, 2 margin + 1, H, W, C]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width, channels), axis=(1, 2, 3))[:, :, :, 0]
    return windows[np.arange(count), margin - offsets[:, 0], margin - offsets[:, 1]]


def affine_matrices(degrees: np.ndarray, factors: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """The matrices factor * rotation @ shear that act on (row, column), measured from the image's centre.

        rotation = [[cos, -sin], [sin, cos]]    counter-clockwise as seen, since rows grow downward
        shear    = [[1, 0], [slope, 1]]         lower rows slide to the right

    Parameters
    ----------
    degrees, factors, slopes : arrays [B]

    Returns
    -------
    array [B, 2, 2]
    """
    angles = np.deg2rad(degrees)
    cos, sin = factors * np.cos(angles), factors * np.sin(angles)
    return np.stack([cos - slopes * sin, -sin, sin + slopes * cos, cos], axis=-1).reshape(-1, 2, 2)


def affine(images: np.ndarray, matrices: np.ndarray, offsets: np.ndarray, fill: float = -1.0) -> np.ndarray:
    """Map each image's points q to  A (q - m) + m + t, where m is the image's centre.

    Every target pixel asks where it came from: q takes its value from the source point

        s = A^-1 (q - m - t) + m,

    which lies among four pixels, n = floor(s) the upper left one and f = s - n the way past it, so that (bilinear
    interpolation)

        y[q] = (1 - f0) [(1 - f1) x[n] + f1 x[n + (0, 1)]] + f0 [(1 - f1) x[n + (1, 0)] + f1 x[n + (1, 1)]].

    Pixels outside the image have the value `fill`.

    Parameters
    ----------
    images : array of float32 [B, H, W, C]
    matrices : array [B, 2, 2], the A, invertible; they act on (row, column)
    offsets : array [B, 2], the t in pixels, whole or not
    fill : float

    Returns
    -------
    array of float32 [B, H, W, C], fresh
    """
    _, height, width, channels = images.shape
    rows, columns = _source_points(matrices, offsets, height, width)
    # One pixel of fill before and two behind: points outside are drawn in to lie there, and all four neighbours exist.
    padded = _pad(images, 1, 2, fill)
    top, row_way = _whole_and_rest(rows, height)
    left, column_way = _whole_and_rest(columns, width)
    here = top * np.int32(width + 3) + left
    here = here + np.arange(len(images))[:, None, None] * ((height + 3) * (width + 3))  # among the pixels of all images
    pixels = padded.reshape(-1, channels)
    upper = _between(pixels, here, column_way)
    lower = _between(pixels[width + 3 :], here, column_way)  # seen from one row further down
    lower -= upper
    lower *= row_way
    lower += upper
    return lower


def _source_points(matrices, offsets, height, width):
    """s = A^-1 (q - m - t) + m for every pixel q, plus 1 for the padding: rows and columns, float32 [B, H, W].

    s is linear in q's row plus linear in its column: two short vectors for each image, added crosswise.
    """
    inverse = np.linalg.inv(matrices)  # [B, 2, 2]
    centre = np.array([(height - 1) / 2, (width - 1) / 2])
    origin = centre + 1 - (inverse @ (offsets + centre)[:, :, None])[:, :, 0]  # where q = (0, 0) came from, [B, 2]
    along_rows = (inverse[:, :, :1] * np.arange(height) + origin[:, :, None]).astype(np.float32)  # [B, 2, H]
    along_columns = (inverse[:, :, 1:] * np.arange(width)).astype(np.float32)  # [B, 2, W]
    return tuple(along_rows[:, axis, :, None] + along_columns[:, axis, None, :] for axis in (0, 1))


def _whole_and_rest(points, size):
    """floor(points) as int32 and, [B, H, W, 1], what is left of points, once they are drawn into the padded image."""
    np.clip(points, 0, size + 1, out=points)
    whole = np.floor(points)
    points -= whole
    return whole.astype(np.int32), points[..., None]


def _between(pixels, here, way):
    """(1 - way) x + way x', where x are the pixels with the indices `here` and x' their neighbours to the right."""
    start, y = pixels.take(here, axis=0), pixels[1:].take(here, axis=0)
    y -= start
    y *= way
    y += start
    return y


def _pad(images, before, behind, fill):
    """The images in a frame of `fill`; np.pad takes several times as long."""
    count, height, width, channels = images.shape
    padded = np.full((count, before + height + behind, before + width + behind, channels), fill, dtype=images.dtype)
    padded[:, before : before + height, before : before + width] = images
    return padded
