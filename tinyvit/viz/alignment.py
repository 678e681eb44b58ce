"""Attention between tokens: a row for each token that is written, a column for each that is looked at."""

from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.annotations import Array
from tinyvit.arrays import to_host, xp_of
from tinyvit.data.vocabulary import BLANK
from tinyvit.models.model import model_of
from tinyvit.models.token_tasks import hide_answers
from tinyvit.ops.tokens import ANSWER, END, HIDDEN, SPECIAL
from tinyvit.viz.picture import HEAT, new_figure, readable

TOKEN, MARGIN = 0.24, 0.9  # inches of a panel: for each token, and around them
LONGEST = 60  # tokens that are drawn
ACROSS = 4  # panels in a line, of maps with one head


class Alignment(NamedTuple):
    """Attention maps [h, T, S] of one example, and the tokens of rows and columns as text."""

    maps: Array
    rows: list[str]
    columns: list[str]
    title: str


def alignments(dataset, questions, answers, p, config, block=None, seen=None):
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
    seen : list of lists of int, optional
        Of a model that fills: each sequence as it was given, with HIDDEN in place of what it filled in. Without, all of
        the answer is hidden.

    Returns
    -------
    list of Alignment, of the answers that have a token; [] if the model has no attention
    """
    model, xp, found = model_of(config), xp_of(trees.leaves(p)[0]), []
    for number, (question, answer) in enumerate(zip(questions, answers, strict=True)):
        if not answer:
            continue
        if dataset.source.joined:
            batch = {"tokens": np.array([[*question, ANSWER, *answer]])}
            if model.evaluation_draws:  # of what is filled in, nothing was there to look at
                batch = {"tokens": np.array([seen[number]]) if seen else hide_answers(batch["tokens"])[0]}
        else:
            batch = {"source": np.array([[*question, END]]), "target": np.array([answer])}
        _, c = model.forward(trees.map(xp.asarray, batch), p, config)
        maps = list(model.views["maps"](c, config).values())
        if not maps:
            return []
        a = to_host(maps[-1 if block is None else block])[0]
        asked, given = (_shown(side, tokens) for side, tokens in ((dataset.source, question), (dataset.target, answer)))
        title = dataset.source.decode(question)
        if dataset.source.joined:  # the token at a place was written there, from those before it
            whole = [*asked, dataset.sign, *given]
            columns = ["<start>", *whole[:-1]]
            if model.evaluation_draws:
                hidden = batch["tokens"][0] == HIDDEN
                columns = [BLANK if blank else token for blank, token in zip(hidden, whole, strict=True)]
            found.append(Alignment(a[:, len(asked) + 1 :], given, columns, title))
        else:
            found.append(Alignment(a, given, [*asked, SPECIAL[END]], title))
    return found


def _shown(vocabulary, tokens):
    return [vocabulary.tokens[token] for token in tokens]


def alignment_figure(found):
    """The attention maps of several answers: a row of panels for each, a panel for each head; of one head, in a line.

    Of more than LONGEST tokens the first are drawn.

    Parameters
    ----------
    found : list of Alignment

    Returns
    -------
    matplotlib.figure.Figure
    """
    found = [_cut(one) for one in found]
    named = iter(readable([text for one in found for text in (*one.rows, *one.columns, one.title)]))
    labels = [([next(named) for _ in one.rows], [next(named) for _ in one.columns], next(named)) for one in found]
    heads = max(len(one.maps) for one in found)
    across = min(len(found), ACROSS) if heads == 1 else heads
    panels = [(one, head) for one in range(len(found)) for head in range(heads)]
    lines = [panels[start : start + across] for start in range(0, len(panels), across)]
    wide = max(TOKEN * len(one.columns) + MARGIN for one in found)
    tall = [max(TOKEN * len(found[one].rows) for one, _ in line) + MARGIN for line in lines]
    figure = new_figure(across * wide + 0.9, sum(tall) + 0.3)
    axes = figure.subplots(len(lines), across, squeeze=False, height_ratios=tall)
    for panel in axes.flat:
        panel.set_visible(False)
    for line, row in zip(lines, axes, strict=True):
        for (one, head), panel in zip(line, row, strict=False):
            if head < len(found[one].maps):
                heat = _panel(panel, found[one].maps[head], head, labels[one], heads == 1)
    figure.colorbar(heat, ax=axes, label="share of the attention", shrink=0.9)
    return figure


def _cut(one):
    """The first LONGEST rows and columns."""
    if max(len(one.rows), len(one.columns)) <= LONGEST:
        return one
    return Alignment(one.maps[:, :LONGEST, :LONGEST], one.rows[:LONGEST], one.columns[:LONGEST], f"{one.title[:60]} …")


def _panel(panel, weights, head, labels, single):
    """Draw one map with its labels; returns matplotlib's handle to the heat."""
    rows, columns, title = labels
    panel.set_visible(True)
    heat = panel.imshow(weights, cmap=HEAT, vmin=0, vmax=1, aspect="auto")
    panel.set_xticks(range(len(columns)), columns, fontsize=8)
    for label in panel.get_xticklabels():
        label.set_rotation(90 if len(label.get_text()) > 1 else 0)
    panel.set_yticks(range(len(rows)), rows if head == 0 else [""] * len(rows), fontsize=8)
    panel.set_title(title if single else f"head {head + 1}", fontsize=9)
    if head == 0 and not single:
        panel.set_ylabel(title, fontsize=9)
    return heat
