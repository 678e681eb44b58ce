# %% [markdown]
# # Positions: telling patches where they were
#
# **The question.** Attention is handed the patches of an image as rows of a table. Does it know which was where? And if not, who tells it?

# %%
import dataclasses
import math

import numpy as np

import tinyvit
from tinyvit import checks, exercises, trees
from tinyvit.exercises.source import edited
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
from tinyvit.live import bundled
from tinyvit.ops.patches import patchify, unpatchify
from tinyvit.ops.relative_bias import relative_bias
from tinyvit.viz import overview
from tinyvit.viz.embedding import neighbours_similarity, similarity
from tinyvit.viz.picture import BLUE, HEAT, ORANGE, bare, new_figure, plain, show

rng = np.random.default_rng(0)
overview("positions")

# %% [markdown]
# Two models are trained on handwritten digits ([how](09_training.ipynb)), one with **position embeddings** (explained below), the other without, each
# from three random starts (seeds). Then the first of each is shown a digit, and the same digit with its 16 patches shuffled. Does the model without
# positions change its answer? And the other? (The bars are the **logits**, one number for each class.)

# %%
data = tinyvit.load_data("digits")
images, labels = data[1]
digits = tinyvit.PRESETS["digits"]


def train(seed, **settings):
    """The digits model, trained nine times through the data: its config, parameters, test accuracy."""
    config = dataclasses.replace(digits, **settings)
    recipe = tinyvit.Recipe(epochs=9, learning_rate=5e-3)
    p, history = tinyvit.fit(config, data, recipe=recipe, seed=seed, progress=False)
    return config, p, history[-1]["test_accuracy"]


def shuffled(images, order):
    """The images with their patches in this order."""
    patches, _ = patchify(images, digits.patch)  # [B, N, P*P*C]
    return unpatchify(patches[:, order], images.shape)


# "1d": with position embeddings
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
# Without positions, the answer is the same: to that model an image is a bag of patches. Exactly? In float64, with random parameters everywhere:


# %%
sixty = images[:60].astype(np.float64)


def random_model(**settings):
    """A model in float64 of which every parameter is random."""
    config = dataclasses.replace(digits, **settings)
    # vit_init(None, ...): without a generator, for the shapes alone
    return config, trees.map(lambda leaf: rng.standard_normal(leaf.shape) / 2, tinyvit.vit_init(None, config))


def change(p, config):
    """By how much, at most, the logits change when the patches are shuffled."""
    return abs(tinyvit.vit(shuffled(sixty, order), p, config)[0] - tinyvit.vit(sixty, p, config)[0]).max()


changes = {}
for position in ("none", "1d"):
    config, p = random_model(position=position)
    changes[position] = change(p, config)
    print(f"position {position!r:6}: the logits of 60 images change by at most {changes[position]:.0e}")

# %% [markdown]
# ## Why attention does not see order
#
# Let $\Pi$ be a permutation matrix: $\Pi X$ are the rows of $X$ in another order, $X\, \Pi^\top$ its columns in that order, and $\Pi^\top \Pi = I$.
# Linear layers, [LayerNorm and the MLP](06_layer_norm_and_gelu.ipynb) work on each token by itself, so permuted tokens give permuted results,
# $\Pi Q$, $\Pi K$, $\Pi V$. In attention, tokens meet (its scale is left out):
#
# $$ \begin{aligned}
#    \mathrm{softmax}\left( \Pi Q\, (\Pi K)^\top \right) \Pi V
#    &= \mathrm{softmax}\left( \Pi\, Q K^\top \Pi^\top \right) \Pi V && \text{the transpose of a product} \\
#    &= \Pi\, \mathrm{softmax}\left( Q K^\top \right) \Pi^\top \Pi\, V && \text{each row by itself, in whatever order} \\
#    &= \Pi \left( \mathrm{softmax}\left( Q K^\top \right) V \right) && \Pi^\top \Pi = I
#    \end{aligned} $$
#
# Permute the tokens, and the outputs are permuted: attention is **equivariant**. Measured on a whole [block](07_the_vision_transformer.ipynb):


