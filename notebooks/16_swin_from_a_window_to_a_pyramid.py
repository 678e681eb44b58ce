# %% [markdown]
# # Swin: from a window to a pyramid
#
# **The question.** Attention within windows leaves out most pairs of patches ([the notebook before](15_who_looks_at_whom.ipynb)). How does a model
# that is made of windows still answer from the whole image?

# %%
from tinyvit.viz import overview

overview("attention")

# %% [markdown]
# Here is a small Swin Transformer ([Liu et al. 2021](https://arxiv.org/abs/2103.14030)), trained for a few seconds on handwritten digits. Each panel
# shows what one patch, the framed one, takes in one block from each patch: the mean over the heads, on a scale of its own (bright: much). The dotted
# frame holds all that it may look at.

# %%
import contextlib
import dataclasses
from functools import partial

import numpy as np
from matplotlib.patches import Rectangle

import tinyvit
from tinyvit import checks, exercises, trees
from tinyvit.exercises.source import edited, planted
from tinyvit.layers.multi_head_attention import multi_head_attention
from tinyvit.layers.patch_merging import NEIGHBOURS, patch_merging, patch_merging_backward
from tinyvit.layers.swin_block import swin_block_backward
from tinyvit.layers.window_attention import window_attention, window_attention_init
from tinyvit.models.swin import SwinConfig, swin, swin_init
from tinyvit.models.views import swin_maps
from tinyvit.ops.patterns import windows
from tinyvit.ops.window_bias import offsets
from tinyvit.ops.windows import _labels, attention_over_map, from_windows, to_windows, window_mask
from tinyvit.viz.attention import answers_row
from tinyvit.viz.maps import attention_figure, overlay_figure
from tinyvit.viz.picture import bare, new_figure, outline, shine, show
from tinyvit.viz.pyramid import over_patches

rng = np.random.default_rng(0)
(x_train, y_train), (images, labels) = data = tinyvit.load_data("digits")
config = SwinConfig(image=8, channels=1, patch=2, dim=16, depths=(2, 2), heads=(2, 4), window=2, classes=10)
recipe = dataclasses.replace(tinyvit.RECIPES["digits"], epochs=20)
p, history = tinyvit.fit(config, data, recipe=recipe, progress=False)
logits, c = swin(images, p, config)
accuracy = (logits.argmax(-1) == labels).mean()
print(f"{tinyvit.count(p):,} parameters, {accuracy:.1%} of {len(images)} test images")

maps = swin_maps(c, config)  # of each block: [B, h, tokens, tokens]
figure = new_figure(7.5, 1.8)
first, *panels = figure.subplots(1, 5)
show(first, images[3])
outline(first, number=5, grid=4, patch=2)
tokens, starts, sides = (5, 5, 0, 0), (0, 2, 0, 0), (4, 4, 8, 8)  # windows: the first pixel, and the side
for block, axes in enumerate(panels):
    looks = over_patches(maps[block][3, :, tokens[block]].mean(axis=0), patches=16)
    shine(axes, looks, images[3], most=looks.max())
    for start, side, style in ((2, 2, "-"), (starts[block], sides[block], ":")):  # the patch, its window
        frame = dict(fill=False, edgecolor="white", linewidth=2, linestyle=style)
        axes.add_patch(Rectangle((start - 0.5, start - 0.5), side, side, **frame))
    axes.set_title(f"block {block + 1}", fontsize=9)
figure

# %% [markdown]
# In block 1 the patch sees four patches, itself among them, and nothing else. In block 2 it sees itself and three others. And in blocks 3 and 4 it
# sees the whole image, though the layer is the same one. (The first two blocks are one **stage** of the model, the last two another. Between them the
# **map**, the tokens at their places in the image, is halved both ways; each of the four tokens left is drawn over its four patches.)
#
# ## What it costs
#
# One layer of attention on the first map of a Swin-T, the paper's smallest model: $N=56\times 56$ tokens of width $C=96$. The projections cost
# $4NC^2$ multiply-adds; scores and weighted values cost $2N^2C$, within windows of $M\times M$ tokens only $2M^2NC$ (the paper's equations 1 and 2).
# With twice the side of the image, how much more do all pairs cost, and windows?

