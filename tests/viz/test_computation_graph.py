"""A computation graph: every number stands on its wire, what was computed above it, its gradient below."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from tinyvit.errors import UsageError
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.ops.softmax import softmax, softmax_backward
from tinyvit.viz.computation_graph import computation_graph
from tinyvit.viz.picture import ORANGE

STEPS = [("times w", ["x", "w"], "x w"), ("plus b", ["x w", "b"], "a"), ("softmax", ["a"], "s")]


def a_run(inputs, outputs):
    """The wires of a linear layer and a softmax, from random numbers."""
    rng = np.random.default_rng(0)
    x, ds = rng.standard_normal(inputs), rng.standard_normal(outputs)
    p = {"w": 30 * rng.standard_normal((inputs, outputs)), "b": rng.standard_normal(outputs)}
    a, c = linear(x, p)
    s, c_softmax = softmax(a)
    da = softmax_backward(ds, c_softmax)
    dx, g = linear_backward(da, p, c)
    wires = {"x": (x, dx), "w": (p["w"], g["w"]), "x w": (x @ p["w"], da), "b": (p["b"], g["b"]), "a": (a, da)}
    return wires | {"s": (s, ds)}


def texts(figure):
    return [text for text in figure.axes[0].texts if text.get_text()]


def numbers(figure, colour):
    """The numbers in a colour, as (x, y, words)."""
    found = [text for text in texts(figure) if to_hex(text.get_color()) == colour and "." in text.get_text()]
    return [(*text.get_position(), text.get_text()) for text in found]


@pytest.mark.parametrize("sizes", [(2, 2), (3, 4), (1, 5)])
def test_each_wire_has_its_array_above_and_its_gradient_below(sizes):
    wires = a_run(*sizes)
    figure = computation_graph(STEPS, wires)
    black, orange = numbers(figure, "#000000"), numbers(figure, ORANGE)
    places = {text.get_text(): text.get_position() for text in texts(figure)}
    height = places["softmax"][1]  # of the wire through all functions
    for name, (array, gradient) in wires.items():
        x, y = places[name]
        width = np.atleast_2d(array).shape[1] * 0.25
        for found, values in ((black, array), (orange, gradient)):
            here = [(-up, across, words) for across, up, words in found if abs(across - x) <= width and up < y]
            if name in ("x", "x w", "a", "s"):
                here = [item for item in here if abs(-item[0] - height) < 0.4]
                assert all((-up > height) == (found is black) for up, _, _ in here)
            else:
                here = [item for item in here if -item[0] < height - 0.4]
            assert [words for _, _, words in sorted(here)] == [f"{v:.2f}".replace("-0.00", "0.00") for v in values.flat]
    assert len(black) == len(orange) == sum(array.size for array, _ in wires.values())


@pytest.mark.parametrize("sizes", [(2, 2), (3, 4), (1, 5)])
def test_no_words_lie_over_others_or_beyond_the_edge(sizes):
    figure = computation_graph(STEPS, a_run(*sizes))
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in texts(figure)]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.overlaps(other)
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_what_is_rounded_to_nothing_has_no_sign():
    figure = computation_graph([("minus", ["x"], "y")], {"x": (-0.001, 1.0), "y": (0.001, -1.0)})
    assert [words for _, _, words in numbers(figure, "#000000")] == ["0.00", "0.00"]


def test_steps_that_are_no_chain_and_gradients_of_another_shape_are_refused():
    wires = a_run(2, 3)
    with pytest.raises(UsageError, match="softmax takes 'x w' first: expected 'a', which the function before it gives"):
        computation_graph([*STEPS[:2], ("softmax", ["x w"], "s")], wires)
    with pytest.raises(UsageError, match=r"wire 'b': found a gradient \[1, 3\] for an array \[3\], expected one shape"):
        computation_graph(STEPS, wires | {"b": (wires["b"][0], wires["b"][1][None])})
