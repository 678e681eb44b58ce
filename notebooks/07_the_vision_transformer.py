# %% [markdown]
# # The Vision Transformer: four equations, one residual stream
#
# **The question.** We have patches, attention, heads, positions, LayerNorm, GELU. How do they make one model, and how does a gradient find its
# way back through all of it?
#
# (Orange in the drawing: the class token's row.)

# %%
from tinyvit.viz import overview

overview("addition", "blocks", "readout", "head")

# %% [markdown]
# First, the journey of one image through a small Vision Transformer, trained for a moment on handwritten digits. It becomes a table with a row for
# each token, on top the class token, and three **blocks** change the table:

# %%
import math

import numpy as np

import tinyvit
from tinyvit import checks, exercises, trees
from tinyvit.exercises.source import edited
from tinyvit.layers.embedding import class_token, patch_embedding
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward, encoder_block_init
from tinyvit.layers.layer_norm import layer_norm, layer_norm_backward, layer_norm_init
from tinyvit.layers.linear import linear
from tinyvit.layers.mlp import mlp
from tinyvit.layers.multi_head_attention import multi_head_attention
from tinyvit.layers.pool import class_readout
from tinyvit.layers.position import learned_position
from tinyvit.layers.post_norm_block import post_norm_block, post_norm_block_backward
from tinyvit.models.vit import encoder, vit, vit_backward
from tinyvit.ops.class_row import class_row, class_row_backward
from tinyvit.ops.softmax import softmax
from tinyvit.viz import TreeView
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain, show

data = tinyvit.load_data("digits")
config = tinyvit.PRESETS["digits"]
p, history = tinyvit.fit(config, data, recipe=tinyvit.Recipe(epochs=12, learning_rate=5e-3), progress=False)
images, labels = data[1][0][:64], data[1][1][:64]


def four_equations(images, p):
    """The logits, and the tables z_0, ..., z_L on the way."""
    z, _ = patch_embedding(images, p["patch"], patch=config.patch)  # (1)
    z, _ = class_token(z, p["cls"])
    z, _ = learned_position(z, p["pos"])
    stream = [z]
    for block in p["blocks"]:
        z, _ = encoder_block(z, block, heads=config.heads)  # (2), (3)
        stream.append(z)
    y, _ = layer_norm(class_row(z)[0], p["ln"])  # (4)
    logits, _ = linear(y, p["head"])
    return logits, stream


logits, stream = four_equations(images, p)

figure = new_figure(7.5, 2.3)
panels = figure.subplots(1, 6, width_ratios=[1, 1.5, 1.5, 1.5, 1.5, 1.2])
show(panels[0], images[0])
panels[0].set_title("the image", fontsize=9)
for number, (axes, table) in enumerate(zip(panels[1:5], stream, strict=True)):
    shade = axes.imshow(table[0], cmap="PuOr_r", vmin=-6, vmax=6, aspect="auto")
    axes.set(xticks=[], yticks=[0, 8.5] if number == 0 else [], yticklabels=["class", "patches"] if number == 0 else [])
    axes.tick_params(length=0, labelsize=8, labelrotation=90)
    axes.set_title(f"$z_{number}$", fontsize=10)
panels[5].barh(range(10), softmax(logits)[0][0], color=BLUE)
panels[5].set(yticks=range(10), xticks=[0, 1], xlim=(0, 1), ylim=(9.5, -0.5))
panels[5].tick_params(labelsize=7)
panels[5].set_title("probability", fontsize=9)
plain(panels[5])
figure

# %% [markdown]
# Each row has the 32 numbers of one token, positive ones orange, negative ones purple. The function `four_equations` is the model; `encoder_block` is
# the only new part. It is the same as one call of `vit`:

# %%
by_vit, c = vit(images, p, config)
print("by hand and by vit, largest difference:", abs(logits - by_vit).max())

# %% [markdown]
# ## The four equations
#
# They are equations (1) to (4) of Dosovitskiy et al. (2021). The letters of (1) you know: patches $\mathbf{x}_p^n$, their matrix $\mathbf{E}$, the
# class token ([notebook 1](01_pixels_to_tokens.ipynb)) and positions $\mathbf{E}_{pos}$ ([notebook 5](05_positions.ipynb)). $L$ is the number of
# blocks, $\mathbf{z}_\ell$ the table after block $\ell$. LN is LayerNorm, MSA multi-head self-attention. The lines of code below each equation are
# the package's:


