# %% [markdown]
# # Real weights: what is in the file, and what is not
#
# **The question.** Others have trained Vision Transformers for days, on millions of photographs, and have published what came out: a file of
# numbers. What is in such a file, and what must be known besides, until the layers of these notebooks give the answers that its authors saw?
#
# A published file is too large to come with this notebook (that of a ViT-B/16 has 346 MB). So a small model is trained here, and saved just as the
# large ones are. Everything below works in the same way on those; the section "A real file" says how. (Writing such files takes the package
# `safetensors`: `pip install safetensors`. Reading them does not.)

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
from tinyvit.ops.resize import resize
from tinyvit.ops.resize_positions import resize_positions
from tinyvit.training.features import features_of
from tinyvit.training.probe import ridge, shots
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain
from tinyvit.weights.naming import written
from tinyvit.weights.numerics import numerics
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

# %% [markdown]
# ## The file, read by hand
#
# `model.safetensors` is as simple as a format can be: eight bytes that say how long the header is, the header, and then the numbers of all arrays,
# one array behind the other. The header is text in JSON. Five lines read it:

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
# `F32` is float32, four bytes a number. An array of shape $[32, 32]$ takes $4 \cdot 32 \cdot 32 = 4096$ bytes, and lies in the file row by row, at
# the offsets that are given, counted from where the numbers begin. The whole file as a map, a stripe for each array in the order of the offsets, as
# wide as its bytes:

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
# Nothing in the file can be run: it is not a pickle, which may do anything when it is opened. But a header may still be wrong, from a download that
# broke off or from malice, and a reader that believes its sizes reads other arrays' bytes, or asks for memory that does not exist. So
# `tinyvit.load_weights` compares every number of the header with the length of the file before it uses any. A file that was cut short:


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
# The same parameters can be found under three sets of names: Google's, of the authors' own files (`.npz`, NumPy's archives of arrays); timm's, of a
# large library of models for PyTorch; and Hugging Face's, of the library transformers. We save our model in all three ways, and put what the files
# say side by side. The first line of each group is ours.

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
# The same numbers, in four arrangements:
#
# * **A matrix.** Our layers, and Google's, compute $y = x W$ with $W$ $[\text{in}, \text{out}]$: a row of $x$ meets a column of $W$. PyTorch stores
#   $W^\top$, $[\text{out}, \text{in}]$, and computes $y = x (W^\top)^\top$. So what comes from there is transposed once, when it is read.
# * **Heads.** Google's query has shape $[D, h, d]$, with $h$ heads of width $d = D / h$. Laid out row by row these are the numbers of a $[D, D]$
#   matrix whose columns are grouped by head, which is ours.
# * **Query, key and value in one.** timm's `qkv` is $[3D, D]$: the three matrices, transposed, stacked in this order.
# * **The patches' kernel.** Google's is $[P, P, C, D]$: row and column in a patch of side $P$, channel, feature. Flattened, that is our
#   $[P P C, D]$. PyTorch's is $[D, C, P, P]$, with the channel before row and column: the axes are exchanged before they are flattened.
#
# The fused one by hand, with $D = 32$:

# %%
with open_tensors("timm") as tensors:
    qkv = tensors["blocks.0.attn.qkv.weight"].read()

q, k, v = np.split(qkv, 3)  # along the first axis
print("qkv", list(qkv.shape), " q", list(q.shape))
for letter, array in {"q": q, "k": k, "v": v}.items():
    print(f"{letter} transposed is ours, to the bit:", np.array_equal(array.T, p["blocks"][0]["msa"][letter]["w"]))

# %% [markdown]
# ## There and back
#
# `load_weights` recognises the names, turns everything over, and returns the parameters, the configuration, and what is worth saying about it.

# %%
loaded = {source: tinyvit.load_weights(path) for source, path in FILES.items()}
expected = logits_of(p, config)
for source, (read, found, notes) in loaded.items():
    same = all(np.array_equal(a, b) for (_, a), (_, b) in zip(trees.walk(read), trees.walk(p), strict=True))
    drift = abs(logits_of(read, found) - expected).max()
    print(f"{source}: every bit the same {same}; logits differ by at most {drift:.0e}")
    print("    " + "\n    ".join(notes.lines))

