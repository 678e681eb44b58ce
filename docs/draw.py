"""Draw the figures of the pages that are computed from a formula or a check, not from a trained model.

python docs/draw.py gradcheck_step     error of a gradient check against its step -> docs/figures/gradcheck_step.png
"""

import argparse
from pathlib import Path

import numpy as np

from tinyvit.checks import cases
from tinyvit.gradcheck import STEP, numeric_gradient
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

FIGURES = Path(__file__).parent / "figures"


def gradcheck_step():
    """The worst error that a gradient check of LayerNorm, which is right, would report for each step h."""
    case = cases(["layer_norm"])["layer_norm"]
    x, p = case.inputs
    y, c = case.forward(x, p)
    r = np.random.default_rng(0).standard_normal(y.shape)
    dx, _ = case.backward(r, p, c)

    def loss():
        return float((case.forward(x, p)[0] * r).sum())

    steps = 10.0 ** np.arange(-9, -0.9, 0.25)
    figure = new_figure(7, 4)
    axes = figure.add_subplot(xscale="log", yscale="log", xlabel="step h", ylabel="worst error of any entry of dx")
    for stencil, colour, marker, words in (
        (_second_order, ORANGE, "s", "second order, two points"),
        (numeric_gradient, BLUE, "o", "fourth order, four points (tinyvit)"),
    ):
        errors = [_worst(stencil(loss, x, h), dx) for h in steps]
        axes.plot(steps, errors, marker=marker, markersize=4, color=colour, label=words)
    axes.axhline(1e-7, color="black", linewidth=0.8, linestyle="--")
    axes.text(1e-9, 8e-8, "allowed: 1e-7", va="top")
    axes.axvline(STEP, color="grey", linewidth=0.8, linestyle=":")
    axes.text(STEP * 0.9, 2e-12, f"tinyvit's h = {STEP:.0e}", ha="right")
    axes.set_ylim(1e-12, 1e-1)
    axes.legend(loc="upper left", frameon=False)
    plain(axes)
    figure.savefig(FIGURES / "gradcheck_step.png", metadata={"Software": None})


def _second_order(loss, x, step):
    """(L(x+h) - L(x-h)) / 2h for every entry of x, which is moved in place and put back."""
    dx = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        value, values = x[index], []
        for moved in (value + step, value - step):
            x[index] = moved
            values.append(loss())
        dx[index], x[index] = (values[0] - values[1]) / (2 * step), value
    return dx


def _worst(numeric, analytic):
    """The largest error, in gradcheck's unit: the larger of the two numbers, or 0.01, which is its atol / rtol."""
    return (abs(numeric - analytic) / np.maximum(np.maximum(abs(numeric), abs(analytic)), 1e-2)).max()


if __name__ == "__main__":
    drawings = {f.__name__: f for f in (gradcheck_step,)}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=drawings)
    drawings[parser.parse_args().what]()
