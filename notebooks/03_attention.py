# %% [markdown]
# # Attention: a dictionary that answers softly
#
# **The question.** A patch of an image knows only its own pixels. How does it ask the other patches for what it needs, in a way that has a
# gradient?
#
# First, where this leads. A small Vision Transformer is trained for two seconds on handwritten digits. In each of these images one patch
# (framed) asks all patches, itself included; the lighter a patch is drawn, the more is taken from it. (This is the first head of the second layer;
# [heads](04_heads.ipynb) are the next notebook.)

# %%
import math

import numpy as np

import tinyvit
from tinyvit import exercises
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.scale import scale_queries, scale_queries_backward
from tinyvit.ops.softmax import softmax, softmax_backward
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, outline, plain, shine, show

rng = np.random.default_rng(0)
data = tinyvit.load_data("digits")
config = tinyvit.PRESETS["digits"]
p, history = tinyvit.fit(config, data, recipe=tinyvit.Recipe(epochs=12, learning_rate=5e-3), progress=False)

images = data[1][0][:4]
logits, c = tinyvit.vit(images, p, config)
maps = tinyvit.attention_maps(c)[1]  # of the second block: [4 images, heads, T, T]

figure = new_figure(7, 1.1)
for (left, right), image, a in zip(figure.subplots(1, 8).reshape(4, 2), images, maps, strict=True):
    show(left, image)
    outline(left, number=5, grid=config.grid, patch=config.patch)
    shine(right, a[0, 1 + 5, 1:], image, most=a[0, 1 + 5, 1:].max())  # row 0 is the class token's, so patch 5 is row 6
figure

# %% [markdown]
# ## A dictionary, hard and soft
#
# A Python dictionary compares a **query** with its **keys**, and hands out the **value** of the one key that is equal:

# %%
ages = {"Ada": 36, "Alan": 41, "Grace": 85}
ages["Alan"]

# %% [markdown]
# Nothing here can be learned: the query matches or it does not, and there is no slope from the one to the other. So let queries and keys be vectors,
# and let the match be a matter of degree, their inner product. Three keys in the plane, each with a value:

# %%
keys = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])  # [S, d]: S = 3 keys of d = 2 numbers
values = np.array([[36.0], [41.0], [85.0]])  # [S, 1]
query = np.array([[0.3, 2.0]])  # [T, d]: T = 1 query, close to the second key

scores = query @ keys.T  # [T, S]
weights, _ = softmax(scores)
print("scores ", scores)
print("weights", weights.round(3), " sum", weights.sum())
print("answer ", weights @ values)

# %% [markdown]
# The **softmax** turns a row of scores $x_1, \ldots, x_S$ into weights that are positive and sum to 1:
#
# $$ y_j = \frac{e^{x_j}}{\sum_{k=1}^{S} e^{x_k}} $$
#
# The answer is a **weighted sum** of all values. (Notes on attention often write $Z_1 = V_1 + V_2 + V_3$. That is this sum without its weights,
# and the weights are the whole point.) A longer query makes the scores larger and the weights sharper. In the limit, the soft dictionary is hard
# again, and answers with the value of the key whose score is largest:

# %%
for length in (0.5, 1, 4, 16):
    weights, _ = softmax(length * scores)
    print(f"query x {length:4}: weights {weights[0].round(4)}, answer {(weights @ values).item():.3f}")

# %% [markdown]
# One detail of the softmax. $e^{1000}$ is larger than any floating point number, but only differences of scores matter, since a constant that is
# added to a whole row cancels in the fraction. So the largest score is subtracted first, and no score is too large:

# %%
huge = np.array([[1e4, 0.0, -1e4], [1e4, 1e4, -1e4]])
softmax(huge)[0]