# %% [markdown]
# Every bit came back, three times. But under Google's names the logits are not quite the same: an `.npz` holds arrays and nothing else, so the form
# of GELU is assumed, and the authors' code uses the approximation with tanh. Our model was trained with the exact form, `erf`. In the other two
# folders a `config.json` says so. What is assumed can be overruled:

# %%
read, found, _ = tinyvit.load_weights("google.npz", gelu="erf")
print("largest difference with gelu='erf':", abs(logits_of(read, found) - expected).max())

# %% [markdown]
# ## Break it
#
# What else does the file not say? In timm's and in Hugging Face's files the number of heads: `query` is $[D, D]$, however many heads share its
# columns. Without its `config.json`, only models of the published sizes are known, and this is none of them. Nothing is guessed then:

# %%
Path("timm/config.json").unlink()
print(complaint("timm"))
print(tinyvit.load_weights("timm", heads=4)[2])

# %% [markdown]
# Now the mistakes of somebody who writes such a reader. Square matrices do not protest: a forgotten transpose of a $[D, D]$ matrix fits, and so do
# exchanged queries and keys, or the wrong number of heads. Each of these models runs:


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
drifts = {words: abs(logits_of(*model) - expected).max() for words, model in readers.items()}
accuracies = {words: accuracy_of(*model) for words, model in readers.items()}
for words, drift in drifts.items():
    print(f"{words:38} largest difference {drift:7.1e}   test accuracy {100 * accuracies[words]:5.1f} %")

# %% [markdown]
# No shape is wrong in any of them, and accuracy is a poor detective: exchanged LayerNorms hardly change it, and of the last line it sees nothing. So
# parity is tested on logits. The
# package's readers are held against the libraries' own answers, to $10^{-4}$ in float32 and to $10^{-10}$ in float64, at which every line but the
# first is caught. Which tests do that is in [docs/weights.md](../docs/weights.md).
#
# ## Another image size
#
# A Vision Transformer does not care how many tokens there are, but for one array: the table of positions has a row for each patch. Images of another
# size have another number of patches. Their embeddings are interpolated: the table without its first row is taken for a picture of $G \times G$
# pixels with $D$ channels, and resized (Dosovitskiy et al. 2021, section 3.2). The first row is the class token's, which is nowhere in the image, so
# it stays as it is.
#
# Here the trained table of $4 \times 4$ patches becomes one of $7 \times 7$. Each row of pictures is one of the table's two principal directions: the
# two patterns of which it has most. In the middle, a cubic curve is laid through the neighbours, and the outermost of the new patches lie further out
# than the old ones' centres, as Hugging Face does it; on the right, straight lines are drawn between neighbours and the corners stay where they were,
# as Google's code does it.

# %%
G = config.grid
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
# The table is rough, for it began as random numbers, and training has moved them only as far as it had to
# ([positions](05_positions.ipynb)).
#
# Two properties to hold on to. The class token's row is the same in all three, and at the same size the table is what it was, to the bit:

# %%
kept = [np.array_equal(table[0], p["pos"][0]) for table in tables.values()]
identity = [np.array_equal(resize_positions(p["pos"], G, way)[0], p["pos"]) for way in ("bicubic", "bilinear aligned")]
print("class row kept:", kept, "  same size, same table:", identity)

# %% [markdown]
# `load_weights(..., image=)` does it, in the way of the file's source. Is the larger model any good, without a step of training? The test images are
# resized as well, from 8 to 12 pixels, so that they have $6 \times 6$ patches. Three tables are compared: the resized one, one of zeros, and the old
# table's rows in reading order from the top left, over and over, which has the right number of rows and no geometry.

# %%
larger, wide, notes = tinyvit.load_weights("vit", image=12)
print(notes.lines[-1])
enlarged = resize(x_test, 12, 12, "bicubic")[0]
rows = np.concatenate([p["pos"][:1], np.resize(p["pos"][1:], (wide.tokens - 1, D))])
at_12 = {
    "positions resized": accuracy_of(larger, wide, enlarged),
    "no positions": accuracy_of(larger | {"pos": np.zeros_like(larger["pos"])}, wide, enlarged),
    "rows in reading order": accuracy_of(larger | {"pos": rows}, wide, enlarged),
}
for words, accuracy in at_12.items():
    print(f"{words:22} test accuracy at 12 x 12 pixels {100 * accuracy:5.1f} %")

