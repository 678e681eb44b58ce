# %% [markdown]
# # Positions: telling patches where they were
#
# **The question.** The encoder is handed the patches of an image, one after the other. Does it know which was where? And if not, who tells it?
#
# An experiment. Two models are trained on handwritten digits. They differ in one setting: one has **position embeddings**, of which more below, the
# other has none. Each is trained with three seeds, since one run of anything proves little; all six take a few seconds. Then each is shown a digit,
# and the same digit with its 16 patches shuffled. The bars are the **logits**, one number for each of the ten classes.

# %%
import dataclasses

import numpy as np

import tinyvit
from tinyvit import exercises, trees
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward, encoder_block_init
from tinyvit.layers.layer_norm import layer_norm, layer_norm_init
from tinyvit.layers.linear import linear
from tinyvit.layers.position import POSITION, learned_position, learned_position_backward
from tinyvit.ops.patches import patchify, unpatchify
from tinyvit.viz.embedding import neighbours_similarity, similarity, similarity_figure
from tinyvit.viz.picture import BLUE, HEAT, ORANGE, bare, new_figure, plain, show

rng = np.random.default_rng(0)
data = tinyvit.load_data("digits")
images, labels = data[1]
digits = tinyvit.PRESETS["digits"]


def train(seed, **settings):
    """The digits model with these settings, trained for twelve epochs: config, parameters, test accuracy."""
    config = dataclasses.replace(digits, **settings)
    recipe = tinyvit.Recipe(epochs=12, learning_rate=5e-3)
    p, history = tinyvit.fit(config, data, recipe=recipe, seed=seed, progress=False)
    return config, p, history[-1]["test_accuracy"]


def shuffled(images, order):
    """The images with their patches in this order."""
    patches, _ = patchify(images, digits.patch)  # [B, N, P*P*C]
    return unpatchify(patches[:, order], images.shape)


runs = {position: [train(seed, position=position) for seed in range(3)] for position in ("none", "1d")}
order = rng.permutation(digits.grid**2)
pair = np.concatenate([images[3:4], shuffled(images[3:4], order)])

figure = new_figure(7.5, 2)
left, right, *others = figure.subplots(1, 4, width_ratios=[1, 1, 1.8, 1.8])
for axes, image, title in zip((left, right), pair, ("a digit", "shuffled"), strict=True):
    show(axes, image)
    axes.set_title(title, fontsize=9)
for axes, (position, title) in zip(others, {"none": "no positions", "1d": "with positions"}.items(), strict=True):
    config, p, _ = runs[position][0]
    logits, _ = tinyvit.vit(pair, p, config)
    axes.bar(np.arange(10) - 0.2, logits[0], width=0.4, color=BLUE, label="a digit")
    axes.bar(np.arange(10) + 0.2, logits[1], width=0.4, color=ORANGE, label="shuffled")
    axes.set_title(title, fontsize=9)
    axes.set(xlabel="class", xticks=range(10), ylim=(-4, 6))
    plain(axes)
others[1].legend(fontsize=8)
figure

# %% [markdown]
# Without positions, the answer is the same, right or wrong. To that model an image is a bag of patches. Is it really the same, or only nearly? In
# float64, with random parameters everywhere, for 60 test images:


# %%
def random_model(position):
    """A model in float64 of which every parameter is random."""
    config = dataclasses.replace(digits, position=position)
    return config, trees.map(lambda leaf: rng.standard_normal(leaf.shape) / 2, tinyvit.vit_init(None, config))


x = images[:60].astype(np.float64)
logits_change = {}
for position in ("none", "1d"):
    config, p = random_model(position)
    logits_change[position] = abs(tinyvit.vit(shuffled(x, order), p, config)[0] - tinyvit.vit(x, p, config)[0]).max()
    print(f"position {position!r:6}: the logits change by at most {logits_change[position]:.1e}")