# %% [markdown]
# ## The shapes
#
# All queries at once are a matrix $Q$ $[T, d]$, the keys $K$ $[S, d]$, the values $V$ $[S, d]$; in front stand any number of other axes, such as the
# images of a batch. In a Vision Transformer every token asks every token, so $S = T$. Here they differ, so that no axis can be mistaken for another.
# Why the scores are divided by $\sqrt{d}$ is the next section.
#
# $$ \mathrm{attention}(Q, K, V) = \mathrm{softmax}\left(\frac{Q K^\top}{\sqrt{d}}\right) V $$

# %%
B, T, S, d = 2, 3, 5, 4
q, k, v = rng.standard_normal((B, T, d)), rng.standard_normal((B, S, d)), rng.standard_normal((B, S, d))

scaled, _ = scale_queries(q)  # the scale is a step of its own, before
y, c = attention(scaled, k, v)
for name, array in {"q": q, "k": k, "v": v, "a, the weights": c["a"], "y": y}.items():
    print(f"{name:15} {list(array.shape)}")

# %% [markdown]
# The product needs $K$ transposed in its last two axes, whatever stands before them. A snippet that makes the rounds writes `k.transpose(2, 3)` for
# three-dimensional `k`: there is no axis 3 to exchange, and the snippet forgets the scale as well.

# %%
try:
    k.transpose(2, 3)
except ValueError as error:
    print("k.transpose(2, 3):", error)
print("k.swapaxes(-1, -2):", list(k.swapaxes(-1, -2).shape))

# %% [markdown]
# The whole function. The bias, an array that may be added to the scores, is put to use in [the next notebook](04_heads.ipynb):

# %%
print(exercises.source(attention))

# %% [markdown]
# ## Why divide by $\sqrt{d}$?
#
# Let the entries of a query and of a key be independent random numbers of mean 0 and variance 1. Their inner product is a sum of $d$ products, and
# each product $q_i k_i$ has mean $0 \cdot 0 = 0$ and variance $E[q_i^2]\, E[k_i^2] = 1$, where $E$ is the mean. Variances of independent numbers add
# up:
#
# $$ \mathrm{Var}(q \cdot k) = \sum_{i=1}^{d} \mathrm{Var}(q_i k_i) = d. $$
#
# So scores have a typical size of $\sqrt{d}$, and dividing by it brings them back to 1, whatever the width. (Here $d$ is the width of one head: 64 in
# ViT-B, in BERT-base, a Transformer for text (Devlin et al. 2019), and in the first Transformer (Vaswani et al. 2017). The 512 that one can read is
# the width $D$ of that first one, which has 8 heads, or the length of BERT's longest input.) Measured, with 20,000 pairs for each width:

# %%
widths = [2, 4, 8, 16, 32, 64, 128, 256]
products = {d: (rng.standard_normal((20_000, d)) * rng.standard_normal((20_000, d))).sum(axis=1) for d in widths}
variances = [products[d].var() for d in widths]
for d, variance in zip(widths, variances, strict=True):
    print(f"d = {d:3}   variance of q.k = {variance:7.2f}   after the scale {(products[d] / math.sqrt(d)).var():.3f}")

# %% [markdown]
# Why does the size of the scores matter? Because of what softmax does to large ones: one weight goes to 1, all others to 0, and the gradient to
# nothing.
#
# Below, 2,000 random queries, each over 16 random keys. On the left, the largest weight of a typical query (the median): without the scale, a wide
# head sees one token and nothing else. On the right, how much of a gradient comes back through the softmax: the norm of `softmax_backward`'s result,
# for a random upstream gradient of norm 1.


# %%
def through_softmax(d, scale, trials=2_000, S=16):
    """The median largest weight, and the median norm of the scores' gradient, for queries and keys of width d."""
    q, k = rng.standard_normal((trials, 1, d)), rng.standard_normal((trials, S, d))
    a, c = softmax(q @ k.swapaxes(-1, -2) * scale)
    upstream = rng.standard_normal(a.shape)
    upstream /= np.linalg.norm(upstream, axis=-1, keepdims=True)
    return np.median(a.max(axis=-1)), np.median(np.linalg.norm(softmax_backward(upstream, c), axis=-1))


