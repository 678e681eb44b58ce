# %% [markdown]
# # A layer and its gradient
#
# **The question.** A model is a function with many numbers in it, its parameters. In which direction should each of them move, so that the model
# errs less? And how do we know that the answer is right?

# %%
from tinyvit.viz import overview

overview("tokens", "head", "loss", backward=True)

# %% [markdown]
# In colour: a matrix product (tokens, head), the loss, and the way back. Our task is small: is this handwritten digit a 3 or an 8? Each image is a
# row of 64 pixels, the layer turns it into two scores, and the larger score wins.

# %%
import numpy as np

import tinyvit
from tinyvit import exercises
from tinyvit.gradcheck import numeric_gradient
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.ops.cross_entropy import cross_entropy, cross_entropy_backward
from tinyvit.ops.gelu import gelu, gelu_backward
from tinyvit.ops.sigmoid import sigmoid
from tinyvit.ops.softmax import softmax, softmax_backward
from tinyvit.viz import TreeView
from tinyvit.viz.computation_graph import computation_graph
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
# The layer is $y = xw + b$: the pixels $x$ $[B, 64]$ of $B$ images, the weights $w$ $[64, 2]$, one column for each class, and a bias $b$ $[2]$. One
# number says how wrong it is, the **loss** $\mathcal{L}$. Ours is the cross-entropy, minus the logarithm of the probability that the true label gets,
# as a mean over images. (The probabilities are the softmax of the two scores; both formulas come below.) A layer that knows nothing gives both
# classes the same score, and its loss is $\ln 2$.
#
# Everything but $w$ and $b$ is fixed. Change one of their numbers, and $\mathcal{L}$ draws a curve, which has a slope where we stand. A slope can be
# measured: move the number by a small $h$, up and down, and see how much $\mathcal{L}$ changes. The **gradient** is the array of all slopes. `dw` is
# its part for $w$, and has $w$'s shape.

# %%
layer = {"w": np.zeros((64, 2)), "b": np.zeros(2)}


def loss_of(w):
    """The loss with these weights."""
    return cross_entropy(linear(pixels, layer | {"w": w})[0], labels)[0]


def slope(f, x, index, h=1e-5):
    """How fast f rises with one entry of x; f may return a number or an array."""
    step = np.zeros_like(x)
    step[index] = h
    return (f(x + step) - f(x - step)) / (2 * h)


def slopes(f, x, h=1e-5):
    """The slopes of f by every entry of x."""
    found = np.array([slope(f, x, index, h) for index in np.ndindex(x.shape)])
    return found.reshape(x.shape + found.shape[1:])


loss, dw = loss_of(layer["w"]), slopes(loss_of, layer["w"])
print(f"loss {loss:.6f}, ln 2 = {np.log(2):.6f}")
print(
    f"dw {list(dw.shape)}: with the bias, the loss is a function of {sum(part.size for part in layer.values())} numbers"
)


# %%
def loss_along(moves):
    """The loss, after some weights of class 1 have moved: {pixel: by how much}."""
    w = layer["w"].copy()
    for pixel, move in moves.items():
        w[pixel, 1] += move
    return loss_of(w)


steepest = abs(dw[:, 1]).argsort()[::-1]
one, other = steepest[0], steepest[9]  # two pixels with unlike slopes
moves = np.linspace(-3, 3, 41)
surface = [[loss_along({one: a, other: b}) for a in moves] for b in moves]

figure = new_figure(7.5, 3)
line, map_ = figure.subplots(1, 2)
line.plot(moves, [loss_along({one: a}) for a in moves], color=BLUE, label="the loss")
line.plot(moves[12:29], loss + dw[one, 1] * moves[12:29], "--", color=ORANGE, label=f"slope {dw[one, 1]:.3f}")
line.plot(0, loss, "o", color="black")
line.set(xlabel=f"weight of pixel {one}", ylabel="loss")
line.legend()
plain(line)
map_.contour(
    moves, moves, surface, levels=loss + 0.15 * np.arange(-1, 13), cmap="Blues_r"
)  # one of them through the dot
map_.annotate("", -4 * dw[[one, other], 1], (0, 0), arrowprops={"arrowstyle": "-|>", "color": ORANGE, "linewidth": 2})
map_.plot(0, 0, "o", color="black")
map_.set(
    xlabel=f"weight of pixel {one}", ylabel=f"weight of pixel {other}", title="against the gradient", aspect="equal"
)
figure

