"""One gradient-check case for every op, every layer and the whole model.

The tests, the command `tinyvit gradcheck` and the exercises all read this table: what is not in it is not checked.
Every axis has a size of its own, where it can, so that a wrong axis cannot pass by accident; parameters are random
(gamma is not 1, no bias is 0), so that none of them hides a missing factor.
"""

import numpy as np

from tinyvit.checks.attention_forms import attention_forms
from tinyvit.checks.case import B, Case, D, M, S, T, drawing
from tinyvit.checks.hybrid import hybrid_cases
from tinyvit.checks.layers import layers
from tinyvit.checks.models import convolutional, masked_patches, model_variants, models
from tinyvit.checks.ops import ops, resizes
from tinyvit.checks.sequences import sequence_cases, sequence_models
from tinyvit.checks.swin import swin_cases
from tinyvit.checks.variants import variants

__all__ = ["B", "Case", "D", "M", "S", "T", "cases"]


def cases(names=None):
    """The cases by name, freshly drawn, always the same.

    Parameters
    ----------
    names : sequence of str, optional
        Only these; a name includes its variants: "attention" is also "attention/bias".

    Raises
    ------
    KeyError
        With the first name that there is no case of.
    """
    rng = np.random.default_rng(0)
    array, randomised = drawing(rng)
    # Generators of their own: what the other cases draw stays what it was.
    found = ops(array) | resizes(np.random.default_rng(2))
    found |= layers(array, randomised, rng) | variants(np.random.default_rng(3))
    found |= models(array, randomised) | model_variants(np.random.default_rng(4))
    found |= convolutional(np.random.default_rng(5)) | masked_patches(np.random.default_rng(6))
    found |= attention_forms(np.random.default_rng(7)) | swin_cases(np.random.default_rng(8))
    found |= hybrid_cases(np.random.default_rng(9)) | sequence_cases(np.random.default_rng(10))
    found |= sequence_models(np.random.default_rng(11))
    if not names:
        return found
    chosen = {}
    for name in names:
        matching = {key: case for key, case in found.items() if key == name or key.startswith(name + "/")}
        if not matching:
            raise KeyError(name)
        chosen |= matching
    return chosen
