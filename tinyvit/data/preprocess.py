"""Arrange a user's picture as the pictures of a data set are arranged, and say everything that was done to it.

A network knows only what it was shown: light ink on a dark ground, in a certain size and place. A picture that differs
in that is a different picture to it, however clear it is to us.
"""

import numpy as np

from tinyvit.data.datasets import Dataset, scale
from tinyvit.data.images import LUMA
from tinyvit.data.members import as_member
from tinyvit.errors import DataError

LEAST_CONTRAST = 8  # of 255: less than that is noise, not a drawing
DARK = 8  # of 255: a ground up to this is black already
BRIGHT = 200  # of 255: ink with a peak from this on is white already
INK = 96  # of 255: what is at least so bright is ink
SMALLEST = 0.95  # of the data set's size: ink from this on has the size already
THICKEST, MIXED = 1 / 8, 0.05  # of a frame: part of the shorter side; share of its pixels that are none of it
FRAME = "cut off the frame"
CENTRED = "cropped to the ink and centred"
WIDE = 1.6  # times as wide as high: 195 of MNIST's 70,000 digits are
SEVERAL = "the ink is much wider than high: one figure is expected, not several in a row"


def prepare(image: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, list[str]]:
    """Turn a picture into the input of a model that was trained on `dataset`.

    For a data set of photographs: the shorter side is resized to the model's, and the middle cut out. For all others,
    in order: grey; for pictures of ink, without a frame; light on dark; for pictures of ink, the full range of
    brightness; size and place. MNIST's own preparation: the ink's longer side is scaled to `ink_box`, and the ink is
    put down with its centre of mass in the middle, unless it is as large and lies there already. (Some of the 8 x 8
    digits lie a pixel aside: one that was moved by a pixel may pass for one of these.) Other sets' pictures are padded
    to a square and resized.

    Parameters
    ----------
    image : uint8 array [H, W, C], C = 1 or 3, as `read_image` returns it
    dataset : Dataset

    Returns
    -------
    image : array of float32 [side, side, channels], values -1 to 1
    notes : list of str, one short sentence for each thing that was done

    Raises
    ------
    DataError
        If the picture is blank: a class predicted for nothing would only look like an answer. Photographs may be.
    """
    if dataset.photos:
        return as_member(image, dataset)
    grey, notes = _to_grey(image)
    if dataset.ink_box is not None:
        grey, notes = _without_frame(grey, notes)
    grey, notes = _light_on_dark(grey, notes)
    if dataset.ink_box is not None:
        grey, notes = _stretch(grey, notes)
    arrange = _pad_and_resize if dataset.ink_box is None else _centre_ink
    grey, notes = arrange(grey, notes, dataset)
    return scale(grey, 255)[:, :, None], notes


def _to_grey(image):
    """float32 [H, W], values 0 to 255."""
    first = image[:, :, :1]
    if (image == first).all():
        return first[:, :, 0].astype(np.float32), []
    grey = np.empty(image.shape[:2], np.float32)
    for row, colours in zip(grey, image, strict=True):  # all at once would take ten times the picture's memory
        row[:] = colours @ np.array(LUMA)
    return grey, ["converted from colour to grey"]


def _without_frame(grey, notes):
    """Cut off a dark frame around light paper, as a scan has it, or a light one: it would be taken for the ground.

    All of the border is then on one side of the middle brightness, and all of a rectangle not far inside on the other.
    A box that was drawn around the ink is cut off likewise: first what is outside, then its lines.
    """
    height, width = grey.shape
    middle = (grey.min() + grey.max()) / 2
    outside = (_border(grey) > middle).mean()
    if min(outside, 1 - outside) < MIXED:
        for thick in range(1, int(THICKEST * min(height, width)) + 1):
            inner = grey[thick : height - thick, thick : width - thick]
            if abs((_border(inner) > middle).mean() - outside) > 1 - MIXED:
                return _without_frame(inner, [*notes, FRAME] if FRAME not in notes else notes)
    return grey, notes


def _light_on_dark(grey, notes):
    """Invert where the ground, which the border shows, is nearer to the lightest pixel than to the darkest."""
    low, high = grey.min(), grey.max()
    if high - low < LEAST_CONTRAST:
        found = f"found a blank picture (brightness {low:.0f} to {high:.0f} of 255)"
        raise DataError(f"{found}, expected something drawn on it; transparent parts count as white")
    ground = np.median(_border(grey))
    if ground - low <= high - ground:
        return grey, notes
    return 255 - grey, [*notes, "inverted: the background was lighter than the ink"]


