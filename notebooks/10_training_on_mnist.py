# %% [markdown]
# # Training on MNIST
#
# **This notebook downloads MNIST (11 MB)** into your cache folder, unless it is found there already or in the folder that `$TINYVIT_DATA` names.
#
# **The question.** So far a model has seen 1,437 digits of 8 by 8 pixels. Does the same code, with nothing changed but numbers, learn from 60,000
# digits of 28 by 28? And does it read a digit that *you* draw?
#
# MNIST is the best known set of handwritten digits (by Y. LeCun, C. Cortes and C. Burges, CC BY-SA 3.0). Its first twelve:

# %%
import dataclasses
import math

import numpy as np
from PIL import Image, ImageDraw

import tinyvit
from tinyvit.data import DATASETS, hold_out, prepare
from tinyvit.models.model import preset_config
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
# The model cuts an image into $4 \times 4$ patches of $7 \times 7$ pixels. The recipe is four epochs, each image shifted by up to one pixel, anew every
# time.

# %%
config, recipe = tinyvit.PRESETS["mnist-quick"], tinyvit.RECIPES["mnist-quick"]
held_out = len(hold_out(x, y, recipe.validation)[1][1])
for field in dataclasses.fields(config):
    value = getattr(config, field.name)
    if value != field.default or field.name in ("image", "classes", "norm", "pool"):
        print(f"{field.name:13} {value}")
print(
    f"{tinyvit.parameter_count(config):,} parameters, {config.tokens} tokens, {held_out:,} images held out for validation"
)

# %% [markdown]
# ([The model's settings](07_the_vision_transformer.ipynb), [the recipe's](09_training.ipynb).) Guess the accuracy after one epoch.

# %%
p, history = tinyvit.fit(config, data, recipe=recipe, progress=False)

test = history[-1]
for record in history:
    if record["kind"] == "epoch":
        print(
            f"epoch {record['epoch']}: {record['validation_accuracy']:.1%} of the validation images are read correctly"
        )
error = math.sqrt(test["test_accuracy"] * (1 - test["test_accuracy"]) / len(y_test))
print(f"after {test['step']:,} steps: test accuracy {test['test_accuracy']:.2%}, standard error {error:.2%}")
figure = curves(history)
figure.set_size_inches(7.5, 3)
figure

# %% [markdown]
# The standard error counts the luck of the test images only; another seed makes another model ([results](../docs/results.md) has three).
#
# ## Where it errs
#
# The **confusion matrix** counts how often a digit of a row is taken for the one of a column. Right answers, on the diagonal, are uncoloured.

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
# The surest mistakes, and below each where the class token looked in the last block:

# %%
mistakes = worst_mistakes(y_test, probabilities, count=5)
_, c = tinyvit.vit(x_test[mistakes], p, config)
mistakes_figure(x_test[mistakes], y_test[mistakes], probabilities[mistakes], class_attention(c), names="0123456789")

# %% [markdown]
# Can its doubts be trusted? Keep only the surest answers: of those kept, what share is right? The figure goes from the surest half to all. Guess first:
# of the surest 9,000 answers, how many are wrong?

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
print(f"of the surest 90 %, {(~right[most]).sum()} of {len(most):,} are wrong; of the other 10 %, ", end="")
print(f"{(~np.delete(right, most)).sum()} of {len(right) - len(most):,}")
figure

# %% [markdown]
# **Exercise.** Of a hundred answers given with probability 0.8, 80 should be right. Sort the answers into ten bins by that probability, 0 to 0.1, ...,
# 0.9 to 1. In each, take the distance between the mean probability and the share of right answers. The **expected calibration error** is the mean of
# these distances, each bin weighted by its number of answers.


# %%
def my_calibration_error(probabilities, labels):
    """From probabilities [B, K] and right answers [B]."""


toy = np.array([[0.75, 0.25], [0.35, 0.65], [0.28, 0.72]])  # says 0, 1, 1; right are 0, 1, 0
if my_calibration_error(toy, np.array([0, 1, 0])) is None:
    print("not written yet")
else:
    expected = (2 * abs((0.75 + 0.72) / 2 - 1 / 2) + 1 * abs(0.65 - 1)) / 3  # two answers in one bin, one in another
    found = my_calibration_error(toy, np.array([0, 1, 0]))
    print("right" if abs(found - expected) < 1e-9 else f"three answers: found {found:.4f}, expected {expected:.4f}")
    print(f"of the test images: {my_calibration_error(probabilities, y_test):.4f}")

# %% [markdown]
# ## Where it looks
#
# Three images, their patches, and how much the class token takes from each in the last block; lighter is more.

# %%
shown = [int(np.flatnonzero(y_test == digit)[0]) for digit in (2, 4, 7)]
logits, c = tinyvit.vit(x_test[shown], p, config)
attention = class_attention(c)
look(x_test[shown], attention, config.patch, titles=[f"says {k}" for k in logits.argmax(axis=-1)])