# %%
def lines(function, *words):
    """The lines of a function's source in which one of the words stands."""
    found = [line.strip() for line in exercises.source(function).splitlines() if any(word in line for word in words)]
    if not found:
        raise ValueError(f"{function.__name__}: no line with {words}")
    return "\n".join(found)


# %% [markdown]
# $$ \mathbf{z}_0 = [\mathbf{x}_{\mathrm{class}};\; \mathbf{x}_p^1 \mathbf{E};\; \mathbf{x}_p^2 \mathbf{E};\; \cdots;\; \mathbf{x}_p^N \mathbf{E}] + \mathbf{E}_{pos} \qquad (1) $$

# %%
print(lines(vit, 'c["patch"]', 'c["cls"]', 'c["pos"]'))

# %% [markdown]
# (In (2) and (3), `rows`, `masks` and `attention` are settings, explained below; `kind` and `eps` you know. By default `position` is
# `learned_position`.)
#
# $$ \mathbf{z}'_\ell = \mathrm{MSA}(\mathrm{LN}(\mathbf{z}_{\ell-1})) + \mathbf{z}_{\ell-1}, \qquad \ell = 1, \ldots, L \qquad (2) $$

# %%
print(lines(encoder_block, 'c["ln1"]', 'c["msa"]', "(2)"))

# %% [markdown]
# $$ \mathbf{z}_\ell = \mathrm{MLP}(\mathrm{LN}(\mathbf{z}'_\ell)) + \mathbf{z}'_\ell, \qquad \ell = 1, \ldots, L \qquad (3) $$

# %%
print(lines(encoder_block, 'c["ln2"]', 'c["mlp"]', "(3)"))

# %% [markdown]
# $$ \mathbf{y} = \mathrm{LN}(\mathbf{z}_L^0) \qquad (4) $$
#
# $\mathbf{z}_L^0$ is row 0 of $\mathbf{z}_L$, the class token's. `readout` is `class_readout` by default
# ([or an average](14_class_token_or_average.ipynb)). One linear layer, the **head**, turns $\mathbf{y}$ into $K$ logits, one for each class.

# %%
print(lines(vit, "readout(", 'c["head"]'))
print("\nclass_readout:")
print(lines(class_readout, 'c["class_row"]', 'c["ln"]'))

# %% [markdown]
# Only in MSA, in (2), do numbers of one token reach another. In (3) each token [is on its own](06_layer_norm_and_gelu.ipynb).
#
# ## The residual stream
#
# LN then MSA is one **branch** of a block, LN then MLP the other. The sum around a branch, $z + \text{branch}(z)$, is a **residual connection** (He
# et al. 2016, [arXiv 1512.03385](https://arxiv.org/abs/1512.03385)). All that happens to $z$ is such sums. With $m_\ell$ for what MSA adds in block
# $\ell$, and $f_\ell$ for what the MLP adds:
#
# $$ z_L = z_0 + m_1 + f_1 + m_2 + f_2 + \cdots + m_L + f_L $$
#
# $z$ is called the **residual stream**: each branch reads it through its own LayerNorm, and adds its finding. How much does each add in the trained
# model? (The cache has the input of each branch's last linear layer.)


# %%
def additions(p, c):
    """What the two branches of each block add to the residual stream, from the cache: 2 L arrays [B, T, D]."""
    for block, cache in zip(p["blocks"], c["blocks"], strict=True):
        yield linear(cache["msa"]["o"]["x"], block["msa"]["o"])[0]
        yield linear(cache["mlp"]["fc2"]["x"], block["mlp"]["fc2"])[0]


added = list(additions(p, c))
sums = [stream[0]]
for array in added:
    sums.append(sums[-1] + array)
print("z_0 and all additions, against z_L:", abs(sums[-1] - stream[-1]).max())

figure = new_figure(7.5, 2.6)
left, right = figure.subplots(1, 2, sharey=True)
names = [f"{branch} {number + 1}" for number in range(config.depth) for branch in ("MSA", "MLP")]
places = np.arange(len(names))
for axes, title, rows in ((left, "the class row", slice(1)), (right, "the patch rows", slice(1, None))):
    length = [np.linalg.norm(array[:, rows], axis=-1).mean() for array in added]
    before = [np.linalg.norm(array[:, rows], axis=-1).mean() for array in sums[:-1]]
    axes.bar(places[0::2], length[0::2], color=BLUE, width=0.6, label="what MSA adds")
    axes.bar(places[1::2], length[1::2], color=ORANGE, width=0.6, hatch="//", edgecolor="white", label="what MLP adds")
    axes.plot(places, before, "ko-", markersize=4, label="the stream it is added to")
    axes.set_xticks(places, names, fontsize=8)
    axes.set_title(title, fontsize=10)
    plain(axes)
