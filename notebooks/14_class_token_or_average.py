# %% [markdown]
# # Class token or average: how many tokens make one answer
#
# **The question.** After the last block there is a vector for every token, and one answer is wanted for the whole image. From which vector? The
# Vision Transformer adds a token of its own, the **class token**, and reads that. Convolutional networks take the **mean** of all places. Does it
# matter? And what has the learning rate to do with it?
#
# Two models are trained on handwritten digits for five epochs. They differ in one setting, `pool`: one has a class token, the other has none and
# averages its 16 patches. Three test images: beside each, where the class token of the one looks in the last layer; and for the other, what each
# patch would answer if it were asked alone, grey where it agrees with the mean of all. (The third image is the one on which the patches agree
# least.)

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
POOLS = ("class", "mean")  # `pool` has three more values, for what published models do (pool.py)
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
# The right panels are no illustration, they are the model. The mean of many vectors, times a matrix, is the mean of their products: so every patch
# has a vote, its own logits, and the model's logits are the mean of all votes. It need not be what the majority says: some are surer than others.

# %%
votes_error = abs(patches_say.mean(axis=1) - logits["mean"]).max()
by_one, by_all = (alone == labels[:, None]).mean(), (says["mean"] == labels).mean()
print(f"the mean of the patches' logits, and the logits of the model: {votes_error:.0e} apart")
print(f"right answers: of a patch alone {by_one:.1%}, of the mean of all {by_all:.1%}")
print(f"patches that say what the mean says: {agree.mean():.1%}")

# %% [markdown]
# One might expect that a patch of 2 x 2 pixels knows little of the digit. But in three blocks each has gathered from all others, as the class token
# has, and most give the answer alone. A model with a mean is a model with sixteen class tokens that vote, each of which is a patch as well.
#
# ## The two readouts
#
# In symbols. $z_L^n$ is row $n$ of the last block's output, $N$ the number of patches, LN the last LayerNorm:
#
# $$ y_{\mathrm{class}} = \mathrm{LN}\left( z_L^0 \right), \qquad y_{\mathrm{mean}} = \frac{1}{N} \sum_{n=1}^{N} \mathrm{LN}\left( z_L^n \right) $$
#
# The first is equation 4 of the paper (Dosovitskiy et al. 2021), the second is in its appendix D.3. With the mean there is no class token, and the
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
# It is often explained as a start-of-sentence symbol, since it stands at the beginning. A start symbol tells a decoder to begin to write; here
# nothing is written. The class token **aggregates**: it begins as the same vector for every image, and in each block attention lets it gather from
# the patches what the answer will need. That it stands first is a convention. To see it, we move it, with its row of the position table, to the end
# of the sequence, and read the last row. In float64:

# %%
p = trees.map(lambda leaf: leaf.astype(np.float64), trained["class"])
x = images[:60].astype(np.float64)
z, _ = patch_embedding(x, p["patch"], patch=digits.patch)
z, _ = class_token(z, p["cls"])
z, _ = learned_position(z, p["pos"])
z = np.roll(z, -1, axis=1)  # the patches, and then the class token
for block in p["blocks"]:
    z, _ = encoder_block(z, block, heads=digits.heads)
y, _ = layer_norm(z[:, -1], p["ln"])
moved, _ = linear(y, p["head"])
moved_error = abs(moved - tinyvit.vit(x, p, digits)[0]).max()
print(f"the class token last instead of first: logits {moved_error:.0e} apart")

# %% [markdown]
# One only has to know which row to read. ([Positions](05_positions.ipynb) derives why: attention does not see the order of its rows.)
#
# ## The way back
#
# $dz$ is the gradient of the loss by $z$, and has its shape. Reading row 0 sends all of the gradient there, and nothing to the others. In
# the mean, each of the $N$ rows has a share of $1/N$. With $t_n = \mathrm{LN}(z^n)$ for the normalised rows:
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
# And below the last block? Two fresh models, 64 images, and for each image a random gradient of norm 1 by what is read, $y$. How long is the gradient
# that arrives at each token, after the last block ($z_3$), and going down, before each of the three blocks? The mean over the images; the first token
# of the upper row is the class token.


# %%
def downwards(pool):
    """For each depth, z_3 first: the mean norm of each token's gradient, [T]; and how long y is, on average."""
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
    return norms, np.linalg.norm(c["head"]["x"], axis=1).mean()


