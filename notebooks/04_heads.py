# %% [markdown]
# # Heads: several questions at once
#
# **The question.** A softmax gives one set of weights, and so one weighted average. What if a patch wants two things at once?
#
# The answer is to let every patch ask several times, with several sets of weights. Each of these is a **head**. Below is a small Vision Transformer,
# trained for two seconds on handwritten digits. It has three layers of four heads. Each panel shows where one head's class token (the token that the
# answer is read from) looks in one image: lighter patches get more.

# %%
import math

import numpy as np

import tinyvit
from tinyvit import exercises, trees
from tinyvit.layers.fused_projection import fuse_projections, fused_projection, fused_projection_backward
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.multi_head_attention import (
    multi_head_attention,
    multi_head_attention_backward,
    multi_head_attention_init,
)
from tinyvit.ops.attention import attention, attention_backward
from tinyvit.ops.heads import merge_heads, split_heads
from tinyvit.viz.attention import attention_distance, patch_distances, uniform_distance
from tinyvit.viz.distance import distance_figure
from tinyvit.viz.maps import attention_figure
from tinyvit.viz.picture import BLUE, ORANGE, bare, new_figure, outline, plain, shine, show

rng = np.random.default_rng(0)
data = tinyvit.load_data("digits")
config = tinyvit.PRESETS["digits"]
p, history = tinyvit.fit(config, data, recipe=tinyvit.Recipe(epochs=12, learning_rate=5e-3), progress=False)

images = data[1][0]
logits, c = tinyvit.vit(images, p, config)
maps = tinyvit.attention_maps(c)  # of each layer: [B, heads, T, T]

figure = attention_figure(images[3], [a[3] for a in maps])
figure.set_size_inches(7.4, 4.5)
figure

# %% [markdown]
# The heads of a layer look at different patches. Nobody told them to: they only start from different random numbers. As a number: what share of one
# head's attention would have to move to make it another head's, on average over all test images and pairs of heads? The same before training, for
# comparison.


# %%
def difference(a):
    """How much the class token's rows of a layer's heads differ: a [B, h, T, T] -> a number from 0 to 1."""
    looks = a[:, :, 0]  # [B, h, T]
    moved = abs(looks[:, :, None] - looks[:, None]).sum(axis=-1) / 2  # [B, h, h]
    return moved.sum() / (len(a) * config.heads * (config.heads - 1))


_, c_start = tinyvit.vit(images, tinyvit.vit_init(np.random.default_rng(0), config), config)
apart = {"before": [difference(a) for a in tinyvit.attention_maps(c_start)], "after": [difference(a) for a in maps]}
for when, numbers in apart.items():
    print(f"{when:6}", "  ".join(f"layer {layer}: {number:3.0%}" for layer, number in enumerate(numbers, 1)))

# %% [markdown]
# ## What one head cannot do
#
# Here is a row of pixels, bent into a ring. Every pixel wants to know whether it lies on an edge: its right neighbour's brightness minus its left
# neighbour's.
#
# We choose the weights of the attention by hand. [Attention](03_attention.ipynb) takes a **bias**, which is added to the scores before the softmax.
# If queries and keys are zero, the scores are the bias alone, and since $e^{\log a} = a$, a bias of $\log a$ gives exactly the weights $a$. A weight
# of 0 is a bias of $-\infty$.
#
# First one head, which takes the share $s$ from the left and $1 - s$ from the right, for 21 values of $s$. What it hands out is multiplied by the
# best number that there is, found by least squares.

# %%
T = 8
x = rng.standard_normal((20_000, T, 1))  # [B, T, 1]: 20,000 rings of eight pixels
left, right = (np.roll(np.eye(T), step, axis=1) for step in (-1, 1))  # row t has its 1 in column t - 1, or t + 1
edge = (right - left) @ x  # what is wanted


