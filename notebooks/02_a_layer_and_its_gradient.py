# %% [markdown]
# # A layer and its gradient
#
# **The question.** A model is a function with many numbers in it, its parameters. In which direction should each of them move, so that the model
# errs less? And how do we know that the answer is right?
#
# We take the smallest layer there is, a matrix product, and the smallest task: is this handwritten digit a 3 or an 8? Each image is a row of 64
# pixels, the layer turns it into two scores, and the larger score wins.

# %%
import numpy as np

import tinyvit
from tinyvit import exercises
from tinyvit.gradcheck import numeric_gradient
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward
from tinyvit.ops.dropout import dropout, dropout_backward, dropout_mask
from tinyvit.ops.gelu import gelu, gelu_backward
from tinyvit.ops.softmax import softmax, softmax_backward
from tinyvit.viz.picture import BLUE, ORANGE, bare, new_figure, plain, show

rng = np.random.default_rng(0)


def threes_and_eights(images, digits):
    """Pixels [B, 64], and labels [B]: 0 for a three, 1 for an eight."""
    chosen = (digits == 3) | (digits == 8)
    return images[chosen].reshape(-1, 64).astype(np.float64), (digits[chosen] == 8).astype(int)


(pixels, labels), (test_pixels, test_labels) = [threes_and_eights(*part) for part in tinyvit.load_data("digits")]

figure = new_figure(7, 0.9)
for axes, image in zip(figure.subplots(1, 8), pixels[:8], strict=True):
    show(axes, image.reshape(8, 8, 1))
print("pixels", list(pixels.shape), "labels", labels[:8], "...")
figure

# %% [markdown]
# ## What a gradient is
#
# The layer is $y = x w + b$: the pixels $x$ $[B, 64]$ of $B$ images, the weights $w$ $[64, 2]$, one column for each class, and a bias $b$ $[2]$. How
# wrong it is, is said by one number, the **loss** $L$. Ours is the cross-entropy, minus the logarithm of the probability that the true label gets, as
# a mean over images; the formula comes further down. A layer that knows nothing gives both classes the same score, and its loss is $\ln 2$.
#
# Everything but $w$ and $b$ is fixed, so $L$ is a function of 130 numbers. Turn one of them, and $L$ draws a curve, which has a slope at the place
# where we stand. The **gradient** is the array of all 130 slopes. `dw` is its part for $w$, and has $w$'s shape: `dw[i, o]` says by how much $L$
# rises, for each unit by which `w[i, o]` rises.

# %%
p = {"w": np.zeros((64, 2)), "b": np.zeros(2)}
logits, c = linear(pixels, p)
loss, c_loss = cross_entropy(logits, labels)
_, g = linear_backward(cross_entropy_backward(1.0, c_loss), p, c)
print(f"loss {loss:.6f}, ln 2 = {np.log(2):.6f}")
print("dw", list(g["w"].shape), "db", list(g["b"].shape))


# %%
def loss_along(moves):
    """The loss, after some weights of class 1 have moved: {pixel: by how much}."""
    w = p["w"].copy()
    for pixel, move in moves.items():
        w[pixel, 1] += move
    return cross_entropy(linear(pixels, p | {"w": w})[0], labels)[0]


steepest = abs(g["w"][:, 1]).argsort()[::-1]
one, other = steepest[0], steepest[9]
moves = np.linspace(-3, 3, 41)
surface = [[loss_along({one: a, other: b}) for a in moves] for b in moves]

figure = new_figure(7.5, 3)
line, map_ = figure.subplots(1, 2)
line.plot(moves, [loss_along({one: a}) for a in moves], color=BLUE, label="the loss")
line.plot(moves[12:29], loss + g["w"][one, 1] * moves[12:29], "--", color=ORANGE, label=f"slope {g['w'][one, 1]:.3f}")
line.plot(0, loss, "o", color="black")
line.set(xlabel=f"weight of pixel {one}", ylabel="loss")
line.legend()
plain(line)
map_.contour(moves, moves, surface, levels=14, cmap="Blues_r")
downhill = -4 * g["w"][[one, other], 1]
map_.annotate("", downhill, (0, 0), arrowprops={"arrowstyle": "-|>", "color": ORANGE, "linewidth": 2})
map_.plot(0, 0, "o", color="black")
map_.set(
    xlabel=f"weight of pixel {one}", ylabel=f"weight of pixel {other}", title="against the gradient", aspect="equal"
)
figure

