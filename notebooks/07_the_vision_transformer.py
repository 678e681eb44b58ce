# %% [markdown]
# # The Vision Transformer: four equations, one residual stream
#
# **The question.** We have patches, attention, heads, positions, LayerNorm, GELU. How do they make one model, and how does a gradient find its
# way back through all of it?
#
# First, the whole journey of one image. A small Vision Transformer is trained for two seconds on handwritten digits. The image becomes a table
# of numbers with a row for each **token**: 16 patches, and on top the **class token**, which is no patch. Three **blocks** change the table. At
# the end the top row alone decides.

# %%
import dataclasses
import math

import numpy as np

import tinyvit
from tinyvit import checks, exercises, trees
from tinyvit.exercises.source import edited
from tinyvit.layers.embedding import class_token, patch_embedding
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward, encoder_block_init
from tinyvit.layers.layer_norm import layer_norm
from tinyvit.layers.linear import linear
from tinyvit.layers.pool import class_readout
from tinyvit.layers.position import learned_position
from tinyvit.models.vit import encoder, vit, vit_backward
from tinyvit.ops.class_row import class_row, class_row_backward
from tinyvit.ops.softmax import softmax
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain, show

data = tinyvit.load_data("digits")
config = tinyvit.PRESETS["digits"]
p, history = tinyvit.fit(config, data, recipe=tinyvit.Recipe(epochs=12, learning_rate=5e-3), progress=False)
images, labels = data[1][0][:64], data[1][1][:64]

z, _ = patch_embedding(images, p["patch"], patch=config.patch)
z, _ = class_token(z, p["cls"])
z, _ = learned_position(z, p["pos"])
stream = [z]
for block in p["blocks"]:
    z, _ = encoder_block(z, block, heads=config.heads)
    stream.append(z)
y, _ = layer_norm(class_row(z)[0], p["ln"])
logits, _ = linear(y, p["head"])

figure = new_figure(7.5, 2.3)
panels = figure.subplots(1, 6, width_ratios=[1, 1.5, 1.5, 1.5, 1.5, 1.2])
show(panels[0], images[0])
panels[0].set_title("the image", fontsize=9)
for number, (axes, table) in enumerate(zip(panels[1:5], stream, strict=True)):
    shade = axes.imshow(table[0], cmap="PuOr_r", vmin=-6, vmax=6, aspect="auto")
    axes.set(xticks=[], yticks=[0, 8.5] if number == 0 else [], yticklabels=["class", "patches"] if number == 0 else [])
    axes.tick_params(length=0, labelsize=8, labelrotation=90)
    axes.set_title(f"$z_{number}$", fontsize=10)
panels[5].barh(range(10), softmax(logits)[0][0], color=BLUE)
panels[5].set(yticks=range(10), xticks=[0, 1], xlim=(0, 1), ylim=(9.5, -0.5))
panels[5].tick_params(labelsize=7)
panels[5].set_title("probability", fontsize=9)
plain(panels[5])
figure

# %% [markdown]
# Each row has the 32 numbers of one token, orange where they are positive, purple where they are negative. The code above is the model, every part
# of it known. It is the same as one call of `vit`:

# %%
by_vit, c = vit(images, p, config)
print("by hand and by vit, largest difference:", abs(logits - by_vit).max())

# %% [markdown]
# ## The four equations
#
# They are equations (1) to (4) of Dosovitskiy et al. (2021). The letters: $x_p^n$ is patch $n$ of $N$, written as one row of $P^2 C$ pixels, for
# patches of side $P$ with $C$ channels; $E$ $[P^2 C, D]$ is the matrix that turns it into a token of width $D$; $x_{\mathrm{class}}$ is the class
# token; $E_{\mathrm{pos}}$ $[N+1, D]$ holds a row for each position; semicolons stand between rows. (The paper does not write the bias of the patch
# embedding; in the code it has one.) $L$ is the number of blocks, and $z_l$ is the table after block $l$. LN is LayerNorm, MSA is multi-head
# self-attention, MLP is two linear layers with a GELU between them. Below each stand the lines of code that belong to it:


# %%
def lines(function, *words):
    """The lines of a function's source in which one of the words stands."""
    found = exercises.source(function).splitlines()
    return "\n".join(line.strip() for line in found if any(word in line for word in words))


# %% [markdown]
# $$ z_0 = [\, x_{\mathrm{class}};\; x_p^1 E;\; x_p^2 E;\; \cdots;\; x_p^N E \,] + E_{\mathrm{pos}} \qquad (1) $$

# %%
print(lines(vit, 'c["patch"]', 'c["cls"]', 'c["pos"]'))

# %% [markdown]
# `pool` and `position` stand for what the model's `config` names: there are other ways to begin than the paper's ([positions](05_positions.ipynb),
# [class token or average](14_class_token_or_average.ipynb)). Unless it says otherwise, `pool.token` is `class_token` and `position.forward` is
# `learned_position`, as in the cell above.
#
# $$ z'_l = \mathrm{MSA}(\mathrm{LN}(z_{l-1})) + z_{l-1}, \qquad l = 1, \ldots, L \qquad (2) $$

# %%
print(lines(encoder_block, 'c["ln1"]', 'c["msa"]', "(2)"))

# %% [markdown]
# $$ z_l = \mathrm{MLP}(\mathrm{LN}(z'_l)) + z'_l, \qquad l = 1, \ldots, L \qquad (3) $$

# %%
print(lines(encoder_block, 'c["ln2"]', 'c["mlp"]', "(3)"))

# %% [markdown]
# $$ y = \mathrm{LN}(z_L^0) \qquad (4) $$
#
# $z_L^0$ is row 0 of $z_L$, the class token's. Here `readout` is `class_readout`, two lines of its own file,
# [pool.py](../tinyvit/layers/pool.py). One linear layer, the **head**, turns $y$ into $K$ logits, one for each class.

# %%
print(lines(vit, "readout(", 'c["head"]'))
print("\nclass_readout:")
print(lines(class_readout, 'c["class_row"]', 'c["ln"]'))

# %% [markdown]
# Two kinds of work take turns. In (2) tokens talk to each other: MSA is the only place of the whole model where one token's numbers reach
# another's. In (3) each token is on its own: the MLP is applied to every row alike.
#
# ## The block, whole

# %%
print(exercises.source(encoder_block))

# %% [markdown]
# Line by line. `c` will hold what the backward pass must remember. LayerNorm brings each token to one scale. Attention takes queries from the first
# `rows` tokens (all of them, if `rows` is `None`), keys and values from all; further settings of it, such as `scale`, are handed on in `attention`. Dropout does
# nothing unless a mask is handed in; we come to it below.
# The sum is equation (2). Then LayerNorm, MLP, sum: equation (3).
#
# As [the last notebook](06_layer_norm_and_gelu.ipynb) has it, this is not quite the encoder of Vaswani et al. (2017): the MLP has a GELU for a ReLU,
# and the norm stands inside the branch. So nothing but additions lies between $z_0$ and $z_L$, no norm has touched $z_L$, and that is why there is
# one more LayerNorm at the end, in (4).
#
# ## The residual stream
#
# Since nothing but additions happens to $z$, it is a sum. Write $m_l$ for what MSA adds in block $l$, and $f_l$ for what the MLP adds:
#
# $$ z_L = z_0 + m_1 + f_1 + m_2 + f_2 + \cdots + m_L + f_L $$
#
# $z$ is called the **residual stream**: each sublayer reads it through its own LayerNorm, and adds its finding. The cache has the input of each
# branch's last linear layer, so we can ask a trained model what each branch has added.


# %%
def additions(p, c):
    """What the two branches of each block add to the residual stream, from the cache: 2 L arrays [B, T, D]."""
    for block, cache in zip(p["blocks"], c["blocks"], strict=True):
        yield linear(cache["msa"]["o"]["x"], block["msa"]["o"])[0]
        yield linear(cache["mlp"]["fc2"]["x"], block["mlp"]["fc2"])[0]


