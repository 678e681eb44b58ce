# %% [markdown]
# # Pixels to tokens: an image as a sequence
#
# **The question.** A Transformer was made for sentences: it takes a sequence of vectors, one for each word. An image is a grid of pixels. How does
# the one become the other, and why are the words not simply the pixels?
#
# The answer of the Vision Transformer (Dosovitskiy et al. 2021, section 3.1) is in the title of the paper: *An Image is Worth 16x16 Words*. The
# image is cut into square **patches**, and each patch is a word. Below, a picture of 224 x 224 pixels, painted with a few formulas, its patches of
# 16 x 16 pixels in the order in which they will be read, and a handwritten digit of 8 x 8 pixels with patches of 2 x 2.

# %%
import statistics
import time

import numpy as np

import tinyvit
from tinyvit import exercises
from tinyvit.layers.embedding import (
    class_token,
    class_token_backward,
    class_token_init,
    patch_embedding,
    patch_embedding_backward,
    patch_embedding_init,
)
from tinyvit.layers.encoder_block import encoder_block, encoder_block_init
from tinyvit.ops.attention import attention
from tinyvit.ops.convolution import (
    convolution,
    convolution_backward,
    kernel_from_matrix,
    matrix_from_kernel,
    patch_convolution,
    patch_convolution_backward,
)
from tinyvit.ops.patches import patchify, patchify_backward, unpatchify
from tinyvit.ops.unfold import unfold
from tinyvit.viz.embedding import filters_figure, principal_filters
from tinyvit.viz.picture import BLUE, ORANGE, bare, new_figure, plain, show

rng = np.random.default_rng(0)
row, column = np.mgrid[-1:1:224j, -1:1:224j]
sky = np.stack([0.2 + 0.5 * row, 0.3 + 0.3 * row, 0.8 - 0.2 * row], axis=-1)  # [224, 224, 3], colours from -1 to 1
sun = (row + 0.45) ** 2 + (column - 0.4) ** 2 < 0.08
hill = row > 0.35 + 0.25 * np.sin(4 * column)
house = (abs(column + 0.45) < 0.22) & (abs(row - 0.25) < 0.25)
picture = sky.astype(np.float32)
picture[sun], picture[hill], picture[house] = (0.7, 0.1, -0.8), (-0.6, 0.2, -0.7), (0.3, -0.6, -0.6)

data = tinyvit.load_data("digits")
digit = data[0][0][2]  # [8, 8, 1]


def numbered(axes, image, patch, colour, size):
    """Draw an image, the borders of its patches, and their numbers in raster order."""
    show(axes, image)
    grid = image.shape[0] // patch
    for edge in range(1, grid):
        axes.axhline(edge * patch - 0.5, color=colour, linewidth=0.5)
        axes.axvline(edge * patch - 0.5, color=colour, linewidth=0.5)
    for n in range(grid**2):
        i, j = divmod(n, grid)
        centre = ((j + 0.5) * patch - 0.5, (i + 0.5) * patch - 0.5)
        axes.text(*centre, n, ha="center", va="center", fontsize=size, color=colour)


figure = new_figure(7.5, 3.7)
left, right = figure.subplots(1, 2)
numbered(left, picture, patch=16, colour="white", size=6)
numbered(right, digit, patch=2, colour=ORANGE, size=11)
figure

# %% [markdown]
# The patches are read as one reads a page: from left to right, and row after row from the top. This is called **raster order**.
#
# ## Cut
#
# Let the patch be $P$ pixels wide and high, and the image $[H, W, C]$: $H$ rows, $W$ columns, and $C$ channels, 3 for colour. There are
# $N = HW / P^2$ patches, each with $P \cdot P \cdot C$ numbers, and a patch is flattened into a vector. The smallest example is an image of 4 x 4
# pixels in which each pixel says where it is:

# %%
places = np.array([[11, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34], [41, 42, 43, 44]])
patches, _ = patchify(places[None, :, :, None], 2)  # [B, H, W, C] = [1, 4, 4, 1]
print(list(patches.shape), "= [B, N, P*P*C]")
print(patches[0])

