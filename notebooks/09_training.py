# %% [markdown]
# # Training, and what goes wrong when it does not train
#
# **The question.** The gradient says in which direction every parameter should move. What makes a good step out of that? And when the loss does not
# fall, how do we find out why?

# %%
from tinyvit.viz import overview

overview("loss", backward=True)

# %% [markdown]
# First a whole run (each panel is explained below): a small Vision Transformer learns the handwritten digits.

# %%
import contextlib
import dataclasses
import math
import textwrap
import warnings
from unittest import mock

import numpy as np

import tinyvit
from tinyvit import trees
from tinyvit.arrays import flat
from tinyvit.data.augmentation import augment
from tinyvit.exercises import museum
from tinyvit.training.adamw import adamw_step, clip_factor, decay_of, update_average
from tinyvit.training.gradients import batch_gradient
from tinyvit.training.schedule import SCHEDULES, warmup_cosine
from tinyvit.viz.curves import curves
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
held_out = round(len(y) * recipe.validation)  # these are not learned from: the validation part, see below
print(f"{len(y) - held_out:,} images to learn from, {recipe.batch} in a step, {recipe.epochs} epochs: ", end="")
print(f"{history[-1]['step']} steps; test accuracy {history[-1]['test_accuracy']:.1%}")
figure

# %% [markdown]
# A **step** takes a batch of images and moves all parameters once. When every training image has been used once, an **epoch** is over.
#
# ## The loss
#
# The loss is the **cross-entropy**: the mean over the batch of $-\ln q$, where $q$ is the probability of the right class among $K$
# ([derived here](../docs/derivations/cross_entropy.md)). A fresh model's [head is zero](07_the_vision_transformer.ipynb), so the first loss is $\ln K$.
# Another first loss means that the model is sure before it has seen anything, or that the loss is wrong. The first test to make:

# %%
fresh = tinyvit.vit_init(np.random.default_rng(0), config)
logits, c = tinyvit.vit(x[:64], fresh, config)
first_loss, c_loss = tinyvit.cross_entropy(logits, y[:64])
_, g = tinyvit.vit_backward(tinyvit.cross_entropy_backward(1.0, c_loss), fresh, c, config)
moved = [name for name, gradient in trees.walk(g, like=fresh) if gradient.any()]
print(f"first loss {first_loss:.6f}, ln {config.classes} = {math.log(config.classes):.6f}")
print(f"{len(moved)} of {len(trees.leaves(g))} arrays have a gradient in the first step: {', '.join(moved)}")

# %% [markdown]
# ## The gradient, of a batch and of its parts
#
# The loss of a batch is a mean over its images, so its gradient is a mean as well, and can be computed in parts. Let a batch of $B$ images fall
# into **micro-batches** of $B_1, B_2, \ldots$ images, with mean losses $\mathcal{L}_1, \mathcal{L}_2, \ldots$ Then
#
# $$ \mathcal{L} = \sum_i \frac{B_i}{B} \mathcal{L}_i, \qquad dw = \sum_i \frac{B_i}{B}\, dw_i. $$
#
# The [memory](12_speed.ipynb) is that of one micro-batch, however large the batch. `batch_gradient` does this, and returns the gradients of all
# parameters as one flat vector. Here 64 images at once, and as 24 + 24 + 16, in float64. How far off is a plain mean over the three parts?

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
# The last line is an easy mistake: the third part has only 16 images, so each counts one and a half times as much as one of the others. Nothing
# crashes.
#
# ## The step: momentum, and a scale for each parameter
#
# Gradient descent subtracts the gradient $g$, times a **learning rate** $\eta$. **Momentum** (Polyak 1964) adds up past gradients, fading by a factor
# $\mu < 1$, so that what changes its sign cancels: $m \leftarrow \mu\, m + g$, $w \leftarrow w - \eta\, m$. All parameters share one rate. **Adam**
# ([Kingma and Ba 2015](https://arxiv.org/abs/1412.6980)) gives each a scale of its own, from two running means: $m$ of its gradients, and $v$ of
# their squares. In step $t$,
#
# $$ m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2, \qquad
#    \hat{m} = \frac{m}{1 - \beta_1^t}, \qquad \hat{v} = \frac{v}{1 - \beta_2^t}, \qquad
#    w \leftarrow w - \eta\, \frac{\hat{m}}{\sqrt{\hat{v}} + \varepsilon} $$
#
# with $\beta_1 = 0.9$, $\beta_2 = 0.999$, and $\varepsilon = 10^{-8}$ against a division by zero. (Both means start at zero; the hats make up for
# it.)
#
# **Exercise.** Write this step. (The package's is called `adamw_step`; the W is explained below.)


