"""A computation graph with its numbers: what each wire carries forward, and below it the gradient that comes back."""

from itertools import pairwise

import numpy as np

from tinyvit.errors import UsageError
from tinyvit.viz.picture import BLUE, ORANGE, new_figure

LINE, COLUMN, GAP = 0.17, 0.44, 0.08  # inches: a line of text, a column of numbers, what is left free around them
BOX, HALF, STUB = 0.8, 0.15, 0.24  # a function's least width, half its height, the wire that comes in from below
SIZE = 8.5  # points


def computation_graph(steps, wires):
    """Draw a chain of functions and the numbers on its wires, in black what is computed, in orange its gradient.

    Parameters
    ----------
    steps : list of (function, inputs, output)
        The function's name, the names of the wires that lead in, and of the one that leads out. The first input of each
        is the output of the one before; a second input comes in from below.
    wires : {name: (array, gradient)}
        What the forward pass puts on each wire, and the gradient of the loss by that, of the same shape: numbers,
        vectors or matrices.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    UsageError
        If the steps are no chain, or a gradient has another shape than what it is the gradient of.
    """
    for (_, _, made), (name, (taken, *_), _) in pairwise(steps):
        if made != taken:
            raise UsageError(f"{name} takes {taken!r} first: expected {made!r}, which the function before it gives")
    found = {name: _Wire(name, *pair) for name, pair in wires.items()}
    chain = [found[steps[0][1][0]], *(found[made] for _, _, made in steps)]
    side = [found[more[0]] if more else None for _, (_, *more), _ in steps]
    rooms = [max(BOX, wire.width if wire else 0) for wire in side]  # of each function, and of what comes in below it

    bottom = max((HALF + STUB + wire.above + wire.below for wire in side if wire), default=0)
    middle = max(bottom, *(wire.below for wire in chain))
    width, height = sum(rooms) + sum(wire.width for wire in chain), middle + max(wire.above for wire in chain)
    figure = new_figure(width, height)
    figure.set_layout_engine("none")  # every place is given, in inches
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(0, height), autoscale_on=False)
    axes.axis("off")
    line = dict(color="grey", linewidth=0.8, zorder=1)
    axes.plot([GAP, width - GAP], [middle, middle], **line)
    chain[0].draw(axes, chain[0].width / 2, middle)
    left = chain[0].width
    for (name, _, _), wire, below, room in zip(steps, chain[1:], side, rooms, strict=True):
        centre = left + room / 2
        if below:
            end = middle - HALF - STUB
            axes.plot([centre, centre], [middle, end], **line)
            below.draw(axes, centre, end - below.above)
        _function(axes, name, centre, middle)
        left += room + wire.width
        wire.draw(axes, left - wire.width / 2, middle)
    return figure


class _Wire:
    """What is written on one wire, and how much room that takes, in inches."""

    def __init__(self, name, array, gradient):
        array, gradient = np.asarray(array), np.asarray(gradient)
        if array.shape != gradient.shape:
            shapes = f"a gradient {list(gradient.shape)} for an array {list(array.shape)}"
            raise UsageError(f"the wire {name!r}: found {shapes}, expected one shape")
        self.name, self.array, self.gradient = name, np.atleast_2d(array), np.atleast_2d(gradient)
        rows, columns = self.array.shape
        self.width = columns * COLUMN + 2 * GAP
        self.below = GAP + rows * LINE
        self.above = self.below + LINE

    def draw(self, axes, centre, y):
        """The name and the array above the height y, the gradient below it."""
        axes.text(centre, y + self.above - LINE / 2, self.name, ha="center", va="center", fontsize=SIZE, weight="bold")
        self._numbers(axes, self.array, centre, y + self.above - LINE, "black")
        self._numbers(axes, self.gradient, centre, y - GAP / 2, ORANGE)

    def _numbers(self, axes, array, centre, top, colour):
        """The rows of an array from `top` downwards, its columns aligned."""
        right = centre + (array.shape[1] * COLUMN - GAP) / 2
        for (row, column), number in np.ndenumerate(array[:, ::-1]):
            words = f"{round(float(number), 2) + 0.0:.2f}"  # -0.00 is 0.00
            place = right - column * COLUMN, top - (row + 0.5) * LINE
            axes.text(*place, words, ha="right", va="center", fontsize=SIZE, color=colour)


def _function(axes, name, x, y):
    box = {"boxstyle": "round", "facecolor": "white", "edgecolor": BLUE}
    axes.text(x, y, name, ha="center", va="center", fontsize=SIZE, color=BLUE, bbox=box, zorder=2)
