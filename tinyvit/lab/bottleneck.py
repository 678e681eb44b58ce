"""Must all of a sentence pass through one vector? Copying, with attention and without it, over the length."""

import functools
from dataclasses import replace

import numpy as np

from tinyvit.data.rules import RULES, questions
from tinyvit.data.text import EXAMPLES, padded, read_text
from tinyvit.lab.equal import nearest_in_size
from tinyvit.lab.experiment import Experiment, Report
from tinyvit.lab.figures import accuracy_axis, legend, panels, seeds, ticks
from tinyvit.lab.job import text_training
from tinyvit.lab.statistics import LEVEL, difference
from tinyvit.lab.train import learned
from tinyvit.models.model import SEQUENCE_MODELS, parameter_count
from tinyvit.models.seq2seq import AttentionConfig, Seq2SeqConfig
from tinyvit.models.transformer import TransformerConfig
from tinyvit.ops.tokens import END, PADDING, SPECIAL
from tinyvit.training.recipe import RECIPES, Recipe
from tinyvit.training.step import arithmetic

TEXTS = tuple(name for name, rule in RULES.items() if "length" in rule.defaults)
LENGTHS = (4, 16)  # symbols of the sequences that are learned from, at least and at most
TESTED = (4, 8, 12, 16, 18, 20, 24, 32)  # and of those that are asked: some are longer than any that was learned from
SYMBOLS = 10
DIM = 64  # of the model without attention; the others have as many parameters
EPOCHS = {"quick": 2, "full": 4}
QUESTIONS = {"quick": 500, "full": 2000}  # of each length
FRESH = 16  # a stream of random numbers, apart from that of the data
FAILS = 0.5  # a model that writes fewer sequences than this without a mistake has not learned their length
PAPERS = (
    "In Bahdanau et al. 2015 (figure 2, BLEU over the length of a sentence) the model without attention falls steeply "
    "beyond about 30 words, and the one with it, trained on sentences of up to 50, does not fall at 50 or more; in "
    "Luong et al. 2015 (table 1, English to German) attention raises BLEU from 14.0 to 16.8, and to 18.1 where what it "
    "found is fed to the next step."
)


def jobs(data, budget):
    """The four models of equal size, by one recipe: that of the data, for some epochs."""
    recipe = replace(RECIPES[data], epochs=EPOCHS[budget])
    how = dict(lengths=LENGTHS, symbols=SYMBOLS, examples=EXAMPLES, tested=TESTED, asked=QUESTIONS[budget])
    return [
        text_training({"model": name, "parameters": parameter_count(config)}, config, recipe, task="bottleneck", **how)
        for name, config in models().items()
    ]