# %% [markdown]
# On the left, one weight varies, and the dashed line has the slope that was measured. On the right, two weights vary, and lines connect places of
# equal loss, darker where it is lower. The arrow points against the gradient. It leaves its line at a right angle, and no direction leads down
# faster: a small step $e$ changes the loss by $dw \cdot e$. That is 0 along the lines, and $|dw \cdot e| \le |dw|\,|e|$ (Cauchy and Schwarz), equal
# only along $dw$.
#
# So the recipe is: move all weights against the gradient, by a small multiple of it, the **learning rate**, and again. In the next cell
# `linear_backward` and `cross_entropy_backward` find all slopes at once; the rest of this notebook says how. Three rates, 0.01, 0.1 and 0.4: which
# ends lowest after 30 steps?


# %%
def train(rate, steps=30):
    """Gradient descent from zero: the losses, and the parameters after each step."""
    losses, path = [], [layer]
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
print(f"learning rate 0.4: the loss jumps to {max(runs[0.4][0]) / runs[0.4][0][0]:.1f} times its start")
eight_less_three = pixels[labels == 1].mean(axis=0) - pixels[labels == 0].mean(axis=0)

figure = new_figure(7.5, 2)
left, *panels = figure.subplots(1, 5, width_ratios=(2.4, 1, 1, 1, 1))
for (rate, (losses, _)), style in zip(runs.items(), ("--", "-", ":"), strict=True):
    left.plot(losses, style, color=ORANGE if rate == 0.4 else BLUE, label=f"{rate:g}")
left.set(xlabel="step", ylabel="loss", ylim=(0, None))
left.legend(title="learning rate")
plain(left)
pictures = {"mean 8 less\nmean 3": eight_less_three}
for step in (1, 5, 30):
    w = runs[0.1][1][step]["w"]
    pictures[f"weights,\nstep {step}"] = w[:, 1] - w[:, 0]
for axes, (title, weights) in zip(panels, pictures.items(), strict=True):
    axes.imshow(weights.reshape(8, 8), cmap="gray")
    axes.set_title(title, fontsize=9)
    bare(axes)
figure

# %% [markdown]
# Too low a rate is slow. Too high a rate overshoots, since the slope is only true nearby. Here it recovers, and even ends lowest; nothing promises
# that. On the right, the weights of class 1 less those of class 0, as a picture: bright where ink speaks for an 8. They begin almost as the mean 8
# less the mean 3.
#
# ## The contract
#
# Every layer of tinyvit is a pair of functions, which keep to one contract. The forward pass takes an input and **parameters** `p`, and returns its
# result and a **cache** `c`, what the way back will need. The backward pass takes the gradient of the loss by the result, the **upstream gradient**
# `dy`, which comes from above, where the loss is, and returns the gradients by the input and by the parameters:
#
#     y, c  = linear(x, p)
#     dx, g = linear_backward(dy, p, c)
#
# `dname` is always the gradient of the loss by `name`, and has its shape; `g` has exactly `p`'s keys and shapes. An operation without parameters,
# such as a softmax, has no `p` and no `g`.

# %%
x = rng.standard_normal((5, 4))  # N = 5 rows of I = 4 inputs
small = {"w": rng.standard_normal((4, 3)), "b": rng.standard_normal(3)}  # O = 3 outputs
y, c = linear(x, small)
dy = rng.standard_normal(y.shape)  # from above; here, any numbers will do
dx, g = linear_backward(dy, small, c)

TreeView(x=x, p=small, y=y, c=c, dx=dx, g=g)

# %% [markdown]
# ## The derivation, and a check after each line
#
# **The layer in index form.** Let $n$ count the rows, $i$ the inputs and $o$ the outputs:
#
# $$ y_{no} = \sum_i x_{ni}\,w_{io} + b_o $$
#
# **Line 1: what does one input do?** Input $x_{ni}$ stands in the sum of row $n$, with the factor $w_{io}$, and in no other row. With
# $\delta_{mn}$, which is 1 for $m=n$ and else 0,
#
# $$ \frac{\partial y_{mo}}{\partial x_{ni}} = \delta_{mn}\,w_{io}. $$