# %% [markdown]
# With the resized table the model still knows more than half of the digits; without geometry it guesses. What is lost is lost for two reasons: a
# patch of $2 \times 2$ pixels now shows a smaller part of a digit than the model has learned to read, and it has never met the embeddings in
# between. That is what fine-tuning at the new size is for, and the resized table is where it starts.
#
# ## Small choices
#
# The sources also differ in small numbers: tanh or erf in GELU; $10^{-12}$, $10^{-6}$ or $10^{-5}$ beside the variance in LayerNorm; and in how a
# photograph becomes the model's input. Whoever mixes them up gets a model that is not wrong enough to fail, only a little off. How far off?
# `tinyvit.weights.numerics` (on the command line `tinyvit numerics`) exchanges one choice at a time, and looks at what the logits do. Our picture is
# a test image with each pixel drawn as a square of 12 by 12, since a photograph is larger than the model's input.


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
# That was one picture. Here are forty, a dot for each: how far the logit that moves most has moved. A dot is orange where the best class became
# another. The grey band is the middle half of what separates the best logit from the second best: a drift far to the left of it changes no answer but
# the closest. (The rows on positions compare two models at 12 pixels, where both are less sure, and less is enough.)

# %%
names = [f"{row.what}:\n{row.usual} to {row.other}" for row in changes[0]]
drift = np.array([[row.logits for row in rows] for rows in changes])  # [40 pictures, choices]
flips = np.array([[not row.same_class for row in rows] for rows in changes])
inputs = np.stack([prepare_photo(picture, notes.preparation, channels=1) for picture in pictures])
sorted_logits = np.sort(logits_of(read, found, inputs))
gaps = np.quantile(sorted_logits[:, -1] - sorted_logits[:, -2], [0.25, 0.75])

figure = new_figure(7.5, 4.2)
axes = figure.subplots()
axes.axvspan(*gaps, color="#cccccc")
height = np.arange(len(names)) + np.linspace(-0.25, 0.25, len(pictures))[:, None]
floor = np.maximum(drift, 1e-7)  # a drift of 0 has no place on a logarithmic axis
axes.plot(floor[~flips], height[~flips], "o", color=BLUE, markersize=3, alpha=0.6, label="same class")
axes.plot(floor[flips], height[flips], "D", color=ORANGE, markersize=4.5, label="another class")
axes.set(xscale="log", xlabel="largest change of a logit", yticks=range(len(names)))
axes.set_yticklabels(names, fontsize=8)
axes.invert_yaxis()
plain(axes)
axes.legend(loc="center")
figure

# %% [markdown]
# The order is the lesson. How the picture is resized comes first: an antialiasing resize averages all the pixels that become one, Google's reads the
# nearest four only, and the two do not see the same picture. As much depends on how positions are resized, where the image size is changed at all.
# The form of GELU is a matter of the third or fourth decimal, eps of the fourth to sixth, and float32 against float64 of the sixth or seventh. (That
# is so for this model. eps is added to a token's variance, and matters more where that is small.) Whoever reports an accuracy should name the
# preprocessing first.
#
# ## Are the features any good?
#
# The usual question to published weights is not what their thousand classes are, but whether their **features**, what the head reads, help with
# something else. A **linear probe** answers it without training: a few images of each class (**shots**), their features, and one linear map from
# features to classes. The paper's few-shot accuracies are made in this way (section 4.1), with regularised least squares from features to targets of
# $-1$ and $1$. Often that is called logistic regression; it is not, and it needs no iterations: the map has a closed form.
#
# With $X$ the features of the shots, a row for each, $T$ their targets, both less their means, and a number $\lambda$ that keeps the map small:
#
# $$ W = \left( X^\top X + \lambda \mathbf{1} \right)^{-1} X^\top T. $$
#
# On the left, the ten digits, probed in the model that was trained on them, in one that was not trained, and in the bare pixels. That comparison is
# too kind, since the first model has seen all the training images with their labels. So on the right another model is trained on the digits 0 to 4
# alone, and probed with 5 to 9, which it has never seen. Lines are means over 20 draws of the shots; the shade spans all but the two best and the
# two worst.

