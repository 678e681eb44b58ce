# %% [markdown]
# # Convolution first, then attention: the hybrid
#
# **The question.** A Vision Transformer looks at each patch through one linear layer, and leaves the rest to attention. In the **hybrid**
# ([Dosovitskiy et al. 2021](https://arxiv.org/abs/2010.11929), section 3.1) a convolutional network, a ResNet ([He et al.
# 2016](https://arxiv.org/abs/1512.03385)), looks first, and its output, a **map** (now of features), is the image that the Transformer gets. What do
# the convolutions bring? And of what is such a network made?

# %%
from tinyvit.viz import overview

overview("image", "patches")

# %% [markdown]
# A small hybrid is trained on handwritten digits whose pixels are doubled, to 16 x 16. Here is one on its way: the image; three channels after the
# first convolution, the **stem** (behind it a pooling of stride 2, see below); three of the map that the Transformer gets, 4 x 4 places; and where
# its class token then looks (each panel on its own scale).

# %%
import contextlib
import dataclasses
from functools import partial
from unittest import mock

import numpy as np

import tinyvit
from tinyvit import exercises
from tinyvit.exercises.source import edited
from tinyvit.lab.figures import dots, line, ticks
from tinyvit.lab.statistics import estimate
from tinyvit.layers.bottleneck import (
    bottleneck,
    bottleneck_backward,
    bottleneck_init,
    standardised_convolution,
)
from tinyvit.layers.group_norm import group_norm
from tinyvit.layers.layer_norm import layer_norm
from tinyvit.layers.linear import linear
from tinyvit.layers.resnet import resnet
from tinyvit.models.hybrid import HybridConfig, hybrid
from tinyvit.ops.convolution import convolution, convolution_backward
from tinyvit.ops.max_pool import max_pool, max_pool_backward
from tinyvit.ops.patches import patchify
from tinyvit.ops.standardise import standardise, standardise_backward
from tinyvit.ops.unfold import unfold
from tinyvit.viz.look import class_attention
from tinyvit.viz.picture import BLUE, ORANGE, bare, new_figure, plain, shine, show

rng = np.random.default_rng(0)


def doubled(images):
    """Each pixel as 2 x 2: [B, 8, 8, 1] -> [B, 16, 16, 1]."""
    return images.repeat(2, axis=1).repeat(2, axis=2)


(x_train, y_train), (x_test, y_test) = tinyvit.load_data("digits")
x_train, x_test = doubled(x_train), doubled(x_test)
vit_config = dataclasses.replace(tinyvit.PRESETS["digits"], image=16, patch=4, depth=2)
on_the_map = dataclasses.replace(vit_config, image=4, channels=32, patch=1)  # a patch is a place of the map
# one stage of one unit behind a stem of 8 channels; units, groups, `kind`, standardised_convolution: see below
hybrid_config = HybridConfig(on_the_map, image=16, channels=1, units=(1,), width=8, groups=4)