# %%
B, T, D, M, h = 5, 10, 4, 3, 2  # batch, tokens (a class token and 9 patches), width, MLP width, heads
block_p = trees.map(lambda leaf: rng.standard_normal(leaf.shape) / 2, encoder_block_init(None, D, M))
z = rng.standard_normal((B, T, D))
move = np.concatenate([[0], 1 + rng.permutation(T - 1)])  # the class token stays where it is, at 0

z_after, _ = encoder_block(z, block_p, heads=h)
z_moved, _ = encoder_block(z[:, move], block_p, heads=h)
print(f"put in order after the block, or before it: the outputs are {abs(z_after[:, move] - z_moved).max():.0e} apart")
print(f"the class token's output changes by {abs(z_after[:, 0] - z_moved[:, 0]).max():.0e}")

# %% [markdown]
# The class token was not moved, so its output is **invariant**, but for rounding. The answer is read from it, so the first picture's bars agree.
#
# ## Does it matter?
#
# The accuracy on the test images; in the last column, on test images whose patches are shuffled, all in the same way:

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
# Order matters: the two means lie much further apart than the seeds do. Still, a bag of patches is much better than guessing, right once in ten.
#
# ## A table that is learned
#
# The Vision Transformer's remedy is a table $\mathbf{E}_{pos}$ $[T, D]$, which is added to the tokens. Row 0 is the class token's, rows 1 to $N$ are
# the patches', which are counted from 1 here. It starts as random numbers, and is learned as every other parameter is. The paper's first equation
# is complete ([notebook 1](01_pixels_to_tokens.ipynb) has the rest):
#
# $$ \mathbf{z}_0 = [\mathbf{x}_{\mathrm{class}};\; \mathbf{x}_p^1 \mathbf{E};\; \cdots;\; \mathbf{x}_p^N \mathbf{E}] + \mathbf{E}_{pos}
#    \qquad (1) $$
#
# In the code, `position(z, p["pos"])` adds the table; a config names this kind `position="1d"`:

# %%
print(exercises.source(learned_position))

table = rng.standard_normal((T, D))
print("tokens", list(z.shape), "+ table", list(table.shape), "=", list(learned_position(z, table)[0].shape))
print("the kinds that a config can name:", ", ".join(POSITIONS))

# %% [markdown]
# **Exercise.** The table is added to each of the $B$ images. What is its gradient? ([How exercises are marked](00_start_here.ipynb).)


# %%
def my_learned_position_backward(dy, p, c):
    """dy [B, T, D], the table p [T, D] and the cache {} -> the gradients of z [B, T, D] and of the table [T, D]."""


exercises.check("learned_position_backward", my_learned_position_backward)

# %% [markdown]
# Write $U$ for the table: $y_{bti} = z_{bti} + U_{ti}$. An entry reaches the loss through $B$ outputs. What the forward pass copies, the backward pass
# adds:
#
# $$ dU_{ti} = \sum_{b=1}^{B} dy_{bti} $$

# %%
print(exercises.source(learned_position_backward))

report = tinyvit.gradcheck(learned_position, lambda dy, c: learned_position_backward(dy, table, c), z, table)
print(report)

# %% [markdown]
# ## Break it
#
# The mean over the images in place of their sum: the shape is the same. What will the check find, for $B = 5$?

# %%
broken = tinyvit.gradcheck(learned_position, lambda dy, c: (dy, dy.mean(axis=0)), z, table)
print(broken)

# %% [markdown]
# `analytic / numeric` is 1/5. Another mistake shows itself at once, a table without a row for the class token:

# %%
try:
    learned_position(z, table[1:])
except ValueError as error:
    print("ValueError:", error)

# %% [markdown]
# ## Why may it be added?
#
# The sum of two vectors does not say what the summands were. Is it better to lay pixels and position side by side?
#
# With one linear layer for both, that is the same. Write $e_i$ for the position as a **one-hot** vector, all zeros but for a 1 in place $i$. Then
# $e_i U$ is row $i$ of the table, $U_i$, and with $E$ and $U$ stacked into one matrix,
#
# $$ x E + U_i = x E + e_i U = \left[\, x,\; e_i \,\right] \begin{pmatrix} E \\ U \end{pmatrix}. $$
#
# So adding a learned position *is* concatenating: a one-hot position is laid beside the pixels, and one linear layer takes both.

