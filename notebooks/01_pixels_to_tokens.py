# %% [markdown]
# # Pixels to tokens: an image as a sequence
#
# **The question.** The Transformer was made for translation ([Vaswani et al. 2017](https://arxiv.org/abs/1706.03762)): it takes a sequence of
# vectors, one for each word. An image is a grid of pixels. How does the grid become a sequence, and why is a pixel not simply a word?

# %%
from tinyvit.viz import overview

overview("image", "patches", "tokens", "class token")

# %% [markdown]
# The coloured parts are what this notebook is about. The answer of the Vision Transformer ([Dosovitskiy et al.
# 2021](https://arxiv.org/abs/2010.11929), section 3.1) is in the title of the paper: *An Image is Worth 16x16 Words*. The image is cut into square
# **patches**, and each patch is a word. Below, a digit of 8 x 8 pixels, and its patches of 2 x 2 in the order in which they are read:

# %%
import numpy as np

import tinyvit
from tinyvit.ops.patches import patchify
from tinyvit.viz.picture import ORANGE, new_figure, show

rng = np.random.default_rng(0)
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


figure = new_figure(7.5, 2.4)
whole, row = figure.subfigures(1, 2, width_ratios=(1, 2.1))
numbered(whole.subplots(), digit, patch=2, colour=ORANGE, size=11)
for n, (axes, patch) in enumerate(zip(row.subplots(2, 8).flat, patchify(digit[None], 2)[0][0], strict=True)):
    show(axes, patch.reshape(2, 2, 1))
    axes.set_title(n, fontsize=9, color=ORANGE)
    axes.spines[:].set(visible=True, color=ORANGE, linewidth=0.5)
figure

# %% [markdown]
# From left to right, and row after row from the top, as one reads a page: this is called **raster order**.
#
# ## Cut
#
# Let the patch be $P$ pixels wide and high, and the image $[H, W, C]$: $H$ rows, $W$ columns, and $C$ channels, 3 for colour. There are $N = HW/P^2$
# patches, and each is flattened into a vector of $P^2 C$ numbers. The smallest example is an image of 4 x 4 pixels in which each pixel says where
# it is:

# %%
places = np.array([[11, 12, 13, 14], [21, 22, 23, 24], [31, 32, 33, 34], [41, 42, 43, 44]])
four, _ = patchify(places[None, :, :, None], 2)  # [B, H, W, C] = [1, 4, 4, 1]
print(list(four.shape), "= [B, N, P*P*C]")
print(four[0])

# %% [markdown]
# (`_` is the cache, not needed here.) One line of the result is one patch: the first is the upper left corner. To write `patchify` with loops is
# easy; without, it takes three lines ([how exercises are marked](00_start_here.ipynb)):


# %%
from tinyvit import exercises


def my_patchify(x, patch):
    """Images x [B, H, W, C] and the side P of a patch -> y [B, N, P*P*C] with N = HW / P^2, and the cache {"x": x}.

    Patches in raster order; within a patch, row by row, and the channels of a pixel side by side.
    """


exercises.check("patchify", my_patchify)

# %% [markdown]
# The package splits the rows into *row of the grid* and *row in the patch*, and the columns likewise. Then the row in the patch and the column of the
# grid change places, and what belongs to one patch lies side by side.

# %%
print(exercises.source(patchify))

# %% [markdown]
# Numbers only change their places. Where does each go? Give a formula, for images of any width, and
# `patchify` itself says whether it holds:


# %%
def my_place(row, column, channel, width, patch, channels):
    """Where patchify puts this number of an image [H, width, channels]: (which patch, which of the patch's numbers)."""


named = np.arange(6 * 9 * 4).reshape(1, 6, 9, 4)  # every number is another, and the image is not square
where = {number: place for place, number in np.ndenumerate(patchify(named, 3)[0][0])}
if my_place(0, 0, 0, 9, 3, 4) is None:
    print("not written yet")
else:
    wrong = [at for at in np.ndindex(6, 9, 4) if tuple(my_place(*at, 9, 3, 4)) != where[named[0][at]]]
    print(f"wrong for (row, column, channel) = {wrong[0]} and {len(wrong) - 1} others" if wrong else "right")

