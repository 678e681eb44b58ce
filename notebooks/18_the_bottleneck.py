# %% [markdown]
# # The bottleneck: from one vector to attention
#
# **The question.** To translate, a network first reads and then writes. In 2014 all that its reading left behind was one vector, as short for a
# sentence of fifty words as for one of five ([Sutskever et al. 2014](https://arxiv.org/abs/1409.3215); [Cho et al.
# 2014](https://arxiv.org/abs/1406.1078)). How much goes through such a vector? A year later the network was allowed to look back while it wrote
# ([Bahdanau et al. 2015](https://arxiv.org/abs/1409.0473)). Attention comes from there.

# %%
from tinyvit.viz import overview

overview("attention")

# %% [markdown]
# Two networks learn to write Chinese numerals as English words, in equally many steps. One has the vector alone. The other may look back, and scores
# each look with a small network (`score="additive"`, below); it also reads in both directions (`both=True`), and is narrower, to have no more
# parameters. The maps say where it looked: each row is a word that it wrote; darker is more. At which character does it look for "and"?

# %%
import logging
from typing import NamedTuple

import numpy as np

import tinyvit
from tinyvit import exercises
from tinyvit.data.text import read_text
from tinyvit.layers.alignment import dot_alignment
from tinyvit.layers.gru_cell import (
    gru_after_cell,
    gru_after_cell_init,
    gru_cell,
    gru_cell_backward,
    gru_cell_init,
)
from tinyvit.layers.linear import linear
from tinyvit.layers.recurrence import recurrence, recurrence_backward, recurrence_init
from tinyvit.models.seq2seq import Seq2SeqConfig, encode, seq2seq, seq2seq_init
from tinyvit.models.writing import write_seq2seq
from tinyvit.ops.tokens import END, shifted
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain, readable

rng = np.random.default_rng(0)
# where no font is Chinese, values alone are shown
logging.getLogger("tinyvit.viz.picture").setLevel(logging.ERROR)
VALUES = dict(zip("零一二三四五六七八九十百千", [*range(10), 10, 100, 1000], strict=True))


class Trained(NamedTuple):
    p: dict
    config: Seq2SeqConfig
    accuracy: float  # share of 500 new pairs that is wholly right

    @property
    def parameters(self):
        return tinyvit.parameter_count(self.config)


def train(loaded, epochs=4, **settings):
    """Learn from 7,600 pairs; `epochs` alone sets the number of steps."""
    data, test = loaded.dataset, {name: x[:500] for name, x in loaded.test.items()}
    tokens = dict(source_tokens=len(data.source.tokens), target_tokens=len(data.target.tokens))
    lengths = dict(source_length=data.source_length, target_length=data.target_length)
    config = Seq2SeqConfig(**tokens, **lengths, **settings)
    recipe = tinyvit.Recipe(
        epochs=epochs,
        batch=64,
        micro_batch=64,
        learning_rate=1e-2,
        ema_decay=0.95,
        label_smoothing=0,
        validation=0.05,
    )
    p, history = tinyvit.fit(config, (loaded.train, test), recipe=recipe, progress=False, workers=1)
    return Trained(p, config, history[-1]["test_accuracy"])


numerals = read_text("numerals", largest=10_000, examples=8000)
chinese, english = numerals.dataset.source, numerals.dataset.target
with_vector, with_looks = train(numerals, dim=48), train(numerals, dim=32, both=True, score="additive")
for name, trained in {"the vector alone": with_vector, "looking back": with_looks}.items():
    print(f"{name:16}: {trained.accuracy:5.1%} of 500 new numerals right, {trained.parameters:,} parameters")

p, config, _ = with_looks
questions = ["三千零五十", "九千八百七十六"]
all_readable = readable(list(VALUES)) == list(VALUES)
figure = new_figure(7.5, 4.2)
maps, columns = [], [len(question) + 1 for question in questions]  # with the end
for axes, question in zip(figure.subplots(1, 2, width_ratios=columns), questions, strict=True):
    source = np.array([[*chinese.encode(question), END]])
    written = write_seq2seq({"source": source}, p, config)
    _, c = seq2seq({"source": source, "target": written}, p, config)
    maps.append(c["decoder"]["alignment"]["att"]["a"][0])
    print(question, "->", english.decode(written[0]))
    labels = [f"{letter}\n{VALUES[letter]}" if all_readable else VALUES[letter] for letter in question]
    words = [*english.pieces(written[0]), "<end>"]
    axes.imshow(maps[-1], cmap="Blues", vmin=0, vmax=1)
    axes.set(
        xticks=range(len(labels) + 1),
        yticks=range(len(words)),
        xticklabels=[*labels, "<end>"],
        yticklabels=words,
    )
    axes.tick_params(length=0, labelsize=8)