# %%
SHOTS, DRAWS = (1, 2, 5, 10, 25), 20


def few_shot(extract, train, test, classes):
    """Accuracies [shots, draws] of a probe on what `extract` makes of images."""
    features, unseen = extract(train[0]), extract(test[0])
    accuracies = np.empty((len(SHOTS), DRAWS))
    for i, n in enumerate(SHOTS):
        for draw in range(DRAWS):
            few = shots(np.random.default_rng([n, draw]), train[1], n)
            head = ridge(features[few], train[1][few], classes, l2=0.1)
            accuracies[i, draw] = ((unseen @ head["w"] + head["b"]).argmax(-1) == test[1]).mean()
    return accuracies


def digits_from(first, last):
    """The data set of these digits alone, with labels from 0 on."""
    return [(x[(y >= first) & (y <= last)], y[(y >= first) & (y <= last)] - first) for x, y in data]


fives = replace(config, classes=5)
p_low, _ = tinyvit.fit(fives, digits_from(0, 4), recipe=tinyvit.Recipe(epochs=12, learning_rate=5e-3), progress=False)
start = tinyvit.vit_init(np.random.default_rng(0), config)
probes = {}
for title, trained, (train, test), classes in (
    ("probed on 0 to 9, trained on 0 to 9", p, data, 10),
    ("probed on 5 to 9, trained on 0 to 4", p_low, digits_from(5, 9), 5),
):
    probes[title] = {
        "trained": few_shot(lambda images, trained=trained: features_of(images, trained, config), train, test, classes),
        "pixels": few_shot(lambda images: images.reshape(len(images), -1), train, test, classes),
        "random start": few_shot(lambda images: features_of(images, start, config), train, test, classes),
    }

