"""Can the model learn? Checks of the forward and the backward pass."""

import math

import numpy as np

from tinyvit import trees
from tinyvit.doctor.checked import Skipped
from tinyvit.models.config import ViTConfig
from tinyvit.models.model import model_of
from tinyvit.ops.patches import patchify, unpatchify
from tinyvit.training.adamw import block_names

STEPS = (1e-5, 1e-6, 1e-7)  # of the central difference, along a direction of length 1
TOLERANCE = 1e-3  # of a slope: far above the difference's own error, far below any bug's
CHECKED = 4  # images
LARGEST_CHECKED = 10**7  # parameters: beyond, two forward passes for each take too long
FOLD = 1000  # by which one block's gradient may exceed another's
DEAD, MOSTLY = 1e-3, 0.5  # slope of a dead unit; share of them that is too much
STARING, UNIFORM, SATURATED = 0.95, 0.9999, 0.999


def looked_at(batch, p, config):
    """The model's output for a batch, the cache, and the batch with what the model draws for it, masks for instance."""
    model = model_of(config)
    batch, masks = model.draw(np.random.default_rng(0), batch, config, training=False)
    y, c = model.forward(batch, p, config, masks=masks)
    return y, c, batch


def mean_loss(batch, p, config):
    """The mean loss of a batch, in nats, the cache, and a function that gives the gradients of the parameters."""
    task = model_of(config).task
    y, c, batch = looked_at(batch, p, config)
    loss, c_loss = task.loss(y, batch)
    count = task.count(batch, config)

    def gradients():
        return model_of(config).backward(task.loss_backward(1 / count, c_loss), p, c, config)[1]

    return loss / count, c, gradients


def guessing(config):
    """The loss of a model that knows nothing, ln K: all classes, or tokens, are alike to it."""
    return math.log(model_of(config).task.output(config)[-1])


def check_first_loss(batch, p, config):
    """A fresh model knows nothing, and should say so: all classes alike, whose loss is ln K."""
    loss, _, _ = mean_loss(batch, p, config)
    expected = guessing(config)
    if not abs(loss - expected) < 0.1 * expected:
        yield (
            f"the first loss is {loss:.3g}, that of guessing ln {config.classes} = {expected:.3g}: let the head start "
            "at zero, and check the loss"
        )
    return f"{loss:.3g} before training, that of guessing {expected:.3g}"


def check_input(batch, p, config):
    """Other images have other logits; and so has the same image with its patches in another order."""
    logits, _, _ = looked_at(batch, p, config)
    logits = logits.reshape(len(logits), -1)
    size = np.abs(logits).max() + 1e-30
    if not np.isfinite(logits).all():
        yield "the logits are not finite: look in the cache for the first array that is not"
    elif np.ptp(logits, axis=0).max() < 1e-4 * size:
        yield (
            "the logits are the same for all images: follow an image through the cache, and see where its values stop "
            "to vary"
        )
    elif _is_blind_to_places(batch, logits, p, config, size):
        yield (
            "the order of the patches makes no difference, so the model cannot tell where they are: give it positions "
            '(position="1d", and a position_std above 0), and check that they are added'
        )
    return f"the logits of {len(logits)} images: they depend on the image, and on the order of its patches"


def _is_blind_to_places(batch, logits, p, config, size):
    """Whether a Vision Transformer answers the same to images whose patches are in the opposite order."""
    if not isinstance(config, ViTConfig) or config.patches == 1:
        return False
    patches, c = patchify(batch["images"], config.patch)
    turned = batch | {"images": unpatchify(patches[:, ::-1], c["x"].shape)}
    return np.abs(looked_at(turned, p, config)[0] - logits).max() < 1e-4 * size


