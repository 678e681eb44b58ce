# %% [markdown]
# # Attention: a dictionary that answers softly
#
# **The question.** A patch of an image knows only its own pixels. How does it ask the other patches for what it needs, in a way that has a
# gradient?

# %%
import math

import numpy as np

import tinyvit
from tinyvit import exercises
from tinyvit.layers.linear import linear
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.scale import scale_queries, scale_queries_backward
from tinyvit.ops.softmax import softmax, softmax_backward
from tinyvit.viz import TreeView, overview
from tinyvit.viz.picture import BLUE, ORANGE, bare, new_figure, outline, plain, shine, show

overview("attention")

# %% [markdown]
# A small Vision Transformer is trained on handwritten digits. Then one patch (framed) asks all tokens, itself included, and takes something from
# each. The arrows come from the three other patches that it takes most from; in the second picture, the lighter a patch, the more is taken (each map
# has a scale of its own). Then three more digits. (This is the first head of the second block; [heads](04_heads.ipynb) are the next notebook.)

# %%
rng = np.random.default_rng(0)
data = tinyvit.load_data("digits")
config = tinyvit.PRESETS["digits"]
p, _ = tinyvit.fit(config, data, recipe=tinyvit.Recipe(epochs=12, learning_rate=5e-3), progress=False)

images = data[1][0][:4]
_, c = tinyvit.vit(images, p, config)
maps = tinyvit.attention_maps(c)[1]  # of the second block: [4 images, heads, T, T]

# Token 0 is the class token, so token 6 is patch 5 of notebook 1: row 2, column 2, counted from 1.
asking = 6
taken = maps[:, 0, asking]  # [4, T]: the shares that it takes in the first head, which sum to 1
most = [s for s in np.argsort(-taken[0]) if s not in (0, asking)][:3]


def place(token):
    """Row and column of a token's patch, counted from 1."""
    row, column = divmod(int(token) - 1, config.grid)
    return row + 1, column + 1


def middle(token):
    """The middle of a token's patch in pixels, (x, y)."""
    row, column = place(token)
    return (column - 0.5) * config.patch - 0.5, (row - 0.5) * config.patch - 0.5


figure = new_figure(7.5, 2.7)
panels = figure.subplot_mosaic([["0", "0 heat", f"{i}", f"{i} heat"] for i in (1, 2, 3)], width_ratios=[3, 3, 1, 1])
for i, (image, shares) in enumerate(zip(images, taken, strict=True)):
    show(panels[f"{i}"], image)
    outline(panels[f"{i}"], number=asking - 1, grid=config.grid, patch=config.patch)
    shine(panels[f"{i} heat"], shares[1:], image, most=shares[1:].max())
for s in most:
    arrow = dict(arrowstyle="-|>", color=ORANGE, linewidth=1 + 6 * taken[0, s], shrinkA=12, shrinkB=8)
    panels["0"].annotate(
        f"{taken[0, s]:.2f}",
        middle(asking),
        middle(s),
        arrowprops=arrow,
        bbox=dict(facecolor="white", edgecolor="none", alpha=0.8, pad=1),
        color=ORANGE,
        ha="center",
        va="center",
        weight="bold",
    )
figure

# %% [markdown]
# ## A dictionary, hard and soft
#
# A Python dictionary compares a **query** with its **keys**, and hands out the **value** of the one key that is equal:

# %%
ages = {"Ada": 36, "Alan": 41, "Grace": 85}
ages["Alan"]

# %% [markdown]
# Nothing here can be learned: a small change of the query changes nothing, or everything. So let queries and keys be vectors, and let the match be a
# matter of degree, their inner product. Three keys in the plane, each with a value:

# %%
keys = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])  # [S, d]: S = 3 keys of d = 2 numbers
values = np.array([[36.0], [41.0], [85.0]])  # [S, 1]
query = np.array([[0.3, 0.8]])  # [T, d]: T = 1 query, close to the second key

match = query @ keys.T  # [T, S]
weights, _ = softmax(match)
print("scores ", match[0].round(3))
print("weights", weights[0].round(3), " sum", weights.sum().round(3))
print(f"answer  {(weights @ values).item():.1f}")

# %% [markdown]
# The **softmax** turns a row of scores $s_1, \ldots, s_S$ into weights that are positive and sum to 1:
#
# $$ a_j = \frac{e^{s_j}}{\sum_{k=1}^{S} e^{s_k}} $$
#
# The answer is the sum of all values, each times its weight. What becomes of the weights if the query is turned by 45 degrees, or made longer, or
# shorter? Black arrows are the keys, with their values; the orange arrow is the query; the area of a disc is a weight.


