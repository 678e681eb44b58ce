# %% [markdown]
# # Real weights: what is in the file, and what is not
#
# **The question.** Others have trained Vision Transformers and published what came out: a file of numbers. What is in such a file, and what must be
# known besides, until the layers of these notebooks give the answers that its authors saw?
#
# A program can read these parts wrongly:

# %%
from tinyvit.viz import overview

overview("patches", "positions", "attention", "head")

# %% [markdown]
# A published file is too large to come with this notebook. So a small model is trained here, and saved just as the large ones are. (Writing such files
# takes the package `safetensors`: `pip install safetensors`. Reading them does not.)

# %%
import json
import os
import struct
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import tinyvit
from tinyvit import trees
from tinyvit.data.photos import prepare_photo
from tinyvit.layers.fused_projection import fuse_projections, fused_projection, fused_projection_backward
from tinyvit.layers.linear import linear, linear_backward
from tinyvit.layers.multi_head_attention import multi_head_attention_init as attention_init
from tinyvit.ops.resize import resize
from tinyvit.ops.resize_positions import resize_positions
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain
from tinyvit.weights.naming import written
from tinyvit.weights.numerics import numerics
from tinyvit.weights.safetensors import from_bfloat16
from tinyvit.weights.sources import SOURCES
from tinyvit.weights.tensors import open_tensors

scratch = tempfile.TemporaryDirectory()  # what is written here goes away with the notebook
os.chdir(scratch.name)

(x, y), (x_test, y_test) = data = tinyvit.load_data("digits")
config = tinyvit.PRESETS["digits"]
p, _ = tinyvit.fit(config, data, recipe=tinyvit.Recipe(epochs=12, learning_rate=5e-3), progress=False)


def logits_of(p, config, images=x_test):
    return tinyvit.vit(images, p, config, all_rows=False, keep_cache=False)[0]


def accuracy_of(p, config, images=x_test):
    return (logits_of(p, config, images).argmax(-1) == y_test).mean()


tinyvit.save_weights("vit", p, config, class_names=[f"the digit {k}" for k in range(10)])
for file in sorted(Path("vit").iterdir()):
    print(f"{file.stat().st_size:8,} bytes  {file}")
print(f"test accuracy {100 * accuracy_of(p, config):.1f} %")
print(f"a ViT-B/16 in float32: {4 * tinyvit.parameter_count(tinyvit.PRESETS['B/16']):,} bytes")

# %% [markdown]
# ## The file, read by hand
#
# `model.safetensors` is as simple as a format can be: eight bytes that say how long the header is, the header, and then the numbers of all arrays,
# one array behind the other. The header is text in JSON:

# %%
with open("vit/model.safetensors", "rb") as file:
    (length,) = struct.unpack("<Q", file.read(8))  # an unsigned integer of 8 bytes, the lowest first
    header = json.loads(file.read(length))
    start = file.tell()
    end = file.seek(0, 2)

about = header.pop("__metadata__")
print(f"{len(header)} arrays; a header of {length:,} bytes, numbers from byte {start:,} to {end:,}; {about}")
for name, entry in list(header.items())[:12]:
    print(f"{entry['dtype']}  {entry['shape']!s:14} {entry['data_offsets']!s:16} {name}")

# %% [markdown]
# `F32` is float32. An array lies in the file row by row, at offsets counted from where the numbers begin. The whole file, with a stripe for each array as
# wide as its bytes (the shortest are white):

# %%
KINDS = {"attention": BLUE, "intermediate": ORANGE, ".output.dense": "#e69f00", "embeddings": "#56b4e9"}
figure = new_figure(7.5, 1.5)
axes = figure.subplots()
for name, entry in header.items():
    left, right = (offset / 1000 for offset in entry["data_offsets"])
    kind = next((kind for kind in KINDS if kind in name), None)
    axes.barh(0, right - left, left=left, color=KINDS.get(kind, "#444444"), edgecolor="white", linewidth=0.5)
for kind, words in zip(
    KINDS, ("attention", "MLP, first layer", "MLP, second layer", "patches, positions"), strict=True
):
    axes.bar(0, 0, color=KINDS[kind], label=words)
axes.bar(0, 0, color="#444444", label="LayerNorms, head")
axes.set(yticks=[], xlabel="thousands of bytes", xlim=(0, (end - start) / 1000))
axes.spines[["top", "left", "right"]].set_visible(False)
figure.legend(loc="outside upper center", ncols=5, fontsize=8, frameon=False)
figure