raw = np.array([through_softmax(d, scale=1) for d in widths])
scaled = np.array([through_softmax(d, scale=1 / math.sqrt(d)) for d in widths])

figure = new_figure(7.5, 2.6)
titles = ("largest weight (median)", "gradient that comes through (median)")
for i, (axes, title) in enumerate(zip(figure.subplots(1, 2), titles, strict=True)):
    axes.plot(widths, raw[:, i], "o-", color=ORANGE, label="without the scale")
    axes.plot(widths, scaled[:, i], "s-", color=BLUE, label=r"divided by $\sqrt{d}$")
    axes.set(xscale="log", xlabel="head width d", ylim=(0, None), title=title)
    plain(axes)
axes.legend()
figure

# %% [markdown]
# Without the scale, the gradient of a typical query dies as heads get wider. With it, the width makes hardly any difference. The step, and the way
# back through it, where a constant factor acts on the gradient as it did on the queries:

# %%
print(exercises.source(scale_queries))
print(exercises.source(scale_queries_backward))

# %% [markdown]
# A config can leave it out, `scale="none"`. Random numbers are not a trained model, though: what it costs to train without the scale is another
# question, which `tinyvit lab scale` asks and [the paper lab](../docs/lab.md) answers.
#
# ## The way back
#
# Write $dy$ for the gradient of the loss by $y$: an array of $y$'s shape, which comes from above. Attention is two products with a softmax
# between them, and each is undone in turn. For the product $y = a v$, in index form $y_{tj} = \sum_s a_{ts} v_{sj}$, the chain rule sums over
# everything that $a_{ts}$ and $v_{sj}$ touch:
#
# $$ da_{ts} = \sum_j dy_{tj}\, v_{sj} \;\; \Rightarrow \;\; da = dy\, v^\top, \qquad
#    dv_{sj} = \sum_t a_{ts}\, dy_{tj} \;\; \Rightarrow \;\; dv = a^\top dy. $$
#
# The softmax, from scores $x$ to weights $y$ as above: raising one score raises its own weight and lowers all others. By the quotient rule
# $\partial y_j / \partial x_i = y_j (\delta_{ij} - y_i)$, where $\delta_{ij}$ is 1 for $i = j$ and else 0. Summed against the upstream gradient,
#
# $$ dx_i = \sum_j dy_j\, y_j (\delta_{ij} - y_i) = y_i \left( dy_i - \sum_j dy_j\, y_j \right). $$
#
# And the scores $q k^\top$ are a product like the first: $dq = dx\, k$ and $dk = dx^\top q$. Step by step, in
# [a page of its own](../docs/derivations/attention.md). The code is these formulas. (`_sum_to` is for the bias: if one bias was added to many
# tables of scores, its gradient is the sum over them.)

# %%
print(exercises.source(attention_backward))

# %% [markdown]
# Do we believe it? A **gradient check** moves every single entry of q, k and v a little, and looks at what the output does. It knows nothing of our
# formulas ([the previous notebook](02_a_layer_and_its_gradient.ipynb) explains it).

# %%
report = tinyvit.gradcheck(attention, lambda dy, c: attention_backward(dy, c)[:3], q, k, v)
print(report)

# %% [markdown]
# ## Break it
#
# The most common mistake: the scale is there on the way forward, and forgotten on the way back. Nothing crashes, and every shape is right.


# %%
def scaled_attention(q, k, v):
    return attention(scale_queries(q)[0], k, v)


def forgetful_backward(dy, c):
    dq, dk, dv, _ = attention_backward(dy, c)
    return dq, dk, dv  # dq is the gradient of q / sqrt(d), not of q


broken = tinyvit.gradcheck(scaled_attention, forgetful_backward, q, k, v)
print(broken)

