"""What models of text write, each in its own way: `views["write"]`.

    write(batch, p, config, *, choose=None, beam=None, longest=None) -> answers [B, at most longest]

The batch is {"source" [B, S]}, or {"tokens" [B, L]}, of which only the question is looked at, and by BERT how many
tokens the answer has. `choose` and `beam` are as in decoding.py; without either, decoding is greedy. Answers end with
END, and have PADDING behind it.
"""

import numpy as np

from tinyvit.arrays import to_host
from tinyvit.models.bert import bert
from tinyvit.models.decoding import beam_search, generate, greedy
from tinyvit.models.gpt import gpt_step
from tinyvit.models.seq2seq import seq2seq_start, seq2seq_step
from tinyvit.models.token_tasks import behind_the_sign, hide_answers
from tinyvit.models.transformer import transformer_start, transformer_step
from tinyvit.ops.tokens import ANSWER, END, HIDDEN, PADDING


def _decoded(step, state, p, config, count, longest, choose, beam, prompt=None):
    """Token by token: by a beam search of that width, or by a choice at each step."""

    def step_of_model(tokens, state):
        return step(tokens, state, p, config)

    if beam:
        return beam_search(step_of_model, state, count, longest, width=beam, prompt=prompt)[0]
    return generate(step_of_model, state, count, longest, choose=choose, prompt=prompt)


def _of_a_pair(start, step):
    """The writing of an encoder and decoder: it begins in the state that the encoder leaves."""

    def write(batch, p, config, *, choose=None, beam=None, longest=None):
        source, longest = batch["source"], longest or config.target_length
        return _decoded(step, start(source, p, config), p, config, len(source), longest, choose, beam)

    return write


write_seq2seq = _of_a_pair(seq2seq_start, seq2seq_step)
write_transformer = _of_a_pair(transformer_start, transformer_step)


def write_gpt(batch, p, config, *, choose=None, beam=None, longest=None):
    """GPT goes on behind START, the question and ANSWER."""
    tokens = to_host(batch["tokens"])
    question = np.where(behind_the_sign(tokens), PADDING, tokens)
    question = question[:, : int((question != PADDING).sum(axis=1).max())]
    longest = min(config.length, question.shape[1] + longest) if longest else config.length
    whole = _decoded(gpt_step, {"past": []}, p, config, len(tokens), longest, choose, beam, prompt=question)
    return answers_in(whole)


def fill(tokens, p, config, *, choose=None):
    """The sequences with a token in place of each HIDDEN one: integer array [B, T].

    All at once: BERT knows of each that the others are hidden, and no more.
    """
    tokens = to_host(tokens)
    logits = to_host(bert(tokens, p, config)[0]).copy()
    logits[..., : HIDDEN + 1] = -np.inf  # no special token was ever hidden
    filled = (choose or greedy)(logits.reshape(-1, logits.shape[-1])).reshape(tokens.shape)
    return np.where(tokens == HIDDEN, filled, tokens)


def write_bert(batch, p, config, *, choose=None, beam=None, longest=None):
    """BERT fills in the answer, all of whose tokens are hidden."""
    return answers_in(fill(hide_answers(batch["tokens"])[0], p, config, choose=choose))


def answers_in(tokens):
    """The answers of sequences of question, ANSWER, answer: array [B, T], each from its first token to its END."""
    rows = []
    for row in to_host(tokens).tolist():
        answer = row[row.index(ANSWER) + 1 :] if ANSWER in row else row
        rows.append(answer[: answer.index(END) + 1] if END in answer else [t for t in answer if t != PADDING])
    found = np.full((len(rows), max(1, *map(len, rows))), PADDING)
    for row, answer in zip(found, rows, strict=True):
        row[: len(answer)] = answer
    return found
