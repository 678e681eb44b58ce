# %% [markdown]
# # Who looks at whom: when all pairs are too many
#
# **The question.** In a Vision Transformer every token asks every token. Why not take each pixel as a token, then? If that is too much: which pairs
# can be left out, what does it save, and can all pairs be kept without storing a number for each?

# %%
from tinyvit.viz import overview

overview("attention")

# %% [markdown]
# An image of 14 x 14 patches has 196 tokens, and so 196 x 196 = 38,416 pairs of a query and a key. The next picture has two rows. Upper: which pairs
# some patterns allow (blue), queries downwards, keys across. Lower: the patches that one query (orange) may look at.

# %%
import math
import tracemalloc
from functools import partial
from time import process_time

import numpy as np

from tinyvit import exercises, gradcheck
from tinyvit.exercises.source import edited
from tinyvit.layers.attend import allowed_pairs, attend, attend_backward, attention_plan
from tinyvit.ops import patterns
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.blockwise_attention import blockwise_attention, blockwise_attention_backward
from tinyvit.ops.linear_attention import linear_attention, linear_attention_backward, positive_features
from tinyvit.ops.softmax import softmax
from tinyvit.ops.sparse_attention import scores_computed, sparse_attention, sparse_attention_backward
from tinyvit.training.memory import keep_freed_memory
from tinyvit.viz.patterns import patterns_figure
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

rng = np.random.default_rng(0)
GRID = (14, 14)
# pattern; its reach (patches to each side; a window's side; none in axial); number of the block (some alternate)
KINDS = {
    "local, 7 x 7": ("local", 3, 0),
    "windows, 7 x 7": ("window", 7, 0),
    "windows, displaced": ("window", 7, 1),
    "axial: row": ("axial", 1, 0),
    "axial: column": ("axial", 1, 1),
}


def allowed(kind, reach, number, class_token=False):
    """Which keys each query may look at, [T, T]."""
    return allowed_pairs(kind, GRID, class_token, reach, number)


patterns_figure({title: allowed(*kind) for title, kind in KINDS.items()}, GRID)

# %% [markdown]
# **Local** attention looks around ([Ramachandran et al. 2019](https://arxiv.org/abs/1906.05909)). **Windows** cut the image into squares, and
# displace the cuts in every other layer (Swin, [Liu et al. 2021](https://arxiv.org/abs/2103.14030)). **Axial** attention looks along the query's row,
# and in the next layer along its column ([the ViT paper](https://arxiv.org/abs/2010.11929), appendix D.6). ([More](../docs/derivations/patterns.md).)
#
# ## Counting
#
# For $T$ tokens of width $D$, attention makes two kinds of products. The four projections (queries, keys, values, output) take $4TD^2$ multiply-adds.
# The scores $qk^\top$, and the weights times the values, take $2T^2D$. Guess: in ViT-B, with 196 patches and $D=768$, which is the larger part?

# %%
print("image, tokens                        T      D   projections   scores, weighted values     ratio")
for words, T, D in (
    ("224 x 224, patches of 16", 14 * 14, 768),
    ("224 x 224, patches of 4 (Swin)", 56 * 56, 96),
    ("224 x 224, pixels", 224 * 224, 768),
):
    projections, scores = 4 * T * D * D, 2 * T * T * D
    millions = f"{projections / 1e6:9,.0f} M {scores / 1e6:21,.0f} M"
    print(f"{words:32} {T:6,} {D:5}   {millions}   {scores / projections:7.2f}")
T = 224 * 224
print(f"\na token a pixel, for each head: {T:,}^2 = {T * T / 1e9:.1f} billion scores")
print(f"in float32: {4 * T * T / 2**30:.1f} GiB")

# %% [markdown]
# At ViT's 196 tokens scores and weighted values are **an eighth** of the projections ($T/2D$): a pattern that saved all of the 59 M would still leave
# the 462 M. Patterns pay where there are many tokens of a small width.
#
# ## A pattern is a mask
#
# By definition, minus infinity is added to the scores that are not allowed, before the softmax. That computes all scores and throws most away. The
# efficient form puts queries that ask nearly the same keys into a **group**, and computes a small attention for each; the list of groups is the
# **plan**.

# %%
# An entry of the plan has G groups: queries [G, n] and keys [G, m], the tokens' numbers.
# added: the mask, and a bias if there is one.
# _on_device only puts the plan where the tokens are.
print(exercises.source(sparse_attention))

# %%
d = 16
q, k, v = rng.standard_normal((3, 196, d))
q /= math.sqrt(d)