# %%
print("N tokens, N x N pairs; and multiply-adds, in millions:")
print("image        N         N x N   projections    all pairs   windows of 7 x 7")
for image in (224, 448, 896):
    N, C, M = (image // 4) ** 2, 96, 7
    projections, pairs, in_windows = (1e-6 * N * C * each for each in (4 * C, 2 * N, 2 * M * M))
    print(f"{image:5} {N:8,} {N * N:13,} {projections:13,.1f} {pairs:12,.1f} {in_windows:18,.1f}")

# %% [markdown]
# All pairs cost sixteen times as much; windows four times, as much as the image has grown.
#
# ## A window is an image of its own
#
# What must change in the attention of [notebook 4](04_heads.ipynb), so that it stays within windows? Nothing. It takes tokens $[B,T,D]$, and images
# of a batch do not see each other. So we cut every map into windows, and call each of them an image.

# %%
print(exercises.source(to_windows))  # shift and padding come below

x = rng.standard_normal((2, 8, 8, 6))  # [B, H, W, C]
cut, _ = to_windows(x, 4)
tokens = cut.reshape(-1, 16, 6)
print("map", list(x.shape), "-> windows", list(cut.shape), "-> for attention", list(tokens.shape))
print("put together again, the same map:", np.array_equal(from_windows(cut, x.shape), x))

# %% [markdown]
# The first axis is then $Bn$: the $n$ windows of the first image, then those of the second.
#
# ## Why windows must move
#
# A map of 12 x 12 tokens, windows of 4 x 4, and several blocks one after the other. One token (framed) is changed. Which tokens' outputs change?
# Before you look: after four blocks, how many, if the windows stay where they are?

# %%
side, M = 12, 4
# no generator, so shapes alone: width 6, 2 heads, windows of M x M
p_wide = trees.map(lambda leaf: 0.2 * rng.standard_normal(leaf.shape), window_attention_init(None, 6, 2, M))
wide = rng.standard_normal((1, side, side, 6))
moved = wide.copy()
moved[0, 5, 5] += 1


def heard(shifts):
    """After each block, which tokens [side, side] have heard of the one that was changed."""
    one, other, found = wide, moved, []
    for shift in shifts:
        one, other = (z + window_attention(z, p_wide, heads=2, shift=shift)[0] for z in (one, other))
        found.append(abs(one - other).max(axis=(0, 3)) > 1e-9)
    return found


still, shifted = heard([0, 0, 0, 0]), heard([0, 2, 0, 2])
figure = new_figure(7.5, 3.6)
both = {"windows stay": still, "every other shifted": shifted}
for row, (name, found) in zip(figure.subplots(2, 4), both.items(), strict=True):
    for number, (axes, reached) in enumerate(zip(row, found, strict=True), 1):
        axes.imshow(reached, cmap="Blues", vmin=0, vmax=1.6)
        outline(axes, number=5 * side + 5, grid=side, patch=1)
        bare(axes)
        for edge in range(0, side + 1, M):  # where the windows of this block end
            at = edge - 0.5 + (2 if name != "windows stay" and number % 2 == 0 else 0)
            for draw in (axes.axhline, axes.axvline):
                draw(min(at, side - 0.5), color="#555555", linewidth=0.8)
        axes.set_title(f"block {number}: {reached.sum()} of {side * side}", fontsize=9)
    row[0].set_ylabel(name, fontsize=9)
figure

# %% [markdown]
# Sixteen, for ever: the image has become nine separate images. With windows that are displaced by half their side in every other block, tokens that
# were parted by a border share a window, and pass on what they heard. Swin-T's accuracy on ImageNet is 80.2 % if windows stay, 81.3 % if every other
# block displaces them ([the paper](https://arxiv.org/abs/2103.14030), table 4).
#
# ## One array for windows of different sizes
#
# Displaced windows that stick out of the map are cut: here, on 8 x 8 tokens, windows of 4 x 4 displaced by $s=2$ become nine pieces of 2 or 4 rows
# and columns. Such pieces do not fit into one array. How would you compute them all at once?
#
# Swin's answer: **roll the map** by $s$ rows up and $s$ columns to the left. Then the windows stand where they always stood, and the first rows fill
# the gap at the bottom. Colours are the displaced windows. Black lines: left, their borders; middle and right, the windows that `to_windows` cuts. In
# the middle, not rolled, each holds four colours.

# %%
H, M, s = 8, 4, 2
rows, columns = np.divmod(np.arange(H * H), H)
piece = 3 * ((rows - s) // M + 1) + (columns - s) // M + 1  # which displaced window a token is in: 0 to 8
piece = piece.reshape(H, H)
rolled = np.roll(piece, (-s, -s), axis=(0, 1))

figure = new_figure(7.5, 2.5)
three = {"windows displaced": piece, "windows of the array": piece, "the same, map rolled": rolled}
for axes, (title, numbers) in zip(figure.subplots(1, 3), three.items(), strict=True):
    axes.imshow(numbers, cmap="tab10", vmin=0, vmax=9, alpha=0.55)
    for (row, column), number in np.ndenumerate(numbers):
        axes.text(column, row, number, ha="center", va="center", fontsize=7)
    for edge in (-0.5, 1.5, 5.5, 7.5) if title == "windows displaced" else (-0.5, 3.5, 7.5):
        axes.axhline(edge, color="black", linewidth=1.6)
        axes.axvline(edge, color="black", linewidth=1.6)
    axes.set_title(title, fontsize=9)
    bare(axes)
figure

# %% [markdown]
# On the right, the first window holds exactly one displaced window, the 4. But the last holds four pieces, which came together only because the map
# was rolled: 8, and from the opposite border 6, 2 and 0. So a **mask** is added to the scores: 0 where both tokens have the same colour, $-\infty$
# elsewhere. The masks of the four windows of this map; what is allowed is blue:

# %%
mask = window_mask(H, H, M, s)  # [n, M*M, M*M]
figure = new_figure(7.5, 2.2)
for number, (axes, of_window) in enumerate(zip(figure.subplots(1, 4), mask, strict=True)):
    axes.imshow(np.isfinite(of_window), cmap="Blues", vmin=0, vmax=1.6)
    axes.set_title(f"window {number}", fontsize=9)
    axes.set(xticks=[], yticks=[], xlabel="key")
figure.axes[0].set_ylabel("query")
figure

# %% [markdown]
# The layer, whole. `_kept_mask` is the mask, made once for each size of map. `tile` repeats the list of windows for each image. (The bias and its
# table, whose size tells `window_of` the $M$, are explained below.)

# %%
print(exercises.source(window_attention))

# %% [markdown]
# Does each colour end up in one window? ([Proved here](../docs/derivations/windows.md#displaced-windows-and-how-rolling-makes-them).) All pairs that
# the mask allows are put back to their places on the map, and compared with the definition: windows displaced, cut at the border, not rolled.

# %%
equal = []
for H, M, s in ((14, 7, 3), (28, 7, 3), (8, 4, 2), (6, 3, 1)):
    mask = window_mask(H, H, M, s)
    allowed = attention_over_map(np.isfinite(mask)[:, None], H, H, s)[0, 0]  # [tokens, tokens]
    equal.append(np.array_equal(allowed, windows(H, H, M, s)))
    windows_of = f"windows of {M}, displaced by {s}"
    print(f"{H:2} x {H:2} tokens, {windows_of}: {allowed.sum():7,} pairs, the same ones: {equal[-1]}")

H, M, s = 14, 7, 3
x = rng.standard_normal((2, H, H, 6))
p_small = trees.map(lambda leaf: rng.standard_normal(leaf.shape), window_attention_init(None, 6, 2, M))
no_table = p_small | {"table": 0 * p_small["table"]}  # positions come later
by_roll, _ = window_attention(x, no_table, heads=2, shift=s)
by_hand = np.zeros_like(x)
for top, bottom in ((0, s), (s, s + M), (s + M, H)):
    for left, right in ((0, s), (s, s + M), (s + M, H)):
        tokens = x[:, top:bottom, left:right]
        flat = tokens.reshape(2, -1, 6)
        y, _ = multi_head_attention(flat, flat, no_table, heads=2)
        by_hand[:, top:bottom, left:right] = y.reshape(tokens.shape)
unmasked, _ = edited(window_attention, ("if mask is not None:", "if False:"))(x, no_table, heads=2, shift=s)
print("compared with attention in each of the nine displaced windows:")
print(f"rolled and masked: off by {abs(by_roll - by_hand).max():.0e}")
print(f"without the mask:  off by {abs(unmasked - by_hand).max():.2f}")

# %% [markdown]
# ## Where is a token? Only relative to others
#
# A window has no class token and no embedding of positions. Instead every head has a table with one **number for every offset** between two tokens of
# a window: it is added to the score. Offsets run from $-(M-1)$ to $M-1$ in rows and in columns: $(2M-1)^2$ numbers a head. For $M=2$ these are 9, and
# the 4 x 4 pairs of query and key find theirs by their rows $r$ and columns $c$:
#
# $$\mathrm{index}=(u+M-1)(2M-1)+(v+M-1),\qquad u=r_{\mathrm{query}}-r_{\mathrm{key}},\quad v=c_{\mathrm{query}}-c_{\mathrm{key}}$$

# %%
index = offsets(2)  # of query less key, as in Swin; notebooks 5 and 15 have key less query
print("index of each pair, query by key:", *index, sep="\n")
print("how many pairs share each entry:", np.bincount(index.ravel()))

tables = [block["msa"]["table"] for block in p["stages"][0]["blocks"]]
figure = new_figure(7.5, 1.9)
panels = figure.subplots(1, 4)
most = max(abs(table).max() for table in tables)
for axes, table, title in zip(
    panels,
    [table[:, head] for table in tables for head in range(2)],
    [f"block {block}, head {head}" for block in (1, 2) for head in (1, 2)],
    strict=True,
):
    heat = axes.imshow(table.reshape(3, 3), cmap="RdBu_r", vmin=-most, vmax=most)
    axes.set(xticks=range(3), xticklabels=(-1, 0, 1), yticks=range(3), yticklabels=(-1, 0, 1))
    axes.set_xlabel("columns v")
    axes.set_title(title, fontsize=9)
panels[0].set_ylabel("rows u")
figure.colorbar(heat, ax=panels, label="added to the score")
figure

# %% [markdown]
# These are the trained tables of the first stage, laid out by $u$ (down) and $v$ (across). Without them, a window would be a bag of patches:
# attention does not see order ([notebook 5](05_positions.ipynb)).
#
# ## Merging: four tokens become one
#
# Between stages the map's two sides are halved, and the width is doubled. Four neighbours are put side by side, normalised, and multiplied by one
# matrix $[4C,2C]$ without bias. In which order?

# %%
print(exercises.source(patch_merging))
corner = np.array([["top left", "top right"], ["bottom left", "bottom right"]])
print("order:", ", ".join(corner[place] for place in NEIGHBOURS))

# %% [markdown]
# **The row number changes fastest**: down the left column, then down the right one. Any order would do, but [published weights were trained with this
# one](../docs/derivations/patch_merging.md#the-order-of-the-four), and whoever reshapes $[2,2,C]$ to $4C$ in NumPy's order exchanges the middle two.
# The shapes are the same.
#
# ## The whole pyramid
#
# A **pyramid** is a model whose map gets smaller, and whose tokens get wider, from stage to stage. The parameters of a Swin-T by hand: a block of
# width $D$ and $h$ heads has $4D^2+4D$ in its attention, $8D^2+5D$ in its MLP (hidden width $4D$), $4D$ in its norms and $(2M-1)^2h$ in its table;
# merging has $8D^2+8D$.

# %%
t = tinyvit.PRESETS["Swin-T"]
tree = swin_init(None, t)  # without a generator: shapes alone
total = 0
print("stage   map        width  heads  window  pixels  shifts         parameters")
for n, (D, h, depth) in enumerate(zip(t.widths, t.heads, t.depths, strict=True)):
    M, merging = t.window_of(n), 8 * D * D + 8 * D if n < 3 else 0
    formula = depth * (12 * D * D + 13 * D + (2 * M - 1) ** 2 * h) + merging
    assert formula == trees.count(tree["stages"][n])
    total += formula
    shifts = " ".join(str(t.shift_of(n, block)) for block in range(depth))
    pixels = M * t.image // t.sides[n]
    side = f"{t.sides[n]:2} x {t.sides[n]:<2}"
    print(f"{n + 1:5}   {side} {D:9} {h:6} {M:7} {pixels:7}  {shifts:12} {formula:12,}")
D, K = t.widths[-1], t.classes
# besides: the embedding of patches of 4 x 4 x 3, a norm behind it, the last norm, the head
total += 4 * 4 * 3 * t.dim + t.dim + 2 * t.dim + 2 * D + D * K + K
_, multiply_adds, _ = tinyvit.shapes(t).totals
print(f"with embedding, norms and head: {total:,} by hand, {tinyvit.count(tree):,} counted")
print(f"{multiply_adds:,} multiply-adds")

# %% [markdown]
# Merging is why the same layer sees more and more: 7 x 7 tokens span 28 pixels in the first stage, and all 224 in the last. There the window is the
# map: nothing is shifted, and there is no mask. At the end every token is normalised, and the mean of all is read, as in [notebook
# 14](14_class_token_or_average.ipynb).
#
# ## What implementations get wrong
#
# Here are seven easy mistakes. We make them in the package, one at a time, and ask the model that was trained *without* them, and the gradient check
# of the layer. Which do you expect to be the worst, which might go unnoticed, and which does the check find?

# %%
WINDOWS, MERGING = "window_attention/shifted", "patch_merging"  # two of the gradient checks
NUMPYS_ORDER, HAS_MASK = "((0, 0), (0, 1), (1, 0), (1, 1))", "if mask is not None:"
MISTAKES = {  # which check looks at it; in which function what is replaced by what
    "merging in NumPy's order": (
        MERGING,
        (patch_merging, "NEIGHBOURS", NUMPYS_ORDER),
        (patch_merging_backward, "NEIGHBOURS", NUMPYS_ORDER),
    ),
    "rolled on, not rolled back": (WINDOWS, (from_windows, "(shift, shift)", "(-shift, -shift)")),
    "masks listed by image, not by window": (
        WINDOWS,
        (window_attention, HAS_MASK, f"{HAS_MASK}\n        mask, B = mask.repeat(B, axis=0), 1"),
    ),
    "the mask in blocks without a shift, too": (
        "window_attention",
        (window_attention, "W, window, shift)", "W, window, window // 2)"),
    ),
    "no mask": (WINDOWS, (window_attention, HAS_MASK, "if False:")),
    "offsets of key less query": (
        WINDOWS,
        (
            offsets,
            "rows[:, None] - rows, columns[:, None] - columns",
            "rows - rows[:, None], columns - columns[:, None]",
        ),
    ),
    "rows and columns of the offsets exchanged": (
        WINDOWS,
        (offsets, "(u + window - 1) * (2 * window - 1) + v", "(v + window - 1) * (2 * window - 1) + u"),
    ),
}
layers, costs, finds = checks.cases(["patch_merging", "window_attention"]), {}, {}
for name, (case, *edits) in MISTAKES.items():
    with contextlib.ExitStack() as made:
        for function, right, wrong in edits:
            made.enter_context(planted(function, (right, wrong)))
        wrong, _ = swin(images, p, config)
        finds[name] = not layers[case].check().ok
    costs[name] = (wrong.argmax(-1) == labels).mean()
    off = abs(wrong - logits).mean() / abs(logits).mean()
    check = "finds it" if finds[name] else "passes"
    print(f"{name:42} {costs[name]:6.1%} right, logits off by {off:4.0%}; the check {check}")
print(f"{'none':42} {accuracy:6.1%} right")

# %% [markdown]
# The last two are the dangerous ones: nobody doubts a model that is a fraction of a point worse than published. The gradient check finds the one
# mistake that the way back does not share: `from_windows` rolls the wrong way, its gradient, `to_windows`, does not. The others are another function
# with a right gradient: the way back takes the same order, the same offsets, and the weights as the mask left them. What finds them is a second
# implementation, [in plain loops](../tests/models/test_swin.py), or one forward pass of [published
# weights](../docs/weights.md#swin-transformers-and-hybrids).
#
# **Padding.** If the window does not divide the map, zeros are put at the bottom and the right. They become keys as well, and softmax gives them a
# share. tinyvit masks them; timm and Hugging Face do not (the `notes` that come with loaded weights [say
# so](../docs/weights.md#swin-transformers-and-hybrids)), and [the authors'
# program](https://github.com/microsoft/Swin-Transformer/blob/main/models/swin_transformer.py) refuses. Here are windows of 3 x 3 on 4 x 4 tokens,
# trained and tested with the mask and without. Which of the four do you expect to be worst?

# %%
print(exercises.source(_labels), end="\n\n")  # only equal labels meet in a window; -1 is a zero
in_threes = dataclasses.replace(config, window=3)
short = tinyvit.Recipe(epochs=12, learning_rate=5e-3)
choices = {
    "masked": contextlib.nullcontext,
    "unmasked": lambda: planted(_labels, ("labels, -1)", "labels, labels)")),  # zeros are tokens like others
}
crossed = {}
for trained, choice in choices.items():
    with choice():
        p_padded, _ = tinyvit.fit(in_threes, data, recipe=short, progress=False, workers=1)
    for tested, other in choices.items():
        with other():
            y, c_padded = swin(images, p_padded, in_threes)
        # these maps leave the zeros out: what a row lacks to 1 went there
        on_zeros = 1 - swin_maps(c_padded, in_threes)[0].sum(axis=-1).mean()
        crossed[trained, tested] = (y.argmax(-1) == labels).mean()
        print(f"trained {trained:8}  tested {tested:8}  {crossed[trained, tested]:6.1%} right", end="")
        print(f", of block 1's attention {on_zeros:3.0%} on zeros")

# %% [markdown]
# Either way can be learned. What cost points here is to mix them; so weights must be run as they were trained.
#
# **-100 for $-\infty$.** That is what [the authors' mask](https://github.com/microsoft/Swin-Transformer/blob/main/models/swin_transformer.py)
# has. $e^{-100}$ is nothing, as long as scores are small. Here the trained model, and the same with queries 40 times as long:


# %%
def longer(p, factor):
    """The parameters, with all queries longer."""
    p = trees.map(np.copy, p)
    for name, leaf in trees.named(p).items():
        if "/msa/q/" in name:
            leaf *= factor
    return p


apart = {}
for factor in (1, 40):
    right, _ = swin(images, longer(p, factor), config)
    with planted(window_mask, ("-np.inf", "-100")):
        other, _ = swin(images, longer(p, factor), config)
    apart[factor] = abs(other - right).max()
    print(f"queries {factor:2} times as long: logits differ by up to {apart[factor]:.2g}")

# %% [markdown]
# A token always sees itself, so no row of the softmax is empty: $-\infty$ does no harm.
#
# ## The way back
#
# The gradient of cutting, rolling and putting together is the same journey in reverse ([derivation](../docs/derivations/windows.md)). One slip is
# easy: to forget its shift. Which gradients of a block do you expect to be wrong then?

# %%
print(exercises.source(swin_block_backward), end="\n\n")
case = checks.cases(["swin_block"])["swin_block"]
forgetful = edited(swin_block_backward, ('c["msa"], shift=shift)', 'c["msa"])'))
way_back = partial(forgetful, shift=1)
broken = tinyvit.gradcheck(case.forward, way_back, *case.inputs, **case.keywords)
print(broken)

# %% [markdown]
# The MLP is right, and attention and all that lies before it are wrong, but for three biases. (A bias is added to every token, so its gradient is a
# sum over tokens: for the output's bias, of $dy$; for the values' bias, as rows of weights sum to 1, of the weighted values' gradients. A forgotten
# shift only exchanges tokens, and no sum notices. The keys' bias has gradient zero, [notebook 4](04_heads.ipynb).)
#
# ## Looking inside
#
# The windows' maps, put back to their tokens' places on the image (layer 1 is block 1; a merged token's share is divided among its four patches).
# They show what the average patch takes, for the answer is read from the mean.

# %%
attention_figure(images[0], [a[0] for a in maps], pool="mean")

# %% [markdown]
# Point at a patch, and see what it takes from its window:

# %%
tinyvit.Explorer(images[:4], p, config, titles=[f"a {label}" for label in labels[:4]])

# %% [markdown]
# [Rollout](11_looking_inside.ipynb) follows attention through all layers: a product of maps. We let a merged token come in equal parts from its four
# (merging's weights are ignored, as rollout ignores the MLP's). So between stages the product has one more matrix, with four times 1/4 in each row.

# %%
followed = tinyvit.rollout(maps)  # [B, last tokens, first tokens]
print("rollout", list(followed.shape), f"  largest |row sum - 1| {abs(followed.sum(-1) - 1).max():.0e}")
of_answers = {"rollout": answers_row(followed, "mean")[:3]}  # the mean of the rows
overlay_figure(images[:3], of_answers, [f"a {label}" for label in labels[:3]])

# %% [markdown]
# ## Exercises
#
# Write the bodies ([how exercises are marked](00_start_here.ipynb)). Of a wrong map, the picture shows one channel. First, the way back of
# `to_windows` (do without `from_windows`, the answer):


# %%
def my_to_windows_backward(dy, c, shift=0):
    """dy [B, n, M*M, C] and the cache {"x": [B, H, W, C]} -> dx [B, H, W, C]."""


print(verdict := exercises.check("to_windows_backward", my_to_windows_backward))
verdict.picture(axes=(1, 2))

# %% [markdown]
# The entry for offset 0 is read by all four tokens of a window of 2 x 2, that for $u=v=1$ by one pair. What does each get?


# %%
def my_window_bias_backward(dbias, c):
    """dbias [h, M*M, M*M] and the cache {"table": [(2M-1)^2, h]} -> dtable, of the table's shape."""


print(verdict := exercises.check("window_bias_backward", my_window_bias_backward))
verdict.picture()

# %% [markdown]
# Merging in reverse: it begins with `linear_backward` and `layer_norm_backward` (`tinyvit.layers.linear`, `tinyvit.layers.layer_norm`).


# %%
def my_patch_merging_backward(dy, p, c):
    """dy [B, H/2, W/2, 2C], p and the cache {"x", "ln", "reduction"} -> dx and g {"ln", "reduction"}."""


print(verdict := exercises.check("patch_merging_backward", my_patch_merging_backward))
verdict.picture(axes=(1, 2))

# %% [markdown]
# New ground: the second Swin ([Liu et al. 2022](https://arxiv.org/abs/2111.09883)) takes cosines for scores, which do not grow with the vectors.


# %%
def cosine_scores(q, k):
    """q, k [n, T, d] -> scores [n, T, T]: the cosine of each query and key over a temperature, here 0.1."""
    q_unit, k_unit = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (q, k))
    return q_unit @ k_unit.swapaxes(-1, -2) / 0.1, {"q": q, "k": k}


def my_cosine_scores_backward(dscores, c):
    """dscores [n, T, T] and the cache {"q", "k": [n, T, d]} -> dq, dk."""


q, k = np.random.default_rng(1).standard_normal((2, 2, 3, 4))
print(verdict := exercises.grade(cosine_scores, my_cosine_scores_backward, q, k))
verdict.picture()

# %% [markdown]
# ## What we know now
#
# Windows are images of their own, so attention need not change. Rolling brings displaced windows into one array, and a mask keeps apart what rolling
# brought together. Offsets say where tokens stand relative to each other, and merging lets the same window see twice as far.

# %%
assert accuracy > 0.95
assert [reached.sum() for reached in still] == [16] * 4
assert [reached.sum() for reached in shifted] == [16, 64, 144, 144]
assert all(equal) and abs(by_roll - by_hand).max() < 1e-13 and abs(unmasked - by_hand).max() > 0.1
assert index[0].tolist() == [4, 3, 1, 0] and index[3].tolist() == [8, 7, 5, 4]
assert total == tinyvit.count(tree) == 28_288_354 and round(multiply_adds / 1e9, 3) == 4.491
assert min(costs.values()) < 0.5 and sum(cost < accuracy for cost in costs.values()) >= 5
assert [name for name in finds if finds[name]] == ["rolled on, not rolled back"]
assert (
    crossed["masked", "masked"] > crossed["masked", "unmasked"]
    and crossed["unmasked", "unmasked"] > crossed["unmasked", "masked"]
)
assert apart[1] == 0 < apart[40]
wrong_rows = {row.name for row in broken.rows if row.error > broken.rtol}
assert "x" in wrong_rows and not any("mlp" in name or "ln2" in name for name in wrong_rows)
assert abs(followed.sum(-1) - 1).max() < 1e-5

# %% [markdown]
# Next: [convolution first, then attention](17_convolution_first.ipynb).