# %% [markdown]
# One line of the result is one patch: the first is the upper left corner, 11, 12, 21, 22. In code, no loop is needed. The image is reshaped so that
# the rows' axis is split into *which patch* and *which row in it*, and the columns' axis likewise; the two axes in the middle change places; and
# what belongs to one patch now lies side by side.

# %%
print(exercises.source(patchify))

# %% [markdown]
# Nothing is computed here and nothing lost: numbers only change their places. So there is an exact way back, `unpatchify`, and it returns every
# bit:

# %%
images = picture[None]  # [1, 224, 224, 3]
patches, _ = patchify(images, 16)
back = unpatchify(patches, images.shape)
print("picture", list(images.shape), "->", list(patches.shape), " and back, to the bit:", np.array_equal(back, images))

digits = data[1][0]
cut, _ = patchify(digits, 2)
glued = unpatchify(cut, digits.shape)
print("digits ", list(digits.shape), " ->", list(cut.shape), "   and back, to the bit:", np.array_equal(glued, digits))

# %% [markdown]
# ## Break it
#
# What if the two axes do not change places? The shape is right, every number is there, and no function complains. But a "patch" is now a strip of
# 256 pixels that follow each other in memory: a whole row of the image, and a bit of the next. On the right are these strips, put together as if
# they were patches:

# %%
strips = images.reshape(1, 196, 768)
figure = new_figure(5, 2.5)
left, right = figure.subplots(1, 2)
show(left, back[0])
show(right, unpatchify(strips, images.shape)[0])
left.set_title("patches", fontsize=9)
right.set_title("strips, same shape", fontsize=9)
figure

# %% [markdown]
# Looking at a picture finds what a shape cannot. A shape does find another mistake, an image that the patch does not divide, and then the message
# says so:

# %%
try:
    patchify(np.zeros((1, 224, 225, 3)), 16)
except tinyvit.TinyvitError as error:
    print(error)

# %% [markdown]
# ## Project
#
# The patch is still made of raw pixels. Inside, the Transformer has vectors of one width $D$ everywhere. So each patch $x_r$, a row of $P^2 C$
# numbers, is multiplied with a matrix $E$ $[P^2 C, D]$, and a bias $b$ $[D]$ is added. Matrix and bias are learned, and all patches share them:
#
# $$ y_r = x_r E + b $$
#
# The result is called a **token**, and the whole step the **patch embedding**. In the end a **class token** is put before the others, of which more
# below. Here are all stages for ViT-B/16, the *base* model with patches of 16 pixels, with $D = 768$, and the smaller ViT-S/16 (Touvron et al.
# 2021), with $D = 384$:


# %%
def stages(config):
    """The shapes on the way from an image to the sequence, by running the package's functions."""
    p = patch_embedding_init(rng, config.patch, config.channels, config.dim)
    grid, _ = patch_convolution(images, kernel_from_matrix(p["w"], config.channels), p["b"])
    patches, _ = patchify(images, config.patch)
    tokens, _ = patch_embedding(images, p, patch=config.patch)
    z, _ = class_token(tokens, class_token_init(rng, config.dim))
    return {"image": images, "as a grid": grid, "patches": patches, "tokens": tokens, "with class token": z}


shapes = {name: {stage: y.shape[1:] for stage, y in stages(tinyvit.PRESETS[name]).items()} for name in ("B/16", "S/16")}
for stage in shapes["B/16"]:
    print(f"{stage:17}", *(f"{list(shapes[name][stage])!s:16}" for name in shapes))

# %% [markdown]
# For B/16, left, this is the chain $[224, 224, 3] \rightarrow [14, 14, 768] \rightarrow [196, 768] \rightarrow [197, 768]$ that is drawn in many
# articles. The second stage is the same 196 tokens before they are put in a row, as a grid of 14 x 14; we come to that in a moment.
#
# ## A coincidence that hides a mistake
#
# For B/16 a patch has $16 \cdot 16 \cdot 3 = 768$ numbers, and the width is $D = 768$ as well. So the projection can be forgotten, and every shape
# still fits. Below, the raw patches go straight on to the class token and into an encoder block, the layer that follows:

