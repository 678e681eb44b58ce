"""Two arrays beside each other, and their difference."""

import numpy as np

from tinyvit.viz.picture import bare, new_figure

COLOURS = "PuOr_r"  # white is 0
SHORTEST = 0.2  # of a panel's height to its width, or the other way round


def comparison(name, found, expected, axes=(-2, -1)):
    """Draw what was expected, what was found, and their difference: below 0 purple, above 0 orange.

    Parameters
    ----------
    name : str
    found, expected : array
        Of one shape.
    axes : (int, int)
        Of arrays with more than two axes, the two that are drawn: the matrix along them in which the largest
        difference lies.

    Returns
    -------
    matplotlib.figure.Figure
        The first two panels share a scale, the third has its own.
    """
    found, expected = (np.atleast_2d(np.asarray(array, np.float64)) for array in (found, expected))
    place = list(np.unravel_index(abs(found - expected).argmax(), found.shape))
    for axis in axes if found.ndim > 2 else (0, 1):
        place[axis] = slice(None)
    found, expected = found[tuple(place)], expected[tuple(place)]
    ratio = np.clip(found.shape[0] / found.shape[1], SHORTEST, 1 / SHORTEST)
    width = min(2.0, 2.0 / ratio)
    figure = new_figure(3 * width + 1.6, width * ratio + 0.8)
    left, middle, right = figure.subplots(1, 3)
    most = max(abs(expected).max(), abs(found).max())
    difference = found - expected
    for axes, array, title, limit in (
        (left, expected, "expected", most),
        (middle, found, "yours", most),
        (right, difference, "difference", abs(difference).max()),
    ):
        shade = axes.imshow(array, cmap=COLOURS, vmin=-limit, vmax=limit, aspect="auto")
        axes.set_title(title, fontsize=9)
        bare(axes)
        if axes is not left:
            figure.colorbar(shade, ax=axes, shrink=0.9).ax.tick_params(labelsize=7)
    words = ", ".join(":" if isinstance(i, slice) else str(i) for i in place)
    left.set_ylabel(f"{name}[{words}]" if len(place) > 2 else name, fontsize=9)
    return figure
