# %% [markdown]
# # From recurrence to the Transformer
#
# **The question.** In [the notebook before](18_the_bottleneck.ipynb) a decoder looked back at all states of an encoder, and the bottleneck was gone.
# But the states were still made one after another: state $t$ waits for state $t - 1$. Why not let every token look at every other, and drop the
# recurrence? The answer is the **Transformer** (Vaswani et al. 2017, [Attention Is All You Need](https://arxiv.org/abs/1706.03762)), of blocks like
# those of a ViT.

# %%
from tinyvit.viz import overview

overview("blocks")

# %% [markdown]
# Here is a Transformer, trained in three passes over 9,800 pairs: it reads Chinese numerals, character by character, and writes English ones, word
# by word. Chinese groups digits by ten thousands (万), English by thousands. The maps say where each word looked; darker is more. Which character
# should the decoder look at while it writes `thousand`?

# %%
import logging
from time import process_time

import numpy as np

import tinyvit
from tinyvit import exercises, trees
from tinyvit.data.text import read_text
from tinyvit.exercises.source import planted
from tinyvit.layers.decoder_block import (
    decoder_block_init,
    post_norm_decoder_block,
    post_norm_decoder_block_backward,
)
from tinyvit.layers.embedding import class_token, patch_embedding
from tinyvit.layers.encoder_block import encoder_block, encoder_block_backward, encoder_block_init
from tinyvit.layers.encoder_stack import encoder_stack
from tinyvit.layers.layer_norm import layer_norm
from tinyvit.layers.linear import linear
from tinyvit.layers.position import sinusoidal_position
from tinyvit.layers.recurrence import recurrence, recurrence_backward, recurrence_init
from tinyvit.models.decoding import beam_search, generate
from tinyvit.models.transformer import (
    TransformerConfig,
    decode,
    encode,
    transformer,
    transformer_init,
    transformer_start,
    transformer_step,
)
from tinyvit.models.writing import write_transformer
from tinyvit.ops.attention import attention
from tinyvit.ops.patterns import causal, pattern_bias
from tinyvit.ops.softmax import softmax
from tinyvit.ops.tokens import END, PADDING, START, no_padding, shifted
from tinyvit.viz.picture import BLUE, ORANGE, new_figure, plain, readable

rng = np.random.default_rng(0)
# where no font is Chinese, values alone are shown
logging.getLogger("tinyvit.viz.picture").setLevel(logging.ERROR)
VALUES = dict(zip("零一二三四五六七八九十百千万", [*range(10), 10, 100, 1000, 10_000], strict=True))
loaded = read_text("numerals", examples=10_000)  # numbers below a million
chinese, english, test = loaded.dataset.source, loaded.dataset.target, loaded.test
config = TransformerConfig(
    source_tokens=len(chinese.tokens),
    target_tokens=len(english.tokens),
    source_length=loaded.dataset.source_length,
    target_length=loaded.dataset.target_length,
    dim=32,
    depth=2,
    heads=4,
    mlp_dim=128,
)


def train(config=config, epochs=1, examples=10_000, workers=None, **options):
    """A Transformer after so many passes over the pairs, and its history."""
    settings = dict(batch=64, learning_rate=5e-3, ema_decay=0.98, label_smoothing=0.0, validation=0.02)
    part = {name: tokens[:examples] for name, tokens in loaded.train.items()}
    recipe = tinyvit.Recipe(epochs=epochs, **settings | options)
    return tinyvit.fit(config, (part, test), recipe=recipe, progress=False, workers=workers)


def numbers(texts):
    """Numerals as the encoder reads them: [B, S]."""
    tokens = [chinese.encode(text) + [END] for text in texts]
    return np.array([row + [PADDING] * (max(map(len, tokens)) - len(row)) for row in tokens])


p, history = train(epochs=3)
print(
    f"{tinyvit.count(p):,} parameters; of {len(test['source'])} numerals never seen, whole and right:",
    end=" ",
)
print(f"{history[-1]['test_accuracy']:.1%}")