# %%
for name in ("B/16", "S/16"):
    config = tinyvit.PRESETS[name]
    try:
        z, _ = class_token(patches, class_token_init(rng, config.dim))  # patches, not tokens
        z, _ = encoder_block(z, encoder_block_init(rng, config.dim, config.mlp_dim), heads=config.heads)
        found = f"nobody notices, {list(z.shape[1:])}"
    except ValueError as error:
        found = f"{type(error).__name__}: {error}"
    print(name, found)

# %% [markdown]
# Only S/16 shows it: there a class token of 384 numbers does not fit beside patches of 768. So do not take B/16 as the only example for a test of
# shapes. Better still, choose sizes that are all different, as the exercises below do.
#
# ## What the projection learns
#
# Look at one column of $E$. It has as many numbers as a patch has, so it can be drawn as a patch. Its product with $x_r$ is large where the patch
# looks like it, and negative where the patch looks like its opposite. A column is a **filter**, and a token is a list of $D$ answers, one for each
# filter.
#
# We train the small model of [the first notebook](00_start_here.ipynb) on the digits, which takes some seven seconds. Its patches have 2 x 2
# pixels, hence 4 numbers, and its width is 32. These are the first eight of the 32 filters; grey is 0.

# %%
config = tinyvit.PRESETS["digits"]
p, history = tinyvit.fit(config, data, recipe=tinyvit.RECIPES["digits"], progress=False)
filters = kernel_from_matrix(p["patch"]["w"], 1)  # [P, P, C, D] = [2, 2, 1, 32]

most = abs(filters).max()
figure = new_figure(6, 0.9)
for o, axes in enumerate(figure.subplots(1, 8)):
    axes.imshow(filters[:, :, 0, o], cmap="gray", vmin=-most, vmax=most)
    bare(axes)
figure

# %% [markdown]
# In a space of four dimensions, 32 filters cannot all be different in kind: each is a mixture of four patterns. The singular value decomposition
# finds the four that say most, one after the other, each at right angles to all before. Grey is 0 again, and
# each is drawn at its own scale. Above each, its share of the sum of squares of all filters:

# %%
filters_figure(p["patch"]["w"], channels=1)

# %%
w, w_drawn = p["patch"]["w"], tinyvit.vit_init(np.random.default_rng(0), config)["patch"]["w"]  # fit's seed is 0
print(f"training has moved E by {np.linalg.norm(w - w_drawn) / np.linalg.norm(w_drawn):.0%} of its norm")
print("shares as drawn at random", principal_filters(w_drawn, channels=1)[1].round(2))
print("shares after training    ", principal_filters(w, channels=1)[1].round(2))
print("rank of E as drawn       ", np.linalg.matrix_rank(w_drawn), "of", len(w_drawn))

# %% [markdown]
# A pattern of nearly equal numbers answers to brightness, one with two halves to an edge, a chequered one to a diagonal. But look at the numbers
# below the picture: the filters are still much as they were drawn at random. They need not change, since 32 random mixtures of four numbers lose
# nothing of them (the rank is 4), and the layers that follow can sort them out. It is different in the paper's ViT-L/32, where a patch has
# $32 \cdot 32 \cdot 3 = 3072$ numbers and the model has seen millions of photographs: there, the patterns "resemble plausible basis functions for a
# low-dimensional representation of the fine structure within each patch", as the paper says of its figure 7.
#
# ## The same numbers as a convolution
#
# A **convolution** slides a small kernel over an image. At each place it multiplies the pixels under the kernel with the kernel's numbers and adds
# up, once for each of $D$ kernels. The **stride** is how far it moves between two places. If the stride is as large as the kernel, it stops at
# every patch exactly once, and multiplies it with the same numbers. With $w[p, q, n, o]$ for row $p$, column $q$, input channel $n$, output $o$,
# and patch $(i, j)$ of the grid:
#
# $$ y[i, j, o] = b[o] + \sum_{p=0}^{P-1} \sum_{q=0}^{P-1} \sum_{n=0}^{C-1} x[iP + p, \; jP + q, \; n] \; w[p, q, n, o] $$
#
# Flatten $(p, q, n)$ into one index, and it is a row of $x$ times a matrix: the projection above. Flatten $(i, j)$, and the grid $[14, 14, 768]$ is
# the sequence $[196, 768]$. This is why many programs embed patches with a convolution. Are the two the same, gradients included? In float64, with
# random numbers:

# %%
B, H, W, C, P, D = 2, 6, 9, 4, 3, 5  # all different, and not square
x, e = rng.standard_normal((B, H, W, C)), {"w": rng.standard_normal((P * P * C, D)), "b": rng.standard_normal(D)}

y, c = patch_embedding(x, e, patch=P)
y_convolution, c_convolution = patch_convolution(x, kernel_from_matrix(e["w"], C), e["b"])

dy = rng.standard_normal(y.shape)
dx, g = patch_embedding_backward(dy, e, c)
dx_convolution, dw, db = patch_convolution_backward(dy.reshape(y_convolution.shape), c_convolution)

pairs = {
    "y": (y, y_convolution.reshape(y.shape)),
    "dx": (dx, dx_convolution),
    "dw": (g["w"], matrix_from_kernel(dw)),
    "db": (g["b"], db),
}
differences = {name: abs(one - other).max() for name, (one, other) in pairs.items()}
by_hand = e["b"][4] + (x[1, 3:6, 6:9, :] * kernel_from_matrix(e["w"], C)[..., 4]).sum()  # y[1, 1, 2, 4] of the formula
print(f"projection {list(y.shape)}, convolution {list(y_convolution.shape)}; largest differences:")
for name, difference in differences.items():
    print(f"{name:3} {difference:.1e}")
print(f"one entry by the formula: {by_hand:.12f}, by the function: {y_convolution[1, 1, 2, 4]:.12f}")

# %% [markdown]
# ## Equivariant, not invariant
#
# Of convolutions it is often said that they are *invariant* to translation. That would mean: shift the image, and the result stays the same. What
# is true is that they are **equivariant**: shift the image, and the result is shifted with it. Invariance only comes later, if the places are
# thrown away, for instance by a mean over all of them.
#
# Below, a digit is shifted to the right by 0, 1 or 2 pixels (what leaves on the right comes in on the left, so that nothing is lost), and embedded
# with the trained patches of 2 x 2 pixels. In the formula above, a shift by $P$ pixels turns $jP + q$ into $(j - 1)P + q$, and so $y[i, j]$ into
# $y[i, j - 1]$. At stride 1 that would hold for a shift by any number of pixels; at stride $P$ it holds for whole patches only:

# %%
E = {name: array.astype(np.float64) for name, array in p["patch"].items()}
image = digit[None].astype(np.float64)


def embedded(image):
    """The tokens of one image, on their grid: [4, 4, 32]."""
    return patch_embedding(image, E, patch=2)[0].reshape(4, 4, 32)


still = embedded(image)
print("shift   same as before   before, shifted along   mean over places the same")
followed = {}
for pixels in (0, 1, 2):
    moved = embedded(np.roll(image, pixels, axis=2))
    along = [np.allclose(moved, np.roll(still, patches, axis=1), atol=1e-12) for patches in range(4)]
    mean_stays = np.allclose(moved.mean((0, 1)), still.mean((0, 1)), atol=1e-12)
    followed[pixels] = np.allclose(moved, still, atol=1e-12), any(along), mean_stays
    print(f"{pixels:5} px {followed[pixels][0]!s:>15} {followed[pixels][1]!s:>23} {followed[pixels][2]!s:>27}")

