# %% [markdown]
# # Start here: train, look, then learn how
#
# **The question.** A computer is shown small pictures of handwritten digits, and says which digit each of them is. How does it do that, and how did
# it learn to?
#
# The model in these notebooks is the **Vision Transformer**, ViT for short: Dosovitskiy et al., *An Image is Worth 16x16 Words*, put on
# [arXiv](https://arxiv.org/abs/2010.11929) in 2020 and published at ICLR 2021. It is written here in NumPy, as the package `tinyvit` (not Microsoft's
# [TinyViT](https://arxiv.org/abs/2207.10666)), with every gradient worked out by hand.
#
# We first train a model, look at what it does, and only then open it. Nothing needs to be understood at first reading; run the cells from top to
# bottom, with Shift and Enter.
#
# What you need to know beforehand: Python; NumPy's arrays, their shapes and how they broadcast; the product of matrices; derivatives and the chain
# rule. Nothing about neural networks. Names and symbols are collected in [notation](../docs/notation.md).
#
# This is the whole model, and above each part stands the number of its notebook. (In a later notebook, only the parts that it
# explains are coloured.)

# %%
from tinyvit.viz import PARTS, overview

overview(*PARTS)

# %% [markdown]
# The image is cut into square **patches**, and a matrix makes a vector of each, a **token**. One more, the **class token**, is put before them, and
# a table that is added says where each patch was. Then $L$ **blocks** follow, all built alike. In each, **attention** lets every token take from the
# others, in several **heads** side by side, and a small network, the **MLP**, works on each token alone; before both, **LN** brings it to one size.
# At the end the class token is read out, and one linear layer, the **classification head** (in the picture: head), makes ten scores of it; the
# **loss** says how wrong they are.
#
# ## The data

# %%
import numpy as np

import tinyvit
from tinyvit.viz.picture import new_figure, show

data = (x, y), (x_test, y_test) = tinyvit.load_data("digits")
print("to learn from", list(x.shape), " to be tested on", list(x_test.shape), " pixels from", x.min(), "to", x.max())

figure = new_figure(7.5, 0.9)
for axes, image, label in zip(figure.subplots(1, 12), x, y, strict=False):
    show(axes, image)
    axes.set_title(label, fontsize=9)
figure

# %% [markdown]
# An array of images has four axes, $[B, H, W, C]$: $B$ images (a **batch**), of $H$ rows and $W$ columns of pixels, with $C$ channels: 1 for grey, 3
# for colour. The number above each picture is its **label**, the right answer. The model does not learn from the images of the test.
#
# ## Train
#
# A model is a function with many adjustable numbers, its **parameters**. Training shows it a few dozen images at a time, measures by one number, the
# **loss**, how wrong its answers are, computes how fast the loss rises with each parameter (the **gradient**), and moves all of them a little the
# other way. That is one step.

# %%
config, recipe = tinyvit.PRESETS["digits"], tinyvit.RECIPES["digits"]
p, history = tinyvit.fit(config, data, recipe=recipe, progress=False)

accuracy, steps, seconds = (history[-1][name] for name in ("test_accuracy", "step", "seconds"))
print(
    f"{tinyvit.count(p):,} parameters, {steps:,} steps in {seconds:.0f} seconds, each training image {recipe.epochs} times"
)
print(f"test accuracy {accuracy:.2%}: {round(accuracy * len(y_test))} of {len(y_test)} digits it had never seen")

# %% [markdown]
# `config` says what the model is, `recipe` how it is trained, and `history` what was noted down on the way:

# %%
from tinyvit.viz.curves import curves

figure = curves(history)
figure.set_size_inches(6.5, 2.6)
figure

# %% [markdown]
# On the left, the loss falls. The orange one is the mean of minus the natural logarithm of the probability that the model gives to the right class,
# in nats: 0 where it is sure and right. On the right, the share of right answers rises. The orange lines are measured on **validation** images, a
# tenth, held out of training, with a running average of the parameters, which is also what `fit` returns. Several things, smoothed labels among them,
# raise the blue loss; [training](09_training.ipynb) takes them apart.
#
# ## Look
#
# Above each picture, all from the test, stand the most probable class and its probability. Which would you doubt?