texts = ["三千零五十", "五十万三千零四十二", "五十二万零三百一十七"]
written = write_transformer({"source": numbers(texts)}, p, config)
for text, answer in zip(texts, written, strict=True):
    print(f"{text}: {english.decode(answer)}")


# %%
def alignment_figure(text, words):
    """Where each word looked, in each decoder block: the mean over the heads."""
    _, c = transformer({"source": numbers([text]), "target": words[None]}, p, config)
    as_they_are = readable(list(VALUES)) == list(VALUES)
    columns = [f"{letter}\n{VALUES[letter]}" if as_they_are else VALUES[letter] for letter in text]
    rows, columns = [*english.pieces(words), "<end>"], [*columns, "<end>"]
    figure = new_figure(7.5, 3.2)
    panels = figure.subplots(1, 2)
    for number, (axes, block) in enumerate(zip(panels, c["decoder"]["blocks"], strict=True), 1):
        looks = block["cross"]["att"]["a"][0].mean(axis=0)[: len(rows)]  # [h, T, S] -> [T, S]
        axes.imshow(looks, cmap="Blues", vmin=0, vmax=1)
        axes.set(xticks=range(len(columns)), yticks=range(len(rows)))
        axes.set_xticklabels(columns, fontsize=7)
        axes.set_yticklabels(rows if number == 1 else [], fontsize=8)
        axes.tick_params(length=0)
        axes.set_title(f"decoder block {number}, at the source", fontsize=9)
    return figure


alignment_figure(texts[1], written[1])

# %% [markdown]
# On the right, `five`, `three`, `forty-` and `two` each look at their digit. There `thousand` looks not at 千, but most at the end, as `hundred` does.
# (The third numeral has a `thousand` without any 千.)
#
# ## All steps at once
#
# A recurrent layer computes $h_t = \mathrm{cell}(x_t, h_{t-1})$. **Self-attention** replaces it by
#
# $$ y_t = \sum_s a_{ts} v_s, \qquad a = \mathrm{softmax}\left( \frac{q k^\top}{\sqrt{D_h}} \right), $$
#
# where queries, keys and values are made of the same tokens, with $D_h$ the width of a head ([notebooks 3](03_attention.ipynb) and
# [4](04_heads.ipynb)). No $y_t$ waits for another. But there are $T^2$ pairs. How long will a forward and a backward pass of a GRU and of an encoder
# block take, on one core, at 16 tokens, and at 512? And how much of the last token's gradient arrives at the first?

# %%
D = 64
gru, block = recurrence_init(rng, D, D), encoder_block_init(rng, D, 4 * D)


def gru_step(x, p=gru):
    y, c = recurrence(x, p)
    return y, lambda dy: recurrence_backward(dy, p, c)[0]


def block_step(x, p=block):
    y, c = encoder_block(x, p, heads=4)
    return y, lambda dy: encoder_block_backward(dy, p, c)[0]


def milliseconds(step, x, repeats=5):
    """Of a forward and a backward pass: the median."""
    times = []
    for _ in range(repeats + 1):
        begun = process_time()
        y, backward = step(x)
        backward(y)
        times.append(1000 * (process_time() - begun))
    return np.median(times[1:])


def arriving(step, x):
    """The size of the gradient at each token, from the last backwards; dy is 0 but for the last token."""
    y, backward = step(x)
    dy = np.zeros_like(y)
    dy[:, -1] = rng.standard_normal(dy[:, -1].shape)
    return np.linalg.norm(backward(dy), axis=-1).mean(axis=0)[::-1]