# %% [markdown]
# A shift by a whole patch only permutes the tokens: each moves to the place of its neighbour. A shift by one pixel cuts every patch differently,
# and gives tokens that were not there before. (The mean over all places survives the shift by a whole patch, as the last column says, but not that
# by one pixel.)
#
# ### A convolution that overlaps
#
# The networks that ViT is compared with use convolutions otherwise: the stride is smaller than the kernel, so their windows overlap, and a pixel is
# seen several times. The recipe is the same, with one function exchanged. `unfold` cuts an image into windows and flattens each, as `patchify` does
# for patches, and around the image it puts zeros, so that with a stride of 1 there is a window for every pixel:

# %%
windows, _ = unfold(places[None, :, :, None].astype(float), 3)  # windows of 3 x 3 pixels of the small image from above
print(list(windows.shape), "= [B, H, W, K*K*C]; the window around pixel 22, and that in the upper left corner:")
print(windows[0, 1, 1].astype(int), windows[0, 0, 0].astype(int))
print(exercises.source(convolution))
print(exercises.source(convolution_backward))

# %% [markdown]
# On the way back, a pixel gets the sum of what its windows hand back (`unfold_backward`): what is used several times has the sum of its gradients.
# With the stride as large as the kernel, nothing overlaps, and it is the convolution from above. And at stride 1, is it true that every shift is
# followed, by one pixel, too? Zeros are put around the image, not what leaves it on the other side; so the digit gets a margin of zeros first.

# %%
overlapping = tinyvit.gradcheck(convolution, convolution_backward, x, rng.standard_normal((P, P, C, D)), e["b"])
print(f"gradient check: {overlapping.entries} entries, worst error {overlapping.worst_error:.0e}, ok: {overlapping.ok}")
same_as_patches = abs(convolution(x, kernel_from_matrix(e["w"], C), e["b"], stride=P)[0] - y_convolution).max()
print(f"stride = kernel, and patch_convolution: {same_as_patches:.0e} apart")

wide, kernel = np.pad(image, ((0, 0), (4, 4), (4, 4), (0, 0))), rng.standard_normal((3, 3, 1, 5))
seen, _ = convolution(wide, kernel, np.zeros(5))
shift_error = abs(convolution(np.roll(wide, 1, axis=2), kernel, np.zeros(5))[0] - np.roll(seen, 1, axis=2)).max()
print(f"shifted by one pixel, the result is shifted by one pixel, up to {shift_error:.0e}")

# %% [markdown]
# A small network of such layers, [cnn.py](../tinyvit/models/cnn.py), stands beside the ViT in [the paper lab](../docs/lab.md).
#
# So the patch embedding brings a little of what a convolution knows about images into the model, once, at its entrance. What follows treats the
# tokens as a set, and [learns where they are](05_positions.ipynb).
#
# ## The way back
#
# `patchify` moves numbers, and every pixel goes to exactly one place. So its gradient has to go back to where the pixel came from, and the backward
# pass is `unpatchify`. The patch embedding is patchify and a linear layer, so its backward pass is both in reverse:

# %%
print(exercises.source(patchify_backward), exercises.source(patch_embedding_backward), sep="\n\n\n")

# %%
report = tinyvit.gradcheck(patch_embedding, patch_embedding_backward, x, e, patch=P)
print(report)

# %% [markdown]
# And the mistake from above, the strips, made on the way back only? The gradient has the right shape, and it has the right numbers, at the wrong
# pixels:


# %%
def strips_backward(dy, c):
    return dy.reshape(c["x"].shape)


broken = tinyvit.gradcheck(patchify, strips_backward, x, patch=P)
print(broken)

# %% [markdown]
# ## Why patches?
#
# Why not one token for each pixel? Because in attention, which comes two notebooks on, every token is compared with every token: $T$ tokens
# make $T^2$ scores. An image of 224 x 224 pixels has 50,176 of them. As float32, four bytes each, the scores of one head of one layer, for one
# image, take