print("pattern               allowed pairs   scores computed   of 38,416   largest difference to the mask")
differences = {}
for title, (kind, reach, number) in KINDS.items():
    pairs = allowed(kind, reach, number)
    plan = attention_plan(kind, GRID, class_token=False, reach=reach, number=number)
    y_mask, _ = attention(q, k, v, patterns.pattern_bias(pairs, "float64"))
    y, _ = sparse_attention(q, k, v, plan)
    differences[title] = abs(y - y_mask).max()
    computed = scores_computed(plan)
    share, difference = computed / pairs.size, differences[title]
    print(f"{title:20} {pairs.sum():12,} {computed:17,} {share:13.1%} {difference:18.0e}")

# %% [markdown]
# Windows and rows compute what is allowed and no more: all queries of a group ask the same keys. Displaced windows are cut at the border, so their
# pairs are fewer. In local attention a group is a small square of queries with all their neighbours; a mask hides from each query the keys outside
# its own neighbourhood.
#
# ## Break it: the edge
#
# A patch in the corner has fewer than 49 neighbours (itself among them). A [convolution](17_convolution_first.ipynb) puts zeros in the place of those
# that are missing. Keys and values of zeros: how much of the attention do you expect them to take?

# %%
corner = np.flatnonzero(allowed("local", 3, 0)[0])  # the neighbours of the first patch
missing = 49 - len(corner)
padded_k, padded_v = (np.concatenate([x[corner], np.zeros((missing, d))]) for x in (k, v))
y_padded, c_padded = attention(q[:1], padded_k, padded_v)
y_masked, _ = attention(q[:1], k[corner], v[corner])
zeros_take = c_padded["a"][0, len(corner) :].sum()
edge_error = abs(y_padded - y_masked).max()
print(f"the corner has {len(corner)} neighbours; {missing} keys of zeros")
print(f"take {zeros_take:.0%} of the attention, and the answer is off by {edge_error:.2f}")

# %% [markdown]
# A key of zeros has the score 0, and $e^0=1$: it is a key like others. Missing keys must be masked
# ([proof](../docs/derivations/patterns.md#two-forms)).
#
# ## How far does information get?
#
# A query that does not ask a key may still hear of it one layer later, by way of a third token. Write the patterns of two layers as matrices
# $A_1,A_2$ of 0 and 1: token $t$ has heard of $s$ after both if $(A_2A_1)_{ts}>0$. How many layers does it take until everybody has heard of
# everybody? Guess for local 3 x 3, without a class token and with one.


# %%
def layers_until_all(kind, reach, class_token=False):
    """How many layers it takes until every token has heard of every token."""
    heard = np.eye(196 + class_token, dtype=np.float32)
    for number in range(100):
        heard = (allowed(kind, reach, number, class_token).astype(np.float32) @ heard > 0).astype(np.float32)
        if heard.all():
            return number + 1


print("               pairs (mean of two layers)   layers until all   with a class token")
layers, with_class = {}, {}
for title, kind, reach in (
    ("full", "full", 1),
    ("axial", "axial", 1),
    ("windows, alternating", "window", 7),
    ("local, 7 x 7", "local", 3),
    ("local, 3 x 3", "local", 1),
):
    layers[title], with_class[title] = (layers_until_all(kind, reach, token) for token in (False, True))
    share = np.mean([allowed(kind, reach, number).mean() for number in (0, 1)])
    print(f"{title:22} {share:18.1%} {layers[title]:18} {with_class[title]:20}")

# %% [markdown]
# A row, then a column, reaches everything in two layers with 7.1 % of the pairs. A neighbourhood of 3 x 3 goes one patch a layer, and the other side
# is 13 patches away. A class token looks at all, and all look at it: two layers are enough.
#
# ## Local attention beside a convolution
#
# Let all queries be zero, and add to each score a learned bias of its **offset** (so many rows down and columns across). The weights of every query
# are then the softmax of the same biases. Is that attention, or a convolution?

# %%
offsets = rng.standard_normal((7, 7))  # the bias of each offset, rows by columns
rows, columns = np.divmod(np.arange(196), 14)
# key less query, counted from 0; pairs that are clipped are not allowed anyway
down, across = (np.clip(x - x[:, None], -3, 3) + 3 for x in (rows, columns))
plan = attention_plan("local", GRID, class_token=False, reach=3, number=0)
y, _ = sparse_attention(0 * q, k, v, plan, offsets[down, across])

