# %% [markdown]
# # Heads: several questions at once
#
# **The question.** A softmax gives one set of weights, and so one weighted average. What if a patch wants two things at once?

# %%
import dataclasses
import math

import numpy as np

import tinyvit
from tinyvit import exercises, trees
from tinyvit.layers.linear import linear
from tinyvit.layers.multi_head_attention import (
    multi_head_attention,
    multi_head_attention_backward,
    multi_head_attention_init,
)
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.heads import merge_heads, split_heads
from tinyvit.ops.scale import scale_queries
from tinyvit.viz import overview
from tinyvit.viz.maps import attention_figure
from tinyvit.viz.picture import BLUE, ORANGE, bare, new_figure, plain

rng = np.random.default_rng(0)
overview("attention")

# %% [markdown]
# The answer is to let every patch ask several times, each time with weights of its own: each of these is a **head**. Below is a small Vision
# Transformer, trained on handwritten digits, with three blocks (in the picture: layers) of four heads. Each panel shows where the class token, from
# which the answer is read, looks in one head: lighter patches get more.

# %%
data = tinyvit.load_data("digits")
images = data[1][0]
config = tinyvit.PRESETS["digits"]
p, _ = tinyvit.fit(config, data, recipe=tinyvit.Recipe(epochs=12, learning_rate=5e-3), progress=False)

_, c = tinyvit.vit(images, p, config)
maps = tinyvit.attention_maps(c)  # of each block: [B, heads, T, T]

figure = attention_figure(images[3], [a[3] for a in maps])
figure.set_size_inches(7.4, 4.5)
figure

# %% [markdown]
# The heads of a block look at different patches. As a number: which share of one head's attention would have to go to other tokens for it to equal
# another head's? That is half the sum of $|a - b|$ over the tokens: 0 where two heads $a$ and $b$ agree, 1 where they have nothing in common.


# %%
def moved(a):
    """The share between each two heads of a block, in the class token's rows: a [B, h, T, T] -> [h, h]."""
    looks = a[:, :, 0]  # [B, h, T]
    return abs(looks[:, :, None] - looks[:, None]).sum(axis=-1).mean(axis=0) / 2


def mean_moved(a):
    """The mean over all pairs of different heads."""
    return moved(a)[~np.eye(a.shape[1], dtype=bool)].mean()


_, c_start = tinyvit.vit(images, tinyvit.vit_init(np.random.default_rng(0), config), config)
apart = {"before": [mean_moved(a) for a in tinyvit.attention_maps(c_start)], "after": [mean_moved(a) for a in maps]}
for when, numbers in apart.items():
    print(f"{when:6} training", "  ".join(f"block {i}: {number:3.0%}" for i, number in enumerate(numbers, 1)))

# %% [markdown]
# They differ before training, since they start from different random numbers, and more so after it. Suppose that head 2 begins as a copy of head 1.
# Will training part them?