# %%
from tinyvit.training.evaluation import predict

probabilities = predict(x_test, p, config)  # [360, 10]

figure = new_figure(7.5, 1.2)
for axes, image, row in zip(figure.subplots(1, 8), x_test, probabilities, strict=False):
    show(axes, image)
    axes.set_title(f"{row.argmax()} ({row.max():.0%})", fontsize=9)
least = probabilities[:8].max(-1).argmin()
print(
    f"least sure: picture {least + 1}, a {probabilities[least].argmax()} with probability {probabilities[least].max():.0%}"
)
figure

# %% [markdown]
# And where did it look? The class token starts out the same for every image, and gathers what it needs from the patches, here of 2 x 2 pixels. On the
# right, the share that it takes from each patch in the last block, as a mean over its heads, with the digit's outline. (The rest, up to 1, it takes
# from itself.) Lighter is more, and the bar is the scale of both:

# %%
from tinyvit.viz.look import class_attention, look

logits, c = tinyvit.vit(x_test[:2], p, config)  # ten scores of each image, and what was computed on the way
looked = class_attention(c)  # [2 images, 16 patches]
look(x_test[:2], looked, config.patch, titles=[f"says {k}" for k in logits.argmax(-1)])

# %% [markdown]
# Point at a patch to see what it attends to, in every block and every head. (Where scripts may not run, a picture stands here instead.)

# %%
tinyvit.Explorer(x_test[:3], p, config, titles=[f"a {k}" for k in y_test[:3]])

# %% [markdown]
# These are the mistakes of which the model was surest, each above where the class token looked (here each map has a scale of its own).

# %%
from tinyvit.viz.confusion import mistakes_figure, worst_mistakes

mistakes = worst_mistakes(y_test, probabilities, count=5)
_, c = tinyvit.vit(x_test[mistakes], p, config)
mistakes_figure(x_test[mistakes], y_test[mistakes], probabilities[mistakes], class_attention(c), names="0123456789")

# %% [markdown]
# Attention says where information was taken from, not why the answer is what it is; [a later notebook](11_looking_inside.ipynb) looks more closely.
#
# Now draw a digit of your own. The next cell shows every step from the drawing to the answer, and back, in the model that you have just trained
# ([more](../docs/live.md)).

# %%
tinyvit.Live(p, config, "digits", x_test, y_test)

# %% [markdown]
# ## Open it: the whole of it in a dozen lines
#
# Now with fresh parameters. The **forward pass** goes from the images to the loss, the **backward pass** from the loss to the
# gradient:

# %%
overview(*PARTS, backward=True)

# %% [markdown]
# Each forward function returns its result, and a **cache** `c` with all that its backward pass will want to know. Before you run the cell: there are
# ten classes, and nothing is known yet. What probability would you give to each, and what is the loss, minus its logarithm?

# %%
import math

from tinyvit import trees

rng = np.random.default_rng(0)
images, labels = x[:32], y[:32]
fresh = tinyvit.vit_init(rng, config)

logits, c = tinyvit.vit(images, fresh, config)
loss, c_loss = tinyvit.cross_entropy(logits, labels)
dlogits = tinyvit.cross_entropy_backward(1.0, c_loss)  # 1.0 is the gradient of the loss by itself
_, g = tinyvit.vit_backward(dlogits, fresh, c, config)

stepped = trees.map(lambda w, dw: w - 0.1 * dw, fresh, g)  # one step: every parameter, a little against its gradient
loss_after, _ = tinyvit.cross_entropy(tinyvit.vit(images, stepped, config)[0], labels)

print(f"loss {loss:.6f}, ln 10 = {math.log(10):.6f}, after one step {loss_after:.6f}")
print("images", list(images.shape), " logits", list(logits.shape), " dlogits", list(dlogits.shape))

