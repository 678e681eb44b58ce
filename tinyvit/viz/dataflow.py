"""The summary as a picture: every tensor a box, below those that it is made from."""

from collections import Counter

from tinyvit.viz.picture import BLUE, ORANGE, new_figure
from tinyvit.viz.summary import LISTED, block_number

WIDTH, HEIGHT = 0.88, 0.66  # of a box; columns and lines are 1 apart
SKIP = -0.75  # left of the boxes: where the residual connections run
NUMBERS = (1.5, 2.55, 3.55)  # right of the boxes: right ends of the columns of numbers
APART = 4  # columns from the right end of a stream to the next one's own
LONG = 3  # tensors, from which on what comes in has a stream of its own
LETTER = 0.15  # lines that a letter of a frame's label takes
GREY, FILL = "#666666", "#d6e9f5"


def dataflow_figure(summary):
    """The forward pass, from the input above to the output below; a block stands for the next ones that are alike.

    Parameters
    ----------
    summary : Summary
        From `shapes`.

    Returns
    -------
    matplotlib.figure.Figure
        Boxes are tensors, with their shapes: filled if the cache keeps them for the backward pass, dashed if they lie
        in another's memory. Orange lines are matrix products. On the right, the numbers of all tensors in a line.
    """
    forward = summary.forward
    blocks = list(forward.alike())
    shown = {
        row.name: like.name
        for _, rows, others in blocks
        for _, more in others
        for row, like in zip(more, rows, strict=True)
    }
    rows = [row for _, rows, _ in blocks for row in rows]
    rows = [row._replace(inputs=tuple(dict.fromkeys(shown.get(name, name) for name in row.inputs))) for row in rows]
    streams = _streams(rows)
    places, bases = _places(rows, streams)
    columns = [-1, 1, *(x for x, _ in places.values())]  # at least three: the key is on the left
    left, right = min(columns), max(columns)
    lines = 1 + max(y for _, y in places.values())
    figure = new_figure(5.2 + (right - left + 1) * 4 / 3, 0.47 * (lines + 2.2))
    axes = figure.add_subplot(xlim=(left - 1.3, right + 3.6), ylim=(lines + 0.9, -1.3))
    axes.axis("off")
    ends = [(base + left, after - APART) for base, after in zip(bases, [*bases[1:], right + APART], strict=True)]
    for number, rows_, others in blocks:
        if number is not None:
            stream = max(i for row in rows_ for i, names in enumerate(streams) if not i or row.name in names)
            of_stream = [row.name for row in rows_ if row.name in streams[stream]] or [row.name for row in rows_]
            _frame(axes, *ends[stream], [places[name][1] for name in of_stream], _label(rows_[0], number, others))
    for row in rows:
        for name in row.inputs:
            _line(axes, places[name], places[row.name], (left, bases), ORANGE if row.multiply_adds else GREY)
    for row in rows:
        _box(axes, *places[row.name], row)
    _key(axes)
    _numbers(axes, rows, places, (left, right), lines, forward)
    return figure


def _label(row, number, others):
    """What a frame is called: its list, if that is no long path, and how many blocks, or which one."""
    name = LISTED.match(row.name)[1]
    name = name if name.count("/") < 2 else name.rpartition("/")[2]
    return f"{name.removesuffix('s')} × {1 + len(others)}" if others else f"{name}/{number}"


def _streams(rows):
    """The names of what comes from the first input; and, of an encoder and decoder, of all that the second has to do
    with: it is long before it meets the first, as no mask is, and no weight.
    """
    given, root = {}, {}  # what does not come from the first: how long it is so far, and what it begins with
    for row in rows[1:]:
        if all(name in given for name in row.inputs) and (row.inputs or not row.parameters):
            given[row.name] = 1 + max((given[name] for name in row.inputs), default=0)
            root[row.name] = root[row.inputs[0]] if row.inputs else row.name
    longest = max(given, key=given.__getitem__, default=None)
    first, second = {rows[0].name}, {root[longest]} if longest and given[longest] >= LONG else set()
    for row in rows:
        if second.intersection(row.inputs):
            second.add(row.name)
        elif first.intersection(row.inputs):
            first.add(row.name)
    return [first, second] if second else [first]