# %% [markdown]
# Rounding, and nothing else.
#
# ## Why attention does not see order
#
# Let $\Pi$ be a permutation matrix: it has a single 1 in each row and column, $\Pi X$ are the rows of $X$ in another order, and $\Pi^\top \Pi = I$.
# Linear layers, LayerNorm and the MLP ([the next notebook](06_layer_norm_and_gelu.ipynb) is about the last two) work on each token by itself, so
# permuted tokens give permuted results. Attention lets tokens meet, so there something could happen. The queries, keys and values are $\Pi Q$,
# $\Pi K$, $\Pi V$; the softmax works on each row by itself, and the order within a row does not matter to its sum (the scale $1 / \sqrt{d}$
# changes nothing in this, and is left out):
#
# $$ \mathrm{softmax}\left( \Pi Q\, (\Pi K)^\top \right) \Pi V
#    = \mathrm{softmax}\left( \Pi\, Q K^\top \Pi^\top \right) \Pi V
#    = \Pi\, \mathrm{softmax}\left( Q K^\top \right) \Pi^\top \Pi\, V
#    = \Pi \left( \mathrm{softmax}\left( Q K^\top \right) V \right) $$
#
# Permute the tokens, and the outputs are permuted: attention is **equivariant**. Measured on a whole encoder block, which is LayerNorm, attention
# and MLP ([source](../tinyvit/layers/encoder_block.py)):


# %%
def randomised(tree):
    return trees.map(lambda leaf: rng.standard_normal(leaf.shape) / 2, tree)


B, T, D, M, h = 5, 10, 4, 3, 2  # batch, tokens (a class token and 9 patches), width, MLP width, heads
block = randomised(encoder_block_init(None, D, M))
z = rng.standard_normal((B, T, D))
move = np.concatenate([[0], 1 + rng.permutation(T - 1)])  # the class token stays where it is, at 0

y, _ = encoder_block(z, block, heads=h)
y_moved, _ = encoder_block(z[:, move], block, heads=h)
print(f"outputs in the new order, and outputs of the new order: {abs(y[:, move] - y_moved).max():.0e} apart")
print(f"the class token's output changes by {abs(y[:, 0] - y_moved[:, 0]).max():.0e}")

# %% [markdown]
# The class token was not moved, so its output does not change at all: it is **invariant**. (What is left is rounding: the same numbers are added in
# another order.) The answer is read from the class token: hence the picture above.
#
# ## Does it matter?
#
# The accuracy on the 360 test images, for each seed. In the last column, each model is tested on images whose patches are shuffled, all in the same
# way.

# %%
print("positions   test accuracy of each seed     mean   shuffled test images")
accuracies, on_shuffled = {}, {}
for position, three in runs.items():
    accuracies[position] = np.array([accuracy for *_, accuracy in three])
    answers = [tinyvit.vit(shuffled(images, order), p, config)[0].argmax(axis=1) for config, p, _ in three]
    on_shuffled[position] = np.array([(answer == labels).mean() for answer in answers])
    each = "  ".join(f"{accuracy:.1%}" for accuracy in accuracies[position])
    print(f"{position:11} {each}     {accuracies[position].mean():11.1%}   {on_shuffled[position].mean():.1%}")

# %% [markdown]
# Two things can be read from this. Order matters: without it, about three mistakes in ten instead of one in thirty, and the seeds differ by far less
# than that. And a bag of patches is still worth a lot: guessing would be right once in ten. Which patches occur, wherever they are, says much about
# a digit.
#
# (Twelve epochs, one set of settings for both, chosen for speed. The [full recipe](../README.md#results) reaches 98.3 % with positions.)
#
# ## A table that is learned
#
# The Vision Transformer's remedy is a table $E_\mathrm{pos}$ $[T, D]$ with one row for each position, which is added to the tokens (the paper's
# equation 1). Row 0 is the class token's. The rows start as random numbers, and are learned as every other parameter is. With $x_1, \ldots, x_N$ for
# the patches' pixels, $E$ for the matrix that makes tokens of them, $x_\mathrm{class}$ for the class token, and a semicolon between rows that stand
# one below the other (like the paper, we do not write the bias of the patch embedding):
#
# $$ z_0 = \left[ x_\mathrm{class};\; x_1 E;\; \ldots;\; x_N E \right] + E_\mathrm{pos} $$

# %%
print(exercises.source(learned_position))
print(exercises.source(learned_position_backward))

table = rng.standard_normal((T, D))
print("tokens", list(z.shape), "+ table", list(table.shape), "=", list(learned_position(z, table)[0].shape))
print("what a config can name:", ", ".join(POSITION))

