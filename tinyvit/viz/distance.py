"""How far each head looks: the right of the paper's figure 7."""

import numpy as np

from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain


def distance_figure(distances, uniform):
    """The mean attention distance of every head, layer by layer, beside that of uniform attention.

    Parameters
    ----------
    distances : array [L, h], or a list of L arrays [h], pixels
        From `attention_distance`; NaN is left out.
    uniform : float, or array [L]
        From `uniform_distance`, or `free_distances`: a head above the line looks farther than one that looks everywhere
        alike, or wherever it may.

    Returns
    -------
    matplotlib.figure.Figure
    """
    layers, everywhere = len(distances), np.ndim(uniform) == 0
    uniform = np.broadcast_to(uniform, layers)
    numbers = np.arange(1, layers + 1)
    figure = new_figure(5.2, 3.4)
    axes = figure.add_subplot()
    heads = max(map(len, distances))
    for head in range(heads):
        those = [layer for layer in range(layers) if head < len(distances[layer])]
        offset = 0.12 * (head - (heads - 1) / 2) / max(1, heads - 1)
        of_head = [distances[layer][head] for layer in those]
        axes.plot(numbers[those] + offset, of_head, "o", color=BLUE, markersize=6, alpha=0.8)
    if everywhere:
        axes.axhline(uniform[0], color=ORANGE, linestyle="--", linewidth=1.5)
    else:
        axes.hlines(uniform, numbers - 0.3, numbers + 0.3, color=ORANGE, linestyle="--", linewidth=1.5)
    label = dict(textcoords="offset points", color=ORANGE, fontsize=9)
    if everywhere:
        axes.annotate("uniform attention", (1, uniform[0]), (0, 4), va="bottom", **label)
    else:  # lines at several heights: above all points
        axes.annotate("uniform over what it may look at", (0, 1), (4, -2), "axes fraction", va="top", **label)
    axes.set(xlabel="layer", ylabel="mean attention distance (pixels)", xticks=numbers)
    most = np.nanmax([*uniform, *np.concatenate(distances)], initial=1)
    axes.set(xlim=(0.6, layers + 0.4), ylim=(0, 1.15 * float(most)))
    plain(axes)
    return figure