layers = {"GRU": (gru_step, ORANGE), "encoder block": (block_step, BLUE)}
lengths = (16, 32, 64, 128, 256, 512)
figure = new_figure(7.5, 2.8)
left, right = figure.subplots(1, 2)
times, reach = {}, {}
for name, (step, colour) in layers.items():
    times[name] = [milliseconds(step, rng.standard_normal((8, T, D), dtype="float32")) for T in lengths]
    reach[name] = arriving(step, rng.standard_normal((32, 64, D), dtype="float32"))
    left.plot(lengths, times[name], "o-", color=colour, label=name)
    right.plot(reach[name], color=colour, label=name)
    at_16, at_512, first = times[name][0], times[name][-1], reach[name][-1]
    print(f"{name:14}16 tokens {at_16:.1f} ms, 512 tokens {at_512:.0f} ms;", end=" ")
    print(f"gradient at the first of 64 tokens: {first:.0e}")
left.set(xscale="log", yscale="log", xlabel="tokens", ylabel="milliseconds")
left.set_xticks(lengths, lengths)
left.minorticks_off()
right.set(yscale="log", xlabel="tokens before the last", ylabel="size of the gradient")
for axes in (left, right):
    plain(axes)
    axes.legend(fontsize=8)
figure

# %% [markdown]
# The recurrence's time grows with $T$, the block's in the end with $T^2$: on one core long sequences lose by it. On the right is a better reason to drop the
# recurrence. In a fresh GRU, its gates not yet near 1 ([notebook 18](18_the_bottleneck.ipynb#what-gating-is-for)), the gradient loses a factor at
# every step; in the block, all tokens are one step away.
#
# ## Which order?
#
# Permute the tokens, and self-attention's results are permuted, nothing else. Here is the model's encoder with its positions and without, on a
# numeral and on the same characters shuffled. How far will the states be apart?

# %%
first, second = numbers(["二百三十"]), numbers(["三百二十"])
# planted: the function is edited while the `with` lasts; waves are the positions
for name, edits in (("with positions", []), ("without", [("z + waves", "z + 0 * waves")])):
    with planted(sinusoidal_position, *edits):
        one, other = (encode(tokens, p, config)[0]["tokens"] for tokens in (first, second))
        apart = abs(one - other[:, [2, 1, 0, 3, 4]]).max()
    print(f"{name:15} the encoder's states for 230, and for 320 put into the same order: {apart:.0e} apart")

# %% [markdown]
# Without positions, 230 and 320 are the same set of characters. So to each token sines and cosines of its place are added ([notebook
# 5](05_positions.ipynb) has the formula, and shows that one matrix leads from any place to the place $k$ further). They exist for every place, yet a
# model fails on longer sequences than it learned from: in [the lab](../docs/lab.md#must-all-of-a-sequence-pass-through-one-vector) Transformers with
# these positions, trained on 4 to 16 symbols, copy all sequences of 16, but of those of 18 only 8.9 ± 12.4 % (95 % interval, so it may be none).
#
# ## Who may look at whom: masks
#
# No query may look at padding, and a decoder must not look at words that it is yet to write. Both are said by a **bias** added to the scores: 0 where
# a query may look, $-\infty$ where not. Below, what may be looked at is blue; on the right is where the words look at words in the first decoder
# block (mean over heads).

# %%
three = numbers(["五", "三千零五十", "五十万三千零四十二"])
given = shifted(written[1:2])[0, :-1]  # what the decoder is given, from the start token on
_, c = transformer({"source": numbers(texts[1:2]), "target": written[1:2]}, p, config)
seen = c["decoder"]["blocks"][0]["msa"]["att"]["a"][0, :, : len(given), : len(given)].mean(axis=0)

figure = new_figure(8, 3.1)
left, middle, right = figure.subplots(1, 3)
left.imshow(no_padding(three, "source"), cmap="Blues", vmin=0, vmax=1.6, aspect="auto")
left.set(xlabel="key", ylabel="sequence", yticks=range(3))
middle.imshow(causal(len(given)), cmap="Blues", vmin=0, vmax=1.6)
middle.set(xlabel="key", ylabel="query")
right.imshow(seen, cmap="Blues", vmin=0, vmax=1)
labels = [english.tokens[token] for token in given]
right.set_xticks(range(len(given)), labels, rotation=90, fontsize=7.5)
right.set_yticks(range(len(given)), labels, fontsize=7.5)
titles = ("padding", "causal", "decoder block 1, at the words")
for axes, title in zip((left, middle, right), titles, strict=True):
    axes.set_title(title, fontsize=9)
