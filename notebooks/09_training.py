# %% [markdown]
# # Training, and what goes wrong when it does not train
#
# **The question.** The gradient says in which direction every parameter should move. What makes a good step out of that? And when the loss does not
# fall, how do we find out why?
#
# First a whole run: a small Vision Transformer learns the handwritten digits. By the end of this notebook every line in this picture is explained.

# %%
import contextlib
import dataclasses
import math
import textwrap
import warnings
from unittest import mock

import numpy as np

import tinyvit
from tinyvit import exercises, trees
from tinyvit.arrays import flat
from tinyvit.exercises import museum
from tinyvit.training.adamw import adamw_step, clip_factor, decay_of, update_average
from tinyvit.training.evaluation import predict
from tinyvit.training.gradients import batch_gradient
from tinyvit.training.schedule import warmup_cosine
from tinyvit.viz.confusion import mistakes_figure, worst_mistakes
from tinyvit.viz.curves import curves
from tinyvit.viz.look import class_attention
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain, show

rng = np.random.default_rng(0)
data = (x, y), (x_test, y_test) = tinyvit.load_data("digits")
config = tinyvit.PRESETS["digits"]
recipe = dataclasses.replace(tinyvit.RECIPES["digits"], epochs=30)
p, history = tinyvit.fit(config, data, recipe=recipe, progress=False)

steps = [record for record in history if record["kind"] == "step"]  # every tenth step is recorded
number = [record["step"] for record in steps]
figure = new_figure(7.5, 2.1)
for axes, name in zip(figure.subplots(1, 3), ("loss", "learning_rate", "gradient_norm"), strict=True):
    axes.plot(number, [record[name] for record in steps], color=BLUE)
    axes.set(xlabel="step", title=name.replace("_", " "), ylim=(0, None))
    plain(axes)
axes.axhline(recipe.clip_norm, color=ORANGE, linestyle="--", label="clipped to")
axes.legend()
print(f"{history[-1]['step']} steps, test accuracy {history[-1]['test_accuracy']:.1%}")
figure

# %% [markdown]
# A **step** takes a batch of images, here 64 of 1,293, and moves all parameters once. When every training image has been used once, an **epoch** is
# over. This run had 30 of them. Now we take one step apart.
#
# ## The loss
#
# The model gives $K$ logits for each image, one for each class, and the loss is their **cross-entropy**: the mean over the batch of $-\ln q$, where
# $q$ is the probability that the softmax of the logits gives to the right class (derived on
# [a page of its own](../docs/derivations/cross_entropy.md)). A fresh model's head is zero, so all logits are 0, every $q$ is $1/K$, and the first
# loss is $\ln K$, whatever the images:

# %%
fresh = tinyvit.vit_init(np.random.default_rng(0), config)
logits, c = tinyvit.vit(x[:64], fresh, config)
first_loss, c_loss = tinyvit.cross_entropy(logits, y[:64])
print(f"first loss {first_loss:.6f}, ln {config.classes} = {math.log(config.classes):.6f}")

# %% [markdown]
# This is the cheapest test of all. Another first loss means that the model is sure of something before it has seen anything, or that the loss is
# computed wrongly.
#
# ## The gradient, of a batch and of its parts
#
# The backward pass gives one slope for each parameter. In the very first step nearly all of them are zero: the head passes back
# $dy\, w^\top$, and its $w$ is still zero. So in the first step the gradient moves the head alone, and only afterwards what lies before
# it.

# %%
_, g = tinyvit.vit_backward(tinyvit.cross_entropy_backward(1.0, c_loss), fresh, c, config)
moved = [name for name, gradient in trees.walk(g, like=fresh) if gradient.any()]
print(f"{len(moved)} of {len(trees.leaves(g))} arrays have a gradient in the first step: {', '.join(moved)}")

# %% [markdown]
# The loss of a batch is a mean over its images, so its gradient is a mean as well, and can be computed in parts. Let a batch of $B$ images fall
# into **micro-batches** of $B_1, B_2, \ldots$ images, with mean losses $L_1, L_2, \ldots$ Then
#
# $$ L = \sum_i \frac{B_i}{B} L_i, \qquad dw = \sum_i \frac{B_i}{B}\, dw_i. $$
#
# The memory is that of one micro-batch, however large the batch. `batch_gradient` does this; it returns the gradients of all parameters one after
# another, as one flat vector. Here 64 images at once, and as 24 + 24 + 16, in float64:

# %%
plain_recipe = tinyvit.Recipe(batch=64, label_smoothing=0.0)  # nothing random: the same images every time
p64 = trees.map(lambda w: w.astype(np.float64), p)
batch = x[:64].astype(np.float64), y[:64]


def gradient_with(micro_batch, images, labels):
    settings = dataclasses.replace(plain_recipe, micro_batch=micro_batch)
    return batch_gradient({"images": images, "labels": labels}, p64, config, settings, seed=0, step=1)


whole_loss, whole = gradient_with(64, *batch)
parts_loss, parts = gradient_with(24, *batch)
alone = [gradient_with(24, *(array[start : start + 24] for array in batch))[1] for start in (0, 24, 48)]
unweighted = np.mean(alone, axis=0)

print(f"{len(whole):,} slopes, the largest {abs(whole).max():.3f}")
print(f"in parts:                    largest difference {abs(parts - whole).max():.1e}")
print(f"a plain mean of the parts:   largest difference {abs(unweighted - whole).max():.1e}")

# %% [markdown]
# The last line is a mistake that is easily made: the third part has 16 images and not 24, so in a plain mean over the parts each of its images
# counts one and a half times as much as one of the others. Nothing crashes.
#
# ## The step: AdamW
#
# Gradient descent subtracts the gradient, times a **learning rate**. Its trouble is that one rate must suit all parameters. **Adam** (Kingma and Ba
# 2015) gives each parameter a scale of its own. It keeps two running means for each: $m$ of its gradients $g$, and $v$ of their squares. With $t$
# for the number of the step, $\eta$ for the learning rate and $w$ for the parameter,
#
# $$ m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2, \qquad
#    \hat{m} = \frac{m}{1 - \beta_1^t}, \qquad \hat{v} = \frac{v}{1 - \beta_2^t}, \qquad
#    w \leftarrow w - \eta\, \frac{\hat{m}}{\sqrt{\hat{v}} + \varepsilon} $$
#
# with $\beta_1 = 0.9$, $\beta_2 = 0.999$, and $\varepsilon = 10^{-8}$ against a division by zero. Both means start at zero, so at first they are
# too small. After $t$ steps of equal gradients, $m = (1 - \beta_1^t)\, g$, and $\hat{m}$ undoes just that.
#
# It follows that in the first step $\hat{m} = g$ and $\sqrt{\hat{v}} = |g|$: every parameter moves by exactly $\eta$, up or down, whether its
# gradient is large or small, unless it is zero. And if the gradients of all steps were a thousand times larger, nothing at all would change. (Both
# but for $\varepsilon$, which is made smaller still in this cell.)


# %%
def adamw_path(start, gradients, **settings):
    """Where parameters are after each AdamW step, beginning with `start`, for given gradients or a function of where they are."""
    w, m, v = np.array(start, np.float64), np.zeros(len(start)), np.zeros(len(start))
    path = [w.copy()]
    for step in range(1, len(gradients) + 1):
        g = gradients[step - 1]
        adamw_step(w, g(w) if callable(g) else g, m, v, step=step, **settings)
        path.append(w.copy())
    return np.array(path)


walk = [whole, parts[::-1], whole]  # any gradients will do
path = adamw_path(np.zeros(len(whole)), walk, learning_rate=0.01, decay=0, eps=1e-30)
path_of_large = adamw_path(np.zeros(len(whole)), [1000 * g for g in walk], learning_rate=0.01, decay=0, eps=1e-30)
first_step = abs(path[1][whole != 0])
print(f"first step: every parameter moves by {first_step.min():.6f} to {first_step.max():.6f}")
print(f"gradients 1000 times larger: difference after three steps {abs(path_of_large - path).max():.1e}")

# %% [markdown]
# A picture: a valley $f(a, b) = (a^2 + 50\, b^2) / 2$, fifty times as steep across as along. Gradient descent must keep its rate small for the sake
# of $b$, jumps from side to side, and creeps along $a$. AdamW, with a scale for each, walks in both directions at the same pace. (It runs past the
# bottom, since $m$ remembers where it came from; shorter steps towards the end are the cure.) On the right, $\sqrt{\hat{v}}$ of a parameter whose
# gradients are random, with mean 0.5 and standard deviation 1; dashed, without the correction of the start. The truth is the root of their mean
# square, $\sqrt{0.5^2 + 1^2}$.

