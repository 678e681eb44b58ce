"""How far each head looks: the right of the paper's figure 7."""

import numpy as np

from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain


def distance_figure(distances, uniform):
    """The mean attention distance of every head, layer by layer, beside that of uniform attention.

    Parameters
    ----------
    distances : array [L, h], pixels
        From `attention_distance`; NaN is left out.
    uniform : float
        From `uniform_distance`: a head above the line looks farther than one that looks everywhere alike.

    Returns
    -------
    matplotlib.figure.Figure
    """
    layers, heads = distances.shape
    figure = new_figure(5.2, 3.4)
    axes = figure.add_subplot()
    for head in range(heads):
        offset = 0.12 * (head - (heads - 1) / 2) / max(1, heads - 1)
        axes.plot(np.arange(1, layers + 1) + offset, distances[:, head], "o", color=BLUE, markersize=6, alpha=0.8)
    axes.axhline(uniform, color=ORANGE, linestyle="--", linewidth=1.5)
    axes.annotate(
        "uniform attention", (1, uniform), (0, 4), textcoords="offset points", color=ORANGE, fontsize=9, va="bottom"
    )
    axes.set(xlabel="layer", ylabel="mean attention distance (pixels)", xticks=range(1, layers + 1))
    axes.set(xlim=(0.6, layers + 0.4), ylim=(0, 1.15 * max(uniform, float(np.nanmax(distances, initial=0)), 1)))
    plain(axes)
    return figure