# %% [markdown]
# Where a model looks does not say why it answers as it does: [the next notebook](11_looking_inside.ipynb).
#
# ## More in as many steps
#
# Three changes of model and recipe. A **convolutional stem**, a few small convolutions whose windows overlap, replaces the one linear map of each
# patch ([derivation](../docs/derivations/convolution.md#a-stem-of-convolutions)). **Muon** replaces AdamW for the matrices of the blocks and of the
# stem: it makes all singular values of a step about equal ([derivation](../docs/derivations/muon.md)). The learning rate falls along a line, not a
# cosine. Take all three, with shifts and the average of the weights; leave out one of the five at a time, then the three together. Guess first: which
# is missed most?
#
# To be quick: 12,000 images, of which 30 % are held out to measure the accuracy, two epochs, one seed. The test images are not asked.

# %%
few, one = (x[:12_000], y[:12_000]), (x[:1], y[:1])  # one, in place of the test images
stem, plain_vit = (preset_config("mnist", model) for model in ("convstem", "vit"))
parts = dict(optimizer="muon", learning_rate=1e-2, schedule="linear", ema_decay=0.98, shift=1)
adamw, cosine = dict(optimizer="adamw", learning_rate=5e-3), dict(schedule="cosine")  # the rate of the recipe above

without = {
    "nothing": (stem, {}),
    "the convolutional stem": (plain_vit, {}),
    "Muon": (stem, adamw),
    "the linear schedule": (stem, cosine),
    "the average of the weights": (stem, dict(ema_decay=0.0)),
    "the shifts": (stem, dict(shift=0)),
    "stem, Muon and line": (plain_vit, adamw | cosine),
}
found = {}
for name, (model, change) in without.items():
    recipe_without = dataclasses.replace(recipe, epochs=2, validation=0.3, **(parts | change))
    _, steps = tinyvit.fit(model, (few, one), recipe=recipe_without, progress=False)
    found[name] = [record["validation_accuracy"] for record in steps if record["kind"] == "epoch"][-1]
    print(f"without {name:27} {found[name]:.1%}")
deviation = math.sqrt(found["nothing"] * (1 - found["nothing"]) / len(hold_out(*few, 0.3)[1][1]))
print(f"standard error of one of them: {deviation:.1%}")

# %% [markdown]
# With one seed, differences of half a point say little. (More: [records](../docs/records.md).)
#
# ## A digit of your own
#
# Draw one: black on white, large, and off the middle. (Or take a photograph: `tinyvit.data.read_image("photo.jpg")`.)

# %%
paper = Image.new("L", (300, 400), "white")
pen = ImageDraw.Draw(paper)
strokes = [[(150, 60), (110, 190), (230, 190)], [(210, 120), (200, 310)]]
digit = 4  # what the strokes show; change both
for stroke in strokes:
    pen.line(stroke, fill="black", width=24, joint="curve")
drawn = np.array(paper)[:, :, None]  # [H, W, C], 0 to 255

# %% [markdown]
# MNIST's digits are light on dark, 20 of the 28 pixels long, and have their centre of mass in the middle
# ([LeCun et al. 1998](https://yann.lecun.com/exdb/mnist/)). `prepare` does this to a picture, and says what it did.
#
# **Exercise: predict.** Does the model read your picture if it is only shrunk? Shrunk and made light on dark? Prepared?

# %%
my_prediction = {"only shrunk": None, "shrunk, inverted": None, "prepared": None}  # True if it is read right

prepared, notes = prepare(drawn, DATASETS["mnist"])
shrunk = np.array(paper.resize((28, 28)), np.float32)[:, :, None] / 127.5 - 1
print("\n".join(notes))

pictures = dict(zip(my_prediction, (shrunk, -shrunk, prepared), strict=True))
three = np.stack(list(pictures.values()))
logits, c = tinyvit.vit(three, p, config)
own = predict(three, p, config)
for name, row in zip(pictures, own, strict=True):
    best = row.argsort()[::-1][:3]
    said = my_prediction[name]
    note = "" if said is None else "; as you predicted" if said == (best[0] == digit) else "; against your prediction"
    print(f"{name:16}", ", ".join(f"{k} ({row[k]:.1%})" for k in best) + note)

look(three, class_attention(c), config.patch, titles=list(pictures))

# %% [markdown]
# A model that seems bad may have been given pictures prepared otherwise than in training. And a model always answers: it cannot say that a picture is no
# digit.
#
# ## Keep it
#
# A model is saved with its configuration in one file. [Loading](../tinyvit/training/checkpoint.py) checks every name and shape.

# %%
tinyvit.save("mnist.npz", p, config, dataset="mnist")
p_again, config_again = tinyvit.load("mnist.npz")
same = np.array_equal(tinyvit.vit(x_test[:100], p_again, config_again)[0], tinyvit.vit(x_test[:100], p, config)[0])
print("the same logits, to the bit:", same)

# %% [markdown]
# ## And longer?
#
# Two more recipes: `mnist` trains the same model for longer, `mnist-best` a wider one for much longer, on stronger augmentation. What they reach, and
# in what time, is in [the table of results](../docs/results.md).

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
assert same and (digit != 4 or own[-1].argmax() == 4)  # the 4 above is read; yours need not be
assert found["nothing"] - found["stem, Muon and line"] > 4 * deviation

# %% [markdown]
# Next: [looking inside](11_looking_inside.ipynb) a trained model.