# %%
def ask(axes, query, title):
    """Draw what a query [1, 2] asks of the three keys, and what each of them weighs."""
    weights, _ = softmax(query @ keys.T)
    for key, weight, value in zip(keys, weights[0], values[:, 0], strict=True):
        axes.annotate("", key, (0, 0), arrowprops=dict(arrowstyle="-|>", color="black", shrinkA=0, shrinkB=0))
        axes.scatter(*key, s=900 * weight, color=BLUE, alpha=0.5, linewidths=0)
        axes.text(1.55 * key[0] - 0.65 * key[1], key[1] - 0.1, f"{value:.0f}", ha="center", fontsize=8)
    axes.annotate(
        "", query[0], (0, 0), arrowprops=dict(arrowstyle="-|>", color=ORANGE, shrinkA=0, shrinkB=0, linewidth=2)
    )
    axes.set(xlim=(-1.9, 1.9), ylim=(-0.6, 2.6), aspect="equal")
    axes.set_title(f"{title}\nanswer {(weights @ values).item():.1f}", fontsize=9)
    bare(axes)


right_45 = np.array([[1, -1], [1, 1]]) / math.sqrt(2)  # row vector times this: turned clockwise
figure = new_figure(7.5, 2.1)
asked = {"the query": query, "turned": query @ right_45, "three times as long": 3 * query, "a third": query / 3}
for axes, (title, vector) in zip(figure.subplots(1, 4), asked.items(), strict=True):
    ask(axes, vector, title)
figure

# %% [markdown]
# The direction of the query says which key is meant, its length how firmly. A longer query makes the scores larger and the weights sharper; in the
# limit the soft dictionary is hard again, and answers with the value of the key whose score is largest.
#
# A detail: $e^{1000}$ is larger than any floating point number, but only differences of scores matter, since a constant that is
# added to a whole row cancels in the fraction. So the largest score is subtracted first, and no score is too large:

# %%
huge = np.array([[1e4, 0.0, -1e4], [1e4, 1e4, -1e4]])
softmax(huge)[0]

# %% [markdown]
# ## The shapes
#
# All queries at once are a matrix $\mathbf{q}$ $[T, d]$, the keys $\mathbf{k}$ $[S, d]$, the values $\mathbf{v}$ $[S, d]$; in front stand any number
# of other axes, such as the images of a batch. Attention is two equations of the ViT paper, together equation 1 of
# [Vaswani et al. 2017](https://arxiv.org/abs/1706.03762):
#
# $$ A = \mathrm{softmax}\left(\frac{\mathbf{q}\, \mathbf{k}^\top}{\sqrt{D_h}}\right) \qquad (6) \qquad\qquad
#    \mathrm{SA}(\mathbf{z}) = A\, \mathbf{v} \qquad (7) $$
#
# In the code: $D_h$ is `d`, $A$ is `a`, `scale_queries(q)` divides by $\sqrt{D_h}$ (why, the section after next says), and `attention` gives
# `y = a @ v`. (SA and $\mathbf{z}$: next section.) In a Vision Transformer every token asks every token, so $S = T$. Here all sizes differ, so that
# no axis can be mistaken for another:

# %%
B, T, S, width = 2, 3, 5, 4
q_toy, k_toy, v_toy = (rng.standard_normal((B, tokens, width)) for tokens in (T, S, S))

y_toy, c_toy = attention(scale_queries(q_toy)[0], k_toy, v_toy)
TreeView(q=q_toy, k=k_toy, v=v_toy, y=y_toy, c=c_toy)

# %% [markdown]
# For $\mathbf{k}^\top$ exchange the last two axes only, whatever stands before them: `k.swapaxes(-1, -2)`.
#
# **Exercise.** Write attention ([how exercises are marked](00_start_here.ipynb)), before the next cell shows it. The bias is an array that may be
# added to the scores; [the next notebook](04_heads.ipynb) puts it to use.


# %%
def my_attention(q, k, v, bias=None):
    """Queries [..., T, d], already scaled, keys and values [..., S, d] -> y [..., T, d].

    The bias, if there is one, is added to the scores; its shape is [T, S], or has some of the axes before them.
    The cache is {"q": q, "k": k, "v": v, "a": the weights}, and "bias" where there is one.
    """


exercises.check("attention", my_attention)

# %%
print(exercises.source(attention))

