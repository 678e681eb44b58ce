"""Attention drawn over the image: every layer and head, rollout, and what speaks for a class."""

from tinyvit.viz.attention import answers_row, class_tokens, who_answers
from tinyvit.viz.picture import bare, new_figure, shine, show
from tinyvit.viz.pyramid import over_patches


def attention_figure(image, maps, token=None, pool=None):
    """Where the answer's attention, or that of one token, goes in one image, in every layer and head.

    Parameters
    ----------
    image : array [H, W, C], from -1 to 1
    maps : list of L arrays [h, T, T]
        One image's, from `attention_maps`; of a pyramid, those of late stages are drawn over the patches of the first.
    token : int, optional
        0 is the class token and 1 the first patch; of a model without class token, 0 is the first patch. Left out, what
        the answer is read from: the class token, or the mean of all patches.
    pool : str, optional
        As in `answers_row`.

    Returns
    -------
    matplotlib.figure.Figure
        A row for each layer, a column for each head. One colour scale for all.
    """
    layers, heads = len(maps), max(map(len, maps))
    figure = new_figure(1.5 * (heads + 1) + 0.8, 1.55 * layers + 0.5)
    axes = figure.subplots(layers, heads + 1, squeeze=False)
    tokens = maps[0].shape[-1]
    first = class_tokens(tokens, pool)  # patch
    looks = [answers_row(a, pool) if token is None else a[:, token, first:] for a in maps]  # [h, N] each
    looks = [over_patches(a, tokens - first) for a in looks]
    most = max(float(a.max()) for a in looks)
    for layer, (row, a) in enumerate(zip(axes, looks, strict=True)):
        show(row[0], image)
        row[0].set_ylabel(f"layer {layer + 1}", fontsize=9)
        for unused in row[1 + len(a) :]:
            bare(unused)
        for head in range(len(a)):
            heat = shine(row[head + 1], a[head], image, most)
            if len(a) > max(map(len, maps[:layer]), default=0):
                row[head + 1].set_title(f"head {head + 1}", fontsize=9)
    who = "the class token" if token is not None and token < first else f"patch {(token or 0) - first + 1}"
    who = who_answers(tokens, pool) if token is None else who
    figure.colorbar(heat, ax=axes[:, 1:], label=f"share of the attention of {who}", shrink=0.9)
    return figure


def overlay_figure(images, columns, titles=None):
    """Images with weights of their patches over them: an image in each row, a kind of weights in each column.

    Parameters
    ----------
    images : array [B, H, W, C], from -1 to 1
    columns : dict {title: array [B, N]}
        For instance `answers_row` of two `rollout`s, or of `weighted_attention`.
    titles : list of str, optional
        One for each image.

    Returns
    -------
    matplotlib.figure.Figure
        Each panel has its own scale, from 0 to its largest weight.
    """
    figure = new_figure(1.7 * (len(columns) + 1) + 0.6, 1.7 * len(images) + 0.5)
    axes = figure.subplots(len(images), len(columns) + 1, squeeze=False)
    for i, (row, image) in enumerate(zip(axes, images, strict=True)):
        show(row[0], image)
        row[0].set_ylabel(titles[i] if titles else "", fontsize=9)
        for panel, (title, weights) in zip(row[1:], columns.items(), strict=True):
            heat = shine(panel, weights[i] / max(weights[i].max(), 1e-30), image, 1)
            if i == 0:
                panel.set_title(title, fontsize=9)
    figure.colorbar(heat, ax=axes[:, 1:], label="share relative to the panel's largest", shrink=0.9)
    return figure
