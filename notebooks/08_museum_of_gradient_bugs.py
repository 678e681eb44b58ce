# %% [markdown]
# # A museum of gradient bugs
#
# **The question.** A backward pass is wrong. Often nothing crashes, every shape fits, and the loss falls. How do you notice, and how do you find the
# line?

# %%
import math

import numpy as np

import tinyvit
from tinyvit.exercises import museum
from tinyvit.exercises.catalogue import exercises
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.multi_head_attention import multi_head_attention, multi_head_attention_backward
from tinyvit.layers.multi_head_attention import multi_head_attention_init as attention_init
from tinyvit.ops.dropout import dropout, dropout_backward, dropout_mask
from tinyvit.ops.gelu import gelu, gelu_backward
from tinyvit.ops.softmax import softmax, softmax_backward
from tinyvit.training.gradients import batch_gradient
from tinyvit.viz import PARTS, overview
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

rng = np.random.default_rng(0)
print(len(museum.EXHIBITS), "exhibits")
overview(*PARTS, backward=True)

# %% [markdown]
# On show are backward passes of this package, each with one mistake that is easily made. The gradient check of [notebook
# 2](02_a_layer_and_its_gradient.ipynb) says *which* tensor is wrong and *by how much*.
#
# Each exhibit takes the place of the right function for five epochs, that is, five times through the handwritten
# digits. (How models are trained, and what `ema_decay` is: [next notebook](09_training.ipynb).) How many of the broken models end within 5 points of
# the right one?

# %%
data, config = tinyvit.load_data("digits"), tinyvit.PRESETS["digits"]
recipe = tinyvit.Recipe(epochs=5, batch=64, learning_rate=5e-3, ema_decay=0.0)
p = tinyvit.vit_init(rng, config)
p["head"]["w"] = 0.1 * rng.standard_normal(p["head"]["w"].shape).astype("float32")  # at zero, the rest has no gradient
batch = {"images": data[0][0][:64], "labels": data[0][1][:64]}


def train(seed=0):
    """Test accuracy in % after five epochs, with the package as it is at this moment."""
    # workers=1: a bug is planted in this process only
    _, history = tinyvit.fit(config, data, recipe=recipe, seed=seed, workers=1, progress=False)
    return 100 * history[-1]["test_accuracy"]


def unit_gradient():
    """The direction of a new model's gradient, of one batch."""
    _, g = batch_gradient(batch, p, config, recipe, seed=0, step=1)  # g: all gradients as one vector
    return g / np.linalg.norm(g)


right, other_seed, direction = train(), train(seed=1), unit_gradient()
accuracies, cosines = {}, {}
for exhibit in museum.EXHIBITS:
    with exhibit.planted():  # puts it in the place of the right function, until the block ends
        try:
            cosines[exhibit.number] = float(unit_gradient() @ direction)
            accuracies[exhibit.number] = train()
        except ValueError as error:
            print(f"exhibit {exhibit.number} crashes, so you would have noticed: {str(error)[:60]} ...")

# %%
unnoticed = [number for number, accuracy in accuracies.items() if accuracy > right - 5]
print(f"without a bug {right:.1f} %, with another seed {other_seed:.1f} %;", end=" ")
print(f"within 5 points of it: {len(unnoticed)} of {len(accuracies)} broken models")

figure = new_figure(7.5, 4.6)
left, middle = figure.subplots(1, 2, sharey=True, width_ratios=(1.6, 1))
names = [f"exhibit {number}" for number in accuracies]
colours = [BLUE if number in unnoticed else ORANGE for number in accuracies]
left.barh(names, accuracies.values(), color=colours)
left.axvline(right, color="black", linewidth=1)
left.set(xlabel="test accuracy in %\n(line: without a bug; blue: within 5 points of it)", xlim=(0, 100))
middle.scatter(cosines.values(), names, color=colours, s=18)
middle.set(xlabel="cosine between its gradient and the right one\n(a new model, one batch)", xlim=(-1.1, 1.1))
for axes in (left, middle):
    axes.xaxis.label.set_size(8)
    axes.tick_params(labelsize=8)
    axes.margins(y=0.02)
    plain(axes)