def train(config, images, steps, seed=0):
    """About so many steps on that many images: parameters, and the accuracy on the test images."""
    chosen = np.random.default_rng(seed).permutation(len(x_train))[:images]
    epochs = round(steps / -(-0.9 * images // 32))  # a tenth is held out; -(-a // b) is a / b rounded up
    plainly = dict(shift=0, rotate=0.0, zoom=0.0, shear=0.0)
    recipe = tinyvit.Recipe(epochs=epochs, batch=32, learning_rate=5e-3, **plainly)
    data = (x_train[chosen], y_train[chosen]), (x_test, y_test)
    p, history = tinyvit.fit(config, data, recipe=recipe, seed=seed, progress=False, workers=1)
    return p, history[-1]["test_accuracy"]


p, accuracy = train(hybrid_config, len(x_train), steps=180)
options = dict(groups=hybrid_config.groups, eps=hybrid_config.group_eps, kind=hybrid_config.standardise)
logits, c = hybrid(x_test, p, hybrid_config)
convolved, _ = standardised_convolution(x_test, p["resnet"]["stem"], stride=2, **options)
stem, (feature_map, _) = np.maximum(convolved, 0), resnet(x_test, p["resnet"], **options)
print("image", list(x_test.shape[1:]), "stem", list(stem.shape[1:]), "map", list(feature_map.shape[1:]))
print(f"{tinyvit.parameter_count(hybrid_config):,} parameters, test accuracy {accuracy:.1%}")

number = 7
figure = new_figure(7.5, 1.2)
first, *panels, last = figure.subplots(1, 8)
show(first, x_test[number])
first.set_title("image", fontsize=8)
for place, axes in enumerate(panels):
    (name, maps), k = (("stem", stem), ("map", feature_map))[place // 3], place % 3
    axes.imshow(maps[number, :, :, k], cmap="gray")
    axes.set_title(f"{name}, {k}", fontsize=8)
    bare(axes)
looks = class_attention(c)[number]
shine(last, looks, x_test[number], most=looks.max())
last.set_title("attention", fontsize=8)
figure

# %% [markdown]
# ## A convolution is a matrix product
#
# A convolution lays a kernel of $K\times K\times C$ weights on the image, multiplies each with the number under it, adds up, and moves on by the
# **stride** $s$. `unfold` writes down what the kernel will meet: a row of $K^2C$ numbers, the **window**, for each place. One matrix product does the
# rest. If the stride is the kernel's size, what are the windows?

# %%
print(exercises.source(convolution))  # matrix_from_kernel: [K, K, C, D] as a matrix [K K C, D]
images = rng.standard_normal((2, 6, 9, 4))
kernel = rng.standard_normal((3, 3, 4, 5))
windows, _ = unfold(images, 3, stride=3)
patches, _ = patchify(images, 3)
print("\nwindows", list(windows.shape), "patches", list(patches.shape))
same_windows = np.array_equal(windows.reshape(patches.shape), patches)
print("the same numbers:", same_windows)

framed, by_loop = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0))), np.zeros((2, 6, 9, 5))
for i, j in np.ndindex(6, 9):  # place after place, zeros around the image: kernel times window, added up
    by_loop[:, i, j] = (framed[:, i : i + 3, j : j + 3, :, None] * kernel).sum(axis=(1, 2, 3))
unlike_loop = abs(convolution(images, kernel)[0] - by_loop).max()
single = rng.standard_normal((1, 1, 4, 5))
pointwise = convolution(images, single)[0] - linear(images, {"w": single[0, 0]})[0]
print(f"a loop over all places, less the convolution: {unlike_loop:.0e}")
print(f"a kernel of 1 x 1, less a linear layer at every place: {abs(pointwise).max():.0e}")

overlapping = tinyvit.gradcheck(convolution, convolution_backward, images, kernel, rng.standard_normal(5))
print(f"gradient check: {overlapping.entries} entries, worst error {overlapping.worst_error:.0e}")

# %% [markdown]
# They are [the patches](01_pixels_to_tokens.ipynb), to the bit. So patch embedding is a convolution, a linear layer one of 1 x 1, and what a true
# convolution adds is the overlap. Move a digit by one pixel. Is the result the old one, moved along?

# %%
alone = np.pad(x_test[:1].astype(np.float64), ((0, 0), (4, 4), (4, 4), (0, 0)))  # so that nothing leaves it
kernels = rng.standard_normal((3, 3, 1, 5))
followed = {}
for stride in (1, 3):
    seen, _ = convolution(alone, kernels, stride=stride)
    seen_moved, _ = convolution(np.roll(alone, 1, axis=2), kernels, stride=stride)
    along = [np.roll(seen, places, axis=2) for places in range(seen.shape[2])]
    followed[stride] = min(abs(seen_moved - old).max() for old in along)
    print(f"stride {stride}: at best {followed[stride]:.1f} from the old one, moved along", end="")
    print(f" (numbers up to {abs(seen).max():.1f})")

# %% [markdown]
# At stride 1 a convolution is **equivariant** to every shift; at stride $P$, as patches have it, only to shifts by whole patches. What does the
# overlap cost: how many times larger does `unfold` make a photograph, for a ResNet's first convolution, 7 x 7 with stride 2?

# %%
photograph = np.zeros((1, 224, 224, 3), np.float32)
unfolded, _ = unfold(photograph, 7, stride=2)
larger = unfolded.size / photograph.size
print(list(photograph.shape), "->", list(unfolded.shape), f": {larger} times as many numbers")

