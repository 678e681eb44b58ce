"""The notebooks' exercises on functions that the package does not have: they can be solved, and slips are told."""

import ast
from pathlib import Path

import numpy as np
import pytest

from tinyvit import exercises
from tinyvit.layers.gru_cell import gru_after_cell, gru_after_cell_backward, gru_after_cell_init
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.token_cross_entropy import NO_TARGET
from tinyvit.ops.unfold import unfold, unfold_backward

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def given(notebook, name):
    """The forward pass as the notebook's twin has it."""
    text = (NOTEBOOKS / f"{notebook}.py").read_text(encoding="utf-8")
    found = [node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef) and node.name == name]
    names = {"np": np, "attention": attention, "unfold": unfold, "NO_TARGET": NO_TARGET}
    exec(compile(ast.Module(found, []), notebook, "exec"), names)
    return names[name]


POOLED = given("15_who_looks_at_whom", "pooled_attention")
COSINE = given("16_swin_from_a_window_to_a_pyramid", "cosine_scores")
AVERAGE = given("17_convolution_first", "average_pool")
AFTER = gru_after_cell  # the package has this one, but no exercise of its name
ALIBI = given("19_from_recurrence_to_the_transformer", "alibi")
EVEN = given("20_three_objectives_on_one_block", "even_loss")

rng = np.random.default_rng(0)
INPUTS = {POOLED: rng.standard_normal((3, 8, 5)), COSINE: rng.standard_normal((2, 2, 3, 4))}
INPUTS[AVERAGE] = rng.standard_normal((1, 2, 5, 6, 3))
INPUTS[AFTER] = *(rng.standard_normal((3, width)) for width in (12, 4)), gru_after_cell_init(rng, 4, dtype="float64")
INPUTS[ALIBI] = (*rng.standard_normal((3, 2, 5, 4)), np.array(0.5))
INPUTS[EVEN] = rng.standard_normal((3, 5, 6)), np.array([[2, 0, 4, 1, 3], [1, 2, -1, -1, -1], [4, -1, -1, -1, -1]])


def pooled_backward(share, spread=np.repeat):
    def backward(dy, c):
        dq, dk, dv = attention_backward(dy, c)[:3]
        return dq, share * spread(dk, 4, axis=0), share * spread(dv, 4, axis=0)

    return backward


def tiled(x, times, axis):
    return np.concatenate(times * [x], axis=axis)


def cosine_backward(radial):
    """`radial`: how much of the gradient along each vector, which cannot change its cosines, is taken out."""

    def backward(dscores, c):
        lengths = [np.linalg.norm(c[name], axis=-1, keepdims=True) for name in "qk"]
        q, k = (c[name] / length for name, length in zip("qk", lengths, strict=True))
        dunit = dscores @ k / 0.1, dscores.swapaxes(-1, -2) @ q / 0.1
        return tuple(
            (d - radial * (d * unit).sum(axis=-1, keepdims=True) * unit) / length
            for d, unit, length in zip(dunit, (q, k), lengths, strict=True)
        )

    return backward


def average_backward(pixels):
    def backward(dy, c):
        each = np.repeat((dy / pixels(c["inside"]))[:, :, :, None], 9, axis=3)
        return unfold_backward(each.reshape(*dy.shape[:3], -1), {"x": c["x"]}, 2)

    return backward


def after_backward(dw):
    """`dw`: the gradient of w, of which the package's, the candidate's gradient and the old state are given."""

    def backward(dy, p, c):
        dx, dh, g = gru_after_cell_backward(dy, p, c)
        return dx, dh, g | {"w": dw(g["w"], dx[:, 8:], c["h"])}

    return backward


def alibi_backward(slope):
    def backward(dy, c):
        dq, dk, dv, dbias = attention_backward(dy, c["attention"])
        return dq, dk, dv, slope(dbias, c["distance"])

    return backward


def even_backward(weights):
    def backward(dloss, c):
        is_target = c["targets"] != NO_TARGET
        true = np.eye(c["y"].shape[-1])[np.where(is_target, c["targets"], 0)] * is_target[..., None]
        return dloss * weights(c["weights"], is_target)[..., None] * (c["y"] - true)

    return backward


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (POOLED, pooled_backward(1 / 4)),
        (COSINE, cosine_backward(1)),
        (AVERAGE, average_backward(lambda inside: inside)),
        (AFTER, gru_after_cell_backward),
        (ALIBI, alibi_backward(lambda dbias, distance: -np.sum(dbias * distance))),
        (EVEN, even_backward(lambda weights, is_target: weights)),
    ],
)
def test_a_right_answer_is_accepted(forward, backward):
    verdict = exercises.grade(forward, backward, *INPUTS[forward])
    assert verdict, verdict


@pytest.mark.parametrize(
    ("forward", "backward", "kind", "words"),
    [
        (POOLED, pooled_backward(1), "scale", "the gradient of v is 4 times"),
        (POOLED, pooled_backward(1 / 4, tiled), "value", "the gradient of v is wrong"),
        (POOLED, lambda dy, c: attention_backward(dy, c)[:3], "form", "v: gradient is float64 [2, 5]"),
        (COSINE, cosine_backward(0), "value", "the gradient of k is wrong"),
        (COSINE, cosine_backward(2), "value", "the gradient of k is wrong"),
        (AVERAGE, average_backward(lambda inside: 9), "value", "the gradient of x is wrong"),
        (AVERAGE, average_backward(lambda inside: 1), "value", "the gradient of x is wrong"),
        (AFTER, after_backward(lambda dw, dn, h: np.hstack([dw[:, :8], h.T @ dn])), "value", "p/w is wrong"),
        (ALIBI, alibi_backward(lambda dbias, distance: np.sum(dbias * distance)), "sign", "slope is -1 times"),
        (ALIBI, alibi_backward(lambda dbias, distance: -np.mean(dbias * distance)), "scale", "slope is 0.04 times"),
        (EVEN, even_backward(lambda weights, is_target: is_target / is_target.sum()), "value", "logits is wrong"),
        (EVEN, even_backward(lambda weights, is_target: len(weights) * weights), "scale", "logits is 3 times"),
        (EVEN, even_backward(lambda weights, is_target: np.where(is_target, weights, 0.1)), "value", "measured 0"),
    ],
)
def test_a_slip_is_told(forward, backward, kind, words):
    verdict = exercises.grade(forward, backward, *INPUTS[forward])
    assert (verdict.kind, words in verdict.says) == (kind, True), verdict
    assert kind == "form" or "slope" in verdict.says or verdict.picture()  # one number is no picture
