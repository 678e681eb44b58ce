# %% [markdown]
# # Class token or average: how many tokens make one answer
#
# **The question.** After the last block there is a vector for every token, and one answer is wanted for the whole image. From which vector? The
# Vision Transformer adds a token of its own, the **class token**, and reads that. ResNets, made of convolutions ([He et al.
# 2016](https://arxiv.org/abs/1512.03385)), take the **mean** of all places. Does it matter? And what has the learning rate to do with it?

# %%
from tinyvit.viz import overview

overview("class token", "readout")

# %% [markdown]
# Two models are trained on handwritten digits for five epochs. They differ in one setting, `pool`: one has a class token, the other averages its 16
# patches. Three test images, and two panels beside each. The first shows where the one model's class token looks in the last block. The second shows
# what each patch of the other model would answer alone, grey where it agrees with the mean of all. The titles say what each model answers. (On the
# third image the patches agree least.)

# %%
import dataclasses
import functools

import numpy as np

import tinyvit
from tinyvit import exercises, trees
from tinyvit.exercises.source import edited
from tinyvit.lab.figures import line
from tinyvit.lab.statistics import difference, estimate
from tinyvit.layers.embedding import class_token, patch_embedding
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward
from tinyvit.layers.linear import linear
from tinyvit.layers.pool import (
    class_readout,
    class_readout_backward,
    mean_readout,
    mean_readout_backward,
    readout_backward,
)
from tinyvit.layers.position import learned_position
from tinyvit.ops.mean_row import mean_row, mean_row_backward
from tinyvit.viz.look import class_attention
from tinyvit.viz.picture import BLUE, ORANGE, bare, new_figure, plain, shine, show

rng = np.random.default_rng(0)
data = tinyvit.load_data("digits")
images, labels = data[1]
digits = tinyvit.PRESETS["digits"]
POOLS = ("class", "mean")
configs = {pool: dataclasses.replace(digits, pool=pool) for pool in POOLS}


@functools.cache
def train(pool, rate, seed):
    """Five epochs on the digits: parameters, accuracy on held-out training images, accuracy on the test images."""
    recipe = tinyvit.Recipe(epochs=5, learning_rate=rate)
    p, history = tinyvit.fit(configs[pool], data, recipe=recipe, seed=seed, progress=False)
    held_out = [record["validation_accuracy"] for record in history if record["kind"] == "epoch"]
    return p, held_out[-1], history[-1]["test_accuracy"]


trained = {pool: train(pool, 8e-3, seed=0)[0] for pool in POOLS}
logits, caches = {}, {}
for pool, p in trained.items():
    logits[pool], caches[pool] = tinyvit.vit(images, p, configs[pool])

looks = class_attention(caches["class"])  # [B, N]
says = {pool: y.argmax(axis=1) for pool, y in logits.items()}
patches_say, _ = linear(caches["mean"]["readout"]["mean_row"]["x"], trained["mean"]["head"])  # [B, N, K]: of each patch
alone = patches_say.argmax(axis=-1)  # [B, N]
agree = (alone == says["mean"][:, None]).mean(axis=1)

grid, figure = digits.grid, new_figure(7.5, 1.35)
for number, panels in zip((0, 1, agree.argmin()), figure.subplots(1, 9).reshape(3, 3), strict=True):
    show(panels[0], images[number])
    shine(panels[1], looks[number], images[number], most=looks[number].max())
    panels[2].imshow((alone[number] == says["mean"][number]).reshape(grid, grid), cmap="Greys", vmin=0, vmax=4)
    for (row, column), answer in np.ndenumerate(alone[number].reshape(grid, grid)):
        panels[2].text(column, row, answer, ha="center", va="center", fontsize=8)
    bare(panels[2])
    titles = f"a {labels[number]}", f"token: {says['class'][number]}", f"mean: {says['mean'][number]}"
    for axes, title in zip(panels, titles, strict=True):
        axes.set_title(title, fontsize=8)
figure

# %% [markdown]
# What a patch answers alone is part of the model's answer: the mean of many vectors, times a matrix, is the mean of their products. So every patch
# has a vote, its own logits, and the model's logits are the mean of all votes. A patch has 2 x 2 pixels. How often is it right alone?

# %%
votes_error = abs(patches_say.mean(axis=1) - logits["mean"]).max()
by_one, by_all = (alone == labels[:, None]).mean(), (says["mean"] == labels).mean()
print(f"the mean of the patches' logits, and the logits of the model: {votes_error:.0e} apart")
print(f"right answers: of a patch alone {by_one:.1%}, of the mean of all {by_all:.1%}")
print(f"patches that say what the mean says: {agree.mean():.1%}")