# %%
curvature = np.array([1.0, 50.0])
descent = [np.array([-9.0, 2.0])]
for _ in range(30):
    descent.append(descent[-1] - 0.037 * curvature * descent[-1])
descent = np.array(descent)
adam = adamw_path([-9.0, 2.0], [lambda w: curvature * w] * 30, learning_rate=0.5, decay=0)

t = np.arange(1, 301)
noise = 0.5 + rng.standard_normal((300, 1))
m, v, seen = np.zeros(1), np.zeros(1), []
for step, g in zip(t, noise, strict=True):
    adamw_step(np.zeros(1), g, m, v, step=step, learning_rate=0.0, decay=0.0)
    seen.append(v.item())

figure = new_figure(7.5, 2.5)
left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
a, b = np.meshgrid(np.linspace(-10, 3, 80), np.linspace(-2.6, 2.6, 80))
left.contour(a, b, (a**2 + 50 * b**2) / 2, levels=[1, 10, 40, 90, 150], colors="#bbbbbb", linewidths=0.8)
left.plot(*descent.T, "o-", color=ORANGE, markersize=3, linewidth=1, label="gradient descent")
left.plot(*adam.T, "s-", color=BLUE, markersize=3, linewidth=1, label="AdamW")
left.set(xlabel="a", ylabel="b", title="30 steps each, from the left")
left.legend(loc="lower right")
right.plot(t, np.sqrt(seen / (1 - 0.999**t)), color=BLUE, label=r"$\sqrt{\hat{v}}$")
right.plot(t, np.sqrt(seen), "--", color=BLUE, label=r"$\sqrt{v}$")
right.axhline(math.sqrt(0.5**2 + 1), color="black", linewidth=0.8, label="the truth")
right.set(xlabel="step", ylim=(0, 1.3), title="size of the gradients")
right.legend(loc=(0.45, 0.47), fontsize=8)
plain(right)
figure

# %% [markdown]
# Without the corrections, $m$ would be ten times too small in the first step and $\sqrt{v}$ thirty times, so that step would be three times too
# long. Even with them, the first values rest on a handful of gradients.
#
# All of it is a few lines. It works in place, on one flat vector that holds all parameters, a block of it at a time; the parameters' tree is a set
# of views into that vector.

# %%
print(exercises.source(adamw_step))

# %% [markdown]
# ## Weight decay, decoupled
#
# **Weight decay** pulls parameters towards zero, so that none grows without need. The old way adds $\lambda w$ to the gradient, where $\lambda$
# (lambda) is the strength of the decay. In Adam that goes wrong: the sum is divided by $\sqrt{\hat{v}}$, so parameters with large gradients hardly
# decay at all, and those with small ones too much. **AdamW** (Loshchilov and Hutter 2019) therefore leaves the gradient
# alone, and shrinks the parameter itself by the factor $1 - \eta \lambda$ in each step.
#
# Two kinds of parameters that start at 1, and whose gradients are nothing but noise, small or large. After 1,000 steps:

# %%
size = np.repeat([0.01, 10.0], 500)  # of the gradients
noises = size * rng.standard_normal((1000, 1000))
decoupled = adamw_path(np.ones(1000), noises, learning_rate=1e-3, decay=0.5)[-1]
coupled = adamw_path(np.ones(1000), [lambda w, g=g: g + 0.5 * w for g in noises], learning_rate=1e-3, decay=0)[-1]
print(f"{'':28} small gradients   large gradients")
for name, w in {"decay through the gradient": coupled, "decay of the weight (AdamW)": decoupled}.items():
    print(f"{name:28} {w[:500].mean():15.3f} {w[500:].mean():17.3f}")
print(f"\n(1 - 0.001 x 0.5)^1000 = {(1 - 0.001 * 0.5) ** 1000:.3f}")

# %% [markdown]
# With AdamW both shrink as the factor says. And not everything decays: only matrices, whose size sets how much a layer magnifies. Biases, the
# class token and positions only add something, and a norm's scale $\gamma$ starts at 1, not at 0: these are left alone.

# %%
decay = decay_of(p, recipe.weight_decay)
decaying = sum(w.size for name, w in trees.walk(p) if name.endswith("/w"))
print(f"{np.count_nonzero(decay):,} of {len(decay):,} parameters decay; the entries of all matrices are {decaying:,}")