arriving, length = {}, {}
for pool in POOLS:
    arriving[pool], length[pool] = downwards(pool)

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
    print(f"{pool:6} share of the first token in the squares:", "  ".join(words))
spread = arriving["mean"][0]
print(
    f"mean, z_3: longest over shortest {spread.max() / spread.min():.2f}; class over mean {arriving['class'][0][0] / spread.mean():.0f}"
)
print(f"length of y: class {length['class']:.2f}, which is the root of {digits.dim}; mean {length['mean']:.2f}")

# %% [markdown]
# With the class token, a patch hears of the loss only through attention: at $z_3$ nothing, and one block further down what the class token has taken
# from it. Even at $z_0$, most of the squares are still at the class token: they go into it and its row of the positions, which all images share.
# With the mean, every patch hears of the loss directly and from the start, in shares that differ little; each is about $N = 16$ times smaller than
# the class token's.
#
# What does that mean for the learning rate? Less than it seems, and one can be misled in either direction. Plain gradient descent would make smaller
# steps for smaller gradients. But the parameters are shared by all tokens, so their gradients are sums over rows: sixteen small ones or one large
# one. And AdamW, which trains these models, divides each gradient by its usual size ([training](09_training.ipynb)): a constant factor changes
# nothing at all. What remains are differences in kind. Which rows a step listens to is one. Another is the length of what is read: a LayerNorm of
# fresh parameters gives a token the length $\sqrt{D}$, and a mean of vectors that do not all point the same way is shorter, so a step of the head of
# the same size moves the logits less. That would ask for a *larger* rate for the mean. The paper found that it needs a *smaller* one. Sizes at the
# start do not settle this. One has to train, at several learning rates.
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
# (AdamW, again, would all but have hidden it.) Second, exchange the order: the LayerNorm of the mean, instead of the mean of the LayerNorms. Other
# programs do it so, and for a single token it would be the same. Suppose that somebody means the paper's readout, and writes this, with its backward
# pass:


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
# The check passes. It compares a backward pass with its own forward pass, and these two belong together: this *is* the gradient of that function.
# It does not know which function was meant. For that one needs a second opinion on the values, as plain as possible, a **twin** made of loops:


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
# write, "is fully explained by the requirement for a different learning-rate" (appendix D.3). This sentence is sometimes quoted as if it were about
# position embeddings. It is about this. Their figure 9 shows three curves, of 5-shot accuracy on ImageNet: the class token at the learning rate
# $8 \cdot 10^{-4}$; the mean at $8 \cdot 10^{-4}$, clearly worse; and the mean at $3 \cdot 10^{-4}$, as good as the class token.
#
# So a comparison at one learning rate says little; it has to be made at many. Here: both, at four learning rates, with four seeds each, thirty-two
# runs of five epochs. The bars are 95 % intervals of the mean by Student's t. For four runs they are wide (3.2 standard errors to either side), and
# they do not know that accuracy ends at 100.

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

# %%
ours = [("class", best["class"]), ("mean", best["class"]), ("mean", best["mean"])]
print(f"{'':10} {'class token':24} {'mean, at the same rate':24} mean, at its own")
print(f"{'the paper':10} {'8e-4':24} {'8e-4: clearly worse':24} 3e-4: as good")
here = [f"{rate:g}: {estimate(tested[pool, rate]).text(digits=1)} %" for pool, rate in ours]
print(f"{'here':10} {here[0]:24} {here[1]:24} {here[2]}")

# %% [markdown]
# Both results can be true. Five epochs of a small model on 1,437 digits are not the paper's training; the rates that suit either readout depend on
# size, data and length. What carries over is the lesson: two designs that are compared at one learning rate, tuned for one of them, are not compared.
# The same sweep with more learning rates, more seeds, and on MNIST, is one command, `tinyvit lab pooling`; what it found is in
# [the paper lab](../docs/lab.md).
#
# ## What either costs
#
# The mean has one token less. But it reads every row of the last block, so all of that block must be computed. The class token needs one row: the
# last block has to compute keys and values for all tokens, and the rest for one only. `all_rows=False` does that, and gives the same logits ([the Vision
# Transformer](07_the_vision_transformer.ipynb) shows why). In the cache one can see which rows were made:

# %%
for pool, config in configs.items():
    y, c = tinyvit.vit(images[:60], trained[pool], config, all_rows=False)
    last = c["blocks"][-1]
    same = np.allclose(y, logits[pool][:60], atol=1e-4)
    maps, hidden = last["msa"]["att"]["a"].shape, last["mlp"]["fc2"]["x"].shape
    print(f"{pool:6} the last block's attention maps {list(maps)}, its MLP {list(hidden)}, the same logits: {same}")

