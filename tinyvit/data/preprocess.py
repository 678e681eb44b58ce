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


def prepare(image: np.ndarray, dataset: Dataset) -> tuple[np.ndarray, list[str]]:
    """Turn a picture into the input of a model that was trained on `dataset`.

    For a data set of photographs: the shorter side is resized to the model's, and the middle cut out. For all others,
    in order: grey; light on dark; for pictures of ink the full range of brightness; and, unless the picture has the
    model's size already, its size and place. MNIST's own preparation: the ink's longer side is scaled to `ink_box`,
    and the ink is put down with its centre of mass in the middle. Other sets' pictures are padded to a square and
    resized.

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
    grey, notes = _light_on_dark(grey, notes)
    if dataset.ink_box is not None:
        grey, notes = _stretch(grey, notes)
    if grey.shape != (dataset.side, dataset.side):
        arrange = _pad_and_resize if dataset.ink_box is None else _centre_ink
        grey, notes = arrange(grey, notes, dataset)
    return scale(grey, 255)[:, :, None], notes


def _to_grey(image):
    """float32 [H, W], values 0 to 255."""
    first = image[:, :, :1]
    if (image == first).all():
        return first[:, :, 0].astype(np.float32), []
    return (image @ np.array(LUMA)).astype(np.float32), ["converted from colour to grey"]


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
    """Crop to the ink, scale it to the box, put it down by its centre of mass."""
    side = dataset.side
    height, width = grey.shape
    rows, columns = (np.flatnonzero((grey >= INK).any(axis=axis)) for axis in (1, 0))
    ink = grey[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    ink = _resize(ink, dataset.ink_box * side / max(ink.shape))
    top, left = (_place(ink.sum(axis=1 - axis), dataset.ink_centre, side) for axis in (0, 1))
    picture = np.zeros((side, side), dtype=np.float32)
    picture[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    notes = [*notes, "cropped to the ink and centred", f"resized from {width}x{height} to {side}x{side}"]
    if ink.max() < BRIGHT:
        return picture / ink.max() * 255, [*notes, "brightened: the ink's strokes are thinner than a pixel"]
    return picture, notes


def _place(profile, centre, side):
    """Where the ink begins along one axis: its centre of mass lies at `centre`, and none of it over the edge."""
    mass_centre = (profile * np.arange(len(profile))).sum() / profile.sum()
    return int(np.clip(np.rint(centre - mass_centre), 0, side - len(profile)))


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