styles = {"trained": (BLUE, "o-"), "pixels": ("#666666", "^:"), "random start": (ORANGE, "s--")}
figure = new_figure(7.5, 3)
both = figure.subplots(1, 2, sharey=True)
for axes, (title, lines) in zip(both, probes.items(), strict=True):
    for name, found in lines.items():
        colour, style = styles[name]
        axes.plot(SHOTS, 100 * found.mean(axis=1), style, color=colour, label=name)
        low, high = np.sort(100 * found, axis=1)[:, [2, -3]].T
        axes.fill_between(SHOTS, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set(title=title, xscale="log", xlabel="images of each class", ylim=(0, 101), xticks=SHOTS)
    axes.set_xticklabels(SHOTS)
    axes.minorticks_off()
    plain(axes)
both[0].set_ylabel("test accuracy in %")
axes.legend()
figure

# %% [markdown]
# On the left, what one hopes for: a single image of each digit is enough. On the right, what one should know. The features of a small model that was
# trained for five digits say less about the other five than those of a model that was not trained at all, and the bare pixels say more than both:
# training keeps what tells 0 to 4 apart, and need not keep the rest. Trained is not the same as useful. Published features come from far more
# pictures and classes (ImageNet-21k has 14 million photographs of some 21,000 kinds), and whether they help with your pictures is a
# matter of measuring: a probe, with its simplest rivals beside it.
#
# ## A real file
#
# The three lines below classify a photograph with a published model. **They are not run here**, because the file is not bundled. Take
# `model.safetensors` and `config.json` of the model [google/vit-base-patch16-224](https://huggingface.co/google/vit-base-patch16-224) into a folder
# `vit-base-patch16-224`, and a photograph of your own:
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
# The same on the command line: `tinyvit predict vit-base-patch16-224 cat.jpg`. Then `tinyvit numerics`, `tinyvit features`, `tinyvit probe` and
# `tinyvit train --from` take the same folder. Where to find smaller files, and what is known of each source, is in
# [docs/weights.md](../docs/weights.md).
#
# What does run here is the same code on our own file, with the digit as the photograph:

# %%
p_read, config_read, notes = tinyvit.load_weights("vit")
image = prepare_photo(pictures[0], notes.preparation, channels=1)
answer = tinyvit.vit(image[None], p_read, config_read)[0].argmax()
print(f"found: {notes.class_names[answer]}; it is a {y_test[0]}")

# %% [markdown]
# Three things are often written about such models, and not so in the paper. *They can only be used at the size they were trained at*: positions are
# interpolated, as above (section 3.2). *They need labels*: the paper also trains one by predicting masked patches, which gains 2 points over training from
# scratch, and stays 4 points behind training with labels (section 4.6). *Hybrids, which have a ResNet in front, fall behind as data grow*: they lead a
# little at small cost, and their lead vanishes for larger models; the axis is compute, not data (section 4.4, figure 5).
#
# ## Exercises
#
# Write the bodies; run the cell again. These two are not marked by `exercises.check`: the cells compare your result with the package's, and say
# nothing is right before you have returned something.
#
# First, an array out of the file. The header and the offsets are above; `np.frombuffer(bytes, dtype)` makes an array of bytes.


# %%
def my_tensor(path, name):
    """The array of this name in a .safetensors file of float32, as a NumPy array of the shape that the header gives."""


mine = my_tensor("vit/model.safetensors", "classifier.weight")
if mine is None:
    print("not written yet")
else:
    assert mine.shape == (10, 32), f"found the shape {mine.shape}, expected (10, 32): what does the header say?"
    assert np.array_equal(mine, p["head"]["w"].T), "not the numbers of the head: where do offsets count from?"
    print("right")

# %% [markdown]
# Second, positions for another size, by straight lines with the corners aligned: new pixel $i$ of $G'$ lies at $i (G - 1) / (G' - 1)$, in units of
# old pixels. It is a mean of the two old pixels around it, each weighted by how near it is. `np.interp` does that along one axis, for one feature at
# a time; loops are welcome.


# %%
def my_resize_positions(pos, grid):
    """A table [1 + G^2, D] -> [1 + grid^2, D]: the class token's row as it is, the others resized, corners aligned."""


for grid in (G, 2, 7):
    mine = my_resize_positions(p["pos"], grid)
    if mine is None:
        print("not written yet")
        break
    assert mine.shape == (1 + grid**2, D), f"found the shape {mine.shape}, expected {(1 + grid**2, D)}"
    assert np.array_equal(mine[0], p["pos"][0]), "the class token's row has no place in the image: keep it"
    close = np.allclose(mine, resize_positions(p["pos"], grid, "bilinear aligned")[0], atol=1e-5)
    assert close, f"the patches' rows are not yet right at {grid} x {grid}"
    print(f"right at {grid} x {grid}")

# %% [markdown]
# ## What we know now
#
# A weights file is names, shapes and numbers. The names are one of three dialects; the shapes tell the model's sizes, but for the heads; the numbers
# need a transpose here and an exchange of axes there, and every bit can be brought back. What the file does not hold, how a picture is prepared,
# which GELU, which eps, has to come from elsewhere, and mattered here in this order.

# %%
assert drifts["right"] == 0
assert all(drift > 1e-4 for words, drift in drifts.items() if words != "right")
for path, how in {"vit": {}, "timm": {"heads": 4}, "google.npz": {"gelu": "erf"}}.items():
    read, found, _ = tinyvit.load_weights(path, **how)
    assert (found.heads, found.gelu, found.eps) == (config.heads, config.gelu, config.eps)
    assert abs(logits_of(read, found) - expected).max() < 1e-4
assert loaded["google"][1].gelu == "tanh"
assert all(kept) and all(identity)
assert at_12["positions resized"] > max(at_12["no positions"], at_12["rows in reading order"]) + 0.1
of = {row.what: np.median(drift[:, i]) for i, row in enumerate(changes[0])}
assert of["LayerNorm's eps"] < of["GELU"] < of["the picture's resize"]
left, right = ({name: found.mean(axis=1) for name, found in lines.items()} for lines in probes.values())
assert (left["trained"] > left["pixels"]).all() and (left["pixels"] > left["random start"]).all()
assert (right["pixels"] > right["random start"]).all() and (right["random start"] > right["trained"]).all()

# %% [markdown]
# Next: [class token or average](14_class_token_or_average.ipynb), a question of the paper's that the learning rate decides.
