"""Where a Vision Transformer looks: image, patches, attention."""

import numpy as np

from tinyvit.layers.attend import attention_map
from tinyvit.viz.attention import answers_row
from tinyvit.viz.picture import bare, new_figure, picture, shine, show


def class_attention(c, pool=None):
    """How much the class token takes from each patch in the last block, as a mean over its heads.

    Without a class token, how much all patches take, on average.

    Parameters
    ----------
    c : the cache of `vit`, with its full last block or its class row alone
    pool : str, optional
        As in `answers_row`.

    Returns
    -------
    array [B, N]
        Each row sums to 1, less what the class token takes from itself.
    """
    last = attention_map(c["blocks"][-1]["msa"]["att"])
    return answers_row(last, pool).mean(axis=1)  # [B, h, T, T] -> [B, h, N] -> [B, N]


def look(images, attention, patch, titles=None, who="the class token"):
    """Draw each image in a row: itself, the patches that the model sees, and the answer's attention to them.

    Parameters
    ----------
    images : array [B, H, W, C]
        Grey (C = 1) or colour (C = 3), from -1 to 1.
    attention : array [B, N]
        From `class_attention`.
    patch : int
        Side of a patch, in pixels.
    titles : list of str, optional
    who : str
        Whose attention it is, in words: see `who_answers`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(6.6, 1.85 * len(images) + 0.3)
    axes = figure.subplots(len(images), 3, squeeze=False)
    most = float(attention.max())
    for row, image, weights, title in zip(axes, images, attention, titles or [""] * len(images), strict=True):
        show(row[0], image)
        row[1].imshow(_apart(picture(image), patch), cmap="gray", vmin=0, vmax=1)
        bare(row[1])
        shade = shine(row[2], weights, image, most)
        row[0].set_ylabel(title, fontsize=9)
    names = ("image", f"{attention.shape[1]} patches", f"attention of {who}")
    for name, top in zip(names, axes[0], strict=True):
        top.set_title(name, fontsize=10)
    figure.colorbar(shade, ax=axes[:, 2], label="share of attention", shrink=0.9)
    return figure


def _apart(picture, patch):
    """The patches with gaps between them, a fifth of a patch wide or a whole pixel after enlarging, in grey: no ink."""
    scale = max(1, -(-5 // patch))
    picture = np.repeat(np.repeat(picture, scale, axis=0), scale, axis=1)
    side, gap = patch * scale, max(1, patch * scale // 5)
    rows, columns = picture.shape[0] // side, picture.shape[1] // side
    apart = np.full((rows * (side + gap) - gap, columns * (side + gap) - gap, *picture.shape[2:]), 0.5)
    for i in range(rows):
        for j in range(columns):
            y, x = i * (side + gap), j * (side + gap)
            apart[y : y + side, x : x + side] = picture[i * side : (i + 1) * side, j * side : (j + 1) * side]
    return apart
