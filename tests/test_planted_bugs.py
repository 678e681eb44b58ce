"""Small, realistic mistakes, planted one at a time: gradcheck must find every one.

Those that learners make are known to the exercises (tinyvit/exercises/mistakes.txt); here each is planted that has a
wrong gradient, and so are some more, with a case of tinyvit.checks that must then fail. Each is one edit of one
function: what stands there, and how it is easily written.
A mistake made alike in both passes (a scale left out of either) is a different function with a right gradient: no
gradient check sees it, and the tests against reference implementations do.
"""

import functools

import numpy as np
import pytest

from docs.measure import keeps_result
from tinyvit import trees
from tinyvit.checks import Case, cases
from tinyvit.exercises.exercise import exercises
from tinyvit.exercises.mistakes import FORGOTTEN as NOTHING
from tinyvit.exercises.mistakes import mistakes
from tinyvit.exercises.source import planted
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward
from tinyvit.layers.layer_norm import layer_norm_backward
from tinyvit.layers.linear import linear_backward
from tinyvit.layers.mlp import mlp_backward
from tinyvit.layers.multi_head_attention import multi_head_attention_backward
from tinyvit.layers.position import learned_position_backward
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.ops.attention import _sum_to, attention_backward
from tinyvit.ops.heads import split_heads
from tinyvit.ops.resize import resize_backward
from tinyvit.ops.resize_positions import resize_positions_backward

BUGS = [  # function, the case that must fail, {mistake: (what stands there, how it is easily written)}
    (
        attention_backward,
        "multi_head_attention",
        {
            "dq and dk exchanged": ("return dq, dk,", "return dk, dq,"),
            "dk not transposed": ("dscores.swapaxes(-1, -2) @ q", "dscores @ q"),
            "dv not transposed": ("a.swapaxes(-1, -2) @ dy", "a @ dy"),
        },
    ),
    (attention_backward, "attention/bias", {"dbias not reduced": ('_sum_to(dscores, c["bias"].shape)', "dscores")}),
    (_sum_to, "attention/bias", {"averaged, not summed": ("x.sum(", "x.mean(")}),
    (
        multi_head_attention_backward,
        "multi_head_attention",
        {"no output projection": ('dy, g["o"] = linear_backward', '_, g["o"] = linear_backward')},
    ),
    (split_heads, "multi_head_attention", {mistake.says: mistake.edit for mistake in mistakes("split_heads")}),
    (
        layer_norm_backward,
        "layer_norm",
        {"eps outside the root": ("dx *= rstd", "dx /= np.sqrt(1 / rstd**2 - 1e-6) + 1e-6")},
    ),
    (linear_backward, "multi_head_attention", {"dw transposed": ("x.T @ rows", "rows.T @ x")}),
    (
        mlp_backward,
        "encoder_block/dropout",
        {"dropout forgotten": ('dy = dropout_backward(dy, c["dropout1"])', NOTHING)},
    ),
    (learned_position_backward, "position/1d", {"wrong rows": ("dy.sum(axis=0)", "dy.sum(axis=0)[::-1]")}),
    (
        resize_backward,
        "resize/bicubic",
        {"resized back, not transposed": ('c["rows"].T, c["columns"].T', 'c["columns"], c["rows"]')},
    ),
    (
        resize_positions_backward,
        "resize_positions",
        {
            "no gradient for the class token": ("[dy[:1],", "[0 * dy[:1],"),
            "rows off by the class token's": ("dy[1:].reshape", "dy[:-1].reshape"),
            "rows and columns exchanged": ("dpatches.reshape(", "dpatches.swapaxes(0, 1).reshape("),
        },
    ),
    (
        encoder_block_backward,
        "encoder_block/rows",
        {"query gradient in the last rows": ("dy[:, : dq.shape[1]] += dq", "dy[:, -dq.shape[1] :] += dq")},
    ),
    (
        encoder_block,
        "encoder_block",
        {"a stale cache, of the other LayerNorm": ('y, c["mlp"] =', 'c["ln2"] = c["ln1"]; y, c["mlp"] =')},
    ),
    (
        vit_backward,
        "small vit",
        {"dropout after the positions forgotten": ('dz = dropout_backward(dz, c["dropout"])', NOTHING)},
    ),
]


def small_vit():
    """A whole model with everything in it, small enough to be checked in no time."""
    sizes = dict(image=4, channels=1, patch=2, dim=4, depth=2, heads=2, mlp_dim=3, classes=3, pre_logits=2)
    config = ViTConfig(**sizes, gelu="tanh", dropout=0.3)
    rng = np.random.default_rng(0)
    p = trees.map(lambda leaf: rng.standard_normal(leaf.shape), vit_init(None, config))
    keywords = dict(config=config, masks=vit_masks(rng, config, 2, dtype=np.float64))
    images = rng.standard_normal((2, 4, 4, 1))
    return Case(vit, lambda dy, p, c: vit_backward(dy, p, c, config), (images, p), keywords)


def check(name):
    """The report on the case of this name."""
    return (small_vit() if name == "small vit" else cases([name])[name]).check()


@functools.cache
def is_right(name):
    """Whether a case passes as long as nothing is planted."""
    return check(name).ok


@pytest.mark.parametrize(
    "function, case, right, wrong",
    [
        pytest.param(function, case, *edit, id=f"{function.__name__}: {mistake}")
        for function, case, mistakes in BUGS
        for mistake, edit in mistakes.items()
    ],
)
def test_the_gradient_check_finds(function, case, right, wrong):
    assert is_right(case)
    with planted(function, (right, wrong)):
        report = check(case)
    assert not report.ok, f"\n{report}"


@functools.cache
def checkable(name):
    """The calls of an exercise in which the right backward pass agrees: not those at which numbers overflow."""
    exercise = exercises()[name]
    return [call for call in exercise.calls if exercise.case(exercise.backward, call).check().ok]


@pytest.mark.parametrize(
    "name, mistake",
    [
        pytest.param(name, mistake, id=f"{mistake.function}: {mistake.says}")
        for name, exercise in exercises().items()
        if exercise.backward
        for mistake in (*mistakes(exercise.forward.__name__), *mistakes(name))
        if keeps_result(mistake)
    ],
)
def test_the_gradient_check_finds_what_learners_do(name, mistake):
    """In at least one of the calls: in the others there may be no smoothing to forget."""
    exercise = exercises()[name]
    assert checkable(name)
    for call in checkable(name):
        try:
            with planted(exercises()[mistake.function].function, mistake.edit):
                if not exercise.case(exercise.backward, call).check().ok:
                    return
        except ValueError:  # the shapes do not fit: here the mistake shows itself
            continue
    pytest.fail("the gradient check finds nothing")