# %% [markdown]
# Nearly as often as all together: in three blocks each has gathered from all others, as the class token has.
#
# ## The two readouts
#
# $\mathbf{z}_L^n$ is row $n$ of the last block's output, $N$ the number of patches, LN the last LayerNorm:
#
# $$ \mathbf{y}_{\mathrm{class}} = \mathrm{LN}\left( \mathbf{z}_L^0 \right) \quad (4), \qquad \mathbf{y}_{\mathrm{mean}} = \frac{1}{N} \sum_{n=1}^{N} \mathrm{LN}\left( \mathbf{z}_L^n \right) $$
#
# The first is equation (4) of the paper (Dosovitskiy et al. 2021), the second the mean in its authors' code (appendix D.3). With the mean the
# sequence is one shorter, $T = N$ instead of $N + 1$. Both are in [pool.py](../tinyvit/layers/pool.py):

# %%
print(exercises.source(class_readout))
print(exercises.source(mean_readout))
print(exercises.source(mean_row))

# %%
rows = {
    "class": caches["class"]["readout"]["class_row"]["z"],
    "mean": caches["mean"]["readout"]["z"],
}  # what the last block hands over
for pool, config in configs.items():
    y, pos = caches[pool]["head"]["x"], trained[pool]["pos"]
    print(f"{pool:6} T = {config.tokens}: {list(rows[pool].shape)} -> y {list(y.shape)}; positions {list(pos.shape)}")

# %% [markdown]
# ## What the class token is not
#
# Must the class token stand first? We move it, with its row of the position table, to the end of the sequence, and read the last row, in float64:

# %%
p64 = trees.map(lambda leaf: leaf.astype(np.float64), trained["class"])
images64 = images[:60].astype(np.float64)
table, _ = patch_embedding(images64, p64["patch"], patch=digits.patch)
table, _ = class_token(table, p64["cls"])
table, _ = learned_position(table, p64["pos"])
table = np.roll(table, -1, axis=1)  # the patches, and then the class token
for block in p64["blocks"]:
    table, _ = encoder_block(table, block, heads=digits.heads)
y, _ = layer_norm(table[:, -1], p64["ln"])
moved, _ = linear(y, p64["head"])
moved_error = abs(moved - tinyvit.vit(images64, p64, digits)[0]).max()
print(f"the class token last instead of first: logits {moved_error:.0e} apart")

# %% [markdown]
# Nothing changes, but for rounding: attention does not see the order of its rows ([positions](05_positions.ipynb)).
#
# ## The way back
#
# Reading row 0 sends all of the gradient there, and nothing to the others. What does the mean send, and to whom?
#
# **Exercises** ([how they are marked](00_start_here.ipynb)): the mean's way back, and that of the readout, with `layer_norm_backward`.


# %%
def my_mean_row_backward(dy, c):
    """dy [B, D] and the cache {"x": [B, N, D]} -> dx [B, N, D]."""


exercises.check("mean_row_backward", my_mean_row_backward)


# %%
def my_mean_readout_backward(dy, p, c):
    """dy [B, D], p {"gamma": [D], "beta": [D]} and the cache {"z", "ln", "mean_row"} -> dz [B, N, D] and g {"gamma", "beta"}."""


exercises.check("mean_readout_backward", my_mean_readout_backward)

# %% [markdown]
# With $t_n = \mathrm{LN}(z^n)$ for the normalised rows:
#
# $$ y = \frac{1}{N} \sum_{n=1}^{N} t_n \;\; \Rightarrow \;\; dt_n = \frac{1}{N}\, dy \quad \text{for every } n $$
#
# and LayerNorm's backward pass takes each row from $dt_n$ to $dz_n$.

# %%
print(exercises.source(mean_row_backward))
print(exercises.source(class_readout_backward))
print(exercises.source(mean_readout_backward))

# %%
B, T, D = 2, 3, 5
z = rng.standard_normal((B, T, D))
norm = {"gamma": rng.standard_normal(D), "beta": rng.standard_normal(D)}
class_report = tinyvit.gradcheck(class_readout, class_readout_backward, z, norm)
mean_report = tinyvit.gradcheck(mean_readout, mean_readout_backward, z, norm)
print(class_report, mean_report, sep="\n\n")