# %% [markdown]
# On the left, one weight turns, and the dashed line is the slope that `linear_backward` has computed. On the right, two weights turn, and lines
# connect places of equal loss, darker where it is lower. The arrow points against the gradient. It crosses the lines at right angles: no direction
# leads down faster.
#
# So the recipe is: move all weights against the gradient, by a small multiple of it, and again. The multiple is called the **learning rate**. How
# small is small? Three rates, each for 30 steps:


# %%
def train(rate, steps=30):
    """Gradient descent from zero: the losses, and the parameters after each step."""
    losses, path = [], [p]
    for _ in range(steps):
        y, c = linear(pixels, path[-1])
        loss, c_loss = cross_entropy(y, labels)
        _, g = linear_backward(cross_entropy_backward(1.0, c_loss), path[-1], c)
        path.append({name: path[-1][name] - rate * g[name] for name in g})
        losses.append(loss)
    return losses, path


runs = {rate: train(rate) for rate in (0.01, 0.1, 0.4)}
answers = linear(test_pixels, runs[0.1][1][-1])[0].argmax(axis=1)
accuracy = (answers == test_labels).mean()
print(f"learning rate 0.1: {accuracy:.1%} of {len(answers)} new images are right after 30 steps")

figure = new_figure(7.5, 2.4)
left, *panels = figure.subplots(1, 4, width_ratios=(2.4, 1, 1, 1))
for (rate, (losses, _)), style in zip(runs.items(), ("--", "-", ":"), strict=True):
    left.plot(losses, style, color=ORANGE if rate == 0.4 else BLUE, label=f"{rate:g}")
left.set(xlabel="step", ylabel="loss", ylim=(0, None))
left.legend(title="learning rate")
plain(left)
for axes, step in zip(panels, (1, 5, 30), strict=True):
    w = runs[0.1][1][step]["w"].reshape(8, 8, 2)
    axes.imshow(w[..., 1] - w[..., 0], cmap="gray")
    axes.set_title(f"step {step}")
    bare(axes)
figure

# %% [markdown]
# Too low a rate is slow. Too high a rate overshoots, since the slope is only true nearby: the loss jumps to nearly three times its start. Here it
# recovers, and even ends lowest; nothing promises that.
#
# On the right, the weights of class 1 less those of class 0, as a picture: a bright stroke on a light pixel speaks for an 8, on a dark one for a 3.
# From the first step on, the light ones lie where an 8 is closed on the left and a 3 is open.
#
# A Vision Transformer is trained in the same way, with more layers between and [a finer rule for the step](09_training.ipynb). What has to be
# understood is how `linear_backward` finds all slopes at once.
#
# ## The smallest code: the contract
#
# Every layer of tinyvit is a pair of functions. The forward pass takes an input and **parameters** `p`, and returns its result and a **cache** `c`:
# what the way back will need. The backward pass takes the gradient of the loss by the result, called the **upstream gradient** since it comes from
# above, and returns the gradients by the input and by the parameters:
#
#     y, c  = linear(x, p)
#     dx, g = linear_backward(dy, p, c)
#
# `dname` is always the gradient of the loss by `name`, and has its shape. `p`, `c` and `g` are trees: dictionaries and lists of arrays. `g` has
# exactly `p`'s keys and shapes. An operation without parameters, such as a softmax, has no `p` and no `g`. That is the whole contract.

# %%
x = rng.standard_normal((5, 4))  # N = 5 rows of I = 4 inputs
p = {"w": rng.standard_normal((4, 3)), "b": rng.standard_normal(3)}  # O = 3 outputs
y, c = linear(x, p)
dy = rng.standard_normal(y.shape)  # from above; here, any numbers will do
dx, g = linear_backward(dy, p, c)