# %% [markdown]
# **Logits** are the ten scores of each image. `cross_entropy` makes probabilities of them, and of these the loss. A fresh model's
# classification head starts at zero, so every class gets the probability $1/10$, and the loss is $-\ln \frac{1}{10} = \ln 10$. Any other first loss
# is a mistake.
#
# The letter d in front of a name stands for the gradient of the loss by it: `dlogits` is $\partial\,\mathrm{loss}/\partial\,\mathrm{logits}$, and has
# the shape of `logits`.
#
# Parameters `p`, caches `c` and gradients `g` are **trees**, that is, nested dictionaries and lists of arrays. Click on a name, and it opens. `g` has
# the names and shapes of `p`. What tokens take from each other in the first block is `c["blocks"][0]["msa"]["att"]["a"]` (msa: multi-head
# self-attention): 32 images, 4 heads, and $17 \times 17$ shares, for 16 patches and the class token.

# %%
from tinyvit.viz import TreeView

TreeView(p=fresh, c=c, g=g)

# %% [markdown]
# Eight images are few enough to be learned by heart:

# %%
from tinyvit.viz.picture import BLUE, plain

losses, learned = [], fresh
for _ in range(150):
    logits, c = tinyvit.vit(x[:8], learned, config)
    loss, c_loss = tinyvit.cross_entropy(logits, y[:8])
    _, g = tinyvit.vit_backward(tinyvit.cross_entropy_backward(1.0, c_loss), learned, c, config)
    learned = trees.map(lambda w, dw: w - 0.1 * dw, learned, g)
    losses.append(float(loss))

print("labels ", y[:8], "\nanswers", logits.argmax(-1))
figure = new_figure(5, 2.2)
axes = figure.add_subplot(xlabel="step", ylabel="loss (nats)")
axes.plot(losses, color=BLUE)
axes.set_ylim(0, None)
plain(axes)
figure

# %% [markdown]
# That loop is training. The loss does not fall at every step: the gradient promises that only for a step that is short enough
# ([measured](02_a_layer_and_its_gradient.ipynb)). `tinyvit.fit` does the same, with a better rule for the step, images that are varied a little, and
# several cores.
#
# ## What a layer looks like
#
# Everything inside is made of pairs of functions, one forward, one backward; such a pair is a **layer**. Here is the model's first, the patch
# embedding. It cuts the images, and then calls a smaller layer, the **linear** one, $y = x w + b$, which multiplies each row of $x$ with a matrix $w$
# and adds a vector $b$. The way back calls the partners of both, the last one first:

# %%
from tinyvit import exercises
from tinyvit.layers.embedding import patch_embedding, patch_embedding_backward

print(exercises.source(patch_embedding), exercises.source(patch_embedding_backward), sep="\n\n\n")

# %% [markdown]
# The whole model is made like this: [tinyvit/models/vit.py](../tinyvit/models/vit.py).
#
# ## How do we know that a gradient is right?
#
# A **gradient check** moves every number of the input and of the parameters a little, measures how the output changes, and compares that with what
# the backward pass says. Of the linear layer, it is one line:

# %%
from tinyvit.layers.linear import linear, linear_backward

rows = rng.standard_normal((2, 3, 5))
weights = {"w": rng.standard_normal((5, 4)), "b": rng.standard_normal(4)}

report = tinyvit.gradcheck(linear, linear_backward, rows, weights)
print(report)

# %% [markdown]
# One line for each array. The *analytic* number is the backward pass's, the *numeric* one is measured. The *error* is their difference, divided by
# the larger of the two (or by 0.01, if both are smaller); shown is the worst entry, and $10^{-7}$ is allowed
# ([why](02_a_layer_and_its_gradient.ipynb)).
#
# Now break it. Here $x$ is $[2, 3, 5]$, so it has six rows of five numbers. Each row meets the same $b$, so the gradient of $b$ is a sum over rows.
# Suppose we had taken the mean, which has the same shape and does not crash:


# %%
def mean_backward(dy, p, c):
    dx, g = linear_backward(dy, p, c)
    return dx, {"w": g["w"], "b": dy.reshape(-1, 4).mean(axis=0)}


broken = tinyvit.gradcheck(linear, mean_backward, rows, weights)
print(broken)

# %% [markdown]
# The check names the culprit, and `analytic / numeric` says what is wrong with it: it is $1/6$, and there are six rows. Every layer of the package
# has [such a check](../docs/gradient_checks.md). Here it is of a whole, very small Vision Transformer, with every entry of every parameter and of the
# images:

# %%
from tinyvit.checks import cases