@functools.cache
def models():
    """{name: configuration} of the four, with as many parameters as the first has."""
    tokens, length = len(SPECIAL) + SYMBOLS, max(LENGTHS) + 1
    sizes = dict(source_tokens=tokens, target_tokens=tokens, source_length=length, target_length=length)
    found = {"no attention": Seq2SeqConfig(**sizes, dim=DIM)}
    wanted = parameter_count(found["no attention"])
    for score in ("dot", "additive"):
        widths = [AttentionConfig(**sizes, dim=dim, score=score) for dim in range(DIM // 2, DIM)]
        found[score] = nearest_in_size(widths, wanted)
    widths = [TransformerConfig(**sizes, dim=DIM // 2, mlp_dim=width) for width in range(DIM // 2, 4 * DIM)]
    return found | {"Transformer": nearest_in_size(widths, wanted)}


def bottleneck(data, seed, *, model, config, recipe, lengths, symbols, examples, tested, asked):
    """Train a model on sequences of some lengths, and have it write those of others.

    Parameters
    ----------
    data : str
        In TEXTS.
    model, config, recipe
        As in `train`; the model is one of text.
    lengths : (int, int)
        Symbols of a sequence that is learned from, at least and at most.
    symbols : int
        How many different ones.
    examples : int
        Sequences to learn from.
    tested : list of int
        The lengths that are asked.
    asked : int
        Sequences of each length; none of them was learned from.

    Returns
    -------
    What `learned` returns, and {exact: {length: share}} of sequences that were written without any mistake.
    """
    config, recipe = SEQUENCE_MODELS[model].config(**config), Recipe.from_dict(recipe)
    loaded = read_text(data, length=tuple(lengths), symbols=symbols, examples=examples)
    p, found = learned(config, (loaded.train, loaded.test), recipe, seed)
    write = SEQUENCE_MODELS[model].views["write"]
    return found | {"exact": {str(n): exact_match(write, fresh(loaded, n, asked), p, config) for n in tested}}


def fresh(loaded, length, count):
    """So many pairs of sequences of this length that are none of the training set: {"source", "target"}.

    They are the same for all models and seeds.
    """
    dataset = loaded.dataset
    known = {dataset.source.decode(row) for row in loaded.train["source"]}
    options = dataset.options | {"length": (length, length)}
    drawn = questions(np.random.RandomState([FRESH, length]), dataset.name, 2 * count, options)
    pairs = [pair for pair in map(dataset.rule.write, drawn) if pair[0] not in known][:count]
    vocabularies = {"source": dataset.source, "target": dataset.target}
    return {
        side: padded([vocabulary.encode(pair[k]) + [END] for pair in pairs], length + 1)
        for k, (side, vocabulary) in enumerate(vocabularies.items())
    }


def exact_match(write, batch, p, config):
    """The share of sequences that a model writes, greedily, without any mistake, their end included."""
    target = batch["target"]
    answers = np.full_like(target, PADDING)
    with arithmetic():
        written = write(batch, p, config, longest=target.shape[1])
    answers[:, : written.shape[1]] = written
    return float((answers == target).all(axis=1).mean())


def exact_of(length):
    """Reads the share of this length from a result."""
    return lambda result: result["exact"][str(length)]


def report(results):
    """Exact match over length, a line for each model, and the seeds as dots."""
    counts = dict(results.settings("model", "parameters"))
    rows = []
    figure, (axes,) = panels(1, 7, 4)
    axes.axvspan(LENGTHS[0] - 1, LENGTHS[1] + 1, color="#eeeeee", zorder=0)
    for number, (name, count) in enumerate(counts.items()):
        shares = [results.estimate(exact_of(length), model=name) for length in TESTED]
        rows.append([name, f"{count:,}", *(share.text(digits=1) for share in shares)])
        seeds(axes, TESTED, [results.values(exact_of(length), model=name) for length in TESTED], name, number)
    axes.set(xlabel=f"symbols of a sequence (grey: learned from, {LENGTHS[0]} to {LENGTHS[1]})")
    accuracy_axis(axes, "sequences without a mistake (%)")
    ticks(axes, TESTED)
    legend(figure)
    columns = ["model", "parameters", *(f"{length} symbols (%)" for length in TESTED)]
    return Report(columns, rows, figure, _verdict(results, counts))


def _verdict(results, counts):
    none, *others = counts
    more = [counts[name] / counts[none] - 1 for name in others]
    sizes = (
        f"The model without attention has {counts[none]:,} parameters, the others {100 * min(more):+.1f} to "
        f"{100 * max(more):+.1f} %."
    )
    return " ".join([sizes, _wall(results, none), _removed(results, none, others), _beyond(results, counts), PAPERS])


def _wall(results, none):
    """Whether it is the length that the model without attention fails at."""
    short, long = (results.values(exact_of(length), model=none) for length in LENGTHS)
    fall = difference(short, long)
    which = "is a wall for" if fall.significant and fall.mean > 0 else "is not shown to matter to"
    return (
        f"Length {which} one vector: without attention, exact match at {LENGTHS[0]} symbols less that at {LENGTHS[1]} "
        f"is {fall.text(digits=1)} points."
    )


def _removed(results, none, others):
    """Whether attention removes it, at the longest that was learned from."""
    longest = exact_of(LENGTHS[1])
    gaps = {
        name: difference(
            results.values(longest, model=name),
            results.values(longest, model=none),
            level=1 - (1 - LEVEL) / len(others),
        )
        for name in others
    }
    removed = [name for name, gap in gaps.items() if gap.significant and gap.mean > 0]
    words = [f"{name} {gap.text(digits=1)}{'' if name in removed else ' (not shown)'}" for name, gap in gaps.items()]
    which = "Attention is better at it" if len(removed) == len(gaps) else "That all attention is better is not shown"
    return (
        f"{which}: exact match at {LENGTHS[1]} symbols less that without attention, in points (each interval wide "
        f"enough for {len(others)} at once): {', '.join(words)}."
    )


def _beyond(results, counts):
    """How the models do at the longest sequences, longer than any that was learned from."""
    shares = {name: results.estimate(exact_of(TESTED[-1]), model=name) for name in counts}
    words = ", ".join(f"{name} {share.text(digits=1)}" for name, share in shares.items())
    fails = all(share.mean + share.half < FAILS for share in shares.values())
    beyond = "very model fails beyond the lengths that it was trained on"
    return (
        f"{'E' if fails else 'That e'}{beyond}{'' if fails else ' is not shown'}: with {TESTED[-1]} symbols, "
        f"{TESTED[-1] - LENGTHS[1]} more than any had that was learned from, exact match is {words} %."
    )


BOTTLENECK = Experiment(
    "bottleneck",
    "Must all of a sequence pass through one vector?",
    "Bahdanau et al. 2015, figure 2; Luong et al. 2015, table 1",
    jobs,
    report,
    texts=TEXTS,
)