# %% [markdown]
# The inverse, `unpatchify`, returns every bit, of all digits of the test and of a larger picture that a few formulas paint:

# %%
from tinyvit.ops.patches import unpatchify

row, column = np.mgrid[-1:1:224j, -1:1:224j]
sky = np.stack([0.2 + 0.5 * row, 0.3 + 0.3 * row, 0.8 - 0.2 * row], axis=-1)  # [224, 224, 3], colours from -1 to 1
sun = (row + 0.45) ** 2 + (column - 0.4) ** 2 < 0.08
hill = row > 0.35 + 0.25 * np.sin(4 * column)
house = (abs(column + 0.45) < 0.22) & (abs(row - 0.25) < 0.25)
picture = sky.astype(np.float32)
picture[sun], picture[hill], picture[house] = (0.7, 0.1, -0.8), (-0.6, 0.2, -0.7), (0.3, -0.6, -0.6)

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
# What if the two axes do not change places? Every shape is right, and no function complains. But a "patch" is now a strip of 256 pixels that follow
# each other in memory: parts of two rows, one below the other. On the right, such strips are put together as if they were patches:

# %%
strips = images.reshape(1, 196, 768)  # patchify without its swapaxes: two reshapes are one
figure = new_figure(5, 2.5)
left, right = figure.subplots(1, 2)
numbered(left, back[0], patch=16, colour="white", size=4)
show(right, unpatchify(strips, images.shape)[0])
left.set_title("patches", fontsize=9)
right.set_title("strips, same shape", fontsize=9)
figure

# %% [markdown]
# An image that the patch does not divide is refused:

# %%
try:
    patchify(np.zeros((1, 224, 225, 3)), 16)
except tinyvit.TinyvitError as error:
    print(error)

# %% [markdown]
# ## Project
#
# Every block of the Transformer takes and returns vectors of one width $D$. So each patch, which is still raw pixels, is multiplied with a learned
# matrix $\mathbf{E}$ $[P^2 C, D]$, which all patches share. In the first half of the paper's equation (1), it is this part (semicolons separate
# rows):
#
# $$ \mathbf{x}_p^1\mathbf{E}; \ldots; \mathbf{x}_p^N\mathbf{E} $$
#
# In the code: $\mathbf{x}_p$ is `patchify(images, P)`, $\mathbf{E}$ is `p["patch"]["w"]`, and all of it
# `patch_embedding(images, p["patch"], patch=P)`, which also adds a vector, the bias. Each result is called a **token**, and the step the **patch
# embedding**. Here are all stages for ViT-B/16, the *base* model with patches of 16 pixels and $D = 768$, and the smaller ViT-S/16
# ([Touvron et al. 2021](https://arxiv.org/abs/2012.12877)), with $D = 384$ (the **class token** comes further down):


# %%
from tinyvit.layers.embedding import class_token, class_token_init, patch_embedding, patch_embedding_init


def stages(config):
    """The shapes on the way from an image to the sequence, by running the package's functions."""
    p = patch_embedding_init(rng, config.patch, config.channels, config.dim)
    patches, _ = patchify(images, config.patch)
    tokens, _ = patch_embedding(images, p, patch=config.patch)
    z, _ = class_token(tokens, class_token_init(rng, config.dim))
    return {"image": images, "patches": patches, "tokens": tokens, "with class token": z}


shapes = {name: {stage: y.shape[1:] for stage, y in stages(tinyvit.PRESETS[name]).items()} for name in ("B/16", "S/16")}
for stage in shapes["B/16"]:
    print(f"{stage:17}", *(f"{list(shapes[name][stage])!s:16}" for name in shapes))

# %% [markdown]
# ## A coincidence that hides a mistake
#
# For B/16 a patch has $16 \cdot 16 \cdot 3 = 768$ numbers, and the width is 768 as well. What happens if the projection is forgotten? In the next
# cell the raw patches go straight on to the class token and into a block.

# %%
from tinyvit.layers.encoder_block import encoder_block, encoder_block_init