# %%
base = tinyvit.PRESETS["B/16"]
heads_in_all = base.depth * base.heads  # 12 layers with 12 heads each
pixels, N = base.image**2, base.grid**2
for what, T in {"pixels": pixels, "patches": N}.items():
    one = 4 * T**2  # bytes
    every = one * heads_in_all
    print(f"{T:6,} {what:8} {T**2:13,} scores {one / 1e6:9,.2f} MB, in {heads_in_all} heads {every / 1e9:9,.3f} GB")
print(f"that is {pixels**2 // N**2:,} times as many: {pixels // N} pixels to a patch, squared")

# %% [markdown]
# B/16 has 12 layers with 12 heads each, so 144 such tables of scores. (The class token, left out here, would add 1 % to the second line.) And the
# time? Attention by one head of width 64, for more and more tokens, each the median of seven runs:

# %%
counts = np.array([14, 20, 28, 40, 56]) ** 2
seconds, memory = [], []
for T in counts:
    q, k, v = rng.standard_normal((3, T, 64), dtype=np.float32)
    runs = []
    for _ in range(7):
        begun = time.perf_counter()
        _, c = attention(q / 8, k, v)  # 8 is the square root of the width
        runs.append(time.perf_counter() - begun)
    seconds.append(statistics.median(runs))
    memory.append(c["a"].nbytes)

exponent, _ = np.polyfit(np.log(counts), np.log(seconds), 1)
memory_exponent, _ = np.polyfit(np.log(counts), np.log(memory), 1)
print(f"grow as the number of tokens to a power: time {exponent:.2f}, memory of the weights {memory_exponent:.2f}")

figure = new_figure(7.5, 2.8)
series = {"milliseconds": (1e3 * np.array(seconds), BLUE, "o"), "megabytes": (np.array(memory) / 1e6, ORANGE, "s")}
for axes, (unit, (values, colour, marker)) in zip(figure.subplots(1, 2), series.items(), strict=True):
    axes.loglog(counts, values, marker, color=colour, label="measured")
    square = values[-1] * (counts / counts[-1]) ** 2
    axes.loglog(counts, square, color="grey", linewidth=1, label="the square, through the last point")
    axes.set(xlabel="tokens", ylabel=unit)
    axes.set_xticks(counts, counts, fontsize=8)
    axes.minorticks_off()
    plain(axes)
    axes.legend(fontsize=8, frameon=False)
figure

# %% [markdown]
# Both follow the square, the memory exactly, the time nearly. Patches make the sequence short enough. The price is that a patch has to be described
# by one linear projection.
#
# ## The class token
#
# The sequence has 196 tokens now, and there is one answer to give about the whole image. From which token should it be read? From none of them: the
# class token is put before all others. It is one learned vector, the same for every image. Each of the layers lets it gather from the patches what
# it needs, and at the end the answer is read from it alone.
#
# It is often explained as a start-of-sentence symbol, since it stands at the beginning. But a start symbol tells a decoder to begin to write; this
# token **aggregates**, like the `[CLS]` token of BERT (Devlin et al. 2019), from which the paper has it. That it stands first is a convention: one
# only has to know which row to read. We can watch it gather. At the entrance of each of the three encoder blocks of the model trained above, and
# before the head, its last layer, how far are the class tokens of 64 images from their mean? At each of these places a
# [LayerNorm](06_layer_norm_and_gelu.ipynb) scales every token to the same length, $\sqrt{32} = 5.66$ for 32 numbers, so that the four can be
# compared.

# %%
_, c = tinyvit.vit(digits[:64], p, config)
entrances = [block["ln1"]["xhat"][:, 0] for block in c["blocks"]]  # class rows, brought to one length
entrances.append(c["readout"]["ln"]["xhat"].reshape(64, -1))
spreads = [float(np.linalg.norm(z - z.mean(axis=0), axis=-1).mean()) for z in entrances]
for place, spread in zip(["block 1", "block 2", "block 3", "head"], spreads, strict=True):
    print(f"entering {place:8} mean distance from the mean: {spread:.2f}")

