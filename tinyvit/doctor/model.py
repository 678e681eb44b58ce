"""Can the model learn? Checks of the forward and the backward pass."""

import math

import numpy as np

from tinyvit import trees
from tinyvit.models.vit import vit, vit_backward
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward
from tinyvit.ops.patches import patchify, unpatchify

STEP = 1e-5  # of the central difference, along a direction of length 1
TOLERANCE = 1e-3  # of a slope: far above the difference's own error, far below any bug's
CHECKED = 4  # images
LARGEST_CHECKED = 10**7  # parameters: beyond, two forward passes for each take too long
FOLD = 1000  # by which one block's gradient may exceed another's
DEAD, MOSTLY = 1e-3, 0.5  # slope of a dead unit; share of them that is too much
STARING, UNIFORM, SATURATED = 0.95, 0.9999, 0.999


def check_first_loss(x, y, p, config):
    """A fresh model knows nothing, and should say so: all classes alike, whose loss is ln K."""
    loss, _ = cross_entropy(vit(x, p, config, all_rows=False)[0], y)
    expected = math.log(config.classes)
    if not abs(loss - expected) < 0.1 * expected:
        yield (
            f"the first loss is {loss:.3g}, that of guessing ln {config.classes} = {expected:.3g}: let the head start "
            "at zero, and check the loss"
        )


def check_input(x, p, config):
    """Other images have other logits; and so has the same image with its patches in another order."""
    logits, _ = vit(x, p, config)
    size = np.abs(logits).max() + 1e-30
    if not np.isfinite(logits).all():
        yield "the logits are not finite: look in the cache for the first array that is not"
    elif np.ptp(logits, axis=0).max() < 1e-4 * size:
        yield (
            "the logits are the same for all images: follow an image through the cache, and see where its values stop "
            "to vary"
        )
    elif config.grid > 1 and np.abs(vit(_turned(x, config), p, config)[0] - logits).max() < 1e-4 * size:
        yield (
            "the order of the patches makes no difference, so the model cannot tell where they are: give it positions "
            '(position="1d", and a position_std above 0), and check that they are added'
        )


def _turned(x, config):
    """The images with their patches in the opposite order."""
    patches, c = patchify(x, config.patch)
    return unpatchify(patches[:, ::-1], c["x"].shape)


def check_gradients(x, y, p, config, seed):
    """Each parameter's gradient against a central difference along a random direction, in float64.

    For a direction d of length 1, (L(p + h d) - L(p - h d)) / 2h is the gradient's part along d, up to h^2. One number
    for a whole array: a bug would have to be at right angles to d to hide.
    """
    if trees.count(p) > LARGEST_CHECKED:
        return
    x, y = x[:CHECKED].astype(np.float64), y[:CHECKED]
    p = trees.map(lambda leaf: leaf.astype(np.float64), p)
    rng = np.random.default_rng(seed)

    def loss():
        logits, c = vit(x, p, config)
        value, c_loss = cross_entropy(logits, y)
        return value, c, c_loss

    _, c, c_loss = loss()
    _, g = vit_backward(cross_entropy_backward(1.0, c_loss), p, c, config)
    wrong, g_named = {}, trees.named(g)
    for name, leaf in reversed(list(trees.walk(p))):  # from the loss back: one layer's fault is every earlier one's
        direction, whole = rng.normal(size=leaf.shape), leaf.copy()
        direction /= np.linalg.norm(direction)
        losses = []
        for sign in (1, -1):
            leaf[...] = whole + sign * STEP * direction
            losses.append(loss()[0])
        leaf[...] = whole
        slope, said = (losses[0] - losses[1]) / (2 * STEP), float((g_named[name] * direction).sum())
        if not abs(slope - said) <= TOLERANCE * max(abs(slope), abs(said)) + 1e-8:
            wrong[name] = (slope, said)
    if wrong:
        name, (slope, said) = next(iter(wrong.items()))
        others = f" (and {len(wrong) - 1} nearer to the image, perhaps because of it)" if len(wrong) > 1 else ""
        yield (
            f"the gradient of {name} is {'missing' if said == 0 else 'wrong'}{others}: along a random direction the "
            f"loss rises by {slope:.3g} per unit, and the backward pass says {said:.3g}; run gradcheck on its layer"
        )
    yield from _check_flow([trees.leaves(block) for block in g["blocks"]])


def _check_flow(blocks):
    """No block's gradient vanishes or explodes beside another's."""
    norms = [math.sqrt(sum(float((leaf**2).sum()) for leaf in leaves)) for leaves in blocks]
    least, most = int(np.argmin(norms)), int(np.argmax(norms))
    if norms[most] > FOLD * norms[least]:
        yield (
            f"gradients do not flow: their norm is {norms[least]:.2g} in layer {least + 1} and {norms[most]:.2g} in "
            f"layer {most + 1}; check the residual connections, LayerNorm, and the size of the first weights"
        )


def _layers(c):
    """(what a layer is called, its cache): figures count layers from 1, the cache's blocks from 0."""
    return ((f"layer {i + 1} (blocks/{i})", block) for i, block in enumerate(c["blocks"]))


def check_units(c):
    """Hidden units of the MLPs answer to something: their GELU has a slope for some token of some image."""
    for where, block in _layers(c):
        slopes = np.abs(block["mlp"]["gelu"]["dydx"]).max(axis=(0, 1))
        if (dead := float((slopes < DEAD).mean())) > MOSTLY:
            yield (
                f"{100 * dead:.0f} % of the hidden units of {where} are dead (their GELU is flat for every token): "
                "lower the learning rate, and check the biases of fc1"
            )


def check_attention(c):
    """No layer whose heads all stare at one token each, look everywhere alike, or have no gradient."""
    for where, block in _layers(c):
        a = block["msa"]["att"]["a"]  # [B, h, T, T]
        stare = a.mean(axis=(0, 2)).max(axis=-1)  # each head's favourite token: its share, over images and queries
        entropy = -(a * np.log(a + 1e-30)).sum(axis=-1).mean(axis=(0, 2)) / math.log(a.shape[-1])
        largest = float(np.median(a.max(axis=-1)))
        if stare.min() > STARING:
            yield (
                f"attention has collapsed in {where}: each head gives {100 * stare.min():.0f} % to one token, "
                "whatever asks; check the scale 1/sqrt(d_k), and lower the learning rate"
            )
        elif entropy.min() > UNIFORM:
            yield (
                f"attention is uniform in {where}: no head prefers any token; check learning rate and weight "
                "decay, that the scores reach the softmax, and the first weights of q and k"
            )
        elif largest > SATURATED:
            yield (
                f"softmax is saturated in {where}: at least half of the queries give one key "
                f"{largest:.0%}, where it has no gradient; check the scale 1/sqrt(d_k), and lower the learning rate"
            )