# %% [markdown]
# Away from the edges a pixel is in $(K/s)^2=12.25$ windows on average, and its gradient is the sum of theirs ([the
# derivation](../docs/derivations/convolution.md)).
#
# ## Where the windows stand
#
# For a window to be centred on a pixel at the edge, something has to stand outside the image: zeros, the **padding**. TensorFlow and JAX, where the
# published hybrids were trained, add just enough zeros for $\lceil n/s\rceil$ windows along $n$ pixels (**SAME**); if the number of zeros is odd, the
# *smaller* half stands before the image. PyTorch's networks put $(K-1)/2$ on both sides. The sizes come out the same,
# $\lfloor(n-1)/s\rfloor+1=\lceil n/s\rceil$. Are the windows?


# %%
def starts(size, kernel, stride, before):
    """The first pixel of each window."""
    return np.arange(-(-size // stride)) * stride - before


figure = new_figure(7.5, 1.7)
for axes, (how, before) in zip(figure.subplots(1, 2), {"SAME": 0, "symmetric": 1}.items(), strict=True):
    for row, start in enumerate(starts(8, 3, 2, before)):
        axes.barh(row, 3, left=start - 0.5, height=0.6, color=BLUE, alpha=0.35)
        axes.plot(start + 1, row, "o", color=BLUE, markersize=4)
    axes.axvspan(-0.5, 7.5, color=ORANGE, alpha=0.15, linewidth=0)
    axes.set(xlim=(-1.7, 8.7), ylim=(3.6, -0.6), xticks=range(8), yticks=range(4), xlabel="pixel", title=how)
    plain(axes)
figure.axes[0].set_ylabel("window")
figure

# %% [markdown]
# No: windows of 3, stride 2, over 8 pixels of the image (shaded), their centres marked. Symmetric zeros move every centre by one pixel. It happens
# again at each later 3 x 3 window of stride 2 (on an even side), and a place there is 2, 4, 8 pixels of the image. We put symmetric zeros into the
# trained hybrid, and change nothing else. By how many pixels must the digits be moved, to be read again?


# %%
def symmetric(size, kernel, stride):
    """For `unfold` and `max_pool`: the zeros before, the length with all zeros, and the number of windows."""
    count, before = -(-size // stride), (kernel - 1) // 2
    return before, max((count - 1) * stride + kernel, size + before), count


with contextlib.ExitStack() as patched:
    for module in ("unfold", "max_pool"):
        patched.enter_context(mock.patch(f"tinyvit.ops.{module}.padding", symmetric))
    moved, _ = resnet(x_test, p["resnet"], **options)
    by_shift = []  # accuracy, if the digits themselves are moved up and to the left by so many pixels
    for pixels in range(6):
        moved_logits, _ = hybrid(np.roll(x_test, (-pixels, -pixels), axis=(1, 2)), p, hybrid_config)
        by_shift.append((moved_logits.argmax(axis=1) == y_test).mean())
moved_by = np.linalg.norm(moved - feature_map) / np.linalg.norm(feature_map)
print("shape of the map:", list(feature_map.shape[1:]), "and", list(moved.shape[1:]))
print(f"relative change of the map {moved_by:.2f}; accuracy {accuracy:.1%} -> {by_shift[0]:.1%}")
print("with the digits moved as well:", ", ".join(f"{n} px {share:.0%}" for n, share in enumerate(by_shift)))

# %% [markdown]
# The stem has moved its windows by one pixel, the max-pooling by one place of the stem: two pixels. Move the digits by these three, and much comes
# back (not all: their first rows and columns now stand on the other side, and the edges meet other zeros). Whoever moves weights between libraries
# has to move the padding as well.
#
# Now `unfold` backwards ([how exercises are marked](00_start_here.ipynb)). Of a wrong answer, the picture shows one channel.


# %%
def my_unfold_backward(dy, c, stride=1):
    """dy [B, ceil(H/s), ceil(W/s), K*K*C], the stride s, the cache {"x": [B, H, W, C]} -> dx of its shape.

    `padding` and `entries` of tinyvit.ops.unfold say where windows stand; loops are welcome.
    """


print(verdict := exercises.check("unfold_backward", my_unfold_backward))
verdict.picture(axes=(1, 2))

# %% [markdown]
# New ground, **pooling** by the mean of each window of 3 x 3, stride 2; its zeros do not count.


# %%
def average_pool(x):
    windows, _ = unfold(x, 3, stride=2)
    shape = *windows.shape[:3], 9, x.shape[-1]
    inside = unfold(np.ones_like(x), 3, stride=2)[0].reshape(shape).sum(axis=3)  # pixels, not zeros
    return windows.reshape(shape).sum(axis=3) / inside, {"x": x, "inside": inside}


def my_average_pool_backward(dy, c):
    """dy [B, ceil(H/2), ceil(W/2), C] and the cache {"x": [B, H, W, C], "inside": of dy's shape} -> dx.

    `unfold_backward` of tinyvit.ops.unfold may help.
    """


inside = average_pool(np.ones((1, 5, 6, 1)))[1]["inside"]
print("pixels under each window:", inside[0, :, :, 0].astype(int).tolist())
print(verdict := exercises.grade(average_pool, my_average_pool_backward, rng.standard_normal((2, 5, 6, 3))))
verdict.picture(axes=(1, 2))

# %% [markdown]
# ## Kernels that are standardised
#
# Before each use, the hybrid's kernel of every output channel is brought to mean 0 and standard deviation 1 ([Qiao et al.
# 2019](https://arxiv.org/abs/1903.10520)), so that the size of its output does not depend on the size of its weights:
#
# $$\hat{w}=\frac{w-\bar{w}}{\mathrm{std}(w)+\varepsilon},\qquad\varepsilon=10^{-5}$$
#
# Put $1000w+7$ in the place of $w$. By how much does the kernel that is used change?

# %%
w = rng.standard_normal((3, 3, 4, 5))
used, c_used = standardise(w)
stretched = abs(standardise(1000 * w + 7)[0] - used).max()
dw = standardise_backward(rng.standard_normal(w.shape), c_used)
along_ones, along_w = (
    abs(dw.sum(axis=(0, 1, 2))).max(),
    abs((dw * (w - w.mean(axis=(0, 1, 2)))).sum(axis=(0, 1, 2))).max(),
)
print(f"1000 w + 7 in place of w changes the kernel by {stretched:.0e}")
print(f"the gradient's part along the ones: {along_ones:.0e}, along w: {along_w:.0e}")

# %% [markdown]
# Hardly at all: adding a constant to $w$ does not change the kernel, stretching $w$ hardly does. So for each output channel the gradient sums to 0,
# and its product with $w-\bar{w}$ is nearly 0. Write the gradient. Does yours have these properties?


# %%
def my_standardise_backward(dy, c):
    """dy of w's shape [K, K, I, O], the cache {"centred": w - mean, "factor": 1 / (std + 1e-5) [O]} -> dw."""


print(verdict := exercises.check("standardise_backward", my_standardise_backward))
verdict.picture(axes=(0, 1))

# %% [markdown]
# It is [LayerNorm's](06_layer_norm_and_gelu.ipynb) arithmetic, over a kernel in place of a token ([derived](../docs/derivations/standardise.md)).
# Here $\varepsilon$ stands **beside** the deviation, as in Google's code; timm and Hugging Face have $\sqrt{\mathrm{var}(w)+10^{-8}}$. For weights of
# which size does it matter?

# %%
deviations, apart = (0.3, 0.05, 0.01, 0.003), []
for deviation in deviations:
    ours, theirs = (standardise(deviation * w, kind=kind)[0] for kind in ("std", "var"))
    apart.append(abs(ours - theirs).max() / abs(ours).max())
    print(f"weights of deviation {deviation:5}: the two kernels are {apart[-1]:.1e} apart")

# %% [markdown]
# The kernels differ by about $\varepsilon$ over the deviation, $10^{-5}/0.003\approx 3\cdot 10^{-3}$ in the last row. Even the first row is hundreds
# of float32 roundings ($10^{-7}$). So run a model with its source's form: `standardise=` in a `HybridConfig`.
#
# ## GroupNorm, and why not BatchNorm
#
# Behind each convolution the features are normalised. Over what? Here are three answers. Rows are the places of three small images, columns their six
# channels. One number of the result is marked; those of the input on which it depends are blue.


# %%
def batch_norm(x):
    """Each channel over images and places, as while training."""
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    return (x - mean) / np.sqrt(variance + 1e-6)


channels = {"gamma": np.ones(6), "beta": np.zeros(6)}
norms = {
    "LayerNorm": lambda x: layer_norm(x, channels)[0],
    "GroupNorm, 2 groups": lambda x: group_norm(x, channels, groups=2)[0],
    "BatchNorm": batch_norm,
}
maps = rng.standard_normal((3, 2, 2, 6))
figure = new_figure(7.5, 2.7)
influence = {}
for axes, (name, norm) in zip(figure.subplots(1, 3), norms.items(), strict=True):
    before, depends = norm(maps)[1, 0, 1, 2], np.zeros(maps.shape, bool)
    for place in np.ndindex(maps.shape):
        changed = maps.copy()
        changed[place] += 1
        depends[place] = abs(norm(changed)[1, 0, 1, 2] - before) > 1e-9
    influence[name] = depends
    axes.imshow(depends.reshape(12, 6), cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
    axes.plot(2, 5, "o", color=ORANGE)
    for edge in (3.5, 7.5):
        axes.axhline(edge, color="black", linewidth=0.8)
    axes.set(xticks=range(6), xlabel="channel")
    axes.set_yticks((1.5, 5.5, 9.5), ("image 0", "image 1", "image 2"))
    axes.set_title(name, fontsize=9)
    axes.tick_params(length=0, labelsize=8)
figure

# %% [markdown]
# LayerNorm normalises over one place, GroupNorm ([Wu and He 2018](https://arxiv.org/abs/1803.08494); [its
# gradient](../docs/derivations/group_norm.md)) over one image and a group of its channels, BatchNorm ([Ioffe and Szegedy
# 2015](https://arxiv.org/abs/1502.03167)) over one channel of all images. Only these axes differ, not the formula; so with one group and one place,
# GroupNorm should be LayerNorm:

# %%
one_place = rng.standard_normal((5, 1, 1, 6))
one_group = abs(group_norm(one_place, channels, groups=1)[0] - layer_norm(one_place, channels)[0]).max()
print(f"one place, one group, less LayerNorm: {one_group:.0e}")

# %% [markdown]
# Why did the hybrid's authors not keep the BatchNorm of the first ResNets? In the right picture an answer about one image depends on which others are
# asked with it. We normalise a stem's features of one digit, with more and more others. With how many do the features vary most from draw to draw?

# %%
before_norm, _ = convolution(x_test, standardise(p["resnet"]["stem"]["w"])[0], stride=2)
by_channel = {"gamma": np.ones(8, "float32"), "beta": np.zeros(8, "float32")}
spread = {}
for company in (1, 3, 15, 63):
    answers = {"BatchNorm": [], "GroupNorm": []}
    for _ in range(20):
        batch = before_norm[np.r_[0, 1 + rng.permutation(len(before_norm) - 1)[:company]]]
        answers["BatchNorm"].append(batch_norm(batch)[0])
        answers["GroupNorm"].append(group_norm(batch, by_channel, groups=4)[0][0])
    spread[company] = {name: np.std(found, axis=0).mean() for name, found in answers.items()}
    shown = ", ".join(f"{name} {value:.4f}" for name, value in spread[company].items())
    print(f"with {company:2} others, standard deviation of the features (of size 1) over 20 batches: {shown}")

# %% [markdown]
# The fewer the others, the more BatchNorm's features depend on chance; GroupNorm's never do. Large models are trained with few images on each device.
# And for a single image, BatchNorm uses averages kept from training, which hurt on other data. For these two reasons [Kolesnikov et al.
# 2020](https://arxiv.org/abs/1912.11370) put GroupNorm, with standardised kernels, in its place, and the hybrid follows them.
#
# ## The largest of a window
#
# After the first convolution, **max-pooling** keeps the largest number of each window of 3 x 3, stride 2. A window's result is one of its pixels.
# Which pixels get a gradient?

# %%
small = np.array([[1.0, 5, 2, 3], [4, 0, 7, 1], [2, 6, 3, 3], [1, 2, 3, 3]])[None, :, :, None]
largest, c_pool = max_pool(small, 3, 2)
back = max_pool_backward(np.array([[1.0, 10], [100, 1000]])[None, :, :, None], c_pool, 3, 2)
print("the largest numbers:\n", largest[0, :, :, 0])
print("gradients 1, 10, 100 and 1000 go to:\n", back[0, :, :, 0].astype(int))

# %% [markdown]
# All of it goes to the winner, and a pixel that wins twice has the sum: the 7 won two windows (1 + 10). Of the equal threes in the corner the first
# one won: a maximum has no derivative at a tie, but giving the gradient to *each* of them would multiply it.
#
# Windows stand as in `unfold` (`padding` and `entries` help); outside the image is $-\infty$, which never wins.


# %%
def my_max_pool_backward(dy, c, kernel, stride):
    """dy of y's shape -> dx [B, H, W, C].

    The cache has x and winner, of y's shape: the number, in reading order, of a window's first largest pixel.
    """


print(verdict := exercises.check("max_pool_backward", my_max_pool_backward))
verdict.picture(axes=(1, 2))

# %% [markdown]
# **Break it.** Share the gradient out among all nine pixels, as a mean would:

# %%
pooled = rng.standard_normal((2, 5, 6, 3))
how = dict(kernel=3, stride=2)
right_pool = tinyvit.gradcheck(max_pool, partial(max_pool_backward, **how), pooled, **how)
shared = edited(max_pool_backward, ('dy * (c["winner"] == number)', "dy / kernel**2"))
broken_pool = tinyvit.gradcheck(max_pool, partial(shared, **how), pooled, **how)
print(right_pool, broken_pool, sep="\n\n")

# %% [markdown]
# ## The bottleneck unit
#
# A ResNet is a chain of **units**. Each adds something to what it is given, as a Transformer's block does, by three convolutions: 1 x 1 to fewer
# channels, 3 x 3 among these few (the **bottleneck**), 1 x 1 back to many. How many parameters does it save, compared with two 3 x 3 convolutions at
# full width?

# %%
wide = 256
unit = bottleneck_init(None, wide, wide // 4, project=False)  # without `proj`, see below
in_unit, in_two = tinyvit.trees.count(unit), 2 * 9 * wide * wide
print(f"{wide} channels: {in_unit:,} parameters, two convolutions of 3 x 3 without a bottleneck {in_two:,}")
print(exercises.source(bottleneck))

# %% [markdown]
# Each `standardised_convolution` is the three steps from above: standardise, convolve, GroupNorm. The `shortcut` is a residual connection; where
# channels or places change, a 1 x 1 convolution, `proj`, brings it to the new shape. The last [ReLU](06_layer_norm_and_gelu.ipynb) stands behind the
# sum: along a ViT's residual path there are only additions; here each unit's ReLU also cuts off what is negative.
#
# The last `gamma` of a fresh unit is **zero**, so it hands its shortcut on, and a deep network begins as a shallow one. Here is a fresh unit, its
# input positive, as behind another unit. Which of its parameters have a gradient?

# %%
fresh = bottleneck_init(rng, 32, 8, project=False, dtype="float64")
x_unit = abs(rng.standard_normal((2, 5, 5, 32)))
y_unit, c_unit = bottleneck(x_unit, fresh, groups=4)
_, g_unit = bottleneck_backward(rng.standard_normal(y_unit.shape), fresh, c_unit)
print("the unit hands on its input:", np.array_equal(y_unit, x_unit))
moving = [name for name, gradient in tinyvit.trees.walk(g_unit) if abs(gradient).max() > 0]
print("parameters with a gradient:", ", ".join(moving))

# %% [markdown]
# Only the last scale and shift. All kernels wait for the first step, which moves `gamma` away from zero. A gradient check of a fresh unit would
# compare zeros with zeros.
#
# ## Stages, and how long the sequence is
#
# Units stand in **stages**. The stem and its pooling divide the sides by 4. The first stage quadruples the channels, each later one doubles them and
# halves the sides. R26+S/32: a ResNet of 26 layers before a ViT-S; after the slash, the pixels a token spans. R+Ti/16 is an exception: with the stem
# only (4) and patches of 8, its tokens span 32. The published sizes (R+Ti and R26: [Steiner et al. 2021](https://arxiv.org/abs/2106.10270)):

# %%
print(f"{'':10} {'units':14} {'map':>16} {'patch':>6} {'tokens':>7} {'parameters':>12}")
counts, tokens = {}, {}  # tokens: without the class token
for name in ("R+Ti/16", "R26+S/32", "R50+B/32", "R50+B/16", "R50+L/32"):
    config = tinyvit.PRESETS[name]
    counts[name], tokens[name] = tinyvit.parameter_count(config), config.vit.grid**2
    shape = f"[{config.side}, {config.side}, {config.features}]"
    units, patch = str(config.units), config.vit.patch
    print(f"{name:10} {units:14} {shape:>16} {patch:6} {tokens[name]:7} {counts[name]:12,}")
b16 = tinyvit.PRESETS["B/16"]
print(f"{'B/16':10} {'':14} {'[224, 224, 3]':>16} {16:6} {196:7} {tinyvit.parameter_count(b16):12,}")

# %% [markdown]
# A usual ResNet-50 has 3, 4, 6 and 3 units (of three layers; the stem and the head make 50), and its map of 7 x 7 makes 49 tokens. For R50+B/16 the
# paper puts the units of stage 4 into stage 3: the depth stays, and the map of 14 x 14 makes 196 tokens, as B/16 has. [Google's own
# test](https://github.com/google-research/vision_transformer/blob/main/vit_jax/models_test.py) counts 98,659,112 parameters, too.
#
# ## What the convolutions bring
#
# A convolution knows two things about images before it has seen one: neighbours belong together, and a pattern is the same everywhere. A ViT has [a
# little of it](01_pixels_to_tokens.ipynb) at its entrance, and has to learn the rest. So convolutions should help most when there is little to learn
# from. A ViT and the hybrid, of nearly equal size, learn from 100 and 1,000 digits, for about equally many steps, with five seeds (the dots). Where
# is the gap larger?

# %%
compared = {"ViT": vit_config, "hybrid": hybrid_config}
sizes, seeds, found = (100, 1000), range(5), {}
for name, config in compared.items():
    for images in sizes:
        found[name, images] = np.array([train(config, images, steps=100, seed=seed)[1] for seed in seeds])

figure = new_figure(5, 2.6)
axes = figure.subplots()
for order, name in enumerate(compared):
    line(axes, sizes, [estimate(found[name, images]) for images in sizes], name, order)
    dots(axes, sizes, [found[name, images] for images in sizes], order)
axes.set(xscale="log", xlabel="training images", ylabel="test accuracy (%)")
ticks(axes, sizes, [f"{size:,}" for size in sizes])
plain(axes)
axes.legend(frameon=False)
print("parameters:", *(f"{name} {tinyvit.parameter_count(config):,}" for name, config in compared.items()))
gaps = {images: estimate(found["hybrid", images] - found["ViT", images]) for images in sizes}
for images, gap in gaps.items():
    words = "more than chance" if gap.significant else "a difference is not shown"
    print(f"{images:5} images: hybrid less ViT {gap.text()} points, {words}")
by_seed = [found["hybrid", images] - found["ViT", images] for images in sizes]
print(f"the first gap less the second: {estimate(by_seed[0] - by_seed[1]).text()} points")
figure

# %% [markdown]
# The gap is shown with 100 images, and not with 1,000; nor is it shown that the gaps differ (± and bars: 95 % intervals, as in
# [14](14_class_token_or_average.ipynb); gaps: seed by seed). In the paper (section 4.4, figure 5) hybrids are ahead of ViTs when the computation is
# small, and "the difference vanishes for larger models". [The lab](../docs/lab.md#attention-convolution-or-both) compares them on small colour
# photographs, in equal *time*, and beside a convolutional network without attention.
#
# ## What we know now
#
# A convolution is `unfold` and one matrix product, and where its windows stand is part of the model. Standardised kernels and GroupNorm make the
# features independent of other images and, nearly, of the kernels' size. A bottleneck unit adds to what it is given, and starts by adding nothing.

# %%
assert overlapping.ok and followed[1] < 1e-12 < 1 < followed[3]
assert same_windows and unlike_loop < 1e-12 and abs(pointwise).max() < 1e-12 and larger == 12.25
assert feature_map.shape == moved.shape and moved_by > 0.3 and by_shift[0] < accuracy - 0.3
assert np.argmax(by_shift) == 3
assert stretched < 1e-3 and along_ones < 1e-12 and along_w < 1e-2
assert apart[0] < 1e-4 < 1e-3 < apart[-1]
assert [int(depends.sum()) for depends in influence.values()] == [6, 12, 12] and one_group < 1e-12
assert all(values["GroupNorm"] < 1e-5 for values in spread.values())
assert spread[1]["BatchNorm"] > 2 * spread[63]["BatchNorm"]
assert largest[0, :, :, 0].tolist() == [[7, 7], [6, 3]] and back.sum() == 1111 and back[0, 1, 2, 0] == 11
assert right_pool.ok and not broken_pool.ok
assert in_unit < in_two / 10 and np.array_equal(y_unit, x_unit)
assert moving == ["conv3/gn/gamma", "conv3/gn/beta"]
assert counts["R50+B/16"] == 98_659_112 and tokens["R50+B/16"] == 196 and tokens["R+Ti/16"] == 49
assert accuracy > 0.9 and gaps[100].mean > 0

# %% [markdown]
# Next: [the bottleneck](18_the_bottleneck.ipynb).