left.invert_yaxis()
figure

# %% [markdown]
# All but one of the broken gradients have a positive cosine with the right one, and many of them train well. (The cosine does not say how well:
# exhibit 13's is the second smallest, yet it trains well.) So training is no test of a gradient: without the right accuracy to compare with, the
# broken model's looks good enough. This is one seed; with another, single exhibits may do better or worse.
#
# Some exhibits could not do harm here. This model has no dropout, and the upstream gradient of its loss is 1, so two of them change nothing. And the
# rule for the step, AdamW, divides each gradient by its usual size, so a wrong positive factor [hardly matters](09_training.ipynb).
#
# ## A guided visit
#
# The report shows the worst entry of each wrong tensor's gradient, and ratios of wrong to right entries. `column_sums(x)` adds over all axes but the
# last, `row_sums(x)` over the last, and `row_dots(x, y)` adds the products $x_i y_i$ over the last.


# %%
def visit(number):
    """Print an exhibit, and for each tensor what the gradient check finds."""
    exhibit = museum.EXHIBITS[number - 1]
    print(exhibit, "\n")
    ratios = exhibit.ratios()
    if ratios:
        print(f"{'ratios:':>69}   {'least':>9} {'median':>9} {'greatest':>9}")
    for row in exhibit.check().rows:
        if row.error > 1e-7:
            words = f"{row.name:24} WRONG   worst: {row.analytic:8.4f} for {row.numeric:8.4f}"
            least, median, greatest = ratios.get(row.name, (math.nan,) * 3)
            if not math.isnan(least):
                words += f"          {least:9.4f} {median:9.4f} {greatest:9.4f}"
            print(words)
        elif number != len(museum.EXHIBITS):  # the last is a whole model: its wrong tensors only
            print(f"{row.name:24} right")


visit(11)

# %% [markdown]
# The gradients of gamma and beta are right, so lines 4 and 5 are right. That of x is wrong, and is computed from line 6 on. Its ratios differ from
# entry to entry, so the mistake is no factor: a term may be missing. Line 8 computes `along_ones`, the mean of the gradient over a token's features.
# Which line uses it? None: it should be subtracted between lines 9 and 10. Where something is missing, the line before the gap and the line behind it
# both count as an answer:

# %%
museum.answer(11, 9)

# %% [markdown]
# A wrong answer is counted in `museum.score()`:

# %%
museum.answer(11, 6)

# %% [markdown]
# ## Room 1: sums, means and signs
#
# For each exhibit: read the report, find the line, and ask `museum.answer(number, line)` in a cell of your own. Where there is only one line to
# choose, say what is wrong with it before you ask. `museum.EXHIBITS[number - 1].reveal()` shows the answer. A wrong factor is often made of the
# inputs' sizes; in the checks these are:

# %%
for name in ("linear", "cross_entropy", "softmax", "multi_head_attention"):
    inputs, keywords = exercises()[name].calls[0]  # the arguments of the check's first call
    print(
        f"{name:22}",
        *(list(a.shape) for a in inputs if isinstance(a, np.ndarray)),
        *(f"{k} {keywords[k]}" for k in keywords),
    )

# %% [markdown]
# The right gradients, from [notebook 2](02_a_layer_and_its_gradient.ipynb): $dx = dy\, w^\top$, $dw = x^\top dy$, and $db$ is the sum of $dy$ over all
# rows. The cross-entropy's is $(s - t) / B$, with probabilities $s$ and targets $t$ of $B$ images, times the upstream gradient `dloss`, which is a
# random number in the check.

# %%
for number in (1, 2, 3):
    visit(number)
    print()

# %%
for number in (4, 5):
    visit(number)
    print()

# %% [markdown]
# ## How to read the check
#
# | what the report says | what to look for |
# |---|---|
# | one tensor wrong, the others right | a line that only its gradient depends on |
# | right down to one tensor on the way back, wrong after it | the lines that make the first wrong tensor |
# | all ratios are 1/2, 3/7, the root of 2, ... | a factor: which sizes of axes make this number? |
# | all ratios are -1 | a sign |
# | the ratios differ from entry to entry | a missing term, a wrong axis, or two things exchanged |
#
# ## Room 2: softmax, GELU, dropout
#
# The softmax's derivative is $\partial y_j / \partial x_i = y_j (\delta_{ij} - y_i)$. GELU's cache holds its derivative `dydx`. Dropout is
# $y = x\, m$, where the mask $m$, in its cache, is 0 where a number is dropped and $1 / 0.6$ where it is kept.