kernel, _ = softmax(offsets.reshape(1, 49))
image = v.reshape(14, 14, d)
weights = kernel.reshape(7, 7)
# 8 x 8 places have all 49 neighbours
convolved = sum(weights[u, v] * image[u : u + 8, v : v + 8] for u, v in np.ndindex(7, 7))
apart = abs(y.reshape(14, 14, d)[3:11, 3:11] - convolved).max()
print(f"away from the edges: {apart:.0e} apart")
for side in (3, 7):
    by_convolution, by_attention = side**2 * 64**2, 4 * 64**2 + side**2
    print(f"{side} x {side}, D = 64, parameters: convolution {by_convolution:7,}", end="")
    print(f", attention with one head {by_attention:,}")

# %% [markdown]
# Away from the edges it is a convolution, with positive weights that sum to 1 and are the same in all channels. It is the queries that make weights
# depend on what stands there. As the neighbourhood grows, local attention gains only biases, one for each offset and head. A convolution layer, as
# counted here, has a matrix for each offset.
#
# ## Another formula: linear attention
#
# Why is attention quadratic at all? But for the exponential, $(qk^\top)v$ could be computed as $q(k^\top v)$, which has no $T\times T$ matrix in it.
# **Linear attention** ([Katharopoulos et al. 2020](https://arxiv.org/abs/2006.16236)) puts a product of positive **features** in the place of
# $e^{q\cdot k}$: $f(q)\cdot f(k)$, with $f(x)=x+1$ for $x>0$ and $e^x$ elsewhere. Then every query reads one summary of all keys and values.
#
# $$y_t=\frac{\sum_s(f(q_t)\cdot f(k_s))\,v_s}{\sum_s f(q_t)\cdot f(k_s)}=\frac{f(q_t)\left(\sum_s f(k_s)\,v_s^\top\right)}{f(q_t)\cdot\sum_s f(k_s)}$$
#
# **Exercise** ([how exercises are marked](00_start_here.ipynb)). Write it before you see it. Of a wrong answer, a picture shows what was expected,
# what yours gives, and the difference.


# %%
def my_linear_attention(q, k, v):
    """Features q [..., T, d] and k [..., S, d], and v [..., S, e] -> y [..., T, e], without a [T, S] matrix.

    The cache is {"q", "k", "v", "kv": k^T v, "n": sum of keys [..., d, 1], "y", "total": q n [..., T, 1]}.
    """


print(verdict := exercises.check("linear_attention", my_linear_attention))
verdict.picture()

# %%
print(exercises.source(linear_attention))
fq, fk = positive_features(q)[0], positive_features(k)[0]
weights = fq @ fk.T
quadratic = weights / weights.sum(axis=1, keepdims=True) @ v
linear_error = abs(linear_attention(fq, fk, v)[0] - quadratic).max()
print(f"\nthe quadratic form and the linear one: {linear_error:.0e} apart")

# %% [markdown]
# It is another function, not an approximation of softmax attention. Let the queries grow, so that a softmax looks ever more sharply. How large do you
# expect the largest of the 196 weights to become on average, with the softmax and with linear attention?

# %%
largest = {}
for times in (1, 4, 16, 64):
    sharp, _ = softmax(times * q @ k.T)
    fq = positive_features(times * q)[0]
    even = fq @ fk.T
    largest[times] = sharp.max(axis=1).mean(), (even / even.sum(axis=1, keepdims=True)).max(axis=1).mean()
    of_softmax, of_linear = largest[times]
    print(f"queries x {times:2}: softmax {of_softmax:.3f}, linear {of_linear:.3f} (even: {1 / 196:.3f})")

# %% [markdown]
# With the softmax a long query points at one token. In linear attention length does not help: each weight is an average, weighted by the query, over
# the features $c$, of its key's shares $f(k_s)_c/\sum_r f(k_r)_c$, so it never exceeds the largest, whatever the query is
# ([derived](../docs/derivations/linear_attention.md#what-the-gradient-cannot-see)).
#
# ## No pair left out, and no matrix either
#
# With many tokens memory hurts, too: a training step keeps the $T\times T$ weights of every head. Can the softmax of a row be computed without the
# whole row? Its scores come in blocks. Of the scores $s$ so far keep the largest, $m$, the sum $\ell$ of $e^{s-m}$ and the sum $u$ of $e^{s-m}v$.
# When a larger score $m'$ comes, both sums are multiplied by $e^{m-m'}$. In the end $y=u/\ell$. This is the **online softmax** ([Milakov and
# Gimelshein 2018](https://arxiv.org/abs/1805.02867); [derived here](../docs/derivations/online_softmax.md)).

