"""The Vision Transformer on one line, from an image to the loss: a map for readers, with the part at hand in colour."""

import functools

import numpy as np

from tinyvit.data import load_data
from tinyvit.errors import UsageError
from tinyvit.ops.patches import patchify
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, picture

PARTS = (
    "image",
    "patches",
    "tokens",
    "class token",
    "positions",
    "norm",
    "attention",
    "mlp",
    "addition",
    "blocks",
    "readout",
    "head",
    "loss",
)
PATCH = 2  # pixels: the digit of 8 x 8 pixels is cut in 4 x 4 patches
WIDTH, TOP, BOTTOM, BACKWARD = 780, 224, 24, 0  # the drawing's edges, in hundredths of an inch
STREAM, BRANCH = 92, 150  # how high the residual stream lies, and its branches
ROW = 5  # height of a token
BACK = 9  # how far below the way forward the gradient comes back
GREY, WORDS = "#bbbbbb", "#777777"


def overview(*lit, backward=False):
    """Draw the Vision Transformer from an image to the loss, the parts named in `lit` in colour, all others grey.

    Parameters
    ----------
    lit : str
        Any of PARTS.
    backward : bool
        Draw also the way of the gradient, from the loss back to the image: orange arrows.

    Returns
    -------
    matplotlib.figure.Figure
        Above each part the number of the notebook that explains it, below what is computed its shape: B images of
        H x W pixels and C channels, N patches of P x P pixels, T = N + 1 tokens of D numbers, K classes. A token is
        as dark as its patch is light.

    Raises
    ------
    UsageError
        If there is no such part.
    """
    for part in lit:
        if part not in PARTS:
            raise UsageError(f"a part of the overview: found {part!r}, expected one of {', '.join(PARTS)}")
    bottom = BACKWARD if backward else BOTTOM
    figure = new_figure(WIDTH / 100, (TOP - bottom) / 100)
    figure.set_layout_engine("none")  # every place is given
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(bottom, TOP), autoscale_on=False)
    axes.axis("off")
    _Drawing(axes, frozenset(lit), backward).draw()
    return figure