# %% [markdown]
# The check names the tensor: k and v are right, q is not, and its gradient is too large by `analytic / numeric`, which is $\sqrt{4} = 2$. What was
# multiplied by $1 / \sqrt{d}$ on the way forward is multiplied by it on the way back, by `scale_queries_backward`.
#
# ## What the gradient does not see
#
# A constant added to a whole row of scores changes no weight, so the scores' gradient sums to zero in every row:

# %%
x = rng.standard_normal((2, 3, 5))
a, c = softmax(x)
row_sums = softmax_backward(rng.standard_normal(x.shape), c).sum(axis=-1)
print("largest row sum of the gradient:", abs(row_sums).max())
print("with an upstream gradient of ones:", abs(softmax_backward(np.ones(x.shape), c)).max())

# %% [markdown]
# The second line is the trap of [the previous notebook](02_a_layer_and_its_gradient.ipynb): with an upstream gradient of ones everywhere, softmax's
# gradient is zero, so a backward pass that returns nothing but zeros would pass such a check.
#
# ## Exercises
#
# Write the bodies. `exercises.check` says whether the answer is right, and if it is not, what kind of mistake it looks like.
# `exercises.hint("softmax")` gives a first hint, `exercises.hint("softmax", 2)` a second; `print(exercises.solution("softmax"))` shows how the
# package does it. Loops are as welcome as vectorised code.


# %%
def my_softmax(x):
    """Weights from scores, along the last axis.

    x [..., S] -> y [..., S] with y_j = exp(x_j) / sum_k exp(x_k), and the cache {"y": y}.
    """


exercises.check("softmax", my_softmax)


# %%
def my_softmax_backward(dy, c):
    """The upstream gradient dy [..., S] and the cache {"y": [..., S]} -> dx [..., S]."""


exercises.check("softmax_backward", my_softmax_backward)


# %%
def my_attention(q, k, v, bias=None):
    """Queries [..., T, d], already scaled, keys and values [..., S, d] -> y [..., T, d].

    The bias, if there is one, is added to the scores; its shape is [T, S], or has some of the axes before them.
    The cache is {"q": q, "k": k, "v": v, "a": the weights}, and "bias" where there is one.
    """


exercises.check("attention", my_attention)


# %%
def my_attention_backward(dy, c):
    """dy [..., T, d] and the cache {q, k, v, a, and bias where there is one} -> dq, dk, dv, dbias.

    dbias has the bias's shape: the gradient of the scores, summed over the axes that the bias lacks.
    Without a bias, it is the gradient of all scores.
    """


exercises.check("attention_backward", my_attention_backward)


# %%
def my_scale_queries(q):
    """Queries q [..., T, d] -> y [..., T, d] = q / sqrt(d), and the cache {}."""


exercises.check("scale_queries", my_scale_queries)


# %%
def my_scale_queries_backward(dy, c):
    """dy [..., T, d] and the cache {} -> dq [..., T, d]."""


exercises.check("scale_queries_backward", my_scale_queries_backward)

# %% [markdown]
# ## What we know now
#
# Attention is a weighted sum of values, and the weights come from comparing a query with keys. The scale keeps the scores at size 1, whatever the
# width. All of it is differentiable, and the gradient is checked. The last cell of every notebook asserts what it has shown.

# %%
weights, _ = softmax(huge)
assert np.isfinite(weights).all() and np.allclose(weights.sum(axis=-1), 1)
assert all(abs(variance / d - 1) < 0.1 for variance, d in zip(variances, widths, strict=True))
assert raw[-1, 1] < raw[0, 1] / 10 and scaled[-1, 1] > scaled[0, 1] * 0.9
assert report.ok and not broken.ok
assert abs(row_sums).max() < 1e-14

# %% [markdown]
# Next: [heads](04_heads.ipynb), or how to ask several questions at once.