left.legend(fontsize=8)
left.set_ylabel("mean norm of a row")
figure

# %% [markdown]
# A branch may add more than there was, but it overwrites nothing: the stream stays in the sum.
#
# ## The block, whole

# %%
print(exercises.source(encoder_block))

# %% [markdown]
# `c` will hold what the backward pass must remember. Attention takes queries from the first `rows` tokens (all, if `rows` is `None`), keys and values
# from all; `attention` holds its further settings. Dropout does nothing unless a mask is handed in ([training](09_training.ipynb) does). LayerNorm stands
# inside the branch, so no norm has touched $z_L$: that is why there is one more at the end, in (4).
#
# ## The model, whole
#
# [vit.py](../tinyvit/models/vit.py) has the lines of `four_equations`, which also write a cache and read settings. What it has besides, in `vit` and
# in its loop over the blocks, `encoder`:

# %%
print(lines(vit, 'c["dropout"]', "keep = ", 'c["blocks"]', 'c["pre_logits"]'))
print("\nencoder:")
print(lines(encoder, "choices = ", "rows = read", "run_block("))

# %% [markdown]
# `keep_cache=False` throws each block's cache away, for prediction; `freeze` leaves the first blocks out in training. `forward` is `encoder_block`
# with its settings, among them `choices` and `rows`. `pre_logits` is one more layer before the head, which in the paper is "a MLP with one hidden layer
# at pre-training time and [...] a single linear layer at fine-tuning time" (section 3.1; fine-tuning is further training, on other data). Ours is
# the second.
#
# Nobody reads the patch rows of the last block's output. There `all_rows=False` computes the class row alone (`read` is 1); the results agree:

# %%
p64 = trees.map(lambda leaf: leaf.astype(np.float64), p)
images64 = images.astype(np.float64)


def both_ways(all_rows):
    """Logits, and the gradients of all parameters for the cross-entropy, in float64."""
    logits, c = vit(images64, p64, config, all_rows=all_rows)
    _, c_loss = tinyvit.cross_entropy(logits, labels)
    return logits, vit_backward(tinyvit.cross_entropy_backward(1.0, c_loss), p64, c, config)[1]


(whole, g_whole), (short, g_short) = both_ways(True), both_ways(False)
largest = max(abs(a - b).max() for a, b in zip(trees.leaves(g_whole), trees.leaves(g_short), strict=True))
print(f"logits differ by {abs(whole - short).max():.0e}, gradients by {largest:.0e}")

# %% [markdown]
# ## How are the numbers drawn?
#
# If $x$ has $D$ independent entries of mean 0 and variance 1, and $w$ such entries of variance $1/D$, then those of $xw$ have variance 1 again. For
# gradients, the same argument asks for $1/\text{outputs}$, and $2/(\text{inputs} + \text{outputs})$ is a compromise (Glorot and Bengio 2010): the
# matrices of q, k, v, o and the MLP have it, being uniform in $\pm\sqrt{6/(\text{inputs} + \text{outputs})}$
# ([initializers.py](../tinyvit/layers/initializers.py)). The patch matrix has variance $1/(P^2 C)$, positions the standard deviation `position_std`;
# biases, class token and head are zero, gamma is one. So it is in [the paper's
# code](https://github.com/google-research/vision_transformer/blob/main/vit_jax/models_vit.py), but for the MLP's biases, which are tiny.
#
# Break it: with matrices three times too small or too large, what standard deviation have the tokens after 1, 2, 6 and 12 linear layers, and blocks?


# %%
def scaled(p, factor):
    """A block's parameters with all its matrices times a factor."""
    return trees.map(lambda leaf: factor * leaf if leaf.ndim == 2 else leaf, p)


rng = np.random.default_rng(0)
fresh_blocks = [encoder_block_init(rng, 64, 4 * 64) for _ in range(12)]
tokens = rng.standard_normal((8, 17, 64), dtype="float32")
sizes = {}
for factor in (1 / 3, 1, 3):
    chain, table, sizes[factor] = tokens, tokens, []
    for block in fresh_blocks:
        block = scaled(block, factor)
        chain = chain @ block["msa"]["q"]["w"]
        table, _ = encoder_block(table, block, heads=4)
        sizes[factor].append((chain.std(), table.std()))
    for title, found in zip(("linear layers", "blocks"), np.transpose(sizes[factor]), strict=True):
        print(f"matrices times {factor:4.2f}: {title:14}", *(f"{found[n - 1]:12.4g}" for n in (1, 2, 6, 12)))

