"""Training curves."""

import numpy as np

from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain


def curves(history, title="", *, smoothed=True):
    """The loss of the recorded steps, its running mean, and loss and accuracy on the validation part after each epoch.

    Parameters
    ----------
    history : list of dict
        As `fit` returns it. Of a model of text the accuracy of the whole answers and that of their tokens are drawn.
    title : str
    smoothed : bool
        The labels were smoothed in training, so that its loss is larger.

    Returns
    -------
    matplotlib.figure.Figure
    """
    steps = [r for r in history if r["kind"] == "step"]
    epochs = [r for r in history if r["kind"] == "epoch"]
    figure = new_figure(9, 3.6)
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    if steps:
        x, loss = np.array([(r["step"], r["loss"]) for r in steps]).T
        left.plot(x, loss, color=BLUE, alpha=0.3, linewidth=1, label=f"training batch{', labels smoothed' * smoothed}")
        left.plot(x, running_mean(loss), color=BLUE, label="its running mean")
    if epochs:
        x = [r["step"] for r in epochs]
        left.plot(
            x,
            [r["validation_loss"] for r in epochs],
            "o-",
            color=ORANGE,
            markersize=3,
            label="validation, averaged weights",
        )
        of_text = "validation_token_accuracy" in epochs[0]
        label = "whole answers" if of_text else None
        right.plot(x, [100 * r["validation_accuracy"] for r in epochs], "o-", color=ORANGE, markersize=3, label=label)
        if of_text:
            tokens = [100 * r["validation_token_accuracy"] for r in epochs]
            right.plot(x, tokens, "s--", color=BLUE, markersize=3, label="their tokens")
            right.legend(frameon=False, fontsize=8)
    left.set(xlabel="step", ylabel="loss (nats)", ylim=(0, None))
    right.set(xlabel="step", ylabel="validation accuracy (%)")
    low, high = right.get_ylim()
    right.set_ylim(max(low, 0), min(high, 100.5))  # there is nothing above 100
    if left.lines:
        left.legend(frameon=False, fontsize=8)
    for axes in (left, right):
        plain(axes)
    return figure


def running_mean(values, share=0.05):
    """The mean of each value and those before it, over a window of this share of the whole."""
    window = max(1, int(len(values) * share))
    total = np.cumsum(values)
    total[window:] -= total[:-window].copy()
    return total / np.minimum(np.arange(1, len(values) + 1), window)