# %%
def compare(line, derived, measured):
    print(f"{line:42} largest difference {abs(derived - measured).max():.1e}")


y_by_x = np.einsum("nm,io->nimo", np.eye(5), small["w"])  # every product of two entries, on the axes that are named
print("all 5 x 4 inputs by all 5 x 3 outputs", list(y_by_x.shape))
compare("line 1, delta_mn w_io", y_by_x, slopes(lambda x: linear(x, small)[0], x))

# %% [markdown]
# **Line 2: the chain rule.** The loss sees $x$ only through $y$. If $x_{ni}$ moves a little, each $y_{mo}$ moves by its derivative, and $\mathcal{L}$
# moves by $dy_{mo} = \partial\mathcal{L}/\partial y_{mo}$ times that:
#
# $$ dx_{ni} = \sum_m\sum_o dy_{mo}\,\frac{\partial y_{mo}}{\partial x_{ni}} = \sum_o dy_{no}\,w_{io} $$
#
# **Line 3: as matrices.** The sum runs over the second index of both, so $w$ is transposed: $dx = dy\,w^\top$.
#
# Any loss will do for the check, if its gradient by $y$ is known. The simplest is $\mathcal{L} = \sum_n\sum_o dy_{no}\,y_{no}$ with fixed numbers
# $dy$.

# %%
loss_by_x = slopes(lambda x: (dy * linear(x, small)[0]).sum(), x)
compare("line 2, sum over m and o", np.einsum("mo,nimo->ni", dy, y_by_x), loss_by_x)
compare("line 2, sum over o", np.einsum("no,io->ni", dy, small["w"]), loss_by_x)
compare("line 3, dy w^T", dy @ small["w"].T, loss_by_x)

# %% [markdown]
# **Line 4: the weights.** $w_{io}$ stands in output $o$ of every row, with the factor $x_{ni}$:
# $\partial y_{nq}/\partial w_{io} = x_{ni}\,\delta_{oq}$. The sum over all outputs leaves one over rows:
#
# $$ dw_{io} = \sum_n\sum_q dy_{nq}\,x_{ni}\,\delta_{oq} = \sum_n x_{ni}\,dy_{no} \;\Rightarrow\; dw = x^\top dy $$
#
# **Line 5: the bias.** $b_o$ is added to every row, with the factor 1: $\;db_o = \sum_n dy_{no}$

# %%
y_by_w = np.einsum("ni,oq->ionq", x, np.eye(3))
loss_by_w = slopes(lambda w: (dy * linear(x, small | {"w": w})[0]).sum(), small["w"])
loss_by_b = slopes(lambda b: (dy * linear(x, small | {"b": b})[0]).sum(), small["b"])
compare("line 4, x_ni delta_oq", y_by_w, slopes(lambda w: linear(x, small | {"w": w})[0], small["w"]))
compare("line 4, x^T dy", x.T @ dy, loss_by_w)
compare("line 5, sum of dy over rows", dy.sum(axis=0), loss_by_b)

# %% [markdown]
# If all axes differ, only one product of $dy$ and $w$ has $x$'s shape, so the shapes tell which it is. Now write the backward pass ([how exercises
# are marked](00_start_here.ipynb)). In a Transformer $x$ is $[B, T, I]$, images by tokens by inputs: the product sees $B \cdot T$ rows.


# %%
def my_linear_backward(dy, p, c):
    """dy [..., O], p {"w": [I, O], "b": [O]} and the cache {"x": [..., I]} -> dx [..., I] and g, with p's keys and shapes.

    There may be several leading axes: flatten them first, x.reshape(-1, I). There may be no "b".
    """


exercises.check("linear_backward", my_linear_backward)

# %%
print(exercises.source(linear), exercises.source(linear_backward), sep="\n\n\n")