def _places(rows, streams):
    """{name: (column, line)}, and each stream's own column.

    What is made stands below all inputs; beside each other is what is on the same line. What is made from one tensor
    stands below it; if that is three times so, as q, k and v, on both sides of it. What nobody reads but the backward
    pass, and what comes in on the way, masks for instance, stands on the right.
    """
    places, taken, bases = {}, set(), []
    read = {name for row in rows for name in row.inputs}
    streamed = set().union(*streams)
    given = {row.name: row.inputs for row in rows if row.name not in streamed}

    def put(name, column, line):
        while (column, line) in taken:
            column += 1
        taken.add((column, line))
        places[name] = (column, line)

    def beside(names, column, line):
        for name in names:
            if name in given and name not in places:
                put(name, column, line)
                beside(given[name], column, line)

    for stream in streams:
        base = max((x for x, _ in places.values()), default=-APART) + APART
        bases.append(base)
        made = [row for row in rows if row.name in stream]
        noted = {row.name for row in made[:-1] if row.name not in read}
        several = Counter(row.inputs for row in made if row.name not in noted)
        met = Counter()
        for row in made:
            above = [places[name] for name in row.inputs if name in places]
            line = 1 + max((y for _, y in above), default=-1)
            column = above[0][0] if len(above) == 1 else base
            if row.name in noted:
                column += 1
            elif several[row.inputs] > 2:
                column += met[row.inputs] - (several[row.inputs] - 1) // 2
                met[row.inputs] += 1
            put(row.name, column, line)
            beside(row.inputs, base + 1, line)
    beside(given, 1, 0)
    return places, bases


def _box(axes, x, y, row):
    from matplotlib.patches import Rectangle

    kept, view = row.memory == "kept", row.bytes == 0
    style = dict(facecolor=FILL if kept else "white", edgecolor=BLUE, linestyle="--" if view else "-", zorder=2)
    axes.add_patch(Rectangle((x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, **style))
    block = LISTED.match(row.name)[0] if block_number(row) is not None else ""
    name = "/".join(row.name.split("/")[-2:]) if row.name == block else row.name.removeprefix(f"{block}/")
    axes.text(
        x,
        y,
        f"{name}\n{list(row.shape)}",
        ha="center",
        va="center",
        fontsize=7 if len(name) < 20 else 6,
        linespacing=1.3,
        zorder=3,
    )


def _line(axes, start, end, stream, colour):
    (x0, y0), (x1, y1), (left, bases) = start, end, stream
    if y1 - y0 > 3 and x0 == x1 and x0 in bases:  # a residual connection: around all that it skips
        side, edge = x0 + left + SKIP, x0 - WIDTH / 2
        xs, ys = [edge, side, side, edge], [y0 + 0.12, y0 + 0.12, y1 - 0.12, y1 - 0.12]
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


def _frame(axes, left, right, lines, label):
    from matplotlib.patches import Rectangle

    top, bottom = min(lines) - 0.45, max(lines) + 0.45
    axes.add_patch(
        Rectangle((left - 1.2, top), right - left + 2, bottom - top, facecolor="#f3f3f3", edgecolor="none", zorder=0)
    )
    if LETTER * len(label) < bottom - top:
        axes.text(left - 1.12, top + 0.12, label, fontsize=8, va="top", rotation=90, color="#444444")


def _numbers(axes, rows, places, ends, lines, forward):
    """Beside each line the sums of its tensors' numbers; below, those of the whole model."""
    left, right = ends
    for column, x in zip((2, 3, 4), NUMBERS, strict=True):
        style = dict(x=right + x, ha="right", va="center", fontsize=7.5)
        axes.text(**style | dict(y=-0.9, fontsize=8), s=rows[0]._fields[column].replace("_", "-"), weight="bold")
        for line in range(lines):
            if number := sum(row[column] for row in rows if places[row.name][1] == line):
                axes.text(**style, y=line, s=f"{number:,}")
        axes.text(**style, y=lines + 0.3, s=f"{forward.totals[column - 2]:,}", weight="bold")
    axes.text(left - 1.12, lines + 0.3, "the whole model", va="center", fontsize=8, weight="bold")
