"""The MLP."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, randomised
from tinyvit.layers.mlp import mlp, mlp_init
from tinyvit.ops.dropout import dropout_mask

TWINS = {"erf": naive.gelu, "tanh": naive.gelu_tanh}


@pytest.mark.parametrize("form", TWINS)
def test_agrees_with_its_twin(rng, form):
    x, p = rng.standard_normal((2, 3, 5)), randomised(mlp_init(None, 5, 7))
    assert_close(mlp(x, p, gelu=form)[0], naive.mlp(x, p, TWINS[form]))


def test_dropout_follows_each_dense_layer(rng):
    x, p = rng.standard_normal((2, 3, 5)), randomised(mlp_init(None, 5, 7))
    masks = {name: dropout_mask(rng, (2, 3, n), 0.4, np.float64) for name, n in (("fc1", 7), ("fc2", 5))}
    assert_close(mlp(x, p, masks=masks)[0], naive.mlp(x, p, masks=masks))