for name in ("B/16", "S/16"):
    preset = tinyvit.PRESETS[name]
    try:
        z, _ = class_token(patches, class_token_init(rng, preset.dim))  # patches, not tokens
        z, _ = encoder_block(z, encoder_block_init(rng, preset.dim, preset.mlp_dim), heads=preset.heads)
        found = f"nobody notices, {list(z.shape[1:])}"
    except ValueError as error:
        found = f"{type(error).__name__}: {error}"
    print(name, found)

# %% [markdown]
# Only S/16 shows it. So do not take B/16 as the only example for a test of shapes; better still, choose sizes that are all different.
#
# ## What the projection learns
#
# A column of $\mathbf{E}$ has as many numbers as a patch, so it can be drawn as one: it is a **filter**, and its product with a patch is large where
# the patch looks like it. A token is a list of $D$ answers, one for each filter. We train the model of [the first notebook](00_start_here.ipynb), and
# draw its first eight filters, above as they were drawn at random and below after training (grey is 0):

# %%
from tinyvit.layers.embedding import patch_embedding_backward
from tinyvit.ops.convolution import kernel_from_matrix
from tinyvit.viz.picture import bare

config = tinyvit.PRESETS["digits"]
p, history = tinyvit.fit(config, data, recipe=tinyvit.RECIPES["digits"], progress=False)
w, w_drawn = p["patch"]["w"], tinyvit.vit_init(np.random.default_rng(0), config)["patch"]["w"]  # fit's seed is 0

most = abs(w).max()
figure = new_figure(6, 1.6)
for rows, matrix in zip(figure.subplots(2, 8), (w_drawn, w), strict=True):
    for o, axes in enumerate(rows):
        column = kernel_from_matrix(matrix, 1)[:, :, 0, o]  # column o, as a picture of P x P
        axes.imshow(column, cmap="gray", vmin=-most, vmax=most)
        bare(axes)
print(
    f"{history[-1]['seconds']:.0f} seconds of training have moved E by {np.linalg.norm(w - w_drawn) / np.linalg.norm(w_drawn):.0%} of its norm"
)
print(f"E has {w.shape[1]} filters of {len(w)} numbers; its rank as drawn at random: {np.linalg.matrix_rank(w_drawn)}")
figure

# %% [markdown]
# They are still much as they were drawn, and need not change: the rank says that 32 random mixtures of four numbers lose nothing of them. Larger
# patches have patterns to find: on MNIST, larger digits, with 16 numbers each ([looking inside](../docs/inside.md)), and in the paper's ViT-L/32 with
# 3,072 (its figure 7).
#
# ## The same numbers as a convolution
#
# A **convolution** slides a small kernel over an image. At each place it multiplies the pixels under the kernel with the kernel's numbers and adds
# up, once for each of $D$ kernels. (Mathematicians call this a cross-correlation; their convolution turns the kernel over first.) The **stride** is
# how far it moves between two places. If the stride is as large as the kernel, it stops at every patch exactly once. With $w[u,v,n,o]$ for row $u$,
# column $v$, input channel $n$, output $o$, and patch $(i,j)$ of the grid:
#
# $$ y[i,j,o] = b[o] + \sum_{u=0}^{P-1}\sum_{v=0}^{P-1}\sum_{n=0}^{C-1} x[iP+u,\,jP+v,\,n]\,w[u,v,n,o] $$
#
# Flatten $(u,v,n)$ into one index, and it is a row of $x$ times a matrix: the projection above. Flatten $(i,j)$, and the grid is the sequence. Here a
# loop that stops at every place is compared with the package's two functions, and the slopes of the loop with the package's gradients:

# %%
from tinyvit.ops.convolution import patch_convolution, patch_convolution_backward

B, H, W, C, P, D = 2, 6, 9, 4, 3, 5  # all different, and not square
x, e = rng.standard_normal((B, H, W, C)), {"w": rng.standard_normal((P * P * C, D)), "b": rng.standard_normal(D)}
kernel = kernel_from_matrix(e["w"], C)  # [P, P, C, D]