# %% [markdown]
# Through a chain of linear layers, numbers vanish or explode. In a block LayerNorm comes first, so what a branch adds does not depend on the stream's
# size: with small matrices it is next to nothing, with large ones it is large, in block 1 as in block 2 (variances add up).
#
# ## The head starts at zero
#
# For fine-tuning the paper attaches a new head of zeros (section 3.2); here training from scratch begins with one, too. All logits are zero, and the
# first loss is $\ln K$. The gradient that goes down to the blocks, $dy = d\mathrm{logits}\; w^\top$ with $w = 0$, is zero: in its first step, the head
# learns alone.

# %%
new = tinyvit.vit_init(np.random.default_rng(0), config)
first_logits, c_new = vit(images, new, config)
first_loss, c_loss = tinyvit.cross_entropy(first_logits, labels)
_, g_new = vit_backward(tinyvit.cross_entropy_backward(1.0, c_loss), new, c_new, config)
print(f"first loss {first_loss:.6f}, ln 10 = {math.log(10):.6f}")
for name in ("patch", "blocks", "ln", "head"):
    print(f"largest gradient in {name:7}", max(abs(leaf).max() for leaf in trees.leaves(g_new[name])))

# %% [markdown]
# ## The cache is the trace
#
# Everything the forward pass has remembered is in `c`, a tree of arrays, named as in the lines that wrote them. Parameters and gradients are trees
# of the same names:

# %%
TreeView(p=new, c=c_new, g=g_new)

# %% [markdown]
# ## Every tensor
#
# Other tensors pass and are not kept. `tinyvit.shapes` lists all, with parameters, multiply-adds and bytes. A few, for digits and for ViT-B/16, for
# one image (`patches` before they are put in a row; other authors count FLOPs, floating-point operations, twice as many):

# %%
listed = [
    "patches",
    "patch",
    "cls",
    "pos",
    "blocks/0/msa/q",
    "blocks/0/msa/att/scores",
    "blocks/0/mlp/fc1",
    "blocks/0/z",
    "class_row",
    "head",
]
for name in ("digits", "B/16"):
    summary = tinyvit.shapes(tinyvit.PRESETS[name])
    print(f"{name:23} {'shape':>20} {'parameters':>11} {'multiply-adds':>14}")
    for row in summary:
        if row.name in listed:
            print(f"{row.name:23} {list(row.shape)!s:>20} {row.parameters:>11,} {row.multiply_adds:>14,}")

# %% [markdown]
# `tinyvit shapes B/16 --figure` draws [the dataflow](../docs/figures/dataflow.svg).
#
# ## Every parameter, by hand
#
# $M$ is the MLP's hidden width, $K$ the number of classes. For colour images, with $C = 3$:
#
# $$ (3P^2 D + D) + D + (N+1) D + L\,(4D^2 + 2DM + 9D + M) + 2D + DK + K $$


# %%
def by_hand(config):
    """The terms of the formula, under the names of the parameter tree."""
    P, C, D, N = config.patch, config.channels, config.dim, config.grid**2
    L, M, K = config.depth, config.mlp_dim, config.classes
    return {
        "patch": C * P**2 * D + D,  # a matrix and its bias
        "cls": D,  # one row
        "pos": (N + 1) * D,  # a row for each token
        # matrices of q, k, v and o; two of the MLP; 9 D: four biases, two LayerNorms, the second bias of the MLP
        "blocks": L * (4 * D**2 + 2 * D * M + 9 * D + M),
        "ln": 2 * D,  # gamma and beta
        "head": D * K + K,  # a matrix and its bias
    }


b16 = tinyvit.PRESETS["B/16"]
tree = tinyvit.vit_init(None, b16)  # without a generator: the shapes alone, which take no memory
for name, number in by_hand(b16).items():
    print(f"{name:7} {number:>12,} {trees.count(tree[name]):>12,}")

# %% [markdown]
# And the sum, by the formula and by counting, beside table 1 of the paper. (Behind the slash: $P$. Ti and S are sizes of Touvron et al. 2021,
# [arXiv 2012.12877](https://arxiv.org/abs/2012.12877).)