figure

# %% [markdown]
# On the left "and" looks at 零, the zero that Chinese puts in an empty place; on the right, without a zero, at 百 and 十, hundred and ten. Such a map is
# an **alignment**.
#
# ## A state that reads
#
# A **recurrent** network reads token by token, always with the same function, and keeps a **state**, a vector of H numbers. The plain one is
# $h_t = \tanh(x_t W + h_{t-1} U)$: each state overwrites the last. The **gated recurrent unit** (GRU, Cho et al. 2014) keeps some of it:
#
# $$ r = \sigma(x_r + h U_r) \qquad z = \sigma(x_z + h U_z) \qquad n = \tanh(x_n + (r \odot h) U_n) \qquad h' = z \odot h + (1 - z) \odot n $$
#
# $h$ is the old state and $h'$ the new one; $\odot$ multiplies number by number. $x_r, x_z, x_n$ are the token's products with three learned
# matrices, plus biases; $U_r, U_z, U_n$, learned too, stand side by side in `p_cell["w"]`. Each **gate**, $r$ and $z$, holds a number between 0 and 1
# for every number of the state, since $\sigma(a) = 1 / (1 + e^{-a})$. $n$ is the candidate for a new state. The update gate $z$ says what stays, the
# reset gate $r$ which old numbers the candidate sees.
#
# What is $h'$ where every $z$ is 1? And where every $z$ is 0 and every $r$ 1?

# %%
H, B = 32, 8
p_cell = gru_cell_init(rng, H, dtype="float64")
h, x = rng.standard_normal((B, H)), rng.standard_normal((B, 3 * H))


def forced(x, r=None, z=None):
    """x with the gates r and z pushed to about these values.

    x holds x_r, x_z and x_n side by side. The sigmoid makes `gate` of log(gate / (1 - gate)); h U is added
    to that, hence "about".
    """
    x = x.copy()
    for part, gate in ((slice(H), r), (slice(H, 2 * H), z)):
        if gate is not None:
            x[:, part] = np.log(gate / (1 - gate))
    return x


open_gate, closed_gate = 1 - 1e-12, 1e-12
carried, _ = gru_cell(forced(x, z=open_gate), h, p_cell)
plain_step, _ = gru_cell(forced(x, r=open_gate, z=closed_gate), h, p_cell)
from_h = abs(carried - h).max()
from_plain = abs(plain_step - np.tanh(x[:, 2 * H :] + h @ p_cell["w"][:, 2 * H :])).max()
print(f"z = 1: new state less old, at most {from_h:.0e}")
print(f"z = 0, r = 1: new state less the plain network's, at most {from_plain:.0e}")

# %% [markdown]
# ## What gating is for
#
# A network can only learn from its first tokens if the gradient reaches them, and each step multiplies it by one more matrix of derivatives,
# $\partial h_{t+1} / \partial h_t$. We send a random gradient back through 40 steps, in the plain network and with three values of $z$. With
# $z = 1/2$, how much is left? And with 0.9?

# %%
steps = range(40)
gates = {
    "plain: z = 0, r = 1": dict(z=closed_gate, r=open_gate),
    "z = 0.5": dict(z=0.5),
    "z = 0.9": dict(z=0.9),
    "z = 0.98": dict(z=0.98),
}
arrived = {}
for name, gate in gates.items():
    h, caches = np.zeros((B, H)), []
    for _ in steps:
        h, cache = gru_cell(forced(rng.standard_normal((B, 3 * H)), **gate), h, p_cell)
        caches.append(cache)
    dh = rng.standard_normal(h.shape)
    sizes = [np.linalg.norm(dh)]
    for cache in reversed(caches):
        _, dh, _ = gru_cell_backward(dh, p_cell, cache)
        sizes.append(np.linalg.norm(dh))
    arrived[name] = np.array(sizes) / sizes[0]