figure

# %% [markdown]
# Masks are tested by changing what must not matter. Are logits the same, to the bit, if the words from place 6 on are exchanged? And is a numeral
# read alone as it is beside a longer one?

# %%
batch = {name: tokens[:64] for name, tokens in test.items()}
logits, _ = transformer(batch, p, config)
other = batch["target"].copy()
# the decoder is given the target one place late, so at place 6 it has seen words 0 to 5 only
other[:, 6:] = rng.integers(3, config.target_tokens, other[:, 6:].shape)
blind = np.array_equal(transformer(batch | {"target": other}, p, config)[0][:, :7], logits[:, :7])
print("no look at the future:", blind)

short, both = numbers(["五"]), numbers(["五", "五十万三千零四十二"])
company = {}
for name, edits in (("masked", []), ("not masked", [("!= PADDING", "!= -1")])):
    with planted(no_padding, *edits):
        alone, padded = (encode(tokens, p, config)[0]["tokens"][0, :2] for tokens in (short, both))
    company[name] = abs(alone - padded).max()
    print(f"padding {name:10}: alone and in company {company[name]:.0e} apart")

# %% [markdown]
# **Break it.** Forget the causal mask while training. Will the loss be higher, or lower? And what will the model write? (Both learn for one epoch,
# not three; the test loss is measured as each was trained, masked or not.)

# %%
# | True: all may be looked at
forgotten = ("causal(first + z.shape[1])[first:]", "causal(first + z.shape[1])[first:] | True")
honest, honest_history = train()
with planted(decode, forgotten):
    cheat, cheat_history = train(workers=1)  # planted in this process only


def written_right(p, config=config, **options):
    """Which numerals of the test set the model writes without a mistake [N], and what it writes [N, T]."""
    found = write_transformer(test, p, config, **options)
    found = np.pad(found, ((0, 0), (0, test["target"].shape[1] - found.shape[1])))
    return (found == test["target"]).all(axis=1), found


for name, model, past in (("with the mask", honest, honest_history), ("without", cheat, cheat_history)):
    right, _ = written_right(model)
    test_loss = past[-1]["test_loss"]
    print(f"{name:14} loss on the test set {test_loss:.3f}, numerals written right {right.mean():6.1%}")

# %% [markdown]
# The loss is *lower*: in training the answer stands in the input, one place to the right; in writing it does not.
#
# ## The block is ViT's
#
# Is the encoder's block the same as a ViT's? Run a ViT's patches through the Transformer's `encoder_stack`; then break `encoder_block`, and see who
# is hit.

# %%
(_, _), (images, _) = tinyvit.load_data("digits")
size = dict(dim=32, depth=2, heads=4, mlp_dim=128)
vit_config = tinyvit.ViTConfig(image=8, channels=1, patch=2, classes=10, **size)
p_vit = tinyvit.vit_init(rng, vit_config)
p_vit["head"]["w"] += rng.standard_normal((32, 10), dtype="float32")  # it starts at zero
p_vit["blocks"] = p["encoder"]  # the blocks that have learned to read Chinese

z, _ = patch_embedding(images, p_vit["patch"], patch=2)
z, _ = class_token(z, p_vit["cls"])
z, _ = encoder_stack(z + p_vit["pos"], p_vit["blocks"], heads=4)
by_hand, _ = linear(layer_norm(z[:, 0], p_vit["ln"])[0], p_vit["head"])
from_vit, _ = tinyvit.vit(images, p_vit, vit_config)
same = abs(by_hand - from_vit).max()
print(f"encoder_stack on patches, and vit: logits of size {abs(from_vit).mean():.1f}, {same:.0e} apart")