def check_gradients(batch, p, config, seed, examples="images"):
    """Each parameter's gradient against a central difference along a random direction, in float64.

    For a direction d of length 1, (L(p + h d) - L(p - h d)) / 2h is the gradient's part along d, up to h^2. One number
    for a whole array: a bug would have to be at right angles to d to hide. Where the loss bends within h, as behind a
    LayerNorm of almost nothing, a smaller h tells; a gradient that is wrong is so at every h.
    """
    if trees.count(p) > LARGEST_CHECKED:
        return Skipped(f"{trees.count(p):,} parameters take too long: see gradcheck")
    batch = {name: array[:CHECKED] for name, array in batch.items()}
    batch = trees.map(lambda array: array.astype(np.float64) if array.dtype.kind == "f" else array, batch)
    p = trees.map(lambda leaf: leaf.astype(np.float64), p)
    rng = np.random.default_rng(seed)

    g = mean_loss(batch, p, config)[2]()
    wrong, g_named = {}, trees.named(g)
    for name, leaf in reversed(list(trees.walk(p))):  # from the loss back: one layer's fault is every earlier one's
        direction = rng.normal(size=leaf.shape)
        direction /= np.linalg.norm(direction)
        claimed = float((g_named[name] * direction).sum())
        for step in STEPS:
            slope = _slope(leaf, step * direction, batch, p, config) / step
            if right := abs(slope - claimed) <= TOLERANCE * max(abs(slope), abs(claimed)) + 1e-8:
                break
        if not right:
            wrong[name] = (slope, claimed)
    if wrong:
        name, (slope, claimed) = next(iter(wrong.items()))
        others = f" (and {len(wrong) - 1} nearer to the {examples}, perhaps because of it)" if len(wrong) > 1 else ""
        yield (
            f"the gradient of {name} is {'missing' if claimed == 0 else 'wrong'}{others}: along a random direction the "
            f"loss rises by {slope:.3g} per unit, and the backward pass says {claimed:.3g}; run gradcheck on its layer"
        )
    for name, layers in g.items():
        if isinstance(layers, list) and name not in ("pos", "stages"):
            yield from _check_flow([trees.leaves(layer) for layer in layers])
    if "stages" in g:
        blocks = [block for stage in g["stages"] for block in stage["blocks"]]
        yield from _check_flow([trees.leaves(block) for block in blocks])
    return f"of {len(g_named)} arrays, each along a random direction, against central differences"


def _slope(leaf, step, batch, p, config):
    """Half of what the loss rises by when a leaf of p goes from a step before its place to a step behind it."""
    whole, losses = leaf.copy(), []
    for sign in (1, -1):
        leaf[...] = whole + sign * step
        losses.append(mean_loss(batch, p, config)[0])
    leaf[...] = whole
    return (losses[0] - losses[1]) / 2


def _check_flow(blocks):
    """No block's gradient vanishes or explodes beside another's."""
    norms = [math.sqrt(sum(float((leaf**2).sum()) for leaf in leaves)) for leaves in blocks]
    least, most = int(np.argmin(norms)), int(np.argmax(norms))
    if norms[most] > FOLD * norms[least]:
        yield (
            f"gradients do not flow: their norm is {norms[least]:.2g} in layer {least + 1} and {norms[most]:.2g} in "
            f"layer {most + 1}; check the residual connections, LayerNorm, and the size of the first weights"
        )


def check_units(c):
    """Hidden units answer to something: their GELU has a slope for some token, or place, of some image."""
    blocks = block_names(c)
    for name, dydx in trees.walk(c):
        if not name.endswith("gelu/dydx"):
            continue
        slopes = np.abs(dydx).reshape(-1, dydx.shape[-1]).max(axis=0)
        if (dead := float((slopes < DEAD).mean())) > MOSTLY:
            yield (
                f"{100 * dead:.0f} % of the hidden units of {_layer(name, blocks)} are dead (their GELU is flat for "
                "every token): lower the learning rate, and check the biases before it"
            )
    return "at most half of the hidden units of each layer are dead"


def _layer(name, blocks):
    """The layer of an array in the cache: figures count layers from 1, the cache from 0."""
    for i, block in enumerate(blocks):
        if name.startswith(f"{block}/"):
            return f"layer {i + 1} ({block})"
    kind, number = name.split("/")[:2]
    return f"layer {int(number) + 1} ({kind}/{number})" if number.isdigit() else name


def check_attention(maps, patterns, blocks):
    """No layer whose heads all stare at one token each, look everywhere alike, or have no gradient.

    What a query may look at counts, its block's pattern: of one that has no choice, there is nothing to say. `blocks`
    are the blocks' names.
    """
    for i, (a, allowed, block) in enumerate(zip(maps, patterns, blocks, strict=True)):  # [B, h, T, T]
        where = f"layer {i + 1} ({block})"
        stare = a.mean(axis=(0, 2)).max(axis=-1)  # each head's favourite token: its share, over images and queries
        choice = allowed.sum(axis=-1)
        if not (choosing := choice > 1).any():
            continue
        a, most = a[:, :, choosing], np.log(choice[choosing])
        entropy = (-(a * np.log(a + 1e-30)).sum(axis=-1) / most).mean(axis=(0, 2))
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
    return f"the attention of {len(maps)} layers: not collapsed, uniform or saturated"