# %%
def my_adamw_step(w, g, m, v, t, rate):
    """Adam's step number t (1 is the first): returns the new w, m and v, and changes none of its arguments."""


def package_step(w, g, m, v, t, rate):
    w, m, v = w.copy(), m.copy(), v.copy()
    adamw_step(w, g, m, v, step=t, learning_rate=rate, decay=0.0)  # changes them in place
    return w, m, v


def three_steps(step):
    """w, m and v after three steps from zero, with the same gradients for whatever takes them."""
    state = np.zeros(5), np.zeros(5), np.zeros(5)
    for t, g in enumerate(np.random.default_rng(1).standard_normal((3, 5)), 1):
        w, m, v = state
        state = step(w, g, m, v, t, 0.1)
        if state is None:
            return None
    return state


mine, right = three_steps(my_adamw_step), three_steps(package_step)
if mine is None:
    print("not written yet")
else:
    wrong = [name for name, a, b in zip("wmv", mine, right, strict=True) if not np.allclose(a, b)]
    print(f"{' and '.join(wrong)} not right yet" if wrong else "right")


# %%
def plain_adamw(w, g, m, v, t, rate):
    m = 0.9 * m + (1 - 0.9) * g
    v = 0.999 * v + (1 - 0.999) * g**2
    m_hat = m / (1 - 0.9**t)
    v_hat = v / (1 - 0.999**t)
    return w - rate * m_hat / (np.sqrt(v_hat) + 1e-8), m, v


plainly = three_steps(plain_adamw)
print(
    "the same as the package's step:",
    all(np.allclose(a, b) for a, b in zip(plainly, three_steps(package_step), strict=True)),
)

# %% [markdown]
# The package's [adamw.py](../tinyvit/training/adamw.py) does the same in place, on one flat vector of all parameters.
#
# In the first step $\hat{m} = g$ and $\sqrt{\hat{v}} = |g|$: every parameter moves by $\eta$, however large its gradient. And if the gradients of all
# steps were a thousand times larger, nothing would change (but for $\varepsilon$, here $10^{-30}$).


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
print(f"without the corrections the first step would be {(1 - 0.9) / math.sqrt(1 - 0.999):.2f} times as long")

# %% [markdown]
# A valley $f(a, b) = (a^2 + 50\, b^2) / 2$ is fifty times as steep across as along. Gradient descent multiplies $b$ by $1 - 50 \eta$ in each step, so
# it diverges above $\eta = 2/50$; just below, it jumps from side to side and creeps along. All rates were chosen by hand. On the right the valley is
# turned by 45 degrees: which path does not turn with it? (Grey: equal $f$. All paths start at the left.)

# %%
curvature, start = np.array([1.0, 50.0]), np.array([-9.0, 2.0])
turn = np.array([[1.0, -1.0], [1.0, 1.0]]) / math.sqrt(2)


def momentum_step(w, m, gradient, rate, mu):
    m = mu * m + gradient(w)
    return w - rate * m, m


def momentum_path(gradient, w, rate, mu, steps=30):
    """Where gradient descent with momentum is after each step; without momentum if mu is 0."""
    m, path = np.zeros(2), [w]
    for _ in range(steps):
        w, m = momentum_step(w, m, gradient, rate, mu)
        path.append(w)
    return np.array(path)