# %% [markdown]
# ## Where the gradient goes
#
# And below the last block? Two fresh models, 64 images, for each image a random gradient $dy$ of norm 1. What is the norm of the gradient that
# arrives at each token, after the last block ($z_3$) and before each of the three blocks ($z_2$, $z_1$, $z_0$)? (Mean over the images; the class token is
# orange.)


# %%
def downwards(pool):
    """For each depth, z_3 first: the mean norm of each token's gradient, [T]. And means of y's length and of 1 / std."""
    config = configs[pool]
    p = tinyvit.vit_init(np.random.default_rng(0), config)
    _, c = tinyvit.vit(images[:64], p, config)
    dy = np.random.default_rng(1).standard_normal((64, config.dim))
    dy /= np.linalg.norm(dy, axis=1, keepdims=True)
    dz, _ = readout_backward(dy, p["ln"], c["readout"], pool=pool)
    norms = [np.linalg.norm(dz, axis=-1).mean(axis=0)]
    for block, cache in zip(reversed(p["blocks"]), reversed(c["blocks"]), strict=True):
        dz, _ = encoder_block_backward(dz, block, cache)
        norms.append(np.linalg.norm(dz, axis=-1).mean(axis=0))
    return norms, np.linalg.norm(c["head"]["x"], axis=1).mean(), c["readout"]["ln"]["rstd"].mean()


arriving, length, rstd = {}, {}, {}
for pool in POOLS:
    arriving[pool], length[pool], rstd[pool] = downwards(pool)

figure = new_figure(7.5, 3)
for panels, (pool, norms) in zip(figure.subplots(2, 4, sharey=True), arriving.items(), strict=True):
    first = 1 - configs[pool].class_token  # the class token is number 0
    for depth, axes, norm_of in zip((3, 2, 1, 0), panels, norms, strict=True):
        axes.bar(np.arange(first, 17), norm_of, color=[ORANGE if n == 0 else BLUE for n in range(first, 17)])
        axes.set_title(f"{pool}, $z_{depth}$", fontsize=9)
        axes.set(xlim=(-1, 17), xticks=(0, 8, 16))
        plain(axes)
figure.supxlabel("token", fontsize=9)
figure.supylabel("norm of the gradient", fontsize=9)
figure

# %%
for pool, norms in arriving.items():
    words = [f"z_{3 - i} {norm_of[0] ** 2 / (norm_of**2).sum():4.0%}" for i, norm_of in enumerate(norms)]
    print(f"{pool:6} share of the first token in the squared norms:", "  ".join(words))
spread = arriving["mean"][0]
class_over_mean = arriving["class"][0][0] / spread.mean()
print(f"mean, z_3: largest over smallest norm {spread.max() / spread.min():.2f}; class over mean {class_over_mean:.1f}")
print(f"1 / std of the rows that are read: class {rstd['class']:.2f}, mean {rstd['mean']:.2f}")
print(f"length of y: class {length['class']:.2f}, which is the root of {digits.dim}; mean {length['mean']:.2f}")

# %% [markdown]
# With the class token, a patch gets gradient only through attention: at $z_3$ none, and one block further down for what the class token has taken from
# it. Even at $z_0$, most of the squared norm is still at the class token: it goes into that token and its row of the positions, which all images share.
# With the mean, every patch gets gradient directly, in shares that differ little. At $z_3$ the class token's is more than $N = 16$ times a
# patch's: besides $1/N$, LayerNorm multiplies a row's gradient by its $1/\mathrm{std}$, which is larger for the class token.
#
# A smaller gradient need not mean a smaller step: parameters are shared by all tokens, and AdamW divides by the gradient's usual size
# ([training](09_training.ipynb)). A mean of vectors is shorter than one of them, so the same step of the head moves the logits less. One has to
# train, at several rates.
#
# ## Break it
#
# First, forget the $1/N$ on the way back. `edited` takes the package's function and changes one expression:

# %%
forgetful = edited(mean_row_backward, ("dy * (1 / x.shape[1])", "dy"))
broken = tinyvit.gradcheck(mean_row, forgetful, z)
print(broken)
factor = broken.rows[0].analytic / broken.rows[0].numeric
print(f"analytic / numeric = {factor:.3f}; there are {T} rows")

# %% [markdown]
# Second, exchange the order: the LayerNorm of the mean, instead of the mean of the LayerNorms. Somebody who means the readout above writes this, with
# its backward pass. Will the check find it?


