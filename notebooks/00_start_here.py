# %% [markdown]
# # Start here: train, look, then learn how
#
# **The question.** A computer is shown small pictures of handwritten digits, and says which digit each of them is. How does it do that, and how did
# it learn to?
#
# The model in these notebooks is the **Vision Transformer**, ViT for short: Dosovitskiy et al., *An Image is Worth 16x16 Words*, put on
# [arXiv](https://arxiv.org/abs/2010.11929) in 2020 and published at ICLR 2021. It is written here in NumPy, with every gradient worked out by hand.
# (The package is called tinyvit. It has nothing to do with Microsoft's [TinyViT](https://arxiv.org/abs/2207.10666), a family of small pre-trained
# models.)
#
# This first notebook goes backwards. We train a model, look at what it does, and only then open it. Nothing needs to be understood at first
# reading: every part has a notebook of its own. Run the cells from top to bottom, with Shift and Enter.
#
# What you need to know beforehand: Python; NumPy's arrays, their shapes and how they broadcast; the product of matrices; what a derivative is, and
# the chain rule. Nothing about neural networks or Transformers. Names and symbols are collected in [notation](../docs/notation.md).

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
# These are 1,797 digits that people wrote, and they come with the package. An array of images has four axes, $[B, H, W, C]$: $B$ images (a
# **batch**), of $H$ rows and $W$ columns of pixels, with $C$ channels: 1 for grey, 3 for colour. The number above each picture is its **label**,
# the right answer. A fifth of the images is put aside as the test, and the model does not learn from them.
#
# ## Train
#
# A model is a function with a great many adjustable numbers, its **parameters**. Training shows it a few dozen images at a time, measures by one
# number, the **loss**, how wrong its answers are, computes how fast the loss rises with each parameter (the **gradient**), and moves all of them a
# little the other way. That is one step.
#
# The next cell takes 1,260 of them: some seven seconds on four cores, a little more on two.

# %%
config, recipe = tinyvit.PRESETS["digits"], tinyvit.RECIPES["digits"]
p, history = tinyvit.fit(config, data, recipe=recipe, progress=False)

accuracy = history[-1]["test_accuracy"]
steps = history[-1]["step"]
print(f"{tinyvit.count(p):,} parameters, {steps:,} steps, {recipe.epochs} times through the training images")
print(f"test accuracy {accuracy:.2%}: {round(accuracy * len(y_test))} of {len(y_test)} digits it had never seen")

# %% [markdown]
# `config` says what the model is, `recipe` how it is trained. `p` holds the parameters, and `history` what was noted down on the way:

# %%
from tinyvit.viz.curves import curves

figure = curves(history)
figure.set_size_inches(7.5, 3)
figure

# %% [markdown]
# On the left, the loss falls. For one image it is minus the natural logarithm of the probability that the model gives to the right class: 0 where it
# is sure and right. (The unit of such a logarithm is the nat.) On the right, the share of right answers rises. Both orange lines are measured on
# **validation** images, which were held out of training, and with a running average of the parameters over the last steps, which is also what `fit`
# returns.
#
# The blue loss stays above the orange one for two reasons: while it learns, the model is shown images that are slightly turned, scaled and sheared,
# so that it hardly ever sees the same picture twice; and its targets are **smoothed**, so it is asked never to be quite sure. The orange loss is
# measured without either. The smoothed loss adds up minus the logarithms of all ten probabilities, the right class weighted by 95.5 % and each of
# the nine others by 0.5 %. It is least where the model's probabilities are just these ([the notebook on training](09_training.ipynb) says why), and
# even there it is not 0:

# %%
import math

K = config.classes
wrong = recipe.label_smoothing / K
right = 1 - recipe.label_smoothing + wrong
floor = -right * math.log(right) - (K - 1) * wrong * math.log(wrong)
last = [record["loss"] for record in history if record["kind"] == "step"][-1]
print(f"target {right:.3f} and {K - 1} times {wrong:.3f}: a loss of at least {floor:.3f}; at the end it was {last:.3f}")