# %%
copied = tinyvit.vit_init(np.random.default_rng(0), config)
one, two = slice(0, config.dim // config.heads), slice(config.dim // config.heads, 2 * config.dim // config.heads)
for block in copied["blocks"]:
    for name in "qkv":
        block["msa"][name]["w"][:, two] = block["msa"][name]["w"][:, one]  # a head has its own columns of q, k, v
        block["msa"][name]["b"][two] = block["msa"][name]["b"][one]
    block["msa"]["o"]["w"][two] = block["msa"]["o"]["w"][one]  # and its own rows of what comes after

recipe = tinyvit.Recipe(epochs=3, learning_rate=5e-3)
p_copied, _ = tinyvit.fit(config, data, p=copied, recipe=recipe, progress=False)
_, c_copied = tinyvit.vit(images, p_copied, config)
pairs = [moved(a) for a in tinyvit.attention_maps(c_copied)]
for i, pair in enumerate(pairs, 1):
    print(f"block {i}: heads 1 and 2 are {pair[0, 1]:.0e} apart, heads 3 and 4 are {pair[2, 3]:.2f} apart")

# %% [markdown]
# They stay one head, but for rounding: equal heads get equal gradients.
#
# ## What one head cannot do
#
# Here is a row of pixels, bent into a ring. Every pixel wants to know whether it lies on an edge: its right neighbour's brightness minus its left
# neighbour's. We choose the weights by hand. Attention takes a **bias**, which is added to the scores before the softmax: where queries and keys are
# zero, a bias of $\log a$ gives exactly the weights $a$.
#
# First one head, which takes the share $\alpha$ from the left and $1 - \alpha$ from the right. What it hands out is multiplied by the number that
# fits the edges best. Which share of their variance is left?

# %%
ring = 8
pixels = rng.standard_normal((20_000, ring, 1))  # [B, T, 1]: many rings of eight pixels
left, right = (np.roll(np.eye(ring), step, axis=1) for step in (-1, 1))  # row t has its 1 in column t - 1, or t + 1
edge = (right - left) @ pixels  # what is wanted


def chosen_attention(weights, values):
    """Attention with these weights [..., T, T]: through the bias alone, queries and keys being zero."""
    with np.errstate(divide="ignore"):  # log 0 is -inf, and a bias of -inf is a weight of 0
        bias = np.log(weights)
    nothing = np.zeros_like(values)
    return attention(nothing, nothing, values, bias)[0]


def unexplained(y):
    """The share of the edges' variance that no multiple w of y explains."""
    w = (y * edge).sum() / (y * y).sum()
    return ((y * w - edge) ** 2).sum() / (edge**2).sum()


alphas = np.linspace(0, 1, 21)
one_head = [unexplained(chosen_attention(alpha * left + (1 - alpha) * right, pixels)) for alpha in alphas]
print(f"one head, at best: {min(one_head):.2f} of the variance is not explained")

# %% [markdown]
# Then two heads, one looking left, the other right, on an axis of their own: $[B, h, T, d]$, with $h = 2$ and $d = 1$. `merge_heads` lays their
# answers side by side, and a matrix takes the difference.

# %%
both = chosen_attention(np.stack([left, right]), np.stack([pixels, pixels], axis=1))  # [B, h, T, d]
side_by_side = merge_heads(both)  # [B, T, h d]
two_heads = side_by_side @ np.array([[-1.0], [1.0]])
print("heads", list(both.shape), "  merged", list(side_by_side.shape), "  not explained", unexplained(two_heads))

figure = new_figure(5.5, 2.4)
axes = figure.subplots()
axes.plot(alphas, one_head, "o-", color=ORANGE, label="one head")
axes.axhline(unexplained(two_heads), color=BLUE, label="two heads:\none left, one right")
axes.set(xlabel=r"share $\alpha$ that one head takes from the left", ylabel="share not explained", ylim=(-0.05, 1.1))
plain(axes)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# One head's answer is $w \sum_j a_j x_j$, and no $a_j$ is negative; a difference needs two signs. At best it looks at one side only, say the right,
# $r$: with pixels of variance 1 the edge $r - l$ has variance 2, and $w\, r$ with $w = 1$ leaves $-l$, of variance 1: half. A wider head does not help,
# since all its columns have the same weights. (Here the weights depend on a pixel's place only, not on its brightness.)
#
# ## Splitting, and the mistake that is made there
#
# Queries, keys and values are made as in [notebook 3](03_attention.ipynb), for all heads at once. Sizes that all differ: $B = 5$ images, $T = 4$
# tokens, width $D = 6$, $h = 2$ heads, and so $D_h = D/h = 3$ (`d`). Head $i$ of $1, \ldots, h$ gets the columns $(i - 1) D_h$ to $i D_h$ of $q$, $k$
# and $v$, as if there were nothing else. The plainest program is a loop:

# %%
B, T, D, h = 5, 4, 6, 2
d = D // h
x = rng.standard_normal((B, T, D))
# multi_head_attention_init gives only the shapes here; all numbers, biases too, are drawn at random.
p_small = trees.map(lambda leaf: rng.standard_normal(leaf.shape) / math.sqrt(D), multi_head_attention_init(None, D))
q, k, v = (linear(x, p_small[name])[0] for name in "qkv")


def in_a_loop(q, k, v):
    """Each head by itself, on its own d columns; then side by side."""
    y = []
    for i in range(h):  # head 1 has the index 0
        mine = slice(i * d, (i + 1) * d)
        y.append(attention(q[..., mine] / math.sqrt(d), k[..., mine], v[..., mine])[0])
    return np.concatenate(y, axis=-1)


print("q, k, v:", list(q.shape), "  heads side by side:", list(in_a_loop(q, k, v).shape))

# %% [markdown]
# One matrix product can run all heads at once, if they have an axis of their own in front of the tokens: $[B, T, D] \rightarrow [B, h, T, d]$.
#
# **Exercise.** Write this step ([how exercises are marked](00_start_here.ipynb)).


# %%
def my_split_heads(x, heads):
    """x [B, T, D] -> [B, h, T, d], with h = heads and d = D/h: index i on axis 1 has the columns i d to (i+1) d. No cache."""


exercises.check("split_heads", my_split_heads)

# %%
print(exercises.source(split_heads))
print(exercises.source(merge_heads))

# %% [markdown]
# Cut $D$ into $h \times d$, then **swap** the axes of tokens and heads. `x.reshape(B, h, T, d)` has the same shape, with the numbers in other places.
# In the picture, 31 stands for token 3, column 1; blue columns belong to head 1, orange ones to head 2.

# %%
labels = 10 * np.arange(T)[:, None] + np.arange(D)  # [T, D]
blocks = {
    "q of one image": labels,
    "split: head 1": split_heads(labels[None], h)[0, 0],
    "split: head 2": split_heads(labels[None], h)[0, 1],
    "reshape: head 1": labels.reshape(h, T, d)[0],
    "reshape: head 2": labels.reshape(h, T, d)[1],
}
figure = new_figure(7.5, 1.8)
ratios = [block.shape[1] for block in blocks.values()]
for axes, (title, block) in zip(figure.subplots(1, 5, width_ratios=ratios), blocks.items(), strict=True):
    for (row, column), label in np.ndenumerate(block):
        colour = (BLUE, ORANGE)[label % 10 // d]
        axes.text(column, -row, f"{label:02}", color="white", backgroundcolor=colour, ha="center", va="center")
    axes.set(xlim=(-0.6, block.shape[1] - 0.4), ylim=(-T + 0.4, 0.6))
    axes.set_title(title, fontsize=9)
    bare(axes)
figure

# %% [markdown]
# After the plain reshape, "head 1" has all columns of tokens 0 and 1: the array is read in the order in which it lies in memory, and a token's
# columns lie side by side there. Suppose that the mistake is made forward and backward alike. Does a gradient check complain?


# %%
def unswapped(q, k, v):
    q, k, v = (t.reshape(B, h, T, d) for t in (q / math.sqrt(d), k, v))
    y, c = attention(q, k, v)
    return y.reshape(B, T, D), c


def unswapped_backward(dy, c):
    dq, dk, dv, _ = attention_backward(dy.reshape(B, h, T, d), c)
    return tuple(t.reshape(B, T, D) for t in (dq / math.sqrt(d), dk, dv))


fooled = tinyvit.gradcheck(unswapped, unswapped_backward, q, k, v)
print(fooled)

# %% [markdown]
# It does not, and it is right: this *is* the gradient of that function. A gradient check does not know which function you meant. So compare the
# results with those of another program: the loop. And what would the mistake do to a model? Move one token at a time, and see whose output changes: a
# 1 in row $t$ and column $s$ says that token $t$ sees token $s$.

# %%
batched = merge_heads(attention(*(split_heads(t, h) for t in (q / math.sqrt(d), k, v)))[0])
split_error = abs(batched - in_a_loop(q, k, v)).max()
reshape_error = abs(unswapped(q, k, v)[0] - in_a_loop(q, k, v)).max()
print(f"split_heads, far from the loop by {split_error:.0e}")
print(f"reshape,     far from the loop by {reshape_error:.2f}")


def sees(f):
    """[T, T]: does the output of token t change when token s is moved?"""
    found, y = np.zeros((T, T), int), f(q, k, v)
    for s in range(T):
        shifted = [t + (np.arange(T) == s)[:, None] for t in (q, k, v)]
        found[:, s] = abs(f(*shifted) - y).max(axis=(0, 2)) > 1e-9
    return found


seen = sees(in_a_loop), sees(lambda q, k, v: unswapped(q, k, v)[0])
print("loop over heads:", *seen[0], sep="\n")
print("plain reshape:", *seen[1], sep="\n")

# %% [markdown]
# The tokens 0 and 1 never meet 2 and 3, and nothing crashes. Where $h$ divides $T$, each head gets whole tokens, and more blocks do not help: a class
# token at 0 would never hear of half of the image.
#
# ## Side by side is not enough
#
# A last linear layer, the **output projection**, belongs to multi-head attention (Vaswani et al. 2017, section 3.2.2; ViT's (8) has semicolons
# between columns):
#
# $$ \mathrm{MSA}(\mathbf{z}) = [\mathrm{SA}_1(\mathbf{z}); \mathrm{SA}_2(\mathbf{z}); \cdots; \mathrm{SA}_k(\mathbf{z})]\, \mathbf{U}_{msa}
#    \qquad (8) $$
#
# In the code: $k$ is `heads`, the brackets are `merge_heads`, and $\mathbf{U}_{msa}$ is the linear layer `p["o"]`, with a weight $w_o$ $[D, D]$ and a
# bias $b_o$. In the example of the edges it took the difference.
#
# **Exercise.** Write the whole layer.


# %%
def my_multi_head_attention(x, kv, p, *, heads, bias=None):
    """Tokens x [B, T, D] ask tokens kv [B, S, D] -> y [B, T, D] = concat(head_1, ..., head_h) w_o + b_o.

    q = linear(x, p["q"]), k and v = linear(kv, p["k"]) and linear(kv, p["v"]), each split into heads;
    head_i = softmax(q_i k_i^T / sqrt(d) + bias) v_i. Use linear, split_heads, scale_queries, attention, merge_heads.

    The cache is {"q", "k", "v", "o": the caches of the four linear layers, "att": attention's, whose q is already scaled,
    "scale": that of scale_queries, {}}. Relative positions, p["r"], do not occur here.
    """


exercises.check("multi_head_attention", my_multi_head_attention)

# %%
print(exercises.source(multi_head_attention))

# %% [markdown]
# (`plan` is for [other attention](15_who_looks_at_whom.ipynb), `past` for [text](19_from_recurrence_to_the_transformer.ipynb), `"r"` for
# [relative positions](05_positions.ipynb).) Below, the matrix that makes one head's values is changed, and the change of the output is measured in
# each of its $D$ columns: with the identity for $w_o$, and with $w_o$ as drawn.


# %%
def touched(p):
    """[h, D]: how much the columns of the output change when the values of one head do."""
    y, _ = multi_head_attention(x, x, p, heads=h)
    changes = []
    for i in range(h):
        w = p["v"]["w"].copy()
        w[:, i * d : (i + 1) * d] += 1
        y_changed, _ = multi_head_attention(x, x, p | {"v": {"w": w, "b": p["v"]["b"]}}, heads=h)
        changes.append(abs(y_changed - y).mean(axis=(0, 1)))
    return np.array(changes)


identity = p_small | {"o": {"w": np.eye(D), "b": np.zeros(D)}}
alone, mixed = touched(identity), touched(p_small)
print("w_o the identity:", *alone.round(2), sep="\n")
print("w_o as drawn:", *mixed.round(2), sep="\n")

# %% [markdown]
# With the identity each head touches its own columns, and what two heads have found can never be put together by this layer. With $w_o$ every head
# writes into all columns: rows $(i - 1) d$ to $i d$ of $w_o$ meet head $i$ only, so $y$ is a sum over heads, each with its own piece of $w_o$.

# %%
heads_alone = in_a_loop(q, k, v)  # [B, T, h d]
columns = [slice(i * d, (i + 1) * d) for i in range(h)]
pieces = [heads_alone[..., mine] @ p_small["o"]["w"][mine] for mine in columns]  # h arrays [B, T, D]
y, c_small = multi_head_attention(x, x, p_small, heads=h)
sum_error = abs(sum(pieces) + p_small["o"]["b"] - y).max()
loop_error = abs(linear(heads_alone, p_small["o"])[0] - y).max()
print(f"sum over heads, and the layer: {sum_error:.0e};  loop, then w_o, and the layer: {loop_error:.0e}")

# %% [markdown]
# ## What heads cost, and what they are worth
#
# In parameters, nothing: $4 (D^2 + D)$, in which $h$ does not occur; more heads are narrower heads. The products cost the same as well: the scores
# are $h$ times $T^2 d$ multiplications, together $T^2 D$. Only the attention weights (the **maps**), $h\, T^2$ numbers, and their softmax grow with
# $h$. (These are counts; [notebook 12](12_speed.ipynb) measures time.) For models of [the usual sizes](07_the_vision_transformer.ipynb):

# %%
for name in ("Ti/16", "S/16", "B/16", "L/16", "H/14"):
    size = tinyvit.PRESETS[name]
    parameters = tinyvit.count(multi_head_attention_init(None, size.dim))
    print(
        f"{name:5}  D = {size.dim:4}   h = {size.heads:2}   d = {size.dim // size.heads}   parameters {parameters:9,}"
    )

# %% [markdown]
# And does accuracy need four heads? The digits model with other numbers of them, a short training with two seeds each:

# %%
short = tinyvit.Recipe(epochs=6, learning_rate=5e-3)
accuracies = {}
for heads in (1, 2, 4, 8):
    changed = dataclasses.replace(config, heads=heads)
    runs = [tinyvit.fit(changed, data, recipe=short, seed=seed, workers=1, progress=False)[1] for seed in (0, 1)]
    accuracies[heads] = [history[-1]["test_accuracy"] for history in runs]
    each = "  ".join(f"{accuracy:.1%}" for accuracy in accuracies[heads])
    print(f"h = {heads}, d = {config.dim // heads:2}:   {each}   mean {np.mean(accuracies[heads]):.1%}")

# %% [markdown]
# One head alone is behind, but works; of two, four and eight, two runs each do not tell which is best.
#
# ## The way back
#
# The backward pass undoes the forward pass line by line. `merge_heads` and `split_heads` only rename indices, so each is the other's backward pass.
#
# **Exercise.** Write the backward pass.


# %%
def my_multi_head_attention_backward(dy, p, c):
    """dy [B, T, D], p {q, k, v, o} and the cache {q, k, v, scale, att, o} -> dx [B, T, D], dkv [B, S, D], dbias, g {q, k, v, o}.

    The heads' number and width are found in the shape of c["att"]["q"], [B, h, T, d]. Both k and v come from kv.
    To import: linear_backward from tinyvit.layers.linear, scale_queries_backward from tinyvit.ops.scale.
    """


exercises.check("multi_head_attention_backward", my_multi_head_attention_backward)

# %%
print(exercises.source(multi_head_attention_backward))

# %% [markdown]
# The tokens get two gradients, `dx` by way of the queries, `dkv` by way of keys and values. In self-attention both inputs are the same array, and
# where an array is used twice, its gradients add up.


# %%
def self_attention(x, p):
    return multi_head_attention(x, x, p, heads=h)


def self_attention_backward(dy, p, c):
    dx, dkv, _, g = multi_head_attention_backward(dy, p, c)
    return dx + dkv, g


report = tinyvit.gradcheck(self_attention, self_attention_backward, x, p_small)
print(report)

# %% [markdown]
# ## A parameter without a gradient
#
# Look at the row of `p/k/b`, the bias of the keys: both gradients are rounding. The true one is zero, whatever the data are.
#
# Added to every key, $b_k$ adds the same number $q_t \cdot b_k$ to all scores of query $t$, and the softmax does not see a shift that is common to a
# row ([notebook 3](03_attention.ipynb)). The bias of the values is not lost, but not needed: the weights of a row sum to 1, so it comes out as
# $b_v w_o$, as a part of $b_o$ would.

# %%
g_small = self_attention_backward(rng.standard_normal(y.shape), p_small, c_small)[1]
for name in "qkvo":
    print(f"largest gradient of b_{name}: {abs(g_small[name]['b']).max():.0e}")

far_keys = p_small | {"k": {"w": p_small["k"]["w"], "b": p_small["k"]["b"] + 10}}
key_error = abs(self_attention(x, far_keys)[0] - y).max()
print(f"10 is added to the key bias: the output changes by {key_error:.0e}")

without = p_small | {
    "v": {"w": p_small["v"]["w"], "b": np.zeros(D)},
    "o": {"w": p_small["o"]["w"], "b": p_small["o"]["b"] + p_small["v"]["b"] @ p_small["o"]["w"]},
}
value_error = abs(self_attention(x, without)[0] - y).max()
print(f"value bias moved into the output bias: the output changes by {value_error:.0e}")

# %% [markdown]
# ## Asking others, and masks
#
# With `kv` other than `x` this is **cross-attention**: $T$ tokens ask $S$ others, as a translation asks the sentence that it translates
# ([notebook 19](19_from_recurrence_to_the_transformer.ipynb)), or as the class token alone may ask all in a ViT's last block
# ([notebook 14](14_class_token_or_average.ipynb)). A bias of $-\infty$ is a **mask**, which hides a key from a query: whoever predicts the next word
# must not look ahead.

# %%
others = rng.standard_normal((B, 7, D))
y_cross, c_cross = multi_head_attention(x, others, p_small, heads=h)
print(
    "x",
    list(x.shape),
    "  kv",
    list(others.shape),
    "  maps",
    list(c_cross["att"]["a"].shape),
    "  y",
    list(y_cross.shape),
)

no_future = np.where(np.tri(T, dtype=bool), 0, -np.inf)
y_masked, c_masked = multi_head_attention(x, x, p_small, heads=h, bias=no_future)
print(c_masked["att"]["a"][0, 0].round(3))

last_changed = x + (np.arange(T) == T - 1)[:, None]
later = abs(multi_head_attention(last_changed, last_changed, p_small, heads=h, bias=no_future)[0] - y_masked)
later = later.max(axis=(0, 2))
print("another last token changes the outputs by", later.round(2))

# %% [markdown]
# ## Break it
#
# One wrong letter: `dkv, g["v"] = linear_backward(dv, p["k"], c["v"])`. Which rows of the check will be wrong?


# %%
def wrong_letter(dy, p, c):
    return self_attention_backward(dy, p | {"v": p["k"]}, c)  # to hand over other parameters has the same effect


broken = tinyvit.gradcheck(self_attention, wrong_letter, x, p_small)
print(broken)

# %% [markdown]
# Only `x`: the gradients of the parameters are right, so `dv` is right too, and the mistake is in the step from `dv` to the input.
#
# ## Exercise: one key and one value for all heads
#
# **Multi-query attention** ([Shazeer 2019](https://arxiv.org/abs/1911.02150)). Each head has its own queries, and all share one key and
# one value of width $D_h$. Here is the way forward, without the output projection. Write the way back.


# %%
def multi_query(x, p):
    """x [B, T, D], p {q {w [D, D], b}, k {w [D, d], b}, v {w [D, d], b}} -> y [B, T, D]."""
    c = {}
    q, c["q"] = linear(x, p["q"])  # [B, T, D]
    k, c["k"] = linear(x, p["k"])  # [B, T, d]
    v, c["v"] = linear(x, p["v"])
    q, c["scale"] = scale_queries(split_heads(q, h))  # [B, h, T, d]
    y, c["att"] = attention(q, k[:, None], v[:, None])  # k and v [B, 1, T, d], for every head the same
    return merge_heads(y), c


def my_multi_query_backward(dy, p, c):
    """dy [B, T, D], p and the cache {q, k, v, scale, att} -> dx [B, T, D], g {q, k, v}.

    To import: linear_backward from tinyvit.layers.linear, scale_queries_backward from tinyvit.ops.scale.
    """


p_query = {"q": p_small["q"]} | {name: {"w": p_small[name]["w"][:, :d], "b": p_small[name]["b"][:d]} for name in "kv"}
exercises.grade(multi_query, my_multi_query_backward, x, p_query)

# %% [markdown]
# ## What we know now
#
# Heads have weights and columns of their own. They cost no parameters, and differ because they start so. The output
# projection puts together what the heads have found.

# %%
assert all(after > before for before, after in zip(*apart.values(), strict=True))
assert all(pair[0, 1] < 1e-4 and pair[2, 3] > 0.1 for pair in pairs)
assert 0.48 < min(one_head) < 0.52 and unexplained(two_heads) < 1e-12
assert fooled.ok and reshape_error > 0.1 and split_error < 1e-12 and loop_error < 1e-12 and sum_error < 1e-12
assert seen[0].all() and not seen[1][:2, 2:].any() and not seen[1][2:, :2].any()
for i in range(h):
    own = np.arange(D) // d == i
    assert (alone[i, own] > 0).all() and (alone[i, ~own] == 0).all() and (mixed[i] > 0).all()
assert tinyvit.count(p_small) == 4 * (D**2 + D)
assert min(accuracies[1]) > 0.5
assert report.ok and [row.name for row in broken.rows if row.error > broken.rtol] == ["x"]
assert abs(g_small["k"]["b"]).max() < 1e-14 and key_error < 1e-12 and value_error < 1e-12
assert c_cross["att"]["a"].shape == (B, h, T, 7) and (later[:-1] == 0).all() and later[-1] > 0

# %% [markdown]
# Next: [positions](05_positions.ipynb). Attention by itself does not know where a patch was.
