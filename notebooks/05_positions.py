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
from tinyvit import checks, exercises, trees
from tinyvit.exercises.source import edited
from tinyvit.lab.figures import points
from tinyvit.lab.statistics import difference, estimate, largest_difference
from tinyvit.layers.block import block, block_backward
from tinyvit.layers.encoder_block import encoder_block, encoder_block_init
from tinyvit.layers.layer_norm import layer_norm, layer_norm_init
from tinyvit.layers.linear import linear
from tinyvit.layers.multi_head_attention import multi_head_attention, multi_head_attention_backward
from tinyvit.layers.position import (
    POSITIONS,
    grid_position,
    grid_position_backward,
    learned_position,
    learned_position_backward,
    sinusoidal_position,
)
from tinyvit.models.vit import encoder_backward
from tinyvit.ops.patches import patchify, unpatchify
from tinyvit.ops.relative_bias import relative_bias, relative_bias_backward
from tinyvit.viz.embedding import neighbours_similarity, similarity, similarity_figure
from tinyvit.viz.picture import BLUE, HEAT, ORANGE, bare, new_figure, plain, show

rng = np.random.default_rng(0)
data = tinyvit.load_data("digits")
images, labels = data[1]
digits = tinyvit.PRESETS["digits"]


def train(seed, **settings):
    """The digits model with these settings, trained for nine epochs: config, parameters, test accuracy."""
    config = dataclasses.replace(digits, **settings)
    recipe = tinyvit.Recipe(epochs=9, learning_rate=5e-3)
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
def random_model(**settings):
    """A model in float64 of which every parameter is random."""
    config = dataclasses.replace(digits, **settings)
    return config, trees.map(lambda leaf: rng.standard_normal(leaf.shape) / 2, tinyvit.vit_init(None, config))


def change(p, config):
    """By how much, at most, the logits change when the patches are shuffled."""
    return abs(tinyvit.vit(shuffled(x, order), p, config)[0] - tinyvit.vit(x, p, config)[0]).max()


x = images[:60].astype(np.float64)
for position in ("none", "1d"):
    config, p = random_model(position=position)
    print(f"position {position!r:6}: the logits change by at most {change(p, config):.1e}")

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
block_p = randomised(encoder_block_init(None, D, M))
z = rng.standard_normal((B, T, D))
move = np.concatenate([[0], 1 + rng.permutation(T - 1)])  # the class token stays where it is, at 0

y, _ = encoder_block(z, block_p, heads=h)
y_moved, _ = encoder_block(z[:, move], block_p, heads=h)
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
# Two things can be read from this. Order matters: without it, about one answer in three is wrong, with it one in twenty, and the seeds differ by far
# less than that. And a bag of patches is still worth a lot: guessing would be right once in ten. Which patches occur, wherever they are, says much
# about a digit.
#
# (Nine epochs, one set of settings for both, chosen for speed. The [full recipe](../docs/results.md) reaches 98.3 % with positions.)
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
print("the kinds that a config can name:", ", ".join(POSITIONS))

# %% [markdown]
# The shapes say how the gradient must look. Write $U$ for the table. NumPy adds it to each of the $B$ images, $y_{bti} = z_{bti} + U_{ti}$. So an
# entry of the table reaches the loss through $B$ outputs, and its gradient is a sum over the batch:
#
# $$ dU_{ti} = \sum_{b=1}^{B} dy_{bti} $$
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
config, p = random_model(position="1d")
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
# One change is made for it. The preset draws its table with a standard deviation of 0.5, which learns fast, and after nine epochs the random
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
# it is so. They also say why the preset starts from 0.5: nine epochs from 0.02 end with more mistakes.
#
# ## Tables that nobody learns
#
# A table need not be learned. Two that suggest themselves, for contrast. They are no layers and need none: put into `p["pos"]`, they are added as the
# learned one is. (To keep such a table fixed, an optimiser would have to leave `g["pos"]` alone.)
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
# What is in the patches at the end of the image is drowned by their numbers.
#
# **Sinusoidal** (Vaswani et al. 2017, section 3.5). Each pair of columns is a hand of a clock: $\sin \omega t$ and $\cos \omega t$, with a frequency
# $\omega$ of its own, from fast to slow. All rows have the same length. This kind has a name in a config, `position="sinusoidal"`. It has no
# parameters: `p` is an empty tree, and on the way back there is nothing to do but to hand on $dy$. (`first` is the position of the first row,
# 0 for an image.)

