# %% [markdown]
# # Looking inside a trained model
#
# **The question.** A Vision Transformer that reads digits is nearly always right. Where does it look, and does that explain what it says?

# %%
from tinyvit.viz import overview

overview("attention", "readout")

# %% [markdown]
# We train one and run it on the test images. Its attention maps lie in the cache `c` of this one forward pass.

# %%
import dataclasses

import numpy as np

import tinyvit
from tinyvit.layers.linear import linear
from tinyvit.ops.patches import patchify
from tinyvit.ops.softmax import softmax
from tinyvit.viz.attention import attention_distance, patch_distances, uniform_distance, weighted_attention
from tinyvit.viz.confusion import mistakes_figure, worst_mistakes
from tinyvit.viz.distance import distance_figure
from tinyvit.viz.look import class_attention, look
from tinyvit.viz.maps import attention_figure, overlay_figure
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, outline, plain, shine, show

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

look(images[:2], class_attention(c)[:2], config.patch, titles=[f"a {label}" for label in labels[:2]])

# %% [markdown]
# On the right: how much the class token, from which the answer is read, takes from each patch in the last block, as a mean over the heads.
#
# ## Every layer, every head
#
# `attention_maps` takes the maps out of the cache, one array for each block. Row $t$ of a map says how much token $t$ takes from each token, so every
# row sums to 1; token 0 is the class token.
#
# **Exercise.** Find the map of one block, head and image in `c`, and compute it once more from the queries and keys that lie beside it.
# ([The names in the cache](07_the_vision_transformer.ipynb).)


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
        right = np.allclose(answer, tinyvit.attention_maps(c)[1][3, 2], atol=1e-5)
        print(f"{attempt.__name__}: {'right' if right else 'another array'}")

# %%
maps = tinyvit.attention_maps(c)
for number, a in enumerate(maps):
    print(
        f"block {number}: [images, heads, T, T] = {list(a.shape)}, row sums from {a.sum(-1).min():.6f} to {a.sum(-1).max():.6f}"
    )

attention_figure(images[0], [a[0] for a in maps])

# %% [markdown]
# The class token's row, in all layers and heads. (Figures count both from 1, lists and arrays from 0.) Heads of one layer
# [often look at different places](04_heads.ipynb). What the class token takes from itself is not drawn, so a panel may be dark throughout.
#
# Point at a patch, and see what it attends to.

# %%
tinyvit.Explorer(images[:2], p, config, titles=[f"a {label}" for label in labels[:2]])

# %% [markdown]
# ## What a map says, and what it does not
#
# A map shows along which ways information flows in one block. It does not show why the answer is what it is, for three reasons. A large weight on a
# token whose value vector is small, or is ignored by the output projection, moves nothing. By the second block a token is no longer its patch: it has
# already taken from others. And the residual stream goes around attention as well. (The dispute:
# [Jain and Wallace 2019](https://arxiv.org/abs/1902.10186), [Wiegreffe and Pinter 2019](https://arxiv.org/abs/1908.04626).)
#
# The first reason, measured. What token $s$ adds to the class token through head $i$ is its weight $a_{0s}$ times the vector $v_s W_o^i$, where $W_o^i$
# are the head's rows of the output projection. If weights told everything, the vectors $v_s W_o^i$ would all have one length:

# %%
for number, (block, cache) in enumerate(zip(p["blocks"], c["blocks"], strict=True)):
    v = cache["msa"]["att"]["v"]  # [B, h, T, d]
    sent = v @ block["msa"]["o"]["w"].reshape(config.heads, -1, config.dim)  # each head's rows of W_o: [B, h, T, D]
    low, high = np.percentile(np.linalg.norm(sent, axis=-1), [5, 95])
    print(f"block {number}: of all vectors that are sent, 90% are between {low:.2f} and {high:.2f} long")

