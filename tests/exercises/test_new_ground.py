"""The pairs that notebooks set as new ground: a right way back is accepted, a wrong one gets the right kind."""

import ast
from pathlib import Path

import numpy as np
import pytest

from tinyvit import exercises
from tinyvit.layers.gru_cell import gru_after_cell, gru_after_cell_backward, gru_after_cell_init
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.token_cross_entropy import NO_TARGET

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
rng = np.random.default_rng(0)


def of_notebook(name, function, **names):
    """A function as a notebook's twin defines it, which may use NumPy and these names."""
    tree = ast.parse((NOTEBOOKS / f"{name}.py").read_text(encoding="utf-8"))
    [found] = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
    space = {"np": np} | names
    exec(compile(ast.Module([found], []), name, "exec"), space)
    return space[function]


alibi = of_notebook("19_from_recurrence_to_the_transformer", "alibi", attention=attention)
even_loss = of_notebook("20_three_objectives_on_one_block", "even_loss", NO_TARGET=NO_TARGET)
ALIBI = (*rng.standard_normal((3, 2, 5, 4)), np.array(0.5))
EVEN_LOSS = rng.standard_normal((3, 5, 6)), np.array([[2, 0, 4, 1, 3], [1, 2, -1, -1, -1], [4, -1, -1, -1, -1]])
GRU = rng.standard_normal((3, 12)), rng.standard_normal((3, 4)), gru_after_cell_init(rng, 4, dtype="float64")


def alibi_backward_by(slope):
    def backward(dy, c):
        dq, dk, dv, dbias = attention_backward(dy, c["attention"])
        return dq, dk, dv, slope(dbias, c["distance"])

    return backward


def even_loss_backward_by(weights):
    def backward(dloss, c):
        asked = c["targets"] != NO_TARGET
        truth = np.eye(c["y"].shape[-1])[np.where(asked, c["targets"], 0)] * asked[..., None]
        return dloss * weights(c, asked)[..., None] * (c["y"] - truth)

    return backward


def gru_backward_by(dw):
    def backward(dy, p, c):
        dx, dh, g = gru_after_cell_backward(dy, p, c)
        return dx, dh, g | {"w": dw(g["w"], dx[:, 8:], c["h"])}

    return backward


RIGHT = {
    "alibi": (alibi, ALIBI, alibi_backward_by(lambda dbias, distance: -np.sum(dbias * distance))),
    "even_loss": (even_loss, EVEN_LOSS, even_loss_backward_by(lambda c, asked: c["weights"])),
    "gru_after_cell": (gru_after_cell, GRU, gru_after_cell_backward),
}
WRONG = {
    "the sign of the slope": (
        (alibi, ALIBI, alibi_backward_by(lambda dbias, distance: np.sum(dbias * distance))),
        ("sign", "the gradient of slope is -1 times"),
    ),
    "the mean of the pairs": (
        (alibi, ALIBI, alibi_backward_by(lambda dbias, distance: -np.mean(dbias * distance))),
        ("scale", "the gradient of slope is 0.04 times"),
    ),
    "all tokens count the same": (
        (even_loss, EVEN_LOSS, even_loss_backward_by(lambda c, asked: asked / asked.sum())),
        ("value", "the gradient of logits is wrong"),
    ),
    "a share for padding, too": (
        (even_loss, EVEN_LOSS, even_loss_backward_by(lambda c, asked: np.where(asked, c["weights"], 0.1))),
        ("value", "measured 0"),
    ),
    "not by the number of sequences": (
        (even_loss, EVEN_LOSS, even_loss_backward_by(lambda c, asked: len(asked) * c["weights"])),
        ("scale", "the gradient of logits is 3 times"),
    ),
    "no reset on the way to U_n": (
        (gru_after_cell, GRU, gru_backward_by(lambda dw, dn, h: np.concatenate([dw[:, :8], h.T @ dn], axis=1))),
        ("value", "the gradient of p/w is wrong"),
    ),
}


@pytest.mark.parametrize("forward, inputs, backward", RIGHT.values(), ids=RIGHT)
def test_the_right_way_back_is_accepted(forward, inputs, backward):
    verdict = exercises.grade(forward, backward, *inputs)
    assert verdict, verdict


@pytest.mark.parametrize("given, expected", WRONG.values(), ids=WRONG)
def test_a_wrong_way_back_is_told(given, expected):
    (forward, inputs, backward), (kind, words) = given, expected
    verdict = exercises.grade(forward, backward, *inputs)
    assert (verdict.kind, words in verdict.says) == (kind, True), verdict
