"""Figures of the lab: means, with the intervals of `estimate`."""

import math

import numpy as np

from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

GREEN, PURPLE, BLACK = "#009e73", "#cc79a7", "#000000"  # Okabe and Ito, too
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, BLACK)
MARKS = "os^Dv"
APART = 4  # points of print, from one line's intervals to the next one's


def panels(count, width=9.0, height=3.6):
    """A figure with so many plots side by side; returns it and their axes."""
    figure = new_figure(width, height)
    axes = figure.subplots(1, count, squeeze=False)[0]
    for each in axes:
        plain(each)
    return figure, axes


def points(axes, names, estimates, *, factor=100):
    """One point above another, with intervals: for settings that have names."""
    places = np.arange(len(names))[::-1]
    means, halves = _numbers(estimates, factor)
    axes.errorbar(means, places, xerr=halves, fmt="o", color=BLUE, markersize=4, capsize=3, linewidth=1)
    axes.set_yticks(places, names)
    axes.set_ylim(-0.7, len(names) - 0.3)


def line(axes, x, estimates, label, number=0, *, factor=100, apart=APART):
    """A line with intervals: for settings that are numbers.

    `number` chooses colour and mark, and how far to the right it is printed: intervals at one place hide each other.
    `apart` 0 leaves them there.
    """
    from matplotlib.transforms import ScaledTranslation

    means, halves = _numbers(estimates, factor)
    style = dict(color=COLOURS[number % len(COLOURS)], marker=MARKS[number % len(MARKS)], markersize=4, linewidth=1.5)
    drawn, caps, bars = axes.errorbar(x, means, yerr=halves, label=label, capsize=3, **style)
    aside = ScaledTranslation(number * apart / 72, 0, axes.figure.dpi_scale_trans)
    for artist in (drawn, *caps, *bars):
        artist.set_transform(axes.transData + aside)


def dots(axes, x, values, number=0, *, factor=100, apart=APART):
    """The single values behind the means of a `line`: a row of them for each x, small and hollow."""
    from matplotlib.transforms import ScaledTranslation

    places, heights = np.repeat(x, [len(row) for row in values]), factor * np.concatenate(values)
    style = dict(color=COLOURS[number % len(COLOURS)], markerfacecolor="white", markersize=6, zorder=3)
    (drawn,) = axes.plot(places, heights, ".", **style)
    aside = ScaledTranslation(number * apart / 72, 0, axes.figure.dpi_scale_trans)
    drawn.set_transform(axes.transData + aside)


def accuracy_axis(axes, label, name="y"):
    """Name an axis that has accuracies in per cent; what an interval of few seeds has beyond 0 and 100 is cut off."""
    low, high = getattr(axes, f"get_{name}lim")()
    axes.set(**{f"{name}label": label, f"{name}lim": (max(low, -1), min(high, 101))})


def ticks(axes, values, names=None):
    """Mark the settings, and nothing between them, on a horizontal axis."""
    axes.set_xticks(values, values if names is None else names)
    axes.minorticks_off()


def _numbers(estimates, factor):
    """Means and half widths; an infinite one is not drawn."""
    halves = [factor * e.half if math.isfinite(e.half) else math.nan for e in estimates]
    return [factor * e.mean for e in estimates], halves