# %% [markdown]
# The shapes say how the gradient must look. Write $U$ for the table. NumPy adds it to each of the $B$ images, $y_{bti} = z_{bti} + U_{ti}$. So an
# entry of the table reaches the loss through $B$ outputs, and its gradient is a sum over the batch:
#
# $$ \mathbf{d}U_{ti} = \sum_{b=1}^{B} \mathbf{d}y_{bti} $$
#
# What the forward pass copies, the backward pass adds.

# %%
report = tinyvit.gradcheck(learned_position, lambda dy, c: learned_position_backward(dy, table, c), z, table)
print(report)

# %% [markdown]
# ## Break it
#
# Is it the sum over the images, or their mean? The shape is the same. And an optimiser such as AdamW, which divides each gradient by its usual size,
# would all but hide the difference: the model would train, and nobody would know. The check counts:

# %%
broken = tinyvit.gradcheck(learned_position, lambda dy, c: (dy, dy.mean(axis=0)), z, table)
print(broken)

# %% [markdown]
# `analytic / numeric` is 1/5, one over the batch. Another mistake shows itself at once: a table for the patches alone, forgetting that the class
# token is a token, too.

# %%
try:
    learned_position(z, table[1:])
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# ## Why may it be added?
#
# Adding looks careless. The patch says one thing, the position another, and the sum of two vectors does not say what the summands were. Would it not
# be better to lay them side by side?
#
# It is the same. Write $e_i$ for the position as a **one-hot** vector, all zeros but for a 1 in place $i$. Then $e_i U$ is row $i$ of the table,
# $U_i$, and with $E$ and $U$ stacked into one matrix,
#
# $$ x E + U_i = x E + e_i U = \left[\, x,\; e_i \,\right] \begin{pmatrix} E \\ U \end{pmatrix}. $$
#
# So adding a learned position *is* concatenating: the position is laid beside the pixels as a one-hot vector, and one linear layer takes both. In
# numbers, with the patches of the 60 images:

# %%
config, p = random_model("1d")
patches, _ = patchify(x, config.patch)  # [B, N, P*P*C]
E, U = p["patch"], p["pos"][1:]  # the patch embedding {w, b}, and the patches' rows of the table
added = linear(patches, E)[0] + U

one_hot = np.broadcast_to(np.eye(len(U)), (len(x), len(U), len(U)))  # [B, N, N]
beside = np.concatenate([patches, one_hot], axis=-1)  # [B, N, P*P*C + N]
stacked = {"w": np.concatenate([E["w"], U]), "b": E["b"]}  # [P*P*C + N, D]
concatenated, _ = linear(beside, stacked)
print("beside", list(beside.shape), "  stacked", list(stacked["w"].shape), "  result", list(concatenated.shape))
print(f"added, and concatenated: {abs(added - concatenated).max():.0e} apart")

# %% [markdown]
# And whatever linear layer $W$ comes next, it takes the sum of contents $Z$ and positions $U$ apart again, $(Z + U)\, W = Z W + U W$: a query is a
# query of the content plus a query of the position. (The LayerNorm in between treats both parts alike: from each it takes away its own mean, and it
# divides both by the same number.)

# %%
W = rng.standard_normal((D, D))
parts_error = abs((z + table) @ W - (z @ W + table @ W)).max()
print(f"together, and in parts: {parts_error:.0e} apart")

# %% [markdown]
# There is also room to keep both apart. A patch here has 4 pixels, so the embeddings of all patches lie in 4 of the 32 dimensions of a token (up to
# the bias, which is common to all). A table of random directions has, on average, 4/32 = 12.5 % of its squared length in the same 4 dimensions. The
# trained tables:

# %%
overlaps = []
for _, p, _ in runs["1d"]:
    directions = np.linalg.svd(p["patch"]["w"], full_matrices=False)[2]  # [4, 32]: they span the patches' embeddings
    learned = p["pos"][1:]
    overlaps.append(((learned @ directions.T) ** 2).sum() / (learned**2).sum())
print("share of the positions that lies where the content is:", ", ".join(f"{overlap:.1%}" for overlap in overlaps))