figure = new_figure(5, 2.6)
axes = figure.subplots()
looks = (("black", ":"), ("black", "--"), (BLUE, "-"), (ORANGE, "-"))
for (name, shares), (colour, style) in zip(arrived.items(), looks, strict=True):
    axes.plot(shares, color=colour, linestyle=style, label=name)
    a_step = shares[40] ** (1 / 40)
    print(f"{name:20} after 20 steps {shares[20]:.1g}, after 40 {shares[40]:.1g}: {a_step:.2f} a step")
print(f"halved 40 times: {0.5**40:.0e}")
axes.set(yscale="log", xlabel="steps back", ylabel="gradient left", ylim=(1e-8, 2))
plain(axes)
axes.legend(frameon=False, fontsize=8)
figure

# %% [markdown]
# With $z = 1/2$ a GRU is hardly better than the plain network: what is carried is halved at every step. (More is left: some comes back through
# candidate and gates.) Only a gate near 1 carries. Gates depend on token and state, so training can set them where it helps.
#
# The LSTM (long short-term memory, [Hochreiter and Schmidhuber 1997](https://doi.org/10.1162/neco.1997.9.8.1735)) came first, with a memory beside
# the state ([both derived](../docs/derivations/recurrence.md)).
#
# ## The gradient through time
#
# In the GRU's step the old state is used four times: it is carried, reset on its way into the candidate, and moves both gates. So its gradient has
# four terms, which an exercise below asks for. **Break it.** On the way back, take every reset gate for 1. Which gradients will the check find wrong,
# and in which of the parts r, z, n of x's and U's?


# %%
def check_cell(backward):
    """The gradient check of the cell, with this backward pass."""
    return tinyvit.gradcheck(gru_cell, backward, x[:3], rng.standard_normal((3, H)), p_cell)


def open_backward(dy, p, c):
    """The cell's backward pass, which takes every reset gate for 1."""
    return gru_cell_backward(dy, p, c | {"gates": np.where(np.arange(2 * H) < H, 1, c["gates"])})


right, broken = check_cell(gru_cell_backward), check_cell(open_backward)
print(right, broken, sep="\n\n")
_, cache = gru_cell(x, h, p_cell)
(dx, _, g), (dx_open, _, g_open) = (
    backward(np.ones((B, H)), p_cell, cache) for backward in (gru_cell_backward, open_backward)
)
parts_off = {}
for name, off in (("x", dx_open - dx), ("U", g_open["w"] - g["w"])):
    parts_off[name] = [abs(part).max() for part in np.split(off, 3, axis=1)]
    print(f"error in the parts r, z, n of {name}'s gradient:", *(f"{error:.0e}" for error in parts_off[name]))

# %% [markdown]
# All three are wrong: h's; x's in the part of $r$; the weights' in $U_r$ and $U_n$. At $r = 1$ the sigmoid's slope $r (1 - r)$ is 0, so nothing
# reaches $x_r$ and $U_r$; $U_n$'s gradient is made with $h$ in place of $r \odot h$; h's lacks a factor $r$ and the reset gate's term.
#
# Over a sequence, state $h_t$ reaches the loss directly, where something reads it (that part of its gradient is $dy_t$), and through state $h_{t+1}$.
# So the gradient comes back step by step, $dh_t = dy_t + (\partial h_{t+1} / \partial h_t)^\top dh_{t+1}$. All steps share $U$, whose gradient is the
# **sum over the steps**. That is **backpropagation through time**. First by hand, then the package's (its `"x"` is the linear layer of the tokens,
# `"h"` the cell):

# %%
p_time = recurrence_init(rng, 5, H, dtype="float64")
p_time["x"]["b"][H : 2 * H] = 3  # so z begins near 0.95
tokens, dstates = rng.standard_normal((B, 24, 5)), rng.standard_normal((B, 24, H))
projected, _ = linear(tokens, p_time["x"])
h, caches = np.zeros((B, H)), []
for t in range(24):
    h, cache = gru_cell(projected[:, t], h, p_time["h"])
    caches.append(cache)