arrays = {"x": x, "p/w": p["w"], "p/b": p["b"], "y": y, "c/x": c["x"], "dx": dx, "g/w": g["w"], "g/b": g["b"]}
for name, array in arrays.items():
    print(f"{name:4}", list(array.shape))

# %% [markdown]
# Why functions, where many libraries have classes? A class keeps the cache on itself, out of sight. As soon as a layer is used twice, the second
# use overwrites the first, and the gradient is wrong without a word. Here is one layer applied twice, in both styles, against a gradient that is
# measured. The gradient of its weights is the sum over both uses.


# %%
class Forgetful:
    """A layer that keeps its cache to itself."""

    def __init__(self, p):
        self.p = p

    def forward(self, x):
        y, self.c = linear(x, self.p)
        return y

    def backward(self, dy):
        return linear_backward(dy, self.p, self.c)


square = {"w": rng.standard_normal((4, 4)), "b": rng.standard_normal(4)}
r = rng.standard_normal(x.shape)

layer = Forgetful(square)
layer.forward(layer.forward(x))
d_middle, g_second = layer.backward(r)
_, g_first = layer.backward(d_middle)
of_class = g_first["w"] + g_second["w"]

y_middle, c_first = linear(x, square)
_, c_second = linear(y_middle, square)
d_middle, g_second = linear_backward(r, square, c_second)
_, g_first = linear_backward(d_middle, square, c_first)
of_functions = g_first["w"] + g_second["w"]

truth = numeric_gradient(  # moves each entry of the array a little, in place, and puts it back
    lambda: (r * linear(linear(x, square)[0], square)[0]).sum(), square["w"]
)
print(f"class:     error of dw {abs(of_class - truth).max():.1e}")
print(f"functions: error of dw {abs(of_functions - truth).max():.1e}")

# %% [markdown]
# ## The derivation, and a check after each line
#
# To check a derivation we need slopes that owe nothing to it. A slope can be measured: move one entry by a small $h$, up and down, and see how much
# the result changes.


# %%
def slope(f, x, index, h=1e-5):
    step = np.zeros_like(x)
    step[index] = h
    return (f(x + step) - f(x - step)) / (2 * h)


def slopes(f, x, h=1e-5):
    """The slopes of f by every entry of x; f may return a number or an array."""
    found = np.array([slope(f, x, index, h) for index in np.ndindex(x.shape)])
    return found.reshape(x.shape + found.shape[1:])


def compare(line, derived, measured):
    print(f"{line:42} largest difference {abs(derived - measured).max():.1e}")


# %% [markdown]
# **The layer in index form.** Let $n$ count the rows, $i$ the inputs and $o$ the outputs:
#
# $$ y_{no} = \sum_i x_{ni}\, w_{io} + b_o $$
#
# **Line 1: what does one input do?** Input $x_{ni}$ stands in the sum of row $n$, with the factor $w_{io}$, and in no other row. With
# $\delta_{mn}$, which is 1 for $m = n$ and else 0,
#
# $$ \frac{\partial y_{mo}}{\partial x_{ni}} = \delta_{mn}\, w_{io}. $$

# %%
derived = np.einsum("nm,io->nimo", np.eye(5), p["w"])  # all 5 x 4 inputs by all 5 x 3 outputs
measured = slopes(lambda x: linear(x, p)[0], x)
print("all derivatives", list(measured.shape))
compare("line 1, delta_mn w_io", derived, measured)

# %% [markdown]
# **Line 2: the chain rule.** The loss sees $x$ only through $y$. If $x_{ni}$ moves a little, each $y_{mo}$ moves by its derivative, and $L$ moves
# by $dy_{mo} = \partial L / \partial y_{mo}$ times that. All these ways add up:
#
# $$ dx_{ni} = \sum_{m} \sum_{o} dy_{mo}\, \frac{\partial y_{mo}}{\partial x_{ni}} = \sum_o dy_{no}\, w_{io} $$
#
# **Line 3: as matrices.** The sum runs over the second index of both, so $w$ is transposed: $dx = dy\, w^\top$.
#
# Any loss will do for the check, if its gradient by $y$ is known. The simplest is $L = \sum_{n} \sum_{o} r_{no}\, y_{no}$ with fixed numbers $r$:
# its gradient by $y$ is $r$. We take `dy` for $r$.