# %% [markdown]
# They began as random tables, and in this they have stayed so: about seven eighths of their squared length lies where no patch has anything.
#
# ## What has been learned?
#
# Each of the 16 squares below belongs to one patch, and stands where that patch stands in the image. Its own 4 x 4 cells show how similar the patch's
# row of the table is to that of every patch: the cosine of the angle between the two, exactly 1 for a row with itself. This figure is the paper's
# figure 7, middle, for our digits.
#
# One change is made for it. The preset draws its table with a standard deviation of 0.5, which learns fast, and after twelve epochs the random
# numbers of the start still hide what was learned. So these are trained from 0.02, as in the paper's own code.

# %%
small_start = [train(seed, position_std=0.02) for seed in range(3)]
learned = small_start[0][1]["pos"]
similarity_figure(learned)

# %%
print("similarity of patches side by side, and of all others:")
for name, three in {"std 0.5": runs["1d"], "std 0.02": small_start}.items():
    for _, p, accuracy in three:
        side_by_side, others = neighbours_similarity(p["pos"])
        print(f"{name:8}  {side_by_side:z6.2f} {others:z6.2f}   test accuracy {accuracy:.1%}")

# %% [markdown]
# Not what one expects. Trained from 0.02, neighbours are *less* alike than patches farther apart, in all three seeds. In the paper's figure, and in
# our [larger run on MNIST](../docs/inside.md) with 49 patches, neighbours are *more* alike, and the model has found out by itself that images have
# two dimensions. With 16 patches of 2 x 2 pixels it seems to have more use for telling them apart; that is a guess, and the numbers say only that
# it is so. They also say why the preset starts from 0.5: twelve epochs from 0.02 end with more mistakes.
#
# ## Other tables
#
# A table need not be learned. Here are some that are not, each a few lines that make an array $[T, D]$. They are no layers, and need none: put into
# `p["pos"]`, they are added as the learned one is. (The package itself knows the two kinds printed above, `1d` and `none`; for a fixed table, an
# optimiser would have to leave `g["pos"]` alone.)
#
# **One-hot.** Each position gets a column of its own: row $i$ is $e_i$. Every position is as different from its neighbour as from any other, and
# there must be as many columns as positions.
#
# **Integers.** Position $t$ is the number $t$, in one column. What is wrong with it? Its size grows with $t$. After LayerNorm, which brings every
# token to the same size, little is left of what the patch itself said. Two different patches are put at the same position; how similar are they
# after LayerNorm, as a cosine, on average over 1,000 pairs?


# %%
def integers(tokens, dim):
    return np.arange(tokens)[:, None] * np.eye(dim)[0]  # t, 0, 0, ...


def after_norm(position, pairs=1_000):
    """The mean cosine of two random patches, after this position [D] was added and LayerNorm applied."""
    D = len(position)
    a, b = (layer_norm(rng.standard_normal((pairs, D)) + position, layer_norm_init(None, D))[0] for _ in range(2))
    return ((a * b).sum(axis=-1) / D).mean()  # LayerNorm leaves each with the length sqrt(D)


D_model, T_model = 64, 197  # a class token and 14 x 14 patches, as in B/16
alike = {t: after_norm(integers(T_model, D_model)[t]) for t in (0, 1, 14, 49, 196)}
for t, cosine in alike.items():
    print(f"position {t:3}: the size of its row {t:5.1f}, cosine of two different patches {cosine:z5.2f}")

# %% [markdown]
# Patches at the end of the image are drowned in their own number.
#
# **Sinusoidal** (Vaswani et al. 2017, section 3.5). Each pair of columns is a hand of a clock: $\sin \omega t$ and $\cos \omega t$, with a frequency
# $\omega$ of its own, from fast to slow. All rows have the same length.


# %%
def sinusoidal(tokens, dim):
    t, omega = np.arange(tokens)[:, None], 10_000.0 ** (-np.arange(0, dim, 2) / dim)
    return np.stack([np.sin(omega * t), np.cos(omega * t)], axis=-1).reshape(tokens, dim)  # sin, cos, sin, cos, ...


clock = sinusoidal(T_model, D_model)
lengths = np.linalg.norm(clock, axis=1)
print(f"lengths of the rows: from {lengths.min():.3f} to {lengths.max():.3f}")
clock_alike = max(after_norm(row) for row in clock)
print(f"cosine of two different patches after LayerNorm: at most {clock_alike:.2f}, at whatever position")