# %% [markdown]
# ## The learning rate over a run, and the length of a gradient
#
# The learning rate rises linearly over the first tenth of the run, the **warm-up**, and then falls as half a cosine to zero. At first the means $m$
# and $v$ are poor and gradients change from step to step, so steps are short; in the middle they are long, to get somewhere; at the end they are
# short again, to settle.
#
# **Clipping** guards against a single wild batch. If the gradient, taken as one long vector, has a norm above a limit (here 1), it is scaled down
# to that norm; its direction stays. As we saw, Adam does not mind a factor that the gradients of all steps share, so what clipping changes is the
# weight of one step beside others: a wild gradient does not swamp $m$ and $v$.

# %%
norms = np.array([record["gradient_norm"] for record in steps])
print(
    f"{(norms > recipe.clip_norm).sum()} of {len(norms)} recorded steps were clipped; norms from {norms.min():.2f} to {norms.max():.2f}"
)
print(
    f"a norm of 4 is multiplied by {clip_factor(4.0, recipe.clip_norm):.3f}, a norm of 0.4 by {clip_factor(0.4, recipe.clip_norm):.0f}"
)

# %% [markdown]
# ## Smoothed labels
#
# The loss $-\ln q$ is zero only at $q = 1$, for which a logit would have to be infinite. **Label smoothing** (Szegedy et al. 2016) asks for less:
# of the target, a share $s$ is spread evenly over all $K$ classes. The right class then has $1 - s + s/K$, each other one $s/K$. The gradient by
# the logits is the probabilities less these targets ([derived here](../docs/derivations/cross_entropy.md)), so the loss is least where the two are
# equal, and there it is not zero but the target's own entropy,
#
# $$ -\left(1 - s + \frac{s}{K}\right) \ln \left(1 - s + \frac{s}{K}\right) - (K - 1)\, \frac{s}{K} \ln \frac{s}{K}. $$
#
# On the left, the schedule of the run above. On the right, the loss of one image, by the probability $q$ of the right class, when the other classes
# share the rest evenly. The dots are the floors that the formula gives.

# %%
K = config.classes


def floor(s):
    right, wrong = 1 - s + s / K, s / K
    return -right * math.log(right) - (K - 1) * wrong * math.log(wrong)


def loss_at(q, s):
    logits = np.log(np.concatenate([q[:, None], np.repeat((1 - q[:, None]) / (K - 1), K - 1, axis=1)], axis=1))
    return np.array([tinyvit.cross_entropy(row[None], np.array([0]), smoothing=s)[0] for row in logits])


total = history[-1]["step"]
rates = [
    warmup_cosine(step, steps=total, warmup=recipe.warmup, peak=recipe.learning_rate) for step in range(1, total + 1)
]
q = np.linspace(0.6, 0.9995, 400)
smoothed = {s: loss_at(q, s) for s in (0.05, 0.1)}

figure = new_figure(7.5, 2.4)
left, right = figure.subplots(1, 2)
left.plot(range(1, total + 1), rates, color=BLUE)
left.set(xlabel="step", title="learning rate", ylim=(0, None))
right.plot(q, -np.log(q), ":", color="black", label="s = 0")
for (s, values), colour in zip(smoothed.items(), (BLUE, ORANGE), strict=True):
    right.plot(q, values, "-" if colour == BLUE else "--", color=colour, label=f"s = {s:g}")
    right.plot(1 - s + s / K, floor(s), "o", color=colour)
right.set(xlabel="probability of the right class", title="loss (nats)", ylim=(0, 1.15))
right.legend(loc="upper left", ncols=3, fontsize=8)
plain(left)
plain(right)
for s, values in smoothed.items():
    print(
        f"s = {s:4g}: least loss {values.min():.4f} at q = {q[values.argmin()]:.3f}; floor {floor(s):.4f} at {1 - s + s / K:.3f}"
    )
figure

# %% [markdown]
# Right of its dot a smoothed loss rises again: to be surer than asked is punished. So the training loss of a perfect model stays at the floor. A
# loss is measured in **nats** because the logarithm is natural; a nat is $1 / \ln 2$, about 1.44, bits.
#
# ## The loop
#
# That is everything. Put together, and given only eight images, it must learn them by heart; a model that cannot do that has a mistake in it, and
# more data will not help. This is the second test to make, after the first loss, and it takes a second.