# %%
counts = {
    name: (sum(by_hand(c).values()), tinyvit.parameter_count(c))
    for name, c in tinyvit.PRESETS.items()
    if type(c) is tinyvit.ViTConfig  # not the Swins and the hybrids
}
table_1 = {"B/16": "Base, 86M", "L/16": "Large, 307M", "H/14": "Huge, 632M"}  # as printed there
print("         L     D     M  heads      formula      counted  the paper")
for name in ("Ti/16", "S/16", "B/16", "B/32", "L/16", "L/32", "H/14"):
    size, (formula, counted) = tinyvit.PRESETS[name], counts[name]
    shape = f"{size.depth:3} {size.dim:5} {size.mlp_dim:5} {size.heads:6}"
    print(f"{name:6} {shape} {formula:>12,} {counted:>12,}  {table_1.get(name, '')}")

# %% [markdown]
# The paper does not say which patch it counted. Rounded, L/32 gives its 307M and L/16 does not; neither B gives its 86M.
#
# ## The way back
#
# The backward pass is the forward pass in a mirror: the same lines, last line first, each with a partner, which takes the same parameters and that
# line's cache. One rule returns: **where a value is used twice, its gradients add up.**
#
# **Exercise: a block's way back.** Where in its source, above, is a value used twice? ([How it is marked](00_start_here.ipynb). The parts' backward
# passes are in `tinyvit.layers`.)


# %%
def my_encoder_block_backward(dz, p, c):
    """The gradient dz [B, T, D] of the output -> that of the input, and g {ln1, msa, ln2, mlp}."""


exercises.check("encoder_block_backward", my_encoder_block_backward)

# %%
print(exercises.source(encoder_block_backward))

# %% [markdown]
# In equation (3), $z'$ goes into the branch and around it. So its gradient is
#
# $$ dz' = dz + dz \left( \frac{\partial\, \mathrm{MLP}(\mathrm{LN}(z'))}{\partial z'} \right), $$
#
# where the first term is `dz` itself, handed on unchanged, and the second is what comes back through the branch, `dy`. Hence `dz = dy + dz`. In
# equation (2), besides that, the normalised input is the source of queries and of keys and values: hence `dy += dq`, in the rows that had queries.
#
# **Exercise: the model's way back**, that of `four_equations` (`class_readout_backward` goes back through the readout).


# %%
def my_vit_backward(dy, p, c, config):
    """The gradient dy [B, K] of the logits -> that of the images [B, H, W, C], and g, a tree like p.

    p {patch, cls, pos, blocks [...], ln, head}; c {patch, cls, pos, dropout, blocks [...], readout, head}, of the parts.
    """


exercises.check("vit_backward", my_vit_backward)

# %% [markdown]
# Each line forward, and below it its partner:

# %%
partners = [('c["head"]', 'c["head"]'), ("readout(", "readout_backward("), ("encoder(", "encoder_backward(")]
for forward, backward in partners + [(f'c["{name}"]', f'c["{name}"]') for name in ("dropout", "pos", "cls", "patch")]:
    print(lines(vit, forward))
    print("    ", lines(vit_backward, backward))

# %% [markdown]
# ## Do we believe it?
#
# The check of everything at once: a small ViT with two blocks, all parameters random, every entry and every pixel moved by itself.

# %%
report = checks.cases(["vit"])["vit"].check()
print(f"{report.entries} entries in {len(report.rows)} tensors; worst error {report.worst_error:.1e}; ok: {report.ok}")
for row in report.rows:
    if row.name in ("images", "p/patch/w", "p/cls", "p/pos", "p/blocks/0/msa/q/w", "p/blocks/0/msa/k/b", "p/head/w"):
        print(
            f"{row.name:20} {row.entries:4} entries, worst error {row.error:.1e}: {row.analytic:12.5g} {row.numeric:12.5g}"
        )

# %% [markdown]
# (The head must not be zero here: every gradient below it would be zero, and any mistake pass.) The gradient of the key's bias, `k/b`, ought to be
# zero: it adds the same number to all scores of a query, which softmax does not see.
#
# ## Break it
#
# Forget a residual connection, on the way back only: `edited` changes the line `dz = dy + dz` to `dz = dy`.

# %%
forgetful_backward = edited(encoder_block_backward, ("dz = dy + dz", "dz = dy"))
case = checks.cases(["encoder_block"])["encoder_block"]
broken = tinyvit.gradcheck(case.forward, forgetful_backward, *case.inputs, **case.keywords)
print(broken)