# %% [markdown]
# ## Look
#
# What does it say about images from the test? For each image, the model gives a probability to every class. Above each picture stands the most
# probable class. (Where the model is sure, it says 95 or 96 %: that is what the smoothed targets asked for.)

# %%
from tinyvit.training.evaluation import predict

probabilities = predict(x_test, p, config)  # [360, 10]

figure = new_figure(7.5, 1.2)
for axes, image, row in zip(figure.subplots(1, 8), x_test, probabilities, strict=False):
    show(axes, image)
    axes.set_title(f"{row.argmax()} ({row.max():.0%})", fontsize=9)
figure

# %% [markdown]
# And where did it look? A Vision Transformer does not read pixels one by one. It cuts the image into square **patches**, here of 2 x 2 pixels, and
# every patch may take information from every other. How much it takes from where is called **attention**. The answer is read from one extra
# position, the **class token**, which starts out the same for every image and gathers what it needs from the patches. On the right, the share that
# it takes from each patch in the last layer, as a mean over its heads (parallel strands of attention, see below): lighter is more.

# %%
from tinyvit.viz.look import class_attention, look

logits, c = tinyvit.vit(x_test[:3], p, config)
looked = class_attention(c)  # [3 images, 16 patches]
look(x_test[:3], looked, config.patch, titles=[f"says {k}" for k in logits.argmax(-1)])

# %% [markdown]
# The same can be asked of every patch, in every layer, and in each of the four **heads** of a layer, which can look for different things side by
# side. Point at a patch to see what it attends to. (Where a notebook is only shown and not trusted to run scripts, a picture stands here instead.)

# %%
tinyvit.Explorer(x_test[:4], p, config, titles=[f"a {k}" for k in y_test[:4]])

# %% [markdown]
# No model is always right. These are its mistakes, the surest first, each above where the class token looked. Could you have told?

# %%
from tinyvit.viz.confusion import mistakes_figure, worst_mistakes

mistakes = worst_mistakes(y_test, probabilities, count=5)
_, c = tinyvit.vit(x_test[mistakes], p, config)
mistakes_figure(x_test[mistakes], y_test[mistakes], probabilities[mistakes], class_attention(c), names="0123456789")

# %% [markdown]
# A word of caution. Attention says where information was taken from, not why the answer is what it is. [A later notebook](11_looking_inside.ipynb)
# looks more closely.
#
# Now draw a digit of your own. [This page](../docs/live.md) computes with the model that you have just trained: it shows every step from the
# drawing to the answer, and back, and you can teach it. (Its words are explained in the notebooks that follow.)

# %%
tinyvit.Live(p, config, "digits", x_test, y_test)

# %% [markdown]
# ## Open it: the whole of it in a dozen lines
#
# Now from the beginning, with fresh parameters. The **forward pass** goes from images to an answer, the **backward pass** from the loss to the
# gradient. Each forward function returns two things: its result, and a **cache** `c` with all that its backward pass will want to know.

# %%
from tinyvit import trees

rng = np.random.default_rng(0)
images, labels = x[:32], y[:32]
fresh = tinyvit.vit_init(rng, config)

logits, c = tinyvit.vit(images, fresh, config)
loss, c_loss = tinyvit.cross_entropy(logits, labels)

dlogits = tinyvit.cross_entropy_backward(1.0, c_loss)
dimages, g = tinyvit.vit_backward(dlogits, fresh, c, config)

stepped = trees.map(lambda w, dw: w - 0.1 * dw, fresh, g)  # one step: every parameter, a little against its gradient
loss_after, _ = tinyvit.cross_entropy(tinyvit.vit(images, stepped, config)[0], labels)

print(f"loss {loss:.6f}, ln 10 = {math.log(10):.6f}, after one step {loss_after:.6f}\n")
for name, array in {
    "images": images,
    "logits": logits,
    "dlogits": dlogits,
    "dimages": dimages,
    "p: patch/w": fresh["patch"]["w"],
    "g: patch/w": g["patch"]["w"],
    "c: attention": c["blocks"][0]["msa"]["att"]["a"],
}.items():
    print(f"{name:13} {list(array.shape)}")

