# %% [markdown]
# # Training on MNIST
#
# **This notebook downloads MNIST (11 MB)** into your cache folder, unless it is found there already or in the folder that `$TINYVIT_DATA` names. It
# takes about half a minute on two to four cores.
#
# **The question.** So far a model has seen 1,797 digits of 8 by 8 pixels. Does the same code, with nothing changed but numbers, learn from 60,000
# digits of 28 by 28? And does it read a digit that *you* draw?
#
# MNIST is the best known set of handwritten digits (by Y. LeCun, C. Cortes and C. Burges, CC BY-SA 3.0). Its first twelve:

# %%
import numpy as np
from PIL import Image, ImageDraw

import tinyvit
from tinyvit.data import DATASETS, hold_out, prepare
from tinyvit.training.evaluation import predict
from tinyvit.viz.confusion import confusion, confusion_figure, mistakes_figure, worst_mistakes
from tinyvit.viz.curves import curves
from tinyvit.viz.look import class_attention, look
from tinyvit.viz.picture import BLUE, new_figure, plain, show

data = (x, y), (x_test, y_test) = tinyvit.load_data("mnist")
print("to learn from", list(x.shape), " to be tested on", list(x_test.shape), " pixels from", x.min(), "to", x.max())

figure = new_figure(7.5, 0.9)
for axes, image, label in zip(figure.subplots(1, 12), x, y, strict=False):
    show(axes, image)
    axes.set_title(label, fontsize=9)
figure

# %% [markdown]
# ## The model and the recipe
#
# Both have a name. The model cuts an image into $4 \times 4$ patches of $7 \times 7$ pixels, so it has 16 patches and the class token, as the one
# for the small digits had; only the patches are larger. The recipe is four passes over the training images (**epochs**), each image shifted by up
# to one pixel, anew every time.

# %%
config, recipe = tinyvit.PRESETS["mnist-quick"], tinyvit.RECIPES["mnist-quick"]
held_out = len(hold_out(x, y, recipe.validation)[1][1])
print(config)
print(
    f"{tinyvit.parameter_count(config):,} parameters, {config.tokens} tokens, {held_out:,} images held out for validation"
)

# %% [markdown]
# What the settings mean is in [the notebook before](09_training.ipynb). On the command line the same run is `tinyvit train --preset mnist-quick`.

# %%
p, history = tinyvit.fit(config, data, recipe=recipe, progress=False)

test = history[-1]
print(f"{test['step']:,} steps, test accuracy {test['test_accuracy']:.2%}")
figure = curves(history)
figure.set_size_inches(7.5, 3)
figure

# %% [markdown]
# The first loss is $\ln 10 \approx 2.30$: the model guesses. Then it falls steeply: after one epoch 96 % of the validation images are read
# correctly, and the other three halve the errors. The blue loss cannot reach zero, since its labels are smoothed.
#
# ## Where it errs
#
# The **confusion matrix** counts how often a digit of a row is taken for the one of a column. Right answers are on the diagonal, and are left
# uncoloured.

# %%
probabilities = predict(x_test, p, config)
predicted = probabilities.argmax(axis=-1)
counts = confusion(y_test, predicted, config.classes)
wrong = counts - np.diag(np.diag(counts))
i, j = np.unravel_index(wrong.argmax(), wrong.shape)
print(
    f"{wrong.sum()} of {len(y_test):,} are wrong; the most common mistake: a {i} taken for a {j}, {wrong[i, j]} times"
)

confusion_figure(counts, [str(k) for k in range(10)])

# %% [markdown]
# The mistakes of which the model was surest, and below each where the class token looked (its attention in the last block, as a mean over the
# heads). Which of them would you have read?

# %%
mistakes = worst_mistakes(y_test, probabilities, count=5)
_, c = tinyvit.vit(x_test[mistakes], p, config)
mistakes_figure(x_test[mistakes], y_test[mistakes], probabilities[mistakes], class_attention(c), names="0123456789")

# %% [markdown]
# How sure is it, when it is right and when it is wrong? A model is worth more if its doubts can be trusted. Put the answers in order, the surest
# first, and ask what share of the first so many is right:

# %%
right = predicted == y_test
sureness = probabilities.max(axis=-1)