# %% [markdown]
# Each row that is left out saves its query, its scores, its weighted sum and its output projection, and both layers of the MLP: $2D^2 + 2TD + 2DM$
# multiply-adds, with $M$ for the MLP's hidden width. For one image, forward:

# %%
print("model       class, in full   class row only             mean")
work = {}
for name in ("digits", "mnist", "B/16"):
    size = tinyvit.PRESETS[name]
    T, D, M = size.tokens, size.dim, size.mlp_dim
    full, mean = (tinyvit.shapes(dataclasses.replace(size, pool=pool)).totals[1] for pool in ("class", "mean"))
    work[name] = full, full - (T - 1) * (2 * D * D + 2 * T * D + 2 * D * M), mean
    print(f"{name:8}", *(f"{number:>16,}" for number in work[name]))

# %% [markdown]
# Where only its row is computed, the class token is the cheaper of the two, though it is one token more: the fewer the blocks, the more so.
#
# ## Exercises
#
# Write the bodies. `exercises.check` says whether the answer is right, and if it is not, what kind of mistake it looks like.
# `exercises.hint("mean_row")` gives a first hint; `print(exercises.solution("mean_row"))` shows how the package does it. In the readouts, call the
# package's `layer_norm` and its backward pass; `class_row` and `class_row_backward` were exercises of
# [the Vision Transformer](07_the_vision_transformer.ipynb), and are to be imported from `tinyvit.ops.class_row`.


# %%
def my_mean_row(x):
    """x [B, N, D] -> y [B, D], the mean of the N rows of each image, and the cache {"x": x}."""


exercises.check("mean_row", my_mean_row)


# %%
def my_mean_row_backward(dy, c):
    """dy [B, D] and the cache {"x": [B, N, D]} -> dx [B, N, D]."""


exercises.check("mean_row_backward", my_mean_row_backward)


# %%
def my_class_readout(z, p, *, eps=1e-6):
    """z [B, T, D], p {"gamma": [D], "beta": [D]} -> y [B, D], LayerNorm of row 0.

    The cache is {"class_row", "ln"}, those of the two steps.
    """


exercises.check("class_readout", my_class_readout)


# %%
def my_class_readout_backward(dy, p, c):
    """dy [B, D], p and the cache of the forward pass -> dz [B, T, D] and g {"gamma", "beta"}."""


exercises.check("class_readout_backward", my_class_readout_backward)


# %%
def my_mean_readout(z, p, *, eps=1e-6):
    """z [B, N, D], p {"gamma": [D], "beta": [D]} -> y [B, D], the mean of the normalised rows.

    The cache is {"z": z, "ln", "mean_row"}: the input, and the caches of the two steps.
    """


exercises.check("mean_readout", my_mean_readout)


# %%
def my_mean_readout_backward(dy, p, c):
    """dy [B, D], p and the cache of the forward pass -> dz [B, N, D] and g {"gamma", "beta"}."""


exercises.check("mean_readout_backward", my_mean_readout_backward)

# %% [markdown]
# ## What we know now
#
# A class token is a place in which an answer is gathered, a mean is a vote of tokens that have all gathered. One sends all of the gradient into a
# single row, the other a share of $1/N$ into each. Which is better is a question that has no answer before the learning rate of either has been
# tuned.

# %%
assert votes_error < 1e-4 and moved_error < 1e-10 and 0.5 < by_one < by_all
assert class_report.ok and mean_report.ok and fooled.ok and not broken.ok and np.isclose(factor, len(z[0]), rtol=1e-6)
assert right < 1e-12 and single < 1e-12 and wrong > 0.1
assert (arriving["class"][0][1:] == 0).all() and arriving["class"][0][0] > 0
assert all(norm_of[0] ** 2 > 0.5 * (norm_of**2).sum() for norm_of in arriving["class"])
assert spread.max() < 2 * spread.min() and 10 < arriving["class"][0][0] / spread.mean() < 25
assert np.isclose(length["class"], np.sqrt(digits.dim), atol=1e-3) and length["mean"] < length["class"]
assert all(np.mean(tested[pool, best[pool]]) > 0.8 for pool in POOLS)
assert all(row_only < mean < full for full, row_only, mean in work.values())

# %% [markdown]
# Next: [who looks at whom](15_who_looks_at_whom.ipynb), when all pairs of tokens are too many.