dh, dw = 0, 0
for t in reversed(range(24)):
    _, dh, g = gru_cell_backward(dstates[:, t] + dh, p_time["h"], caches[t])
    dw = dw + g["w"]

_, c_time = recurrence(tokens, p_time)
_, _, g_time = recurrence_backward(dstates, p_time, c_time)
through_time = abs(dw - g_time["h"]["w"]).max() / abs(dw).max()
print(f"relative difference of the two gradients: {through_time:.0e}")

# %% [markdown]
# ## Encoder, vector, decoder
#
# Two recurrent networks make a translator. Each token, an integer, picks a row of a learned table, its **embedding**. The **encoder** reads these
# rows; the **decoder**, which writes, starts from the state in which the encoder ends.
#
# The plainest task is to **copy** letters. In training the decoder is given the true letters, one place late, and asked at every place for the next:
# **teacher forcing**. Before the first stands a **start token**, behind the last an **end token**. The model, and a pair:

# %%
print(exercises.source(seq2seq))  # memory: what the encoder hands over
copies = {length: read_text("copy", length=length, examples=8000) for length in (4, 8, 12, 16)}
batch = {name: tokens[:1] for name, tokens in copies[8].test.items()}
names = copies[8].dataset.target.tokens
print("\nsource ", *(names[token] for token in batch["source"][0]))
print("given  ", *(names[token] for token in shifted(batch["target"])[0]))
print("asked  ", *(names[token] for token in batch["target"][0]))
config = Seq2SeqConfig()
fresh = seq2seq_init(rng, config)
print()
for length, loaded in copies.items():
    memory, _ = encode(loaded.test["source"][:1], fresh, config)
    print(f"{length:2} letters are read: the decoder starts from", list(memory["states"][0][0].shape))

# %% [markdown]
# In use the decoder is given what it has written, mistakes included ([the next notebook](19_from_recurrence_to_the_transformer.ipynb) measures the
# effect). Until its first mistake it is given the same letters either way. So the same sequences are *wholly* right under teacher forcing, and we
# count these.
#
# ## How much goes through?
#
# Sixteen letters of an alphabet of ten are $16 \log_2 10 = 53$ bits. A vector of 16 numbers, each of 32 bits, could hold almost ten times as much.
# So does a network with H = 16 copy sixteen letters? And with 64? We train one for each width and length, in equally many steps:

# %%
widths = {16: ":", 32: "--", 64: "-"}
exact = {}
for dim in widths:
    exact |= {(f"vector, H = {dim}", length): train(loaded, dim=dim) for length, loaded in copies.items()}
STYLES = {f"vector, H = {dim}": dict(color="black", linestyle=style) for dim, style in widths.items()}
STYLES["looking back, H = 16"] = dict(color=BLUE, marker="o", markersize=4)


def draw_wall(results):
    """Whole sequences right, by their length, a line for each network."""
    figure = new_figure(5, 2.6)
    axes = figure.subplots()
    print(f"{'letters':21}{' '.join(f'{length:7}' for length in copies)}")
    for name, style in STYLES.items():
        if found := [results[name, length] for length in copies if (name, length) in results]:
            axes.plot(list(copies), [100 * trained.accuracy for trained in found], label=name, **style)
            shares = " ".join(f"{trained.accuracy:7.1%}" for trained in found)
            print(f"{name:21}{shares}   {found[0].parameters:7,} parameters")
    axes.set(xlabel="letters", ylabel="copied without a mistake (%)", xticks=list(copies), ylim=(-3, 103))
    plain(axes)
    axes.legend(frameon=False, fontsize=8)
    return figure


draw_wall(exact)

# %% [markdown]
# There is a wall, and width moves it: H = 32 makes 4 letters nearly sure, H = 64 brings most of 8 through, each with nearly four times the parameters
# of the one before. The bits fit, so what fails first may be the *learning* of a code for whole sequences ([Collins et al.
# 2017](https://arxiv.org/abs/1611.09913): recurrent networks differ more in how well they train than in what they can hold). Then more steps should
# move the wall, too. (In [the lab](../docs/lab.md#must-all-of-a-sequence-pass-through-one-vector), with H = 64, they do: eight letters come out right
# in 48.3 ± 9.6 % after two epochs, in 83.6 ± 4.3 % after four.) This notebook's first network now learns its numerals in four times as many steps:

# %%
longer = train(numerals, epochs=16, dim=48)
print(f"numerals through the vector: {with_vector.accuracy:.1%} -> {longer.accuracy:.1%}")

# %% [markdown]
# Sutskever et al. turned all source sentences around, and BLEU, the usual score of translations, rose from 25.9 to 30.6 ([section
# 3.3](https://arxiv.org/abs/1409.3215)), though on average a word is as far from its translation as before. Does the order matter here? The same
# network, H = 32, learns to **reverse** eight letters:

# %%
reverse = read_text("reverse", length=8, examples=8000)
tasks = {"copy": (copies[8], exact["vector, H = 32", 8]), "reverse": (reverse, train(reverse, dim=32))}
figure = new_figure(5, 2.4)
axes = figure.subplots()
by_place = {}
for (name, (loaded, (p, config, accuracy))), colour in zip(tasks.items(), (BLUE, ORANGE), strict=True):
    logits, _ = seq2seq({side: tokens[:500] for side, tokens in loaded.test.items()}, p, config)
    by_place[name] = (logits.argmax(-1) == loaded.test["target"][:500]).mean(axis=0)[:8]
    axes.plot(
        range(1, 9),
        100 * by_place[name],
        "o-",
        markersize=3,
        color=colour,
        label=f"{name}: {accuracy:.0%} whole",
    )
axes.set(xlabel="letter written", ylabel="right (%)", ylim=(0, 103))
plain(axes)
axes.legend(frameon=False, fontsize=8)
figure

# %% [markdown]
# It does. In copying, every letter is carried equally far; now the first to be written is the last that was read. Perhaps learning begins with the
# few short distances (so Sutskever et al.; untested).
#
# ## Looking back
#
# The encoder had a state after *every* token; the vector is only the last of them. So keep them all, $k_1 \ldots k_S$, and let the decoder's state
# $q_t$ choose. It gives each a score, softmax makes them weights, and it takes the weighted mean:
#
# $$ a_{ts} = \mathrm{softmax}_s(\mathrm{score}(q_t, k_s)) \qquad c_t = \sum_s a_{ts} k_s $$
#
# | score | |
# |---|---|
# | additive (Bahdanau et al. 2015) | $v \cdot \tanh(q_t W + k_s U)$ |
# | dot ([Luong et al. 2015](https://arxiv.org/abs/1508.04025)) | $q_t \cdot k_s$ |
#
# ($v$, $W$ and $U$, other ones than above, are learned.) The dot score is one matrix product; with projections before it and a factor of $1 / \sqrt{D_h}$
# it is [the attention of ViT](03_attention.ipynb). What was found joins the state before the output, $\tanh([q_t; c_t] W_c)$ (the semicolon puts them
# side by side), as in Luong et al.; in Bahdanau et al. it enters the next state. With `both=True`, a second network reads from the end; $k_s$ is both
# states side by side (2H numbers), and a small layer turns both networks' last states into the decoder's first.
#
# Does looking back move the wall? The narrowest network, H = 16, with an additive score; for 16 letters another with a dot score:

# %%
for length, loaded in copies.items():
    exact["looking back, H = 16", length] = train(loaded, dim=16, score="additive")
dot = train(copies[16], dim=16, score="dot")
print(f"dot score, H = 16, 16 letters: {dot.accuracy:.1%}, {dot.parameters:,} parameters\n")
draw_wall(exact)

# %% [markdown]
# Up to 16 letters there is no wall, with a tenth of the parameters of the widest network. (The dot score, without parameters of its own, copies fewer
# here; with more pairs and wider states, 99.7 ± 0.2 % in [the lab](../docs/lab.md#must-all-of-a-sequence-pass-through-one-vector).) What will the
# maps look like, for copying and for reversing?