valleys = {}
for name, axes_of in {"along the axes": np.eye(2), "turned by 45 degrees": turn}.items():

    def slope(w, Q=axes_of):
        return Q @ (curvature * (Q.T @ w))

    valleys[name] = {
        "gradient descent": momentum_path(slope, axes_of @ start, 0.037, mu=0),
        "with momentum": momentum_path(slope, axes_of @ start, 0.02, mu=0.9),
        "AdamW": adamw_path(axes_of @ start, [slope] * 30, learning_rate=0.5, decay=0),
    }

figure = new_figure(7.5, 2.7)
side = np.linspace(-11, 11, 120)
ends_of = {}
for axes, (name, paths), Q in zip(figure.subplots(1, 2), valleys.items(), (np.eye(2), turn), strict=True):
    grid = np.stack(np.meshgrid(side, side), axis=-1) @ Q
    axes.contour(
        side, side, (grid**2 * curvature).sum(-1) / 2, levels=[1, 10, 40, 90, 150], colors="#bbbbbb", linewidths=0.8
    )
    for (method, way), style in zip(paths.items(), ("o-", "^-", "s-"), strict=True):
        colour = {"o-": ORANGE, "^-": "#555555", "s-": BLUE}[style]
        axes.plot(*way.T, style, color=colour, markersize=3, linewidth=1, label=method)
        ends_of[method, name] = ((way[-1] @ Q) ** 2 * curvature).sum() / 2
    axes.set(xlabel="a", ylabel="b", title=name, xlim=(-10, 4), ylim=(-9, 5) if Q is turn else (-3, 3))
    axes.set_aspect("equal" if Q is turn else "auto")
axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8)
for method in paths:
    print(f"{method:17} f after 30 steps: " + ", ".join(f"{ends_of[method, name]:5.2f} {name}" for name in valleys))
figure

# %% [markdown]
# Gradient descent and momentum know no axes. AdamW has a scale for each coordinate: it helps where coordinates differ in steepness (2.32 against 4.22),
# and not in the turned valley, where they do not differ.
#
# **Exercise, new ground.** Nesterov's momentum takes the gradient not at $w$, but at $w - \eta \mu\, m$, where momentum alone would carry it.


# %%
def my_nesterov_step(w, m, gradient, rate, mu):
    """One step: returns the new w and m. `gradient` is a function of where one is."""


def steps_needed(step, most=200):
    """How many steps bring f below 0.01 in the valley; None where `most` do not."""
    w, m = start, np.zeros(2)
    for number in range(1, most + 1):
        w, m = step(w, m, lambda w: curvature * w, 0.02, 0.9)
        if (curvature * w**2).sum() / 2 < 0.01:
            return number


print(f"momentum: {steps_needed(momentum_step)} steps to f < 0.01")
if my_nesterov_step(start, np.zeros(2), lambda w: curvature * w, 0.02, 0.9) is None:
    print("yours:    not written yet")
else:
    needed = steps_needed(my_nesterov_step)
    right = needed is not None and needed < steps_needed(momentum_step) / 2
    print(f"yours:    {needed} steps: {'right' if right else 'that is not it yet'}")

# %% [markdown]
# ## Weight decay, decoupled
#
# **Weight decay** pulls parameters towards zero. Added to the gradient as $\lambda w$, with strength $\lambda$, it goes wrong in Adam: the sum is divided
# by $\sqrt{\hat{v}}$, so parameters with large gradients hardly decay, and those with small ones too much. **AdamW**
# ([Loshchilov and Hutter 2019](https://arxiv.org/abs/1711.05101)) leaves the gradient alone, and shrinks the parameter itself by the factor
# $1 - \eta \lambda$ in each step. Here all start at 1, and gradients are noise, small or large. After 1,000 steps:

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
# Only matrices decay, since their size sets how much a layer magnifies. Biases, the class token and positions only add something, and a norm's scale
# $\gamma$ starts at 1, not at 0: these are left alone.

