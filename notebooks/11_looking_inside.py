# %% [markdown]
# # Looking inside a trained model
#
# **The question.** A Vision Transformer that reads digits is right about 98 times out of 100. Where does it look, and does that explain what it says?
#
# We train one, which takes a few seconds, and run it on the 360 test images. Everything that follows is read from the parameters `p` and from
# the cache `c` of this one forward pass.

# %%
import dataclasses

import numpy as np

import tinyvit
from tinyvit.layers.linear import linear
from tinyvit.ops.patches import patchify
from tinyvit.ops.softmax import softmax
from tinyvit.viz.attention import attention_distance, uniform_distance, weighted_attention
from tinyvit.viz.confusion import confusion, confusion_figure, mistakes_figure, worst_mistakes
from tinyvit.viz.distance import distance_figure
from tinyvit.viz.embedding import filters_figure, neighbours_similarity, similarity, similarity_figure
from tinyvit.viz.look import class_attention, look
from tinyvit.viz.maps import attention_figure, overlay_figure
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

data = tinyvit.load_data("digits")
config = tinyvit.PRESETS["digits"]
recipe = dataclasses.replace(tinyvit.RECIPES["digits"], epochs=30)
p, history = tinyvit.fit(config, data, recipe=recipe, progress=False)

(train_images, _), (images, labels) = data
logits, c = tinyvit.vit(images, p, config)
probabilities, _ = softmax(logits)
digits = [str(digit) for digit in range(10)]
accuracy = (probabilities.argmax(-1) == labels).mean()
print(f"accuracy on {len(images)} test images: {accuracy:.1%}")

look(images[:3], class_attention(c)[:3], config.patch, titles=[f"a {label}" for label in labels[:3]])

# %% [markdown]
# On the right: how much the class token, from which the answer is read, takes from each patch in the last block, as a mean over the heads. A pale
# copy of the image lies over the colours, to see what lies where.
#
# ## Every layer, every head
#
# A mean over heads hides what they are for. `attention_maps` takes the maps out of the cache, one array for each block. Row $t$ of a map says
# how much token $t$ takes from each token, so every row sums to 1; token 0 is the class token.

# %%
maps = tinyvit.attention_maps(c)
for number, a in enumerate(maps):
    print(
        f"block {number}: [images, heads, T, T] = {list(a.shape)}, row sums from {a.sum(-1).min():.6f} to {a.sum(-1).max():.6f}"
    )

attention_figure(images[0], [a[0] for a in maps])

# %% [markdown]
# The same image, all three layers and four heads, the class token's row. (Figures count layers and heads from 1, lists and arrays from 0.) Heads of
# one layer look at different places: this is the division of labour that [heads](04_heads.ipynb) are for. What the class token takes from itself is
# not drawn, so a panel may be dark throughout: that head takes most from there.
#
# And here with a hand on it: point at a patch, and see what that patch attends to. (Where scripts may not run, a picture stands in its place.)

# %%
tinyvit.Explorer(images[:4], p, config, titles=[f"a {label}" for label in labels[:4]])

# %% [markdown]
# ## What a map says, and what it does not
#
# It is often said that an attention map shows why a model gives its answer. It shows less: along which ways information flows in one step of
# many. Three reasons.
#
# A large weight on a patch whose value vector is small, or is ignored by the output projection, moves nothing. By the second block a token is no
# longer its patch: it has already taken from others. And the residual stream goes around attention as well. (The dispute is an old one: Jain and
# Wallace 2019, "Attention is not explanation"; Wiegreffe and Pinter 2019, "Attention is not not explanation".) At the end we test what such maps are
# worth.
#
# The first reason, measured. What token $s$ sends to the class token through head $i$ is $a_{0s}\, v_s$, a weight times a vector. If weights
# told everything, the vectors would all have one length:

# %%
for number, block in enumerate(c["blocks"]):
    length = np.linalg.norm(block["msa"]["att"]["v"], axis=-1)  # [B, h, T]
    low, high = np.percentile(length, [5, 95])
    print(f"block {number}: of all value vectors, 90% are between {low:.2f} and {high:.2f} long")

