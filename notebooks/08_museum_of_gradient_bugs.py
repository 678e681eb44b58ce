# %% [markdown]
# # A museum of gradient bugs
#
# **The question.** A backward pass is wrong. Nothing crashes, every shape fits, and the loss falls. How do you notice, and how do you find the line?
#
# On show here are twenty-three backward passes of this package, each with one mistake that people really make. Your tool is the gradient check of
# [the second notebook](02_a_layer_and_its_gradient.ipynb): it says *which* tensor is wrong and *by how much*. What that means is for you to find out.
#
# First, why it is worth the trouble. Each exhibit takes the place of the right function for five epochs on the handwritten digits (this runs for about twenty seconds):

# %%

import tinyvit
from tinyvit.exercises import museum
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

data, config = tinyvit.load_data("digits"), tinyvit.PRESETS["digits"]
recipe = tinyvit.Recipe(epochs=5, batch=64, learning_rate=5e-3, average=0.0)


def train():
    """Test accuracy in % after five epochs, with the package as it is at this moment."""
    _, history = tinyvit.fit(config, data, recipe=recipe, workers=1, progress=False)
    return 100 * history[-1]["test_accuracy"]


right = train()
accuracies = {}
for exhibit in museum.EXHIBITS:
    with exhibit.planted():
        try:
            accuracies[exhibit.number] = train()
        except ValueError as error:
            print(f"exhibit {exhibit.number} crashes, so you would have noticed: {str(error)[:60]} ...")

# %%
figure = new_figure(7.5, 4.6)
axes = figure.subplots()
titles = [f"{exhibit.number}  {exhibit.title}" for exhibit in museum.EXHIBITS if exhibit.number in accuracies]
colours = [BLUE if accuracy > right - 5 else ORANGE for accuracy in accuracies.values()]
axes.barh(titles, accuracies.values(), color=colours)
axes.axvline(right, color="black", linewidth=1)
axes.set(
    xlabel="test accuracy in % after five epochs (line: without a bug; blue: within 5 points of it)", xlim=(0, 100)
)
axes.xaxis.label.set_size(8)
axes.tick_params(labelsize=8)
axes.margins(y=0.01)
axes.invert_yaxis()
plain(axes)
figure

# %%
unnoticed = sum(accuracy > right - 5 for accuracy in accuracies.values())
print(f"without a bug {right:.1f} %; within 5 points of it: {unnoticed} of {len(accuracies)} broken models")

# %% [markdown]
# Most broken models learn nearly as well as the right one, and some do a little better, by chance. Training forgives a direction that is roughly right. So training is no test of
# a gradient: a bug like these stays for years, and costs a few points of accuracy in each run of a larger model.
#
# (The picture is kind to some of them for another reason: the digits' recipe has no dropout, so exhibit 10 never runs; the optimiser, AdamW, divides each gradient by its own size, so a wrong constant factor hardly matters; and a bug in the
# bias of a layer touches a few numbers only.)
#
# ## How to read the check
#
# | what the report says | what to look for |
# |---|---|
# | one tensor wrong, the others right | a line that only this one passes through |
# | everything below a layer wrong, everything above right | the line where the two meet |
# | analytic / numeric is the same number in all entries | a factor: which size of an axis is it? which root of one? |
# | that number is -1 | a sign |
# | no common factor | a missing term, a wrong axis, or two things exchanged |
#
# A guided visit to exhibit 11:

# %%


def visit(number):
    """Print an exhibit, and for each tensor what the gradient check finds."""
    exhibit = museum.EXHIBITS[number - 1]
    print(exhibit, "\n")
    for row in exhibit.check().rows:
        verdict = "right" if row.error < 1e-7 else f"WRONG   analytic {row.analytic:8.4f}   numeric {row.numeric:8.4f}"
        if verdict != "right" or number != 23:  # exhibit 23 is a whole model: its wrong tensors only
            print(f"{row.name:24} {verdict}")


visit(11)

# %% [markdown]
# gamma and beta are right, so lines 4 and 5 are. x is wrong, and it is made from line 6 on. Is there a common factor? Line 8 computes `along_ones`, the mean of the gradient over a token's features. Which line uses it? None:
# it should be subtracted between lines 9 and 10. So the answer may be either of these two:

# %%
museum.EXHIBITS[11 - 1].answer(9)

# %% [markdown]
# A wrong answer costs nothing:

# %%
museum.EXHIBITS[11 - 1].answer(6)

# %% [markdown]
# ## Room 1: sums, means and signs
#
# For each exhibit: read the report, find the line, and ask `museum.EXHIBITS[number - 1].answer(line)`. `.reveal()` gives up. Some sizes to compare factors with: images $B = 2$, tokens $T = 3$, width $D = 8$; in the cross-entropy $B = 3$ images
# and $K = 7$ classes.

# %%
for number in (1, 2, 3):
    visit(number)
    print()

# %%
for number in (4, 5):
    visit(number)
    print()

# %% [markdown]
# ## Room 2: softmax, GELU, dropout
#
# The softmax's derivative is $\partial y_j / \partial x_i = y_j (\delta_{ij} - y_i)$. GELU's cache holds its derivative, dropout's the mask.

# %%
for number in (6, 7, 8):
    visit(number)
    print()

# %%
for number in (9, 10):
    visit(number)
    print()

# %% [markdown]
# ## Room 3: LayerNorm
#
# $\hat{x} = (x - \mathrm{mean}(x))\, r$ with $r = 1 / \sqrt{\mathrm{var}(x) + \epsilon}$, and $y = \gamma \hat{x} + \beta$. Its gradient has three terms: one direct, one through the mean, one through the variance.

# %%
for number in (12, 13):
    visit(number)
    print()

# %%
for number in (14, 15):
    visit(number)
    print()

# %% [markdown]
# ## Room 4: attention, blocks and the whole model
#
# Here a bug shows in many tensors at once, in all that lies below it. The first wrong tensor on the way back is the one to look at.

# %%
for number in (16, 17):
    visit(number)
    print()

# %%
for number in (18, 19):
    visit(number)
    print()

# %%
for number in (20, 22):
    visit(number)
    print()

# %%
visit(21)

# %%
visit(23)

# %% [markdown]
# ## What is not in this museum
#
# A gradient check compares a backward pass with *its* forward pass. If both are wrong in the same way, as when the scale $1/\sqrt{d}$ is missing in both, the gradient is right, of the wrong function. Such bugs are found by comparison with an
# independent reference; [how gradient checks work and lie](../docs/gradient_checks.md) collects them.
#
# What to keep: check every layer when you write it, on random inputs, in float64, with a random upstream gradient. It takes a second, and no accuracy curve will tell you instead.

# %%
assert all(not exhibit.check().ok for exhibit in museum.EXHIBITS)  # the check finds every one
assert unnoticed >= len(accuracies) / 2  # and training, fewer than half
assert right > 90

# %% [markdown]
# Next: [training](09_training.ipynb), one step at a time.