# %%
loss_of_x = slopes(lambda x: (dy * linear(x, p)[0]).sum(), x)
compare("line 2, sum over m and o", np.einsum("mo,nimo->ni", dy, derived), loss_of_x)
compare("line 2, sum over o", np.einsum("no,io->ni", dy, p["w"]), loss_of_x)
compare("line 3, dy w^T", dy @ p["w"].T, loss_of_x)

# %% [markdown]
# **Line 4: the weights.** $w_{io}$ is used by every row, so its gradient is a sum over rows:
#
# $$ dw_{io} = \sum_n x_{ni}\, dy_{no} \;\; \Rightarrow \;\; dw = x^\top dy $$
#
# **Line 5: the bias.** $b_o$ is added to every row, with the factor 1:
#
# $$ db_{o} = \sum_n dy_{no} $$

# %%
loss_of_w = slopes(lambda w: (dy * linear(x, p | {"w": w})[0]).sum(), p["w"])
loss_of_b = slopes(lambda b: (dy * linear(x, p | {"b": b})[0]).sum(), p["b"])
compare("line 4, x^T dy", x.T @ dy, loss_of_w)
compare("line 5, sum of dy over rows", dy.sum(axis=0), loss_of_b)

# %% [markdown]
# Three formulas, and the code is these formulas (`column_sums` is the sum over rows). The reshapes are there because in a Transformer $x$ is
# $[B, T, I]$, images by tokens by inputs; to this layer they are $B \cdot T$ rows.

# %%
print(exercises.source(linear))
print()
print(exercises.source(linear_backward))

# %% [markdown]
# ## The loss and its gradient
#
# For one image the layer gives scores, called **logits**, $x_1, \ldots, x_K$, one for each of $K$ classes. The softmax turns them into
# probabilities $s_k = e^{x_k} / \sum_j e^{x_j}$. (A constant added to all logits cancels in the fraction, so code may first subtract the largest: then
# no exponential overflows.) The target $t_k$ is 1 for the true class and 0 for the others. The cross-entropy $L$ is the mean, over the batch of $B$
# images, of each image's
#
# $$ \ell = - \sum_k t_k \ln s_k, \qquad \ln s_k = x_k - \ln \sum_j e^{x_j}. $$
#
# **Line 1.** The derivative of $x_k$ by $x_i$ is $\delta_{ik}$. The derivative of $\ln \sum_j e^{x_j}$ by $x_i$ is
# $e^{x_i} / \sum_j e^{x_j} = s_i$. So $\partial \ln s_k / \partial x_i = \delta_{ik} - s_i$.
#
# **Line 2.** Weighted by $-t_k$ and summed over $k$, with $\sum_k t_k = 1$: $\;\partial \ell / \partial x_i = s_i - t_i$.
#
# **Line 3.** The mean over the batch divides by $B$: $\;dx = (s - t) / B$.

# %%
logits, targets = rng.standard_normal((3, 4)), np.array([2, 0, 3])  # B = 3 images, K = 4 classes
s, t = softmax(logits)[0], np.eye(4)[targets]

compare("line 1, delta_ik - s_i", np.eye(4) - s[0, :, None], slopes(lambda x: np.log(softmax(x)[0]), logits[0]))
compare("line 2, s - t", s[0] - t[0], slopes(lambda x: -(t[0] * np.log(softmax(x)[0])).sum(), logits[0]))
compare("line 3, (s - t) / B", (s - t) / 3, slopes(lambda x: cross_entropy(x, targets)[0], logits))
compare("the package", cross_entropy_backward(1.0, cross_entropy(logits, targets)[1]), (s - t) / 3)

