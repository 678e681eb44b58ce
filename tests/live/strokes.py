"""Strokes for the live page, {"points": [[x, y], ...], "width": pixels}: by a scripted hand, or a picture's pixels.

Lengths are in pixels of the page's raster, whose side is 280; x goes to the right and y down.
"""

import numpy as np

MIDDLE = 140


def digit_strokes(digit, rng, size=180, width=18):
    """A digit, 0 to 9, as a hand draws it that is never twice the same; size is its height."""
    slant, place = rng.normal(0, 0.1), rng.uniform(-15, 15, 2)
    return [_by_hand(line, rng, size, width, slant, place) for line in _LINES[digit]]


def seven(rng, slant=0.2, bar=True, hook=0.1, curve=0.0, size=180, width=18):
    """A person's own 7. Lengths are parts of its height.

    slant : how far the top lies to the right of where it would in an upright one
    bar : whether there is a bar across the stem
    hook : how far the top line comes down at its beginning
    curve : how far the stem bends to the right; to the left where negative
    """
    hook, curve, sag = hook * rng.uniform(0.8, 1.2), curve * rng.uniform(0.8, 1.2), rng.uniform(0, 0.08)
    top = [(0.12, 0.02 + hook), (0.14, 0.02), (0.5, 0.02 + sag)]
    lines = [top + [(0.84 - 0.4 * t + curve * np.sin(np.pi * t), t) for t in np.linspace(0, 1, 12)]]
    if bar:
        height, rise = rng.uniform(0.42, 0.58), rng.uniform(-0.06, 0.06)
        lines.append([(0.36, height + rise), (0.88, height - rise)])
    place = rng.uniform(-15, 15, 2)
    return [_by_hand(line, rng, size, width, slant, place) for line in lines]


def pixel_strokes(picture, cell=10):
    """A picture, uint8 [H, W], as lines of a pen of width 1, which inks single pixels of the raster and no others.

    Each pixel of the picture has a cell of 10 x 10 in the raster, of which v / 255 is inked, from the corners inwards:
    then the ink begins and ends where the picture's does, and keeps its size and place.
    """
    places = np.indices((cell, cell)) - (cell - 1) / 2
    rank = (-np.hypot(*places)).ravel().argsort(kind="stable").argsort().reshape(cell, cell)
    inked = np.tile(rank, picture.shape) < np.rint(np.kron(picture / 255, np.full((cell, cell), cell * cell)))
    strokes = []
    for row, line in enumerate(inked):
        ends = np.flatnonzero(np.diff(np.pad(line.astype(int), 1)))
        for first, after in ends.reshape(-1, 2).tolist():
            strokes.append({"points": [[first + 0.5, row + 0.5], [after - 0.5, row + 0.5]], "width": 1})
    return strokes


def _by_hand(line, rng, size, width, slant, place):
    """A stroke: a polyline of the unit square, as a hand follows it."""
    corners = np.array(line)
    steps = np.maximum(2, np.ceil(40 * np.hypot(*np.diff(corners, axis=0).T))).astype(int)
    parts = [np.linspace(a, b, n, endpoint=False) for a, b, n in zip(corners, corners[1:], steps, strict=False)]
    points = np.concatenate([*parts, corners[-1:]])
    phase, waves = rng.uniform(0, 2 * np.pi, 2), rng.uniform(3, 8)
    wobble = 0.012 * np.sin(waves * points[:, ::-1] + phase) + rng.normal(0, 0.003, points.shape)
    x, y = (points + wobble - 0.5).T
    xy = MIDDLE + size * np.stack([x - slant * y, y], axis=1) + place
    return {"points": np.round(xy, 1).tolist(), "width": width}


def _arc(x, y, wide, high, start, end):
    """Points on an ellipse, clockwise from 0 degrees, which is on the right."""
    angles = np.radians(np.linspace(start, end, 24))
    return list(zip(x + wide * np.cos(angles), y + high * np.sin(angles), strict=True))


_LINES = {
    0: [_arc(0.5, 0.5, 0.32, 0.5, -80, -440)],
    1: [[(0.36, 0.2), (0.54, 0.0), (0.52, 1.0)]],
    2: [[*_arc(0.48, 0.28, 0.3, 0.28, -170, 40), (0.18, 1.0), (0.85, 0.97)]],
    3: [_arc(0.45, 0.25, 0.28, 0.25, -150, 90) + _arc(0.45, 0.74, 0.32, 0.26, -90, 150)],
    4: [[(0.4, 0.02), (0.18, 0.58), (0.82, 0.54)], [(0.68, 0.05), (0.6, 1.0)]],
    5: [[(0.32, 0.02), (0.28, 0.45), *_arc(0.45, 0.7, 0.32, 0.3, -120, 140)], [(0.32, 0.02), (0.8, 0.0)]],
    6: [[(0.66, 0.0), (0.38, 0.3), *_arc(0.5, 0.72, 0.28, 0.28, -170, -530)]],
    7: [[(0.15, 0.04), (0.82, 0.02), (0.42, 1.0)]],
    8: [[*_arc(0.5, 0.25, 0.25, 0.25, 60, -240), *_arc(0.5, 0.75, 0.3, 0.25, -60, 240), (0.66, 0.42)]],
    9: [[*_arc(0.48, 0.28, 0.27, 0.28, -20, -370), (0.72, 0.5), (0.6, 1.0)]],
}