# %% [markdown]
# Why functions, and not a class that keeps its cache? If such a layer is used twice, the second cache overwrites the first. Here are both styles,
# against slopes that are measured; by the chain rule, as in line 2, the gradient of the weights is the sum over both uses.


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


twice = {"w": rng.standard_normal((4, 4)), "b": rng.standard_normal(4)}
d_out = rng.standard_normal(x.shape)

forgetful = Forgetful(twice)
forgetful.forward(forgetful.forward(x))
d_middle, g_second = forgetful.backward(d_out)
_, g_first = forgetful.backward(d_middle)
of_class = g_first["w"] + g_second["w"]

y_middle, c_first = linear(x, twice)
_, c_second = linear(y_middle, twice)
d_middle, g_second = linear_backward(d_out, twice, c_second)
_, g_first = linear_backward(d_middle, twice, c_first)
of_functions = g_first["w"] + g_second["w"]

truth = slopes(lambda w: (d_out * linear(linear(x, twice | {"w": w})[0], twice | {"w": w})[0]).sum(), twice["w"])
print(f"class:     error of dw {abs(of_class - truth).max():.1e}")
print(f"functions: error of dw {abs(of_functions - truth).max():.1e}")

# %% [markdown]
# ## The loss and its gradient
#
# The two scores are **logits**; let there be $K$ of them, $a_1, \ldots, a_K$, one for each class. The softmax turns them into probabilities
# $s_k = e^{a_k} / \sum_j e^{a_j}$. The target $t_k$ is 1 for the true class and 0 for the others. The cross-entropy $\mathcal{L}$ is the mean, over
# the batch of $B$ images, of each image's
#
# $$ \ell = -\sum_k t_k \ln s_k, \qquad \ln s_k = a_k - \ln\sum_j e^{a_j}. $$
#
# Logits may be large, and then an exponential overflows. What can be subtracted from all logits of an image, and changes nothing?


# %%
def my_cross_entropy(logits, labels, smoothing=0.0):
    """The mean over the batch of -sum_k t_k ln s_k.

    logits [B, K] with softmax s, labels [B] -> loss, and the cache {"probabilities": s, "targets": t}, both [B, K].
    Without smoothing, t is 1 for the true class and 0 for the others; with it, t is (1 - smoothing) times that, plus smoothing / K.
    Logits of 10,000 are no reason to overflow.
    """


exercises.check("cross_entropy", my_cross_entropy)

# %% [markdown]
# **Line 1.** The derivative of $a_k$ by $a_i$ is $\delta_{ik}$, that of $\ln\sum_j e^{a_j}$ is $e^{a_i} / \sum_j e^{a_j} = s_i$. So
# $\partial \ln s_k / \partial a_i = \delta_{ik} - s_i$.
#
# **Line 2.** Weighted by $-t_k$ and summed over $k$, where the targets sum to 1:
#
# $$ \frac{\partial\ell}{\partial a_i} = -\sum_k t_k\,(\delta_{ik} - s_i) = -t_i + s_i\sum_k t_k = s_i - t_i $$
#
# **Line 3.** The mean over the batch divides by $B$, the upstream gradient `dloss` multiplies; it is 1 at the end of a model:
# $\;da = \mathtt{dloss}\,(s - t)/B$.

# %%
logits, targets = rng.standard_normal((3, 4)), np.array([2, 0, 3])  # B = 3 images, K = 4 classes
s, t = softmax(logits)[0], np.eye(4)[targets]

compare("line 1, delta_ik - s_i", np.eye(4) - s[0, :, None], slopes(lambda a: np.log(softmax(a)[0]), logits[0]))
compare("line 2, s - t", s[0] - t[0], slopes(lambda a: -(t[0] * np.log(softmax(a)[0])).sum(), logits[0]))
compare("line 3, dloss (s - t) / B", 1.0 * (s - t) / 3, slopes(lambda a: cross_entropy(a, targets)[0], logits))


# %%
def my_cross_entropy_backward(dloss, c):
    """The number dloss and the cache {"probabilities": [B, K], "targets": [B, K]} -> dlogits [B, K]."""


exercises.check("cross_entropy_backward", my_cross_entropy_backward)