# %% [markdown]
# ## Where q, k and v come from
#
# In **self-attention** all three are made from the same tokens $\mathbf{z}$ $[B, T, D]$, each by a linear layer of its own. So a token asks with one
# vector, is found by another, and hands out a third:
#
# $$ [\mathbf{q}, \mathbf{k}, \mathbf{v}] = \mathbf{z}\, \mathbf{U}_{qkv} \qquad (5) $$
#
# In the code: $\mathbf{U}_{qkv}$ is three linear layers, `p["q"]`, `p["k"]`, `p["v"]`, each with a weight $w$ and a bias $b$:
# $q = x\, w_q + b_q$, $k = x\, w_k + b_k$, $v = x\, w_v + b_v$. The code's $x$ is the paper's $\mathbf{z}$ after a LayerNorm
# ([notebook 6](06_layer_norm_and_gelu.ipynb)).
#
# Now we can rebuild the map at the top from the trained parameters. $x$ is what the second block hands to its attention. The layer has four heads,
# and the first of them owns the first $D_h = D / 4$ columns.

# %%
# msa: multi-head self-attention; its tokens [4, 17, 32], and its parameters
x, msa = c["blocks"][1]["msa"]["q"]["x"], p["blocks"][1]["msa"]
d = config.dim // config.heads
q, k, v = (linear(x, msa[name])[0][..., :d] for name in "qkv")  # the first head's columns
y, c_head = attention(scale_queries(q)[0], k, v)
a = c_head["a"]  # [4, 17, 17]
rebuilt = abs(a - maps[:, 0]).max()
print("x", list(x.shape), "  q, k, v", list(q.shape), "  a", list(a.shape), f"  rebuilt, less the map: {rebuilt:.0e}")

print(f"\ntoken {asking} of the first digit, at row, column {place(asking)}, takes most from")
for s in np.argsort(-a[0, asking])[:3]:
    where = f"token {s:2}, at {place(s)}" if s else "the class token"
    print(f"{where}: score {(q[0, asking] @ k[0, s]) / math.sqrt(d):5.2f}, weight {a[0, asking, s]:.2f}")

# %% [markdown]
# This is how a patch asks: its query is a linear function of what it has, and training has chosen the function. If the tokens change places, the
# answers do and nothing else: attention does not see an order ([positions](05_positions.ipynb)).
#
# ## Why divide by $\sqrt{D_h}$?
#
# Let the entries of a query and of a key be independent random numbers of mean 0 and variance 1. Each product $q_i k_i$ then has mean 0, and its
# variance is the mean of $q_i^2 k_i^2$. For independent numbers that is the mean of $q_i^2$ times the mean of $k_i^2$, so 1. The inner product is a
# sum of $D_h$ of them, and variances of independent numbers add up:
#
# $$ \mathrm{Var}(q \cdot k) = \sum_{i=1}^{D_h} \mathrm{Var}(q_i k_i) = D_h. $$
#
# So scores have a typical size of $\sqrt{D_h}$, and dividing by it brings them back to 1, whatever the width. ($D_h$ is the width of one head, 64 in
# ViT-B, as [the next notebook](04_heads.ipynb) prints. In the [first Transformer](https://arxiv.org/abs/1706.03762), 8 heads share $D = 512$, so it
# is 64 too.) Measured, with many pairs for each width:

# %%
widths = [2, 4, 8, 16, 32, 64, 128, 256]
pairs = 20_000
products = {d: (rng.standard_normal((pairs, d)) * rng.standard_normal((pairs, d))).sum(axis=1) for d in widths}
variances = {d: product.var() for d, product in products.items()}
for size, variance in variances.items():
    print(f"d = {size:3}   variance of q.k = {variance:7.2f}   after the scale {variance / size:.3f}")

# %% [markdown]
# Why does the size of the scores matter? Guess first: with $D_h = 256$ and without the scale, a query meets
# 16 random keys. How large is the largest of its weights?
#
# On the left is that weight, for a typical query (the median over many). On the right is how much of a gradient comes back through the softmax: the
# norm of `softmax_backward`'s result, for a random upstream gradient of norm 1.


# %%
def through_softmax(d, scale, trials=2_000, keys=16):
    """The median largest weight, and the median norm of the scores' gradient, for queries and keys of width d."""
    q, k = rng.standard_normal((trials, 1, d)), rng.standard_normal((trials, keys, d))
    a, c = softmax(q @ k.swapaxes(-1, -2) * scale)
    upstream = rng.standard_normal(a.shape)
    upstream /= np.linalg.norm(upstream, axis=-1, keepdims=True)
    return np.median(a.max(axis=-1)), np.median(np.linalg.norm(softmax_backward(upstream, c), axis=-1))