# %%
for number in (6, 7, 8):
    visit(number)
    print()

# %%
for number in (9, 10):
    visit(number)
    print()

# %% [markdown]
# ## Room 3: LayerNorm
#
# $\hat{x} = (x - \mathrm{mean}(x))\, r$ with $r = 1 / \sqrt{\mathrm{var}(x) + \varepsilon}$, and $y = \gamma \hat{x} + \beta$. Its gradient has three
# terms ([LayerNorm](06_layer_norm_and_gelu.ipynb)): one direct, one through the mean, one through the variance.

# %%
for number in (12, 13):
    visit(number)
    print()

# %%
for number in (14, 15):
    visit(number)
    print()

# %% [markdown]
# ## Room 4: attention, blocks and the whole model
#
# Here a bug may show in many tensors: in all that are computed after it on the way back. Look at the first wrong one on that way. The list is nearly
# in the order of the forward pass, so read it from below. The right functions are derived, or shown, in the notebooks on
# [attention](03_attention.ipynb), [heads](04_heads.ipynb), [the MLP](06_layer_norm_and_gelu.ipynb) and [the model](07_the_vision_transformer.ipynb).
# In exhibit 17, `_sum_to` adds up a bias's gradient over the axes along which the bias was repeated. `"r"` is for [relative
# positions](05_positions.ipynb), `attend_backward` for [other attention](15_who_looks_at_whom.ipynb), `freeze` for training a part of the model: none
# occurs in these checks.

# %%
for number in (16, 17):
    visit(number)
    print()

# %%
for number in (18, 19):
    visit(number)
    print()

# %%
for number in (20, 21):
    visit(number)
    print()

# %%
visit(22)

# %% [markdown]
# Which tensors are missing in 23's list?

# %%
visit(23)

# %% [markdown]
# ## How the instrument itself lies
#
# A check with ones for the upstream gradient, and parameters as they are before training, is quickly written. Which of the exhibits would it have
# missed? Guess, and look at their source again.

# %%
missed = [exhibit.number for exhibit in museum.EXHIBITS if not museum.careless(exhibit)]
print(f"a careless check misses {len(missed)} of {len(museum.EXHIBITS)} exhibits: {missed}")

# %% [markdown]
# (5: `dloss` is 1. 12 and 13: $d\hat{x}$ is 1 everywhere, and $\hat{x}$ has mean 0. 14: $\gamma$ is 1. 23: the head is 0, and with it every gradient
# below.)
#
# Four ways in which a check passes wrong code, or condemns what is right:
#
# **Parameters as they start.** LayerNorm's $\gamma$ starts at 1. A backward pass that forgets to multiply by it is right until training moves $\gamma$.
# **A bias that starts at zero** does the same: here the backward pass computes GELU's input again, and leaves out the bias.

# %%
x = rng.standard_normal((2, 3, 8))
lies = {}


def forgets_gamma(dy, p, c):
    return layer_norm_backward(dy, p | {"gamma": np.ones(8)}, c)


def bent(x, p):
    c = {}
    y, c["linear"] = linear(x, p)
    y, c["gelu"] = gelu(y)
    return y, c


def forgets_bias(dy, p, c):
    _, c_gelu = gelu(linear(c["linear"]["x"], {"w": p["w"]})[0])
    return linear_backward(gelu_backward(dy, c_gelu), p, c["linear"])


fresh, moved = ({"gamma": gamma, "beta": np.zeros(8)} for gamma in (np.ones(8), rng.standard_normal(8)))
lies["gamma = 1"] = [tinyvit.gradcheck(layer_norm, forgets_gamma, x, each).worst_error for each in (fresh, moved)]
w = rng.standard_normal((8, 5))
fresh, moved = ({"w": w, "b": b} for b in (np.zeros(5), rng.standard_normal(5)))
lies["zero bias"] = [tinyvit.gradcheck(bent, forgets_bias, x, each).worst_error for each in (fresh, moved)]