# %% [markdown]
# **Exercise.** Take an array out of the file. (`np.frombuffer(bytes, dtype)` makes an array of bytes.)


# %%
def my_tensor(path, name):
    """The array of this name in a .safetensors file of float32, as a NumPy array of the shape that the header gives."""


mine = my_tensor("vit/model.safetensors", "classifier.weight")
if mine is None:
    print("not written yet")
else:
    right = np.array_equal(mine, p["head"]["w"].T)
    print(
        "right"
        if right
        else f"not the head, {list(mine.shape)}: what does the header say, where do offsets count from?"
    )

# %% [markdown]
# **Exercise, new ground.** Many files hold `BF16`, bfloat16: the upper two bytes of a float32. NumPy has no such type. Given these halves as uint16, make
# float32.


# %%
def my_bfloat16(halves):
    """float32 of the same shape; the bytes that are missing are zero."""


halves = (p["head"]["w"].view(np.uint32) >> 16).astype(np.uint16)
mine = my_bfloat16(halves)
if mine is None:
    print("not written yet")
elif mine.dtype != np.float32 or mine.shape != halves.shape:
    print(f"found {mine.dtype} {mine.shape}, expected float32 {halves.shape}")
else:
    print("right" if np.array_equal(mine, from_bfloat16(halves)) else "other numbers: where do the two bytes belong?")
    print(f"largest relative error of the halves: {abs(mine / p['head']['w'] - 1).max():.1%}")

# %% [markdown]
# Nothing in the file can be run, as a pickle can. But a header may be wrong, from a download that broke off or from malice. So `tinyvit.load_weights`
# compares every number of it with the length of the file before it uses any. A file that was cut short:


# %%
def complaint(*words, **keywords):
    """The one line that load_weights says of what it cannot read."""
    try:
        tinyvit.load_weights(*words, **keywords)
    except tinyvit.TinyvitError as error:
        return str(error)