# %%
print(exercises.source(sinusoidal_position))

clock = sinusoidal_position(np.zeros((1, T_model, D_model)), {})[0][0]  # added to nothing, the table itself
lengths = np.linalg.norm(clock, axis=1)
print(f"\nlengths of the rows: from {lengths.min():.3f} to {lengths.max():.3f}")
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
# would be none. To see it, we build the matrix of the formula, and then, for the first hand alone, seek the best matrix by least squares: with its
# cosine, and without.


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
# ## Two dimensions
#
# Patches are counted row by row, so the last of a row and the first of the next are neighbours in the sequence, and far apart in the image. The
# paper's 2-D positions (its appendix D.4) use two smaller tables, $X$ for columns and $Y$ for rows, with $D/2$ numbers in each row, laid side by
# side:
#
# $$ U_{\mathrm{row}, \mathrm{column}} = \left[\, X_\mathrm{column},\; Y_\mathrm{row} \,\right] $$
#
# For a grid of $G \times G$ patches that is $2G \cdot D/2 = G D$ numbers instead of $G^2 D$. The class token is nowhere in the grid, and has a row of
# its own. In a config, `position="2d"`:

# %%
print(exercises.source(grid_position))
print(exercises.source(grid_position_backward))

# %% [markdown]
# What the forward pass copies, the backward pass adds, once more. The embedding of a column serves the patches of all rows, so its gradient is a sum
# over rows; that of a row, over columns. With $dU$ for the gradient of the whole table, summed over the batch as before, and $j$ from 1 to
# $D/2$:
#
# $$ dX_{\mathrm{column}, j} = \sum_{\mathrm{row}} dU_{\mathrm{row}, \mathrm{column}, j}, \qquad
#    dY_{\mathrm{row}, j} = \sum_{\mathrm{column}} dU_{\mathrm{row}, \mathrm{column}, D/2 + j} $$
#
# The grid is square, so nothing crashes when the two sums are exchanged. `edited` takes the package's function and changes one line:

# %%
grid = {name: rng.standard_normal(shape) for name, shape in {"x": (3, 2), "y": (3, 2), "cls": (1, 4)}.items()}
grid_report = tinyvit.gradcheck(grid_position, grid_position_backward, z, grid)
print(grid_report)

exchanged = edited(grid_position_backward, ("[..., :half].sum(axis=0)", "[..., :half].sum(axis=1)"))
grid_broken = tinyvit.gradcheck(grid_position, exchanged, z, grid)
print("exchanged, wrong:", [row.name for row in grid_broken.rows if row.error > grid_broken.rtol])

# %% [markdown]
# The four tables beside each other. How similar is the position in row 3, column 3 (counted from 0) to all others of an 8 x 8 grid? For the two
# dimensions, $X$ and $Y$ are filled with sinusoids here, to see what the form itself says before anything is learned.