raw = np.array([through_softmax(d, scale=1) for d in widths])
scaled = np.array([through_softmax(d, scale=1 / math.sqrt(d)) for d in widths])
print(f"d = {widths[-1]}, largest weight: {raw[-1, 0]:.4f} without the scale, {scaled[-1, 0]:.2f} with it")

figure = new_figure(7.5, 2.6)
titles = ("largest weight (median)", "gradient that comes through (median)")
for i, (axes, title) in enumerate(zip(figure.subplots(1, 2), titles, strict=True)):
    axes.plot(widths, raw[:, i], "o-", color=ORANGE, label="without the scale")
    axes.plot(widths, scaled[:, i], "s-", color=BLUE, label=r"divided by $\sqrt{D_h}$")
    axes.set(xscale="log", xlabel="head width $D_h$", ylim=(0, None), title=title)
    plain(axes)
axes.legend()
figure

# %% [markdown]
# Without the scale, one weight goes to 1, all others to 0, and the gradient to nothing. With it, the width makes hardly any difference. Here is the
# code; on the way back the gradient is multiplied by the same constant as the queries:

# %%
print(exercises.source(scale_queries))
print(exercises.source(scale_queries_backward))

# %% [markdown]
# (What it costs to train without the scale is another question: `tinyvit lab scale` asks it, and
# [the paper lab](../docs/lab.md#what-is-1sqrtd-good-for) answers.)
#
# ## The way back
#
# Attention is two products with a softmax between them, and each is undone in turn. For $y = a v$, in index form $y_{tj} = \sum_s a_{ts} v_{sj}$, the
# chain rule sums over everything that $a_{ts}$ and $v_{sj}$ touch:
#
# $$ da_{ts} = \sum_j dy_{tj}\, v_{sj} \;\; \Rightarrow \;\; da = dy\, v^\top, \qquad
#    dv_{sj} = \sum_t a_{ts}\, dy_{tj} \;\; \Rightarrow \;\; dv = a^\top dy. $$
#
# Then the softmax, one row of it: scores $s_i$ go in, weights $a_j = e^{s_j} / Z$ come out (in notebook 2, $a$ went in, and $s$ came out), with
# $Z = \sum_k e^{s_k}$. Raising $s_i$ raises $Z$, and
# for $j = i$ the numerator as well. By the quotient rule, with $\delta_{ij} = 1$ for $i = j$ and else 0,
#
# $$ \frac{\partial a_j}{\partial s_i} = \frac{\delta_{ij}\, e^{s_j}\, Z - e^{s_j}\, e^{s_i}}{Z^2} = a_j (\delta_{ij} - a_i). $$
#
# Raising one score raises its own weight and lowers all others. Summed against the upstream gradient,
#
# $$ ds_i = \sum_j da_j\, a_j (\delta_{ij} - a_i) = a_i \left( da_i - \sum_j da_j\, a_j \right). $$
#
# Last, the scores $s = q k^\top$ are a product like the first: $dq = ds\, k$ and $dk = ds^\top q$. A bias is added to the scores, so its gradient is
# $ds$, summed over the axes along which the bias was repeated. Step by step: [here](../docs/derivations/attention.md).
#
# Is the middle step right? In `jacobian`, row $i$ and column $j$ hold $a_j (\delta_{ij} - a_i)$; beside its product with an upstream gradient stand
# the slopes that are found by moving one score at a time:

# %%
row, upstream = rng.standard_normal(4), rng.standard_normal(4)
shares, _ = softmax(row)
jacobian = np.diag(shares) - np.outer(shares, shares)
step = 1e-6
slopes = [(softmax(row + e)[0] - softmax(row - e)[0]) @ upstream / (2 * step) for e in step * np.eye(4)]
slopes_error = abs(jacobian @ upstream - slopes).max()
print("ds by the formula:", (jacobian @ upstream).round(6))
print("ds by moving:     ", np.round(slopes, 6))

# And how much of a gradient can come through 16 equal weights?
even = np.full(16, 1 / 16)
strongest = np.linalg.eigvalsh(np.diag(even) - np.outer(even, even)).max()
print(f"16 equal weights: largest eigenvalue of the jacobian {strongest:.4f}; measured above {scaled[-1, 1]:.4f}")

