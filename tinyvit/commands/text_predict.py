"""tinyvit predict, of a model of text that was trained here."""

import json
import sys
from pathlib import Path

from tinyvit.arrays import to_device
from tinyvit.commands.options import saved_model
from tinyvit.commands.runs import check_figure, check_same_model, save_figure
from tinyvit.commands.text_weights import check_absent
from tinyvit.data.text import padded
from tinyvit.data.vocabulary import BLANK, join
from tinyvit.errors import CheckpointError, DataError, UsageError
from tinyvit.models.model import SEQUENCE_MODELS, model_of, name_of
from tinyvit.models.writing import fill
from tinyvit.ops.tokens import ANSWER, END, PADDING
from tinyvit.training.checkpoint import load_for_use
from tinyvit.training.run import open_run

OF_PICTURES = ("top", "dataset", "heads", "gelu", "eps")
DRAWN = 8  # answers in a figure, at most


def is_text_model(path):
    """Whether a path is of a run, or of a file of tinyvit's own, with a model of text."""
    path = Path(path)
    folder = (
        path.parent if path.name in ("model.npz", "checkpoint.npz") and (path.parent / "config.json").exists() else path
    )
    return saved_model(folder) in SEQUENCE_MODELS


def open_text_model(path, device="cpu"):
    """Parameters, configuration and data set of a model of text, and notes.

    Raises
    ------
    CheckpointError
        If there is none, or the file does not say what its vocabularies are.
    """
    path, notes, run = Path(path), [], None
    if path.is_dir():
        run = open_run(path)
        path = run.model if run.model.exists() else run.checkpoint
        if not path.exists():
            raise CheckpointError(f"the run in {run.folder} has saved nothing yet: go on with `{run.resume_command}`")
    p, config, inputs, step = load_for_use(path)
    if run:
        check_same_model(run, path, config, inputs.dataset)
    if step is not None:
        notes.append(f"the run is not finished: the average of the weights after step {step} is taken")
    if not inputs.of_text:
        raise CheckpointError(f"{path} does not say what its vocabulary is: give the run's folder in place of the file")
    return to_device(p, device), config, inputs.dataset, notes


def predict_text(args):
    """Answer texts: one line for each; exit status 1 if one could not be read."""
    check_absent(args, OF_PICTURES, "it is a model of text that was trained here")
    if args.figure:
        check_figure(args.figure)
    p, config, dataset, notes = open_text_model(args.model, args.device)
    if args.figure and getattr(config, "score", None) == "none":
        raise UsageError(f"--figure: {model_of(config).title} has no attention to draw, leave it out")
    fills = name_of(config) == "bert"
    if fills and args.beam:
        raise UsageError("--beam: a BERT fills all blanks at once and does not search, leave it out")
    if notes:
        print("\n".join(notes), file=sys.stderr)
    results, failed = [], 0
    for text in args.image:
        try:
            result = _filled(text, dataset, p, config) if fills else _answered(text, dataset, p, config, args.beam)
        except DataError as error:
            print(f"tinyvit: {_short(text)}: {error}", file=sys.stderr)
            failed = 1
            continue
        for note in result["notes"]:
            print(f"{_short(text)}: {note}", file=sys.stderr)
        results.append(result)
    if args.json:
        keys = ("text", "answer", "notes")
        print(json.dumps([{key: result[key] for key in keys} for result in results], ensure_ascii=False))
    elif results:
        print("\n".join(result["answer"] for result in results))
    if args.figure and results:
        _draw(results[:DRAWN], dataset, p, config, args.figure)
    return failed


def _answered(text, dataset, p, config, beam):
    """What the model writes: {text, answer, notes, question, tokens}."""
    asked = text.strip()
    if dataset.source.joined:
        asked = asked.removesuffix(dataset.sign).rstrip()
    question, notes = dataset.question(asked), []
    longest, room = dataset.source_length - 1, None
    if beyond := dataset.beyond(asked):
        notes.append(f"{beyond}: the answer is hardly right")
    if len(question) > longest:
        room = dataset.target_length + len(question) - longest
    if dataset.source.joined:
        if len(question) + 2 > config.length:
            raise DataError(f"found {len(question)} tokens, the model has places for {config.length - 2}: shorten it")
        batch = {"tokens": padded([[*question, ANSWER]], len(question) + 1)}
    else:
        batch = {"source": padded([[*question, END]], len(question) + 1)}
    row = model_of(config).views["write"](batch, p, config, beam=beam, longest=room)[0].tolist()
    tokens = [token for token in row if token != PADDING]
    if END not in tokens:
        notes.append("the answer has no end: it is cut")
    return {
        "text": text,
        "answer": dataset.target.decode(tokens),
        "notes": notes,
        "question": question,
        "tokens": tokens,
    }


def _filled(text, dataset, p, config):
    """A text with its blanks filled in."""
    asked, sign, given = text.partition(dataset.sign)
    question = dataset.source.encode(asked.strip(), blanks=True)
    if not sign or BLANK not in text:
        example = f"{asked.strip()}{dataset.sign}{join([BLANK, BLANK], dataset.target.words)}"
        raise DataError(f"found no blank to fill: write {BLANK} for each token of the answer, as {example}")
    tokens = [*question, ANSWER, *dataset.target.encode(given.strip(), blanks=True), END]
    if len(tokens) > config.length:
        raise DataError(f"found {len(tokens)} tokens, the model has places for {config.length}: shorten it")
    whole = fill(padded([tokens], len(tokens)), p, config)[0].tolist()
    question, answer = whole[: len(question)], whole[len(question) + 1 :]
    filled = f"{dataset.source.decode(question)}{dataset.sign}{dataset.target.decode(answer)}"
    notes = []
    if config.asked == "answer" and BLANK in asked:
        notes = ["this model learned to fill in answers alone: what it says of the question is a guess"]
    return {"text": text, "answer": filled, "notes": notes, "question": question, "tokens": answer, "seen": tokens}


def _draw(results, dataset, p, config, path):
    from tinyvit.viz.alignment import alignment_figure, alignments

    questions, answers = ([result[name] for result in results] for name in ("question", "tokens"))
    seen = [result["seen"] for result in results] if "seen" in results[0] else None
    found = alignments(dataset, questions, answers, p, config, seen=seen)
    if not found:
        raise DataError(f"{path}: the answers have no token, so there is nothing to draw: leave --figure out")
    save_figure(alignment_figure(found), path)
    print(f"{path}: written", file=sys.stderr)


def _short(text):
    """A text as an error names it."""
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