# %%
config, p = random_model(position="1d")
patches, _ = patchify(sixty, config.patch)  # [B, N, P*P*C]
E, U = p["patch"], p["pos"][1:]  # the patch embedding {w, b}, and the patches' rows of the table
added = linear(patches, E)[0] + U

one_hot = np.broadcast_to(np.eye(len(U)), (len(sixty), len(U), len(U)))  # [B, N, N]
beside = np.concatenate([patches, one_hot], axis=-1)  # [B, N, P*P*C + N]
stacked = {"w": np.concatenate([E["w"], U]), "b": E["b"]}  # [P*P*C + N, D]
concatenated, _ = linear(beside, stacked)
print("beside", list(beside.shape), "  stacked", list(stacked["w"].shape), "  result", list(concatenated.shape))
print(f"added, and concatenated: {abs(added - concatenated).max():.0e} apart")

# %% [markdown]
# For the next linear layer $(Z + U)\, W = Z W + U W$: so a query is a query of the content plus a query of the position. (The LayerNorm in
# between is left out.)
#
# ## What has been learned?
#
# How similar is a patch's row of the table to every other's? Each square below belongs to one patch, and stands where that patch stands in the image;
# its cells are the cosines between that patch's row and each row, exactly 1 for its own (the paper's figure 7, middle). On the right is the package's
# own model, trained on [MNIST](../docs/live.md#the-model-it-brings-along). On the left is ours, with a table that starts with a standard deviation of
# 0.02, as in [the paper's code](https://github.com/google-research/vision_transformer/blob/main/vit_jax/models_vit.py), and not our preset's 0.5,
# with which MNIST's table started.

# %%
small_start = [train(seed, position_std=0.02) for seed in range(3)]
mnist = bundled.load().p["pos"]

figure = new_figure(7.5, 3.3)
panels = figure.subplots(1, 2)
titles = {"digits, 4 x 4 patches": small_start[0][1]["pos"], "MNIST, 7 x 7 patches": mnist}
for axes, (title, pos) in zip(panels, titles.items(), strict=True):
    cosine, side = similarity(pos), math.isqrt(len(pos) - 1)
    squares = cosine.reshape(4 * (side,)).swapaxes(1, 2).reshape(side**2, side**2)
    shade = axes.imshow(squares, cmap="PuOr_r", vmin=-1, vmax=1)
    for border in range(side, side**2, side):
        axes.axhline(border - 0.5, color="white", linewidth=3)
        axes.axvline(border - 0.5, color="white", linewidth=3)
    axes.set_title(title, fontsize=9)
    bare(axes)
figure.colorbar(shade, ax=panels, label="cosine similarity")
figure

# %%
print("similarity of neighbouring patches, above and below too, and of all others:")
for name, three in {"digits, std 0.5": runs["1d"], "digits, std 0.02": small_start}.items():
    for _, p, accuracy in three:
        neighbours, apart = neighbours_similarity(p["pos"])
        print(f"{name:16} {neighbours:z6.2f} {apart:z6.2f}   test accuracy {accuracy:.1%}")
print("{:16} {:z6.2f} {:z6.2f}".format("MNIST", *neighbours_similarity(mnist)))

# %% [markdown]
# The MNIST model has found out by itself that images have two dimensions: away from the border, a patch's row is most like its neighbours' rows. In
# our model with the start of 0.02, neighbours are *less* alike than patches farther apart, in all three seeds, and it makes more mistakes than with
# 0.5.
#
# ## Tables that nobody learns
#
# **One-hot** rows are as different from their neighbours as from all others. **Integers**, the number $t$ in one column, grow with $t$: after
# LayerNorm, which brings every token to the same size, what is left of the patch? This is the mean cosine of two different patches at one position:


# %%
def integers(tokens, dim):
    return np.arange(tokens)[:, None] * np.eye(dim)[0]  # t, 0, 0, ...


