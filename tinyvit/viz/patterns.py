"""Attention patterns drawn: who may look at whom, as a matrix, and what one query sees of the image."""

import numpy as np

from tinyvit.viz.picture import BLUE, ORANGE, new_figure

IN_A_ROW = 5  # patterns; more are drawn in further rows
FINE = 512  # tokens, from which on several share a point of the figure: it has their mean, not one of them


def patterns_figure(patterns, grids):
    """Each pattern as a matrix of queries (down) and keys (across), and below it the patches that one query sees.

    Parameters
    ----------
    patterns : dict {title: bool array [T, T]}
        As from `allowed_pairs`.
    grids : (rows, columns), or a list of them
        Of the patches, for all patterns or for each. Tokens beyond them, such as a class token, come first.

    Returns
    -------
    matplotlib.figure.Figure
        The query is the patch up and left of the middle, in orange; what it may look at is blue. Each title has the
        number of allowed pairs, and their share of all.
    """
    grids = [grids] * len(patterns) if isinstance(grids[0], int | np.integer) else grids
    across = min(IN_A_ROW, len(patterns))
    down = -(-len(patterns) // across)
    figure = new_figure(1.75 * across + 0.2, 3.75 * down)
    axes = figure.subplots(2 * down, across, squeeze=False)
    for panel in axes.flat:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    for number, ((title, allowed), (height, width)) in enumerate(zip(patterns.items(), grids, strict=True)):
        upper, lower = axes[2 * (number // across) :, number % across][:2]
        fine = len(allowed) > FINE
        how = {"interpolation": "antialiased" if fine else "nearest", "interpolation_stage": "rgba" if fine else "data"}
        upper.imshow(allowed, cmap=_two_colours(), vmin=0, vmax=1, **how)
        upper.set_title(f"{title}\n{pairs_in_words(allowed)}", fontsize=8)
        query = (height - 1) // 2 * width + (width - 1) // 2
        first = len(allowed) - height * width  # patch
        lower.imshow(allowed[first + query, first:].reshape(height, width), cmap=_two_colours(), vmin=0, vmax=1)
        _grid_lines(lower, height, width)
        lower.plot(query % width, query // width, "s", color=ORANGE, markersize=60 / max(height, width))
        for panel in (upper, lower):
            panel.spines[:].set(visible=True, color="#999999", linewidth=0.6)
    return figure


def pairs_in_words(allowed):
    """How many pairs a pattern allows, and which share of all that is."""
    return f"{allowed.sum():,} pairs, {100 * allowed.mean():.3g} %"


def distinct(patterns):
    """Patterns of a model's blocks, [T, T] each, under the numbers of the blocks that have them: "blocks 1, 3"."""
    found = []
    for number, allowed in enumerate(patterns, 1):
        for other, numbers in found:
            if other.shape == allowed.shape and (other == allowed).all():
                numbers.append(number)
                break
        else:
            found.append((allowed, [number]))
    return {_blocks(numbers): allowed for allowed, numbers in found}


def _blocks(numbers):
    step = numbers[1] - numbers[0] if len(numbers) > 1 else 1
    if len(numbers) > 3 and numbers == list(range(numbers[0], numbers[-1] + 1, step)):
        return f"blocks {numbers[0]}, {numbers[1]}, ..., {numbers[-1]}"
    return f"block{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _two_colours():
    from matplotlib.colors import ListedColormap

    return ListedColormap(["#f2f2f2", BLUE])


def _grid_lines(axes, height, width):
    if max(height, width) <= 32:  # beyond it, lines would hide what they part
        axes.set_xticks(np.arange(width + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(height + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=0.5)
        axes.tick_params(which="minor", length=0)