# %% [markdown]
# What the model says, less what is true: that is the whole gradient. The $1/B$ stands here, once: all layers below it *sum* over the batch. (With
# label smoothing: [here](../docs/derivations/cross_entropy.md).)
#
# ## The chain rule is composition
#
# Here is all of it for one image of two pixels and two classes, of which the first is the true one. In black what is computed, in orange below it
# the gradient of the loss by that. Can you find the orange numbers by hand, from right to left?

# %%
image = np.array([[1.0, 2.0]])
tiny = {"w": np.array([[1.0, 0.0], [0.5, -1.0]]), "b": np.array([-1.0, 1.0])}
scores, c_tiny = linear(image, tiny)
chances, c_softmax = softmax(scores)
surprise = -np.log(chances[0, 0])

d_chances = np.array([[-1 / chances[0, 0], 0]])
d_scores = softmax_backward(d_chances, c_softmax)  # derived in notebook 3
d_image, g_tiny = linear_backward(d_scores, tiny, c_tiny)

steps = [
    ("times w", ["x", "w"], "x w"),
    ("plus b", ["x w", "b"], "a"),
    ("softmax", ["a"], "s"),
    ("-ln s[0]", ["s"], "loss"),
]
wires = {
    "x": (image, d_image),
    "w": (tiny["w"], g_tiny["w"]),
    "x w": (image @ tiny["w"], d_scores),
    "b": (tiny["b"], g_tiny["b"]),
    "a": (scores, d_scores),
    "s": (chances, d_chances),
    "loss": (surprise, 1.0),
}
computation_graph(steps, wires)

# %% [markdown]
# By hand: the slope of $-\ln s_0$ is $-1 / s_0 = -1 / 0.88$, and $s_1$ does not occur in it. Softmax and logarithm together give $s - t$, that is
# $0.88 - 1$ and $0.12 - 0$. A sum hands its gradient on to all that it adds. $dw = x^\top da$ has the rows $1 \cdot da$ and $2 \cdot da$. And
# $dx = da\, w^\top$ is $-0.12 \cdot 1 + 0.12 \cdot 0$ and $-0.12 \cdot 0.5 + 0.12 \cdot (-1)$.
#
# What one layer calls `dx` is `dy` to the one below, and any function can stand on the way, if its slope is known. Take a smooth function, **SiLU**,
# $y = x\,\sigma(x)$ with $\sigma(x) = 1/(1+e^{-x})$. The package does not have it; `exercises.grade` marks yours by measured slopes:


# %%
def silu(x):
    s, _ = sigmoid(x)
    return x * s, {"x": x, "s": s}


def my_silu_backward(dy, c):
    """dy of x's shape and the cache {"x": x, "s": the sigmoid of x} -> dx."""


exercises.grade(silu, my_silu_backward, rng.standard_normal((3, 4)))

# %% [markdown]
# Here is a model of two layers with another such function between them, [GELU](06_layer_norm_and_gelu.ipynb), down to the loss.
# `two_layers_backward` is `two_layers`, read from bottom to top.


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


def random_linear(inputs, outputs):
    return {"w": rng.standard_normal((inputs, outputs)), "b": rng.standard_normal(outputs)}


two = {"first": random_linear(5, 6), "second": random_linear(6, 4)}
# targets are integers, and have no gradient
composed = tinyvit.gradcheck(two_layers, two_layers_backward, rng.standard_normal((3, 5)), targets, two)
print(composed)

# %% [markdown]
# A composite has the same form as a layer, so it can be a part of something larger. The [whole model](07_the_vision_transformer.ipynb) is built like
# this throughout.
#
# ## What a gradient check is
#
# The table above compares every gradient with measured slopes of $\mathcal{L} = \sum dy\,y$, for a random $dy$. One backward pass gives all slopes;
# measuring takes several forward passes for each.
#
# How good are measured slopes? The slope over a finite step $h$ is not the slope at a point. By Taylor's formula, with derivatives $f', f'', f'''$,
#
# $$ \frac{f(x+h) - f(x-h)}{2h} = f'(x) + \frac{h^2}{6} f'''(x) + \ldots $$
#
# A smaller step is better, until rounding takes over: the two values of $f$ are nearly equal, each is off by about $\varepsilon |f|$, with
# $\varepsilon$ the gap between 1 and the next number of its format, and dividing by $2h$ magnifies that. `tinyvit.gradcheck` and its
# `numeric_gradient` use [four points](../docs/gradient_checks.md#how-exactly-it-is-measured), so that the $h^2$ term cancels, and $h^4$ remains: the
# fourth order. Measured:

# %%
h_all = 10.0 ** np.arange(-9, -0.4, 0.5)
x64 = rng.standard_normal((3, 7))
d64 = rng.standard_normal(x64.shape)
exact = softmax_backward(d64, softmax(x64)[1])


def relative_to_largest(found):
    return abs(found - exact).max() / abs(exact).max()


def second_order(dtype):
    x, d = x64.astype(dtype), d64.astype(dtype)
    return [relative_to_largest(slopes(lambda x: (d * softmax(x)[0]).sum(), x, dtype(h))) for h in h_all]


def weighted():
    return (d64 * softmax(x64)[0]).sum()


errors = {
    "float32": second_order(np.float32),
    "float64": second_order(np.float64),
    "float64, fourth order": [relative_to_largest(numeric_gradient(weighted, x64, h)) for h in h_all],
}
figure = new_figure(7, 3.2)
axes = figure.subplots()
for (name, values), style in zip(errors.items(), ("^:", "s--", "o-"), strict=True):
    axes.plot(h_all, values, style, color=ORANGE if name == "float32" else BLUE, markersize=4, label=name)
slow, fast = errors["float64"][0] * h_all[0] / h_all[:9], errors["float64"][-1] * (h_all[8:] / h_all[-1]) ** 2
axes.plot(h_all[:9], slow, color="grey", linewidth=0.8, label="1/h and h^2, from the ends")
axes.plot(h_all[8:], fast, color="grey", linewidth=0.8)
axes.axhline(1e-7, color="black", linewidth=0.8)
axes.text(0.3, 1.3e-7, "allowed", ha="right", va="bottom")
axes.set(xscale="log", yscale="log", xlabel="step h", ylabel="error / largest entry", ylim=(1e-14, 10))
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plain(axes)
print("epsilon:", ", ".join(f"{dtype.__name__} {np.finfo(dtype).eps:.0e}" for dtype in (np.float32, np.float64)))
for name, values in errors.items():
    print(f"{name:22} best error {min(values):.0e}, at h = {h_all[np.argmin(values)]:.0e}")
figure

# %% [markdown]
# Each curve falls as rounding fades, and then rises with the finite step; float32's right branch lies under float64's, and on the far left its $h$ is
# lost altogether. float32, at its best, would not pass, so a gradient check is done in float64. Its step is $h = 10^{-4}$, left of the best one here,
# since a function that bends more sharply has its right branch further left; an error above $10^{-7}$ is a mistake ([why these
# two](../docs/gradient_checks.md#how-exactly-it-is-measured)).
#
# ## Reading the report

# %%
tokens = rng.standard_normal((2, 3, 4))
p = random_linear(4, 5)
report = tinyvit.gradcheck(linear, linear_backward, tokens, p)
print(report)

# %% [markdown]
# One line for each array, or *tensor*, that has a gradient. *entries*: how many were moved, all of them. *worst error*: the largest difference from
# the measured slope, divided by the larger of the two numbers (or by 0.01, if both are smaller). *analytic* and *numeric*: what the backward pass
# said and what was measured there, and *at* is its index. `report.ok` is the verdict.
#
# ## Break it
#
# Suppose that the transpose is forgotten. If $w$ is not square, NumPy refuses at once. That is luck, and it lasts until $I = O$, as in
# [attention](04_heads.ipynb):


# %%
def not_transposed(dy, p, c):
    _, g = linear_backward(dy, p, c)
    return dy @ p["w"], g


try:
    not_transposed(rng.standard_normal((2, 3, 5)), p, {"x": tokens})
except ValueError as refused:
    print("[4, 5]:", str(refused).split(":")[0], "refuses these shapes")

square = random_linear(4, 4)
broken = tinyvit.gradcheck(linear, not_transposed, tokens, square)
print("[4, 4]: the shapes fit")
print(broken)