figure = new_figure(6, 2.2)
axes = figure.add_subplot(xlabel="answers kept, the surest first", ylabel="right among them")
kept = np.arange(1, len(right) + 1)
axes.plot(kept / len(kept), np.cumsum(right[np.argsort(-sureness)]) / kept, color=BLUE)
axes.set(xlim=(0.5, 1), ylim=(0.98, 1.0005))
axes.xaxis.set_major_formatter("{x:.0%}")
axes.yaxis.set_major_formatter("{x:.1%}")
plain(axes)
most = np.argsort(-sureness)[: round(0.9 * len(right))]
print(f"of the surest 90 %, {right[most].mean():.2%} are right; of the other 10 %, {np.delete(right, most).mean():.2%}")
figure

# %% [markdown]
# ## Where it looks
#
# Three images, the patches that the model sees of them, and how much the class token takes from each patch in the last block; lighter is more.

# %%
shown = [int(np.flatnonzero(y_test == digit)[0]) for digit in (2, 4, 7)]
logits, c = tinyvit.vit(x_test[shown], p, config)
attention = class_attention(c)
look(x_test[shown], attention, config.patch, titles=[f"says {k}" for k in logits.argmax(axis=-1)])

# %% [markdown]
# Attention says from where information was taken in one layer, which is less than why the answer is what it is:
# [the next notebook](11_looking_inside.ipynb).
#
# ## A digit of your own
#
# Draw one. Here it is done with a few lines of Pillow, black on white, large, and off the middle. (A photograph does as well:
# `tinyvit.data.read_image("photo.jpg")`.)

# %%
paper = Image.new("L", (300, 400), "white")
pen = ImageDraw.Draw(paper)
strokes = [[(150, 60), (110, 190), (230, 190)], [(210, 120), (200, 310)]]  # change these
for stroke in strokes:
    pen.line(stroke, fill="black", width=24, joint="curve")
drawn = np.array(paper)[:, :, None]  # [H, W, C], 0 to 255

# %% [markdown]
# A model knows only what it was shown: MNIST's digits are light on dark, fill 20 of the 28 pixels, and have their centre of mass in the middle.
# `prepare` makes a picture so, and says what it did. What if we only shrink the picture instead?

# %%
prepared, notes = prepare(drawn, DATASETS["mnist"])
shrunk = np.array(paper.resize((28, 28)), np.float32)[:, :, None] / 127.5 - 1
print("\n".join(notes))

both = np.stack([prepared, shrunk])
logits, c = tinyvit.vit(both, p, config)
own = predict(both, p, config)
for name, row in zip(("prepared", "only shrunk"), own, strict=True):
    best = row.argsort()[::-1][:3]
    print(f"{name:11}", ", ".join(f"{k} ({row[k]:.1%})" for k in best))

look(both, class_attention(c), config.patch, titles=["prepared", "only shrunk"])

# %% [markdown]
# The same strokes, the same model. (In the last picture, the white of the paper pales the colours of the attention.) Many a "the model is bad" is a
# picture that was prepared differently in training and in use. And a model always answers: it has no way to say that a picture is no digit.
#
# ## Keep it
#
# A model is saved with its configuration in one file, whose arrays are named after the parameters' tree. Loading it checks every name and shape.

# %%
tinyvit.save("mnist.npz", p, config, dataset="mnist")
p_again, config_again = tinyvit.load("mnist.npz")
same = np.array_equal(tinyvit.vit(x_test[:100], p_again, config_again)[0], tinyvit.vit(x_test[:100], p, config)[0])
print("the same logits, to the bit:", same)

# %% [markdown]
# ## And longer?
#
# Two more recipes have names: `mnist` trains the same model for longer, `mnist-best` a wider one for much longer, on stronger augmentation. What
# they reach, with three seeds each and the time they took, is in [the table of results](../docs/results.md), which is generated from runs and not
# typed. In a terminal: `tinyvit train mnist`, or `tinyvit train --preset mnist-best`; Ctrl-C stops it, and `tinyvit train --resume` goes on.

# %%
for name in ("mnist-quick", "mnist", "mnist-best"):
    model, how = tinyvit.PRESETS[name], tinyvit.RECIPES[name]
    print(
        f"{name:12} {tinyvit.parameter_count(model):8,} parameters, {how.epochs:3} epochs, shift {how.shift}, rotate {how.rotate:g}"
    )

# %%
assert x.shape == (60_000, 28, 28, 1) and x_test.shape == (10_000, 28, 28, 1)
assert test["test_accuracy"] > 0.97 and abs(right.mean() - test["test_accuracy"]) < 1e-9
assert counts.sum() == 10_000 and wrong.sum() == (~right).sum()
assert right[most].mean() > right.mean()
assert own[0].argmax() == 4 and same

# %% [markdown]
# Next: [looking inside](11_looking_inside.ipynb) a trained model.
