"""tinyvit predict, of published models of text: GPT-2 goes on with a text, BERT fills in its [MASK]."""

import json
import sys
import unicodedata

import numpy as np

from tinyvit.arrays import to_device, to_host
from tinyvit.commands.options import count
from tinyvit.errors import CheckpointError, UsageError
from tinyvit.models.bert import bert
from tinyvit.models.decoding import generate, greedy, sampler
from tinyvit.models.gpt import GPTConfig, gpt_prompt, gpt_step
from tinyvit.ops.softmax import softmax
from tinyvit.training.cores import usable_cores
from tinyvit.weights.load import load_weights
from tinyvit.weights.place import local
from tinyvit.weights.tensors import found_weights, open_tensors
from tinyvit.weights.text_sources import canonical
from tinyvit.weights.tokenizer import END_OF_TEXT, MASK, read_tokenizer
from tinyvit.weights.wrappers import unwrapped

LONGEST = 30  # tokens that are written, unless --tokens says otherwise
BEST = 5  # words that are named for a [MASK], unless --top says otherwise
OF_OTHERS = ("figure", "dataset", "beam")
OF_WRITING = ("tokens", "temperature", "top_p", "seed")


def add_writing(parser):
    """The options of a model that writes."""
    group = parser.add_argument_group("of a published GPT-2")
    group.add_argument("--tokens", type=count, metavar="N", help=f"tokens to write at most (default {LONGEST})")
    group.add_argument(
        "--temperature", type=float, metavar="T", help="draw each token; below 1, the likely is likelier"
    )
    group.add_argument("--top-p", type=float, metavar="P", help="draw from the likeliest that have this share together")
    group.add_argument("--seed", type=int, help="of what is drawn (default 0)")


def check_no_writing(args):
    """Raise UsageError if an option is given that is of a published GPT-2."""
    check_absent(args, OF_WRITING, "it is no published GPT-2")


def check_absent(args, names, why):
    """Raise UsageError if one of these options is given; `why` says why the model has no use for it."""
    for name in names:
        if getattr(args, name) is not None:
            option = {"dataset": "data"}.get(name, name.replace("_", "-"))
            raise UsageError(f"--{option}: {args.model} has no use for it, since {why}; leave it out")


def holds_text(path):
    """Whether a path is one of published weights of a model of text."""
    try:
        file, _ = found_weights(local(path))
        with open_tensors(file) as tensors:
            return canonical(file, unwrapped(file, tensors)[0]) is not None
    except CheckpointError:  # whoever opens it says what is wrong
        return False


def predict_published(args):
    """Go on with each text, or name the words for its [MASK]."""
    from threadpoolctl import threadpool_limits

    check_absent(args, OF_OTHERS, "it is a published model of text")
    p, config, notes = load_weights(args.model, args.heads, gelu=args.gelu, eps=args.eps)
    writes = isinstance(config, GPTConfig)
    if writes:
        check_absent(args, ("top",), "it writes text")
    else:
        check_absent(args, OF_WRITING, "it writes no text, but fills in [MASK]")
    if not notes.has_head:
        raise UsageError(f"{args.model} has no head that was trained, so it fills in no words: fetch BertForMaskedLM's")
    folder = found_weights(local(args.model))[0].parent
    tokenizer = read_tokenizer(folder, config)
    _choice(args)
    for text in args.image:  # what is wrong with one of them is said before the first is answered
        (_prompt if writes else _with_gaps)(text, config, tokenizer)
    p = to_device(p, args.device)
    print(notes, file=sys.stderr)
    results = []
    with threadpool_limits(args.workers or usable_cores()):
        for text in args.image:
            results.append((_gone_on if writes else _filled)(text, p, config, tokenizer, args))
            if not args.json:
                print(_in_words(results[-1]), flush=True)
    if args.json:
        print(json.dumps(results, ensure_ascii=False))


def _gone_on(text, p, config, tokenizer, args):
    longest = args.tokens or LONGEST
    new, ended = continuation(text, p, config, tokenizer, longest=longest, choose=_choice(args))
    if len(new) < longest and not ended:
        print(f"cut after {len(new)} tokens, at the last of the model's {config.length} positions", file=sys.stderr)
    return {"text": text, "continuation": tokenizer.decode(new), "tokens": len(new), "ended": ended}