# %%
G = 8
N = G * G
axis = sinusoidal_position(np.zeros((1, G, N // 2)), {})[0][0]
tables = {
    "one-hot": np.eye(1 + N, N, k=-1),  # the class token's row is zero
    "integers": integers(1 + N, N),
    "sinusoidal": sinusoidal_position(np.zeros((1, 1 + N, N)), {})[0][0],
    "two-dimensional": grid_position(np.zeros((1, 1 + N, N)), {"x": axis, "y": axis, "cls": np.zeros((1, N))})[0][0],
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
# One-hot positions know themselves only. Integers, being multiples of one vector, all point the same way, and differ in length alone. The sinusoidal
# ones know the neighbours to the left and right, but above and below are eight steps away. With two tables, up and down count as left and right do.
#
# ## Relative positions
#
# What counts is perhaps not where the query of token $t$ and the key of token $s$ are, but how far apart (Shaw et al. 2018). Then nothing is added to
# tokens. Each offset $s - t$ has a learned vector $r_{s-t}$ of its own, which is used as an extra key (the paper's appendix D.4):
#
# $$ \mathrm{scores}_{ts} = \frac{q_t \cdot k_s + q_t \cdot r_{s-t}}{\sqrt{d}} $$
#
# The second part is a bias that is made from $q$. The package scales the queries first, so below $q$ stands for the scaled ones. With $T$ tokens
# there are $2T - 1$ offsets. The function computes the products of each query with all of them, $[T, 2T - 1]$, and picks those that it needs:

# %%
print(exercises.source(relative_bias))
print(exercises.source(relative_bias_backward))

# %% [markdown]
# (`_offsets` says where in the row of products the offset $s - t$ stands. `xp` is NumPy, or CuPy where the arrays are on a GPU.) Which token has
# which offset from which? If each query is the number 1 and each "vector" $r_o$ is the number $o$, the bias shows the offsets themselves. For a
# class token and a grid of 2 x 2 patches, a row for each query:

# %%
offsets, _ = relative_bias(np.ones((1, 1, 5, 1)), np.arange(-4.0, 5)[None, :, None])  # [B, h, T, T]
print(offsets[0, 0].astype(int))

# %% [markdown]
# Two things to see. The offsets run along the sequence, in one dimension, as in the paper: patch 2 ends the first row of the grid and patch 3 begins
# the second, and their offset is 1, like that of true neighbours. And the class token, row and column 0, has to have some offset. The paper does not
# say which. The choice made here ([position.py](../tinyvit/layers/position.py)): it stands at position 0, before the patches. So patch $n$ sees it at
# the offset $-n$, and has for it the same vector as for a patch $n$ places before.
#
# The way back. Write $ds_{ts}$ for the gradient of the scores. The query is in both products, so it has two gradients, and they add up. An
# offset's vector serves every pair of tokens that far apart, in every image, so its gradient is a sum over all of them:
#
# $$ dq_t = \sum_s ds_{ts}\, k_s + \sum_s ds_{ts}\, r_{s-t}, \qquad
#    dr_o = \sum_b \sum_t ds_{t,\,t+o}\; q_t $$
#
# In [multi-head attention](../tinyvit/layers/multi_head_attention.py), these are the lines:

# %%
for function in (multi_head_attention, multi_head_attention_backward):
    print(*[line for line in exercises.source(function).splitlines() if "relative" in line or '"r"' in line], sep="\n")

# %% [markdown]
# And if the second gradient of $q$ is forgotten? Shapes fit, and the table $r$ itself still learns from the right gradient.

# %%
relative_case = checks.cases(["multi_head_attention"])["multi_head_attention/relative"]
relative_report = relative_case.check()
print(f"as it is: {relative_report.entries} entries, worst error {relative_report.worst_error:.0e}")

one_gradient = edited(multi_head_attention_backward, ("dq + dq_relative", "dq"))
relative_broken = tinyvit.gradcheck(
    relative_case.forward, one_gradient, *relative_case.inputs, **relative_case.keywords
)
relative_wrong = [row.name for row in relative_broken.rows if row.error > relative_broken.rtol]
print("forgotten, wrong:", relative_wrong)

# %% [markdown]
# Everything that the queries are made from is wrong, the tokens `x` that ask and the parameters of `q`, and nothing else.
#
# ## Where they enter
#
# So far, positions are added once, before the first block: the **stem**. The paper also adds them before every block, with a table for each, or with
# one table that all share. That is a second setting, `position_at`, and it goes with every kind; only relative positions have no stem, since they act
# within attention. What it makes of `p["pos"]`, for a model with three blocks:

# %%
places = ("stem", "layers", "shared")
for place in places:
    pos = tinyvit.vit_init(None, dataclasses.replace(digits, position_at=place))["pos"]
    print(f"{place:7}", [list(table_of.shape) for table_of in pos] if isinstance(pos, list) else list(pos.shape))

# %% [markdown]
# A block that is told, once more, where its tokens were is a block with one more line. Without positions of its own, `block` is the encoder block
# itself (pre-norm here; the other entry of `BLOCKS` is post-norm):

# %%
print(exercises.source(block))
print(exercises.source(block_backward))

# %% [markdown]
# Each block leaves the gradient of the positions that it was given. With a table of its own for each block, that is all. A shared table has reached
# the loss through every block, so it gets the sum: the last lines of the encoder's way back ([vit.py](../tinyvit/models/vit.py)).

# %%
print(exercises.source(encoder_backward))

# %% [markdown]
# To see that it is one: a small ViT of two blocks with a shared table, and the same ViT with a table for each block, both of which hold the same
# numbers.

# %%
shared_case = checks.cases(["vit"])["vit/1d, shared"]
images_small, p_shared = shared_case.inputs
shared = shared_case.keywords["config"]
layers = dataclasses.replace(shared, position_at="layers")
p_layers = p_shared | {"pos": [p_shared["pos"]] * shared.depth}

y_shared, c_shared = tinyvit.vit(images_small, p_shared, shared)
y_layers, c_layers = tinyvit.vit(images_small, p_layers, layers)
dlogits = rng.standard_normal(y_shared.shape)
_, g_shared = tinyvit.vit_backward(dlogits, p_shared, c_shared, shared)
_, g_layers = tinyvit.vit_backward(dlogits, p_layers, c_layers, layers)
print("the same logits:", np.array_equal(y_shared, y_layers))
print("the gradient of the shared table:", list(g_shared["pos"].shape))
sum_error = abs(sum(g_layers["pos"]) - g_shared["pos"]).max()
print(f"the sum of the gradients of {len(g_layers['pos'])} tables of their own: {sum_error:.0e} apart")

# %% [markdown]
# Break it: of the shared table's gradients, only that of the last block is kept.


# %%
def last_block_only(dy, p, c):
    dimages, g = tinyvit.vit_backward(dy, p | {"pos": [p["pos"]] * shared.depth}, c, layers)
    return dimages, g | {"pos": g["pos"][-1]}


shared_report = shared_case.check()
print(f"as it is: {shared_report.entries} entries, worst error {shared_report.worst_error:.0e}")
shared_broken = tinyvit.gradcheck(tinyvit.vit, last_block_only, *shared_case.inputs, **shared_case.keywords)
shared_wrong = [row.name for row in shared_broken.rows if row.error > shared_broken.rtol]
print("one gradient only, wrong:", shared_wrong)

# %% [markdown]
# The check names the table, and nothing else. All other gradients are right, and a model that is trained so would still learn: its table would be
# moved by one block's wishes, and all blocks would have to live with it.
#
# ## Shuffled again
#
# The experiment from the beginning, with every kind and every place: by how much do the logits of a random model change, when the 16 patches of 60
# images are shuffled?

# %%
print(f"{'':11}", *(f"{place:>9}" for place in places))
changes = {}
for kind in POSITIONS:
    for place in places:
        if kind != "relative" or place != "stem":
            config, p = random_model(position=kind, position_at=place)
            changes[kind, place] = change(p, config)
    print(f"{kind:11}", *(f"{changes[kind, place]:9.0e}" if (kind, place) in changes else " " * 9 for place in places))
for name, table_of in {
    "one-hot": np.eye(digits.tokens, digits.dim),
    "integers": integers(digits.tokens, digits.dim),
}.items():
    config, p = random_model(position="1d")
    changes[name, "stem"] = change(p | {"pos": table_of}, config)
    print(f"{name:11} {changes[name, 'stem']:9.0e}")

# %% [markdown]
# Without positions, rounding; with any of them, the model sees the order.
#
# ## Which kind is best?
#
# Each kind at its first place, trained as at the beginning, three seeds each. A mean of few runs needs an interval. Behind each mean stands
# the half width of a 95 % interval by Student's t, $t\, s / \sqrt{n}$, where $s$ is the standard deviation of the $n = 3$ accuracies. With so few,
# $t$ is 4.3, and the interval is wide: that is how little three runs say. (It does not know, either, that accuracy ends at 100.)

# %%
for kind in POSITIONS:
    if kind not in runs:
        place = "layers" if kind == "relative" else "stem"
        runs[kind] = [train(seed, position=kind, position_at=place) for seed in range(3)]
        accuracies[kind] = np.array([accuracy for *_, accuracy in runs[kind]])

kinds = [kind for kind in POSITIONS if kind != "none"]
print("positions    test accuracy of each seed      mean in %")
for kind in ("none", *kinds):
    each = "  ".join(f"{accuracy:.1%}" for accuracy in accuracies[kind])
    print(f"{kind:12} {each}       {estimate(accuracies[kind]).text(digits=1)}")

figure = new_figure(5.5, 2.2)
axes = figure.subplots()
points(axes, ("none", *kinds), [estimate(accuracies[kind]) for kind in ("none", *kinds)])
for place, kind in enumerate(reversed(("none", *kinds))):
    axes.plot(100 * accuracies[kind], [place] * 3, "x", color=ORANGE, markersize=5)
axes.set(xlabel="test accuracy in %")
plain(axes)
figure

# %% [markdown]
# Crosses are runs, dots and bars their means and intervals. What do these numbers support? That is to be asked of *differences*. Between "none" and
# the worst of the others: the interval of a difference (Welch 1947). Between the others: whoever compares four kinds looks at six differences, and
# the largest of six is large by chance alone. So its interval is made wide enough to hold for all six (Bonferroni's correction).

# %%
among = largest_difference({kind: accuracies[kind] for kind in kinds})
gap = difference(accuracies[among.worst], accuracies["none"])
matter = "Positions matter" if gap.mean > gap.half else "That positions matter is not shown"
print(f"{matter}: with the worst kind ({among.worst}), accuracy is {gap.text(digits=1)} points above none.")
which = "more than" if among.significant else "not more than"
largest = f"{among.best} over {among.worst}, is {among.difference.text()} points"
print(f"Of {among.comparisons} differences between kinds the largest, {largest}: {which} what chance makes of it.")

# %% [markdown]
# A caution on either side. With three seeds, a difference must be large to be sure of it, so "not more than chance" would not mean "the same". And
# nine epochs with one learning rate, chosen for the learned table, are a short race, in which a kind that only starts more slowly looks worse. What
# these numbers do support: to have positions matters more than which. (Trained for longer, on MNIST and with five seeds, the kinds show no
# difference: [the paper lab](../docs/lab.md).)
#
# The paper's table 8: ViT-B/16, and how well ImageNet can be classified by a linear map of its features that is fitted to five images of each class
# (by regularised least squares, which has a closed form; it is not logistic regression). The columns are the three places.
#
# | positions | before the first layer | every layer | every layer, shared |
# |---|---|---|---|
# | none | 0.61382 | | |
# | 1-D, learned | 0.64206 | 0.63964 | 0.64292 |
# | 2-D, learned | 0.64001 | 0.64046 | 0.64022 |
# | relative | 0.64032 | | |

# %%
with_positions = np.array([0.64206, 0.63964, 0.64292, 0.64001, 0.64046, 0.64022, 0.64032])
paper_gap, paper_spread = 100 * (with_positions.min() - 0.61382), 100 * np.ptp(with_positions)
print("in points                             the paper   here")
print(f"from none to the worst with positions {paper_gap:9.2f} {100 * gap.mean:6.1f}")
print(f"from the worst to the best with them  {paper_spread:9.2f} {100 * among.difference.mean:6.1f}")

# %% [markdown]
# Positions matter; which kind matters less, in the paper hardly at all. There the gap to "none" is about eight times as wide as all differences
# between kinds and places, and the paper gives no spread over seeds, so the small differences may mean nothing. Its explanation, which it calls a
# speculation: with 14 x 14 patches instead of 224 x 224 pixels, it is equally easy to learn where each is, in whatever form. The simplest is the
# default there, and so here.
#
# The whole table, with all places, more seeds and MNIST, is one command, `tinyvit lab position`, and what it found is in
# [the paper lab](../docs/lab.md).
#
# (Next to this, around its figure 9, the paper speaks of a difference that is explained by the learning rate. That is sometimes read as a remark
# about positions. It is about the class token against average pooling, and has [a notebook of its own](14_class_token_or_average.ipynb).)
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


# %%
def my_sinusoidal_position(z, p):
    """Add sines and cosines of the position to the tokens z [B, T, D] -> y [B, T, D], and the cache {}; p is {}.

    Column 2i of token t gets sin(t w_i), column 2i+1 cos(t w_i), with w_i = 10000^(-2i/D).
    """


exercises.check("sinusoidal_position", my_sinusoidal_position)


# %%
def my_grid_position(z, p):
    """z [B, T, D] and the tables p {"x": [G, D/2], "y": [G, D/2]} of columns and rows -> y [B, T, D], and the cache {}.

    The patch in a row and a column of the G x G grid gets [x_column, y_row]. With "cls" [1, D] in p, token 0 is the class
    token, and gets that; T is then 1 + G*G, without it G*G.
    """


exercises.check("grid_position", my_grid_position)


# %%
def my_grid_position_backward(dy, p, c):
    """dy [B, T, D], p as above and the cache {} -> dz [B, T, D] and g {"x", "y", and "cls" where p has it}."""


exercises.check("grid_position_backward", my_grid_position_backward)


# %%
def my_relative_bias(q, r):
    """Queries q [B, h, T, d] of the first T of S tokens, and r [h, 2S-1, d] -> bias [B, h, T, S], bias_ts = q_t . r_(s-t).

    Row S-1+o of r belongs to the offset o = s - t. The cache is {"q": q, "r": r}.
    """


exercises.check("relative_bias", my_relative_bias)


# %%
def my_relative_bias_backward(dbias, c):
    """dbias [B, h, T, S] and the cache {"q", "r"} -> dq [B, h, T, d] and dr [h, 2S-1, d]."""


exercises.check("relative_bias_backward", my_relative_bias_backward)

# %% [markdown]
# ## What we know now
#
# Attention sees a set. A table, added once, tells the tokens where they were; adding it is concatenating a one-hot position. There are other kinds,
# and other places for them, and the gradient of each is a sum over all its uses: over images, over the rows of a grid, over pairs of tokens, over
# blocks. That there are positions matters much, which kind they are, less.

# %%
assert all((value < 1e-12) == (kind == "none") and not 1e-12 < value < 0.01 for (kind, _), value in changes.items())
assert len(changes) == 3 * len(POSITIONS) - 1 + 2
assert abs(y[:, move] - y_moved).max() < 1e-12 and abs(y[:, 0] - y_moved[:, 0]).max() < 1e-12
assert accuracies["1d"].min() > 0.9 and accuracies["none"].min() > 0.5 and accuracies["none"].max() < 0.85
assert np.allclose(on_shuffled["none"], accuracies["none"], atol=0.005)  # up to an image on the edge, in float32
assert on_shuffled["1d"].max() < accuracies["none"].min()
assert report.ok and not broken.ok
assert abs(added - concatenated).max() < 1e-12 and parts_error < 1e-12
assert (np.diag(similarity(learned)) == 1).all()
assert all(np.greater(*neighbours_similarity(p["pos"])[::-1]) for _, p, _ in small_start)
assert rotation_error < 1e-12 and both < 1e-12 and sine_alone > 0.5 and np.allclose(lengths, np.sqrt(D_model / 2))
assert alike[196] > 0.9 and clock_alike < 0.5
assert grid_report.ok and [row.name for row in grid_broken.rows if row.error > grid_broken.rtol] == ["p/x"]
assert relative_report.ok and relative_wrong == ["x", "p/q/w", "p/q/b"]
assert np.array_equal(offsets[0, 0], np.arange(5) - np.arange(5)[:, None])
assert shared_report.ok and np.array_equal(y_shared, y_layers) and sum_error < 1e-12 and shared_wrong == ["p/pos"]
assert all(accuracies[kind].min() > accuracies["none"].max() for kind in kinds) and among.difference.mean < gap.mean

# %% [markdown]
# Next: [LayerNorm and GELU](06_layer_norm_and_gelu.ipynb), what a token does by itself.