def after_norm(position, pairs=1_000):
    """The mean cosine of two random patches, after this position [D] was added and LayerNorm applied."""
    D = len(position)
    fresh = layer_norm_init(rng, D)  # as before training
    a, b = (layer_norm(rng.standard_normal((pairs, D)) + position, fresh)[0] for _ in range(2))
    return ((a * b).sum(axis=-1) / D).mean()  # LayerNorm leaves each with the length sqrt(D)


D_model, T_model = 64, 197  # a class token and 14 x 14 patches, as in B/16
alike = {t: after_norm(integers(T_model, D_model)[t]) for t in (0, 1, 14, 49, 196)}
for t, similar in alike.items():
    print(f"position {t:3}: cosine of two different patches {similar:z5.2f}")

# %% [markdown]
# At the end, hardly anything of the patch is left beside its number $t$. **Sinusoidal** positions (Vaswani et al. 2017, section 3.5;
# [derived](../docs/derivations/sinusoids.md)) have rows of equal length. Each pair of columns turns with $t$ like a hand of a clock,
#
# $$ U_{t, 2i} = \sin \omega_i t, \qquad U_{t, 2i + 1} = \cos \omega_i t, \qquad \omega_i = 10000^{-2i/D}, $$
#
# from fast to slow. In a config it is `position="sinusoidal"`, and it has no parameters.

# %%
clock = sinusoidal_position(np.zeros((1, T_model, D_model)), {})[0][0]  # added to nothing, the table itself
lengths = np.linalg.norm(clock, axis=1)
clock_alike = max(after_norm(row) for row in clock)
print(f"lengths of the rows: from {lengths.min():.3f} to {lengths.max():.3f}")
print(f"cosine of two different patches after LayerNorm: at most {clock_alike:.2f}, at whatever position")

figure = new_figure(7.5, 2.3)
axes = figure.subplots()
shade = axes.imshow(clock.T, cmap=HEAT, aspect="auto", interpolation="nearest")
axes.set(xlabel="position t", ylabel="column of the table")
figure.colorbar(shade, label="entry of the table")
figure

# %% [markdown]
# Why sine *and* cosine? Because then a shift is a rotation: going on by $k$ turns each hand by the angle $\omega_i k$, wherever it stands. So "five
# to the right" is one linear map, which a layer can be. Below, that rotation; then the best matrix (least squares) for the first pair of columns,
# and for its sine alone.


# %%
def best_shift(table, k):
    """The largest error of the best matrix W with table[t] W = table[t + k] for all t."""
    W = np.linalg.lstsq(table[:-k], table[k:], rcond=None)[0]
    return abs(table[:-k] @ W - table[k:]).max()


rotation = np.zeros((D_model, D_model))
for i, omega in enumerate(10_000.0 ** (-np.arange(0, D_model, 2) / D_model)):
    sin, cos = np.sin(5 * omega), np.cos(5 * omega)
    rotation[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[cos, -sin], [sin, cos]]
rotation_error = abs(clock[:-5] @ rotation - clock[5:]).max()

both, sine_alone = best_shift(clock[:, :2], 5), best_shift(clock[:, :1], 5)
print(f"the rotation errs by {rotation_error:.0e}")
print(f"the best matrix errs by {both:.0e} for the first sine and cosine, by {sine_alone:.2f} for the sine alone")

# %% [markdown]
# ## Two dimensions
#
# The last patch of a row and the first of the next are neighbours in the sequence, and far apart in the image. The paper's 2-D positions (its
# appendix D.4) use two smaller tables, $X$ for columns and $Y$ for rows, of $D/2$ numbers each, laid side by side:
#
# $$ U_{\mathrm{row}, \mathrm{column}} = \left[\, X_\mathrm{column},\; Y_\mathrm{row} \,\right] $$
#
# For $G \times G$ patches that is $2G \cdot D/2 = G D$ numbers instead of $G^2 D$. The class token is nowhere in the grid, and has a row of its own:

# %%
print(exercises.source(grid_position))

# %% [markdown]
# **Exercise.** What does the forward pass copy here, and what must the backward pass add?


# %%
def my_grid_position_backward(dy, p, c):
    """dy [B, T, D], p {"x": [G, D/2], "y": [G, D/2]}, and the cache {} -> dz [B, T, D] and g {"x", "y"}.

    With "cls" [1, D] in p, token 0 is the class token, and g has "cls", too.
    """