def chosen_attention(weights, values):
    """Attention with these weights [..., T, T]: through the bias alone, queries and keys being zero."""
    with np.errstate(divide="ignore"):  # log 0 is -inf: that is what is meant
        bias = np.log(weights)
    nothing = np.zeros_like(values)
    return attention(nothing, nothing, values, bias)[0]


def error_left(y):
    """The share of the edges' variance that no multiple w of y explains."""
    w = (y * edge).sum() / (y * y).sum()
    return ((y * w - edge) ** 2).sum() / (edge**2).sum()


shares = np.linspace(0, 1, 21)
one_head = [error_left(chosen_attention(s * left + (1 - s) * right, x)) for s in shares]

# %% [markdown]
# Then two heads: one looks left, the other right. They lie on an axis of their own, $[B, h, T, d]$, with $h = 2$ heads of width $d = 1$.
# `merge_heads` lays their answers side by side, and a matrix $w_o$ with the entries $-1$ and $+1$ takes the difference.

# %%
y = chosen_attention(np.stack([left, right]), np.stack([x, x], axis=1))  # [B, h, T, d]
side_by_side = merge_heads(y)  # [B, T, h d]
w_o = np.array([[-1.0], [1.0]])
two_heads = abs(side_by_side @ w_o - edge).max()
print("heads", list(y.shape), "  merged", list(side_by_side.shape), "  largest error of two heads", two_heads)

figure = new_figure(5, 2.4)
axes = figure.subplots()
axes.plot(shares, one_head, "o-", color=ORANGE, label="one head")
axes.plot([0, 1], [0, 0], "--", color=BLUE, label="two heads")
axes.set(xlabel="share s that one head takes from the left", ylabel="share not explained", ylim=(-0.05, 1.1))
plain(axes)
axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
figure

# %% [markdown]
# At best, one head looks at one side only, and explains half. The reason is in its form. One head's answer is $w \sum_j a_j x_j$, and no weight
# $a_j$ is negative, so both neighbours are multiplied by numbers of the same sign; a difference needs two signs. A wider head does not help, since
# it multiplies all its columns by the same weights. Two heads have two sets of weights, and a number of either sign for each.
#
# (This is about weights that depend on *where* a pixel is. Weights may also depend on *what* it is, and then one head can do more; but it is still
# one average at a time.)
#
# ## The same tokens, three times
#
# Where do queries, keys and values come from? In **self-attention** all three are computed from the same tokens $x$ $[B, T, D]$, each by a linear
# layer of its own. So a token asks with one vector, is found by another, and hands out a third.
#
# $$ q = x\, w_q + b_q, \qquad k = x\, w_k + b_k, \qquad v = x\, w_v + b_v $$
#
# Sizes that all differ, so that no axis can be mistaken for another: $B = 5$ images, $T = 4$ tokens, width $D = 6$, $h = 2$ heads, and so
# $d = D/h = 3$ columns for each head.

# %%
B, T, D, h = 5, 4, 6, 2
d = D // h
x = rng.standard_normal((B, T, D))
shapes = multi_head_attention_init(None, D)  # without a generator, only the shapes count
p_small = trees.map(lambda leaf: rng.standard_normal(leaf.shape) / math.sqrt(D), shapes)

q, k, v = (linear(x, p_small[name])[0] for name in "qkv")
print("q, k, v:", list(q.shape), "  parameters:", {name: list(leaf.shape) for name, leaf in p_small["q"].items()})

# %% [markdown]
# ## Splitting, and the mistake that is made there
#
# Head $i$, counted from 0, gets the columns $i d$ to $(i + 1) d$ of $q$, $k$ and $v$. It works with these $d$ columns as if there were nothing else.
# So the plainest program is a loop:


# %%
def in_a_loop(q, k, v):
    """Each head by itself, on its own d columns; then side by side."""
    y = []
    for i in range(h):
        mine = slice(i * d, (i + 1) * d)
        y.append(attention(q[..., mine] / math.sqrt(d), k[..., mine], v[..., mine])[0])
    return np.concatenate(y, axis=-1)


in_a_loop(q, k, v).shape