# %% [markdown]
# What the model says, less what is true: that is the whole gradient of a classifier's loss. The $1/B$ stands here, once. All layers below it *sum*
# over the batch; one that took a mean would divide twice. ([A page of its own](../docs/derivations/cross_entropy.md) has the derivation with label
# smoothing.)
#
# ## The chain rule is composition
#
# Layers are put one behind the other, and their backward passes one behind the other in reverse: what one calls `dx` is `dy` to the one below. Here
# is a model of two layers, with a GELU between them (a smooth bend, [explained later](06_layer_norm_and_gelu.ipynb)), down to the loss. The second
# function is the first, read from bottom to top.


# %%
def two_layers(x, labels, p):
    c = {}
    x, c["first"] = linear(x, p["first"])
    x, c["gelu"] = gelu(x)
    x, c["second"] = linear(x, p["second"])
    loss, c["loss"] = cross_entropy(x, labels)
    return loss, c


def two_layers_backward(dloss, p, c):
    g = {}
    dx = cross_entropy_backward(dloss, c["loss"])
    dx, g["second"] = linear_backward(dx, p["second"], c["second"])
    dx = gelu_backward(dx, c["gelu"])
    dx, g["first"] = linear_backward(dx, p["first"], c["first"])
    return dx, g


def random_linear(fan_in, fan_out):
    return {"w": rng.standard_normal((fan_in, fan_out)), "b": rng.standard_normal(fan_out)}


x = rng.standard_normal((3, 5))
two = {"first": random_linear(5, 6), "second": random_linear(6, 4)}
composed = tinyvit.gradcheck(two_layers, two_layers_backward, x, targets, two)
print(composed)

# %% [markdown]
# A composite has the same form as a leaf: a pair of functions over trees with the same keys. So it can be a part of something larger. The
# [whole model](07_the_vision_transformer.ipynb) is built like this, and nothing else.
#
# ## What a gradient check is
#
# The table above compares every entry of every gradient with a slope that was measured. Two things deserve a closer look: what is measured, and how
# well.
#
# **What.** A layer's result is an array, and a slope belongs to a number. So draw a random array $r$ of $y$'s shape, and look at $L = \sum r\, y$,
# summed over all entries. Its gradient by $y$ is $r$, so handing $r$ to the backward pass must return the gradient of $L$ by the input, which can
# be measured. One backward pass gives all entries; measuring takes several forward passes for each. That is why models are trained with the one and
# checked with the other.
#
# **How well.** The slope over a finite step $h$ is not the slope at a point. By Taylor's formula, with derivatives $f', f'', f'''$,
#
# $$ \frac{f(x + h) - f(x - h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + \ldots $$
#
# A smaller step is better, until rounding takes over: the two values of $f$ are nearly equal, each is off by about $\varepsilon |f|$
# ($\varepsilon = 10^{-16}$ in float64, $10^{-7}$ in float32), and dividing by $2h$ magnifies that. Measured:

# %%
h_all = 10.0 ** np.arange(-9, -0.4, 0.5)
x64 = rng.standard_normal((3, 7))
r64 = rng.standard_normal(x64.shape)
exact = softmax_backward(r64, softmax(x64)[1])


def error(found):
    return abs(found - exact).max() / abs(exact).max()


def second_order(dtype):
    x, r = x64.astype(dtype), r64.astype(dtype)
    return [error(slopes(lambda x: (r * softmax(x)[0]).sum(), x, dtype(h))) for h in h_all]


errors = {
    "float32": second_order(np.float32),
    "float64": second_order(np.float64),
    "float64, fourth order": [error(numeric_gradient(lambda: (r64 * softmax(x64)[0]).sum(), x64, h)) for h in h_all],
}
figure = new_figure(7, 3.2)
axes = figure.subplots()
for (name, values), style in zip(errors.items(), ("^:", "s--", "o-"), strict=True):
    axes.plot(h_all, values, style, color=ORANGE if name == "float32" else BLUE, markersize=4, label=name)