exercises.check("grid_position_backward", my_grid_position_backward)

# %% [markdown]
# The embedding of a column serves the patches of all rows. With $dU$ summed over the batch as before, and $j$ from 1 to $D/2$:
#
# $$ dX_{\mathrm{column}, j} = \sum_{\mathrm{row}} dU_{\mathrm{row}, \mathrm{column}, j}, \qquad
#    dY_{\mathrm{row}, j} = \sum_{\mathrm{column}} dU_{\mathrm{row}, \mathrm{column}, D/2 + j} $$
#
# The grid is square, so nothing crashes when the two sums are exchanged, as `edited` does in the package's function:

# %%
print(exercises.source(grid_position_backward))

grid = {name: rng.standard_normal(shape) for name, shape in {"x": (3, 2), "y": (3, 2), "cls": (1, 4)}.items()}
grid_report = tinyvit.gradcheck(grid_position, grid_position_backward, z, grid)
print("as it is, worst error", f"{grid_report.worst_error:.0e}")

exchanged = edited(
    grid_position_backward,
    ("[..., :half].sum(axis=0)", "[..., :half].sum(axis=1)"),
    ("[..., half:].sum(axis=1)", "[..., half:].sum(axis=0)"),
)
grid_broken = tinyvit.gradcheck(grid_position, exchanged, z, grid)
grid_wrong = [row.name for row in grid_broken.rows if row.error > grid_broken.rtol]
print("exchanged, wrong:", grid_wrong)

# %% [markdown]
# How similar is the position in row 4, column 4 to all others of an 8 x 8 grid, in four tables? ($X$ and $Y$ are sinusoids here, not learned.)