def _filled(text, p, config, tokenizer, args):
    return {"text": text, "masks": fillings(text, p, config, tokenizer, top=args.top or BEST)}


def _choice(args):
    """How a token is chosen: the likeliest, unless an option says that it is drawn, for each text anew."""
    if args.temperature is None and args.top_p is None:
        if args.seed is not None:
            raise UsageError(
                "--seed: nothing is drawn, the likeliest token is taken; say --temperature, or leave it out"
            )
        return greedy
    if (seed := args.seed or 0) < 0:
        raise UsageError(f"--seed is {seed}: expected a whole number of at least 0")
    return sampler(np.random.default_rng(seed), *(1.0 if x is None else x for x in (args.temperature, args.top_p)))


def continuation(text, p, config, tokenizer, *, longest=LONGEST, choose=greedy):
    """What GPT-2 writes behind a text: its tokens without the end, a list, and whether it ended by itself.

    Raises
    ------
    UsageError
        If the text is empty, or has more tokens than the model has positions.
    """
    prompt = _prompt(text, config, tokenizer)
    end, known = tokenizer.number(END_OF_TEXT), tokenizer.size  # the model may have scores for more
    scores, state = gpt_prompt(np.array([prompt]), p, config)
    (written,) = generate(
        lambda tokens, state: gpt_step(tokens, state, p, config),
        state,
        1,
        min(longest, config.length + 1 - len(prompt)),  # the last token is written, and not read
        choose=lambda scores: choose(scores[:, :known]),
        scores=scores,
        end=-1 if end is None else end,
    )
    ended = bool(written[-1] == end)
    return [int(token) for token in written[: len(written) - ended]], ended


def fillings(text, p, config, tokenizer, *, top=BEST):
    """The likeliest words for each [MASK] of a text, by BERT: [[{token, probability}, ...], ...], the best first.

    Raises
    ------
    UsageError
        If the text has no [MASK], or more tokens than the model has positions.
    """
    tokens, places = _with_gaps(text, config, tokenizer)
    logits, _ = bert(tokens[None], p, config, mask=np.ones((1, len(tokens)), bool))
    scores = to_host(logits)[0, places, : tokenizer.size]  # the model may have scores for more
    return [_best(row, tokenizer, top) for row in softmax(scores.astype(np.float64))[0]]


def _best(probabilities, tokenizer, top):
    best = (-probabilities).argsort(kind="stable")[:top]
    return [{"token": tokenizer.token(k), "probability": round(float(probabilities[k]), 6)} for k in best]


def _prompt(text, config, tokenizer):
    tokens = _encoded(text, config, tokenizer)
    if not tokens:
        raise UsageError("the text is empty: expected some words to go on from")
    return tokens


def _with_gaps(text, config, tokenizer):
    """The tokens of a text, and where it has a [MASK]."""
    tokens = np.array(_encoded(text, config, tokenizer))
    places = np.flatnonzero(tokens == tokenizer.number(MASK))
    if not len(places):
        raise UsageError(f"{text!r} has no {MASK}: write {MASK} in the place of a word, and the model fills it in")
    return tokens, places


def _encoded(text, config, tokenizer):
    tokens = tokenizer.encode(text)
    if len(tokens) > config.length:
        raise UsageError(
            f"the text has {len(tokens)} tokens, and the model positions for {config.length}: expected a shorter text"
        )
    return tokens


def _in_words(result):
    if "continuation" in result:
        return _printable(result["text"] + result["continuation"])
    lines = [", ".join(f"{x['token']} ({100 * x['probability']:.1f} %)" for x in best) for best in result["masks"]]
    numbers = [f"{MASK} {k}" for k in range(1, len(lines) + 1)] if lines[1:] else [MASK]
    return _printable("\n".join([result["text"], *(f"  {k}: {line}" for k, line in zip(numbers, lines, strict=True))]))


def _printable(text):
    """Without characters that would command the terminal: a model may write any."""
    return "".join(x if x in "\n\t" or unicodedata.category(x) != "Cc" else ascii(x)[1:-1] for x in text)