def _stretch(grey, notes):
    """Bring a grey ground down to 0 and faint ink up to 255; what is black and white already stays exactly as it is."""
    ground, peak = np.median(_border(grey)), grey.max()
    if ground <= DARK and peak >= BRIGHT:
        return grey, notes
    # Grey ground is photographed paper, which is not even: what is a little lighter or darker is ground as well.
    low = ground + (peak - ground) / 8 if ground > DARK else ground
    grey = np.clip((grey - low) * (255 / (peak - low)), 0, 255)
    return grey, [*notes, f"raised the contrast: brightness {low:.0f} to {peak:.0f} became 0 to 255"]


def _border(grey):
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _centre_ink(grey, notes, dataset):
    """The ink in the data set's size and place; where it has them already, to the pixel, the picture stays as it is."""
    side, box, shape = dataset.side, dataset.ink_box * dataset.side, grey.shape
    for least in (DARK + 1, INK):  # with the strokes' faint edges; and without, in case of noise
        rows, columns = _extent(grey, least)
        ink = grey[rows, columns]
        if SMALLEST * box <= max(ink.shape) <= box:
            if shape == (side, side) and _in_place(ink, (rows.start, columns.start), dataset):
                return grey, notes
            return _put_down(ink, dataset), [*notes, CENTRED, *_wide(ink)]
    ink = _resize(ink, box / max(ink.shape))
    picture = _put_down(ink, dataset)
    resized = f"from {shape[1]}x{shape[0]} to {side}x{side}" if shape != (side, side) else "the ink"
    notes = [*notes, CENTRED, f"resized {resized}", *_wide(ink)]
    if ink.max() < BRIGHT:
        return picture / ink.max() * 255, [*notes, "brightened: the ink's strokes are thinner than a pixel"]
    return picture, notes


def _wide(ink):
    """What is to be said of ink that cannot be one of the set's figures, if it is that wide."""
    return [SEVERAL] if ink.shape[1] > WIDE * ink.shape[0] else []


def _extent(grey, least):
    """The rows and the columns, as slices, from the first to the last that have a pixel at least so bright."""
    lines = (np.flatnonzero((grey >= least).any(axis=axis)) for axis in (1, 0))
    return tuple(slice(there[0], there[-1] + 1) for there in lines)


def _mass_centre(ink, axis):
    """The index, along an axis, of the ink's centre of mass; rounded, for 9.5 is to be 9.5, whatever a sum's error."""
    profile = ink.sum(axis=1 - axis)
    return np.round((profile * np.arange(len(profile))).sum() / profile.sum(), 4)


def _in_place(ink, corner, dataset):
    """Whether ink that begins in this row and column lies as in the data set's own pictures."""
    off = (corner[axis] + _mass_centre(ink, axis) - dataset.ink_centre for axis in (0, 1))
    return all(abs(pixels) <= dataset.ink_spread for pixels in off)


def _put_down(ink, dataset):
    """Ink on black: its centre of mass lies at the data set's, and none of it over the edge."""
    picture = np.zeros((dataset.side, dataset.side), dtype=np.float32)
    wanted = (int(np.rint(dataset.ink_centre - _mass_centre(ink, axis))) for axis in (0, 1))
    top, left = (min(max(first, 0), dataset.side - size) for first, size in zip(wanted, ink.shape, strict=True))
    picture[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return picture


def _pad_and_resize(grey, notes, dataset):
    """Pad evenly to a square with background, then resize."""
    height, width = grey.shape
    longer = max(height, width)
    square = np.zeros((longer, longer), dtype=np.float32)
    top, left = (longer - height) // 2, (longer - width) // 2
    square[top : top + height, left : left + width] = grey
    if height != width:
        notes = [*notes, "padded to a square"]
    if longer == dataset.side:
        return square, notes
    notes = [*notes, f"resized from {width}x{height} to {dataset.side}x{dataset.side}"]
    return _resize(square, dataset.side / longer), notes


def _resize(grey, factor):
    """Resize by a factor, with anti-aliasing: each new pixel is a weighted mean over all the old ones that it covers.

    Hamming's window is nearly the plain mean when shrinking, smooth when enlarging, and never rings. MNIST's own test
    images, enlarged tenfold and put anywhere on white paper, come back so that a nearest-neighbour classifier reads as
    many of them as before.
    """
    from PIL import Image

    height, width = (max(1, round(size * factor)) for size in grey.shape)
    return np.asarray(Image.fromarray(grey).resize((width, height), Image.Resampling.HAMMING))
