"""What the figures share: an image as matplotlib draws it, attention as heat with the image's outline, colours."""

import functools
import logging
import math

import numpy as np

logger = logging.getLogger(__name__)

BLUE, ORANGE = "#0072b2", "#d55e00"  # Okabe and Ito: told apart by every eye, and in grey
PLACEHOLDERS = "Last Resort"  # matplotlib's own font that has a box for every letter
HEAT = "inferno"  # from black to light yellow: more is lighter, in grey as well
LINE = "#00c8ff"  # a light blue, which is none of HEAT's colours
DETAIL = 32  # pixels: the outline of a larger image follows averages of its pixels


def picture(image):
    """[-1, 1] to [0, 1]; a single channel loses its axis."""
    image = np.clip((image + 1) / 2, 0, 1)
    return image[..., 0] if image.shape[-1] == 1 else image


def show(axes, image):
    """Draw an image, and nothing around it."""
    axes.imshow(picture(image), cmap="gray", vmin=0, vmax=1)
    bare(axes)


def shine(axes, weights, image, most):
    """Draw the weights [N] of an image's patches as heat up to `most`, and over it the image's outline alone.

    So each patch has the colour that the bar gives to its weight. Returns matplotlib's handle to the heat, for the bar.
    """
    H, W = image.shape[:2]
    patch = math.isqrt(H * W // len(weights))
    extent = (-0.5, W - 0.5, H - 0.5, -0.5)
    heat = axes.imshow(weights.reshape(H // patch, W // patch), cmap=HEAT, vmin=0, vmax=most, extent=extent)
    _contour(axes, picture(image))
    bare(axes)
    return heat


def outline(axes, number, grid, patch):
    """Draw a frame around a patch of an image: patch `number`, counted from 0 in raster order in a grid so wide."""
    from matplotlib.patches import Rectangle

    row, column = divmod(number, grid)
    corner = (column * patch - 0.5, row * patch - 0.5)
    axes.add_patch(Rectangle(corner, patch, patch, fill=False, edgecolor=ORANGE, linewidth=2))


def bare(axes):
    """Take ticks and frame away."""
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def plain(axes):
    """A plot with two axes and a light grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def readable(names, kind="class"):
    """Names as a figure can show them: a $ begins no formula, and no letter is a box.

    To be asked before the figure is made, which takes its fonts as it begins. Where no installed font has all the
    letters of a name, the number of what it names is shown instead, as in class 3, and that is said once.
    """
    from matplotlib import font_manager, rcParams

    default = font_manager.get_font(font_manager.findfont(font_manager.FontProperties())).get_charmap()
    missing = {ord(letter) for name in names for letter in name} - default.keys()
    if missing and (font := _font_with(frozenset(missing))):
        rcParams["font.family"] = ["sans-serif", font]  # the second is asked for what the first lacks
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # that it has no bold is no matter
        missing = set()
    return [
        (f"{kind} {k}" if missing & set(map(ord, name)) else name).replace("$", r"\$") for k, name in enumerate(names)
    ]


@functools.cache
def _font_with(letters):
    """The name of an installed font that has all these letters, or None."""
    from matplotlib import font_manager

    def order(font):  # plain letters first, and of those for Chinese the simplified ones
        return "Sans" not in font.name, "SC" not in font.name.split(), font.name

    for font in sorted(font_manager.fontManager.ttflist, key=order):
        if not font.name.startswith(PLACEHOLDERS) and letters <= _letters(font.fname, font_manager):
            return font.name
    some = "".join(map(chr, sorted(letters)[:3]))
    logger.warning("no installed font has the letters %s: figures show numbers for names; Noto Sans CJK has them", some)
    return None


def _letters(file, font_manager):
    """The letters of a font, by number; none if it cannot be read."""
    try:
        return font_manager.get_font(file).get_charmap().keys()
    except (OSError, RuntimeError):
        return set()


def new_figure(width, height):
    """A figure of this size in inches that leaves room for its words; a notebook shows it as what a cell returns."""
    from tinyvit.viz.notebook_figure import NotebookFigure

    return NotebookFigure(figsize=(width, height), layout="constrained", dpi=150)


def _contour(axes, picture):
    """A line around what is lighter than halfway between the darkest and the lightest; none if all is the same.

    Beyond the border it is as dark, or as light, as along most of it: so a stroke that ends there has a closed line.
    """
    brightness = picture if picture.ndim == 2 else picture.mean(axis=-1)
    step = -(-max(brightness.shape) // DETAIL)
    H, W = (side // step for side in brightness.shape)
    coarse = brightness[: H * step, : W * step].reshape(H, step, W, step).mean(axis=(1, 3))
    darkest, lightest = coarse.min(), coarse.max()
    if darkest == lightest:
        return
    middle = (darkest + lightest) / 2
    border = np.concatenate([coarse[0], coarse[-1], coarse[:, 0], coarse[:, -1]])
    beyond = lightest if np.median(border) > middle else darkest
    rows, columns = (step * np.arange(-1, count + 1) + (step - 1) / 2 for count in (H, W))  # the middle of each step
    around = np.pad(coarse, 1, constant_values=beyond)
    axes.contour(columns, rows, around, levels=[middle], colors=LINE, linewidths=1)
    axes.set(xlim=(-0.5, picture.shape[1] - 0.5), ylim=(picture.shape[0] - 0.5, -0.5))