# %%
vector = flat(tinyvit.vit_init(np.random.default_rng(0), config))
p8 = trees.views(vector, fresh)  # a tree into the vector: when the vector moves, so do the layers' weights
m, v, average = np.zeros_like(vector), np.zeros_like(vector), vector.copy()
eight = dataclasses.replace(plain_recipe, batch=8)
losses = []
for step in range(1, 61):
    loss, g = batch_gradient({"images": x[:8], "labels": y[:8]}, p8, config, eight, seed=0, step=step)
    g *= clip_factor(np.linalg.norm(g), eight.clip_norm)
    rate = warmup_cosine(step, steps=60, warmup=0.1, peak=0.01)
    adamw_step(vector, g, m, v, step=step, learning_rate=rate, decay=decay)
    update_average(average, vector, step=step, decay=0.9)
    losses.append(float(loss))

answers = tinyvit.vit(x[:8], p8, config)[0].argmax(axis=1)
print("labels ", y[:8], "\nanswers", answers)
print(f"loss: first {losses[0]:.4f}, after 20 steps {losses[20]:.4f}, after 59 {losses[-1]:.4f}")

# %% [markdown]
# `tinyvit.fit` is this loop, with a fresh order of the images in every epoch, augmentation (images slightly turned, scaled and sheared, anew each
# time), several cores and a record of what happened.
#
# The last line of the loop is the **average of the weights**, $\bar{w} \leftarrow d\, \bar{w} + (1 - d)\, w$, with $d$ below 1 (it is small in the
# first steps, and grows to its final value, so that the random start is soon forgotten). Single steps jump about on the sides of a valley; their
# average lies nearer to its middle. It takes no part in training, and is what `fit` evaluates and returns.
# Here is the run from the top again, but with $d = 0$: it returns the last weights, and differs in nothing else.


# %%
def outcome(*, config=config, data=data, workers=None, epochs=8, **changes):
    """Train, with these changes to the recipe. The history."""
    settings = dataclasses.replace(recipe, epochs=epochs, **changes)
    return tinyvit.fit(config, data, recipe=settings, workers=workers, progress=False)[1]


def over_epochs(history, name):
    return [record[name] for record in history if record["kind"] == "epoch"]


last_weights = outcome(epochs=30, ema_decay=0.0)
train_losses = [[record["loss"] for record in run if record["kind"] == "step"] for run in (history, last_weights)]

figure = new_figure(6, 2.2)
axes = figure.add_subplot(xlabel="epoch", ylabel="validation loss (nats)")
for run, style, colour, label in (
    (last_weights, "o--", ORANGE, "last weights"),
    (history, "s-", BLUE, "averaged weights"),
):
    axes.plot(range(1, 31), over_epochs(run, "validation_loss"), style, color=colour, markersize=3, label=label)
axes.set_ylim(0, 1)
axes.legend()
plain(axes)
print("the same training losses, to the bit:", train_losses[0] == train_losses[1])
figure

# %% [markdown]
# From the fifth epoch to the fifteenth the average is clearly ahead, and it is smoother. At the end the schedule has made the steps so short that
# the two agree.
#
# ## A whole run, looked at
#
# Back to the run of 30 epochs. The images are in three parts. From the **training** part the gradients come. The **validation** part, a tenth of
# the training images, is held out, and looked at after every epoch: by it one chooses rates, sizes and lengths. The **test** part is looked at
# once, at the end. It must not be used for choosing: the best of many tries is partly the luckiest, and its number is then too good.

# %%
figure = curves(history)
figure.set_size_inches(7.5, 3)
figure

# %%
validation_accuracy, test_accuracy = over_epochs(history, "validation_accuracy")[-1], history[-1]["test_accuracy"]
held_out = round(len(y) * recipe.validation)
for name, accuracy, count in (("validation", validation_accuracy, held_out), ("test", test_accuracy, len(y_test))):
    error = math.sqrt(accuracy * (1 - accuracy) / count)
    print(f"{name:10} {accuracy:.2%} of {count} images, standard error {error:.2%}")

# %% [markdown]
# Accuracy is a share of a few hundred images, and would be another one for other images. If each is right with probability $a$, independently, the
# share of $n$ images has the standard deviation $\sqrt{a (1 - a) / n}$, which is called its **standard error**. So half a percent between two runs
# on this test set says little; and with another seed both would end elsewhere. The surest mistakes of this run, each above where the class token
# looked:

# %%
probabilities = predict(x_test, p, config)
mistakes = worst_mistakes(y_test, probabilities, count=5)
_, c = tinyvit.vit(x_test[mistakes], p, config)
mistakes_figure(x_test[mistakes], y_test[mistakes], probabilities[mistakes], class_attention(c), names="0123456789")

# %% [markdown]
# ## What goes wrong
#
# Now nine things that go wrong, each as a run of 8 epochs. Three are about the step: the learning rate is a hundred times too high, or too low, or
# ten times too high without a warm-up. Three are about the data: the labels are shuffled; the pixels run from 0 to 255 instead of -1 to 1; the file
# had the images along its last axis, $[H, W, B]$, and someone wrote `reshape` where `transpose` was needed. Three are about the model: it has no
# positions; and two exhibits of [the museum](08_museum_of_gradient_bugs.ipynb), a sign in softmax's backward pass and the lost mean in LayerNorm's.
# (A bug is planted in this process only, so those two runs have one worker.)
#
# Before you look at the curves: which of the nine learn nothing, which learn worse, and which would you not notice?


# %%
def exhibit(title):
    """The broken backward pass of this title."""
    return next(found.backward for found in museum.EXHIBITS if found.title == title)


def with_images(change, labels=y):
    return (change(x), labels), (change(x_test), y_test)


def reshaped(images):
    """[H, W, B, C] -> [B, H, W, C] the wrong way: the shape is right."""
    return images.transpose(1, 2, 0, 3).reshape(images.shape)


one_sign = mock.patch("tinyvit.ops.attention.softmax_backward", exhibit("one sign"))
lost_mean = mock.patch("tinyvit.layers.encoder_block.layer_norm_backward", exhibit("the lost mean"))
nothing = contextlib.nullcontext()

faults = {  # name: what to change, and the bug to plant
    "rate 0.5, not 0.005": ({"learning_rate": 0.5}, nothing),
    "rate 0.00005": ({"learning_rate": 5e-5}, nothing),
    "rate 0.05, no warm-up": ({"learning_rate": 0.05, "warmup": 0.0}, nothing),
    "shuffled labels": ({"data": with_images(np.copy, rng.permutation(y))}, nothing),
    "pixels 0 to 255": ({"data": with_images(lambda images: 127.5 * (images + 1))}, nothing),
    "reshape, not transpose": ({"data": with_images(reshaped)}, nothing),
    "no positions": ({"config": dataclasses.replace(config, position="none")}, nothing),
    "bug: one sign (softmax)": ({"workers": 1}, one_sign),
    "bug: lost mean (LayerNorm)": ({"workers": 1}, lost_mean),
}
epochs, runs, baseline = range(1, 9), {}, outcome()
for name, (changes, bug) in faults.items():
    with bug, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `fit` warns of pixels from 0 to 255; here nobody is to be told
        runs[name] = outcome(**changes)
warmed, unwarmed = outcome(learning_rate=0.05), outcome(warmup=0.0)

figure = new_figure(7.5, 5)
for axes, (name, run) in zip(figure.subplots(3, 3, sharex=True, sharey=True).flat, runs.items(), strict=True):
    axes.plot(epochs, over_epochs(baseline, "validation_accuracy"), "--", color=BLUE, label="as it should be")
    axes.plot(epochs, over_epochs(run, "validation_accuracy"), "o-", color=ORANGE, markersize=3)
    if "warm-up" in name:
        axes.plot(epochs, over_epochs(warmed, "validation_accuracy"), ":", color="black", label="with warm-up")
        axes.legend(fontsize=7, loc="lower right")
    axes.set_title(name, fontsize=9)
    axes.set_ylim(0, 1)
    plain(axes)
figure.supxlabel("epoch", fontsize=10)
figure.supylabel("validation accuracy", fontsize=10)
ends = {name: over_epochs(run, "validation_accuracy")[-1] for name, run in runs.items()}
print(", ".join(f"{name} {accuracy:.0%}" for name, accuracy in ends.items() if accuracy < 0.2), "(chance is 10 %)")
figure

# %% [markdown]
# Only three learn nothing at all. The others learn something, and that is the trouble. A model without positions sees a bag of patches, and still
# gets three in five right. Pixels from 0 to 255 make the patches more than a hundred times as long as they should be, beside the positions that are
# added to them. The sign in softmax's backward pass makes the digits look like a hard problem. And the lost mean cannot be told from the truth by
# its curve. (The validation part has 144 images: one or two percent are luck.)
#
# It is often said that a Transformer does not train without a warm-up. Here, with the pre-norm blocks of ViT, that depends on the rate:

# %%
print(f"{'learning rate':>13} {'with warm-up':>13} {'without':>8}")
for rate, pair in ((0.005, (baseline, unwarmed)), (0.05, (warmed, runs["rate 0.05, no warm-up"]))):
    with_it, without = (over_epochs(run, "validation_accuracy")[-1] for run in pair)
    print(f"{rate:13} {with_it:13.0%} {without:8.0%}")

# %% [markdown]
# ## The doctor
#
# Guessing from curves is slow. `tinyvit.examine` asks in the order in which one would look for a fault: images, labels, whether both parts are
# alike, the first loss, whether the order of the patches matters, whether gradients agree with measured slopes, whether a few images can be learned
# by heart, whether a quite different learning rate does better, what attention and the hidden features of the MLPs do. It yields its findings one
# by one, and what comes first may explain what comes later. So here is the first about each of seven:


# %%
def first_finding(*, config=config, data=data, workers=1, **changes):
    """What the doctor, who always works alone, says first about a model, its data and its recipe."""
    return next(tinyvit.examine(config, data, recipe=dataclasses.replace(recipe, **changes)))


found = {}
for name, (changes, bug) in faults.items():
    if name not in ("rate 0.00005", "rate 0.05, no warm-up"):
        with bug:
            found[name] = first_finding(**changes)
        print(textwrap.fill(f"{name.upper()}: {found[name].words}", 135, subsequent_indent="    "))

# %% [markdown]
# Every one of them is found (the mixed-up images by their pixels, whose neighbours are no longer alike), and the lost mean too, whose curve was
# perfect: its gradient along a random direction is off by one or two percent, and one percent is enough to know.
#
# How to read the finding about softmax? The doctor goes from the loss back to the image, and names the first array that is wrong: in the last
# block, the output projection and the values are right, the keys are not. What lies between values and keys is the softmax. And by the bias of the
# keys the loss rises "by 0", which is no accident: that bias adds the same number to all scores of a query, and the softmax does not see it.
# `tinyvit doctor RUN` asks the same about a run, from the command line.
#
# ## Regularisation: the paper's, and ours
#
# **Regularisation** is whatever keeps a model from learning its training images by heart instead of what they have in common. Trained from scratch
# on ImageNet, the models of the paper (Dosovitskiy et al. 2021) needed much of it: Adam with $\beta_1 = 0.9$, $\beta_2 = 0.999$, batches of 4096
# images, 10,000 steps of warm-up, learning rate 0.003 falling as a cosine, weight decay 0.3, dropout 0.1, gradients clipped to norm 1. Beside it,
# what is used here:

# %%
for name in ("digits", "mnist", "mnist-best"):
    ours, model = tinyvit.RECIPES[name], tinyvit.PRESETS[name]
    print(
        f"{name:11} batch {ours.batch}, warm-up {ours.warmup:.0%}, rate {ours.learning_rate}, decay {ours.weight_decay}, ",
        end="",
    )
    print(f"dropout {model.dropout:g}, smoothing {ours.label_smoothing}, clip {ours.clip_norm:g},")
    print(
        f"{'':11} shift {ours.shift} pixels, rotate {ours.rotate:g} degrees, zoom {ours.zoom:g}, shear {ours.shear:g}"
    )

# %% [markdown]
# The learning rates are nearly alike; the batches are not. Ours has less decay and no dropout. In their place stand augmentation, smoothed
# labels and the average of the weights. What do the paper's two settings do here, in 8 epochs?

# %%
with_dropout = outcome(config=dataclasses.replace(config, dropout=0.1))
with_decay = outcome(weight_decay=0.3)
compared = {"as it is": baseline, "dropout 0.1": with_dropout, "weight decay 0.3": with_decay}
for name, run in compared.items():
    print(f"{name:17} validation accuracy {over_epochs(run, 'validation_accuracy')[-1]:.1%}")

# %% [markdown]
# Neither makes a difference that 144 images could show, on which the standard error is nearly two percent. This says nothing about long runs of
# large models, for which the paper chose them: there is time enough to learn a training set by heart.
#
# ## An exercise: predict before you run
#
# Three changes to the data, each made to training and test images alike, and without augmentation:
#
# - **a**: every label is raised by one, and 9 becomes 0;
# - **b**: the 64 pixels of every image are put into another order, the same for all images;
# - **c**: the 64 pixels of every image are put into another order, a new one for each image.
#
# Which of the three learns? Does any of them learn worse than the untouched digits? Write your answers down, with a reason, before you run the
# second of the next two cells. (If you read this as a page: the answer stands right below the picture.)

