"""The attention explorer: point at a patch and see what it attends to, in a page or a notebook, without a network."""

import base64
import hashlib
import io
import itertools
import json
import math
from collections.abc import Sequence
from importlib import resources
from string import Template
from typing import Any

import numpy as np

from tinyvit import trees
from tinyvit.annotations import Array, Tree
from tinyvit.arrays import to_host, xp_of
from tinyvit.errors import UsageError
from tinyvit.models.config import Config
from tinyvit.models.model import model_of
from tinyvit.models.sizes import in_pixels
from tinyvit.ops.patterns import windows
from tinyvit.viz.attention import who_answers
from tinyvit.viz.maps import attention_figure
from tinyvit.viz.picture import HEAT, picture

BUDGET = 1_000_000  # numbers: maps of more images than this holds are left out; one image is always there
NUMBER = itertools.count(1)  # of an explorer: two of the same images on one page are still two
COLOURS = 16  # stops of the colour scale


class Explorer:
    """An explorer of the attention in some images; a notebook shows it as what a cell returns.

    Where scripts may not run (an untrusted notebook, a page that renders it), a picture stands in its place.

    Parameters
    ----------
    images : array [B, H, W, C]
    p, config
        The model.
    titles : list of str, optional
        One for each image.

    Raises
    ------
    UsageError
        If there are no images, or of another size or number than the model and the titles ask for, or not square; or
        the model has no attention.
    """

    def __init__(self, images: Array, p: Tree, config: Config, titles: Sequence[str] | None = None):
        config.check_images(images)
        if not len(images) or (titles is not None and len(titles) != len(images)):
            found = "" if titles is None else f" and {len(titles)} titles"
            raise UsageError(f"found {len(images)} images{found}: expected at least one, and a title for each")
        model = model_of(config)
        if "attention" not in model.views:
            raise UsageError(f"{model.title} has no attention: there is nothing to explore")
        rows, columns = model.views["grid"](config)
        if rows != columns:
            raise UsageError(f"images of {in_pixels(config.size)} pixels: the explorer shows square ones only")
        self.pool, self.patches = model.views["pool"](config), rows * columns
        self.windows = model.views["windows"](config)
        maps = _maps(images[:1], p, config)  # of one image, to see how many numbers it has
        numbers = sum(a[..., _allowed(a, window)].size for a, window in zip(maps, self.windows, strict=True))
        count = max(1, min(len(images), BUDGET // numbers))
        self.images = images[:count]
        self.titles = (titles or [f"image {i + 1}" for i in range(count)])[:count]
        self.maps = maps if count == 1 else _maps(self.images, p, config)

    def __repr__(self) -> str:
        heads = [a.shape[1] for a in self.maps]
        sizes = {"image": len(self.images), "layer": len(heads), "head": max(heads)}
        words = [f"{count} {name}" + "s" * (count != 1) for name, count in sizes.items()]
        if min(heads) < max(heads):
            words[-1] = f"{min(heads)} to {words[-1]}"
        return f"Explorer({', '.join(words)})"

    def _repr_html_(self) -> str:
        return self.html()

    def html(self) -> str:
        """A piece of HTML that contains all it needs."""
        words = json.loads(_file("explorer_words.json"))["en"]
        data = json.dumps(self.data() | {"words": words}).replace("<", "\\u003c")  # no title can end the script
        first = attention_figure(self.images[0], [a[0] for a in self.maps], pool=self.pool)
        who = who_answers(self.maps[0].shape[-1], self.pool)
        source = figure_source(first, small=True)
        alt = f"Where {who} of the first image looks, in each layer and head"
        return Template(_file("explorer.html")).substitute(
            id=f"explorer-{hashlib.sha256(data.encode()).hexdigest()[:8]}-{next(NUMBER)}",
            style=_file("explorer.css").rstrip(),
            fallback=f'<img class="static" style="max-width: 100%" alt="{alt}" src="{source}">',
            data=data,
            script=_file("explorer.js").rstrip(),
        )

    def data(self) -> dict[str, Any]:
        """What the script needs.

        maps is base64 of uint16 [image, layer, head, pair], where 65535 stands for 1: the pairs of query and key that a
        layer allows, query by query. Those are all, or where a layer has windows those of each, which explorer.html
        finds from their side and shift.
        """
        layers, pairs, first = [], [], self.maps[0].shape[-1] - self.patches
        for a, window in zip(self.maps, self.windows, strict=True):
            side, shift = window or (0, 0)
            layers.append(
                {"side": math.isqrt(a.shape[-1] - first), "heads": a.shape[1], "window": side, "shift": shift}
            )
            pairs.append(a[..., _allowed(a, window)].reshape(len(a), -1))
        maps = np.concatenate(pairs, axis=1)
        return {
            "first": first,
            "layers": layers,
            "images": [
                {"src": image_source(image), "title": title}
                for image, title in zip(self.images, self.titles, strict=True)
            ],
            "maps": base64.b64encode(np.round(65535 * maps).astype("<u2").tobytes()).decode(),
            "colours": _colours(),
        }


def _file(name):
    """The text of a file of this package."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _maps(images, p, config):
    """The attention maps of every block, on the host."""
    model = model_of(config)
    _, c = model.forward({"images": xp_of(trees.leaves(p)[0]).asarray(images)}, p, config)
    return [to_host(a) for a in model.views["attention"](c, config)]


def _allowed(a, window):
    """The pairs that a layer allows, [T, T] of bool, of its maps and of its windows' side and shift, if it has any."""
    side = math.isqrt(a.shape[-1])
    return windows(side, side, *window) if window else np.ones(a.shape[-2:], bool)


def image_source(image):
    """An image [H, W, C], from -1 to 1, as a data URL."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.round(255 * picture(image)).astype(np.uint8)).save(file, "png")
    return _source("image/png", file)


def figure_source(figure, *, small=False):
    """A matplotlib figure as a data URL; `small` for one that a notebook holds beside what it stands in for."""
    from PIL import Image

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=100 if small else 130)
    if small:
        with Image.open(file) as drawn:
            few = drawn.convert("RGB").quantize(64)
        few.save(file := io.BytesIO(), format="png", optimize=True)
    return _source("image/png", file)


def _source(kind, file):
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _colours():
    """The stops of the colour scale, as [red, green, blue] from 0 to 255."""
    from matplotlib import colormaps

    return [[int(c) for c in row[:3]] for row in colormaps[HEAT](np.linspace(0, 1, COLOURS), bytes=True)]
