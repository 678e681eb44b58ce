"""Write variants.json: a few numbers for every variant of the ViT, so that a rewritten model can be held against them.

Each array of a variant (logits, gradient of the images, gradients of all parameters) is projected onto one random
direction: a single number that every entry has a part in. `tests/models/test_variants.py` makes the same numbers again.

    python tests/golden/make_variants.py
"""

import itertools
import json
from pathlib import Path

import numpy as np

import tinyvit
from tinyvit import trees

FILE = Path(__file__).with_name("variants.json")
CHOICES = {
    "pool": ("class", "mean"),
    "position": ("none", "1d", "2d", "sinusoidal", "relative"),
    "position_at": ("stem", "layers", "shared"),
    "norm": ("pre", "post"),
    "scale": ("sqrt", "none"),
    "gelu": ("erf", "tanh"),
    "pre_logits": (0, 7),
    "dropout": (0.0, 0.2),
}


def variants():
    """All combinations of the choices that fit together: 896 dictionaries of options."""
    for values in itertools.product(*CHOICES.values()):
        options = dict(zip(CHOICES, values, strict=True))
        if (options["position"], options["position_at"]) != ("relative", "stem"):
            yield options


def arrays(options):
    """Logits, the gradient of the images, and the gradients of all parameters by name, in float64."""
    sizes = dict(image=6, channels=2, patch=2, dim=8, depth=2, heads=2, mlp_dim=5, classes=3)
    config = tinyvit.ViTConfig(**sizes, **options)
    rng = np.random.default_rng(17)
    p = tinyvit.vit_init(None, config, dtype="float64")
    p = trees.map(lambda leaf: leaf + 0.5 * rng.standard_normal(leaf.shape), p)
    images, dlogits = rng.standard_normal((2, 6, 6, 2)), rng.standard_normal((2, 3))
    masks = tinyvit.vit_masks(np.random.default_rng(5), config, 2, dtype="float64")
    logits, c = tinyvit.vit(images, p, config, masks=masks)
    dimages, g = tinyvit.vit_backward(dlogits, p, c, config)
    return {"logits": logits, "dimages": dimages} | {f"g/{name}": leaf for name, leaf in trees.walk(g)}


def digest(options):
    """Three numbers: of the logits, of the images' gradient, and of all parameters' gradients together."""
    found = arrays(options)
    gradients = np.concatenate([found[name].ravel() for name in sorted(found) if name.startswith("g/")])
    rng = np.random.default_rng(23)
    return [float(a.ravel() @ rng.standard_normal(a.size)) for a in (found["logits"], found["dimages"], gradients)]


def key(options):
    """The options as a name: the key in variants.json."""
    return " ".join(str(value) for value in options.values())


if __name__ == "__main__":
    rows = [f"  {json.dumps(key(options))}: {json.dumps(digest(options))}" for options in variants()]
    FILE.write_text("{\n" + ",\n".join(rows) + "\n}\n", encoding="utf-8")
