"""What a model mistakes for what."""

import numpy as np

from tinyvit.viz.picture import bare, new_figure, readable, shine, show


def confusion(labels, predicted, classes):
    """How often images of class i were taken for class j: [K, K] counts, row i, column j."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def confusion_figure(counts, names):
    """Draw the counts. Colour is for the mistakes alone: right answers would drown them."""
    names = readable(names)
    figure = new_figure(0.48 * len(counts) + 1.9, 0.42 * len(counts) + 1.0)
    axes = figure.add_subplot()
    mistakes = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    most = max(1, mistakes.max())
    shade = axes.imshow(mistakes, cmap="Blues", vmin=0, vmax=most)
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            dark = i != j and count > 0.6 * most
            colour = "#555555" if i == j else "white" if dark else "black"
            axes.text(j, i, f"{count:,}" if count else "", ha="center", va="center", fontsize=7.5, color=colour)
    axes.set_xticks(range(len(names)), names, fontsize=8, rotation=90 if max(map(len, names)) > 3 else 0)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="what the model says", ylabel="what it is")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    for border in np.arange(-0.5, len(counts)):
        axes.axhline(border, color="#dddddd", linewidth=0.6)
        axes.axvline(border, color="#dddddd", linewidth=0.6)
    figure.colorbar(shade, ax=axes, label="mistakes", shrink=0.85).ax.yaxis.get_major_locator().set_params(integer=True)
    return figure


def worst_mistakes(labels, probabilities, count=12):
    """The indices of the mistakes that the model was surest of, surest first."""
    predicted = probabilities.argmax(-1)
    wrong = np.flatnonzero(predicted != labels)
    return wrong[np.argsort(-probabilities[wrong, predicted[wrong]], kind="stable")][:count]


def mistakes_figure(images, labels, probabilities, attention, names):
    """Draw images, each with the model's answer, how sure it was, and the right one; below, where the model looked.

    Parameters
    ----------
    images : array [B, H, W, C]
    labels : array [B]
    probabilities : array [B, K]
    attention : array [B, N], or None
        For instance from `class_attention`. Without it, the images alone.
    names : list of str
        Of the classes.
    """
    columns, names = min(6, max(1, len(images))), readable(names)
    lines, high = -(-len(images) // columns), 1 if attention is None else 2
    figure = new_figure(1.35 * columns, (0.5 + 1.3 * high) * lines if len(images) else 1)
    grid = figure.subplots(high * max(1, lines), columns, squeeze=False)
    for axes in grid.flat:
        bare(axes)
    for i, (image, label, p) in enumerate(zip(images, labels, probabilities, strict=True)):
        top = grid[high * (i // columns), i % columns]
        show(top, image)
        if attention is not None:
            shine(grid[2 * (i // columns) + 1, i % columns], attention[i] / attention[i].max(), image, 1)
        top.set_title(f"says {names[p.argmax()]} ({p.max():.0%})\nis {names[label]}", fontsize=8)
    if not len(images):
        grid[0, 0].text(0.5, 0.5, "no mistakes", ha="center", va="center")
    return figure
