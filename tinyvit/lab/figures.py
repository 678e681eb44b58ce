"""Figures of the lab: means, with the intervals of `estimate`, and every seed as a dot."""

import math

import numpy as np

from tinyvit.lab.statistics import estimate
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

GREEN, PURPLE, BLACK = "#009e73", "#cc79a7", "#000000"  # Okabe and Ito, too
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, BLACK)
MARKS = "os^Dv"
APART = 4  # points of print, from one line's intervals to the next one's
BELOW = 0.22  # rows, from the mean of a setting with a name down to its seeds
BESIDE = 2.5  # points of print, from a line's intervals to its seeds
DOTS = dict(linestyle="none", marker="o", markersize=3.2, markeredgewidth=0, alpha=0.45, zorder=3)  # faint


def panels(count, width=9.0, height=3.6):
    """A figure with so many plots side by side; returns it and their axes."""
    figure = new_figure(width, height)
    axes = figure.subplots(1, count, squeeze=False)[0]
    for each in axes:
        plain(each)
    return figure, axes


def points(axes, names, values, *, factor=100, numbers=None):
    """One point above another, with intervals: for settings that have names; below each, the values of its seeds.

    `numbers` choose each one's colour, as in a `line`; without, all are blue.
    """
    places = range(len(names))[::-1]
    means, halves = _numbers(map(estimate, values), factor)
    for i, number in enumerate(numbers or [0] * len(names)):
        style = dict(color=COLOURS[number % len(COLOURS)])
        axes.errorbar(means[i], places[i], xerr=halves[i], fmt="o", markersize=4, capsize=3, linewidth=1, **style)
        axes.plot(factor * np.asarray(values[i]), [places[i] - BELOW] * len(values[i]), **DOTS, **style)
    axes.set_yticks(places, names)
    axes.set_ylim(-0.7, len(names) - 0.3)


def seeds(axes, x, values, label, number=0, *, factor=100, place=None, apart=APART, intervals=True, dashed=False):
    """A `line` through the means of the values, a row of them for each x, and the values themselves as faint dots.

    Without `intervals` it has none: on a logarithmic axis one that reaches below zero has no end.
    """
    estimates = [estimate(row) for row in values]
    if not intervals:
        estimates = [e._replace(half=math.inf) for e in estimates]
    where = dict(factor=factor, place=place, apart=apart)
    line(axes, x, estimates, label, number, dashed=dashed, **where)
    dots(axes, x, values, number, **where)


def line(axes, x, estimates, label, number=0, *, factor=100, place=None, apart=APART, dashed=False):
    """A line with intervals: for settings that are numbers.

    `number` chooses colour and mark, and how far to the right it is printed, if `place` does not: intervals at one
    place hide each other. `apart` 0 leaves them there.
    """
    means, halves = _numbers(estimates, factor)
    style = dict(color=COLOURS[number % len(COLOURS)], marker=MARKS[number % len(MARKS)], markersize=4, linewidth=1.5)
    style |= dict(linestyle="--", markerfacecolor="white") if dashed else {}
    drawn, caps, bars = axes.errorbar(x, means, yerr=halves, label=label, capsize=3, elinewidth=1, **style)
    for artist in (drawn, *caps, *bars):
        artist.set_transform(_aside(axes, apart * (number if place is None else place)))


def dots(axes, x, values, number=0, *, factor=100, place=None, apart=APART):
    """The single values behind the means of a `line`, faint, a little to its right: a row of them for each x."""
    places, heights = np.repeat(x, [len(row) for row in values]), factor * np.concatenate(values)
    (drawn,) = axes.plot(places, heights, color=COLOURS[number % len(COLOURS)], **DOTS)
    drawn.set_transform(_aside(axes, apart * (number if place is None else place) + BESIDE))


def _aside(axes, points):
    """Where data are, but so many points of print to the right."""
    from matplotlib.transforms import ScaledTranslation

    return axes.transData + ScaledTranslation(points / 72, 0, axes.figure.dpi_scale_trans)


def legend(figure, *, title=None, columns=None):
    """What the lines of the first plot are, above all plots, where it hides nothing."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = columns or len(labels)
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, frameon=False, title=title)


def power(axes, x, start, exponent):
    """A grey line for comparison, through (x[0], start), that grows like a power of x: its name stands at its end."""
    y = start * (np.asarray(x, float) / x[0]) ** exponent
    axes.plot(x, y, ":", color="grey", linewidth=1, zorder=1)
    name = "T" if exponent == 1 else f"T^{exponent}"
    axes.annotate(name, (x[-1], y[-1]), (4, 0), textcoords="offset points", fontsize=8, color="grey", va="center")


def accuracy_axis(axes, label, name="y"):
    """Name an axis that has accuracies in per cent; what an interval of few seeds has beyond 0 and 100 is cut off."""
    low, high = getattr(axes, f"get_{name}lim")()
    axes.set(**{f"{name}label": label, f"{name}lim": (max(low, -1), min(high, 101))})


def written_out(axes):
    """Mark a vertical axis that is logarithmic by 1, 2, 5, 10, ..., in full."""
    from matplotlib.ticker import LogLocator, NullLocator

    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())


def ticks(axes, values, names=None):
    """Mark the settings, and nothing between them, on a horizontal axis."""
    axes.set_xticks(values, values if names is None else names)
    axes.minorticks_off()


def _numbers(estimates, factor):
    """Means and half widths; an infinite one is not drawn."""
    estimates = list(estimates)
    halves = [factor * e.half if math.isfinite(e.half) else math.nan for e in estimates]
    return [factor * e.mean for e in estimates], halves