with planted(encoder_block, ("z = y + z[:, :rows]", "z = y")):  # without attention's residual
    hit_vit = abs(tinyvit.vit(images, p_vit, vit_config)[0] - from_vit).mean()
    hit_transformer = abs(transformer(batch, p, config)[0] - logits).mean()
print(f"with a broken encoder_block: the logits change, ViT's by {hit_vit:.1f}, the Transformer's", end=" ")
print(f"by {hit_transformer:.1f}")

# %% [markdown]
# It is, but for the MLP: ViT's has GELU, that of the Transformer of 2017 ReLU; the keyword `gelu=` chooses. A ViT is the encoder of a Transformer,
# with patches for words, and a class token in the decoder's place.
#
# ## The decoder's block
#
# A decoder block has one branch more: **cross-attention**. Its queries come from the words written so far, its keys and values from the encoder. With
# $M$ the encoder's output, the *memory*, and $\mathrm{MSA}(q, m)$ for queries made of $q$ and keys and values made of $m$ ($\mathrm{MSA}(q)$ is
# $\mathrm{MSA}(q, q)$; here the first is masked causally, and the second hides the source's padding):
#
# $$ z' = \mathrm{MSA}(\mathrm{LN}(z)) + z, \qquad z'' = \mathrm{MSA}(\mathrm{LN}(z'), M) + z', \qquad z''' = \mathrm{MLP}(\mathrm{LN}(z'')) + z'' $$
#
# On the way back every decoder block sends a gradient to $M$, and they add up ([the derivation](../docs/derivations/decoder_block.md)). The whole,
# in blue what a ViT has too (sums and LayerNorms are not drawn):

# %%
figure = new_figure(7.5, 3.4)
axes = figure.subplots()
ENCODER = ["embedding + positions", "self-attention", "MLP"]
DECODER = [
    "embedding + positions",
    "self-attention, causal",
    "cross-attention",
    "MLP",
    "scores of the next word",
]
for side, steps in enumerate((ENCODER, DECODER)):
    for height, name in enumerate(steps):
        colour = "#cfe2f0" if name in ENCODER else "#f6d5bd"
        box = dict(boxstyle="round,pad=0.4", facecolor=colour, edgecolor="#555555")
        axes.text(side, height, name, ha="center", va="center", fontsize=9, bbox=box)
        if height:
            axes.annotate("", (side, height - 0.3), (side, height - 0.7), arrowprops=dict(arrowstyle="->"))
axes.annotate("", (0.82, 2), (0.1, 2), arrowprops=dict(arrowstyle="->", color=ORANGE, linewidth=2))
axes.text(0.45, 2.15, "memory M", ha="center", color=ORANGE, fontsize=9)
for side, (edge, high) in enumerate(((-0.3, 2), (1.3, 3))):  # what stands there L times
    axes.plot([edge, edge], [0.7, high + 0.3], color="#888888")
    axes.text(
        edge + (0.05 if side else -0.05),
        (1 + high) / 2,
        "L times",
        rotation=90,
        ha="center",
        va="center",
        fontsize=8,
    )
for side, text in enumerate(("the source", "the start, and the words written so far")):
    axes.text(side, -0.75, text, ha="center", fontsize=9)
axes.set(xlim=(-0.5, 1.5), ylim=(-1, 4.5))
axes.axis("off")
figure

# %% [markdown]
# The block above is **pre-norm**, as in ViT. The paper's is **post-norm**: $z' = \mathrm{LN}(\mathrm{MSA}(z) + z)$, and so on. It is known to need
# a **warm-up**, a learning rate that rises slowly at first ([Xiong et al. 2020](https://arxiv.org/abs/2002.04745)). Is it so here, six blocks deep?

# %%
curves = {}
deep = config.changed(depth=6)
for title, norm, warmup in (
    ("pre-norm", "pre", 0.0),
    ("post-norm", "post", 0.0),
    ("post-norm, warm-up", "post", 0.3),
):
    _, past = train(deep.changed(norm=norm), warmup=warmup, learning_rate=3e-3, examples=6_000)
    curves[title] = [(row["step"], row["loss"]) for row in past if row["kind"] == "step"]