# %% [markdown]
# One matrix product can run all heads at once. For that the heads need an axis of their own, in front of the tokens:
# $[B, T, D] \rightarrow [B, h, T, d]$. Then each head's $[T, d]$ are the last two axes, as in a batch.

# %%
print(exercises.source(split_heads))
print(exercises.source(merge_heads))

# %% [markdown]
# Two steps: cut $D$ into $h \times d$, then **swap** the axes of tokens and heads. It looks as if one step could do both, `x.reshape(B, h, T, d)`:
# the shape is the same. The numbers are not. In the picture, 31 stands for token 3, column 1; blue columns belong to head 0, orange ones to head 1.

# %%
labels = 10 * np.arange(T)[:, None] + np.arange(D)  # [T, D]
blocks = {
    "q of one image": labels,
    "split: head 0": split_heads(labels[None], h)[0, 0],
    "split: head 1": split_heads(labels[None], h)[0, 1],
    "reshape: head 0": labels.reshape(h, T, d)[0],
    "reshape: head 1": labels.reshape(h, T, d)[1],
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
# After the split, head 0 has the first three columns of every token. After the plain reshape, "head 0" has all columns of tokens 0 and 1, and tokens
# 2 and 3 are in "head 1": the array is read in the order in which it lies in memory, and a token's columns lie side by side there.
#
# Suppose that this mistake is made on the way forward and, since the two are written together, on the way back as well. What does a gradient check
# say?


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
# It is content, and it is right: this *is* the gradient of that function. A gradient check compares a backward pass with its forward pass. It does
# not know which forward pass you meant. For that one needs a second opinion on the values themselves, as plain as possible: the loop.

# %%
batched = merge_heads(attention(*(split_heads(t, h) for t in (q / math.sqrt(d), k, v)))[0])
split_error = abs(batched - in_a_loop(q, k, v)).max()
reshape_error = abs(unswapped(q, k, v)[0] - in_a_loop(q, k, v)).max()
print(f"split_heads, far from the loop by {split_error:.0e}")
print(f"reshape,     far from the loop by {reshape_error:.2f}")

# %% [markdown]
# What would this mistake do to a model? Move one token at a time, and see whose output changes. A 1 in row $t$ and column $s$ says that token $t$
# sees token $s$.


# %%
def sees(f):
    """[T, T]: does the output of token t change when token s is moved?"""
    found, y = np.zeros((T, T), int), f(q, k, v)
    for s in range(T):
        moved = [t + (np.arange(T) == s)[:, None] for t in (q, k, v)]
        found[:, s] = abs(f(*moved) - y).max(axis=(0, 2)) > 1e-9
    return found


print("loop over heads:", *sees(in_a_loop), sep="\n")
print("plain reshape:", *sees(lambda q, k, v: unswapped(q, k, v)[0]), sep="\n")

# %% [markdown]
# The tokens 0 and 1 never meet 2 and 3. Nothing crashes, and nothing says so. The class token is token 0: in such a model it would never hear of the
# second half of the image, through any number of layers.
#
# ## Side by side is not enough
#
# With the heads' answers side by side we are not done. A last linear layer, the **output projection** $w_o$ $[D, D]$, belongs to multi-head
# attention:
#
# $$ y = \left[ \mathrm{head}_0, \ldots, \mathrm{head}_{h-1} \right] w_o + b_o, \qquad
#    \mathrm{head}_i = \mathrm{softmax}\left( \frac{q_i k_i^\top}{\sqrt{d}} \right) v_i $$
#
# (Vaswani et al. 2017, section 3.2.2. Notes often stop at the concatenation.) In the example of the edges it was $w_o$ that took the difference. The
# whole layer:

# %%
print(exercises.source(multi_head_attention))

# %% [markdown]
# (`scale_queries` divides by $\sqrt{d}$; the lines with `"r"` are relative positions, of which [the next notebook](05_positions.ipynb) tells. A
# `plan` leaves out pairs, see [who looks at whom](15_who_looks_at_whom.ipynb), and `past` are the keys and values of tokens that were computed before,
# for a model that writes one token after the other. Here there is neither.)
#
# The weights of the values are changed in the columns of one head, and the change of the output is measured in each of its $D = 6$ columns. If $w_o$
# is the identity, the heads are only laid side by side: head $i$ touches its own $d = 3$ columns and no others, and what two heads have found can
# never be put together by this layer. With $w_o$ every head writes into all columns.


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
# There is another way to read the same product. The rows $i d$ to $(i + 1) d$ of $w_o$ meet head $i$ only, so $y$ is a sum over heads, each with its
# own $d \times D$ piece of $w_o$. Every head adds something to every token:

# %%
heads_alone = in_a_loop(q, k, v)  # [B, T, h d]
columns = [slice(i * d, (i + 1) * d) for i in range(h)]
pieces = [heads_alone[..., mine] @ p_small["o"]["w"][mine] for mine in columns]  # h arrays [B, T, D]
y, c_small = multi_head_attention(x, x, p_small, heads=h)
sum_error = abs(sum(pieces) + p_small["o"]["b"] - y).max()
loop_error = abs(linear(heads_alone, p_small["o"])[0] - y).max()
print(f"sum over heads, and the layer: {sum_error:.0e};  loop, then w_o, and the layer: {loop_error:.0e}")

# %% [markdown]
# ## What heads cost
#
# In parameters, nothing. There are four matrices $[D, D]$ and four vectors $[D]$, which makes $4 (D^2 + D)$ parameters, and $h$ does not occur in
# it: `multi_head_attention_init` is not even told. More heads are narrower heads, $d = D / h$. The products cost the same as well: the scores are
# $h$ times $T \cdot T \cdot d$ multiplications, together $T^2 D$. Only the maps, $h\, T^2$ numbers, and their softmax grow with $h$.

# %%
for name in ("Ti/16", "S/16", "B/16", "L/16", "H/14"):
    size = tinyvit.PRESETS[name]
    parameters = tinyvit.count(multi_head_attention_init(None, size.dim))
    width = size.dim // size.heads
    print(f"{name:5}  D = {size.dim:4}   h = {size.heads:2}   d = {width}   parameters {parameters:9,}")

# %% [markdown]
# The head width is 64 in ViT-B, and also in BERT-base (Devlin et al. 2019), which has $D = 768$ and $h = 12$ as well. The 512 that one can
# read is the length of BERT's longest input, a $T$, or the width $D$ of the first Transformer (Vaswani et al. 2017), whose 8 heads are 64 wide, too.
#
# ## One product instead of three
#
# The ViT paper writes $[q, k, v] = z\, U_{qkv}$, with the tokens $z$ and one matrix (its equation 5, which is about a single head of width $D_h$, so
# there it has $3 D_h$ columns). Many programs do the same, for all heads at once, and split afterwards. This is the same function with its parameters
# laid side by side. The package keeps three, because then the queries may come from somewhere else than keys and values.

# %%
fused = fuse_projections(p_small)
qkv, c_fused = fused_projection(x, fused)
print("fused:", {name: list(leaf.shape) for name, leaf in fused.items()}, "  q, k, v:", list(qkv.shape))

dqkv = rng.standard_normal(qkv.shape)  # an upstream gradient for each of the three
dx, g = fused_projection_backward(dqkv, fused, c_fused)
separate = [linear_backward(dqkv[i], p_small[name], {"x": x}) for i, name in enumerate("qkv")]
fused_errors = {
    "q, k, v": abs(qkv - np.stack([q, k, v])).max(),
    "dx": abs(dx - sum(dx_i for dx_i, _ in separate)).max(),
    "dw": abs(g["w"] - np.concatenate([g_i["w"] for _, g_i in separate], axis=-1)).max(),
    "db": abs(g["b"] - np.concatenate([g_i["b"] for _, g_i in separate])).max(),
}
print(", ".join(f"{name}: {error:.0e}" for name, error in fused_errors.items()))

# %% [markdown]
# ## The way back
#
# The backward pass undoes the forward pass line by line. `merge_heads` and `split_heads` only rename indices, so each is the other's backward pass.

# %%
print(exercises.source(multi_head_attention_backward))

# %% [markdown]
# It returns two gradients for the tokens: `dx` by way of the queries, `dkv` by way of keys and values. In self-attention both inputs are the same
# array, and where a value is used twice, its gradients add up.


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
# Look at the row of `p/k/b`, the bias of the keys. Its error is small, and so is its gradient: both numbers are rounding, about $10^{-16}$ from our
# formula and $10^{-11}$ from the check. It is zero, whatever the data are. Why?
#
# A constant vector $b_k$, added to every key, adds the same number $q_t \cdot b_k$ to all scores of query $t$. The softmax does not see a shift that
# is common to a whole row ([notebook 3](03_attention.ipynb)). So the output does not depend on $b_k$ at all.
#
# (This is also why a gradient check needs an absolute tolerance besides the relative one. The relative error of two roundings is anything.)

# %%
g_small = self_attention_backward(rng.standard_normal(y.shape), p_small, c_small)[1]
for name in "qkvo":
    print(f"largest gradient of b_{name}: {abs(g_small[name]['b']).max():.0e}")

far_keys = p_small | {"k": {"w": p_small["k"]["w"], "b": p_small["k"]["b"] + 10}}
key_error = abs(self_attention(x, far_keys)[0] - y).max()
print(f"10 is added to the key bias: the output changes by {key_error:.0e}")

# %% [markdown]
# The value bias is not lost, but it is not needed either. The weights of a row sum to 1, so $b_v$ passes through the average unchanged, and comes
# out as $b_v w_o$: a part of $b_o$ could do the same.

# %%
without = p_small | {
    "v": {"w": p_small["v"]["w"], "b": np.zeros(D)},
    "o": {"w": p_small["o"]["w"], "b": p_small["o"]["b"] + p_small["v"]["b"] @ p_small["o"]["w"]},
}
value_error = abs(self_attention(x, without)[0] - y).max()
print(f"value bias moved into the output bias: the output changes by {value_error:.0e}")

# %% [markdown]
# ## Asking others: cross-attention
#
# Nothing in the layer demands that the questions come from the tokens that answer. With `kv` other than `x` this is **cross-attention**: $T$ tokens
# ask $S$ others, and the maps are $[B, h, T, S]$. So the decoder of a translator asks: the words of the sentence that it writes are $x$, those of
# the sentence that it reads are `kv` (Vaswani et al. 2017).

# %%
S = 7
kv = rng.standard_normal((B, S, D))
y_cross, c_cross = multi_head_attention(x, kv, p_small, heads=h)
print("x", list(x.shape), "  kv", list(kv.shape), "  maps", list(c_cross["att"]["a"].shape), "  y", list(y_cross.shape))

# %% [markdown]
# A Vision Transformer uses this form as well. The answer is read from the class token alone, so in the last layer only that token need ask;
# `tinyvit.vit` does so with `all_rows=False`. Its row is the same but for rounding, and the other rows are not computed:

# %%
row_error = abs(multi_head_attention(x[:, :1], x, p_small, heads=h)[0] - y[:, :1]).max()
print(f"first row alone, and first row of all: {row_error:.0e}")

# %% [markdown]
# ## Masks
#
# Who must not look where? A bias of $-\infty$ makes a weight of exactly 0. A Vision Transformer's patches may see each other without exception; a
# model of language that predicts the next word must not look ahead, so all scores above the diagonal are hidden from it. (Every query needs one key
# that is not hidden: a softmax of nothing but $-\infty$ has no value.)

# %%
no_future = np.where(np.tri(T, dtype=bool), 0, -np.inf)
y_masked, c_masked = multi_head_attention(x, x, p_small, heads=h, bias=no_future)
a = c_masked["att"]["a"]
print(a[0, 0].round(3))

x_changed = x.copy()
x_changed[:, -1] += 1  # another last token
later = abs(multi_head_attention(x_changed, x_changed, p_small, heads=h, bias=no_future)[0] - y_masked).max(axis=(0, 2))
print("another last token changes the outputs by", later.round(2))

# %% [markdown]
# ## Near and far
#
# Do heads specialise in distances, some looking nearby, others across the image? The paper asks this with a measure (its figure 7): the **mean
# attention distance**, in pixels, between a patch and the patches that it looks at, weighted by attention. Here it is for the model above, over all
# test images, a dot for each head. The line is a head that looks everywhere alike: without it, the number says nothing.

# %%
distances = attention_distance(maps, patch=config.patch)  # [L, h]
uniform = uniform_distance(config.grid**2, patch=config.patch)
distance_figure(distances, uniform)

# %%
print("in pixels:", *distances.round(2), sep="\n")
low, high = distances.min() / uniform, distances.max() / uniform
print(f"looking everywhere alike: {uniform:.2f};  the heads: from {low:.0%} to {high:.0%} of it")

# %% [markdown]
# So in this model no head is local, and none is especially far-sighted. The paper, with large models trained on many images, finds heads of both
# kinds in the first layers. Here there are 16 patches of 2 x 2 pixels, and a patch's neighbours are a large part of all that there is; a
# [larger run on MNIST](../docs/inside.md), with 49 patches, shows no local head either.
#
# What would one look like? Heads made by hand, from a bias alone: near patches preferred, far patches preferred, nothing preferred, and one that is
# as sharp as can be, where each patch looks at one single patch, drawn by lot in each image anew.

# %%
N = config.grid**2
between = patch_distances(N, patch=config.patch)  # [N, N], pixels
weights = {
    "near": np.exp(-between),
    "everywhere": np.ones((N, N)),
    "by lot": np.eye(N)[rng.permuted(np.tile(np.arange(N), (100, 1)), axis=1)],  # drawn anew for each of 100 images
    "far": np.exp(between),
}
every = np.stack([np.broadcast_to(w, (100, N, N)) for w in weights.values()], axis=1)  # [B, h, N, N]
by_hand = np.zeros((100, len(weights), 1 + N, 1 + N))  # token 0, the class token, is nowhere: the measure leaves it out
identities = np.broadcast_to(np.eye(N), every.shape)  # as values: then the answer is the weights
by_hand[:, :, 1:, 1:] = chosen_attention(every, identities)
[far_and_near] = attention_distance([by_hand], patch=config.patch)

figure = new_figure(7.5, 1.9)
first, *others = figure.subplots(1, 5)
show(first, images[3])
outline(first, number=5, grid=config.grid, patch=config.patch)
first.set_title("who looks", fontsize=9)
for axes, title, head, distance in zip(others, weights, by_hand[0], far_and_near, strict=True):
    shine(axes, head[1 + 5, 1:], images[3], most=head[1 + 5, 1:].max())
    axes.set_title(f"{title}\n{distance:.2f} pixels", fontsize=9)
figure

# %% [markdown]
# The measure tells near from far. It does not tell sharp from blurred: the head whose every patch looks at one single patch, drawn by lot, lies
# where the head lies that looks everywhere alike. A point near the line is no proof that a head does nothing.
#
# ## Break it
#
# On the way back, `dv` is sent through the weights of the keys: one letter, in a line that looks like its neighbour. Handing over other parameters
# has the same effect.


# %%
def wrong_letter(dy, p, c):
    return self_attention_backward(dy, p | {"v": p["k"]}, c)


broken = tinyvit.gradcheck(self_attention, wrong_letter, x, p_small)
print(broken)

# %% [markdown]
# All parameters agree, and only `x` does not. That is as good as a line number: the gradients of the parameters are all right, so everything down to
# `dv` is, and the mistake is in what is made of it for the input.
#
# ## Exercises
#
# Write the bodies. `exercises.check` says whether the answer is right, and if it is not, what kind of mistake it looks like.
# `exercises.hint("split_heads")` gives a first hint, `exercises.hint("split_heads", 2)` a second; `print(exercises.solution("split_heads"))` shows
# how the package does it.


# %%
def my_split_heads(x, heads):
    """x [B, T, D] -> [B, h, T, d], with h = heads and d = D/h: head i takes the columns i d to (i+1) d. No cache."""


exercises.check("split_heads", my_split_heads)


# %%
def my_merge_heads(x):
    """x [B, h, T, d] -> [B, T, h d]: the heads of each token, side by side. No cache."""


exercises.check("merge_heads", my_merge_heads)


# %%
def my_multi_head_attention(x, kv, p, *, heads, bias=None):
    """Tokens x [B, T, D] ask tokens kv [B, S, D] -> y [B, T, D] = concat(head_0, ..., head_(h-1)) w_o + b_o.

    q = linear(x, p["q"]), k and v = linear(kv, p["k"]) and linear(kv, p["v"]), each split into heads;
    head_i = softmax(q_i k_i^T / sqrt(d) + bias) v_i. Use linear, split_heads, attention, merge_heads.

    The cache is {"q", "k", "v", "o": the caches of the four linear layers, "att": attention's, whose q is already scaled,
    "scale": that of scale_queries, {}}. Relative positions, p["r"], do not occur here.
    """


exercises.check("multi_head_attention", my_multi_head_attention)


# %%
def my_multi_head_attention_backward(dy, p, c):
    """dy [B, T, D], p {q, k, v, o} and the cache {q, k, v, scale, att, o} -> dx [B, T, D], dkv [B, S, D], dbias, g {q, k, v, o}.

    The heads' number and width are found in the shape of c["att"]["q"], [B, h, T, d]. Both k and v come from kv.
    """


exercises.check("multi_head_attention_backward", my_multi_head_attention_backward)


# %%
def my_fused_projection(x, p):
    """x [B, T, D], p {"w": [D, 3D], "b": [3D]} -> y [3, B, T, D], so that q, k, v = y.

    The columns of w are q's, then k's, then v's. The cache is {"linear": that of the linear layer}.
    """


exercises.check("fused_projection", my_fused_projection)


# %%
def my_fused_projection_backward(dy, p, c):
    """dy [3, B, T, D], p and the cache of the forward pass -> dx [B, T, D] and g {"w": [D, 3D], "b": [3D]}."""


exercises.check("fused_projection_backward", my_fused_projection_backward)

# %% [markdown]
# ## What we know now
#
# Heads are sets of weights of their own, on columns of their own. They cost no parameters. Splitting means swapping two axes, and a gradient check
# alone would not notice if we had not. The output projection puts together what the heads have found.

# %%
assert all(after > before for before, after in zip(*apart.values(), strict=True))
assert min(one_head) > 0.48 and two_heads < 1e-12
assert fooled.ok and reshape_error > 0.1 and split_error < 1e-12 and loop_error < 1e-12 and sum_error < 1e-12
for i in range(h):
    own = np.arange(D) // d == i
    assert (alone[i, own] > 0).all() and (alone[i, ~own] == 0).all() and (mixed[i] > 0).all()
assert tinyvit.count(p_small) == 4 * (D**2 + D)
assert max(fused_errors.values()) < 1e-12
assert report.ok and not broken.ok and [row.error > 1e-7 for row in broken.rows].count(True) == 1
assert abs(g_small["k"]["b"]).max() < 1e-14 and key_error < 1e-12 and value_error < 1e-12
assert row_error < 1e-12 and (later[:-1] == 0).all() and later[-1] > 0
assert np.isclose(far_and_near[1], uniform) and far_and_near[0] < 0.5 * uniform and far_and_near[3] > 1.4 * uniform
assert abs(far_and_near[2] / uniform - 1) < 0.1

# %% [markdown]
# Next: [positions](05_positions.ipynb). In all of this, nothing knew where a patch was.