# %%
order = rng.permutation(64)


def in_one_order(images):
    return images.reshape(-1, 64)[:, order].reshape(images.shape)


def each_in_its_own(images):
    return rng.permuted(images.reshape(-1, 64), axis=1).reshape(images.shape)


puzzles = {
    "untouched": data,
    "a": ((x, (y + 1) % 10), (x_test, (y_test + 1) % 10)),
    "b": ((in_one_order(x), y), (in_one_order(x_test), y_test)),
    "c": ((each_in_its_own(x), y), (each_in_its_own(x_test), y_test)),
}
figure = new_figure(7.5, 1)
for part, (name, ((images, labels), _)) in zip(figure.subfigures(1, 4, wspace=0.08), puzzles.items(), strict=True):
    part.suptitle(name, fontsize=9)
    for axes, image, label in zip(part.subplots(1, 3), images, labels, strict=False):
        show(axes, image)
        axes.set_xlabel(label, fontsize=9)
figure

# %%
my_prediction = {"a": None, "b": None, "c": None}  # True if it learns, False if it does not

still = dict(rotate=0.0, zoom=0.0, shear=0.0)
answers_to = {name: outcome(data=puzzle, **still)[-1]["test_accuracy"] for name, puzzle in puzzles.items()}
for name, accuracy in answers_to.items():
    said = my_prediction.get(name)
    note = "" if said is None else " as you predicted" if said == (accuracy > 0.5) else " against your prediction"
    print(f"{name:10} test accuracy {accuracy:.1%}{note}")

# %% [markdown]
# **a** is the same task with other names, and learns the same. **b** learns as well as the untouched images, which may surprise: no human reads
# them. But a Vision Transformer is not told which pixels are neighbours. To it a patch is a list of numbers and a position is a number in a table,
# and any fixed order will do. (A convolution, which only ever combines neighbours, would miss them. That is what the paper means when it says that
# ViT has less *inductive bias*.) **c** destroys the picture: only the number of dark and light pixels is left.
#
# ## What we know now
#
# A step is a mean gradient, a scale for each parameter, a decay beside it, and a schedule around it. Before training, look at the first loss and at
# eight images. When it does not train, ask in order: data, loss, gradient, rate. When it does train, that is no proof.

# %%
assert abs(first_loss - math.log(10)) < 1e-6 and abs(losses[0] - math.log(10)) < 1e-6
assert sorted(moved) == ["head/b", "head/w"] and losses[-1] < 0.02 and (answers == y[:8]).all()
assert (
    abs(parts - whole).max() < 1e-10 and abs(parts_loss - whole_loss) < 1e-10 and abs(unweighted - whole).max() > 1e-4
)
assert np.allclose(first_step, 0.01, rtol=1e-6) and abs(path_of_large - path).max() < 1e-10
assert abs(adam[-1, 0]) < abs(descent[-1, 0])
assert abs(decoupled.mean() - 0.606) < 0.02 and coupled[:500].mean() < 0.4 < 0.9 < coupled[500:].mean()
assert np.count_nonzero(decay) == decaying
assert all(abs(values.min() - floor(s)) < 1e-4 for s, values in smoothed.items())
assert train_losses[0] == train_losses[1]
assert test_accuracy > 0.96
assert ends["rate 0.5, not 0.005"] < 0.2 and ends["shuffled labels"] < 0.2 and ends["reshape, not transpose"] < 0.2
assert ends["no positions"] < 0.7 and ends["bug: one sign (softmax)"] < 0.8 and ends["bug: lost mean (LayerNorm)"] > 0.9
assert found["shuffled labels"].check == "labels" and found["no positions"].check == "input"
assert found["pixels 0 to 255"].check == "images" and found["rate 0.5, not 0.005"].check == "learning rate"
assert found["bug: one sign (softmax)"].check == found["bug: lost mean (LayerNorm)"].check == "gradients"
assert min(answers_to[name] for name in ("untouched", "a", "b")) > 0.9 and answers_to["c"] < 0.3

# %% [markdown]
# Next: [the same on MNIST](10_training_on_mnist.ipynb), with larger images and many more of them.