Path("half.safetensors").write_bytes(Path("vit/model.safetensors").read_bytes()[: end // 2])
print(complaint("half.safetensors"))

# %% [markdown]
# ## One model, three sets of names
#
# There are three sets of names for the same parameters: Google's, of the authors' own files (`.npz`, NumPy's archives of arrays); timm's, of a large
# library of models for PyTorch; and Hugging Face's, of the library transformers. We save our model in all three ways. The first line of each group is
# ours.

# %%
tinyvit.save_weights("timm", p, config, "timm")
np.savez("google.npz", **written(p, SOURCES["google"], config))
FILES = {"google": "google.npz", "timm": "timm", "huggingface": "vit"}

theirs = {source: {} for source in FILES}  # by our names: theirs, and the shape there
for source, path in FILES.items():
    with open_tensors(path) as tensors:
        for ours, _, name, _ in SOURCES[source].forms(config):
            theirs[source][ours] = f"{list(tensors[name].shape)!s:14} {name}"

leaves = trees.named(p)
for ours in ("patch/w", "pos", "blocks/0/msa/q/w", "blocks/0/mlp/fc1/w", "head/w"):
    print(f"{ours}  {list(leaves[ours].shape)}")
    for source in FILES:
        print(f"  {source:12} {theirs[source][ours]}")

# %% [markdown]
# The same numbers, arranged otherwise:
#
# * **A matrix.** Our layers, and Google's, compute $y = x W$ with $W$ $[\text{in}, \text{out}]$. PyTorch stores $W^\top$, $[\text{out}, \text{in}]$: what
#   comes from there is transposed once, when it is read.
# * **Heads.** Google's query has shape $[D, h, d]$, with $h$ heads of width $d = D_h = D / h$. Laid out row by row these are the numbers of a $[D, D]$
#   matrix whose columns are grouped by head, which is ours.
# * **Query, key and value in one.** timm's `qkv` is $[3D, D]$: the three matrices, transposed, stacked in this order.
# * **The patches' kernel.** Google's is $[P, P, C, D]$: row and column in a patch of side $P$, channel, feature. Flattened, that is our
#   $[P P C, D]$. PyTorch's is $[D, C, P, P]$: the axes are exchanged before they are flattened.
#
# `qkv` by hand, with $D = 32$:

# %%
with open_tensors("timm") as tensors:
    qkv = tensors["blocks.0.attn.qkv.weight"].read()

q, k, v = np.split(qkv, 3)  # along the first axis
print("qkv", list(qkv.shape), " q", list(q.shape))
for letter, array in {"q": q, "k": k, "v": v}.items():
    print(f"{letter} transposed is ours, to the bit:", np.array_equal(array.T, p["blocks"][0]["msa"][letter]["w"]))

# %% [markdown]
# As in [equation (5)](03_attention.ipynb), one product makes all three; split afterwards it is the same function with the same
# gradients. The package keeps three, because then the queries may come from somewhere else than keys and values.

# %%
rng = np.random.default_rng(0)
tokens = rng.standard_normal((5, 4, 6))  # [B, T, D]
apart = {
    name: {leaf: rng.standard_normal(a.shape) for leaf, a in layer.items()}
    for name, layer in attention_init(np.random.default_rng(0), 6).items()
    if name in "qkv"
}
fused = fuse_projections(apart)
qkv, c_fused = fused_projection(tokens, fused)
dqkv = rng.standard_normal(qkv.shape)  # an upstream gradient for each of the three
dx, g = fused_projection_backward(dqkv, fused, c_fused)
separate = [linear_backward(dqkv[i], apart[name], {"x": tokens}) for i, name in enumerate("qkv")]
fused_errors = {
    "q, k, v": abs(qkv - np.stack([linear(tokens, apart[name])[0] for name in "qkv"])).max(),
    "dx": abs(dx - sum(dx_i for dx_i, _ in separate)).max(),
    "dw": abs(g["w"] - np.concatenate([g_i["w"] for _, g_i in separate], axis=-1)).max(),
    "db": abs(g["b"] - np.concatenate([g_i["b"] for _, g_i in separate])).max(),
}
print("fused and apart differ by: ", ", ".join(f"{name}: {error:.0e}" for name, error in fused_errors.items()))

# %% [markdown]
# ## There and back
#
# `load_weights` recognises the names, arranges every array our way, and returns the parameters, the configuration, and what is worth saying about it.

# %%
loaded = {source: tinyvit.load_weights(path) for source, path in FILES.items()}
expected = logits_of(p, config)
for source, (read, found, notes) in loaded.items():
    same = all(np.array_equal(a, b) for (_, a), (_, b) in zip(trees.walk(read), trees.walk(p), strict=True))
    drift = abs(logits_of(read, found) - expected).max()
    print(f"{source}: every bit the same {same}; logits differ by at most {drift:.0e}")
    print("    " + "\n    ".join(notes.lines))

# %% [markdown]
# Every bit came back, three times. But under Google's names the logits are not quite the same: an `.npz` holds arrays and nothing else, so GELU's form
# is assumed to be the authors', with tanh. Ours is the exact one, `erf`. What is assumed can be overruled:

# %%
read, found, _ = tinyvit.load_weights("google.npz", gelu="erf")
print("largest difference with gelu='erf':", abs(logits_of(read, found) - expected).max())

# %% [markdown]
# ## Break it
#
# What else does the file not say? In timm's and Hugging Face's files the number of heads: each query matrix is $[D, D]$, however many heads share its
# columns. Without `config.json`, only models of the published sizes are known. For any other, the reader asks:

# %%
Path("bare.safetensors").write_bytes(Path("timm/model.safetensors").read_bytes())
print(complaint("bare.safetensors"))
print(tinyvit.load_weights("bare.safetensors", heads=4)[2].lines[0])

# %% [markdown]
# Now the mistakes of somebody who writes such a reader. Square matrices do not protest: each of these models runs. Which of the six wrong ones keep
# their accuracy, within a point? Put their names into `my_prediction`.


# %%
def broken_blocks(change):
    return p | {"blocks": [change(block) for block in p["blocks"]]}


def forget_transpose(block):
    msa = block["msa"]
    return block | {"msa": msa | {"q": msa["q"] | {"w": msa["q"]["w"].T}}}


def exchange_q_and_k(block):
    return block | {"msa": block["msa"] | {"q": block["msa"]["k"], "k": block["msa"]["q"]}}


def exchange_norms(block):
    return block | {"ln1": block["ln2"], "ln2": block["ln1"]}


P, D = config.patch, config.dim
sideways = p["patch"]["w"].reshape(P, P, 1, D).swapaxes(0, 1).reshape(P * P, D)
readers = {
    "right": (p, config),
    "q not transposed": (broken_blocks(forget_transpose), config),
    "q and k exchanged": (broken_blocks(exchange_q_and_k), config),
    "the two LayerNorms exchanged": (broken_blocks(exchange_norms), config),
    "rows and columns of patches exchanged": (p | {"patch": p["patch"] | {"w": sideways}}, config),
    "8 heads in place of 4": (p, replace(config, heads=8)),
    "GELU with tanh in place of erf": (p, replace(config, gelu="tanh")),
}
my_prediction = set()  # of names

drifts = {words: abs(logits_of(*model) - expected).max() for words, model in readers.items()}
accuracies = {words: accuracy_of(*model) for words, model in readers.items()}
for words, drift in drifts.items():
    print(f"{words:38} largest difference {drift:7.1e}   test accuracy {100 * accuracies[words]:5.1f} %")
kept_theirs = {words for words in list(readers)[1:] if abs(accuracies[words] - accuracies["right"]) < 0.01}
print(f"accuracy finds {len(readers) - 1 - len(kept_theirs)} of {len(readers) - 1}")
if my_prediction:
    print("as you predicted" if my_prediction == kept_theirs else f"you said {my_prediction}, found {kept_theirs}")

# %% [markdown]
# No shape is wrong in any of them. Accuracy finds most, misses the exchanged LayerNorms, and sees nothing of GELU. So the package's readers are compared
# with the libraries' own logits, to $10^{-4}$ in float32 and $10^{-10}$ in float64 ([docs/weights.md](../docs/weights.md)). Either would catch every line
# but the first.
#
# ## Another image size
#
# Of a Vision Transformer's arrays one alone depends on the number of patches: the table of positions. For another size it is resized, without the class
# token's row, as a picture of $G \times G$ pixels with $D$ channels
# ([Dosovitskiy et al. 2021](https://arxiv.org/abs/2010.11929), section 3.2).
#
# **Exercise.** Resize by straight lines with the corners aligned: new pixel $i$ of $G'$ lies at $i (G - 1) / (G' - 1)$, in units of old pixels, and is a
# mean of the two old pixels around it, each weighted by how near it is. (`np.interp` does that along one axis, for one feature at a time.)


# %%
def my_resize_positions(pos, grid):
    """A table [1 + G^2, D] -> [1 + grid^2, D]: the class token's row as it is, the others resized, corners aligned."""


G = config.grid
for grid in (G, 2, 7):
    mine = my_resize_positions(p["pos"], grid)
    if mine is None:
        print("not written yet")
        break
    right = resize_positions(p["pos"], grid, "bilinear aligned")[0]
    if mine.shape != right.shape:
        print(f"found the shape {mine.shape}, expected {right.shape}")
    elif not np.array_equal(mine[0], p["pos"][0]):
        print("the class token's row has no place in the image: keep it")
    else:
        print(f"{grid} x {grid}: {'right' if np.allclose(mine, right, atol=1e-5) else 'the patches are not yet right'}")

# %% [markdown]
# Here the table of $4 \times 4$ patches becomes one of $7 \times 7$. Above and below: how far each patch's row lies along the two
# directions in which the rows differ most. In the middle a cubic curve is laid through the neighbours, as Hugging Face does it; on the right are the
# straight lines of the exercise, as in Google's code.

# %%
tables = {
    f"trained, {G} x {G}": p["pos"],
    "bicubic, 7 x 7": resize_positions(p["pos"], 7, "bicubic")[0],
    "aligned bilinear, 7 x 7": resize_positions(p["pos"], 7, "bilinear aligned")[0],
}
centre = p["pos"][1:].mean(axis=0)
directions = np.linalg.svd(p["pos"][1:] - centre, full_matrices=False)[2][:2]  # of unit length, the strongest first

figure = new_figure(7, 4)
for number, (row, direction) in enumerate(zip(figure.subplots(2, 3), directions, strict=True), 1):
    most = abs((p["pos"][1:] - centre) @ direction).max()
    for axes, (title, table) in zip(row, tables.items(), strict=True):
        side = int(len(table[1:]) ** 0.5)
        picture = ((table[1:] - centre) @ direction).reshape(side, side)
        handle = axes.imshow(picture, cmap="viridis", vmin=-most, vmax=most)
        axes.set(xticks=[], yticks=[], title=title if number == 1 else "")
    row[0].set_ylabel(f"direction {number}")
    figure.colorbar(handle, ax=row)
figure

# %% [markdown]
# The table is rough: its random start [hides what is learned](05_positions.ipynb).

# %%
kept = [np.array_equal(table[0], p["pos"][0]) for table in tables.values()]
identity = [np.array_equal(resize_positions(p["pos"], G, way)[0], p["pos"]) for way in ("bicubic", "bilinear aligned")]
print("class row kept:", kept, "  same size, same table:", identity)

# %% [markdown]
# `load_weights(..., image=)` does it. How good is the model, without a step of training, on images of 12 pixels, $6 \times 6$ patches? First the
# test images are enlarged as well, with three tables: the resized one, one of zeros, and the old rows in reading order, over and over, which have no
# geometry. Then they are not enlarged but padded with background, so that every patch shows what it showed in training: with the resized table, and with
# the old rows where the digit is. Guess the order.

# %%
larger, wide, notes = tinyvit.load_weights("vit", image=12)
print(notes.lines[-1])
enlarged = resize(x_test, 12, 12, "bicubic")[0]
rows = np.concatenate([p["pos"][:1], np.resize(p["pos"][1:], (wide.tokens - 1, D))])
padded = np.pad(x_test, ((0, 0), (2, 2), (2, 2), (0, 0)), constant_values=-1)
middle = larger["pos"][1:].reshape(6, 6, D).copy()
middle[1:5, 1:5] = p["pos"][1:].reshape(4, 4, D)
middle = np.concatenate([p["pos"][:1], middle.reshape(36, D)])
at_12 = {
    "enlarged, positions resized": accuracy_of(larger, wide, enlarged),
    "enlarged, no positions": accuracy_of(larger | {"pos": np.zeros_like(larger["pos"])}, wide, enlarged),
    "enlarged, rows in reading order": accuracy_of(larger | {"pos": rows}, wide, enlarged),
    "padded, positions resized": accuracy_of(larger, wide, padded),
    "padded, old rows in the middle": accuracy_of(larger | {"pos": middle}, wide, padded),
}
for words, accuracy in at_12.items():
    print(f"{words:32} test accuracy {100 * accuracy:5.1f} %")

# %% [markdown]
# Without geometry the model guesses. With the resized table it reads far more enlarged digits, but fewer than at the old size. Scale is not the only
# reason: padded digits have the old scale, and with the resized table fewer of them are read than with the old rows. With the resized table a patch
# of the padded digit has not the row that it had in training. So one trains on at the new size (**fine-tuning**), from the resized table.
#
# ## Small choices
#
# The sources also differ in small choices: tanh or erf in GELU; the eps beside the variance in LayerNorm; and how a photograph becomes the model's
# input (by straight lines, `bilinear`, or cubic curves, `bicubic`; from all pixels (`antialias`, for pictures unsaid), or the nearest four;
# whole or its middle, `crop`). Whoever mixes them up gets a model that is only a little off. `tinyvit.weights.numerics` (on the command line `tinyvit
# numerics`) exchanges one choice at a time, and looks at what the logits and the best class's probability do. Our picture is a test image with each
# pixel drawn as a square of 12 by 12. Guess first: which choice matters most?


# %%
def enlarged_picture(image):
    """uint8 [96, 96, 1], as if read from a file."""
    return np.round(127.5 * (image + 1)).astype(np.uint8).repeat(12, axis=0).repeat(12, axis=1)


read, found, notes = loaded["huggingface"]
pictures = [enlarged_picture(image) for image in x_test[:40]]
changes = [numerics(read, found, notes.preparation, "huggingface", picture) for picture in pictures]
print(f"{'what':27} {'usual':9} {'other':22} logits  probability")
for row in changes[0]:
    print(f"{row.what:27} {row.usual:9} {row.other:22} {row.logits:.0e} {row.probability:+11.0e}")

# %% [markdown]
# That was one picture. Here are forty, a dot for each: how far the logit that moves most has moved. (The rows on positions compare two models at 12
# pixels.)

# %%
WORDS = {"bilinear, four pixels": "bilinear of the nearest four", "bicubic, crop 0.9": "bicubic of the middle 90 %"}
names = [f"{row.what}:\n{row.usual} to {WORDS.get(row.other, row.other)}" for row in changes[0]]
drift = np.array([[row.logits for row in rows] for rows in changes])  # [40 pictures, choices]
flips = np.array([[not row.same_class for row in rows] for rows in changes])
inputs = np.stack([prepare_photo(picture, notes.preparation, channels=1) for picture in pictures])
sorted_logits = np.sort(logits_of(read, found, inputs))
gaps = np.quantile(sorted_logits[:, -1] - sorted_logits[:, -2], [0.25, 0.75])

medians = np.median(drift, axis=0)
most = {
    row.what: max(m for m, other in zip(medians, changes[0], strict=True) if other.what == row.what)
    for row in changes[0]
}
order = sorted(
    range(len(names)), key=lambda i: (-most[changes[0][i].what], -medians[i])
)  # what is one choice stays together
drift, flips, names = drift[:, order], flips[:, order], [names[i] for i in order]

figure = new_figure(7.5, 4.2)
axes = figure.subplots()
axes.axvspan(*gaps, color="#cccccc", label="best logit less the second,\nmiddle half of the pictures")
height = np.arange(len(names)) + np.linspace(-0.25, 0.25, len(pictures))[:, None]
floor = np.maximum(drift, 1e-7)  # a drift of 0 has no place on a logarithmic axis
axes.plot(floor[~flips], height[~flips], "o", color=BLUE, markersize=3, alpha=0.6, label="same class")
axes.plot(floor[flips], height[flips], "D", color=ORANGE, markersize=4.5, label="another class")
axes.set(xscale="log", xlabel="largest change of a logit", yticks=range(len(names)))
axes.set_yticklabels(names, fontsize=8)
axes.invert_yaxis()
plain(axes)
axes.legend(loc="upper left", fontsize=8)
for name, median in zip(names, np.median(drift, axis=0), strict=True):
    print(f"{' '.join(name.split()):65} median {median:.0e}")
figure

# %% [markdown]
# The order is the lesson. On top is how pictures and positions are resized: an antialiasing resize averages all the pixels that become one, Google's
# reads the nearest four only, and the two do not see the same picture. GELU, eps and the precision move logits about a thousandth as far, or less,
# and change no answer here. Whoever reports an accuracy should name the preprocessing first.
#
# ## A real file
#
# These lines classify a photograph with a published model. **They are not run here**, because the file is not bundled. Take `model.safetensors` and
# `config.json` of [google/vit-base-patch16-224](https://huggingface.co/google/vit-base-patch16-224) into a folder `vit-base-patch16-224`, and a
# photograph of your own:
#
# ```python
# from tinyvit.data import read_image
# from tinyvit.data.photos import imagenet_names, prepare_photo
#
# p, config, notes = tinyvit.load_weights("vit-base-patch16-224")
# image = prepare_photo(read_image("cat.jpg"), notes.preparation)
# print(imagenet_names()[tinyvit.vit(image[None], p, config)[0].argmax()])
# ```
#
# On the command line: `tinyvit predict vit-base-patch16-224 cat.jpg`. Whether its features help with your pictures, a
# [probe](../docs/lab.md#what-are-features-worth-for-new-classes) tells.
#
# What does run here is the same code on our own file, with the digit as the photograph:

# %%
p_read, config_read, notes = tinyvit.load_weights("vit")
image = prepare_photo(pictures[0], notes.preparation, channels=1)
answer = tinyvit.vit(image[None], p_read, config_read)[0].argmax()
print(f"found: {notes.class_names[answer]}; it is a {y_test[0]}")

# %% [markdown]
# ## What we know now
#
# A weights file is names, shapes and numbers. The names follow one of three sources; the shapes tell the model's sizes, but in two of them not the
# heads; the numbers need a transpose here and an exchange of axes there. How a picture is prepared, which GELU, which eps has to come from elsewhere,
# and mattered here in this order.

# %%
assert drifts["right"] == 0
assert all(drift > 1e-4 for words, drift in drifts.items() if words != "right")
for path, how in {"vit": {}, "bare.safetensors": {"heads": 4}, "google.npz": {"gelu": "erf"}}.items():
    read, found, _ = tinyvit.load_weights(path, **how)
    assert (found.heads, found.gelu, found.eps) == (config.heads, config.gelu, config.eps)
    assert abs(logits_of(read, found) - expected).max() < 1e-4
assert loaded["google"][1].gelu == "tanh"
assert all(kept) and all(identity)
assert max(fused_errors.values()) < 1e-12
assert at_12["enlarged, positions resized"] > 0.1 + max(
    at_12["enlarged, no positions"], at_12["enlarged, rows in reading order"]
)
assert at_12["padded, old rows in the middle"] > 0.1 + at_12["padded, positions resized"]
assert most["LayerNorm's eps"] < most["GELU"] < most["the picture's resize"]

# %% [markdown]
# Next: [class token or average](14_class_token_or_average.ipynb), and what the learning rate has to do with it.