# %%
def norm_of_mean(z, p):
    y, c_mean = mean_row(z)
    y, c_norm = layer_norm(y, p)
    return y, {"mean": c_mean, "norm": c_norm}


def norm_of_mean_backward(dy, p, c):
    dy, g = layer_norm_backward(dy, p, c["norm"])
    return mean_row_backward(dy, c["mean"]), g


fooled = tinyvit.gradcheck(norm_of_mean, norm_of_mean_backward, z, norm)
print(str(fooled).splitlines()[-1])

# %% [markdown]
# The check passes: this *is* the gradient of that function. Only its values show that another was meant. So compare them with a **twin**, the formula
# again, in plain loops:


# %%
def twin(z, p, eps=1e-6):
    """The formula, row by row: normalise each, and add a share of 1/N of it."""
    y = np.zeros((len(z), z.shape[-1]))
    for b, image in enumerate(z):
        for row in image:
            deviation = row - sum(row) / len(row)
            variance = sum(deviation**2) / len(row)
            y[b] += (p["gamma"] * deviation / np.sqrt(variance + eps) + p["beta"]) / len(image)
    return y


right = abs(mean_readout(z, norm)[0] - twin(z, norm)).max()
wrong = abs(norm_of_mean(z, norm)[0] - twin(z, norm)).max()
single = abs(norm_of_mean(z[:, :1], norm)[0] - twin(z[:, :1], norm)).max()
print(f"mean of the norms, far from the twin by {right:.0e}")
print(f"norm of the mean,  far from the twin by {wrong:.2f}; for a single token by {single:.0e}")

# %% [markdown]
# ## The learning rate
#
# The authors of the paper first tried the mean, and it "performed very poorly". The reason was neither the token nor the mean: the difference, they
# write, "is fully explained by the requirement for a different learning-rate" (appendix D.3). Their figure 9 shows three curves of accuracy on
# ImageNet, of [probes](../docs/lab.md#what-are-features-worth-for-new-classes) trained on five images of each class (5-shot): the class token at the
# learning rate $8 \cdot 10^{-4}$; the mean at $8 \cdot 10^{-4}$, clearly worse; and the mean at $3 \cdot 10^{-4}$, as good as the class token.
#
# So both are trained here at four learning rates, with four seeds each, thirty-two runs of five epochs. The bars, and ±, are
# [95 % intervals](../docs/lab.md#how-to-read-the-numbers): of a hundred such, about 95 hold the true mean.

# %%
rates = [2e-3, 4e-3, 8e-3, 1.6e-2]
tested = {(pool, rate): [train(pool, rate, seed)[2] for seed in range(4)] for pool in POOLS for rate in rates}
held_out = {(pool, rate): [train(pool, rate, seed)[1] for seed in range(4)] for pool in POOLS for rate in rates}

figure = new_figure(5.5, 3)
axes = figure.subplots()
for number, (pool, name) in enumerate({"class": "class token", "mean": "mean of the patches"}.items()):
    line(axes, rates, [estimate(tested[pool, rate]) for rate in rates], name, number)
axes.set(xscale="log", xlabel="learning rate", ylabel="test accuracy in %")
axes.set_xticks(rates, [f"{rate:g}" for rate in rates])
axes.minorticks_off()
axes.legend(frameon=False)
plain(axes)
print("learning rate   class token    mean of the patches   class less mean, in points")
for rate in rates:
    words = [f"{estimate(tested[pool, rate]).text(digits=1):>11}" for pool in POOLS]
    apart = difference(tested["class", rate], tested["mean", rate])
    print(f"{rate:13g}   {words[0]}    {words[1]:>19}   {apart.text(digits=1):>26}")
figure

# %% [markdown]
# What do these numbers support? Each pool's best learning rate is chosen on held-out training images, since the test images choose nothing.

# %%
best = {pool: max(rates, key=lambda rate: sum(held_out[pool, rate])) for pool in POOLS}
at_best = difference(tested["class", best["class"]], tested["mean", best["mean"]])
shown = "" if abs(at_best.mean) > at_best.half else ", which may be chance"
print(f"The best learning rate of the class token is {best['class']:g}, of the mean {best['mean']:g}.")
print(f"There, the class token's accuracy less the mean's is {at_best.text(digits=1)} points{shown}.")
if best["mean"] < best["class"]:
    lost = difference(tested["mean", best["mean"]], tested["mean", best["class"]])
    sure = "more than chance" if lost.mean > lost.half else "which may be chance"
    print(f"At the class token's rate the mean loses {lost.text(digits=1)} points, {sure}: figure 9's direction.")
