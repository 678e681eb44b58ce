"""How much do small choices matter? The same weights under other sources' numerics, and how far the logits drift.

Published weights come with numerics of their own: which GELU, which eps, how a picture is resized. A reader that mixes
them up is not wrong enough to fail, only a little off. Here each is exchanged for another, alone.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from tinyvit import trees
from tinyvit.data.photos import Preparation, prepare_photo
from tinyvit.models.model import forward
from tinyvit.models.sizes import in_pixels
from tinyvit.ops.softmax import softmax
from tinyvit.weights.adapt import POSITION_RESIZE, fitting_image, resized_positions

EPS = (1e-12, 1e-6, 1e-5)
LARGER = 1.5  # times the image size, to compare the ways to resize positions


class Drift(NamedTuple):
    """What one exchange does to the logits of one picture."""

    what: str
    usual: str
    other: str
    logits: float  # the largest difference of any logit
    probability: float  # of the best class: other less usual
    same_class: bool


def numerics(p, config, preparation, source, image):
    """Exchange one choice after the other, for a photograph.

    Parameters
    ----------
    p, config : the model, as `load_weights` returns it
    preparation : Preparation
    source : "google", "timm", "huggingface" or "tinyvit"
    image : uint8 array [H, W, C]

    Returns
    -------
    list of Drift
    """
    defaults = []
    for other in ("google", "timm", "huggingface"):
        theirs = replace(Preparation.of(other, config.image), mean=preparation.mean, std=preparation.std)
        if theirs != preparation:
            defaults.append((str(preparation), str(theirs), prepare_photo(image, theirs, config.channels)))

    def at(size):
        return prepare_photo(image, replace(preparation, size=size), config.channels)

    return drifts(p, config, source, at, defaults)


def drifts(p, config, source, at, defaults=()):
    """Exchange one choice after the other, for a picture that is prepared in whatever way.

    Parameters
    ----------
    p, config : the model
    source : "google", "timm", "huggingface" or "tinyvit"
    at : callable
        at(size) is the picture as the model's input of so many pixels, [size, size, C]; or of (height, width).
    defaults : list of (usual, other, input)
        The same picture as others would prepare it, where that is a question: two descriptions, and the input.

    Returns
    -------
    list of Drift
    """
    x = at(config.image)
    usual = _logits(x, p, config)
    gelu, own_eps = config.values()["gelu"], config.values()["eps"]
    other = {"erf": "tanh", "tanh": "erf"}[gelu]
    found = [_drift("GELU", gelu, other, usual, _logits(x, p, config.changed(gelu=other)))]
    for eps in EPS:
        if eps != own_eps:
            logits = _logits(x, p, config.changed(eps=eps))
            found.append(_drift("LayerNorm's eps", f"{own_eps:g}", f"{eps:g}", usual, logits))
    for ours, theirs, prepared in defaults:
        found.append(_drift("the picture's resize", ours, theirs, usual, _logits(prepared, p, config)))
    if config.values().get("position") == "1d":
        found += _position_drifts(p, config, source, at)
    dtype = np.float32 if usual.dtype == np.float64 else np.float64
    cast = trees.map(lambda leaf: leaf.astype(dtype), p)
    logits = _logits(x.astype(dtype), cast, config)
    return [*found, _drift("precision", str(usual.dtype), np.dtype(dtype).name, usual, logits)]


def _position_drifts(p, config, source, at):
    """At a larger image size: the source's way to resize positions against the others'."""
    larger, vit = _enlarged(config), getattr(config, "vit", config)
    grid = getattr(larger, "vit", larger).grid_size
    x, logits = at(larger.image), {}
    for way in dict.fromkeys(POSITION_RESIZE.values()):
        resized = p | {"pos": resized_positions(p, vit, grid, way)}
        logits[way] = _logits(x, resized, larger)
    own = POSITION_RESIZE[source]
    what = f"positions, {in_pixels(vit.grid_size)} to {in_pixels(grid)}"
    return [_drift(what, own, way, logits[own], logits[way]) for way in logits if way != own]


def _enlarged(config):
    """The configuration for images about LARGER times as large."""
    if hasattr(config, "vit"):
        return config.changed(image=fitting_image(config, round(config.image * LARGER)))
    return config.changed(image=tuple(round(side * LARGER) * config.patch for side in config.grid_size))


def _drift(what, usual, other, before, after):
    best = int(before.argmax())
    change = float(softmax(after[None])[0][0, best] - softmax(before[None])[0][0, best])
    return Drift(what, usual, other, float(abs(after - before).max()), change, int(after.argmax()) == best)


def _logits(x, p, config):
    batch = {"images": x[None].astype(p["head"]["w"].dtype)}
    return forward(batch, p, config, all_rows=False, keep_cache=False)[0][0]