figure = new_figure(5, 2.6)
axes = figure.subplots()
for (title, points), colour in zip(curves.items(), (BLUE, ORANGE, "#009e73"), strict=True):
    axes.plot(*zip(*points, strict=True), color=colour, label=title)
axes.set(xlabel="step", ylabel="training loss", ylim=(0, None))
axes.legend(fontsize=8)
plain(axes)
figure

# %% [markdown]
# It is: without warm-up post-norm hardly learns in these steps, with it slowly, and pre-norm needs none. (One seed, one learning rate.) [Notebook
# 7](07_the_vision_transformer.ipynb) measures the gradients that Xiong et al. hold responsible.
#
# ## Teacher forcing, and what goes wrong in decoding
#
# In training the decoder is given the *true* words before each place ([teacher forcing](18_the_bottleneck.ipynb)). When it writes, it is given its
# own words, mistakes included: it meets beginnings that no teacher gave. This is **exposure bias** ([Ranzato et al.
# 2016](https://arxiv.org/abs/1511.06732)). The model with a single epoch, `honest`, makes enough mistakes to study. Two scores: how many words are
# right, and how many whole numerals. Which falls when the model writes on its own?

# %%
target, real = test["target"], test["target"] != PADDING
forced = transformer(test, honest, config)[0].argmax(-1)
_, free = written_right(honest)
scores = {}
by_name = {"teacher-forced": forced, "on its own": free}
for name, said in by_name.items():
    right = (said == target) | ~real
    scores[name] = (right[real].mean(), right.all(axis=1).mean())
    print(f"{name:15} words right {scores[name][0]:.1%}, numerals right {scores[name][1]:.1%}")

slipped = ((free != target) & real).argmax(axis=1)  # the first word that is wrong
any_wrong = ((free != target) & real).any(axis=1)
behind = real & (np.arange(target.shape[1]) > slipped[:, None]) & any_wrong[:, None]
for name, said in by_name.items():
    print(f"{name:15} words right behind its first mistake: {(said == target)[behind].mean():.0%}")

figure = new_figure(5, 2.4)
axes = figure.subplots()
for (name, said), colour in zip(by_name.items(), (BLUE, ORANGE), strict=True):
    axes.plot(
        1 + np.arange(12),
        [(said == target)[:, t][real[:, t]].mean() for t in range(12)],
        "o-",
        color=colour,
        label=name,
    )
twelfth = target[real[:, 11], 11]
ends = (twelfth == END).sum()
print(f"{len(twelfth)} of {len(target)} numerals reach place 12; the end stands there in {ends} of them")
axes.set(xlabel="place of the word", ylabel="share right", ylim=(0, 1.06), xticks=range(1, 13))
axes.legend(fontsize=8)
plain(axes)
figure

# %% [markdown]
# Whole numerals are right equally often, and must be: up to its first mistake, the model is given exactly the teacher's words. It is the words
# *behind* a mistake that suffer: each continues a wrong numeral, or stands in a wrong place. (At place 12 only the end is ever true: no numeral here
# has more than eleven words, `forty-` and `two` being two.)
#
# ## Decoding with a cache of keys and values
#
# To write word $t$, `decode` could run on all words so far at every step. But no earlier word sees the new one, so their keys and values stay the
# same. Keep them, and each step computes one token: `transformer_start` encodes the source into a state, `transformer_step` takes one word and the
# state, and returns scores and the next state. What does it save at 64 words?

# %%
long = TransformerConfig(target_length=64, dim=64, mlp_dim=256)
p_long = transformer_init(rng, long, dtype="float64")
source = rng.integers(3, 13, (8, 16))
long_text = rng.integers(3, 13, (8, 64))


def step_anew(tokens, state, p, config):
    """The scores after these tokens, without a cache: all words so far are decoded again."""
    words = np.concatenate([state["words"], tokens[:, None]], axis=1)
    return decode(words, state["memory"], p, config)[0][:, -1], state | {"words": words}


