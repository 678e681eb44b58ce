"""Attention between tokens: a row for each token that is written, a column for each that is looked at."""

from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.annotations import Array
from tinyvit.arrays import to_host, xp_of
from tinyvit.models.model import model_of
from tinyvit.ops.tokens import ANSWER
from tinyvit.viz.picture import HEAT, new_figure, readable


class Alignment(NamedTuple):
    """Attention maps [h, T, S] of one example, and the tokens of rows and columns as text."""

    maps: Array
    rows: list[str]
    columns: list[str]
    title: str


def alignments(dataset, questions, answers, p, config, block=None):
    """Where a model looked while it wrote these answers.

    Parameters
    ----------
    dataset : TextDataset
    questions : list of lists of int
        Tokens without an end; of a model of one sequence, without ANSWER.
    answers : list of lists of int
        Tokens, with their END.
    p, config
        The model.
    block : int, optional
        From 0; the last without.

    Returns
    -------
    list of Alignment; [] if the model has no attention
    """
    model, xp, found = model_of(config), xp_of(trees.leaves(p)[0]), []
    for question, answer in zip(questions, answers, strict=True):
        if dataset.source.joined:
            batch = {"tokens": np.array([[*question, ANSWER, *answer]])}
        else:
            batch = {"source": np.array([question]), "target": np.array([answer])}
        _, c = model.forward(trees.map(xp.asarray, batch), p, config)
        maps = list(model.views["maps"](c, config).values())
        if not maps:
            return []
        a = to_host(maps[-1 if block is None else block])[0]
        asked, given = (_shown(side, tokens) for side, tokens in ((dataset.source, question), (dataset.target, answer)))
        title = dataset.source.decode(question)
        if dataset.source.joined:  # the token at a place was written there, from those before it
            whole = [*asked, dataset.sign, *given]
            columns = whole if model.evaluation_draws else ["<start>", *whole[:-1]]
            found.append(Alignment(a[:, len(asked) + 1 :], given, columns, title))
        else:
            found.append(Alignment(a, given, asked, title))
    return found


def _shown(vocabulary, tokens):
    return [vocabulary.tokens[token] for token in tokens]


def alignment_figure(found, head_titles=True):
    """The attention maps of several answers: a row of panels for each, a panel for each head.

    Parameters
    ----------
    found : list of Alignment

    Returns
    -------
    matplotlib.figure.Figure
    """
    named = iter(_readable([text for one in found for text in (*one.rows, *one.columns, one.title)]))
    heads = max(len(one.maps) for one in found)
    wide = max(0.24 * len(one.columns) + 0.9 for one in found)
    tall = [0.24 * len(one.rows) + 0.9 for one in found]
    figure = new_figure(heads * wide + 0.6, sum(tall) + 0.3)
    axes = figure.subplots(len(found), heads, squeeze=False, height_ratios=tall)
    for one, row in zip(found, axes, strict=True):
        rows, columns = ([next(named) for _ in texts] for texts in (one.rows, one.columns))
        title = next(named)
        for head, panel in enumerate(row):
            if head >= len(one.maps):
                panel.set_visible(False)
                continue
            heat = panel.imshow(one.maps[head], cmap=HEAT, vmin=0, vmax=1, aspect="auto")
            panel.set_xticks(range(len(columns)), columns, rotation=90, fontsize=8)
            panel.set_yticks(range(len(rows)), rows if head == 0 else [""] * len(rows), fontsize=8)
            panel.set_title(f"head {head + 1}" if head or len(one.maps) > 1 else title, fontsize=9)
        if len(one.maps) > 1:
            row[0].set_ylabel(title, fontsize=9)
    figure.colorbar(heat, ax=axes, label="share of the attention", shrink=0.9)
    return figure


def _readable(texts):
    """Texts as a figure can show them; where no font has their letters, the number of the token takes their place."""
    return readable(texts)