added = list(additions(p, c))
sums = [stream[0]]
for array in added:
    sums.append(sums[-1] + array)
print("z_0 and all additions, against z_L:", abs(sums[-1] - stream[-1]).max())

figure = new_figure(7.5, 2.6)
left, right = figure.subplots(1, 2, sharey=True)
names = [f"{branch} {number + 1}" for number in range(config.depth) for branch in ("MSA", "MLP")]
places = np.arange(len(names))
for axes, title, rows in ((left, "the class row", slice(1)), (right, "the patch rows", slice(1, None))):
    length = [np.linalg.norm(array[:, rows], axis=-1).mean() for array in added]
    before = [np.linalg.norm(array[:, rows], axis=-1).mean() for array in sums[:-1]]
    axes.bar(places[0::2], length[0::2], color=BLUE, width=0.6, label="what MSA adds")
    axes.bar(places[1::2], length[1::2], color=ORANGE, width=0.6, hatch="//", edgecolor="white", label="what MLP adds")
    axes.plot(places, before, "ko-", markersize=4, label="the stream it is added to")
    axes.set_xticks(places, names, fontsize=8)
    axes.set_title(title, fontsize=10)
    plain(axes)
left.legend(fontsize=8)
left.set_ylabel("mean norm of a row")
figure

# %% [markdown]
# The bars are what a branch adds, the dots the stream that it is added to. A branch may add as much as there was, but it overwrites nothing: the
# stream stays in the sum. The class row starts with the same numbers for every image, so all that it knows of an image at the end, the branches
# have added. It is often taken for a start-of-sentence symbol. It is something else: a place without content of its own, where attention can gather
# what the head will need.
#
# ## The model, whole

# %%
print(exercises.source(vit))

# %% [markdown]
# An embedding, a stack of blocks and a head. The stack, `encoder`, is a loop:

# %%
print(exercises.source(encoder))

# %% [markdown]
# `rows` is `None` for all blocks, and for the last one `None` or 1. `keep_cache=False` throws each block's cache away, for prediction. `choices` are
# the settings of the configuration that a block reads; with the defaults, `block` is `encoder_block`. `pre_logits` is one more layer, which some
# published models have before the head, and ours have not.
#
# ## Only the class row reaches the head
#
# In the last block, what the patch rows become is read by nobody. Attention still needs their keys and values, but not their queries, nor
# anything that comes after. With `all_rows=False` the last block computes one row instead of $T = N + 1$. This is no approximation: the gradient of
# the rows left out is zero, and the results agree to rounding.

# %%
p64 = trees.map(lambda leaf: leaf.astype(np.float64), p)
images64 = images.astype(np.float64)


def both_ways(all_rows):
    """Logits, and the gradients of all parameters for the cross-entropy, in float64."""
    logits, c = vit(images64, p64, config, all_rows=all_rows)
    _, c_loss = tinyvit.cross_entropy(logits, labels)
    return logits, vit_backward(tinyvit.cross_entropy_backward(1.0, c_loss), p64, c, config)[1]


(whole, g), (short, g_short) = both_ways(True), both_ways(False)
largest = max(abs(a - b).max() for a, b in zip(trees.leaves(g), trees.leaves(g_short), strict=True))
print(f"logits differ by {abs(whole - short).max():.0e}, gradients by {largest:.0e}")

# %% [markdown]
# What it saves can be counted. `tinyvit.shapes` lists the multiply-adds of every product, and in the last block six of the products shrink from
# $T$ rows to one. (In time: [speed](../docs/speed.md).)