def sixty_four(step, state):
    """Scores of 64 steps, each given the same words, and the milliseconds that they took."""
    begun, found = process_time(), []
    for tokens in long_text.T:
        scores, state = step(tokens, state, p_long, long)
        found.append(scores)
    return np.stack(found, axis=1), 1000 * (process_time() - begun)


begin = transformer_start(source, p_long, long)
kept, fast = sixty_four(transformer_step, begin)
anew, slow = sixty_four(step_anew, begin | {"words": np.zeros((8, 0), int)})
print(f"largest difference {abs(kept - anew).max():.0e}; {slow:,.0f} ms anew, {fast:,.0f} ms with the cache")

# %% [markdown]
# ## Greedy, or a beam
#
# **Greedy** decoding takes the likeliest word at each step. Is that the likeliest sequence? A **beam search** keeps the best few (`width`)
# beginnings at each step. It would prefer short sequences, since every word lowers the probability; so a sequence's log-probability is divided by a
# length penalty, $((5 + |y|) / 6)^\alpha$ for $|y|$ words, the end included ([Wu et al. 2016](https://arxiv.org/abs/1609.08144)).
#
# Take this model: it begins with a (0.5) or b (0.4), or ends at once (0.1). After a it ends (0.4), or writes one more, a or b (0.3 each). After b it
# ends (0.9), or writes one more (0.05 each). What will each write, without a penalty ($\alpha = 0$)?

# %%
a, b = 3, 4
# columns: padding, start, end, a, b
FIRST, AFTER = [1e-9, 1e-9, 0.1, 0.5, 0.4], {a: [1e-9, 1e-9, 0.4, 0.3, 0.3], b: [1e-9, 1e-9, 0.9, 0.05, 0.05]}


def toy(tokens, state):
    """The model above: the scores [B, V] of the next token, given the last ones."""
    return np.log([FIRST if token == START else AFTER[token] for token in tokens]), state


# the model has no state, but a state must have a row
nothing, written_as = {"none": np.zeros((1, 1))}, {a: "a", b: "b", END: "<end>"}
greedy_text = generate(toy, nothing, 1, 4)[0].tolist()  # one sequence, at most four tokens
beam_text, score = beam_search(toy, nothing, 1, 4, width=2, alpha=0)  # alpha=0: no length penalty
print("greedy:   ", *map(written_as.get, greedy_text), f"  probability {FIRST[a] * AFTER[a][END]:.2f}")
print("beam of 2:", *map(written_as.get, beam_text[0].tolist()), f"  probability {np.exp(score[0]):.2f}")

# %% [markdown]
# On numerals, with `honest` and $\alpha = 0.6$, the default:

# %%
beam_right, by_beam = written_right(honest, beam=4)
greedy_right = (free == target).all(axis=1)
differ = (by_beam != free).any(axis=1)
print(f"right: greedy {greedy_right.mean():.1%}, a beam of four {beam_right.mean():.1%}")
of_beam, of_greedy = (differ & beam_right).sum(), (differ & greedy_right).sum()
print(f"they differ in {differ.sum()} of {len(differ)}: in {of_beam} of these the beam is right,", end=" ")
print(f"in {of_greedy} greedy decoding, in the others neither")


def log_probability(words):
    """Of each sequence [N, T], as `honest` sees it; the mean over those in which the two decodings differ."""
    logits, _ = transformer(test | {"target": words}, honest, config)
    of_words = np.take_along_axis(softmax(logits)[0], words[..., None], axis=-1)[..., 0]
    return np.where(words == PADDING, 0, np.log(of_words)).sum(axis=1)[differ].mean()


likely = {"greedy": log_probability(free), "beam": log_probability(by_beam)}
print(f"mean log-probability where they differ: greedy {likely['greedy']:.2f}, beam {likely['beam']:.2f}")
shown = np.flatnonzero(differ & beam_right)[0]
for name, found in (("greedy", free), ("beam", by_beam)):
    print(f"{chinese.decode(test['source'][shown])} {name:6}: {english.decode(found[shown])}")

