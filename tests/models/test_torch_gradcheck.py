"""PyTorch's own gradient check accepts the hand-written backward passes: runs where torch is installed.

Each pair of functions becomes a torch.autograd.Function; torch.autograd.gradcheck compares its whole Jacobian, every
output by every input and parameter, with finite differences that PyTorch takes.
"""

import itertools

import numpy as np
import pytest

from tinyvit import trees
from tinyvit.checks import Case, cases
from tinyvit.checks.models import DISTINCT, SMALL
from tinyvit.contract import Inputs
from tinyvit.models.config import ViTConfig
from tinyvit.models.vit import vit, vit_backward, vit_init, vit_masks
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward

torch = pytest.importorskip("torch")

IMAGES = 2
PLACES = {
    "1d": ("stem", "layers", "shared"),
    "2d": ("stem", "layers", "shared"),
    "sinusoidal": ("stem", "layers", "shared"),
    "relative": ("layers", "shared"),
    "none": ("stem",),
}


class Pair(torch.autograd.Function):
    """A case's forward and backward pass, as one function of PyTorch's."""

    @staticmethod
    def forward(ctx, case, given, *leaves):
        arrays = {name: leaf.numpy() for name, leaf in zip(trees.named(given.checked), leaves, strict=True)}
        checked = trees.from_names(arrays, given.checked)
        ctx.checked, ctx.parameters = checked, [checked[name] for name in given.parameters]
        y, ctx.c = case.forward(*(given.all | checked).values(), **case.keywords)
        ctx.backward_pass = case.backward
        return torch.from_numpy(np.array(y))

    @staticmethod
    def backward(ctx, dy):
        gradients = ctx.backward_pass(dy.numpy(), *ctx.parameters, ctx.c)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        by_name = dict(zip(ctx.checked, gradients, strict=True))
        return None, None, *map(torch.from_numpy, trees.leaves(by_name, like=ctx.checked))


def accepts(case, fast_mode=False):
    """Whether torch.autograd.gradcheck accepts it, with bounds a hundred times as strict as its own.

    fast_mode compares one random combination of the Jacobian's rows and columns for each input.
    """
    given = Inputs(case.forward, case.inputs)
    tensors = [torch.from_numpy(np.array(leaf)).requires_grad_() for leaf in trees.leaves(given.checked)]
    bounds = dict(eps=1e-5, atol=1e-7, rtol=1e-5)
    return torch.autograd.gradcheck(
        lambda *leaves: Pair.apply(case, given, *leaves), tensors, **bounds, fast_mode=fast_mode, raise_exception=False
    )


def variants():
    """40 Vision Transformers: every readout, position and place; each other option with some of them."""
    places = [(position, at) for position, places in PLACES.items() for at in places]
    others = itertools.cycle(itertools.product(("pre", "post"), ("sqrt", "none"), ("erf", "tanh")))
    for (position, at), pool, (norm, scale, gelu) in zip(places * 2, ["class", "mean"] * 12, others, strict=False):
        yield dict(position=position, position_at=at, pool=pool, norm=norm, scale=scale, gelu=gelu), {}
    for position, pool, dropout in itertools.product(("1d", "relative"), ("class", "mean"), (0.0, 0.3)):
        at = PLACES[position][0]
        options = dict(position=position, position_at=at, pool=pool, dropout=dropout, gelu="tanh")
        yield options | dict(pre_logits=5), dict(all_rows=False)
        yield options | DISTINCT, dict(label_smoothing=0.1)


def vit_case(options, all_rows=True, label_smoothing=None):
    """A case of the whole model, or of its loss with smoothed labels."""
    config, rng = ViTConfig(**SMALL | dict(classes=3) | options), np.random.default_rng(0)
    images = rng.standard_normal((IMAGES, config.image, config.image, config.channels))
    p = trees.map(lambda leaf: 0.5 * rng.standard_normal(leaf.shape) + np.asarray(leaf, float), vit_init(None, config))
    masks = vit_masks(rng, config, IMAGES, all_rows=all_rows, dtype=np.float64)
    keywords = dict(config=config, masks=masks, all_rows=all_rows)
    if label_smoothing is None:
        return Case(vit, lambda dy, p, c: vit_backward(dy, p, c, config), (images, p), keywords)

    def loss(images, p, **keywords):
        logits, c = vit(images, p, **keywords)
        y, c_loss = cross_entropy(logits, np.arange(IMAGES), smoothing=label_smoothing)
        return y, {"vit": c, "loss": c_loss}

    def loss_backward(dy, p, c):
        return vit_backward(cross_entropy_backward(dy, c["loss"]), p, c["vit"], config)

    return Case(loss, loss_backward, (images, p), keywords)


VARIANTS = list(variants())


@pytest.mark.parametrize(("options", "more"), VARIANTS, ids=lambda value: ",".join(map(str, value.values())))
def test_the_whole_vit(options, more):
    assert accepts(vit_case(options, **more))


@pytest.mark.parametrize("name", cases())
def test_every_op_layer_and_model(name):
    assert accepts(cases([name])[name], fast_mode=True)


def test_there_are_40_variants_of_every_option():
    assert len({str(variant) for variant in VARIANTS}) == 40
    for option in ("pool", "position", "position_at", "norm", "scale", "gelu"):
        assert len({options.get(option) for options, _ in VARIANTS} - {None}) > 1


def test_a_wrong_gradient_is_refused():
    case = vit_case({})
    wrong = Case(case.forward, lambda dy, p, c: case.backward(dy * (1 + 1e-4), p, c), case.inputs, case.keywords)
    assert accepts(case) and not accepts(wrong)
