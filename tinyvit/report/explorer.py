"""The attention explorer: point at a patch and see what it attends to, in a page or a notebook, without a network."""

import base64
import hashlib
import io
import itertools
import json
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
        the model has no attention over patches.
    """

    def __init__(self, images: Array, p: Tree, config: Config, titles: Sequence[str] | None = None):
        config.check_images(images)
        if not len(images) or (titles is not None and len(titles) != len(images)):
            found = "" if titles is None else f" and {len(titles)} titles"
            raise UsageError(f"found {len(images)} images{found}: expected at least one, and a title for each")
        model = model_of(config)
        if "encoder" not in model.views:
            raise UsageError(f"{model.title} has no attention over one grid of patches: there is nothing to explore")
        self.config = encoder = model.views["encoder"](config)
        if not isinstance(encoder.image, int):
            raise UsageError(f"images of {in_pixels(encoder.image)} pixels: the explorer shows square ones only")
        count = max(1, min(len(images), BUDGET // (encoder.depth * encoder.heads * encoder.tokens**2)))
        self.images = images[:count]
        self.titles = (titles or [f"image {i + 1}" for i in range(count)])[:count]
        _, c = model.forward({"images": xp_of(trees.leaves(p)[0]).asarray(self.images)}, p, config)
        self.maps = [to_host(a) for a in model.views["attention"](c, config)]

    def __repr__(self) -> str:
        sizes = {"image": len(self.images), "layer": self.config.depth, "head": self.config.heads}
        words = [f"{count} {name}" + "s" * (count != 1) for name, count in sizes.items()]
        return f"Explorer({', '.join(words)})"

    def _repr_html_(self) -> str:
        return self.html()

    def html(self) -> str:
        """A piece of HTML that contains all it needs."""
        data = json.dumps(self.data()).replace("<", "\\u003c")  # no title can end the script
        first = attention_figure(self.images[0], [a[0] for a in self.maps], pool=self.config.pool)
        who = who_answers(self.config.tokens, self.config.pool)
        words = f"Where {who} of the first image looks, in each layer and head"
        return Template(resources.files(__package__).joinpath("explorer.html").read_text(encoding="utf-8")).substitute(
            id=f"explorer-{hashlib.sha256(data.encode()).hexdigest()[:8]}-{next(NUMBER)}",
            fallback=f'<img class="static" style="max-width: 100%" alt="{words}" src="{figure_source(first)}">',
            data=data,
            stops=", ".join(f"rgb{tuple(colour)}" for colour in _colours()),
        )

    def data(self) -> dict[str, Any]:
        """What the script needs: maps as base64 of uint16 [image, layer, head, T, T], where 65535 stands for 1."""
        maps = np.stack(self.maps, axis=1)  # [B, L, h, T, T]
        return {
            "side": self.config.grid,
            "tokens": self.config.tokens,
            "layers": self.config.depth,
            "heads": self.config.heads,
            "images": [
                {"src": image_source(image), "title": title}
                for image, title in zip(self.images, self.titles, strict=True)
            ],
            "maps": base64.b64encode(np.round(65535 * maps).astype("<u2").tobytes()).decode(),
            "colours": _colours(),
        }


def image_source(image):
    """An image [H, W, C], from -1 to 1, as a data URL."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.round(255 * picture(image)).astype(np.uint8)).save(file, "png")
    return _source("image/png", file)


def figure_source(figure):
    """A matplotlib figure as a data URL."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=130)
    return _source("image/png", file)


def _source(kind, file):
    return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _colours():
    """The stops of the colour scale, as [red, green, blue] from 0 to 255."""
    from matplotlib import colormaps

    return [[int(c) for c in row[:3]] for row in colormaps[HEAT](np.linspace(0, 1, COLOURS), bytes=True)]