# %% [markdown]
# Where the two differ, the beam's sequences are likelier on average. Where one of the two is right, it is mostly the beam's, but in most of these
# numerals both are wrong.
#
# ## Exercises
#
# Write the bodies ([how exercises are marked](00_start_here.ipynb)). Of an array that is wrong, `picture()` draws what was expected, yours, and the
# difference.


# %%
def my_causal(tokens, queries=None):
    """[T, T] of True and False: may query t look at key s?

    `queries`, if given: the places whose rows are wanted; [len(queries), T].
    """


verdict = exercises.check("causal", my_causal)
print(verdict)
verdict.picture()


# %%
def my_decoder_block_backward(dz, p, c):
    """dz [B, T, D], p {ln1, msa, ln2, cross, ln3, mlp}, the cache -> dz, dmemory [B, S, D], g as p.

    The block is pre-norm; its cache has those of its parts, by these names.
    tinyvit.layers has their backward passes.
    """


exercises.check("decoder_block_backward", my_decoder_block_backward)

# %% [markdown]
# Positions need not be added to tokens. ALiBi ([Press et al. 2022](https://arxiv.org/abs/2108.12409)) subtracts from each score a slope times the
# distance from query to key. Let the slope be learned:


# %%
def alibi(q, k, v, slope):
    """Causal attention [B, T, d] whose scores fall with the distance; the slope is one number."""
    t = np.arange(q.shape[1])
    distance = t[:, None] - t
    y, c = attention(q, k, v, np.where(distance < 0, -np.inf, -slope * distance))
    return y, {"attention": c, "distance": distance}


def my_alibi_backward(dy, c):
    """dy [B, T, d] -> dq, dk, dv and dslope; tinyvit.ops.attention has attention_backward for the rest."""


verdict = exercises.grade(alibi, my_alibi_backward, *rng.standard_normal((3, 2, 5, 4)), np.array(0.5))
print(verdict)
verdict.picture()


# %% [markdown]
# ## What we know now
#
# Self-attention computes all steps at once; positions bring back the order, and masks say who may look at whom. The encoder's block is ViT's. A
# decoder adds a branch that asks the source.

# %%
small = [
    rng.standard_normal((2, 3, 8)),
    rng.standard_normal((2, 5, 8)),
    decoder_block_init(rng, 8, 6, dtype="float64"),
]
post_norm_report = tinyvit.gradcheck(
    post_norm_decoder_block,
    post_norm_decoder_block_backward,
    *small,
    heads=2,
    gelu="tanh",
    bias=pattern_bias(causal(3)),
)
assert post_norm_report.ok and history[-1]["test_accuracy"] > 0.95
assert reach["GRU"][-1] < 1e-4 < reach["encoder block"][-1] and times["GRU"][-1] < times["encoder block"][-1]
assert apart < 1e-5 and blind and company["masked"] < 1e-5 < 0.1 < company["not masked"]
assert cheat_history[-1]["test_loss"] < honest_history[-1]["test_loss"]
assert written_right(cheat)[0].mean() < 0.05 < written_right(honest)[0].mean()
assert same < 1e-4 and min(hit_vit, hit_transformer) > 0.1
assert curves["post-norm"][-1][1] > curves["post-norm, warm-up"][-1][1] > curves["pre-norm"][-1][1]
assert scores["teacher-forced"][1] == scores["on its own"][1]
assert scores["teacher-forced"][0] > scores["on its own"][0]
assert abs(kept - anew).max() < 1e-12 and slow > 3 * fast
assert greedy_text == [a, END] and beam_text[0].tolist() == [b, END]
assert beam_right.mean() > greedy_right.mean() and likely["beam"] > likely["greedy"]
assert trees.count(p["encoder"]) == trees.count(p_vit["blocks"])

# %% [markdown]
# Next: [three objectives on one block](20_three_objectives_on_one_block.ipynb).