# %%
decay = decay_of(p, recipe.weight_decay)
decaying = sum(w.size for name, w in trees.walk(p) if name.endswith("/w"))
print(f"{np.count_nonzero(decay):,} of {len(decay):,} parameters decay; the entries of all matrices are {decaying:,}")

# %% [markdown]
# ## The learning rate over a run, and the length of a gradient
#
# The learning rate rises linearly from 0 over the first tenth of the run, the **warm-up**, and then falls as half a cosine to zero. The
# first steps are meant to be short because $m$ and $v$ rest on a handful of gradients, the last so that the run settles.
#
# **Clipping** bounds the length of a step's gradient. If all of it, as one long vector, has a norm above a limit, it is scaled down to that norm. As
# Adam ignores a factor that all steps share, clipping only makes long gradients count less beside others.

# %%
norms = np.array([record["gradient_norm"] for record in steps])
clipped = norms > recipe.clip_norm
early = clipped[: len(clipped) // 3].sum()
print(f"limit {recipe.clip_norm:g}: {clipped.sum()} of {len(norms)} recorded steps were clipped", end="")
print(f", {early} of them in the first third of the run; norms from {norms.min():.2f} to {norms.max():.2f}")

# %% [markdown]
# **Exercise.** Write both functions.


# %%
def my_clip_factor(norm, limit):
    """What a gradient of this norm is multiplied by."""


def my_warmup_cosine(step, steps, warmup, peak):
    """The learning rate in step 1 ... steps; `warmup` is a share of the run, and the last step has rate 0."""


asked = {
    "my_clip_factor": [(my_clip_factor(n, 1.0), clip_factor(n, 1.0)) for n in (0.4, 1.0, 4.0)],
    "my_warmup_cosine": [
        (my_warmup_cosine(step, 100, 0.1, 0.5), warmup_cosine(step, steps=100, warmup=0.1, peak=0.5))
        for step in (1, 10, 11, 55, 100)
    ],
}
for name, pairs in asked.items():
    if any(mine is None for mine, _ in pairs):
        print(f"{name}: not written yet")
    else:
        wrong = [f"{mine:.4f} where {right:.4f} is right" for mine, right in pairs if not abs(mine - right) < 1e-5]
        print(f"{name}: {wrong[0] if wrong else 'right'}")

# %% [markdown]
# ## Smoothed labels
#
# The loss $-\ln q$ is zero only at $q = 1$, for which a logit would have to be infinite. **Label smoothing**
# ([Szegedy et al. 2016](https://arxiv.org/abs/1512.00567)) asks for less: a share of the target, the `smoothing`, is spread evenly over all $K$
# classes. Each then has $u = \mathrm{smoothing} / K$, and the right one $q^* = 1 - \mathrm{smoothing} + u$. The gradient by the logits is the
# probabilities less these targets, so the loss is least where they are equal, and there it is
#
# $$ -q^* \ln q^* - (K - 1)\, u \ln u. $$
#
# On the left, the schedule of the run above. On the right, the loss of one image, if the wrong classes share $1 - q$ evenly, and the formula as dots.

# %%
K = config.classes


def floor(smoothing):
    right, wrong = 1 - smoothing + smoothing / K, smoothing / K
    return -right * math.log(right) - (K - 1) * wrong * math.log(wrong)


def loss_at(q, smoothing):
    logits = np.log(np.concatenate([q[:, None], np.repeat((1 - q[:, None]) / (K - 1), K - 1, axis=1)], axis=1))
    return np.array([tinyvit.cross_entropy(row[None], np.array([0]), smoothing=smoothing)[0] for row in logits])


total = history[-1]["step"]
rates = [
    warmup_cosine(step, steps=total, warmup=recipe.warmup, peak=recipe.learning_rate) for step in range(1, total + 1)
]
q = np.linspace(0.6, 0.9995, 400)
smoothed = {smoothing: loss_at(q, smoothing) for smoothing in (0.05, 0.1)}

figure = new_figure(7.5, 2.4)
left, right = figure.subplots(1, 2)
left.plot(range(1, total + 1), rates, color=BLUE)
left.set(xlabel="step", title="learning rate", ylim=(0, None))
right.plot(q, -np.log(q), ":", color="black", label="smoothing 0")
for (smoothing, values), colour in zip(smoothed.items(), (BLUE, ORANGE), strict=True):
    right.plot(q, values, "-" if colour == BLUE else "--", color=colour, label=f"{smoothing:g}")
    right.plot(1 - smoothing + smoothing / K, floor(smoothing), "o", color=colour)
right.set(xlabel="probability of the right class", title="loss (nats)", ylim=(0, 1.15))
right.legend(loc="upper left", ncols=3, fontsize=8)
plain(left)
plain(right)
for smoothing, values in smoothed.items():
    print(f"smoothing {smoothing:4g}: least loss {values.min():.4f} at q = {q[values.argmin()]:.3f}; ", end="")
    print(f"floor {floor(smoothing):.4f} at {1 - smoothing + smoothing / K:.3f}")
figure

# %% [markdown]
# Right of its dot a smoothed loss rises again: to be surer than asked is punished.
#
# ## The loop
#
# The second test to make: given only eight images, the model must learn them by heart. If it cannot, there is a mistake.

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
    update_average(average, vector, step=step, decay=0.9)  # explained below
    losses.append(float(loss))  # measured before the step

answers = tinyvit.vit(x[:8], p8, config)[0].argmax(axis=1)
print("labels ", y[:8], "\nanswers", answers)
print(f"loss: first {losses[0]:.4f}, after 20 steps {losses[20]:.4f}, after 59 {losses[-1]:.4f}")

# %% [markdown]
# `tinyvit.fit` is this loop, with a fresh order of the images in every epoch, several cores, a record of what happened, and **augmentation**: each
# image is turned, scaled and sheared a little, anew each time. One digit, eight draws:

# %%
draws = augment(rng, x[3:4].repeat(8, axis=0), rotate=recipe.rotate, zoom=recipe.zoom, shear=recipe.shear)
figure = new_figure(7.5, 1)
for axes, image, title in zip(figure.subplots(1, 9), [x[3], *draws], ["as it is", *range(1, 9)], strict=True):
    show(axes, image)
    axes.set_title(title, fontsize=9)
figure

# %% [markdown]
# In the loop, `update_average` keeps the **average of the weights**, $\bar{w} \leftarrow d\, \bar{w} + (1 - d)\, w$, with a $d$ that grows from step
# to step up to the recipe's `ema_decay`. As in the valley above, single steps may jump about; their average lies nearer to the middle. `fit` evaluates
# and returns it. Here is the first run once more, with $d = 0$, which returns the last weights and changes nothing else.


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
gains = np.array([over_epochs(run, "validation_loss") for run in (last_weights, history)])
for first, last in ((5, 15), (26, 30)):
    mean_last, mean_average = gains[:, first - 1 : last].mean(axis=1)
    print(
        f"epochs {first} to {last}: mean validation loss {mean_last:.3f} of the last weights, {mean_average:.3f} averaged"
    )
print(f"d = {recipe.ema_decay}; the same training losses, to the bit: {train_losses[0] == train_losses[1]}")
figure

# %% [markdown]
# In the middle of the run the average is ahead. At the end steps are so short that the two nearly agree.
#
# ## A whole run, looked at
#
# The images are in three parts. From the **training** part the gradients come. The **validation** part, a tenth of the training images, is held out;
# by it one chooses rates, sizes and lengths. Nothing is chosen by the **test** part: the best of many tries is partly the luckiest. (Below, blue is
# higher: its labels are smoothed, which alone costs 0.28; its images are augmented; its weights are not averaged.)

# %%
figure = curves(history)
figure.set_size_inches(7.5, 3)
figure

# %%
validation_accuracy, test_accuracy = over_epochs(history, "validation_accuracy")[-1], history[-1]["test_accuracy"]
for name, accuracy, count in (("validation", validation_accuracy, held_out), ("test", test_accuracy, len(y_test))):
    error = math.sqrt(accuracy * (1 - accuracy) / count)
    print(f"{name:10} {accuracy:.2%} of {count} images, standard error {error:.2%}")

# %% [markdown]
# If each of $n$ images is right with probability $a$, independently, the share of right ones has the standard deviation $\sqrt{a (1 - a) / n}$, its
# **standard error**. Half a percent between two runs says little here.

# %% [markdown]
# ## What goes wrong
#
# Nine runs of 8 epochs, each with one fault: a learning rate a hundred times too high, or too low, or ten times too high without a warm-up; shuffled
# labels; pixels from 0 to 255 instead of -1 to 1; a file with the images along its last axis, $[H, W, B]$, and `reshape` where `transpose` was needed;
# no positions; and two exhibits of [the museum](08_museum_of_gradient_bugs.ipynb): a sign in softmax's backward pass, the lost mean in LayerNorm's.
#
# Which of the nine learn nothing, which learn worse, and which would you not notice?


# %%
def with_images(change, labels=y):
    return (change(x), labels), (change(x_test), y_test)


def reshaped(images):
    """[H, W, B, C] -> [B, H, W, C] the wrong way: the shape is right."""
    return images.transpose(1, 2, 0, 3).reshape(images.shape)


one_sign = museum.exhibit("softmax_backward", "the sum over dy y is added").planted
lost_mean = museum.exhibit("layer_norm_backward", "the mean of dxhat is not").planted
nothing = contextlib.nullcontext

faults = {  # name: what to change, and what plants the bug
    "rate 0.5, not 0.005": ({"learning_rate": 0.5}, nothing),
    "rate 0.00005": ({"learning_rate": 5e-5}, nothing),
    "rate 0.05, no warm-up": ({"learning_rate": 0.05, "warmup": 0.0}, nothing),
    "shuffled labels": ({"data": with_images(np.copy, rng.permutation(y))}, nothing),
    "pixels 0 to 255": ({"data": with_images(lambda images: 127.5 * (images + 1))}, nothing),
    "reshape, not transpose": ({"data": with_images(reshaped)}, nothing),
    "no positions": ({"config": dataclasses.replace(config, position="none")}, nothing),
    "bug: one sign (softmax)": ({"workers": 1}, one_sign),  # a bug is planted in this process only
    "bug: lost mean (LayerNorm)": ({"workers": 1}, lost_mean),
}
BANDS = ((0, 0.2), (0.2, 0.9), (0.9, 1.01))
epochs, runs, baseline = range(1, 9), {}, outcome()
for name, (changes, bug) in faults.items():
    with bug(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # `fit` warns of pixels from 0 to 255; here nobody is to be told
        runs[name] = outcome(**changes)

figure = new_figure(7.5, 5)
for axes, (name, run) in zip(figure.subplots(3, 3, sharex=True, sharey=True).flat, runs.items(), strict=True):
    axes.plot(epochs, over_epochs(baseline, "validation_accuracy"), "--", color=BLUE, label="as it should be")
    axes.plot(epochs, over_epochs(run, "validation_accuracy"), "o-", color=ORANGE, markersize=3)
    axes.set_title(name, fontsize=9)
    axes.set_ylim(0, 1)
    if axes.get_subplotspec().is_first_col() and axes.get_subplotspec().is_first_row():
        axes.legend(fontsize=7, loc="center right")
    plain(axes)
figure.supxlabel("epoch", fontsize=10)
figure.supylabel("validation accuracy", fontsize=10)
ends = {name: over_epochs(run, "validation_accuracy")[-1] for name, run in runs.items()}
low, middle, high = ([f"{name} {a:.0%}" for name, a in ends.items() if least <= a < most] for least, most in BANDS)
print("nothing learned (chance is 10 %):", ", ".join(low))
print("something:", ", ".join(middle))
print(f"not to be noticed (without a fault {over_epochs(baseline, 'validation_accuracy')[-1]:.0%}):", ", ".join(high))
error = math.sqrt(0.95 * 0.05 / held_out)
print(f"standard error of 95 % on {held_out} validation images: {error:.1%}")
figure

# %% [markdown]
# A model without positions sees a [bag of patches](05_positions.ipynb). Pixels up to 255 instead of 1 may drown the positions. The wrong sign makes
# the digits look like a hard problem. And the lost mean's curve looks like that of a model without a fault.
#
# How much does the warm-up bring, at rates 0.005 and 0.05? And the cosine?


# %%
def no_fall(step, *, steps, warmup, peak):
    """The warm-up, and then the peak rate to the end."""
    return warmup_cosine(min(step, warmup * steps), steps=steps, warmup=warmup, peak=peak)


warmed, unwarmed = outcome(learning_rate=0.05), outcome(warmup=0.0)
with mock.patch.dict(SCHEDULES, cosine=no_fall):  # takes the schedule's place, in this process only
    constant = outcome(workers=1)
table = {
    "rate 0.005, warm-up and cosine": baseline,
    "rate 0.005, no warm-up": unwarmed,
    "rate 0.005, no cosine": constant,
    "rate 0.05, warm-up and cosine": warmed,
    "rate 0.05, no warm-up": runs["rate 0.05, no warm-up"],
}
for name, run in table.items():
    print(f"{name:31} validation accuracy {over_epochs(run, 'validation_accuracy')[-1]:.0%}")

# %% [markdown]
# At rate 0.005, leaving out either makes no difference that so few images could show. At ten times the rate both runs are worse; whether
# more so without a warm-up, one seed cannot say.

# %% [markdown]
# ## The doctor
#
# `tinyvit.examine` asks in the order in which one would look for a fault: images, labels, the first loss, the order of
# the patches, gradients beside measured slopes, a few images learned by heart, another learning rate, and more. The first finding about each of the
# nine:


# %%
def first_finding(*, config=config, data=data, workers=1, **changes):
    """The doctor's first finding about a model, its data and its recipe. (It uses one process, whatever `workers` is.)"""
    return next(tinyvit.examine(config, data, recipe=dataclasses.replace(recipe, **changes)))


found = {}
for name, (changes, bug) in faults.items():
    with bug():
        found[name] = first_finding(**changes)
    print(textwrap.fill(f"{name.upper()}: {found[name].words}", 135, subsequent_indent="    "))

# %% [markdown]
# It finds all nine, even the lost mean, whose curve looked right. It goes from the loss back to the image, and names the first array that is wrong.
# For the wrong sign that is an array of the keys in the last block. The values' arrays come before it, and are right: between them lies the softmax.
# `tinyvit doctor RUN` asks the same about a run, from the command line.
#
# ## Regularisation: the paper's, and ours
#
# **Regularisation** keeps a model from learning its training images by heart instead of what they have in common. **Dropout** (your
# [first exercise](00_start_here.ipynb)) does it in training only. The paper puts it where the positions have been added, the `stem`, and after every
# linear layer of a block but q, k and v:

# %%
dropping = dataclasses.replace(config, dropout=0.25)
masks = tinyvit.vit_masks(np.random.default_rng(0), dropping, batch=64)
for name, mask in trees.walk(masks):
    if not name.startswith(("blocks/1", "blocks/2")):
        print(f"{name:18} {list(mask.shape)!s:14} values {np.unique(mask).round(4)}, mean {mask.mean():.4f}")

once, twice = (tinyvit.vit(x[:64], p, dropping, masks=masks)[0] for _ in range(2))
without = tinyvit.vit(x[:64], p, dropping)[0]
print("same masks, same logits:", np.array_equal(once, twice), "  no masks, no dropout:", end=" ")
print(np.array_equal(without, tinyvit.vit(x[:64], p, config)[0]))

# %% [markdown]
# From scratch on ImageNet's 1.3 million photographs, the paper ([Dosovitskiy et al. 2021](https://arxiv.org/abs/2010.11929), table 3, appendix B.1)
# used batches of 4096 images, 10,000 steps of warm-up, learning rate 0.003 falling as a cosine, weight decay 0.3, dropout 0.1, gradients clipped to
# norm 1. Here:

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
# Instead of dropout and a strong decay we have augmentation, smoothed labels and the average of the weights. What do the paper's dropout and decay do
# here?

# %%
with_dropout = outcome(config=dataclasses.replace(config, dropout=0.1))
with_decay = outcome(weight_decay=0.3)
compared = {"as it is": baseline, "dropout 0.1": with_dropout, "weight decay 0.3": with_decay}
for name, run in compared.items():
    print(f"{name:17} validation accuracy {over_epochs(run, 'validation_accuracy')[-1]:.1%}")

# %% [markdown]
# On so few validation images, and after so short a run, that says little.
#
# ## An exercise: predict before you run
#
# Three changes, to training and test images alike, and without augmentation. Which of the three learns? Write your answers into `my_prediction` below
# before you run it.
#
# - **a**: every label is raised by one, and 9 becomes 0;
# - **b**: the 64 pixels of every image are put into another order, the same for all images;
# - **c**: the same, in a new order for each image.

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
# **a** is the same task with other names. **b** learns as well as the untouched images, though no human could read them: a Vision Transformer is not
# told which pixels are neighbours, and any fixed order will do ([its inductive bias](01_pixels_to_tokens.ipynb) is small). In **c**, all that is left
# is how many pixels are dark or light.
#
# ## What we know now
#
# A step takes a mean gradient, a scale for each parameter, weight decay, and a learning rate from a schedule. Before training, look at the first loss
# and at eight images. When a model does not train, ask in order: data, loss, gradient, rate. That it trains does not prove it right.

# %%
assert abs(first_loss - math.log(10)) < 1e-6 and abs(losses[0] - math.log(10)) < 1e-6
assert sorted(moved) == ["head/b", "head/w"] and losses[-1] < 0.02 and (answers == y[:8]).all()
assert (
    abs(parts - whole).max() < 1e-10 and abs(parts_loss - whole_loss) < 1e-10 and abs(unweighted - whole).max() > 1e-4
)
assert np.allclose(first_step, 0.01, rtol=1e-6) and abs(path_of_large - path).max() < 1e-10
assert np.allclose(plainly, three_steps(package_step))
assert all(
    abs(ends_of["gradient descent", name] - ends_of["gradient descent", "along the axes"]) < 1e-9 for name in valleys
)
assert ends_of["AdamW", "turned by 45 degrees"] > ends_of["gradient descent", "turned by 45 degrees"]
assert ends_of["AdamW", "along the axes"] < ends_of["gradient descent", "along the axes"]
assert steps_needed(momentum_step) is not None and clipped.any()
assert abs(decoupled.mean() - 0.606) < 0.02 and coupled[:500].mean() < 0.4 < 0.9 < coupled[500:].mean()
assert np.count_nonzero(decay) == decaying
assert all(abs(values.min() - floor(smoothing)) < 1e-4 for smoothing, values in smoothed.items())
assert train_losses[0] == train_losses[1]
assert test_accuracy > 0.96
assert ends["rate 0.5, not 0.005"] < 0.2 and ends["shuffled labels"] < 0.2 and ends["reshape, not transpose"] < 0.2
assert ends["no positions"] < 0.7 and ends["bug: one sign (softmax)"] < 0.8 and ends["bug: lost mean (LayerNorm)"] > 0.9
assert found["rate 0.00005"].check == found["rate 0.05, no warm-up"].check == "learning rate"
assert found["shuffled labels"].check == "labels" and found["no positions"].check == "input"
assert found["pixels 0 to 255"].check == "images" and found["rate 0.5, not 0.005"].check == "learning rate"
assert found["bug: one sign (softmax)"].check == found["bug: lost mean (LayerNorm)"].check == "gradients"
assert min(answers_to[name] for name in ("untouched", "a", "b")) > 0.9 and answers_to["c"] < 0.3

# %% [markdown]
# Next: [the same on MNIST](10_training_on_mnist.ipynb), with larger images and many more of them.