class _Drawing:
    """The parts on their places; each asks whether it is lit."""

    def __init__(self, axes, lit, backward):
        self.axes, self.lit, self.backward = axes, lit, backward

    def draw(self):
        """All of it, from left to right."""
        image, label = _digit()
        patches, _ = patchify(image[None], PATCH)
        ink = (patches[0].mean(axis=-1) + 1) / 2
        self.image(image)
        self.patches(image)
        self.table("tokens", 174, ink, "[B, N, D]", "01")
        self.tokens_with_class(240, ink)
        self.table("positions", 312, np.linspace(1, 0, 1 + len(ink)), "[T, D]", "05")
        self.sign(293, STREAM, "positions")
        for start, end in ((64, 83), (149, 172), (210, 238)):
            self.way((start, STREAM), (end, STREAM))
        self.blocks(358, 598)
        self.readout(620)
        self.head(label)
        self.loss()
        if self.backward:
            words = "the way of the gradient: from the loss back to every parameter"
            self.axes.text(WIDTH / 2, 10, words, color=ORANGE, ha="center", va="center", fontsize=8)

    def image(self, image):
        """The image as it is."""
        self.pixels("image", image, 8, STREAM - 27, 54)
        self.words("image", 35, "[B, H, W, C]", "01")

    def patches(self, image):
        """The same pixels, with gaps between the patches."""
        side, gap = 13, 3
        grid = len(image) // PATCH
        for n in range(grid**2):
            i, j = divmod(n, grid)
            cut = image[i * PATCH : (i + 1) * PATCH, j * PATCH : (j + 1) * PATCH]
            left, bottom = 86 + j * (side + gap), STREAM + 18 - i * (side + gap)
            self.pixels("patches", cut, left, bottom, side)
        self.words("patches", 116.5, "[B, N, P P C]", "01")

    def pixels(self, part, image, left, bottom, side):
        """A piece of the image; of a part that is not lit, faint."""
        extent = (left, left + side, bottom, bottom + side)
        faint = 1 if part in self.lit else 0.45
        style = dict(cmap="gray", vmin=0, vmax=1, alpha=faint, zorder=2, aspect="auto")
        self.axes.imshow(picture(image), extent=extent, **style)
        self.box(left, bottom, side, side, part, fill="none")

    def table(self, part, left, shades, shape, notebook):
        """A row for each token, in a shade of its own."""
        self.rows(left, [(part, shade) for shade in shades])
        self.words(part, left + 17, shape, notebook)

    def tokens_with_class(self, left, ink):
        """The tokens again, and on top of them the class token."""
        self.rows(left, [("class token", 1), *(("tokens", shade) for shade in ink)])
        self.words("class token", left + 17, "[B, T, D]", "01")

    def rows(self, left, rows):
        """Rows (part, shade from 0 to 1), from above; a table of 17 rows ends above one of 16."""
        bottom = STREAM - 8 * ROW
        for i, (part, shade) in enumerate(reversed(rows)):
            colour = self.colour(part, ORANGE if part == "class token" else BLUE)
            self.box(left, bottom + i * ROW, 34, ROW - 1, None, fill=colour, alpha=0.25 + 0.75 * shade)

    def blocks(self, left, right):
        """The residual stream with its two branches, in a frame."""
        lit = "blocks" in self.lit
        self.box(left, STREAM - 24, right - left, 110, "blocks", fill="#e8f2f8" if lit else "#f6f6f6", zorder=0)
        stream = dict(color=self.colour("blocks"), linewidth=4 if lit else 3, solid_capstyle="butt", zorder=1)
        self.axes.plot([350, right + 15], [STREAM, STREAM], **stream)
        self.branch(left + 10, "attention", 60, "attention", "03 04")
        self.branch(left + 130, "mlp", 44, "MLP", "06")
        self.words("blocks", (left + right) / 2, "[B, T, D]", "07", name="block, L times")
        if self.backward:
            self.arrow((right + 15, STREAM - BACK), (350, STREAM - BACK), ORANGE)

    def branch(self, left, part, width, name, notebook):
        """Out of the stream, through the norm and the part, and added to the stream again."""
        middle, end = left + 34, left + 34 + width
        self.way((left, STREAM), (left, BRANCH), (left + 6, BRANCH), reverse=False)
        self.named_box(left + 6, 22, "norm", "LN", "06")
        self.way((left + 28, BRANCH), (middle, BRANCH), reverse=False)
        self.named_box(middle, width, part, name, notebook)
        self.way((end, BRANCH), (end + 9, BRANCH), (end + 9, STREAM + 7), reverse=False)
        self.sign(end + 9, STREAM, "addition")
        self.text(end + 14, STREAM + 14, "07", "addition", 6.5, ha="left")
        if self.backward:
            self.arrow((end + 9 - BACK, STREAM + 4), (end + 9 - BACK, BRANCH - 11), ORANGE)
            self.arrow((left + BACK, BRANCH - 11), (left + BACK, STREAM + 3), ORANGE)

    def named_box(self, left, width, part, name, notebook, y=BRANCH):
        """A part that is a function."""
        lit = part in self.lit
        self.box(left, y - 10, width, 20, part, fill=self.colour(part) if lit else "white")
        style = dict(ha="center", va="center", fontsize=7.5, zorder=4)
        self.axes.text(left + width / 2, y - 0.5, name, color="white" if lit else WORDS, **style)
        self.text(left + width / 2, y + 17, notebook, part, 6.5)

    def readout(self, left):
        """The class token's row, and its norm."""
        part = "norm" if "norm" in self.lit else "readout"
        self.box(left, STREAM - 2, 24, ROW - 1, None, fill=self.colour("readout", ORANGE))
        self.way((left + 25, STREAM), (left + 33, STREAM))
        self.named_box(left + 33, 22, part, "LN", "", STREAM)
        self.words("readout", left + 26, "[B, D]", "07 14")
        self.way((left + 56, STREAM), (left + 66, STREAM))

    def head(self, label):
        """One linear layer, and what it says of ten classes."""
        left = 684
        self.box(left, STREAM - 14, 10, 28, "head", fill=self.colour("head") if "head" in self.lit else "white")
        for k in range(10):
            self.box(left + 14 + 3.2 * k, STREAM - 14, 2.4, 28 if k == label else 9, None, fill=self.colour("head"))
        self.words("head", left + 22, "[B, K]", "02")
        self.way((left + 47, STREAM), (left + 57, STREAM))

    def loss(self):
        """One number."""
        from matplotlib.patches import Circle

        lit, centre = "loss" in self.lit, (757, STREAM)
        fill = self.colour("loss") if lit else "white"
        self.axes.add_patch(Circle(centre, 15, facecolor=fill, edgecolor=self.colour("loss"), zorder=3))
        self.axes.text(*centre, r"$\mathcal{L}$", color="white" if lit else WORDS, ha="center", va="center", zorder=4)
        self.words("loss", centre[0], "scalar", "02 09")

    def sign(self, x, y, part):
        """A plus in a circle."""
        from matplotlib.patches import Circle

        self.axes.add_patch(Circle((x, y), 6, facecolor="white", edgecolor=self.colour(part), linewidth=1.2, zorder=3))
        self.axes.text(x, y - 0.5, "+", color=self.colour(part), ha="center", va="center", fontsize=9, zorder=4)

    def way(self, *points, reverse=True):
        """An arrow forward through these points, and below it, where it lies in the stream's line, one back."""
        *before, last = points
        if len(points) > 2:
            self.axes.plot(*zip(*before, strict=True), color=GREY, linewidth=1, zorder=1)
        self.arrow(before[-1], last, GREY)
        if self.backward and reverse:
            (start, y), (end, _) = points
            self.arrow((end, y - BACK), (start, y - BACK), ORANGE)

    def arrow(self, start, end, colour):
        """An arrow between two points."""
        style = dict(arrowstyle="-|>,head_width=0.18,head_length=0.35", color=colour, linewidth=1, shrinkA=0, shrinkB=0)
        self.axes.annotate("", end, start, arrowprops=style, zorder=2)

    def box(self, left, bottom, width, height, part, fill, alpha=1, zorder=2):
        """A rectangle; that of a part has a frame."""
        from matplotlib.patches import Rectangle

        edge = dict(edgecolor=self.colour(part), linewidth=1) if part else dict(edgecolor="none")
        style = dict(facecolor=fill, alpha=alpha, zorder=zorder) | edge
        self.axes.add_patch(Rectangle((left, bottom), width, height, **style))

    def words(self, part, x, shape, notebook, name=None):
        """Above a part the notebook and the name, below it the shape."""
        self.text(x, 212, notebook, part, 6.5)
        self.text(x, 198, name or part, part, 8)
        self.text(x, 36, shape, part, 7)

    def text(self, x, y, words, part, size, ha="center"):
        """Words in the part's colour."""
        lit = part in self.lit
        colour = self.colour(part, ORANGE if part == "class token" else BLUE) if lit else WORDS
        self.axes.text(x, y, words, color=colour, ha=ha, va="center", fontsize=size, weight="bold" if lit else "normal")

    def colour(self, part, lit=BLUE):
        """Of a part: in colour or grey."""
        return lit if part in self.lit else GREY


@functools.cache
def _digit():
    """An image of the digits, and its label."""
    (images, labels), _ = load_data("digits")
    return images[2], int(labels[2])