# %%
both_ways = {
    "copy": (copies[8], exact["looking back, H = 16", 8]),
    "reverse": (reverse, train(reverse, dim=16, score="additive")),
}
figure = new_figure(7.5, 3.2)
diagonals = {}
for axes, (name, (loaded, (p, config, _))) in zip(figure.subplots(1, 2), both_ways.items(), strict=True):
    one = {side: tokens[:1] for side, tokens in loaded.test.items()}
    _, c = seq2seq(one, p, config)
    diagonals[name] = c["decoder"]["alignment"]["att"]["a"][0]
    letters = [loaded.dataset.source.tokens[token] for token in one["source"][0, :-1]] + ["<end>"]
    answer = [loaded.dataset.target.tokens[token] for token in one["target"][0, :-1]] + ["<end>"]
    axes.imshow(diagonals[name], cmap="Blues", vmin=0, vmax=1)
    axes.set(xticks=range(len(letters)), yticks=range(len(answer)), xticklabels=letters, yticklabels=answer)
    axes.set_title(name, fontsize=9)
    axes.tick_params(length=0, labelsize=8)
figure

# %% [markdown]
# Two diagonals. Some weight lies to the right of them, and it may: a state has read its letter *and* those before it. A little lies to the left.
#
# ## Padding
#
# Sequences of a batch differ in length, so **padding** stands behind the shorter ones. No query may look at it: a bias of $-\infty$ on its scores
# makes its weights exactly 0. **Break it.** Leave the bias out. Does a sequence have the same answer alone and beside a longer one?

# %%
keys, query = rng.standard_normal((1, 7, 16)), rng.standard_normal((1, 3, 16))
padded = np.concatenate([keys, rng.standard_normal((1, 4, 16))], axis=1)  # what an encoder makes of padding
hides = np.where(np.arange(11) < 7, 0, -np.inf)
alone, _ = dot_alignment(query, keys, {})
answers = (dot_alignment(query, padded, {}, bias=bias)[0] for bias in (hides, None))
with_bias, without_bias = (abs(answer - alone).max() for answer in answers)
print(f"change through padding: with the bias {with_bias:.0e} (rounding), without {without_bias:.2f}")

# %% [markdown]
# ## And longer ones?
#
# We train on lengths from 4 to 12, with the vector and with looking back (reading both ways), and let both copy 4 to 20 letters. What do you expect
# beyond 12?

# %%
mixed = read_text("copy", length=(4, 12), examples=8000)
trained = {
    "vector, H = 32": train(mixed, dim=32),
    "looking back, H = 32": train(mixed, dim=32, score="additive", both=True),
}
lengths = range(4, 21, 2)
# 160 of each length; of those of 4 letters a tenth was learned from
sequences = {length: read_text("copy", length=length, examples=800).test for length in lengths}
figure = new_figure(5, 2.6)
axes = figure.subplots()
by_length = {}
print(f"{'letters':21}{' '.join(f'{length:5}' for length in lengths)}")
styles = [STYLES["vector, H = 32"], STYLES["looking back, H = 16"]]
for (name, (p, config, _)), style in zip(trained.items(), styles, strict=True):
    for length, test in sequences.items():
        logits, _ = seq2seq(test, p, config)
        by_length[name, length] = (logits.argmax(-1) == test["target"]).all(axis=1).mean()
    shares = [by_length[name, length] for length in lengths]
    print(f"{name:21}{' '.join(f'{share:5.0%}' for share in shares)}")
    axes.plot(lengths, [100 * share for share in shares], label=name, **style)
axes.axvspan(4, 12, color=ORANGE, alpha=0.12, linewidth=0)
axes.set(xlabel="letters (trained: shaded)", ylabel="copied without a mistake (%)")
axes.set(xticks=lengths, ylim=(-3, 103))
plain(axes)
axes.legend(frameon=False, fontsize=8)
figure

# %% [markdown]
# Beyond 12 nothing is right. (The vector now copies fewer even of the sequences of 4 letters, perhaps since only a ninth of its pairs have that
# length; not tested.)
#
# In [the lab](../docs/lab.md#must-all-of-a-sequence-pass-through-one-vector), with more training, looking back reaches some letters further
# (additive, trained on up to 16 letters: 88.4 ± 18.0 % at 20), and fails at 32.
#
# Each state waits for the one before it. The looks need not: what they find goes to the output, not into the next state. So in training all steps can
# look at once, with a dot score in one product.
#
# ## Exercises
#
# Write the bodies ([how exercises are marked](00_start_here.ipynb); `tinyvit exercises` has more). Of an array that is wrong, `picture()` draws what
# was expected, yours, and the difference.


