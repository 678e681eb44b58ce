"""The shape ledger as a picture: every tensor a box, below those that it is made from."""

import itertools
import re

from tinyvit.viz.ledger import Ledger, block_number
from tinyvit.viz.picture import BLUE, ORANGE, new_figure

WIDTH, HEIGHT = 0.88, 0.66  # of a box; columns and lines are 1 apart
SKIP = -1.75  # where the residual connections run
NUMBERS = (2.5, 3.55, 4.55)  # right ends of the columns beside the boxes
GREY, FILL = "#666666", "#d6e9f5"


def dataflow_figure(ledger):
    """The forward pass, from the image above to the logits below; the first block stands for all.

    Parameters
    ----------
    ledger : Ledger
        From `shapes`.

    Returns
    -------
    matplotlib.figure.Figure
        Boxes are tensors, with their shapes: filled if the cache keeps them for the backward pass, dashed if they lie
        in another's memory. Orange lines are matrix products. On the right, the numbers of all tensors in a line.
    """
    forward = list(itertools.takewhile(lambda row: row.name != "dhead", ledger))
    depth = 1 + max(block_number(row) for row in forward if block_number(row) is not None)
    rows = [_with_first(row, depth) for row in forward if block_number(row) in (None, 0)]
    places = _places(rows)
    lines = 1 + max(y for _, y in places.values())
    figure = new_figure(9.2, 0.47 * (lines + 2.2))
    axes = figure.add_subplot(xlim=(-2.3, 4.6), ylim=(lines + 0.9, -1.3))
    axes.axis("off")
    _frame(axes, [places[row.name][1] for row in rows if block_number(row) == 0], depth)
    for row in rows:
        for name in row.inputs:
            _line(axes, places[name], places[row.name], ORANGE if row.multiply_adds else GREY)
    for row in rows:
        _box(axes, *places[row.name], row)
    _key(axes)
    _numbers(axes, rows, places, lines, Ledger(forward))
    return figure


def _with_first(row, depth):
    """The row, made from the first block where it was made from the last."""
    return row._replace(inputs=tuple(re.sub(rf"^blocks/{depth - 1}/", "blocks/0/", name) for name in row.inputs))


def _places(rows):
    """{name: (column, line)}: below all inputs; beside each other what is on the same line."""
    places, line = {}, -1
    for row in rows:
        above = [places[name][1] for name in row.inputs if not name.endswith("/mask")]
        line = 1 + max(above, default=line)  # a mask is drawn beside what it makes
        single = len(row.inputs) == 1 and not row.parameters
        column = places[row.inputs[0]][0] if single else 0
        match row.name.rpartition("/")[2]:
            case "rstd" | "dydx" | "mask":  # noted on the side
                column = 1
            case "q" if row.parameters:
                column = -1
            case "r":  # of the queries, with relative positions
                column = -1
            case "v":
                column = 1
        places[row.name] = (column, line)
    return places


def _box(axes, x, y, row):
    from matplotlib.patches import Rectangle

    kept, view = row.memory == "kept", row.bytes == 0
    style = dict(facecolor=FILL if kept else "white", edgecolor=BLUE, linestyle="--" if view else "-", zorder=2)
    axes.add_patch(Rectangle((x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, **style))
    name = re.sub(r"^blocks/\d+/", "", row.name)
    axes.text(x, y, f"{name}\n{list(row.shape)}", ha="center", va="center", fontsize=7, linespacing=1.3, zorder=3)


def _line(axes, start, end, colour):
    (x0, y0), (x1, y1) = start, end
    if y1 - y0 > 3 and x0 == x1 == 0:  # a residual connection: around all that it skips
        xs, ys = [-WIDTH / 2, SKIP, SKIP, -WIDTH / 2], [y0 + 0.12, y0 + 0.12, y1 - 0.12, y1 - 0.12]
        axes.plot(xs[-1] - 0.06, ys[-1], ">", color=colour, markersize=4)
    elif y0 == y1:  # a mask
        xs, ys = [x0 - WIDTH / 2, x0 - WIDTH / 2, x1 + WIDTH / 2, x1 + WIDTH / 2], [y0] * 4
    else:
        middle = y1 - 0.5
        xs, ys = [x0, x0, x1, x1], [y0 + HEIGHT / 2, middle, middle, y1 - HEIGHT / 2]
    axes.plot(xs, ys, color=colour, linewidth=1.6 if colour == ORANGE else 1, solid_joinstyle="round", zorder=1)


def _key(axes):
    """What filling, border and lines mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=FILL, edgecolor=BLUE, label="kept in the cache"),
        Patch(facecolor="white", edgecolor=BLUE, label="passing"),
        Patch(facecolor="white", edgecolor=BLUE, linestyle="--", label="in another's memory"),
        Line2D([], [], color=ORANGE, linewidth=1.6, label="matrix product"),
    ]
    axes.legend(handles=handles, loc="upper left", fontsize=8, frameon=False)


def _frame(axes, lines, depth):
    from matplotlib.patches import Rectangle

    top, bottom = min(lines) - 0.45, max(lines) + 0.45
    axes.add_patch(Rectangle((-2.2, top), 4.0, bottom - top, facecolor="#f3f3f3", edgecolor="none", zorder=0))
    axes.text(-2.12, top + 0.12, f"block × {depth}", fontsize=8, va="top", rotation=90, color="#444444")


def _numbers(axes, rows, places, lines, forward):
    """Beside each line the sums of its tensors' numbers; below, those of the whole model."""
    for column, x in zip((2, 3, 4), NUMBERS, strict=True):
        axes.text(x, -0.9, rows[0]._fields[column].replace("_", "-"), ha="right", fontsize=8, weight="bold")
        for line in range(lines):
            if number := sum(row[column] for row in rows if places[row.name][1] == line):
                axes.text(x, line, f"{number:,}", ha="right", va="center", fontsize=7.5)
        axes.text(
            x, lines + 0.3, f"{forward.totals[column - 2]:,}", ha="right", va="center", fontsize=7.5, weight="bold"
        )
    axes.text(-2.12, lines + 0.3, "the whole model", va="center", fontsize=8, weight="bold")