# %%
G = 8
N = G * G  # patches, and the width too
axis = sinusoidal_position(np.zeros((1, G, N // 2)), {})[0][0]
tables = {
    "one-hot": np.eye(1 + N, N, k=-1),  # the class token's row is zero
    "integers": integers(1 + N, N),
    "sinusoidal": sinusoidal_position(np.zeros((1, 1 + N, N)), {})[0][0],
    "two-dimensional": grid_position(np.zeros((1, 1 + N, N)), {"x": axis, "y": axis, "cls": np.zeros((1, N))})[0][0],
}
figure = new_figure(7.5, 1.9)
patch = 3 * G + 3  # row 4, column 4, as an index
panels = figure.subplots(1, 4)
for axes, (name, table_of) in zip(panels, tables.items(), strict=True):
    shade = axes.imshow(similarity(table_of)[patch].reshape(G, G), cmap=HEAT, vmin=0, vmax=1)
    axes.set_title(name, fontsize=9)
    bare(axes)
figure.colorbar(shade, ax=panels, label="cosine similarity", shrink=0.9)
figure

# %% [markdown]
# Integers are multiples of one vector, and all point the same way. Sinusoidal positions know the neighbours to the left and right, but above and
# below are eight steps away. With two tables, up and down count as left and right do.
#
# ## Relative positions
#
# What counts is perhaps not where tokens $t$ and $s$ are, but how far apart (Shaw et al. 2018). Then nothing is added to tokens. Each offset $s - t$
# has a learned vector $r_{s-t}$, which is used as an extra key (the ViT paper's appendix D.4); every head has its own $D_h$ columns of $r$:
#
# $$ \mathrm{scores}_{ts} = \frac{q_t \cdot k_s + q_t \cdot r_{s-t}}{\sqrt{D_h}} $$
#
# The second part is a bias that is made from $q$. In the code, and below, $q$ is already divided by $\sqrt{D_h}$. The function computes the products
# of each query with all $2S - 1$ offsets (here $S = T$), and picks those that it needs (`_offsets` has their indices):

# %%
print(exercises.source(relative_bias))

# %% [markdown]
# If each query is the number 1 and each "vector" $r_o$ is the number $o$, the bias shows the offsets themselves. For a class token and a grid of 2 x 2
# patches, a row for each query:

# %%
offsets, _ = relative_bias(np.ones((1, 1, 5, 1)), np.arange(-4.0, 5)[None, :, None])  # [B, h, T, T]
print(offsets[0, 0].astype(int))

# %% [markdown]
# The offsets run along the sequence, as in the ViT paper: patch 2 ends the first row of the grid and patch 3 begins the second, and their offset is
# 1, as if they were neighbours. The class token has to have some offset, which the paper does not name; here it stands at position 0.
#
# **Exercise.** The way back.


# %%
def my_relative_bias_backward(dbias, c):
    """dbias [B, h, T, S] and the cache {"q": [B, h, T, d], "r": [h, 2S-1, d]} -> dq [B, h, T, d] and dr [h, 2S-1, d].

    The forward pass: bias_ts = q_t . r_(s-t), where row S-1+o of r belongs to the offset o = s - t.
    """


exercises.check("relative_bias_backward", my_relative_bias_backward)

# %% [markdown]
# The query is in both products, so it has two gradients, and they add up. An offset's vector serves every pair of tokens that far apart, in every
# image, so its gradient is a sum over all of them:
#
# $$ dq_t = \sum_s d\mathrm{scores}_{ts}\, k_s + \sum_s d\mathrm{scores}_{ts}\, r_{s-t}, \qquad
#    dr_o = \sum_b \sum_t d\mathrm{scores}_{t,\,t+o}\; q_t $$
#
# What will the check find if the second gradient of $q$ is forgotten?

# %%
for function in (multi_head_attention, multi_head_attention_backward):
    print(*[line for line in exercises.source(function).splitlines() if "relative" in line or '"r"' in line], sep="\n")

relative_case = checks.cases(["multi_head_attention"])["multi_head_attention/relative"]
relative_report = relative_case.check()
print(f"\nas it is: {relative_report.entries} entries, worst error {relative_report.worst_error:.0e}")

one_gradient = edited(multi_head_attention_backward, ("dq + dq_relative", "dq"))
relative_broken = tinyvit.gradcheck(
    relative_case.forward, one_gradient, *relative_case.inputs, **relative_case.keywords
)
relative_wrong = [row.name for row in relative_broken.rows if row.error > relative_broken.rtol]
print("forgotten, wrong:", relative_wrong)

# %% [markdown]
# ## Which kind is best?
#
# [The lab](../docs/lab.md#do-positions-matter-and-which-kind) trains models on MNIST with five seeds: without positions 94.69 %, with any of ten
# kinds and places 98.4 to 98.7 %, and no difference between them is shown. In the ViT paper's table 8 (appendix D.4; ViT-B/16, a linear map of its
# output fitted to five photographs of each of ImageNet's 1,000 classes) accuracy is 61.4 % without, 64.0 to 64.3 % with them.
#
# `position_at` says where positions are added: at the **stem**, before the first block, as here, or in every block, from a table for each or one that
# all share. Which gradient does a shared table get, and what does the check say if only the last block's is kept?

# %%
shared_case = checks.cases(["vit"])["vit/1d, shared"]  # a small ViT of two blocks
images_small, p_shared = shared_case.inputs
shared = shared_case.keywords["config"]
layers = dataclasses.replace(shared, position_at="layers")  # the same numbers, in a table for each block
p_layers = p_shared | {"pos": [p_shared["pos"]] * shared.depth}

logits_shared, c_shared = tinyvit.vit(images_small, p_shared, shared)
logits_layers, c_layers = tinyvit.vit(images_small, p_layers, layers)
dlogits = rng.standard_normal(logits_shared.shape)
_, g_shared = tinyvit.vit_backward(dlogits, p_shared, c_shared, shared)
_, g_layers = tinyvit.vit_backward(dlogits, p_layers, c_layers, layers)
sum_error = abs(sum(g_layers["pos"]) - g_shared["pos"]).max()
print("the same logits:", np.array_equal(logits_shared, logits_layers))
print(f"the shared table's gradient, and the sum of {len(g_layers['pos'])} tables': {sum_error:.0e} apart")


def last_block_only(dy, p, c):
    dimages, g = tinyvit.vit_backward(dy, p | {"pos": [p["pos"]] * shared.depth}, c, layers)
    return dimages, g | {"pos": g["pos"][-1]}


shared_broken = tinyvit.gradcheck(tinyvit.vit, last_block_only, *shared_case.inputs, **shared_case.keywords)
shared_wrong = [row.name for row in shared_broken.rows if row.error > shared_broken.rtol]
print("the last block's only, wrong:", shared_wrong)

# %% [markdown]
# ## Exercise: rotary positions
#
# New ground ([Su et al. 2021](https://arxiv.org/abs/2104.09864)): nothing is added, but the queries and keys of token $t$ are turned, each pair of
# columns by its own angle $\omega_i t$. Here is the way forward. Write the way back.


# %%
def rotary(q):
    """Turn the columns 2i and 2i+1 of row t by the angle t w_i: q [..., T, d] -> y [..., T, d]."""
    T, d = q.shape[-2:]
    angle = np.arange(T)[:, None] * 10_000.0 ** (-np.arange(0, d, 2) / d)  # [T, d/2]
    sin, cos = np.sin(angle), np.cos(angle)
    even, odd = q[..., ::2], q[..., 1::2]
    y = np.stack([cos * even - sin * odd, sin * even + cos * odd], axis=-1)  # [..., T, d/2, 2]
    return y.reshape(q.shape), {"sin": sin, "cos": cos}


def my_rotary_backward(dy, c):
    """dy [..., T, d] and the cache {"sin", "cos"}, both [T, d/2] -> dq [..., T, d]."""


exercises.grade(rotary, my_rotary_backward, rng.standard_normal((2, 5, 6)))

# %% [markdown]
# What do the scores know of the positions? The same query and the same key are put at each of eight places:

# %%
query, key = (np.broadcast_to(rng.standard_normal(6), (8, 6)) for _ in range(2))
rotary_scores = rotary(query)[0] @ rotary(key)[0].T  # [T, S]
spread = max(np.ptp(np.diagonal(rotary_scores, offset)) for offset in range(-7, 8))
print(rotary_scores.round(2)[:4, :4])
print(f"along each offset s - t, the scores differ by {spread:.0e}; in all, by {np.ptp(rotary_scores):.2f}")
print("so they know the offset, and nothing else of the positions")

# %% [markdown]
# ## What we know now
#
# Attention sees a set. A table, added once, tells the tokens where they were; adding it is concatenating a one-hot position. The gradient of each
# kind is a sum over all its uses: images, rows of a grid, pairs of tokens, blocks.

# %%
assert changes["none"] < 1e-12 and changes["1d"] > 0.01
assert abs(z_after[:, move] - z_moved).max() < 1e-12 and abs(z_after[:, 0] - z_moved[:, 0]).max() < 1e-12
assert accuracies["1d"].min() > 0.9 and accuracies["none"].min() > 0.5 and accuracies["none"].max() < 0.85
assert np.allclose(on_shuffled["none"], accuracies["none"], atol=0.005)  # up to an image on the edge, in float32
assert on_shuffled["1d"].max() < accuracies["none"].min()
assert report.ok and not broken.ok
assert abs(added - concatenated).max() < 1e-12
assert (np.diag(similarity(mnist)) == 1).all() and np.greater(*neighbours_similarity(mnist))
assert all(np.greater(*neighbours_similarity(p["pos"])[::-1]) for _, p, _ in small_start)
assert max(accuracy for *_, accuracy in small_start) < accuracies["1d"].min()
assert rotation_error < 1e-12 and both < 1e-12 and sine_alone > 0.5 and np.allclose(lengths, np.sqrt(D_model / 2))
assert alike[196] > 0.9 and clock_alike < 0.5
assert grid_report.ok and grid_wrong == ["p/x", "p/y"]
assert relative_report.ok and relative_wrong == ["x", "p/q/w", "p/q/b"]
assert np.array_equal(offsets[0, 0], np.arange(5) - np.arange(5)[:, None])
assert np.array_equal(logits_shared, logits_layers) and sum_error < 1e-12 and shared_wrong == ["p/pos"]
assert spread < 1e-12 < np.ptp(rotary_scores)

# %% [markdown]
# Next: [LayerNorm and GELU](06_layer_norm_and_gelu.ipynb), what a token does by itself.
