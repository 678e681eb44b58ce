"""Two arrays beside each other, and their difference."""

import numpy as np

from tinyvit.viz.picture import bare, new_figure

COLOURS = "PuOr_r"  # white is 0
SHORTEST = 0.2  # of a panel's height to its width, or the other way round


def comparison(name, found, expected):
    """Draw what was expected, what was found, and their difference: below 0 purple, above 0 orange.

    Parameters
    ----------
    name : str
    found, expected : array
        Of one shape. Of more than two axes, the matrix is drawn in which the largest difference lies.

    Returns
    -------
    matplotlib.figure.Figure
        The first two panels share a scale, the third has its own.
    """
    found, expected = (np.atleast_2d(np.asarray(array, np.float64)) for array in (found, expected))
    worst = np.unravel_index(abs(found - expected).argmax(), found.shape)[:-2]
    found, expected = found[worst], expected[worst]
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
    place = "".join(f"{i}, " for i in worst)
    left.set_ylabel(f"{name}[{place}:, :]" if place else name, fontsize=9)
    return figure