elif best["mean"] == best["class"]:
    print("Both have the same best rate: figure 9's effect does not appear at this size.")
else:
    print("The mean wants a larger rate, not a smaller one: figure 9's effect does not appear at this size.")

# %% [markdown]
# The paper's result and this one can both be true: five epochs of a small model are not the paper's training. The lesson: two designs that are
# compared at one learning rate, tuned for one of them, are not compared. The same with more learning rates and seeds, and on MNIST, is one command,
# `tinyvit lab pooling` ([the paper lab](../docs/lab.md#class-token-or-average)).
#
# ## What either costs
#
# The mean reads every row of the last block, so all of that block must be computed. For the class token, the last block has
# to compute keys and values for all tokens, and the rest for one only. `all_rows=False` does that, and gives the same logits. In the cache one can see
# which rows were made:

# %%
for pool, config in configs.items():
    y, c = tinyvit.vit(images[:60], trained[pool], config, all_rows=False)
    last = c["blocks"][-1]
    same = np.allclose(y, logits[pool][:60], atol=1e-4)
    map_shape, hidden_shape = last["msa"]["att"]["a"].shape, last["mlp"]["fc2"]["x"].shape
    print(f"{pool:6} the last block's maps {list(map_shape)}, its MLP {list(hidden_shape)}, the same logits: {same}")

# %% [markdown]
# Each row that is left out saves its query, its scores, its weighted sum and its output projection, and both layers of the MLP: $2D^2 + 2TD + 2DM$
# multiply-adds, with $M$ for the MLP's hidden width. For one image, forward ("saved" is by computing the class row only):

# %%
print("model    blocks   class, in full   class row only   saved             mean")
work = {}
for name in ("digits", "mnist", "B/16"):
    size = tinyvit.PRESETS[name]
    T, D, M = size.tokens, size.dim, size.mlp_dim
    full, mean = (tinyvit.shapes(dataclasses.replace(size, pool=pool)).totals[1] for pool in ("class", "mean"))
    work[name] = full, full - (T - 1) * (2 * D * D + 2 * T * D + 2 * D * M), mean
    print(f"{name:8} {size.depth:6} {full:>16,} {work[name][1]:>16,} {1 - work[name][1] / full:7.1%} {mean:>16,}")

# %% [markdown]
# The fewer the blocks, the more the last one matters.
#
# ## Exercise: the largest of each feature
#
# A third readout takes, for each feature, the largest number among the patches. Its forward pass is given. Which patches get gradient now? And if two are
# equal?


# %%
def max_readout(z):
    largest = z.argmax(axis=1)[:, None]  # [B, 1, D]: which patch, for each feature
    return np.take_along_axis(z, largest, axis=1)[:, 0], {"z": z, "largest": largest}


def my_max_readout_backward(dy, c):
    """dy [B, D] and the cache {"z": [B, N, D], "largest": [B, 1, D]} -> dz [B, N, D]."""


exercises.grade(max_readout, my_max_readout_backward, np.random.default_rng(1).standard_normal((2, 5, 3)))

# %% [markdown]
# ## What we know now
#
# A class token is a place in which an answer is gathered, a mean is a vote of tokens that have all gathered. One sends all of the gradient into a single
# row, the other a share of $1/N$ into each.

# %%
assert votes_error < 1e-4 and moved_error < 1e-10 and 0.5 < by_one < by_all
assert class_report.ok and mean_report.ok and fooled.ok and not broken.ok and np.isclose(factor, len(z[0]), rtol=1e-6)
assert right < 1e-12 and single < 1e-12 and wrong > 0.1
assert (arriving["class"][0][1:] == 0).all() and arriving["class"][0][0] > 0
assert all(norm_of[0] ** 2 > 0.5 * (norm_of**2).sum() for norm_of in arriving["class"])
assert spread.max() < 2 * spread.min() and 16 < class_over_mean < 25 and rstd["class"] > rstd["mean"]
assert np.isclose(length["class"], np.sqrt(digits.dim), atol=1e-3) and length["mean"] < length["class"]
assert all(np.mean(tested[pool, best[pool]]) > 0.8 for pool in POOLS)
assert all(row_only < mean < full for full, row_only, mean in work.values())

# %% [markdown]
# Next: [who looks at whom](15_who_looks_at_whom.ipynb), when all pairs of tokens are too many.