# %% [markdown]
# ## How a check lies
#
# A gradient check can pass wrong code. Here are three ways; [the museum](08_museum_of_gradient_bugs.ipynb) has more, and a check that condemns right
# code.
#
# **An upstream gradient of ones.** The rows of a softmax sum to 1, whatever the input. So with $dy = 1$ everywhere, $\mathcal{L}$ is constant and its
# gradient is zero, and a backward pass that returns nothing but zeros passes:

# %%
lies = {}


def lie(name, careless, honest):
    lies[name] = careless, honest
    print(f"careless check: error {careless:.1e}     honest check: error {honest:.1e}")


def silent_backward(dy, c):
    return np.zeros_like(dy)


ones = np.ones(tokens.shape)
measured = slopes(lambda x: (ones * softmax(x)[0]).sum(), tokens)
careless = abs(silent_backward(ones, softmax(tokens)[1]) - measured).max()
lie("ones upstream", careless, tinyvit.gradcheck(softmax, silent_backward, tokens).worst_error)

# %% [markdown]
# **A symmetric matrix, equal axes.** If $w$ is the unit matrix, the missing transpose above passes. And a `dw` that is transposed is refused at once
# where $w$ is not square, and found only by its numbers where it is. So every axis gets a size of its own, and every matrix random entries.


# %%
def dw_transposed(dy, p, c):
    dx, g = linear_backward(dy, p, c)
    return dx, g | {"w": g["w"].T}


careless = tinyvit.gradcheck(linear, not_transposed, tokens, {"w": np.eye(4), "b": square["b"]})
lie("w symmetric", careless.worst_error, tinyvit.gradcheck(linear, not_transposed, tokens, square).worst_error)
for shape in ((4, 4), (4, 5)):
    row = tinyvit.gradcheck(linear, dw_transposed, tokens, random_linear(*shape)).rows[1]  # p/w
    print(f"dw transposed, {list(shape)}:", row.problem or f"error {row.error:.1f}")

# %% [markdown]
# **A batch of one.** A bias's gradient is a *sum* over rows. Over one row, a mean is the same:


# %%
def mean_for_sum(dy, p, c):
    dx, g = linear_backward(dy, p, c)
    return dx, g | {"b": dy.reshape(-1, dy.shape[-1]).mean(axis=0)}


careless, honest = (tinyvit.gradcheck(linear, mean_for_sum, part, square) for part in (tokens[:1, :1], tokens))
lie("batch of one", careless.worst_error, honest.worst_error)
wrong = honest.rows[-1]
print(f"analytic / numeric = {wrong.analytic / wrong.numeric:.6f}, one over {tokens[..., 0].size} rows\n")
for name, (careless, honest) in lies.items():
    verdicts = ["passes" if error < 1e-7 else "fails" for error in (careless, honest)]
    print(f"{name:22} careless {careless:8.1e} {verdicts[0]:6}  honest {honest:8.1e} {verdicts[1]}")

# %% [markdown]
# So an honest check has a random upstream gradient, random parameters, axes of different sizes above 1, and float64:
# [all rules, with reasons](../docs/gradient_checks.md).
#
# ## What we know now
#
# A gradient is an array of slopes. A layer is a pair of functions; the chain rule puts their backward passes in reverse order.

# %%
assert runs[0.1][0][-1] < 0.2 and accuracy > 0.95 and max(runs[0.4][0]) > np.log(2)
assert np.allclose(
    slopes(loss_of, layer["w"]), (layer["w"] - runs[0.1][1][1]["w"]) / 0.1, atol=1e-8
)  # the first step's dw
assert abs(of_functions - truth).max() < 1e-8 < 1 < abs(of_class - truth).max()
assert np.allclose(d_scores, chances - [[1, 0]])
assert composed.ok and report.ok and not broken.ok
assert [row.error < 1e-7 for row in broken.rows] == [False, True, True]
assert min(errors["float32"]) > 1e-7 and min(errors["float64"]) < 1e-9 > min(errors["float64, fourth order"])
assert all(careless < 1e-7 < honest for careless, honest in lies.values())

# %% [markdown]
# Next: [attention](03_attention.ipynb).
