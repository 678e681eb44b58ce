"""What a finished run has to show: numbers, and figures with two sentences each."""

from typing import NamedTuple

import numpy as np

from tinyvit.arrays import xp_of
from tinyvit.data import dataset_named
from tinyvit.models.vit import vit
from tinyvit.training.evaluation import predict
from tinyvit.viz.attention import (
    attention_distance,
    attention_maps,
    rollout,
    uniform_distance,
    weighted_attention,
)
from tinyvit.viz.confusion import confusion, confusion_figure, mistakes_figure, worst_mistakes
from tinyvit.viz.curves import curves
from tinyvit.viz.dataflow import dataflow_figure
from tinyvit.viz.distance import distance_figure
from tinyvit.viz.embedding import filters_figure, similarity_figure
from tinyvit.viz.ledger import shapes
from tinyvit.viz.maps import attention_figure, overlay_figure

SAMPLES = 64  # images over which attention distances are averaged
SHOWN = 4  # of them drawn
LOCAL = 0.7  # of uniform attention's distance, below which a head is called local


class Inside(NamedTuple):
    """A finished run, with all that its figures need."""

    run: object
    p: dict
    config: object
    images: np.ndarray  # the test set's
    labels: np.ndarray
    names: tuple  # of the classes
    probabilities: np.ndarray
    maps: list  # the attention maps of the first SAMPLES images
    cache: dict  # of the first SHOWN


class Picture(NamedTuple):
    """A figure, its title, and what it means."""

    figure: object
    title: str
    words: str


def look_inside(run, p, config, test, *, workers=1):
    """Classify the test set and keep what the figures need.

    Parameters
    ----------
    run : Run
    p, config
        Its model.
    test : (x, y)
    workers : int
    """
    x, y = test
    xp = xp_of(p["cls"])
    _, c = vit(xp.asarray(x[:SAMPLES]), p, config)
    maps = attention_maps(c)
    _, c = vit(xp.asarray(x[:SHOWN]), p, config)
    names = dataset_named(run.settings.data).class_names
    return Inside(run, p, config, x, y, names, predict(x, p, config, workers=workers), maps, c)


def pictures(inside):
    """All figures of a run, {name: Picture}, in the order in which one would look at them."""
    found = {"curves": _curves, "confusion": _confusion, "mistakes": _mistakes, "attention": _attention}
    found |= {"rollout": _rollout, "distance": _distance, "filters": _filters, "positions": _positions}
    found |= {"dataflow": _dataflow}
    if inside.config.position == "none":
        del found["positions"]
    return {name: draw(inside) for name, draw in found.items()}


def _curves(inside):
    history, epochs = inside.run.history(), inside.run.settings.recipe.epochs
    accuracy = [r["validation_accuracy"] for r in history if r["kind"] == "epoch"]
    third = accuracy[-max(1, len(accuracy) // 3) :]
    gain = 100 * (third[-1] - third[0])
    rising = (
        "it was still rising, so longer training may help" if gain > 0.5 else "more epochs would have changed little"
    )
    words = (
        "Left, the loss falls as the model learns; right, the share of held-out images that it classifies correctly. "
        f"Over the last third of {epochs} epochs that share changed by {gain:+.2f} points: {rising}."
    )
    return Picture(curves(history), "Was training long enough?", words)


def _confusion(inside):
    counts = confusion(inside.labels, inside.probabilities.argmax(-1), len(inside.names))
    wrong = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    i, j = np.unravel_index(wrong.argmax(), wrong.shape)
    most = f"Most often, {inside.names[i]} is taken for {inside.names[j]}: {wrong[i, j]} times."
    words = "Each row is what an image is, each column what the model says; colour marks the mistakes. "
    words += most if wrong.any() else "There are no mistakes."
    return Picture(confusion_figure(counts, inside.names), "Which classes are confused?", words)


def _mistakes(inside):
    worst = worst_mistakes(inside.labels, inside.probabilities)
    xp = xp_of(inside.p["cls"])
    if len(worst):
        _, c = vit(xp.asarray(inside.images[worst]), inside.p, inside.config)
        attention = rollout(attention_maps(c))[:, 0, 1:]
    else:
        attention = np.zeros((0, inside.config.tokens - 1))
    figure = mistakes_figure(
        inside.images[worst], inside.labels[worst], inside.probabilities[worst], attention, inside.names
    )
    words = (
        "The mistakes that the model was surest of, each above where it looked (rollout, light is more). "
        "Some would puzzle a human as well; those that would not are worth understanding."
    )
    return Picture(figure, "What does it get wrong?", words)


def _attention(inside):
    figure = attention_figure(inside.images[0], [a[0] for a in inside.maps])
    words = (
        "Where the class token looks in the first test image, in every layer (rows) and head (columns). "
        "Heads divide the work: what one leaves dark another may look at."
    )
    return Picture(figure, "What does each head look at?", words)


def _rollout(inside):
    images, maps = inside.images[:SHOWN], [a[:SHOWN] for a in inside.maps]
    best = inside.probabilities[:SHOWN].argmax(-1)
    dlogits = np.eye(inside.config.classes, dtype=inside.p["cls"].dtype)[best]
    weighted = weighted_attention(xp_of(inside.p["cls"]).asarray(dlogits), inside.p, inside.cache)
    columns = {
        "rollout": rollout(maps)[:, 0, 1:],
        "without identity": rollout(maps, identity=False)[:, 0, 1:],
        "for the class": sum(weighted)[:, 0, 1:],
    }
    figure = overlay_figure(images, columns, [f"says {inside.names[k]}" for k in best])
    words = (
        "Attention followed through all layers, with and without the residual connections; and the class token's "
        "attention weighted by its gradient, which leaves what speaks for the class. Light patches matter most."
    )
    return Picture(figure, "What does the answer rest on?", words)


def _distance(inside):
    distances = attention_distance(inside.maps, inside.config.patch)
    uniform = uniform_distance(inside.config.tokens - 1, inside.config.patch)
    local, of = int((distances < LOCAL * uniform).sum()), distances.size
    found = f"{local or 'None'} of {of} heads look{'s' * (local < 2)}"
    words = (
        f"How far each head looks on average, over {len(inside.maps[0])} images: from {distances.min():.1f} to "
        f"{distances.max():.1f} pixels, where a head that looks everywhere alike would reach {uniform:.1f} (the line). "
        f"{found} less than {LOCAL} as far as that{': these are local' if local else ', so none is local'}."
    )
    return Picture(distance_figure(distances, uniform), "How far does each head look?", words)


def _filters(inside):
    words = (
        "The principal directions of the patch embedding's filters, and how much of the filters each accounts for. "
        "Smooth ones answer to brightness and edges; speckled ones are little used, or noise."
    )
    figure = filters_figure(np.asarray(inside.p["patch"]["w"]), inside.config.channels)
    return Picture(figure, "What does a patch become?", words)


def _positions(inside):
    words = (
        "How alike the learned position of each patch (its place in the grid) is to all others (within each square). "
        "Where neighbours are alike, the model has found out by itself that the image has two dimensions."
    )
    return Picture(similarity_figure(np.asarray(inside.p["pos"])), "Does it know where patches are?", words)


def _dataflow(inside):
    ledger = shapes(inside.config)
    parameters, multiply_adds, _ = ledger.totals
    words = (
        f"Every tensor on the way from an image to the answer: {parameters:,} parameters, and {multiply_adds:,} "
        f"multiply-adds for one image. What is filled is kept for the backward pass: {ledger.kept:,} bytes."
    )
    return Picture(dataflow_figure(ledger), "What is computed?", words)
