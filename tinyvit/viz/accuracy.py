"""How often a model of text is right: by the length of the question, and by the place in the answer."""

from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

COUNTS = "#e2e2e2"


def lengths_figure(rows):
    """The accuracy of whole answers, and of their tokens, by the length of the question.

    Parameters
    ----------
    rows : list of {length, count, accuracy, token_accuracy}
        Shares; the counts are drawn behind them as bars.

    Returns
    -------
    matplotlib.figure.Figure
    """
    lines = {"whole answers": ("accuracy", "o-", ORANGE), "their tokens": ("token_accuracy", "s--", BLUE)}
    return _figure(rows, "length", "tokens of the question", lines)


def places_figure(places):
    """The accuracy of tokens by their place in the answer: the model's own before them, and the true ones.

    Parameters
    ----------
    places : list of {place, count, token_accuracy, forced_token_accuracy}
        The last may be absent.

    Returns
    -------
    matplotlib.figure.Figure
    """
    lines = {"filled": ("token_accuracy", "o-", ORANGE)}
    if any("forced_token_accuracy" in place for place in places):
        lines = {
            "the true tokens before it": ("forced_token_accuracy", "s--", BLUE),
            "its own tokens before it": ("token_accuracy", "o-", ORANGE),
        }
    return _figure(places, "place", "place in the answer", lines)


def _figure(rows, x, xlabel, lines):
    """Lines of shares over bars of counts."""
    figure = new_figure(7, 3.4)
    axes = figure.add_subplot()
    counts = axes.twinx()
    counts.bar([row[x] for row in rows], [row["count"] for row in rows], color=COUNTS, width=0.6)
    counts.set(ylabel="answers (bars)")
    counts.spines[["top", "left"]].set_visible(False)
    axes.set_zorder(counts.get_zorder() + 1)  # lines before bars
    axes.patch.set_visible(False)
    for label, (score, style, colour) in lines.items():
        axes.plot([row[x] for row in rows], [100 * row[score] for row in rows], style, color=colour, label=label)
    axes.set(xlabel=xlabel, ylabel="right (%)", ylim=(-3, 103))
    axes.xaxis.get_major_locator().set_params(integer=True)
    plain(axes)
    axes.legend(loc="lower left", fontsize=8, framealpha=0.9)
    return figure