def by_formula(x, w, b):
    """The formula, place by place."""
    y = np.empty((B, H // P, W // P, D))
    for i, j in np.ndindex(H // P, W // P):
        under = x[:, i * P : (i + 1) * P, j * P : (j + 1) * P, :, None]  # [B, P, P, C, 1]
        y[:, i, j] = b + (under * w).sum(axis=(1, 2, 3))
    return y, {"x": x, "w": w}


y, c = by_formula(x, kernel, e["b"])
differences = {
    "projection": abs(y.reshape(B, -1, D) - patch_embedding(x, e, patch=P)[0]).max(),
    "convolution": abs(y - patch_convolution(x, kernel, e["b"])[0]).max(),
}
for name, difference in differences.items():
    print(f"{name:11} {difference:.0e} from the loop")
slopes = tinyvit.gradcheck(by_formula, patch_convolution_backward, x, kernel, e["b"])
print(slopes)
base = tinyvit.PRESETS["B/16"]
large = patch_embedding_init(rng, base.patch, base.channels, base.dim)
grid, _ = patch_convolution(images, kernel_from_matrix(large["w"], base.channels), large["b"])
print(
    f"B/16: {list(images.shape[1:])} -> the grid {list(grid.shape[1:])} -> {list(grid.reshape(1, -1, base.dim).shape[1:])}"
)

# %% [markdown]
# Now the way back. Given `dy`, the gradient of the loss by $y$: what does each pixel get, and what each number of the kernel?


# %%
def my_patch_convolution_backward(dy, c):
    """dy [B, H/P, W/P, D] and the cache {"x", "w"} -> dx [B, H, W, C], dw [P, P, C, D] and db [D]."""


exercises.check("patch_convolution_backward", my_patch_convolution_backward)

# %% [markdown]
# ## Equivariant, not invariant
#
# Shift the image. If the result stays the same, a function is **invariant** to the shift; if the result is shifted with it, **equivariant**. In the
# formula above, a shift by $P$ pixels turns $jP+v$ into $(j-1)P+v$, and so $y[i,j]$ into $y[i,j-1]$: a convolution is equivariant, borders aside:
# at stride 1 ($x[i+u,\,j+v,\,n]$ in the formula) to a shift by any number of pixels, at stride $P$ to whole patches only. Below, a digit is shifted
# to the right (what leaves on the right comes in on the left), and embedded with the trained $\mathbf{E}$:

# %%
embedding = {name: array.astype(np.float64) for name, array in p["patch"].items()}
image = digit[None].astype(np.float64)


def embedded(image):
    """The tokens of one image, on their grid: [4, 4, 32]."""
    return patch_embedding(image, embedding, patch=2)[0].reshape(4, 4, 32)


still = embedded(image)
print(f"{'shift':8}{'unchanged':>12}{'moved along':>14}{'mean unchanged':>17}")
followed = {}
for pixels in (0, 1, 2):
    moved = embedded(np.roll(image, pixels, axis=2))
    along = [np.allclose(moved, np.roll(still, patches, axis=1), atol=1e-12) for patches in range(4)]
    mean_stays = np.allclose(moved.mean((0, 1)), still.mean((0, 1)), atol=1e-12)
    followed[pixels] = np.allclose(moved, still, atol=1e-12), any(along), mean_stays
    print(
        f"{pixels} px".ljust(8)
        + "".join(f"{answer!s:>{n}}" for answer, n in zip(followed[pixels], (12, 14, 17), strict=True))
    )

# %% [markdown]
# A shift by a whole patch only permutes the tokens; a shift by one pixel makes new ones. Invariance comes where places are thrown away, for instance
# by a mean over all of them.
#
# What a model has of images before it has seen one is called its **inductive bias**. A network of convolutions has it in every layer: neighbours
# belong together, and a pattern is the same everywhere. A ViT has a little, at its entrance: the pixels of a patch belong together, and all patches
# share $\mathbf{E}$. What follows treats the tokens as a set, and [learns where they are](05_positions.ipynb) (the paper's section 3.1, *Inductive
# bias*). Convolutions that overlap, and the **hybrid** that starts with them: [17](17_convolution_first.ipynb).
#
# ## The way back
#
# `patchify` sends every pixel to exactly one place, so its gradient goes back to where the pixel came from: the backward pass is `unpatchify`. The
# patch embedding is patchify and a linear layer, so its backward pass is both in reverse:

# %%
from tinyvit.ops.patches import patchify_backward

print(exercises.source(patchify_backward), exercises.source(patch_embedding_backward), sep="\n\n\n")

# %%
report = tinyvit.gradcheck(patch_embedding, patch_embedding_backward, x, e, patch=P)
print(report)

# %% [markdown]
# And the strips from above, on the way back only? The gradient has the right shape and the right numbers, at the wrong pixels:


# %%
def strips_backward(dy, c):
    return dy.reshape(c["x"].shape)


broken = tinyvit.gradcheck(patchify, strips_backward, x, patch=P)
print(broken)

# %% [markdown]
# ## Why patches?
#
# Why not one token for each pixel? Because in attention, which comes two notebooks on, every token is compared with every token: $T$ tokens
# make $T^2$ scores. As float32, four bytes each, the scores of one image take, in one attention head of one block and in all of them,

# %%
heads_in_all = base.depth * base.heads  # 12 blocks with 12 heads each
pixels, N = base.image**2, base.grid**2
for what, T in {"pixels": pixels, "patches": N}.items():
    one = 4 * T**2  # bytes
    every = one * heads_in_all
    print(f"{T:6,} {what:8} {T**2:13,} scores {one / 1e6:9,.2f} MB, in {heads_in_all} heads {every / 1e9:9,.3f} GB")
print(f"(the class token is left out: it adds {(N + 1) ** 2 / N**2 - 1:.1%} to the second line)")
print(f"that is {pixels**2 // N**2:,} times as many: {pixels // N} pixels to a patch, squared")

# %% [markdown]
# And the time? One head of width 64, with random input (only its size counts here). From 196 to 784 tokens, four times as many: how many times as
# long does it take?

# %%
import time

from tinyvit.ops.attention import attention
from tinyvit.viz.picture import BLUE, plain

counts = np.array([14, 20, 28, 34, 40]) ** 2
seconds, memory = [], []
for T in counts:
    q, k, v = rng.standard_normal((3, T, 64), dtype=np.float32)
    runs = []
    for _ in range(7):
        begun = time.process_time()
        _, c = attention(q / 8, k, v)  # 8 is the square root of the width
        runs.append(time.process_time() - begun)
    seconds.append(min(runs))  # the least disturbed of the seven
    memory.append(c["a"].nbytes)  # as many as there are scores

exponent, _ = np.polyfit(np.log(counts), np.log(seconds), 1)
memory_exponent, _ = np.polyfit(np.log(counts), np.log(memory), 1)
print(f"from {counts[0]} to {counts[2]} tokens: {seconds[2] / seconds[0]:.0f} times as long")
print(f"grow as the number of tokens to a power: time {exponent:.2f}, memory of the scores {memory_exponent:.2f}")

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
# Both follow the square, the memory exactly, the time nearly. (A larger image makes more patches:
# [13](13_real_weights.ipynb), "Another image size".)
#
# ## The class token
#
# There are 196 tokens now, and one answer to give about the whole image. From which token should it be read? From none of them: one more is put
# before all others, a learned vector that is the same for every image. That completes the first half of equation (1):
#
# $$ \mathbf{z} = [\mathbf{x}_{\mathrm{class}}; \mathbf{x}_p^1\mathbf{E}; \ldots; \mathbf{x}_p^N\mathbf{E}] $$
#
# In the code: `z, _ = class_token(tokens, p["cls"])`, and $\mathbf{x}_{\mathrm{class}}$ is `p["cls"]`. (The second half is
# [positions](05_positions.ipynb).) Each block lets it gather from the patches what it needs, and at the end the answer is read from it alone, as from
# the `[CLS]` token of BERT ([Devlin et al. 2019](https://arxiv.org/abs/1810.04805)), which it is modelled on. That it stands first is a convention.
#
# We can watch it gather. At the entrance of each of the three blocks of the model trained above, and before the last linear layer, how far are the
# class tokens of 64 images from their mean? At each of these places a [LayerNorm](06_layer_norm_and_gelu.ipynb) brings every token to the length
# $\sqrt{32}$, so that the four can be compared. (`xhat` are these tokens, in its cache.)

# %%
_, c = tinyvit.vit(digits[:64], p, config)
entrances = [block["ln1"]["xhat"][:, 0] for block in c["blocks"]]  # class rows, brought to one length
entrances.append(c["readout"]["ln"]["xhat"].reshape(64, -1))
# The mean of |z - m|^2, with m the mean of z, is the mean of |z|^2, here 32, less |m|^2: so |z - m| is on average
# at most the square root of 32.
spreads = [float(np.linalg.norm(z - z.mean(axis=0), axis=-1).mean()) for z in entrances]
for place, spread in zip(["block 1", "block 2", "block 3", "last layer"], spreads, strict=True):
    print(f"entering {place:11} mean distance from the mean: {spread:.2f} of at most {np.sqrt(config.dim):.2f}")

# %% [markdown]
# All that the class token knows of an image at the end, it has taken from the patches.
#
# One vector serves every image of the batch, and stands in row 0 of each: $y_{b0} = x_{\mathrm{class}}$ for every image $b$. What is its gradient?


# %%
from tinyvit.layers.embedding import class_token_backward


def my_class_token_backward(dy, p, c):
    """dy [B, 1+N, D], the class token p [1, D] and the cache {} -> dx [B, N, D] and dp [1, D]."""


exercises.check("class_token_backward", my_class_token_backward)

# %% [markdown]
# All images have a say: $dx_{\mathrm{class}} = \sum_{b=1}^B dy_{b0}$. (In the code, `p` is the token, and `xp` is NumPy, or CuPy on a GPU.)

# %%
print(exercises.source(class_token), exercises.source(class_token_backward), sep="\n\n\n")


# %% [markdown]
# Now three backward passes are checked: the package's, one that forgets to add up, and one that takes the mean. Beside each verdict: the gradient
# divided by the right one, the least, median and greatest of all entries. (The check takes a dictionary for parameters, so the class token goes into
# one.)


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
dy = rng.standard_normal((3, 5, 5))
right = summed(dy, token, {})[1]["cls"]
for f in (summed, first_image_only, averaged):
    ratios = (f(dy, token, {})[1]["cls"] / right).ravel()
    says = "agrees" if verdicts[f.__name__].ok else "WRONG"
    print(
        f"{f.__name__:17} {says:7} least {ratios.min():6.3f}  median {np.median(ratios):6.3f}  greatest {ratios.max():6.3f}"
    )

# %% [markdown]
# The mean is off by the factor $1/B$ everywhere, here a third. With the first image alone the ratio is another in every entry: no factor mends it.
#
# ## What we know now
#
# An image is cut into patches, which is nothing but a new order; each is projected, which is a convolution that never overlaps; and a class token
# is put before them to gather the answer. All gradients are derived on [their own page](../docs/derivations/patch_embedding.md).

# %%
assert np.array_equal(back, images) and np.array_equal(glued, digits)
assert list(shapes["B/16"].values()) == [(224, 224, 3), (196, 768), (196, 768), (197, 768)]
assert list(shapes["S/16"].values()) == [(224, 224, 3), (196, 768), (196, 384), (197, 384)]
assert max(differences.values()) < 1e-12 and slopes.ok and grid.shape == (1, 14, 14, 768)
assert followed == {0: (True, True, True), 1: (False, False, False), 2: (False, True, True)}
assert report.ok and not broken.ok
assert round(memory_exponent, 6) == 2 and 1 < exponent < 3
assert spreads[0] < 1e-4 < 1 < spreads[-1]
assert [verdict.ok for verdict in verdicts.values()] == [True, False, False]

# %% [markdown]
# Next: [a layer and its gradient](02_a_layer_and_its_gradient.ipynb).