# %% [markdown]
# At the entrance it is the same for all images. All that it knows at the end, it has taken from the patches.
#
# One vector serves every image of the batch, so all of them have a say in its gradient. The forward pass copies the token into row 0 of each of the
# $B$ images (here $p$ is the token), $y_{b0} = p$ for every image $b$, so the chain rule adds up:
#
# $$ dp = \sum_{b=1}^{B} dy_{b0} $$
#
# where $dp$ stands for the gradient of the loss by $p$. (In the code, `xp` is NumPy, or CuPy where the arrays are on a GPU.)

# %%
print(exercises.source(class_token), exercises.source(class_token_backward), sep="\n\n\n")


# %% [markdown]
# Now three backward passes are checked: the package's, one that forgets to add up, and one that takes the mean. (A tree of parameters tells the
# check what is a parameter; here the tree has a single leaf.)


# %%
def forward(x, p):
    return class_token(x, p["cls"])


def summed(dy, p, c):
    dx, dp = class_token_backward(dy, p["cls"], c)
    return dx, {"cls": dp}


def first_image_only(dy, p, c):
    return dy[:, 1:], {"cls": dy[0, :1]}


def averaged(dy, p, c):
    return dy[:, 1:], {"cls": dy[:, 0].mean(axis=0, keepdims=True)}


tokens, token = rng.standard_normal((3, 4, 5)), {"cls": rng.standard_normal((1, 5))}
verdicts = {f.__name__: tinyvit.gradcheck(forward, f, tokens, token) for f in (summed, first_image_only, averaged)}
for name, verdict in verdicts.items():
    worst = max(verdict.rows, key=lambda row: row.error)
    print(f"{name:17} {'agrees' if verdict.ok else 'WRONG in ' + worst.name}", end="")
    print("" if verdict.ok else f": analytic / numeric = {worst.analytic / worst.numeric:.3f}")

# %% [markdown]
# The mean is off by the factor $1/B$, here a third. What the first image's gradient lacks is the sum over the other two images, another number in
# every entry: no factor mends that. (Only the ratio at the worst entry is shown, and that it is near $-1/3$ is chance.)
#
# ## Exercises
#
# Write the bodies. `exercises.check` says whether the answer is right, and if it is not, what kind of mistake it looks like.
# `exercises.hint("patchify")` gives a first hint, `exercises.hint("patchify", 2)` a second; `print(exercises.solution("patchify"))` shows how the
# package does it. Loops are as welcome as vectorised code. Keep the dtype: what comes in as float32 goes out as float32.


# %%
def my_patchify(x, patch):
    """Images x [B, H, W, C] and the side P of a patch -> y [B, N, P*P*C] with N = HW / P^2, and the cache {"x": x}.

    Patches in raster order; within a patch, row by row, and the channels of a pixel side by side.
    """


exercises.check("patchify", my_patchify)


# %%
def my_patchify_backward(dy, c):
    """The upstream gradient dy [B, N, P*P*C] and the cache {"x": [B, H, W, C]} -> dx [B, H, W, C]."""


exercises.check("patchify_backward", my_patchify_backward)


# %%
def my_patch_embedding(x, p, *, patch):
    """Images x [B, H, W, C], p {"w": [P*P*C, D], "b": [D]} -> y [B, N, D], each patch times w, plus b.

    The cache is {"patches": patchify's cache, "linear": {"x": the patches [B, N, P*P*C]}}.
    """


exercises.check("patch_embedding", my_patch_embedding)


# %%
def my_patch_embedding_backward(dy, p, c):
    """dy [B, N, D], p and the cache of the forward pass -> dx [B, H, W, C] and g {"w": [P*P*C, D], "b": [D]}."""


exercises.check("patch_embedding_backward", my_patch_embedding_backward)