# %% [markdown]
# The MLP and its LayerNorm are right; attention, its LayerNorm and the input are wrong (but for `k/b`, whose gradient is
# zero in any case). The backward pass runs from the MLP to attention, so the mistake lies between them: in the line that we changed. Which
# rows would be wrong if we forgot the other residual connection, in the function's last line but one?

# %%
forgetful_too = edited(encoder_block_backward, ("dy[:, : dz.shape[1]] += dz", "pass"))
other = tinyvit.gradcheck(case.forward, forgetful_too, *case.inputs, **case.keywords)
print("wrong:", [row.name for row in other.rows if row.error > other.rtol])

# %% [markdown]
# A check that looked at parameters alone would have found nothing, and the blocks below would learn from a wrong
# gradient.
#
# ## What residual connections are for
#
# Without residual connections, does the gradient vanish? Random tokens go up through twelve new blocks, with them and without; a random gradient of
# norm 1 starts at the class row and goes down. Measured at each block: how much its input's tokens differ (the norm of tokens less their mean, over
# that of tokens); the norm of the gradient at its input; and that of its query matrix's gradient.


# %%
bare_block = edited(encoder_block, ("z = y + z[:, :rows]", "z = y"), ("return y + z, c", "return y, c"))
bare_block_backward = edited(
    encoder_block_backward, ("dz = dy + dz", "dz = dy"), ("dy[:, : dz.shape[1]] += dz", "pass")
)


def up_and_down(block, block_backward, depth=12, D=64, T=17):
    """For each block: how much tokens differ, the norms of its and its query matrix's gradient, 1/std in LayerNorm."""
    rng = np.random.default_rng(0)
    blocks = [encoder_block_init(rng, D, 4 * D, dtype="float64") for _ in range(depth)]
    z, dy, caches, differ, found = rng.standard_normal((4, T, D)), rng.standard_normal((4, D)), [], [], []
    for p in blocks:
        differ.append(np.linalg.norm(z - z.mean(axis=1, keepdims=True)) / np.linalg.norm(z))
        z, c = block(z, p, heads=4)
        caches.append(c)
    dz = class_row_backward(dy / np.linalg.norm(dy), {"z": z})
    for p, c in zip(reversed(blocks), reversed(caches), strict=True):
        dz, g = block_backward(dz, p, c)
        found.insert(0, (np.linalg.norm(dz), np.linalg.norm(g["msa"]["q"]["w"]), c["ln1"]["rstd"].mean()))
    return np.column_stack([differ, found])


with_residual = up_and_down(encoder_block, encoder_block_backward)
without = up_and_down(bare_block, bare_block_backward)
bare_report = tinyvit.gradcheck(bare_block, bare_block_backward, *case.inputs, **case.keywords)
print(f"gradient check without residual connections: worst error {bare_report.worst_error:.1e}, ok: {bare_report.ok}")
for name, measured in (("with", with_residual), ("without", without)):
    of_12, of_6, of_1 = measured[[11, 5, 0], 1]
    print(f"{name:7}: gradient of the input of block 12 {of_12:.2f}, 6 {of_6:.2f}, 1 {of_1:.2f}", end="; ")
    print(f"1/std, from block 2 on: {measured[1:, 3].min():.1f} to {measured[1:, 3].max():.1f}")

figure = new_figure(7.5, 2.7)
titles = ("how much tokens differ", "gradient of the block's input", "gradient of the query matrix")
for i, (axes, title) in enumerate(zip(figure.subplots(1, 3), titles, strict=True)):
    axes.plot(range(1, 13), with_residual[:, i], "s-", color=BLUE, markersize=4, label="with residuals")
    axes.plot(range(1, 13), without[:, i], "o--", color=ORANGE, markersize=4, label="without")
    axes.set(xlabel="block", xticks=(1, 4, 8, 12))
    axes.set_title(title, fontsize=9)
    plain(axes)
    axes.set(**(dict(yscale="log") if i == 2 else dict(ylim=(0, None))))
axes.legend(fontsize=8)
figure