whole = cases(["vit"])["vit"].check()
print(f"{whole.entries:,} entries in {len(whole.rows)} arrays, worst error {whole.worst_error:.1e}")

# %% [markdown]
# ## A first exercise
#
# These notebooks ask you to write functions: a name with an empty body, and a line that marks what you write. **How they are marked:**
# `exercises.check` says whether the answer is right, and if it is not, what kind of mistake it looks like; `exercises.hint("dropout")` gives a hint,
# and `print(exercises.solution("dropout"))` shows how the package does it. Loops are as welcome as vectorised code. Keep the dtype: what comes in as
# float32 goes out as float32. On the command line, `tinyvit exercises` lists all that there are, and how far you have come.
#
# **Dropout** ([Srivastava et al. 2014](https://jmlr.org/papers/v15/srivastava14a.html)) sets some numbers to zero at random while training, so that
# the model cannot rely on any single one. Which ones is decided elsewhere, and handed in as a `mask` of $x$'s shape: 0 where a number is dropped,
# $1/(1-\mathrm{rate})$ where it is kept, so that the mean over masks stays; the rate is the share that is dropped. Without a mask, nothing is
# dropped.


# %%
def my_dropout(x, mask=None):
    """x and a mask of its shape -> y = x * mask, and the cache {"mask": mask}.

    Without a mask, y = x, and the cache is {}.
    """


exercises.check("dropout", my_dropout)

# %% [markdown]
# If $y_i = x_i m_i$, with the mask $m$, how does $y_i$ change when $x_i$ does?


# %%
def my_dropout_backward(dy, c):
    """The gradient of the loss by y, dy, of y's shape, and the cache {"mask": mask} or {} -> dx."""


exercises.check("dropout_backward", my_dropout_backward)

# %% [markdown]
# ## How to go on
#
# Each notebook runs by itself. Read them in order, or go where your question is:
#
# - 01 [How does an image become a sequence?](01_pixels_to_tokens.ipynb)
# - 02 [How is a gradient derived by hand, and checked?](02_a_layer_and_its_gradient.ipynb)
# - 03 [How does one patch ask the others?](03_attention.ipynb)
# - 04 [How are several questions asked at once?](04_heads.ipynb)
# - 05 [How does the model know where a patch was?](05_positions.ipynb)
# - 06 [What does a token do alone? (LayerNorm, GELU)](06_layer_norm_and_gelu.ipynb)
# - 07 [How do the parts make the whole?](07_the_vision_transformer.ipynb)
# - 08 [Which mistakes does one make in a gradient?](08_museum_of_gradient_bugs.ipynb)
# - 09 [What happens in a step, and what can go wrong?](09_training.ipynb)
# - 10 [Does it work on 70,000 larger images?](10_training_on_mnist.ipynb)
# - 11 [What has the model learned?](11_looking_inside.ipynb)
# - 12 [Where does the time go?](12_speed.ipynb)
# - 13 [What is in a published file of weights?](13_real_weights.ipynb)
# - 14 [From which token is the answer read?](14_class_token_or_average.ipynb)
# - 15 [Which pairs of tokens can be left out?](15_who_looks_at_whom.ipynb)
# - 16 [How does attention in windows see the whole? (Swin)](16_swin_from_a_window_to_a_pyramid.ipynb)
# - 17 [What do convolutions before it bring? (the hybrid)](17_convolution_first.ipynb)
# - 18 [Why was attention invented?](18_the_bottleneck.ipynb)
# - 19 [What takes the place of recurrence? (the Transformer)](19_from_recurrence_to_the_transformer.ipynb)
# - 20 [Translator, GPT, BERT, ViT: one block?](20_three_objectives_on_one_block.ipynb)
#
# The last code cell of every notebook asserts what it has shown.

# %%
assert accuracy > 0.96
assert len(mistakes) == min(5, (probabilities.argmax(-1) != y_test).sum())
assert abs(losses[0] - math.log(10)) < 1e-6 and losses[-1] < 0.1
assert (logits.argmax(-1) == y[:8]).all()
assert report.ok and whole.ok and not broken.ok

# %% [markdown]
# Next: [from pixels to tokens](01_pixels_to_tokens.ipynb).