# %%
def my_patch_convolution(x, w, b):
    """Images x [B, H, W, C], a kernel w [P, P, C, D] and b [D] -> y [B, H/P, W/P, D]: kernel and stride are the patch.

    The cache is {"x": x, "w": w}.
    """


exercises.check("patch_convolution", my_patch_convolution)


# %%
def my_patch_convolution_backward(dy, c):
    """dy [B, H/P, W/P, D] and the cache {"x", "w"} -> dx [B, H, W, C], dw [P, P, C, D] and db [D]."""


exercises.check("patch_convolution_backward", my_patch_convolution_backward)


# %%
def my_unfold(x, kernel, stride=1):
    """Images x [B, H, W, C] and the side K of a window -> y [B, ceil(H/s), ceil(W/s), K*K*C], s the stride; the cache is {"x": x}.

    Windows in raster order; within a window, row by row, and the channels of a pixel side by side. Outside of the image
    are zeros: (ceil(H/s) - 1) s + K - H rows of them (if that is more than 0), half of them, rounded down, above; likewise
    columns.
    """


exercises.check("unfold", my_unfold)


# %%
def my_unfold_backward(dy, c, stride=1):
    """dy [B, ceil(H/s), ceil(W/s), K*K*C] and the cache {"x": [B, H, W, C]} -> dx [B, H, W, C]."""


exercises.check("unfold_backward", my_unfold_backward)


# %%
def my_convolution(x, w, b, stride=1):
    """Images x [B, H, W, C], a kernel w [K, K, C, D] and b [D] -> y [B, ceil(H/s), ceil(W/s), D], s the stride.

    Each window of `unfold`, times the kernel, plus b. The cache is {"unfold": unfold's cache, "windows": the windows as
    rows [-1, K*K*C], "w": w}.
    """


exercises.check("convolution", my_convolution)


# %%
def my_convolution_backward(dy, c, stride=1):
    """dy [B, ceil(H/s), ceil(W/s), D] and the cache {"unfold", "windows", "w"} -> dx [B, H, W, C], dw [K, K, C, D], db [D]."""


exercises.check("convolution_backward", my_convolution_backward)


# %%
def my_class_token(x, p):
    """Tokens x [B, N, D] and the class token p [1, D] -> y [B, 1+N, D] with p as row 0 of every image; the cache is {}."""


exercises.check("class_token", my_class_token)


# %%
def my_class_token_backward(dy, p, c):
    """dy [B, 1+N, D], p [1, D] and the cache {} -> dx [B, N, D] and dp [1, D]."""


exercises.check("class_token_backward", my_class_token_backward)

# %% [markdown]
# ## What we know now
#
# An image is cut into patches, which is nothing but a new order; each is projected, which is a convolution that never overlaps; and a class token
# is put before them to gather the answer. Patches keep the square in attention's cost small. The derivation of the gradients, from single indices
# to the code, is in [a page of its own](../docs/derivations/patch_embedding.md).

# %%
assert np.array_equal(back, images) and np.array_equal(glued, digits)
assert list(shapes["B/16"].values()) == [(224, 224, 3), (14, 14, 768), (196, 768), (196, 768), (197, 768)]
assert list(shapes["S/16"].values()) == [(224, 224, 3), (14, 14, 384), (196, 768), (196, 384), (197, 384)]
assert max(differences.values()) < 1e-12 and abs(by_hand - y_convolution[1, 1, 2, 4]) < 1e-12
assert followed == {0: (True, True, True), 1: (False, False, False), 2: (False, True, True)}
assert overlapping.ok and same_as_patches < 1e-12 and shift_error < 1e-12
assert report.ok and not broken.ok
assert round(memory_exponent, 6) == 2 and 1 < exponent < 3
assert spreads[0] < 1e-4 < 1 < spreads[-1]
assert [verdict.ok for verdict in verdicts.values()] == [True, False, False]

# %% [markdown]
# Next: [a layer and its gradient](02_a_layer_and_its_gradient.ipynb), or how the backward passes in this notebook are derived.
