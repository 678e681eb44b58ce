"""Parameters that someone hands in: are they those of the configuration?"""

from tinyvit import trees
from tinyvit.errors import UsageError
from tinyvit.models.model import model_of


def check_parameters(p, config, what):
    """Raise UsageError, which begins with `what` p is, unless it has the configuration's names and shapes."""
    found, expected = trees.named(p), trees.named(model_of(config).init(None, config))
    for name in [*expected, *found]:
        shapes = [list(tree[name].shape) if name in tree else "absent" for tree in (found, expected)]
        if shapes[0] != shapes[1]:
            raise UsageError(f"{what}: {name} is {shapes[0]}, the model expects {shapes[1]}")