# %% [markdown]
# **Logits** are ten numbers for each image, one for each class; the larger, the more probable. `cross_entropy` makes probabilities of them, and of
# these the loss. A fresh model knows nothing: its last layer starts at zero, so every class gets the probability $1/10$, and the loss is
# $-\ln \frac{1}{10} = \ln 10$. If the first loss of such a model is something else, there is a mistake in it.
#
# The letter d in front of a name stands for the gradient of the loss by it: `dlogits` is $\partial\,\mathrm{loss} / \partial\,\mathrm{logits}$, and
# has the shape of `logits`. Parameters, gradients and caches are trees, that is, nested dictionaries and lists, and `g` has the keys and shapes of
# `p`. The attention that we looked at above is simply in the cache: 32 images, 4 heads, and $17 \times 17$ weights, since there are 16 patches and
# the class token.
#
# Let us take a few steps more. Eight images are few enough to be learned by heart:

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
# That loop is training. The loss does not fall at every step: the gradient promises that only for a step that is short enough. `tinyvit.fit` adds
# comforts: a better rule for the step, fresh images every time, several cores, a record of what happened.
#
# ## What a layer looks like
#
# Everything inside is made of small pairs of functions, one forward, one backward. The smallest that learns is the **linear** layer, $y = x w + b$,
# which multiplies each row of $x$ with a matrix $w$ and adds a vector $b$. Here is all of it, as it runs in the training above (`column_sums` adds up
# the rows of a matrix):

# %%
from tinyvit import exercises
from tinyvit.layers.linear import linear, linear_backward

print(exercises.source(linear), exercises.source(linear_backward), sep="\n\n\n")

# %% [markdown]
# Larger layers are made of smaller ones. The **MLP** (short for multi-layer perceptron) is two linear layers with a bent function, GELU, between
# them (`ACTIVATIONS` has two forms of it, and the ReLU of older networks), and a place for dropout after each, which the exercise below is about.
# Read the forward pass from top to bottom, and then the backward pass: it is the same lines in reverse.

# %%
from tinyvit.layers.mlp import mlp, mlp_backward

print(exercises.source(mlp), exercises.source(mlp_backward), sep="\n\n\n")

# %% [markdown]
# The whole Vision Transformer is written like this, in [tinyvit/models/vit.py](../tinyvit/models/vit.py).
#
# ## How do we know that a gradient is right?
#
# By asking someone who does not know our formulas. A **gradient check** moves every number of the input and of the parameters a little, measures
# how the output changes, and compares that with what the backward pass says. It is one line:

# %%
rows = rng.standard_normal((2, 3, 5))
weights = {"w": rng.standard_normal((5, 4)), "b": rng.standard_normal(4)}

report = tinyvit.gradcheck(linear, linear_backward, rows, weights)
print(report)

# %% [markdown]
# The analytic number is the backward pass's, the numeric one is measured; shown is the entry of each tensor where the two differ most. Now break
# it. Here $x$ is $[2, 3, 5]$, so it has six rows of five numbers. Each of them meets the same $b$, so the gradient of $b$ is a sum over rows.
# Suppose we had taken the mean, which has the same shape and does not crash:


# %%
def mean_backward(dy, p, c):
    dx, g = linear_backward(dy, p, c)
    return dx, {"w": g["w"], "b": dy.reshape(-1, 4).mean(axis=0)}


broken = tinyvit.gradcheck(linear, mean_backward, rows, weights)
print(broken)

# %% [markdown]
# The check names the culprit, and `analytic / numeric` says what is wrong with it: it is $1/6$, and there are six rows. Every layer of the package
# has such a check. Here is the one of a whole, very small Vision Transformer, with every entry of every parameter and of the images:

# %%
from tinyvit.checks import cases

whole = cases(["vit"])["vit"].check()
print(f"{whole.entries:,} entries in {len(whole.rows)} tensors, worst error {whole.worst_error:.1e}")