# %% [markdown]
# The last line is about why so little came through even with the scale: where 16 weights are equal, the softmax multiplies a gradient by 1/16, and
# the part of it that is equal in all entries by 0. (A little more came through: there the weights were not equal.)
#
# **Two exercises**, before the source of the second is shown.


# %%
def my_softmax_backward(dy, c):
    """The upstream gradient dy [..., S], the cache {"y": weights [..., S]} -> dx [..., S] of the scores x."""


exercises.check("softmax_backward", my_softmax_backward)


# %%
def my_attention_backward(dy, c):
    """dy [..., T, d] and the cache {q, k, v, a, and bias where there is one} -> dq, dk, dv, dbias.

    dbias has the bias's shape: the gradient of the scores, summed over the axes that the bias lacks, or of which it has 1.
    Without a bias, it is the gradient of all scores.
    """


exercises.check("attention_backward", my_attention_backward)

# %%
print(exercises.source(attention_backward))

# %% [markdown]
# (`_sum_to` is the sum for the bias.) The [gradient check](02_a_layer_and_its_gradient.ipynb) leaves out the fourth gradient, the bias's: there is no
# bias here.

# %%
report = tinyvit.gradcheck(attention, lambda dy, c: attention_backward(dy, c)[:3], q_toy, k_toy, v_toy)
print(report)

# %% [markdown]
# ## Break it
#
# A mistake that is easily made: the scale is there on the way forward, and forgotten on the way back. Nothing crashes, and every shape is right.
# Which of q, k and v has a wrong gradient then, and by which factor, for $D_h = 4$?


# %%
def scaled_attention(q, k, v):
    return attention(scale_queries(q)[0], k, v)


def forgetful_backward(dy, c):
    dq, dk, dv, _ = attention_backward(dy, c)
    return dq, dk, dv  # dq is the gradient of q / sqrt(d), not of q


broken = tinyvit.gradcheck(scaled_attention, forgetful_backward, q_toy, k_toy, v_toy)
print(broken)

# %% [markdown]
# The check names the tensor: k and v are right, q is not, and its gradient is too large by `analytic / numeric`, which is $\sqrt{4} = 2$.
#
# ## What the gradient does not see
#
# A constant added to a whole row of scores changes no weight, so the scores' gradient sums to zero in every row:

# %%
some_scores = rng.standard_normal((2, 3, 5))
_, c_some = softmax(some_scores)
row_sums = softmax_backward(rng.standard_normal(some_scores.shape), c_some).sum(axis=-1)
of_ones = softmax_backward(np.ones(some_scores.shape), c_some)
print(f"largest row sum of the gradient: {abs(row_sums).max():.0e}")
print(f"largest entry, with an upstream gradient of ones: {abs(of_ones).max():.0e}")

# %% [markdown]
# The second line is the trap of [notebook 2](02_a_layer_and_its_gradient.ipynb), an upstream gradient of ones.
#
# ## Exercise: a temperature
#
# Let the scores be divided by a learned number $t$, the **temperature**: $a = \mathrm{softmax}(s / t)$. A high temperature makes the
# weights even, a low one sharp. Write the way back, to $s$ and to $t$. `exercises.grade` marks it by a gradient check.


# %%
def tempered(s, t):
    """Scores s [..., S] and a number t [] -> weights [..., S]."""
    a, _ = softmax(s / t)
    return a, {"s": s, "t": t, "a": a}


def my_tempered_backward(da, c):
    """da [..., S] and the cache {s, t, a} -> ds [..., S] and dt []."""


exercises.grade(tempered, my_tempered_backward, rng.standard_normal((2, 3, 5)), np.array(0.7))

# %% [markdown]
# ## What we know now
#
# Attention is a weighted sum of values, and the weights come from comparing a query with keys; all three are linear functions of the tokens. The
# scale keeps random scores at size 1, at any width. All of it has a gradient, which is checked.

# %%
assert np.isfinite(softmax(huge)[0]).all() and np.allclose(softmax(huge)[0].sum(axis=-1), 1)
assert rebuilt < 1e-5
assert all(abs(variance / size - 1) < 0.1 for size, variance in variances.items())
assert raw[-1, 0] > 0.99 and raw[-1, 1] < raw[0, 1] / 10 and scaled[-1, 1] > scaled[0, 1] * 0.9
assert slopes_error < 1e-8 and math.isclose(strongest, 1 / 16)
assert report.ok
assert [row.name for row in broken.rows if row.error > broken.rtol] == ["q"]
assert abs(row_sums).max() < 1e-14 and abs(of_ones).max() < 1e-14

# %% [markdown]
# Next: [heads](04_heads.ipynb).