# %%
def my_gru_cell(x, h, p):
    """x [B, 3H], h [B, H], p {"w": [H, 3H]} -> y [B, H], and the cache {"h", "gates": [B, 2H], "n"}.

    Along the last axis r, z and n stand side by side.
    """


exercises.check("gru_cell", my_gru_cell)


# %%
def my_gru_cell_backward(dy, p, c):
    """dy [B, H], p and the cache as above -> dx [B, 3H], dh [B, H] and g {"w": [H, 3H]}."""


verdict = exercises.check("gru_cell_backward", my_gru_cell_backward)
print(verdict)
verdict.picture()

# %% [markdown]
# [PyTorch's GRU](../docs/derivations/recurrence.md) resets after the product: $u=hU+b$ for all three, $r=\sigma(x_r+u_r)$, $z$ likewise,
# $n=\tanh(x_n+r\odot u_n)$; the cache's `u` is $u_n$. What becomes of the way back?


# %%
def my_gru_after_cell_backward(dy, p, c):
    """dy [B, H], p {"w": [H, 3H], "b": [3H]} and the cache {"h", "gates", "n", "u": [B, H]} -> dx, dh, g."""


small = np.random.default_rng(1)
verdict = exercises.grade(
    gru_after_cell,
    my_gru_after_cell_backward,
    small.standard_normal((3, 12)),
    small.standard_normal((3, 4)),
    gru_after_cell_init(small, 4, dtype="float64"),
)
print(verdict)
verdict.picture()

# %% [markdown]
# And looking back: `dot_alignment` is attention with the encoder's states `kv` as keys and values.


# %%
def my_dot_alignment_backward(dy, p, c):
    """dy [B, T, D], p {} and the cache {"att": attention's} -> dq [B, T, D], dkv [B, S, D], g {}."""


exercises.check("dot_alignment_backward", my_dot_alignment_backward)

# %% [markdown]
# ## What we know now
#
# A GRU needs update gates near 1 for the gradient to come back. Its vector alone is a bottleneck: width moves the wall, and so does training.
# Attention keeps all states, and looks for the one that matters now.

# %%
assert with_looks.accuracy > 0.9 and with_looks.accuracy > with_vector.accuracy + 0.5
assert with_looks.parameters < with_vector.parameters
assert maps[0][2].argmax() == questions[0].index("零") and maps[0][3].argmax() == questions[0].index("五")
assert {questions[1][s] for s in maps[1][4].argsort()[-2:]} == set("百十")
assert all(np.allclose(a.sum(axis=-1), 1, atol=1e-5) for a in maps)
assert from_h < 1e-9 and from_plain < 1e-9
assert 0.5**40 < arrived["z = 0.5"][40] < 1e-6 < 1e-2 < arrived["z = 0.9"][40] < arrived["z = 0.98"][40]
assert right.ok and not broken.ok and through_time < 1e-12
assert parts_off["x"][0] > 0 == max(parts_off["x"][1:]) and parts_off["U"][1] == 0 < min(parts_off["U"][::2])
narrow, wide = exact["vector, H = 16", 8], exact["vector, H = 64", 8]
assert narrow.accuracy < 0.1 and wide.accuracy > 0.5 and exact["vector, H = 64", 16].accuracy < 0.1
assert longer.accuracy > 0.9
looking = exact["looking back, H = 16", 16]
assert exact["vector, H = 64", 16].accuracy + 0.05 < dot.accuracy < looking.accuracy
assert looking.accuracy > 0.8 and looking.parameters < wide.parameters / 10
assert by_place["reverse"][0] > by_place["copy"][0]
assert tasks["reverse"][1].accuracy > tasks["copy"][1].accuracy
assert (diagonals["copy"][:8].argmax(axis=1) == np.arange(8)).mean() > 0.7
assert (diagonals["reverse"][:8].argmax(axis=1) == np.arange(8)[::-1]).mean() > 0.7
assert with_bias < 1e-12 and without_bias > 0.01
assert by_length["looking back, H = 32", 12] > 0.9 and max(by_length[name, 20] for name in trained) < 0.05

# %% [markdown]
# Next: [from recurrence to the Transformer](19_from_recurrence_to_the_transformer.ipynb).