# %% [markdown]
# Read the middle from right to left, as the gradient goes. With residual connections it grows: every block hands on what it got and adds what came
# through its branches. Without, it drops to a fraction, but not to nothing: LayerNorm multiplies the gradient by $1/\mathrm{std}$ ([notebook
# 6](06_layer_norm_and_gelu.ipynb)), here about 2.
#
# The harm is on the left. Attention averages tokens: after a few blocks without residual connections they are all the same (Dong et al. 2021, [arXiv
# 2103.03404](https://arxiv.org/abs/2103.03404), prove it for attention alone). Then it makes no difference where a query looks, and the query matrix
# gets no gradient but rounding (right). With residual connections the tokens stay different.
#
# ## Where the norm stands
#
# Vaswani et al. (2017) normalise *behind* each addition (**post-norm**), ViT inside the branch (**pre-norm**). With $f$ for attention or the MLP,
#
# $$ \text{post-norm: } z \leftarrow \mathrm{LN}(z + f(z)), \qquad \text{pre-norm: } z \leftarrow z + f(\mathrm{LN}(z)). $$
#
# The parameters are the same; a config chooses with `norm="pre"`, the default, or `norm="post"`:

# %%
print(exercises.source(post_norm_block))
small = encoder_block_init(rng, 4, 6, dtype="float64")
post_report = tinyvit.gradcheck(
    post_norm_block, post_norm_block_backward, rng.standard_normal((2, 3, 4)), small, heads=2
)
print()
print(str(post_report).splitlines()[-1])

# %% [markdown]
# The norm stands on the stream itself, so the whole gradient passes through it. In which of the two will the gradient fade before it reaches block 1?
# Stacks of 2 to 12 fresh blocks, a LayerNorm on top, and an upstream gradient of norm 1 from there: how large is what arrives at the input of each
# block, and at the parameters of the last? (The weight of the MLP's second layer stands for its block; mean over three random starts.)


# %%
def on_the_way_back(block, backward, depth, seed, dim=64, heads=4):
    """Norms of dz before each block and under the top LayerNorm, of the last fc2's gradient, and the variance on top."""
    rng = np.random.default_rng(seed)
    blocks, top, caches = [encoder_block_init(rng, dim, 4 * dim) for _ in range(depth)], layer_norm_init(rng, dim), []
    z = rng.standard_normal((8, 17, dim), dtype="float32")
    for p in blocks:
        z, c = block(z, p, heads=heads)
        caches.append(c)
    y, c = layer_norm(z, top)
    dz = rng.standard_normal(y.shape, dtype="float32")
    dz, _ = layer_norm_backward(dz / np.linalg.norm(dz), top, c)
    norms, of_weights = [np.linalg.norm(dz)], []
    for p, c in zip(reversed(blocks), reversed(caches), strict=True):
        dz, g = backward(dz, p, c)
        norms.insert(0, np.linalg.norm(dz))
        of_weights.append(np.linalg.norm(g["mlp"]["fc2"]["w"]))
    return np.array([*norms, of_weights[0], z.var(axis=-1).mean()])


depths = (2, 4, 6, 8, 10, 12)
pairs = {"pre-norm": (encoder_block, encoder_block_backward), "post-norm": (post_norm_block, post_norm_block_backward)}
measured = {
    name: {depth: np.mean([on_the_way_back(*pair, depth, seed) for seed in range(3)], axis=0) for depth in depths}
    for name, pair in pairs.items()
}
figure = new_figure(7.5, 2.7)
panels = figure.subplots(1, 3)
for (name, values), style, colour in zip(measured.items(), ("o-", "s--"), (BLUE, ORANGE), strict=True):
    for depth in (2, 6, 12):
        label = name if depth == 12 else None
        panels[0].plot(range(1, depth + 2), values[depth][:-2], style, color=colour, markersize=3, label=label)
    for axes, place in zip(panels[1:], (-2, -1), strict=True):
        axes.plot(depths, [values[depth][place] for depth in depths], style, color=colour, markersize=4)
panels[0].set(xlabel="block, in stacks of 2, 6, 12\n(last point: the top)", xticks=(1, 4, 8, 12))
panels[0].xaxis.label.set_size(9)
titles = "gradient of the block's input", "gradient of the last block's fc2", "variance of the tokens on top"
for axes, title in zip(panels, titles, strict=True):
    axes.set_title(title, fontsize=9)
    axes.set(ylim=(0, None))
    plain(axes)
for axes in panels[1:]:
    axes.set(xlabel="blocks", xticks=depths)
panels[0].legend(fontsize=8)
for name, values in measured.items():
    print(f"{name}, 12 blocks: dz from the top down", values[12][:-2][::-1].round(2))
