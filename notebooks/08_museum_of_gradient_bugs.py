# %% [markdown]
# # A museum of gradient bugs
#
# **The question.** A backward pass is wrong. Nothing crashes, every shape fits, and the loss falls. How do you notice, and how do you find the line?
#
# On show here are twenty-three backward passes of this package, each with one mistake that is easily made. Your tool is the gradient check of
# [the notebook on a layer and its gradient](02_a_layer_and_its_gradient.ipynb): it says *which* tensor is wrong and *by how much*. What that means is
# for you to find out.
#
# First, why it is worth the trouble. Each exhibit takes the place of the right function for five epochs, that is, five times through the handwritten
# digits (all of it takes some twenty seconds):

# %%
import tinyvit
from tinyvit.exercises import museum
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain

data, config = tinyvit.load_data("digits"), tinyvit.PRESETS["digits"]
recipe = tinyvit.Recipe(epochs=5, batch=64, learning_rate=5e-3, ema_decay=0.0)


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
# Most broken models learn nearly as well as the right one, and by chance one or the other may do better. Training forgives a direction that is
# roughly right. So training is no test of a gradient: who does not know the right number takes the wrong one for it.
#
# (The picture is kind to some of them for another reason. This model has no dropout, and the upstream gradient of its loss is 1, so exhibits 10 and 5
# change nothing here. The optimiser, AdamW, divides each gradient by its own size, so a wrong constant factor hardly matters. And a bug in the bias
# of a layer touches a few numbers only.)
#
# ## How to read the check
#
# | what the report says | what to look for |
# |---|---|
# | one tensor wrong, the others right | a line that only this one passes through |
# | wrong from one place on the way back, right before it | the line where the two meet |
# | analytic / numeric is 1/2, 3/7, the root of 2, ... | a factor: which sizes of axes make this number? |
# | analytic / numeric is -1, to all digits | a sign |
# | any other number, another one in each tensor | a missing term, a wrong axis, or two things exchanged |
#
# The report shows the worst entry of each tensor. If it has a known ratio, or two tensors have the same, the ratio is no accident.
#
# The sums have names of their own: `column_sums(x)` adds over all axes but the last, `row_sums(x)` over the last, and `row_dots(x, y)` adds the
# products $x_i y_i$ over the last. A guided visit to exhibit 11:


# %%
def visit(number):
    """Print an exhibit, and for each tensor what the gradient check finds."""
    exhibit = museum.EXHIBITS[number - 1]
    print(exhibit, "\n")
    for row in exhibit.check().rows:
        if row.error > 1e-7:
            ratio = row.analytic / row.numeric
            print(
                f"{row.name:24} WRONG   analytic {row.analytic:8.4f}   numeric {row.numeric:8.4f}   ratio {ratio:8.4f}"
            )
        elif number != 23:  # exhibit 23 is a whole model: its wrong tensors only
            print(f"{row.name:24} right")


visit(11)

# %% [markdown]
# gamma and beta are right, so lines 4 and 5 are. x is wrong, and it is made from line 6 on. The ratio is no number that we know, so a term may be
# missing. Line 8 computes `along_ones`, the mean of the gradient over a token's features. Which line uses it? None: it should be subtracted between
# lines 9 and 10. Where something is missing, the line before the gap and the line behind it both count as an answer:

# %%
museum.EXHIBITS[11 - 1].answer(9)

# %% [markdown]
# A wrong answer costs nothing:

# %%
museum.EXHIBITS[11 - 1].answer(6)

# %% [markdown]
# ## Room 1: sums, means and signs
#
# For each exhibit: read the report, find the line, and ask `museum.EXHIBITS[number - 1].answer(line)` in a cell of your own. Where there is only one
# line to choose, say what is wrong with it before you ask. `.reveal()` gives up. Some sizes to compare factors with: $B = 2$ images, $T = 3$ tokens,
# width $D = 8$ in $h = 4$ heads; in the cross-entropy $B = 3$ images and $K = 7$ classes, with probabilities $s$ and targets $t$.
#
# The right gradients, from [the notebook on a layer and its gradient](02_a_layer_and_its_gradient.ipynb): $dx = dy\, w^\top$,
# $dw = x^\top dy$, and $db$ is the sum of $dy$ over all rows. The cross-entropy's is $(s - t) / B$, times the
# upstream gradient `dloss`, which is a random number in the check.

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
# The softmax's derivative is $\partial y_j / \partial x_i = y_j (\delta_{ij} - y_i)$. GELU's cache holds its derivative `dydx`. Dropout is
# $y = x\, m$, where the mask $m$, in its cache, is 0 where a number is dropped and $1 / 0.6$ where it is kept.

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
# $\hat{x} = (x - \mathrm{mean}(x))\, r$ with $r = 1 / \sqrt{\mathrm{var}(x) + \varepsilon}$, and $y = \gamma \hat{x} + \beta$. Its gradient has three
# terms ([LayerNorm](06_layer_norm_and_gelu.ipynb)): one direct, one through the mean, one through the variance.

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
# Here a bug may show in many tensors at once, in all that comes after it on the way back. The first wrong one on that way is the one to look at; the
# list is in the order of the forward pass, more or less, so read it from below. The right functions are derived, or shown, in the notebooks on
# [attention](03_attention.ipynb), [heads](04_heads.ipynb), [the MLP](06_layer_norm_and_gelu.ipynb) and [the model](07_the_vision_transformer.ipynb).
# In exhibit 17, `_sum_to` adds up a bias's gradient over the axes along which the bias was repeated. The lines with `"r"` are [relative
# positions](05_positions.ipynb), which do not occur in these checks.

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

# %% [markdown]
# The last is a whole model. Which tensors are right?

# %%
visit(23)

# %% [markdown]
# ## What is not in this museum
#
# A gradient check compares a backward pass with *its* forward pass. If both are wrong in the same way, as when the scale $1/\sqrt{d}$ is missing in
# both, the gradient is right, of the wrong function. Such bugs are found by comparison with an independent reference;
# [how gradient checks work and lie](../docs/gradient_checks.md) collects them.
#
# What to keep: check every layer when you write it, on random inputs, in float64, with a random upstream gradient. It takes a second, and most of
# these bugs no accuracy would have shown you.

# %%
assert all(not exhibit.check().ok for exhibit in museum.EXHIBITS)  # the check finds every one
assert unnoticed >= len(accuracies) / 2  # and training shows half of them at most
assert right > 90

# %% [markdown]
# Next: [training](09_training.ipynb), one step at a time.