# %% [markdown]
# ## Rollout: following attention through all layers
#
# The second reason can be met. Let $A_l$ $[T, T]$ be the map of layer $l$, as a mean over its heads. If token $t$ takes the share $A_{ts}$ from
# token $s$ in one layer, and in the layer below $s$ has taken $A_{su}$ from $u$, then $t$ has $\sum_s A_{ts} A_{su}$ from $u$, by way of all
# $s$: a matrix product. Through all layers:
#
# $$ R = A_L\, A_{L-1} \cdots A_1 $$
#
# The third reason can be met roughly: a block adds what attention brings to what was there, so half of a token is said to stay where it is,
# $A_l \to (A_l + I) / 2$, with $I$ the identity. This is **rollout** (Abnar and Zuidema 2020); figure 6 of the ViT paper is made so. (Half is a
# convention. That the two parts are equally large is not measured, and the MLP is left out.)
#
# Do the rows of $R$ still sum to 1? Let $\mathbf{1}$ be the vector of ones: a row sum of $A$ is an entry of $A\mathbf{1}$. The mean of matrices
# with $A \mathbf{1} = \mathbf{1}$ has that property, $I$ has it, and so has a product:
#
# $$ \frac{A + I}{2}\, \mathbf{1} = \frac{\mathbf{1} + \mathbf{1}}{2} = \mathbf{1}, \qquad
#    (A_2 A_1)\, \mathbf{1} = A_2 (A_1 \mathbf{1}) = A_2 \mathbf{1} = \mathbf{1}. $$

# %%
with_identity, without = tinyvit.rollout(maps), tinyvit.rollout(maps, identity=False)
for name, R in {"with identity": with_identity, "without": without}.items():
    differ = R.std(axis=1).mean() / R.mean()  # how much the rows of R differ from each other
    print(f"{name:14} largest |row sum - 1| {abs(R.sum(-1) - 1).max():.0e}, rows differ by {differ:.2f}")

titles = [f"a {label}" for label in labels[:2]]
overlay_figure(images[:2], {"with identity": with_identity[:2, 0, 1:], "without": without[:2, 0, 1:]}, titles)

# %% [markdown]
# The last number (the spread of a column of $R$ over its mean) says what the identity does: without it, the product of averages makes all rows
# alike, and every token seems to come from the same places. For the class token alone, whose row is drawn, the two do not look so different.
#
# ## What speaks for the class
#
# Attention knows nothing of the answer. A gradient does. Let $y_k$ be the logit of class $k$. If a weight $a_{ts}$ were changed a little, $y_k$
# would change by $da_{ts}$ times as much, and so $a_{ts}\, da_{ts}$ is, to first order, what $y_k$ would lose if that weight were
# 0. Of each head, only the part that speaks for the class is kept, $\max(0, a\, da)$, then the mean over heads is taken (Chefer et al.
# 2021, who then go through the layers as rollout does; we simply add up the layers). The backward pass computes $da$ on its way:

# %%
true_class = np.eye(config.classes, dtype="float32")[labels]  # the gradient, by the logits, of the true class's logit
weighted = weighted_attention(true_class, p, c, config)
for_class = sum(a[:, 0, 1:] for a in weighted)  # the class token's rows, of all layers
kinds = {
    "last block": class_attention(c),
    "rollout": with_identity[:, 0, 1:],
    "for the class": for_class,
}
titles = [f"a {label}" for label in labels[:3]]
overlay_figure(images[:3], {kind: weights[:3] for kind, weights in kinds.items()}, titles)

# %% [markdown]
# Three answers to one question, and they differ. Which is right cannot be seen by looking, however plausible one of them seems. Keep that in
# mind.
#
# ## How far heads look
#
# In figure 7 the ViT paper measures how far each head looks: the distance in pixels between the asking and the answering patch, weighted by
# attention, over all patches and images. Such a number means little without the distance of a head that looks everywhere alike, the dashed line:

# %%
distances, uniform = attention_distance(maps, config.patch), uniform_distance(config.grid**2, config.patch)
print(f"uniform attention: {uniform:.2f} pixels; heads: {distances.min():.2f} to {distances.max():.2f}")
distance_figure(distances, uniform)

# %% [markdown]
# In the paper's large models some heads of the first layers look only close by, as a convolution does. Here no head does: all lie near the line,
# on images four patches wide. Near the line does not mean evenly spread: a head may look at single patches that are as often far as near, like the
# one made by hand in [heads](04_heads.ipynb).
#
# ## What the embeddings have learned
#
# The patch embedding's 32 filters have $2 \times 2$ pixels each, so they are mixtures of only four patterns. Which four, and how much of the
# filters each accounts for (medium grey is 0; the sign is of no concern):

# %%
filters_figure(p["patch"]["w"], config.channels)

# %% [markdown]
# An even pattern answers to brightness, one that is lighter on one side to an edge, a chequered one to a diagonal.
#
# Nobody told the model that an image is a square. For its 16 patches it was given 16 rows of $E_{\mathrm{pos}}$, drawn at random. Below, the small
# square at row $i$ and column $j$ shows how alike the position of patch $(i, j)$ is to all positions: the cosine of the angle between two rows, which
# is 1 for a row with itself.