axes.axhline(1e-7, color="black", linewidth=0.8)
axes.text(0.3, 1.3e-7, "allowed", ha="right", va="bottom")
axes.set(xscale="log", yscale="log", xlabel="step h", ylabel="error / largest entry", ylim=(1e-14, 10))
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plain(axes)
for name, values in errors.items():
    print(f"{name:22} best error {min(values):.0e}, at h = {h_all[np.argmin(values)]:.0e}")
figure

# %% [markdown]
# Each curve is a V: rounding on the left, falling as $1/h$, and the finite step on the right, rising as $h^2$. In float32 the best that can be had
# is a few digits, which would hide many mistakes; in float64 there are ten. (At the far left of float32 the step is lost altogether: $x + h$ rounds
# to $x$.) `tinyvit.gradcheck` uses four points, so that the $h^2$ term cancels too, and what remains rises as $h^4$; its step is $h = 10^{-4}$,
# left of the best one here, since a function that bends more sharply has its right branch further left. So a gradient check is done in float64, and
# an error above $10^{-7}$ is a mistake.
#
# ## Reading the report

# %%
x = rng.standard_normal((2, 3, 4))
p = random_linear(4, 5)
report = tinyvit.gradcheck(linear, linear_backward, x, p)
print(report)

# %% [markdown]
# One line for each array that has a gradient. *entries*: how many were moved, all of them. *worst error*: the largest difference from the measured
# slope, over all entries, divided by the larger of the two numbers, or by 0.01 where both are smaller (the reason comes below). *analytic* and
# *numeric*: what the backward pass said and what was measured, at that worst entry, and *at* is its index. The last line is the verdict. `report.ok`
# is True or False.
#
# ## Break it
#
# Forget that $w$ is transposed. If $w$ is not square, NumPy refuses at once. That is luck, and it lasts until $I = O$, as in every projection of an
# attention layer:


# %%
def not_transposed(dy, p, c):
    _, g = linear_backward(dy, p, c)
    return dy @ p["w"], g


try:
    not_transposed(rng.standard_normal((2, 3, 5)), p, {"x": x})
except ValueError as refused:
    print("[4, 5]:", str(refused).split(":")[0], "refuses these shapes")

square = random_linear(4, 4)
broken = tinyvit.gradcheck(linear, not_transposed, x, square)
print("[4, 4]: the shapes fit")
print(broken)

# %% [markdown]
# The parameters' gradients are right and the input's is wrong, and now we know where to look. When a gradient is wrong by a constant factor,
# `analytic / numeric` says which.
#
# ## How a check lies
#
# A gradient check can pass wrong code, and it can condemn code that is right. Seven ways, each run. The dictionary `lies` collects, for the first
# six, the error that a careless check reports, and an honest one.
#
# **An upstream gradient of ones.** The rows of a softmax sum to 1, whatever the input. So with $r = 1$ everywhere, $L$ is constant and its gradient
# is zero, and a backward pass that returns nothing but zeros passes:

# %%
lies = {}


def lie(name, careless, honest):
    lies[name] = careless, honest
    print(f"careless check: error {careless:.1e}     honest check: error {honest:.1e}")


def silent_backward(dy, c):
    return np.zeros_like(dy)


ones = np.ones(x.shape)
y, c = softmax(x)
careless = abs(silent_backward(ones, c) - slopes(lambda x: (ones * softmax(x)[0]).sum(), x)).max()
lie("ones upstream", careless, tinyvit.gradcheck(softmax, silent_backward, x).worst_error)

# %% [markdown]
# **Parameters as they start.** LayerNorm multiplies by a parameter $\gamma$ (gamma), which starts at 1. A backward pass that forgets to multiply by
# it is right, until training moves $\gamma$. Check with random parameters, not with fresh ones:


# %%
def forgets_gamma(dy, p, c):
    return layer_norm_backward(dy, p | {"gamma": np.ones(4)}, c)