variances = np.array([measured["pre-norm"][depth][-1] for depth in depths])
print(f"pre-norm, variance on top of {depths} blocks:", variances.round(1), end="  ")
print("1 / root:", (variances**-0.5).round(2))
last_of_12_over_2 = {name: values[12][-2] / values[2][-2] for name, values in measured.items()}
print("gradient of the last fc2, 12 blocks over 2:", {name: f"{r:.2f}" for name, r in last_of_12_over_2.items()})
figure

# %% [markdown]
# In neither: block 1 gets as much as the top gave, or more (left). A pre-norm stream is a sum to which every block adds, so its variance grows with
# each (right), and the LayerNorm on top divides the gradient by the root of it: for **all** blocks. Why does the gradient not stay small? On the way
# down each block adds what comes through its branches, and more where the stream's variance is small, since LayerNorm divides by its root. The *last*
# block has only the division: its gradient shrinks as the model gets deeper, and post-norm's does not (middle).
#
# Xiong et al. (2020, [arXiv 2002.04745](https://arxiv.org/abs/2002.04745)) derive a bound for pre-norm's last block, with the factor $1/\sqrt{L}$,
# and take it for the reason why post-norm models need small learning rates at first ([warm-up](09_training.ipynb)). [The paper
# lab](../docs/lab.md#layernorm-before-or-after) trains both, at several depths.
#
# ## Exercises
#
# The way back of the post-norm block, whose source is above:


# %%
def my_post_norm_block_backward(dz, p, c):
    """The gradient dz [B, T, D] of the output -> that of the input, and g {ln1, msa, ln2, mlp}."""


exercises.check("post_norm_block_backward", my_post_norm_block_backward)

# %% [markdown]
# And new ground. ViT-22B (Dehghani et al. 2023, [arXiv 2302.05442](https://arxiv.org/abs/2302.05442)) has both branches read the *same* normalised
# tokens, side by side. The forward pass is given. Which values are used more than once?


# %%
def side_by_side_block(z, p, *, heads):
    """z + MSA(LN(z)) + MLP(LN(z)), with one LayerNorm."""
    c = {}
    y, c["ln"] = layer_norm(z, p["ln"])
    attended, c["msa"] = multi_head_attention(y, y, p["msa"], heads=heads)
    thought, c["mlp"] = mlp(y, p["mlp"])
    return z + attended + thought, c


def my_side_by_side_block_backward(dz, p, c):
    """The gradient dz [B, T, D] of the output -> that of the input, and g {ln, msa, mlp}."""


z = np.random.default_rng(1).standard_normal((2, 3, 4))
exercises.grade(
    side_by_side_block,
    my_side_by_side_block_backward,
    z,
    {"ln": small["ln1"], "msa": small["msa"], "mlp": small["mlp"]},
    heads=2,
)

# %% [markdown]
# ## What we know now
#
# A Vision Transformer is a table of tokens. $2L$ branches add to it, and its first row is read at the end.

# %%
assert np.allclose(logits, by_vit, atol=1e-4) and np.allclose(sums[-1], stream[-1], atol=1e-4)
assert np.allclose(whole, short, atol=1e-10) and largest < 1e-10
assert abs(first_loss - math.log(10)) < 1e-6
assert all(not leaf.any() for name in ("patch", "blocks", "ln") for leaf in trees.leaves(g_new[name]))
assert by_hand(b16) == {name: trees.count(tree[name]) for name in by_hand(b16)}
assert all(formula == counted for formula, counted in counts.values()) and counts["B/16"][0] == 86_567_656
assert report.ok and not broken.ok and not other.ok and bare_report.ok and post_report.ok
assert abs(np.array(sizes[1]) - 1).max() < 2.5 and sizes[1 / 3][-1][0] < 1e-4 < 1e4 < sizes[3][-1][0]
assert [row.name for row in other.rows if row.error > other.rtol] == ["z"]
assert without[-1, 0] < 1e-3 < with_residual[-1, 0] and without[-1, 2] < 1e-6 < with_residual[-1, 2]
assert without[1:, 3].min() > 1.5 and without[1:, 3].max() < 3 and with_residual[1:, 3].max() < 1
assert last_of_12_over_2["pre-norm"] < 0.55 and last_of_12_over_2["post-norm"] > 0.9
assert all(values[depth][0] > values[depth][-3] for values in measured.values() for depth in depths)
assert np.isclose(measured["pre-norm"][12][-3], variances[-1] ** -0.5, rtol=0.05)

# %% [markdown]
# Next: [a museum of gradient bugs](08_museum_of_gradient_bugs.ipynb), or what the mistakes look like that everybody makes.