# %% [markdown]
# **Exercise.** So what does attention add to the class row in one block, head by head? (`c["blocks"][block]["msa"]["o"]["x"]` holds all heads side by
# side, `p["blocks"][block]["msa"]["o"]` the output projection.)


# %%
def my_parts(c, p, block):
    """What each head adds to the class row: [h, B, D]. With the projection's bias they sum to what attention adds."""


parts = my_parts(c, p, 1)
if parts is None:
    print("not written yet")
else:
    projection, heads = p["blocks"][1]["msa"]["o"], c["blocks"][1]["msa"]["o"]["x"][:, 0]  # [B, D]
    to_reach = linear(heads, projection)[0]
    shape = (config.heads, len(images), config.dim)
    if parts.shape != shape:
        print(f"found the shape {parts.shape}, expected {shape}")
    elif not np.allclose(parts.sum(axis=0) + projection["b"], to_reach, atol=1e-4):
        print("the parts and the bias do not sum to what attention adds")
    else:
        alone = np.zeros_like(heads)
        alone[:, : config.dim // config.heads] = heads[:, : config.dim // config.heads]  # head 0, the others silent
        right = np.allclose(parts[0], alone @ projection["w"], atol=1e-4)
        print("right" if right else "the sum is right, its parts are not: which columns belong to head 0?")

# %% [markdown]
# ## Rollout: following attention through all layers
#
# The second reason can be allowed for. Let $A_l$ $[T, T]$ be the map of layer $l$, as a mean over its heads. If token $t$ takes the share $A_{ts}$ from
# token $s$ in one layer, and in the layer below $s$ has taken $A'_{su}$ from $u$, then $t$ has $\sum_s A_{ts} A'_{su}$ from $u$: a matrix product.
# Through all layers:
#
# $$ R = A_L\, A_{L-1} \cdots A_1 $$
#
# The third reason too, roughly: a block adds what attention brings to what was there, so half of a token is said to stay where it is,
# $A_l \to (A_l + I) / 2$, with $I$ the identity. This is **rollout** ([Abnar and Zuidema 2020](https://arxiv.org/abs/2005.00928)); figure 6 of the ViT
# paper is made so. (Half is a convention: [measured](07_the_vision_transformer.ipynb), the parts are not equally large. And the MLP is left out.)
#
# Do the rows of $R$ still sum to 1? Row sums of $A$ are $A\mathbf{1}$, with $\mathbf{1}$ the vector of ones, and
# $(A_2 A_1)\, \mathbf{1} = A_2 (A_1 \mathbf{1}) = A_2 \mathbf{1} = \mathbf{1}$. And with the identity? $(A + I)\, \mathbf{1} / 2 = \mathbf{1}$.

# %%
with_identity, without = tinyvit.rollout(maps), tinyvit.rollout(maps, identity=False)
for name, R in {"with identity": with_identity, "without": without}.items():
    differ = R.std(axis=1).mean() / R.mean()  # how much the rows of R differ from each other
    print(f"{name:14} largest |row sum - 1| {abs(R.sum(-1) - 1).max():.0e}, rows differ by {differ:.2f}")

class_rows = {"with identity": with_identity[:1, 0, 1:], "without": without[:1, 0, 1:]}
figure = overlay_figure(images[:1], class_rows, [f"a {labels[0]}"])
figure.set_size_inches(6.6, 2.9)
figure

# %% [markdown]
# "Rows differ by" is the mean spread of a column of $R$ over the mean entry: without the identity, the product of averages makes all rows nearly alike,
# and every token seems to come from the same places.
#
# ## What speaks for the class
#
# A map does not depend on the class that one asks about; a gradient does. Let $y_k$ be the logit of class $k$, and $da_{ts}$ its gradient by the weight
# $a_{ts}$. Were this weight 0, $y_k$ would lose, to first order, $a_{ts}\, da_{ts}$. Only what speaks for the class is kept, $\max(0, a\, da)$, then the
# mean over heads is taken ([Chefer et al. 2021](https://arxiv.org/abs/2012.09838), who then follow the layers as rollout does; we add them up).
# `weighted_attention` runs the backward pass and catches $da$ on its way:

# %%
true_class = np.eye(config.classes, dtype="float32")[labels]  # the gradient, by the logits, of the true class's logit
weighted = weighted_attention(true_class, p, c, config)
for_class = sum(a[:, 0, 1:] for a in weighted)  # the class token's rows, of all layers
kinds = {
    "last block": class_attention(c),
    "rollout": with_identity[:, 0, 1:],
    "for the class": for_class,
}
titles = [f"a {label}" for label in labels[:2]]
overlay_figure(images[:2], {kind: weights[:2] for kind, weights in kinds.items()}, titles)

# %% [markdown]
# Which is right cannot be seen by looking.
#
# ## How far heads look
#
# In figure 7 the ViT paper measures how far each head looks: the distance in pixels between the asking and the answering patch, weighted by attention.
# The dashed line is a head that looks everywhere alike:

# %%
distances, uniform = attention_distance(maps, config.patch), uniform_distance(config.grid**2, config.patch)
print(f"uniform attention: {uniform:.2f} pixels; heads: {distances.min():.2f} to {distances.max():.2f}")
distance_figure(distances, uniform)

# %% [markdown]
# In the paper's large models some heads of the first layers look only close by, as a convolution does. Here no head does: all lie near the line,
# on images four patches wide. What would the measure say of four heads made by hand?

# %%
N = config.grid**2
between = patch_distances(N, patch=config.patch)  # [N, N], pixels
weights = {
    "near": np.exp(-between),
    "everywhere": np.ones((N, N)),
    "by lot": np.eye(N)[
        np.random.default_rng(0).permuted(np.tile(np.arange(N), (100, 1)), axis=1)
    ],  # [100, N, N], a permutation in each
    "far": np.exp(between),
}
shares = [np.broadcast_to(w / w.sum(axis=-1, keepdims=True), (100, N, N)) for w in weights.values()]
by_hand = np.zeros((100, len(weights), 1 + N, 1 + N))  # token 0, the class token, is nowhere: the measure leaves it out
by_hand[:, :, 1:, 1:] = np.stack(shares, axis=1)
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
# The measure tells near from far. It does not tell sharp from blurred: "by lot", each patch looks at a single one, and "everywhere" at all, with nearly
# the same distance.
#
# ## What a wrong answer looked at
#
# The mistakes, the surest first, each above its rollout with the identity:

# %%
wrong = worst_mistakes(labels, probabilities)
mistakes_figure(images[wrong], labels[wrong], probabilities[wrong], with_identity[wrong, 0, 1:], digits)

# %% [markdown]
# ## An explanation is tested by an intervention
#
# If the patches that a measure calls important are what the answer rests on, then without them the answer should go. So hide the $k$ patches that the
# measure ranks highest, and see how far the true class's probability falls: over the whole test set, with the standard error of the mean.
#
# Hiding anything does harm, so a drop needs rivals that know less: patches drawn at **random**; the **brightest** patches, those with most ink; and the
# hardest rival, the **average rollout** of all test images, which hides the same patches in every image. And what does it mean to hide? A black patch
# may look like background. So everything is done twice: a hidden patch becomes black, or the same patch of the average training image.
#
# Which ranking does most harm? Put the six in order, in `my_prediction`, before you run the cell.


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
    """Of a mean: the standard deviation over the root of the number."""
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

my_prediction = []  # names of rankings, the most harmful first; compared where four patches become black
harm = {name: found[name, "hidden patches are black"][4].mean() for name in rankings}
if my_prediction:
    print("yours: ", " > ".join(my_prediction), "\nfound: ", " > ".join(sorted(harm, key=harm.get, reverse=True)))
    pairs = [(a, b) for i, a in enumerate(my_prediction) for b in my_prediction[i + 1 :]]
    print(f"{sum(harm[a] > harm[b] for a, b in pairs)} of {len(pairs)} pairs in the right order")

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
# All hide patches of the same images, so two measures are compared image by image: the mean of the differences, and its standard error. Here is rollout
# less each rival; `*` marks more than two standard errors.

# %%
ahead = {}  # rollout less a rival, in standard errors
for fill in fills:
    print(fill)
    for name in list(rankings)[1:]:
        words = []
        for k in (1, 2, 4):
            difference = found["rollout", fill][k] - found[name, fill][k]
            mean, error = difference.mean(), standard_error(difference)
            ahead[fill, name, k] = mean / error
            words.append(f"{mean:+.3f} +- {error:.3f}{'*' if abs(mean) > 2 * error else ' '}")
        print(f"   rollout less {name:16} 1, 2, 4 hidden: {'  '.join(words)}")

# %% [markdown]
# Read the stars:
#
# - **Rollout finds patches that matter**: far more than random ones, whatever they are hidden with.
# - **The last block's map is a worse guide**: from two patches on it is far behind rollout.
# - **Brightness, which knows nothing of the model,** is close behind rollout where four patches become black, and far behind where they become average.
#   What counts as important depends on what is put in its place.
# - **What speaks for the class** is ahead of rollout for one or two average patches, and behind it for four, and for two black ones, though it alone
#   was told the answer.
# - **The average rollout, the same patches in every image**, is behind the image's own for two black patches, and ahead for one or two average ones.
#
# So rollout has found where, on this grid, digits are told apart. Whether it says what was special about one image depends on how patches are hidden.
# (This is one small model. What carries over is the way of asking: an intervention, rivals, and an error bar.)
#
# **Exercise, new ground.** Turn the question round: hide the patches that a measure calls *least* important. What should happen to the probability with
# a good measure, and with one that is no guide? Guess for rollout, the last block and random patches; then write one line with `drops`.


# %%
def my_least(ranking, fill, k):
    """For each image, the drop when the k patches ranked lowest are hidden."""


if my_least(rollout, -1.0, 4) is None:
    print("not written yet")
else:
    lowest = np.argsort(rollout, axis=1, kind="stable")[:, :4]
    changed, _ = softmax(tinyvit.vit(hidden(images, lowest, -1.0), p, config, all_rows=False)[0])
    every = np.arange(len(images))
    expected = probabilities[every, labels] - changed[every, labels]
    print("right" if np.allclose(my_least(rollout, -1.0, 4), expected, atol=1e-5) else "another drop")
    for name, (ranking, _) in rankings.items():
        print(f"{name:16} " + ",  ".join(f"{my_least(ranking, -1.0, k).mean():.3f}" for k in (1, 2, 4)))

# %% [markdown]
# ## What we know now
#
# Maps, rollout and gradients propose what matters; an intervention tests it. `tinyvit report RUN` draws the maps, distances and mistakes of the
# run in the folder `RUN`. (Of a larger model: [looking inside](../docs/inside.md).)

# %%
assert accuracy > 0.95
assert all(np.allclose(a.sum(axis=-1), 1, atol=1e-5) for a in maps)
assert all(np.allclose(R.sum(axis=-1), 1, atol=1e-5) for R in (with_identity, without))
assert far_and_near[0] < far_and_near[1] < far_and_near[3] and abs(far_and_near[2] / far_and_near[1] - 1) < 0.05
assert (abs(distances / uniform - 1) < 0.3).all()
for fill in fills:
    own, chance = found["rollout", fill][4], found["random", fill][4]
    assert (own - chance).mean() > 5 * standard_error(own - chance)
    assert ahead[fill, "last block", 2] > 2 and ahead[fill, "last block", 4] > 2
    assert found["rollout", fill][0].max() < 1e-4  # nothing hidden, nothing lost

# %% [markdown]
# Next: [speed](12_speed.ipynb), or where the time of a training step goes.