fresh = {"gamma": np.ones(4), "beta": np.zeros(4)}
random = {"gamma": rng.standard_normal(4), "beta": rng.standard_normal(4)}
careless, honest = (tinyvit.gradcheck(layer_norm, forgets_gamma, x, p) for p in (fresh, random))
lie("gamma = 1", careless.worst_error, honest.worst_error)

# %% [markdown]
# **A bias that starts at zero** does the same. Here the backward pass computes the GELU's input again, and leaves out the bias:


# %%
def bent(x, p):
    c = {}
    y, c["linear"] = linear(x, p)
    y, c["gelu"] = gelu(y)
    return y, c


def forgets_bias(dy, p, c):
    _, c_gelu = gelu(linear(c["linear"]["x"], {"w": p["w"]})[0])
    return linear_backward(gelu_backward(dy, c_gelu), p, c["linear"])


careless, honest = (tinyvit.gradcheck(bent, forgets_bias, x, p) for p in (square | {"b": np.zeros(4)}, square))
lie("zero bias", careless.worst_error, honest.worst_error)

# %% [markdown]
# **A symmetric matrix.** If $w$ is the unit matrix, the missing transpose above is no mistake, and the check passes it. And axes of equal size hide a
# wrong shape: a `dw` that is transposed is refused at once where $w$ is not square, and found only by its numbers where it is. So every axis gets a
# size of its own, and every matrix random entries.


# %%
def dw_transposed(dy, p, c):
    dx, g = linear_backward(dy, p, c)
    return dx, g | {"w": g["w"].T}


careless = tinyvit.gradcheck(linear, not_transposed, x, {"w": np.eye(4), "b": square["b"]})
lie("w symmetric", careless.worst_error, tinyvit.gradcheck(linear, not_transposed, x, square).worst_error)
for shape in ((4, 4), (4, 5)):
    row = tinyvit.gradcheck(linear, dw_transposed, x, random_linear(*shape)).rows[1]
    print(f"dw transposed, {list(shape)}:", row.problem or f"error {row.error:.1f}")

# %% [markdown]
# **A batch of one.** A bias's gradient is a *sum* over rows. Over one row, a mean is the same:


# %%
def mean_for_sum(dy, p, c):
    dx, g = linear_backward(dy, p, c)
    return dx, g | {"b": dy.reshape(-1, dy.shape[-1]).mean(axis=0)}


careless, honest = (tinyvit.gradcheck(linear, mean_for_sum, part, square) for part in (x[:1, :1], x))
lie("batch of one", careless.worst_error, honest.worst_error)
wrong = honest.rows[-1]
print(f"analytic / numeric = {wrong.analytic / wrong.numeric:.6f}, one over {x[..., 0].size} rows")

# %% [markdown]
# **A relative error alone.** This one condemns code that is right. Some gradients are exactly zero: a constant added to a whole row of scores does
# not change their softmax, so the gradient by that constant is zero. Computed, it is a rounding error, and a rounding error differs from zero, or
# from another one, by 100 %. `gradcheck` therefore accepts any difference below `atol`, $10^{-9}$: it divides by $10^{-9} / 10^{-7} = 0.01$ at least.
# First with `atol` all but switched off, then as it is:


# %%
def shifted_softmax(x, shift):
    return softmax(x + shift)


def shifted_softmax_backward(dy, c):
    dx = softmax_backward(dy, c)
    return dx, dx.sum(axis=-1, keepdims=True)


shift = rng.standard_normal((2, 3, 1))
careless, honest = (
    tinyvit.gradcheck(shifted_softmax, shifted_softmax_backward, x, shift, atol=atol) for atol in (1e-30, 1e-9)
)
lie("relative error alone", careless.worst_error, honest.worst_error)
print(f"analytic {careless.rows[1].analytic:.1e}, numeric {careless.rows[1].numeric:.1e}")

# %% [markdown]
# ([Heads](04_heads.ipynb) shows such a parameter in a Vision Transformer, the bias of the keys.)
#
# **A function that is not pure.** If two calls with the same input give two results, differences measure nothing. Dropout, which sets random
# entries to zero, must be handed its mask and not draw one. And a function that changes its own argument spoils every later call. `gradcheck`
# refuses both:


# %%
def draws_a_mask(x):
    return dropout(x, dropout_mask(rng, x.shape, 0.5, x.dtype))


def changes_x(x):
    x -= x.max(axis=-1, keepdims=True)
    return softmax(x)


mask = dropout_mask(rng, x.shape, 0.5, x.dtype)
print(tinyvit.gradcheck(draws_a_mask, dropout_backward, x).problem)
print(tinyvit.gradcheck(changes_x, softmax_backward, x).problem)
print("with its mask handed in:", tinyvit.gradcheck(lambda x: dropout(x, mask), dropout_backward, x).ok)

# %% [markdown]
# All that gave a number, beside each other. Below $10^{-7}$ a check says yes. The careless ones say yes to five mistakes, and no to the one piece
# of code that is right.

# %%
for name, (careless, honest) in lies.items():
    verdicts = ["yes" if error < 1e-7 else "no" for error in (careless, honest)]
    print(f"{name:22} careless {careless:8.1e} {verdicts[0]:4} honest {honest:8.1e} {verdicts[1]}")

# %% [markdown]
# So an honest check has a random upstream gradient, random parameters, axes of different sizes above 1, float64, both tolerances, and a pure
# function. Every layer of tinyvit is checked like that; `tinyvit gradcheck` prints the table, and the [museum](08_museum_of_gradient_bugs.ipynb)
# shows more mistakes than these. The rules and the reasons on one page: [gradient checks](../docs/gradient_checks.md).
#
# ## Exercises
#
# Write the bodies. `exercises.check` says whether the answer is right, and if it is not, what kind of mistake it looks like.
# `exercises.hint("linear")` gives a first hint, `exercises.hint("linear", 2)` a second; `print(exercises.solution("linear"))` shows how the package
# does it. Loops are as welcome as matrix products.


# %%
def my_linear(x, p):
    """x [..., I], p {"w": [I, O], "b": [O]} -> y [..., O] and the cache {"x": x}: y = x w + b. There may be no "b"."""


exercises.check("linear", my_linear)


# %%
def my_linear_backward(dy, p, c):
    """dy [..., O], p as above and the cache {"x": [..., I]} -> dx [..., I] and g, with p's keys and shapes."""


exercises.check("linear_backward", my_linear_backward)


# %%
def my_cross_entropy(logits, labels, smoothing=0.0):
    """The mean over the batch of -sum_k t_k ln s_k.

    logits [B, K] with softmax s, labels [B] -> loss, and the cache {"probabilities": s, "targets": t}, both [B, K].
    Without smoothing, t is 1 for the true class and 0 for the others; with it, t is (1 - smoothing) times that, plus smoothing / K.
    Logits of 10,000 are no reason to overflow.
    """


exercises.check("cross_entropy", my_cross_entropy)


# %%
def my_cross_entropy_backward(dloss, c):
    """The number dloss and the cache {"probabilities": [B, K], "targets": [B, K]} -> dlogits [B, K]."""


exercises.check("cross_entropy_backward", my_cross_entropy_backward)

# %% [markdown]
# ## What we know now
#
# A gradient is an array of slopes. A layer is a pair of functions; the chain rule puts their backward passes in reverse order. Nobody has to be
# believed: every slope can be measured.

# %%
assert runs[0.1][0][-1] < 0.2 and accuracy > 0.95 and max(runs[0.4][0]) > np.log(2)
assert abs(of_functions - truth).max() < 1e-9 < 1 < abs(of_class - truth).max()
assert composed.ok and report.ok and not broken.ok
assert [row.error < 1e-7 for row in broken.rows] == [False, True, True]
assert min(errors["float32"]) > 1e-5 and min(errors["float64"]) < 1e-9 > min(errors["float64, fourth order"])
condemned = lies.pop("relative error alone")
assert condemned[0] > 1e-7 > condemned[1]
assert all(careless < 1e-7 < honest for careless, honest in lies.values())

# %% [markdown]
# Next: [attention](03_attention.ipynb), or how a patch asks the others.
