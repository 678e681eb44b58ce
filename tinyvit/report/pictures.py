"""A figure with what it means, and those of every run: its curves, and what its model computes."""

from typing import NamedTuple

import numpy as np

from tinyvit.models.model import model_of
from tinyvit.viz.curves import curves
from tinyvit.viz.dataflow import dataflow_figure
from tinyvit.viz.summary import shapes


class Picture(NamedTuple):
    """A figure, its title, and what it means."""

    figure: object
    title: str
    words: str


def curves_picture(run, examples, guessing):
    """The curves of a run, and whether it was long enough.

    Parameters
    ----------
    run : Run
    examples : str
        What it learned from, in words.
    guessing : float
        The loss of a model that has learned nothing, in nats.
    """
    history, model = run.history(), model_of(run.settings.config)
    right = f"the share of their {model.task.targets} that it gets right"
    if "token_accuracy" in model.task.scores:
        given = "" if model.evaluation_draws else ", each with the true ones before it"
        right = f"the share of their answers, and of the tokens in these{given}, that it gets right"
    words = f"Left, the loss of training and of held-out {examples}; right, {right}. {_verdict(history, guessing)}"
    smoothed = run.settings.recipe.label_smoothing > 0
    return Picture(curves(history, smoothed=smoothed), "Was training long enough?", words)


def _verdict(history, guessing):
    """Whether training was long enough, judged by the held-out loss, which says more than a few examples' accuracy."""
    losses = [record["validation_loss"] for record in history if record["kind"] == "epoch"]
    best, last = int(np.argmin(losses)), losses[-1]
    before = losses[-min(len(losses), len(losses) // 3 + 1)]
    if last > 0.9 * guessing:
        return (
            f"It has not learned: the held-out loss is {last:.2g}, that of guessing {guessing:.2g}; ask tinyvit doctor."
        )
    if len(losses) < 3:
        return "So few epochs do not tell: train for longer."
    if best < 0.8 * len(losses) and last > 1.1 * losses[best]:
        return (
            f"It was too long, if anything: the held-out loss was lowest in epoch {best + 1} of {len(losses)}, "
            f"{losses[best]:.2g}, and ends at {last:.2g}."
        )
    change = f"from {before:.2g} to {last:.2g} over the last third"
    if last < 0.9 * before:
        return f"The held-out loss was still falling, {change}: more epochs may help."
    return f"The held-out loss has settled, {change}: more epochs would change little."


def dataflow_picture(config, whole, one):
    """What a model computes on the way from an example to the answer; `whole` and `one` name the example in words."""
    summary = shapes(config)
    parameters, multiply_adds, _ = summary.totals
    short = " (fewer where the last block is computed for the class token alone)"
    fewer = short if getattr(config, "pool", None) == "class" else ""
    words = (
        f"Every tensor on the way from {whole} to the answer: {parameters:,} parameters, and {multiply_adds:,} "
        f"multiply-adds for {one}{fewer}. What is filled is kept for the backward pass: "
        f"{summary.kept:,} bytes."
    )
    return Picture(dataflow_figure(summary), "What is computed?", words)