# %%
def saved(config):
    """The multiply-adds for one image, and how many of them the class row alone does without."""
    summary, T, last = tinyvit.shapes(config), config.tokens, f"blocks/{config.depth - 1}/"
    shrink = {last + name for name in ("msa/q", "msa/att/scores", "msa/att", "msa/o", "mlp/fc1", "mlp/fc2")}
    return summary.totals[1], sum(row.multiply_adds // T * (T - 1) for row in summary if row.name in shrink)


for name in ("digits", "mnist", "B/16"):
    work, less = saved(tinyvit.PRESETS[name])
    print(f"{name:7} {work:>14,} multiply-adds, {less:>13,} fewer for the class row alone: {less / work:5.1%}")

# %% [markdown]
# The fewer the blocks, the more the last one matters.
#
# ## The head starts at zero
#
# A new model's head is all zeros, so all logits are zero, all $K$ classes have the probability $1/K$, and the first loss is $-\ln(1/K) = \ln K$
# whatever the image. It is the first thing to look at when training goes wrong: a larger first loss means a model that is confident before it
# has seen anything.
#
# Write $dx$ for the gradient of the loss by $x$: an array of the shape of $x$. A head of zeros also means that the gradient that goes
# down to the blocks, $dy = d\mathrm{logits}\; w^\top$ with $w = 0$, is zero. In its first step, the head learns alone.

# %%
new = tinyvit.vit_init(np.random.default_rng(0), config)
first_logits, c_new = vit(images, new, config)
first_loss, c_loss = tinyvit.cross_entropy(first_logits, labels)
_, g_new = vit_backward(tinyvit.cross_entropy_backward(1.0, c_loss), new, c_new, config)
print(f"first loss {first_loss:.6f}, ln 10 = {math.log(10):.6f}")
for name in ("patch", "blocks", "ln", "head"):
    print(f"largest gradient in {name:7}", max(abs(leaf).max() for leaf in trees.leaves(g_new[name])))

# %% [markdown]
# ## The cache is the trace
#
# Everything the forward pass has remembered is in `c`: nested dictionaries and lists, with arrays as leaves, under the names of the lines that
# wrote them. `trees.walk` visits them in order. Of the three blocks, the first:

# %%
for name, array in trees.walk(c):
    if not name.startswith(("blocks/1", "blocks/2")):
        print(f"{name:26} {list(array.shape)}")

# %% [markdown]
# `xhat` is LayerNorm's normalised input and `rstd` one over its standard deviation; `att` has queries, keys, values and the attention maps `a`;
# `dydx` is GELU's derivative. Whoever wants to know what a model did reads its cache, and [looking inside](11_looking_inside.ipynb) does nothing
# else.
#
# ## Every tensor
#
# The cache is what is kept; other tensors pass. `tinyvit.shapes` lists all of them, with parameters, multiply-adds and bytes. A few lines, for
# digits and for ViT-B/16, for one image:

# %%
listed = [
    "patches",
    "patch",
    "cls",
    "pos",
    "blocks/0/msa/q",
    "blocks/0/msa/att/a",
    "blocks/0/mlp/fc1",
    "blocks/0/z",
    "class_row",
    "head",
]
for name in ("digits", "B/16"):
    summary = tinyvit.shapes(tinyvit.PRESETS[name])
    print(f"{name:18} {'shape':>20} {'parameters':>11} {'multiply-adds':>14}")
    for row in summary:
        if row.name in listed:
            print(f"{row.name:18} {list(row.shape)!s:>20} {row.parameters:>11,} {row.multiply_adds:>14,}")

# %% [markdown]
# `print(tinyvit.shapes(config))` shows them all, and `tinyvit shapes B/16 --figure` draws [the dataflow](../docs/figures/dataflow.svg).
#
# ## Every parameter, by hand
#
# $M$ is the MLP's hidden width, $K$ the number of classes. For colour images, with $C = 3$:
#
# $$ (3P^2 D + D) + D + (N+1) D + L\,(4D^2 + 2DM + 9D + M) + 2D + DK + K $$
#
# Patches: a matrix $[3P^2, D]$ and its bias. Class token: one row. Positions: a row for each token. In each block, four matrices $[D, D]$ for q,
# k, v and the output projection, two $[D, M]$ and $[M, D]$ of the MLP; and of vectors four biases $D$, two LayerNorms of $2D$ each, and $D$ of
# the MLP's second bias, together $9D$, and $M$ of its first. The last LayerNorm: $2D$. The head: a matrix and its bias.


# %%
def by_hand(config):
    """The terms of the formula, under the names of the parameter tree."""
    P, C, D, N = config.patch, config.channels, config.dim, config.grid**2
    L, M, K = config.depth, config.mlp_dim, config.classes
    return {
        "patch": C * P**2 * D + D,
        "cls": D,
        "pos": (N + 1) * D,
        "blocks": L * (4 * D**2 + 2 * D * M + 9 * D + M),
        "ln": 2 * D,
        "head": D * K + K,
    }


b16 = tinyvit.PRESETS["B/16"]
tree = tinyvit.vit_init(None, b16)  # without a generator: the shapes alone, which take no memory
for name, number in by_hand(b16).items():
    print(f"{name:7} {number:>12,} {trees.count(tree[name]):>12,}")

# %% [markdown]
# And the sum, for all presets: by the formula, and by counting the entries of every array. (Ti, S, B, L and H are sizes, from tiny to huge; the
# number is the side of a patch.)

# %%
counts = {
    name: (sum(by_hand(c).values()), tinyvit.parameter_count(c))
    for name, c in tinyvit.PRESETS.items()
    if type(c) is tinyvit.ViTConfig
}
for name, (formula, counted) in counts.items():
    print(f"{name:14} {formula:>12,} {counted:>12,} {'equal' if formula == counted else 'NOT EQUAL'}")

# %% [markdown]
# ## The memory of training
#
# To predict, the parameters suffice, and one block's tensors at a time. To train, there must also be a gradient for each parameter; two numbers
# for each parameter that the optimiser AdamW keeps (running means of the gradient and of its square, the **moments**:
# [training](09_training.ipynb)); and the cache, which grows with the batch. In megabytes ($10^6$ bytes), with 4 bytes a number:

# %%
print("model    images   parameters  gradients  two moments      cache")
for name in ("digits", "mnist", "B/16"):
    for batch in (1, 32):
        summary = tinyvit.shapes(tinyvit.PRESETS[name], batch)
        size = 4e-6 * summary.totals[0]
        print(f"{name:8} {batch:6} {size:12.2f} {size:10.2f} {2 * size:12.2f} {1e-6 * summary.kept:10.2f}")

# %% [markdown]
# For a single image the parameters weigh more, for a batch the cache does. So tinyvit cuts a batch into smaller ones, one after the other, whose
# gradients are added up: then there is never a cache for more than one of them (on several cores, one for each core).
#
# ## The way back
#
# The backward pass is the forward pass in a mirror: the same lines, last line first. Each has a partner that asks for the same parameters and for
# the cache that it left. Of the whole model:

# %%
for forward, backward in [
    ('c["head"]', 'c["head"]'),
    ("pool.read(", "pool.read_backward("),
    ("encoder_block(", "encoder_block_backward("),
] + [(f'c["{name}"]', f'c["{name}"]') for name in ("dropout", "pos", "cls", "patch")]:
    print(lines(vit, forward))
    print("    ", lines(vit_backward, backward))

# %% [markdown]
# And of a block:

# %%
print(exercises.source(encoder_block_backward))

# %% [markdown]
# Only two things are new, and both are one rule: **where a value is used twice, its gradients add up.** In equation (3), $z'$ goes into the
# branch and around it. So its gradient is
#
# $$ dz' = dz + dz \left( \frac{\partial\, \mathrm{MLP}(\mathrm{LN}(z'))}{\partial z'} \right), $$
#
# where the first term is `dz` itself, handed on unchanged, and the second is what comes back through the branch, `dy`. Hence `dz = dy + dz`. In
# equation (2), besides that, the normalised input serves both as the source of queries and as that of keys and values: hence `dy += dq`, in the
# rows that had queries.
#
# ## Do we believe it?
#
# The check of everything at once: a small ViT with two blocks, all parameters random, every entry of every parameter and every pixel moved by
# itself.

# %%
report = checks.cases(["vit"])["vit"].check()
print(f"{report.entries} entries in {len(report.rows)} tensors; worst error {report.worst_error:.1e}; ok: {report.ok}")
for row in report.rows:
    if row.name in ("images", "p/patch/w", "p/cls", "p/pos", "p/blocks/0/msa/q/w", "p/blocks/0/msa/k/b", "p/head/w"):
        print(
            f"{row.name:20} {row.entries:4} entries, worst error {row.error:.1e}: {row.analytic:12.5g} {row.numeric:12.5g}"
        )

# %% [markdown]
# The last two columns are the gradient of the worst entry, ours and the measured one. Parameters must be random here: with the head at zero, all
# gradients below it are zero too, and a wrong backward pass would pass. The gradient of the key's bias, `k/b`, is zero, and ought to be: it adds
# the same number to all scores of a query, and softmax does not see that.
#
# ## Break it
#
# Forget a residual connection, on the way back only. `edited` takes the block's backward pass and changes one line: `dz = dy + dz` becomes
# `dz = dy`. All shapes stay right.

# %%
forgetful_backward = edited(encoder_block_backward, ("dz = dy + dz", "dz = dy"))
case = checks.cases(["encoder_block"])["encoder_block"]
broken = tinyvit.gradcheck(case.forward, forgetful_backward, *case.inputs, **case.keywords)
print(broken)

# %% [markdown]
# Read the table as a trace. The MLP and its LayerNorm are right; attention, its LayerNorm and the input are wrong. (Only `k/b` agrees there,
# because zero is right for any upstream gradient.) The backward pass runs from the MLP to attention, so the mistake lies between them: in the
# line that we changed. Before you read on: which rows would be wrong if we forgot the other residual connection, in the function's last line but
# one?

# %%
forgetful_too = edited(encoder_block_backward, ("dy[:, : dz.shape[1]] += dz", "pass"))
other = tinyvit.gradcheck(case.forward, forgetful_too, *case.inputs, **case.keywords)
print("wrong:", [row.name for row in other.rows if row.error > other.rtol])

# %% [markdown]
# The input `z`, and nothing else. All parameters of this block have right gradients; the blocks below it would learn from a wrong one. A check
# that looked at parameters alone would have found nothing.
#
# ## What residual connections are for
#
# Twelve blocks with new parameters, with residual connections and without. Random tokens go up, a random gradient of norm 1 starts at the class
# row and goes down. Three things are measured at each block: how much the tokens of its input differ from each other (the norm of what remains
# when their mean is taken off, as a share of the whole); the norm of the gradient that arrives at its input; and that of its query matrix's
# gradient.


# %%
bare_block = edited(encoder_block, ("z = y + z[:, :rows]", "z = y"), ("return y + z, c", "return y, c"))
bare_block_backward = edited(
    encoder_block_backward, ("dz = dy + dz", "dz = dy"), ("dy[:, : dz.shape[1]] += dz", "pass")
)


def up_and_down(block, block_backward, depth=12, D=64, T=17):
    """For each block: how much the tokens differ, the gradient's norm, and that of the query matrix."""
    rng = np.random.default_rng(0)
    blocks = [encoder_block_init(rng, D, 4 * D, dtype="float64") for _ in range(depth)]
    z, dy, caches, differ, found = rng.standard_normal((4, T, D)), rng.standard_normal((4, D)), [], [], []
    for p in blocks:
        differ.append(np.linalg.norm(z - z.mean(axis=1, keepdims=True)) / np.linalg.norm(z))
        z, c = block(z, p, heads=4)
        caches.append(c)
    dz = class_row_backward(dy / np.linalg.norm(dy), {"z": z})
    for p, c in zip(reversed(blocks), reversed(caches), strict=True):
        dz, g = block_backward(dz, p, c)
        found.insert(0, (np.linalg.norm(dz), np.linalg.norm(g["msa"]["q"]["w"])))
    return np.column_stack([differ, found])


with_residual = up_and_down(encoder_block, encoder_block_backward)
without = up_and_down(bare_block, bare_block_backward)
bare = tinyvit.gradcheck(bare_block, bare_block_backward, *case.inputs, **case.keywords)
print(f"gradient check of the blocks without residual connections: worst error {bare.worst_error:.1e}, ok: {bare.ok}")

figure = new_figure(7.5, 2.7)
titles = ("how much tokens differ", "gradient of the block's input", "gradient of the query matrix")
for i, (axes, title) in enumerate(zip(figure.subplots(1, 3), titles, strict=True)):
    axes.plot(range(1, 13), with_residual[:, i], "s-", color=BLUE, markersize=4, label="with residuals")
    axes.plot(range(1, 13), without[:, i], "o--", color=ORANGE, markersize=4, label="without")
    axes.set(xlabel="block", xticks=(1, 4, 8, 12))
    axes.set_title(title, fontsize=9)
    plain(axes)
    axes.set(**(dict(yscale="log") if i == 2 else dict(ylim=(0, None))))
axes.legend(fontsize=8)
figure

# %% [markdown]
# It is often written that without residual connections the gradient vanishes. What is measured is more interesting. Read the middle from right
# to left, as the gradient goes: with residual connections it grows, since every block hands on what it got and adds what came through its
# branches (here they add up more than they cancel). Without, it drops to a fraction, but not to nothing, because each LayerNorm scales a small
# input up to size 1, and on the way back the gradient by the same factor.
#
# What dies is on the left. Attention is an average, and averages of averages are alike: after three or four blocks without residual connections
# all tokens are the same (Dong et al. 2021 prove it for attention alone, "Attention is not all you need"). Then it makes no difference where a
# query looks, all values being equal, and queries and keys get no gradient: on the right, where what is left is rounding. The stream keeps the
# tokens apart.
#
# ## Dropout
#
# One part is left. **Dropout** (Srivastava et al. 2014) sets each number to 0 with probability $r$, the **rate**, in training only, so that no
# unit can rely on another. What is kept is divided by $1 - r$, so that the mean stays:
# $E[\mathrm{mask}] = r \cdot 0 + (1 - r) \cdot \frac{1}{1 - r} = 1$, and evaluation need not do anything. The paper puts it after every linear
# layer of a block except q, k and v, and directly after the positions are added. That is one mask at the entrance, the `stem`, and three in each
# block:

# %%
dropping = dataclasses.replace(config, dropout=0.25)
masks = tinyvit.vit_masks(np.random.default_rng(0), dropping, batch=64)
for name, mask in trees.walk(masks):
    if not name.startswith(("blocks/1", "blocks/2")):
        print(f"{name:18} {list(mask.shape)!s:14} values {np.unique(mask).round(4)}, mean {mask.mean():.4f}")

# %% [markdown]
# The masks are drawn apart and handed in. So `vit` stays a pure function: with the same masks it computes the same logits, its gradient can be
# checked, and a run that is stopped and resumed draws the same masks again. Without masks it evaluates; there is no mode to forget.

# %%
once, twice = vit(images, p, dropping, masks=masks)[0], vit(images, p, dropping, masks=masks)[0]
print("same masks, same logits:", np.array_equal(once, twice))
print("no masks, no dropout:   ", np.array_equal(vit(images, p, dropping)[0], by_vit))

# %% [markdown]
# ## Exercises
#
# Write the bodies, with the package's smaller functions (`layer_norm`, `multi_head_attention`, `mlp`, ...) at hand; those not imported above are
# found under `tinyvit.layers` and `tinyvit.ops`. `exercises.check` says whether the answer is right, and if not, what kind of mistake it looks
# like. `exercises.hint("vit")` gives a first hint, `exercises.hint("vit", 2)` a second; `print(exercises.solution("vit"))` shows how the package
# does it. (Dropout was the exercise of [the first notebook](00_start_here.ipynb).)


# %%
def my_encoder_block(z, p, *, heads):
    """z [B, T, D], p {ln1, msa, ln2, mlp} -> z [B, T, D], by equations (2) and (3).

    The cache holds those of the parts: {ln1, msa, dropout, ln2, mlp}; that of dropout, which has no mask here, is {}.
    """


exercises.check("encoder_block", my_encoder_block)


# %%
def my_encoder_block_backward(dz, p, c):
    """The gradient dz [B, T, D] of the output -> that of the input, and g {ln1, msa, ln2, mlp}."""


exercises.check("encoder_block_backward", my_encoder_block_backward)


# %%
def my_class_row(z):
    """z [B, T, D] -> y [B, D], row 0 of every image, and the cache {"z": z}."""


exercises.check("class_row", my_class_row)


# %%
def my_class_row_backward(dy, c):
    """dy [B, D] and the cache {"z": [B, T, D]} -> dz [B, T, D]."""


exercises.check("class_row_backward", my_class_row_backward)


# %% [markdown]
# A head may have a layer of its own before the last, called pre-logits: a linear layer, then tanh, whose derivative is $1 - \tanh^2$.


# %%
def my_tanh(x):
    """x, any shape -> y = tanh(x) and the cache {"y": y}."""


exercises.check("tanh", my_tanh)


# %%
def my_tanh_backward(dy, c):
    """dy of y's shape and the cache {"y"} -> dx."""


exercises.check("tanh_backward", my_tanh_backward)


# %%
def my_pre_logits(x, p):
    """x [B, D], p {"w": [D, R], "b": [R]} -> y [B, R] = tanh(x w + b), and the cache {"linear", "tanh"} of the parts."""


exercises.check("pre_logits", my_pre_logits)


# %%
def my_pre_logits_backward(dy, p, c):
    """dy [B, R], p and the cache of the forward pass -> dx [B, D] and g {"w", "b"}."""


exercises.check("pre_logits_backward", my_pre_logits_backward)


# %%
def my_vit(images, p, config):
    """Images [B, H, W, C], p {patch, cls, pos, blocks [...], ln, head} -> logits [B, K], by equations (1) to (4).

    The cache holds those of the parts: {patch, cls, pos, dropout, blocks [...], readout, head}. The positions are
    learned (learned_position), no masks are given, and config has patch, heads, depth and eps.
    """


exercises.check("vit", my_vit)


# %%
def my_vit_backward(dy, p, c, config):
    """The gradient dy [B, K] of the logits -> that of the images [B, H, W, C], and g, a tree like p."""


exercises.check("vit_backward", my_vit_backward)

# %% [markdown]
# ## What we know now
#
# A Vision Transformer is a table of tokens to which $2 L$ branches add their findings, and of which the first row is read at the end. Its cache
# says what it did, `tinyvit.shapes` what it costs, to the last integer, and its gradient is checked, to the last entry.

# %%
assert np.allclose(logits, by_vit, atol=1e-4) and np.allclose(sums[-1], stream[-1], atol=1e-4)
assert np.allclose(whole, short, atol=1e-10) and largest < 1e-10
assert abs(first_loss - math.log(10)) < 1e-6
assert all(not leaf.any() for name in ("patch", "blocks", "ln") for leaf in trees.leaves(g_new[name]))
assert by_hand(b16) == {name: trees.count(tree[name]) for name in by_hand(b16)}
assert all(formula == counted for formula, counted in counts.values()) and counts["B/16"][0] == 86_567_656
assert report.ok and not broken.ok and not other.ok and bare.ok
assert [row.name for row in other.rows if row.error > other.rtol] == ["z"]
assert without[-1, 0] < 1e-3 < with_residual[-1, 0] and without[-1, 2] < 1e-6 < with_residual[-1, 2]
assert all(abs(mask.mean() - 1) < 0.05 for mask in trees.leaves(masks))
assert np.array_equal(once, twice)

# %% [markdown]
# Next: [a museum of gradient bugs](08_museum_of_gradient_bugs.ipynb), or what the mistakes look like that everybody makes.
