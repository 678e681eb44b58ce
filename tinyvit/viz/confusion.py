"""What a model mistakes for what."""

import numpy as np

from tinyvit.viz.picture import bare, new_figure, shine, show


def confusion(labels, predicted, classes):
    """How often images of class i were taken for class j: [K, K] counts, row i, column j."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, predicted), 1)
    return counts


def confusion_figure(counts, names):
    """Draw the counts. Colour is for the mistakes alone: right answers would drown them."""
    figure = new_figure(0.48 * len(counts) + 1.9, 0.42 * len(counts) + 1.0)
    axes = figure.add_subplot()
    mistakes = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    shade = axes.imshow(mistakes, cmap="Blues", vmin=0, vmax=max(5, mistakes.max()))
    for i, row in enumerate(counts):
        for j, count in enumerate(row):
            dark = i != j and count > 0.6 * max(5, mistakes.max())
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
    """Draw images, each above where the model looked, with what it said, how sure it was, and what is right.

    Parameters
    ----------
    images : array [B, H, W, C]
    labels : array [B]
    probabilities : array [B, K]
    attention : array [B, N]
        For instance from `class_attention`.
    names : list of str
        Of the classes.
    """
    columns = min(6, max(1, len(images)))
    blocks = -(-len(images) // columns)
    figure = new_figure(1.35 * columns, 3.05 * blocks if len(images) else 1)
    grid = figure.subplots(2 * max(1, blocks), columns, squeeze=False)
    for axes in grid.flat:
        bare(axes)
    for i, (image, label, p, weights) in enumerate(zip(images, labels, probabilities, attention, strict=True)):
        top, below = grid[2 * (i // columns), i % columns], grid[2 * (i // columns) + 1, i % columns]
        show(top, image)
        shine(below, weights / weights.max(), image, 1)
        top.set_title(f"says {names[p.argmax()]} ({p.max():.0%})\nis {names[label]}", fontsize=8)
    if not len(images):
        grid[0, 0].text(0.5, 0.5, "no mistakes", ha="center", va="center")
    return figure