# %%
alike = similarity(p["pos"])
near, far = neighbours_similarity(p["pos"])
started = tinyvit.vit_init(np.random.default_rng(0), config)["pos"]
print(f"neighbours {near:.2f}, all others {far:.2f}")
print("in a new model: neighbours {:.2f}, all others {:.2f}".format(*neighbours_similarity(started)))
similarity_figure(p["pos"])

# %% [markdown]
# In the paper's model, and in [one of MNIST](../docs/inside.md), neighbours have become more alike than others: the model has found out that
# images have two dimensions. Here no trace of it is seen: neighbours are no more alike than any two, as in a new model, and the model does very well.
# (The table starts large, and [what was drawn hides what was learned](05_positions.ipynb).)
#
# ## What a wrong answer looked at
#
# The mistakes, the surest first, each above its rollout with the identity:

# %%
wrong = worst_mistakes(labels, probabilities)
mistakes_figure(images[wrong], labels[wrong], probabilities[wrong], with_identity[wrong, 0, 1:], digits)

# %% [markdown]
# And what is taken for what. Colour is for mistakes alone; the many right answers, on the diagonal, would drown them.

# %%
counts = confusion(labels, probabilities.argmax(-1), config.classes)
confusion_figure(counts, digits)

# %% [markdown]
# ## An explanation is tested by an intervention
#
# If the patches that a measure calls important are what the answer rests on, then without them the answer should go. So: take an image, hide the
# $k$ patches that the measure ranks highest, and see how far the true class's probability falls. Over the whole test set, with the standard
# error of the mean, $s / \sqrt{n}$ ($s$ the standard deviation of the $n = 360$ drops).
#
# A drop means nothing by itself, since hiding anything does harm. It needs rivals that know less. Here are three: patches drawn at **random**;
# the **brightest** patches, that is, those with most ink; and the hardest rival, the **average rollout** of all test images, which hides the same
# patches in every image. And what does it mean to hide? A black patch may look like the background of another digit. So everything is done
# twice: once the patch becomes black, once it becomes that of the average training image.


# %%
def hidden(images, patches, fill):
    """The images with these patches [B, k] replaced by those of `fill`."""
    hide = np.zeros((len(images), config.grid**2), bool)
    np.put_along_axis(hide, patches, True, axis=1)
    hide = hide.reshape(-1, config.grid, config.grid).repeat(config.patch, axis=1).repeat(config.patch, axis=2)
    return np.where(hide[..., None], fill, images).astype("float32")


def drops(ranking, fill, k):
    """For each image, by how much the true class's probability falls when the k patches ranked highest are hidden."""
    patches = np.argsort(-ranking, axis=1, kind="stable")[:, :k]
    changed, _ = softmax(tinyvit.vit(hidden(images, patches, fill), p, config, all_rows=False)[0])
    every = np.arange(len(images))
    return probabilities[every, labels] - changed[every, labels]


def standard_error(x):
    return x.std(ddof=1) / np.sqrt(len(x))


rng = np.random.default_rng(0)
brightness = patchify(images, config.patch)[0].mean(axis=-1)  # [B, N]
rollout = kinds["rollout"]
rankings = {
    "rollout": (rollout, dict(color=BLUE, marker="o")),
    "average rollout": (
        np.tile(rollout.mean(axis=0), (len(images), 1)),
        dict(color="black", marker="^", linestyle=":"),
    ),
    "for the class": (for_class, dict(color=BLUE, marker="v", linestyle="--")),
    "last block": (kinds["last block"], dict(color=ORANGE, marker="s")),
    "brightest": (brightness, dict(color="#999999", marker="D", linestyle="--")),
    "random": (rng.random(brightness.shape), dict(color="#555555", marker="x", linestyle="-.")),
}
fills = {"hidden patches are black": -1.0, "... are the average image's": train_images.mean(axis=0)}
found = {
    (name, fill): [drops(ranking, value, k) for k in range(9)]
    for name, (ranking, _) in rankings.items()
    for fill, value in fills.items()
}

figure = new_figure(7.5, 3.4)
for axes, fill in zip(figure.subplots(1, 2, sharey=True), fills, strict=True):
    for name, (_, style) in rankings.items():
        means, errors = np.array([(x.mean(), standard_error(x)) for x in found[name, fill]]).T
        axes.errorbar(range(9), means, errors, markersize=4, capsize=2, label=name, **style)
    axes.set(xlabel="patches hidden, of 16")
    axes.set_title(fill, fontsize=10)
    plain(axes)
figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=7.5)
figure.supylabel("fall of the true class's probability", fontsize=9)
figure

# %%
for fill in fills:
    print(fill)
    for name in rankings:
        values = [f"{x.mean():.3f} +- {standard_error(x):.3f}" for x in (found[name, fill][k] for k in (1, 2, 4))]
        print(f"   {name:16} 1, 2, 4 hidden: {',  '.join(values)}")

# %% [markdown]
# What is found, whichever way one had hoped:
#
# - **Rollout finds patches that matter.** Hiding its four first patches does far more harm than hiding four at random, whatever they are hidden
#   with.
# - **The last block's map is no such guide**, though it is the one that is usually shown. It is above random patches, and from two patches on
#   far below rollout.
# - **What speaks for the class** does more harm than random patches, too, and where patches become average the most of all measures of one
#   image, for the first two. (It was told the answer. The others were not.)
# - **Brightness, which knows nothing of the model, does nearly as well as rollout where patches are made black**, and far less well where they
#   become average. So what counts as important depends on what is put in its place.
# - **The average rollout, the same patches in every image, is on the whole no worse than the image's own.** Sometimes it does less harm, sometimes
#   more.
#
# The last is a comparison of two measures on the same images, so what counts is the mean and the standard error of the differences, image by
# image:

# %%
for fill in fills:
    for k in (1, 2, 4):
        difference = found["rollout", fill][k] - found["average rollout", fill][k]
        mean, error = difference.mean(), standard_error(difference)
        print(f"{fill:28} {k} hidden: own less average {mean:+.3f} +- {error:.3f}")

# %% [markdown]
# With black patches the image's own rollout is ahead where two are hidden; with average ones it is behind. So rollout has found where, on this
# grid, digits are told apart. It has not been shown to say what was special about one image.
#
# This is a finding about one small model (the error bars are over images; another seed trains another model). The way of asking is what carries
# over: an intervention, rivals, and an error bar. A figure of attention shows where information flows; whether it says why is for such a test to
# tell.
#
# ## An exercise of another kind
#
# All of this began with reading the cache. Do it yourself: find the map of one block, head and image in `c`, and compute it once more from the
# queries and keys that lie beside it. ([The names in the cache](07_the_vision_transformer.ipynb) are listed in the notebook on the model.)


# %%
def my_map(c, block, head, image):
    """The attention map [T, T] as the cache has it."""


def my_map_again(c, block, head, image):
    """The same from q and k, which lie in the cache beside it: softmax(q k^T). The scale is in q already."""


for attempt in (my_map, my_map_again):
    answer = attempt(c, 1, 2, 3)
    if answer is None:
        print(f"{attempt.__name__}: not written yet")
    else:
        print(f"{attempt.__name__}: {'right' if np.allclose(answer, maps[1][3, 2], atol=1e-5) else 'another array'}")

# %% [markdown]
# A harder one: what does attention add to the class row in block 1, head by head? (`c["blocks"][1]["msa"]["o"]["x"]` holds all heads side by
# side, and `p["blocks"][1]["msa"]["o"]["w"]` has the rows that belong to each.) The heads' parts and the bias should sum to this:

# %%
block, cache = p["blocks"][1]["msa"]["o"], c["blocks"][1]["msa"]["o"]
to_reach = linear(cache["x"][:, 0], block)[0]
print(list(to_reach.shape), "norm for the first image:", np.linalg.norm(to_reach[0]).round(3))

# %% [markdown]
# ## What we know now
#
# `tinyvit report RUN` makes a page of all these figures for a run of your own, and [looking inside](../docs/inside.md) shows them for a model of
# MNIST, with what is found there. The last cell asserts what this notebook has shown.

# %%
assert accuracy > 0.95
assert all(np.allclose(a.sum(axis=-1), 1, atol=1e-5) for a in maps)
assert all(np.allclose(R.sum(axis=-1), 1, atol=1e-5) for R in (with_identity, without))
assert (np.diag(alike) == 1).all()
assert (abs(distances / uniform - 1) < 0.3).all()
assert counts.sum() == len(images) and np.trace(counts) == round(accuracy * len(images))
for fill in fills:
    own, chance = found["rollout", fill][4], found["random", fill][4]
    assert (own - chance).mean() > 5 * standard_error(own - chance)
    assert found["rollout", fill][0].max() < 1e-4  # nothing hidden, nothing lost

# %% [markdown]
# Next: [speed](12_speed.ipynb), or why the readable form costs nothing.
