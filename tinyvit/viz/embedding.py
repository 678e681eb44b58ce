"""What the embeddings have learned: filters of the patches, similarity of the positions (the paper's figure 7)."""

import math

import numpy as np

from tinyvit.arrays import to_host, xp_of
from tinyvit.layers.identity import identity
from tinyvit.layers.position import POSITIONS
from tinyvit.viz.attention import class_tokens
from tinyvit.viz.picture import bare, new_figure


def principal_filters(w, channels, count=28):
    """The principal components of the embedding's filters, most important first.

    The D columns of w are filters of a patch's P*P*C numbers; in the basis of its left singular vectors, few say almost
    all.

    Parameters
    ----------
    w : array [P*P*C, D]
        The patch embedding's weight.
    channels : int
    count : int
        At most so many.

    Returns
    -------
    array [count, P, P, C], each of norm 1, and the share of the filters' sum of squares that each accounts for, [count]
    """
    u, s, _ = np.linalg.svd(w.astype(np.float64), full_matrices=False)
    side = round((len(w) / channels) ** 0.5)
    count = min(count, len(s))
    return u.T[:count].reshape(count, side, side, channels), (s**2 / (s**2).sum())[:count]


def filters_figure(w, channels, count=28):
    """Draw `principal_filters`: grey is 0; each is scaled to its own largest number."""
    filters, shares = principal_filters(w, channels, count)
    columns = min(7, len(filters))
    rows = -(-len(filters) // columns)
    figure = new_figure(columns * 0.95, rows * 1.1)
    for axes in (grid := figure.subplots(rows, columns, squeeze=False)).flat:
        bare(axes)
    for axes, image, share in zip(grid.flat, filters, shares, strict=False):
        image = 0.5 + 0.5 * image / np.abs(image).max()
        axes.imshow(image[..., 0] if channels == 1 else image, cmap="gray", vmin=0, vmax=1)
        axes.set_title(f"{share:.0%}", fontsize=8)
        axes.spines[:].set(visible=True, color="#999999", linewidth=0.6)
    return figure


def position_table(p, config):
    """What a model adds to its tokens to say where they are, [T, D] on the host, whatever kind it is made by.

    None if nothing is added, or in each layer something else.
    """
    forward = POSITIONS[config.position].forward
    if forward in (None, identity) or config.position_at == "layers":
        return None
    w = p["patch"]["w"]
    table, _ = forward(xp_of(w).zeros((1, config.tokens, config.dim), w.dtype), p["pos"])
    return to_host(table[0])


def similarity(pos, grid=None):
    """The cosine similarity of all patches' position embeddings: [T, D] -> [N, N]; 1 on the diagonal.

    The class token's row, if there is one, is left out. What all positions have in common is not: as in the paper.
    `grid` is the configuration's grid_size; left out, here and below, the images are square.
    """
    pos = pos[class_tokens(len(pos)) if grid is None else len(pos) - math.prod(grid) :].astype(np.float64)
    unit = pos / np.maximum(np.linalg.norm(pos, axis=1, keepdims=True), 1e-30)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, 1)  # exactly: rounding aside, it is
    return cosine


def neighbours_similarity(pos, grid=None):
    """The mean cosine similarity of patches side by side, and that of all other pairs."""
    cosine = similarity(pos, grid)
    row, column = np.divmod(np.arange(len(cosine)), grid[1] if grid else math.isqrt(len(cosine)))
    steps = np.abs(row[:, None] - row) + np.abs(column[:, None] - column)
    return float(cosine[steps == 1].mean()), float(cosine[steps > 1].mean())


def similarity_by_direction(pos, grid):
    """The mean cosine similarity of patches side by side, of one above the other, and of all others of one row.

    Those others are what tells two dimensions from one: in the sequence of patches, row after row, two of one row are
    nearer to each other than one is to the one below it. The grid has at least three columns and two rows.
    """
    cosine = similarity(pos, grid)
    row, column = np.divmod(np.arange(len(cosine)), grid[1])
    down, across = np.abs(row[:, None] - row), np.abs(column[:, None] - column)
    pairs = (down == 0) & (across == 1), (down == 1) & (across == 0), (down == 0) & (across > 1)
    return tuple(float(cosine[which].mean()) for which in pairs)


def similarity_figure(pos, grid=None):
    """The grid of grids: the small square at row i, column j shows how alike the patch at (i, j) is to all patches."""
    cosine = similarity(pos, grid)
    rows, columns = grid or 2 * (math.isqrt(len(cosine)),)
    figure = new_figure(0.75 * columns + 1.4, 0.75 * rows + 0.5)
    squares = figure.subplots(rows, columns, squeeze=False)
    for axes, row in zip(squares.flat, cosine, strict=True):
        shade = axes.imshow(row.reshape(rows, columns), cmap="PuOr_r", vmin=-1, vmax=1)
        bare(axes)
    for i in range(rows):
        squares[i, 0].set_ylabel(i + 1, fontsize=8, rotation=0, labelpad=8, va="center")
    for j in range(columns):
        squares[-1, j].set_xlabel(j + 1, fontsize=8)
    figure.supylabel("row of the patch", fontsize=9)
    figure.supxlabel("column of the patch", fontsize=9)
    figure.colorbar(shade, ax=squares, label="cosine similarity", shrink=0.85)
    return figure
