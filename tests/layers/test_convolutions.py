"""A stack of convolutions, each followed by GELU: a CNN's body, and a Vision Transformer's convolutional stem."""

import numpy as np
import pytest

from tests.reference import naive
from tests.reference.compare import assert_close, cast, randomised
from tests.test_planted_bugs import assert_found
from tinyvit import trees
from tinyvit.layers.convolutions import convolutions, convolutions_backward, convolutions_init
from tinyvit.ops.convolution import hwio_from_oihw, oihw_from_hwio

SIDES = [(7, 6), (8, 8), (5, 9), (1, 1)]


def stack(widths=(3, 4)):
    return randomised(convolutions_init(None, 2, widths))


@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize("widths", [(5,), (3, 4), (3, 2, 4)])
def test_agrees_with_its_twin(rng, sides, widths):
    x, p = rng.standard_normal((2, *sides, 2)), stack(widths)
    y, c = convolutions(x, p)
    expected = x
    for layer in p:
        expected = naive.gelu(naive.same_convolution(expected, layer["w"], layer["b"], 2))
    assert_close(y, expected)
    assert y.shape == (2, *(-(-side // 2 ** len(widths)) for side in sides), widths[-1]) and len(c) == len(widths)


@pytest.mark.parametrize("sides", SIDES)
def test_agrees_with_torch(rng, sides):
    """Whose convolutions pad alike on both sides: the zeros are put around each image before."""
    torch = pytest.importorskip("torch")
    x, p = rng.standard_normal((2, *sides, 2)), stack()
    theirs = [torch.tensor(np.ascontiguousarray(x.transpose(0, 3, 1, 2)), requires_grad=True)]
    theirs += [torch.tensor(a, requires_grad=True) for layer in p for a in (oihw_from_hwio(layer["w"]), layer["b"])]
    z = theirs[0]
    for w, b in zip(theirs[1::2], theirs[2::2], strict=True):
        rows, columns = (naive.same_padding(side, 3, 2) for side in z.shape[2:])
        z = torch.nn.functional.gelu(torch.nn.functional.conv2d(torch.nn.functional.pad(z, (*columns, *rows)), w, b, 2))
    y, c = convolutions(x, p)
    assert_close(y, z.detach().numpy().transpose(0, 2, 3, 1))
    dy = rng.standard_normal(y.shape)
    z.backward(torch.tensor(dy.transpose(0, 3, 1, 2)))
    dx, g = convolutions_backward(dy, p, c)
    found = [tensor.grad.numpy() for tensor in theirs]
    assert_close(dx, found[0].transpose(0, 2, 3, 1))
    assert_close([{"w": hwio_from_oihw(w), "b": b} for w, b in zip(found[1::2], found[2::2], strict=True)], g)


def test_float32_in_and_out_and_close_to_float64(rng):
    x, p, dy = rng.standard_normal((2, 7, 6, 2)), stack(), rng.standard_normal((2, 2, 2, 4))

    def results(dtype):
        y, c = convolutions(x.astype(dtype), cast(p, dtype))
        return y, *convolutions_backward(dy.astype(dtype), cast(p, dtype), c)

    assert {leaf.dtype for leaf in trees.leaves(list(results(np.float32)))} == {np.dtype("float32")}
    assert_close(results(np.float32), results(np.float64), 1e-5)


BUGS = {  # the mistake: what stands there, how it is easily written
    "GELU forgotten": ('dx = gelu_backward(dx, cache["gelu"])', "..."),
    "gradients in the order of the way back": ("zip(reversed(g)", "zip((g)"),
    "the biases' gradients forgotten": (
        "return dx, g",
        'return dx, [{"w": layer["w"], "b": 0 * layer["b"]} for layer in g]',
    ),
    "no way back to the images": ("return dx, g", "return 0 * dx, g"),
}


@pytest.mark.parametrize("edit", BUGS.values(), ids=BUGS)
def test_the_gradient_check_finds(edit):
    assert_found(convolutions_backward, "convolutions", *edit)