# %% [markdown]
# **A relative error alone** condemns code that is right. The keys' bias has [a gradient of zero](04_heads.ipynb); the analytic and the numeric one
# are rounding errors, which differ by about 100 %. So `gradcheck` also accepts any difference below `atol`, $10^{-9}$ ([notebook
# 2's](02_a_layer_and_its_gradient.ipynb) 0.01, times the allowed $10^{-7}$). Here `atol` is once all but switched off:


# %%
def self_attention(x, p):
    return multi_head_attention(x, x, p, heads=4)


def self_attention_backward(dy, p, c):
    dx, dkv, _, g = multi_head_attention_backward(dy, p, c)
    return dx + dkv, g


weights = {name: {"w": rng.standard_normal((8, 8)), "b": rng.standard_normal(8)} for name in attention_init(None, 8)}
reports = [tinyvit.gradcheck(self_attention, self_attention_backward, x, weights, atol=atol) for atol in (1e-30, 1e-9)]
keys = [next(row for row in report.rows if row.name == "p/k/b") for report in reports]
lies["relative error alone"] = [row.error for row in keys]
print(f"the keys' bias: analytic {keys[0].analytic:.1e}, numeric {keys[0].numeric:.1e}")
for name, (careless, honest) in lies.items():
    verdicts = ["passes" if error < 1e-7 else "fails" for error in (careless, honest)]
    print(f"{name:22} careless {careless:8.1e} {verdicts[0]:7} honest {honest:8.1e} {verdicts[1]}")

# %% [markdown]
# **A function that is not pure.** If two calls with the same input give two results, differences measure nothing. Dropout must be handed its mask and
# not draw one; and a function that changes its own argument spoils every later call. `gradcheck` refuses both:


# %%
def draws_a_mask(x):
    return dropout(x, dropout_mask(rng, x.shape, 0.5, x.dtype))


def changes_x(x):
    x -= x.max(axis=-1, keepdims=True)
    return softmax(x)


impure = [tinyvit.gradcheck(draws_a_mask, dropout_backward, x), tinyvit.gradcheck(changes_x, softmax_backward, x)]
print(*(report.problem for report in impure), sep="\n")

# %% [markdown]
# ## A bug of your own
#
# **Exercise, new ground.** `museum.plant(function, right, wrong)` replaces a part of a function's source, and shows what the check says. Can you
# plant a mistake that the check finds and training hardly shows? And one that no gradient check can find? (Below is an example of neither. For the
# second you need two plants at once: one in the forward pass, and one in the backward pass.)

# %%
planted = museum.plant("softmax_backward", "dy - row_dots", "dy + row_dots")  # change this
with planted.planted():
    print(f"trained with it: {train():.1f} %, without {right:.1f} %")
planted

# %% [markdown]
# ## What is not in this museum
#
# A gradient check compares a backward pass with *its* forward pass. If both are wrong in the same way, as when the scale $1/\sqrt{D_h}$ is missing in
# both, it finds the right gradient of the wrong function. Such bugs are found by comparison with an independent reference: [gradient
# checks](../docs/gradient_checks.md) collects them.
#
# Check every layer when you write it: accuracy would not have shown you most of these bugs.

# %%
assert all(not exhibit.check().ok for exhibit in museum.EXHIBITS)  # the check finds every one
assert len(unnoticed) >= len(accuracies) / 2  # and training shows half of them at most
assert (
    right > 90
    and min(cosines.values()) < 0 < sorted(cosines.values())[1] == cosines[13]
    and 0 < len(missed) < len(museum.EXHIBITS)
)
assert not any(report.ok for report in impure) and not planted.check().ok
for name in ("gamma = 1", "zero bias"):
    assert lies[name][0] < 1e-7 < 1e-3 < lies[name][1]  # wrong, and passed by the careless check
assert lies["relative error alone"][1] < 1e-7 < 1e-3 < lies["relative error alone"][0]  # right, and condemned by it

# %% [markdown]
# Next: [training](09_training.ipynb), one step at a time.