figure = new_figure(7.5, 2.3)
axes = figure.subplots()
shade = axes.imshow(clock.T, cmap=HEAT, aspect="auto", interpolation="nearest")
axes.set(xlabel="position t", ylabel="column of the table")
figure.colorbar(shade, label="entry of the table")
figure

# %% [markdown]
# At the top of the picture are the fast hands, at the bottom those that hardly move: their sines stay near 0, their cosines near 1.
#
# Why sine *and* cosine? Because then a shift is a rotation. By the addition theorems, going on by $k$ turns each hand by the angle $\omega k$,
# wherever it stands:
#
# $$ \begin{pmatrix} \sin \omega (t + k) \\ \cos \omega (t + k) \end{pmatrix} =
#    \begin{pmatrix} \cos \omega k & \sin \omega k \\ -\sin \omega k & \cos \omega k \end{pmatrix}
#    \begin{pmatrix} \sin \omega t \\ \cos \omega t \end{pmatrix} $$
#
# The matrix does not contain $t$. So "five to the right" is one linear map for all positions, which a layer can learn. With the sine alone there
# would be none. To see it, we build the matrix of the formula,
# and then, for the first hand alone, seek the best matrix by least squares: with its cosine, and without.


# %%
def best_shift(table, k):
    """The largest error of the best matrix W with table[t] W = table[t + k] for all t."""
    W = np.linalg.lstsq(table[:-k], table[k:], rcond=None)[0]
    return abs(table[:-k] @ W - table[k:]).max()


rotation = np.zeros((D_model, D_model))
for i, omega in enumerate(10_000.0 ** (-np.arange(0, D_model, 2) / D_model)):
    sin, cos = np.sin(5 * omega), np.cos(5 * omega)
    rotation[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[cos, sin], [-sin, cos]]
rotation_error = abs(clock[:-5] @ rotation.T - clock[5:]).max()

both, sine_alone = best_shift(clock[:, :2], 5), best_shift(clock[:, :1], 5)
print(f"the rotation of the formula errs by {rotation_error:.0e}")
print(f"the best matrix errs by {both:.0e} for the first sine and cosine, by {sine_alone:.2f} for the sine alone")

# %% [markdown]
# **Two dimensions.** Patches are counted row by row, so the last of a row and the first of the next are neighbours in the sequence, and far apart in
# the image. The paper's 2-D positions use two smaller tables, $X$ for columns and $Y$ for rows, with $D/2$ numbers each, laid side by side:
#
# $$ U_{\mathrm{row}, \mathrm{column}} = \left[\, X_\mathrm{column},\; Y_\mathrm{row} \,\right] $$
#
# For a grid of $G \times G$ patches that is $2G \cdot D/2 = G D$ numbers instead of $G^2 D$. They can be learned, as in the paper, or be sinusoidal,
# as here:


# %%
def two_dimensional(X, Y):
    """X [G, D/2] of columns and Y [G, D/2] of rows -> [1 + G*G, D]; the class token, which is nowhere, gets zeros."""
    G, half = X.shape
    grid = np.concatenate([np.broadcast_to(X, (G, G, half)), np.broadcast_to(Y[:, None], (G, G, half))], axis=-1)
    return np.concatenate([np.zeros((1, 2 * half)), grid.reshape(G * G, 2 * half)])