# %% [markdown]
# ## A first exercise
#
# Every notebook ends with exercises: a function whose body you write, and a line that marks it. Try this one. **Dropout** (Srivastava et al. 2014)
# sets some numbers to zero at random while training, so that the model cannot rely on any single one. Which ones is decided elsewhere, and handed
# in as a `mask`: an array of $x$'s shape that is 0 where a number is dropped, and somewhat above 1 where it is kept, to make up for what is
# missing. Where there is no mask, nothing is dropped.
#
# `exercises.check` says whether the answer is right, and if it is not, what kind of mistake it looks like. `exercises.hint("dropout")` gives a hint
# (harder exercises have more than one), and `print(exercises.solution("dropout"))` shows how the package does it.


# %%
def my_dropout(x, mask=None):
    """x and a mask of its shape -> y = x * mask, and the cache {"mask": mask}.

    Without a mask, y = x, and the cache is {}.
    """


exercises.check("dropout", my_dropout)

# %% [markdown]
# And the way back. If $y_i = x_i m_i$, how does $y_i$ change when $x_i$ does?


# %%
def my_dropout_backward(dy, c):
    """The upstream gradient dy, of y's shape, and the cache {"mask": mask} or {} -> dx."""


exercises.check("dropout_backward", my_dropout_backward)

# %% [markdown]
# ## How to go on
#
# The notebooks build on each other, but each runs by itself. Read them in order, or go where your question is:
#
# | notebook | what it answers |
# |---|---|
# | [01 Pixels to tokens](01_pixels_to_tokens.ipynb) | How does an image become a sequence? Why patches? |
# | [02 A layer and its gradient](02_a_layer_and_its_gradient.ipynb) | How is a gradient derived by hand, and how does a check of it lie? |
# | [03 Attention](03_attention.ipynb) | How does one patch ask the others? Why divide by a square root? |
# | [04 Heads](04_heads.ipynb) | How are several questions asked at once, and do heads look at different distances? |
# | [05 Positions](05_positions.ipynb) | How does the model know where a patch was? |
# | [06 LayerNorm and GELU](06_layer_norm_and_gelu.ipynb) | How are their gradients derived, line by line? |
# | [07 The Vision Transformer](07_the_vision_transformer.ipynb) | How do the parts make the whole, how large is it, and what does it cost? |
# | [08 A museum of gradient bugs](08_museum_of_gradient_bugs.ipynb) | Which mistakes does one make, and how does one find them? |
# | [09 Training](09_training.ipynb) | What happens in a step, and what if the model does not train? |
# | [10 Training on MNIST](10_training_on_mnist.ipynb) | Does it work on 70,000 larger images? |
# | [11 Looking inside](11_looking_inside.ipynb) | What has the model learned, and where does it look? |
# | [12 Speed](12_speed.ipynb) | Where does the time go, and how is it made less? |
# | [13 Real weights](13_real_weights.ipynb) | What is in a published file of weights, and what must be known besides? |
# | [14 Class token or average](14_class_token_or_average.ipynb) | From which token is the answer read, and what has the learning rate to do with it? |
# | [15 Who looks at whom](15_who_looks_at_whom.ipynb) | Which pairs of tokens can be left out, and what does it save? |
# | [16 Swin](16_swin_from_a_window_to_a_pyramid.ipynb) | How does attention in windows see the whole image, and what goes wrong? |
# | [17 Convolution first](17_convolution_first.ipynb) | What does a convolutional network before the Transformer bring? |
# | [18 The bottleneck](18_the_bottleneck.ipynb) | Why was attention invented, and what does it remove? |
# | [19 The Transformer](19_from_recurrence_to_the_transformer.ipynb) | What takes the place of recurrence, and how does it write? |
# | [20 Three objectives](20_three_objectives_on_one_block.ipynb) | What makes a translator, a GPT, a BERT or a ViT of one block? |
#
# The last cell of every notebook asserts what it has shown.

# %%
assert accuracy > 0.96 and last > floor
assert len(mistakes) == min(5, (probabilities.argmax(-1) != y_test).sum())
assert abs(losses[0] - math.log(10)) < 1e-6 and losses[-1] < 0.1
assert (logits.argmax(-1) == y[:8]).all()
assert report.ok and whole.ok and not broken.ok

# %% [markdown]
# Next: [from pixels to tokens](01_pixels_to_tokens.ipynb), the first thing that happens to an image.