# %%
print(exercises.source(blockwise_attention))

# %% [markdown]
# The cache keeps $\mathrm{lse}=m+\ln\ell$ (log-sum-exp): the weights are $e^{q\cdot k-\mathrm{lse}}$.
#
# **Break it.** Leave the factor $e^{m-m'}$ (`rescaled`) out of $u$, and keep it in $\ell$ (`total`). Is the result always wrong?

# %%
careless = edited(blockwise_attention, ("u = rescaled * u + weights", "u = u + weights"))
y, _ = attention(q, k, v)
right = abs(blockwise_attention(q, k, v, block=32)[0] - y).max()
wrong = abs(careless(q, k, v, block=32)[0] - y)
fine = (wrong.max(axis=1) < 1e-12).mean()
print(f"with the factor: off by {right:.0e}")
print(f"without: off by up to {wrong.max():.2f}, and right for {fine:.0%} of the queries")

# %% [markdown]
# Where the first block already holds the largest score, nothing needs rescaling. A test whose largest scores come first would not see the mistake.
#
# ## Time and memory
#
# Forward and backward, one head of width 64, on one core. A cost proportional to $T^a$ is a line of slope $a$ on logarithmic axes. Which $a$ do you
# expect of time and memory?

# %%
SIDES = (8, 12, 16, 24, 32, 48)
STYLES = {
    "dense": dict(color="black", marker="x"),
    "dense, in blocks": dict(color=ORANGE, marker="s"),
    "local, 7 x 7": dict(color=BLUE, marker="o"),
    "axial: row": dict(color="#009e73", marker="^"),
    "linear": dict(color="#cc79a7", marker="D"),
}


def both_passes(forward, backward, q, k, v, dy, *more):
    _, c = forward(q, k, v, *more)
    backward(dy, c)


def cost(step, repeats=15):
    """Milliseconds of the processor, the median; and the MB that are allocated at once."""
    step()
    times = []
    for _ in range(repeats):
        begun = process_time()
        step()
        times.append(1000 * (process_time() - begun))
    tracemalloc.start()
    step()
    peak = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return np.median(times), peak


keep_freed_memory()  # as in training (notebook 12)
# attend(q, k, v, plan): `sparse_attention`; or, if the plan is "linear", `linear_attention` of the features.
costs = {name: [] for name in STYLES}
for side in SIDES:
    # q, k, v and dy, each [1 image, 1 head, T, 64]
    tokens = rng.standard_normal((4, 1, 1, side * side, 64), dtype=np.float32)
    plans = {
        "local, 7 x 7": attention_plan("local", (side, side), class_token=False, reach=3, number=0),
        "axial: row": attention_plan("axial", (side, side), class_token=False, reach=1, number=0),
    }
    for name, pair, *more in (
        ("dense", (attention, attention_backward)),
        ("dense, in blocks", (blockwise_attention, blockwise_attention_backward)),
        *((name, (attend, attend_backward), plan) for name, plan in plans.items()),
        ("linear", (attend, attend_backward), "linear"),
    ):
        costs[name].append(cost(partial(both_passes, *pair, *tokens, *more)))

figure = new_figure(8, 3.2)
counts = np.array(SIDES) ** 2
panels = dict(zip(("milliseconds", "MB at once"), figure.subplots(1, 2), strict=True))
for number, (words, axes) in enumerate(panels.items()):
    for name, style in STYLES.items():
        axes.plot(counts, [x[number] for x in costs[name]], label=name, markersize=5, **style)
    axes.set(xscale="log", yscale="log", xlabel="tokens", ylabel=words)
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    plain(axes)
axes.legend(fontsize=8)

print("from 256 tokens on      a of the time   a of the memory")
slopes = {}
for name, measured in costs.items():
    slopes[name] = np.polyfit(np.log(counts[2:]), np.log(measured[2:]), 1)[0]
    print(f"{name:22} {slopes[name][0]:14.1f} {slopes[name][1]:17.1f}")
figure

# %% [markdown]
# The time of **dense** attention (all pairs) grows with about $T^2$, in blocks or not; that of local and of linear attention with about $T$. So does
# that of rows, here. Counted, they have $T\sqrt T$ scores, for rows get longer, too; at these sizes that hardly shows yet ([later it
# does](../docs/derivations/patterns.md#counted-and-timed)). In blocks, the memory of dense attention grows with $T$ only. At 64 tokens no form is
# faster than dense attention.
#
# And a token a pixel? Dense attention would need the 9.4 GiB from above for each head's weights. Two others:

# %%
pixels = rng.standard_normal((4, 1, 1, 224 * 224, 64), dtype=np.float32)  # q, k, v, dy
plan = attention_plan("axial", (224, 224), class_token=False, reach=1, number=0)
for name, how in (("axial: row", plan), ("linear", "linear")):
    milliseconds, megabytes = cost(partial(both_passes, attend, attend_backward, *pixels, how), repeats=1)
    print(f"50,176 tokens, {name:10} {milliseconds:5,.0f} ms, {megabytes:4.0f} MB at once")
print(f"a query asks 224 keys: {scores_computed(plan):,} scores instead of {50_176**2:,}")

# %% [markdown]
# Does a model that leaves pairs out answer as well? [The lab](../docs/lab.md#which-keys-must-a-query-look-at) trains one with each pattern.
#
# ## Exercises
#
# Write the pattern of windows that are displaced down and to the right by $s$. What the border leaves of a window is a window, too.


# %%
def my_windows(height, width, window, shift=0):
    """The grid's height and width, the windows' side, the shift s -> allowed [T, T].

    True where query (row) and key (column) share a window.
    """


print(verdict := exercises.check("windows", my_windows))
verdict.picture()

# %% [markdown]
# The way back through the blocks.


# %%
def my_blockwise_attention_backward(dy, c, block=128):
    """dy [..., T, d] and the cache -> dq, dk, dv, with one block of weights at a time.

    The cache is {"q", "k", "v", "y", "lse": m + ln(sum) of each row, [..., T, 1]}.
    """


print(verdict := exercises.check("blockwise_attention_backward", my_blockwise_attention_backward))
verdict.picture()

# %% [markdown]
# New ground: every four neighbouring keys are replaced by their mean, and so are their values (one form of Linformer, [Wang et al.
# 2020](https://arxiv.org/abs/2006.04768)). `attention_backward` may help.


# %%
def pooled_attention(q, k, v):
    """q [T, d], k and v [S, d] -> y [T, d]; S is a multiple of 4."""
    k_means, v_means = (x.reshape(-1, 4, x.shape[-1]).mean(axis=1) for x in (k, v))  # [S/4, d]
    return attention(q, k_means, v_means)


def my_pooled_attention_backward(dy, c):
    """dy [T, d] and the cache of `attention`, {"q", "k" and "v": the means, "a": [T, S/4]} -> dq, dk, dv."""


given = rng.standard_normal((3, 8, 5))
print(verdict := exercises.grade(pooled_attention, my_pooled_attention_backward, *given))
verdict.picture()

# %% [markdown]
# ## What we know now
#
# Patches keep $T^2$ small. Patterns leave pairs out; a row, then a column, still joins everything in two layers. Linear attention forms no pairs, but
# a longer query does not single out a token. Exact attention needs no matrix: only its time is quadratic.

# %%
sparse_report = gradcheck(
    sparse_attention,
    lambda dy, c: sparse_attention_backward(dy, c)[:3],
    *rng.standard_normal((3, 16, 2)),
    plan=attention_plan("local", (4, 4), class_token=False, reach=1, number=0),
)
positive = abs(rng.standard_normal((3, 5, 2))) + 0.2
linear_report = gradcheck(linear_attention, linear_attention_backward, *positive)
blocks_report = gradcheck(blockwise_attention, blockwise_attention_backward, *rng.standard_normal((3, 5, 2)))
assert sparse_report.ok and linear_report.ok and blocks_report.ok
assert max(differences.values()) < 1e-13 and edge_error > 0.01 and apart < 1e-13
assert allowed("local", 3, 0).sum() == 7_396 and allowed("window", 7, 1).sum() == 5_476
assert layers["axial"] == 2 and layers["local, 3 x 3"] == 13 and max(with_class.values()) == 2
assert linear_error < 1e-12 and right < 1e-13 and wrong.max() > 0.01 and 0 < fine < 1
assert largest[64][0] > 0.9 and largest[64][1] < 0.1
assert all(costs[name][-1][0] < costs["dense"][-1][0] / 3 for name in ("axial: row", "linear"))
assert costs["dense, in blocks"][-1][1] < costs["dense"][-1][1] / 5
assert slopes["dense"].min() > 1.5 and max(slopes[name][1] for name in slopes if name != "dense") < 1.5

# %% [markdown]
# Next: [Swin](16_swin_from_a_window_to_a_pyramid.ipynb).