G = 8
N = G * G
axis = sinusoidal(G, N // 2)
tables = {
    "one-hot": np.eye(1 + N, N, k=-1),  # the class token's row is zero
    "integers": integers(1 + N, N),
    "sinusoidal": sinusoidal(1 + N, N),
    "two-dimensional": two_dimensional(axis, axis),
}
figure = new_figure(7.5, 1.9)
patch = 3 * G + 3  # row 3, column 3
panels = figure.subplots(1, 4)
for axes, (name, table_of) in zip(panels, tables.items(), strict=True):
    shade = axes.imshow(similarity(table_of)[patch].reshape(G, G), cmap=HEAT, vmin=0, vmax=1)
    axes.set_title(name, fontsize=9)
    bare(axes)
figure.colorbar(shade, ax=panels, label="cosine similarity", shrink=0.9)
figure

# %% [markdown]
# How similar is the position in row 3, column 3 (counted from 0) to all others of an 8 x 8 grid? One-hot positions know themselves only. Integers,
# being multiples of one vector, all point the same way, and differ in length alone. The sinusoidal ones know the neighbours to the left and right,
# but above and below are eight steps away. With two tables, up and down count as left and right do.
#
# Each of these is a table $[T, D]$, so the model runs with it as it is. For the digits, $T = 17$ and $D = 32$:

# %%
config, p = random_model("1d")
T_digits, D_digits, axis = config.tokens, config.dim, sinusoidal(config.grid, config.dim // 2)
tables_digits = {
    "one-hot": np.eye(T_digits, D_digits),
    "integers": integers(T_digits, D_digits),
    "sinusoidal": sinusoidal(T_digits, D_digits),
    "two-dimensional": two_dimensional(axis, axis),
}
table_changes = {}
for name, table_of in tables_digits.items():
    p_table = p | {"pos": table_of}
    logits, _ = tinyvit.vit(x, p_table, config)
    table_changes[name] = abs(tinyvit.vit(shuffled(x, order), p_table, config)[0] - logits).max()
    print(f"{name:16} logits {list(logits.shape)}, changed by up to {table_changes[name]:.2f} by shuffling")

# %% [markdown]
# **Relative positions** are no table that is added to tokens. What counts is not where query $t$ and key $s$ are, but how far apart. Each offset
# $s - t$ has a learned vector $r_{s-t}$ of its own, used as an extra key:
#
# $$ \mathrm{scores}_{ts} = \frac{q_t \cdot k_s + q_t \cdot r_{s-t}}{\sqrt{d}} $$
#
# In the code's terms the second part is a bias of [attention](../tinyvit/ops/attention.py), and since it is made from $q$, the gradient of $q$ gets
# a second part, too. The paper's variant (in its appendix D) takes the offsets along the sequence, in one dimension. It does not say what the class
# token's offset is; whoever builds it has to choose.
#
# ## Which kind is best?
#
# The paper's table 8: ViT-B/16, and how well ImageNet can be classified by a linear map of its features that is fitted to five images of each class
# (by regularised least squares, which has a closed form; it is not logistic regression). The columns differ in where the positions are added:
# before the first layer, before every layer with tables of their own, or before every layer with one table for all.
#
# | positions | before the first layer | every layer | every layer, shared |
# |---|---|---|---|
# | none | 0.61382 | | |
# | 1-D, learned | 0.64206 | 0.63964 | 0.64292 |
# | 2-D, learned | 0.64001 | 0.64046 | 0.64022 |
# | relative | 0.64032 | | |

# %%
with_positions = np.array([0.64206, 0.63964, 0.64292, 0.64001, 0.64046, 0.64022, 0.64032])
print(f"from none to the worst with positions: {100 * (with_positions.min() - 0.61382):.2f} points")
print(f"from the worst to the best with positions: {100 * np.ptp(with_positions):.2f} points")

# %% [markdown]
# Positions matter; which kind hardly does. The gap to "none" is about eight times as wide as all differences between kinds and places, and the paper
# gives no spread over seeds, so the small differences may mean nothing. Its explanation, which it calls a speculation: with 14 x 14 patches instead
# of 224 x 224 pixels, it is equally easy to learn where each is, in whatever form. The simplest is the default there, and so here.
#
# (Next to this, around its figure 9, the paper speaks of a difference that is explained by the learning rate. That is sometimes read as a remark
# about positions. It is about the class token against average pooling: the two work equally well, but need different learning rates.)
#
# ## At every layer
#
# The last column has a lesson about gradients in it: one table, used in every layer. Here are two encoder blocks with a table before each, and the
# way back.


# %%
def two_blocks(z, first, second, p):
    c = {}
    z, c["first"] = learned_position(z, first)
    z, c["block 0"] = encoder_block(z, p[0], heads=h)
    z, c["second"] = learned_position(z, second)
    z, c["block 1"] = encoder_block(z, p[1], heads=h)
    return z, c


def two_blocks_backward(dz, p, c):
    dz, g1 = encoder_block_backward(dz, p[1], c["block 1"])
    dz, dsecond = learned_position_backward(dz, None, c["second"])
    dz, g0 = encoder_block_backward(dz, p[0], c["block 0"])
    dz, dfirst = learned_position_backward(dz, None, c["first"])
    return dz, dfirst, dsecond, [g0, g1]


def shared(z, table, p):
    return two_blocks(z, table, table, p)


def shared_backward(dz, p, c):
    dz, dfirst, dsecond, g = two_blocks_backward(dz, p, c)
    return dz, dfirst + dsecond, g


blocks = [randomised(encoder_block_init(None, D, M)) for _ in range(2)]
z_small, table_small = z[:2, :3], table[:3]  # fewer tokens: a check runs the blocks four times for each number
own = tinyvit.gradcheck(two_blocks, two_blocks_backward, z_small, table_small, rng.permuted(table_small), blocks)
one = tinyvit.gradcheck(shared, shared_backward, z_small, table_small, blocks)
for name, found in {"own": own, "shared": one}.items():
    arrays = [row.name for row in found.rows if "/" not in row.name]
    print(f"{name}:", ", ".join(arrays), "and all parameters of the blocks")
    print(str(found).splitlines()[-1])

# %% [markdown]
# A table of its own for each layer gets the gradient of its layer. A shared table gets the sum, for the reason for which there was a sum over the
# batch: what is used several times reaches the loss in several ways, and they add up. If one of them is forgotten, the check names the table, and
# nothing else:


# %%
def forgetful_backward(dz, p, c):
    dz, dfirst, _, g = two_blocks_backward(dz, p, c)
    return dz, dfirst, g


forgotten = tinyvit.gradcheck(shared, forgetful_backward, z_small, table_small, blocks)
print("wrong:", [row.name for row in forgotten.rows if row.error > forgotten.rtol])

# %% [markdown]
# ## Exercises
#
# Write the bodies. `exercises.check` says whether the answer is right, and if it is not, what kind of mistake it looks like.
# `exercises.hint("learned_position_backward")` gives a first hint, `exercises.hint("learned_position_backward", 2)` a second;
# `print(exercises.solution("learned_position_backward"))` shows how the package does it.


# %%
def my_learned_position(z, p):
    """Add the table p [T, D] to the tokens z [B, T, D] of every image -> y [B, T, D], and the cache {}."""


exercises.check("learned_position", my_learned_position)


# %%
def my_learned_position_backward(dy, p, c):
    """dy [B, T, D], the table p [T, D] and the cache {} -> the gradients of z [B, T, D] and of the table [T, D]."""


exercises.check("learned_position_backward", my_learned_position_backward)

# %% [markdown]
# ## What we know now
#
# Attention sees a set. A table, added once, tells the tokens where they were; adding it is concatenating a one-hot position; its gradient is a sum
# over all its uses. That there are positions matters much, which kind they are, little.

# %%
assert logits_change["none"] < 1e-12 and logits_change["1d"] > 0.1
assert abs(y[:, move] - y_moved).max() < 1e-12 and abs(y[:, 0] - y_moved[:, 0]).max() < 1e-12
assert accuracies["1d"].min() > 0.9 and accuracies["none"].min() > 0.5 and accuracies["none"].max() < 0.85
assert np.allclose(on_shuffled["none"], accuracies["none"], atol=0.005)  # up to an image on the edge, in float32
assert on_shuffled["1d"].max() < accuracies["none"].min()
assert report.ok and not broken.ok
assert abs(added - concatenated).max() < 1e-12 and parts_error < 1e-12
assert (np.diag(similarity(learned)) == 1).all()
assert all(np.greater(*neighbours_similarity(p["pos"])[::-1]) for _, p, _ in small_start)
assert rotation_error < 1e-12 and both < 1e-12 and sine_alone > 0.5 and np.allclose(lengths, np.sqrt(D_model / 2))
assert alike[196] > 0.9 and clock_alike < 0.5 and all(change > 0.01 for change in table_changes.values())
assert own.ok and one.ok and [row.name for row in forgotten.rows if row.error > forgotten.rtol] == ["table"]

# %% [markdown]
# Next: [LayerNorm and GELU](06_layer_norm_and_gelu.ipynb), what a token does by itself.
