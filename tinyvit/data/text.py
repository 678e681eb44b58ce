"""Pairs of sequences as training takes them: by rule, or from a file of one's own.

loaded = read_text("numerals", largest=10_000)   Chinese to English; "copy", "sums" and others: see RULES
loaded = read_text("pairs.tsv")                  one pair a line, a tab between
loaded.train                                     {"source" [N, S], "target" [N, T]}, PADDING behind the END of each
loaded.dataset.source.encode("三千零五十")
joined(loaded)                                   question and answer as one sequence: {"tokens" [N, L]}
"""

import dataclasses
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np

from tinyvit.annotations import Batch
from tinyvit.data.pairs import is_pairs, read_pairs
from tinyvit.data.rules import RULES, checked_options, questions
from tinyvit.data.vocabulary import Vocabulary, vocabulary_of
from tinyvit.errors import UsageError
from tinyvit.names import expected
from tinyvit.ops.tokens import ANSWER, END, PADDING, SPECIAL, SPECIAL_JOINED

EXAMPLES = 32_000  # pairs to learn from, where nothing is said
TESTED = 2_000  # pairs at most; of few, a fifth
SEED = 20_141_215  # of what is drawn: everyone has the same pairs


@dataclass(frozen=True)
class TextDataset:
    """What a model and a prediction must know of a data set of text.

    Parameters
    ----------
    name : str
        In RULES, or that of a file.
    source, target : Vocabulary
        Of the same tokens, where question and answer are one sequence.
    source_length, target_length : int
        Tokens of the longest, its end included.
    options : dict
        Of the rule; {} for a file.
    """

    name: str
    source: Vocabulary
    target: Vocabulary
    source_length: int
    target_length: int
    options: dict[str, Any]

    def __post_init__(self):
        for name in ("source_length", "target_length"):
            if type(value := getattr(self, name)) is not int or not 2 <= value <= 2**16:
                raise UsageError(f"{name} is {value!r}: expected a whole number from 2 to {2**16}")
        if not isinstance(self.name, str) or not isinstance(self.options, dict):
            raise UsageError("not a data set of text: expected a name and options")
        if self.options:
            if self.name not in RULES:
                raise UsageError(f"name is {self.name!r}: {expected(self.name, RULES)}, for it has options")
            if checked_options(self.name, self.options) != self.options:
                raise UsageError(f"not a data set of text: expected a value for each option of {self.name}")
        if self.source.joined and self.source.tokens != self.target.tokens:
            raise UsageError("not a data set of text: expected one vocabulary for question and answer")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The data set that `dataclasses.asdict` took apart, for instance read from a file.

        Raises
        ------
        UsageError
            If a name is unknown or missing, or a value is not possible.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or values.keys() != known:
            raise UsageError(f"not a data set of text: expected values for {', '.join(sorted(known))}")
        vocabularies = {name: Vocabulary.from_dict(values[name]) for name in ("source", "target")}
        options = values["options"]
        if isinstance(options, dict) and isinstance(options.get("length"), list):
            options = options | {"length": tuple(options["length"])}
        return cls(**values | vocabularies | {"options": options})

    @property
    def rule(self):
        """The rule that the pairs are made by; None of a file's."""
        return RULES[self.name] if self.options else None

    @property
    def length(self) -> int:
        """The tokens of question and answer as one sequence, with what stands between and the end."""
        return self.source_length + self.target_length

    @property
    def sign(self) -> str:
        """What stands between question and answer, for people."""
        return self.rule.sign if self.rule else "→"

    def question(self, text: str) -> list[int]:
        """The tokens of a question.

        Raises
        ------
        DataError
            If it is none, by the data set's rule or its vocabulary.
        """
        if self.rule:
            self.rule.read(text)
        return self.source.encode(text)

    def beyond(self, text: str) -> str:
        """How a question is unlike all that were learned from, in words; "" if it is not."""
        if self.rule:
            return self.rule.beyond(self.rule.read(text), **self.options)
        count, most = len(self.source.encode(text)), self.source_length - 1
        return f"{count} tokens, where it learned from at most {most}" if count > most else ""


class LoadedText(NamedTuple):
    """A data set of text, and what there is to say about how it was read."""

    dataset: TextDataset
    train: Batch
    test: Batch
    notes: tuple = ()  # sentences

    @property
    def fingerprint(self) -> str:
        """A digest of all pairs."""
        digest = hashlib.sha256()
        for part in (self.train, self.test):
            for array in part.values():
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:16]


def is_text(data: str | os.PathLike) -> bool:
    """Whether data are text: the name of a rule, or a file of pairs."""
    return data in RULES or is_pairs(data)


def read_text(data: str | os.PathLike, *, examples: int | None = None, **options: Any) -> LoadedText:
    """Load a data set of pairs of sequences.

    Parameters
    ----------
    data : a name in RULES, which wins over a file of that name, or the path of a file (.tsv, .txt)
        Of a file one pair a line, a tab between; a tenth of the sources is for testing.
    examples : int, optional
        Pairs to learn from; those to test are never among them.
    options
        Of a rule: length ((least, most), or one number) and symbols of copy, reverse and sort; largest (numbers are
        below it) of numerals, numerals-back and sums.

    Returns
    -------
    LoadedText
        train and test are {"source" [N, S], "target" [N, T]}: int64, PADDING behind the END of each sequence.

    Raises
    ------
    UsageError
        If there is no such data set or option.
    DataError
        If the file cannot be read, or is none of pairs.
    """
    if examples is not None and (type(examples) is not int or examples < 2):
        raise UsageError(f"examples is {examples!r}: expected a whole number of at least 2")
    if data in RULES:
        return _by_rule(str(data), examples or EXAMPLES, options)
    if not is_pairs(data):
        raise UsageError(f"unknown data set {str(data)!r}: {expected(data, RULES)}, or a file of pairs (.tsv, .txt)")
    if given := [*options, *(["examples"] if examples else [])]:
        raise UsageError(f"--{given[0]}: the pairs of a file are what they are, leave it out")
    train, test = read_pairs(data)
    both = [*train, *test]
    words = tuple(any(" " in pair[side] for pair in both) for side in (0, 1))
    tokens = " and ".join(f"the {side}'s are {_kind(w)}" for side, w in zip(("source", "target"), words, strict=True))
    return _loaded(Path(data).stem or "pairs", train, test, words, {}, (f"tokens: {tokens}",))


def _by_rule(name, examples, options):
    if isinstance(options.get("length"), int):
        options = options | {"length": (options["length"], options["length"])}
    options, rule = checked_options(name, options), RULES[name]
    rng = np.random.RandomState(SEED)  # whose numbers are the same in every version of NumPy, unlike a Generator's
    wanted = min(TESTED, -(-examples // 5))
    found = questions(rng, name, examples + wanted, options)
    found = [found[k] for k in rng.permutation(len(found))]  # of few short ones, most come early
    tested = wanted if len(found) == examples + wanted else min(wanted, len(found) // 5)
    if not tested:
        raise UsageError(f"{name} with {options} has {len(found)} pairs: expected at least 5, choose larger options")
    pairs, notes = [rule.write(question) for question in found], ()
    if len(found) - tested < examples:
        notes = (f"{name} has few pairs: {len(found) - tested:,} to learn from, in place of {examples:,}",)
    return _loaded(name, pairs[tested : tested + examples], pairs[:tested], rule.words, options, notes)


def _loaded(name, train, test, words, options, notes):
    sides = [[pair[side] for pair in (*train, *test)] for side in (0, 1)]
    vocabularies = [vocabulary_of(texts, w) for texts, w in zip(sides, words, strict=True)]
    numbers = [
        [vocabulary.encode(text) + [END] for text in texts]
        for vocabulary, texts in zip(vocabularies, sides, strict=True)
    ]
    lengths = [max(map(len, sequences)) for sequences in numbers]
    arrays = [padded(sequences, length) for sequences, length in zip(numbers, lengths, strict=True)]
    names, cut = ("source", "target"), len(train)
    parts = [dict(zip(names, (a[:cut] for a in arrays), strict=True))]
    parts.append(dict(zip(names, (a[cut:] for a in arrays), strict=True)))
    return LoadedText(TextDataset(name, *vocabularies, *lengths, options), *parts, notes)


def _kind(words):
    return "words" if words else "characters"


def padded(sequences: Sequence[Sequence[int]], length: int) -> np.ndarray:
    """Sequences as the rows of an array [N, length], PADDING behind each."""
    found = np.full((len(sequences), length), PADDING, np.int64)
    for row, sequence in zip(found, sequences, strict=True):
        row[: len(sequence)] = sequence
    return found


def with_one_vocabulary(loaded: LoadedText, special: tuple[str, ...] = SPECIAL) -> LoadedText:
    """The same pairs with the tokens of both sides in one vocabulary, as a shared table of embeddings needs it."""
    sides = (loaded.dataset.source, loaded.dataset.target)
    tokens = (*special, *sorted({token for side in sides for token in side.tokens[side.first :]}))
    number = {token: k for k, token in enumerate(tokens)}
    tables = [np.array([number[token] for token in side.tokens]) for side in sides]
    source, target = (Vocabulary(tokens, side.words) for side in sides)
    train, test = (
        {"source": tables[0][part["source"]], "target": tables[1][part["target"]]}
        for part in (loaded.train, loaded.test)
    )
    dataset = dataclasses.replace(loaded.dataset, source=source, target=target)
    return LoadedText(dataset, train, test, loaded.notes)


def joined(loaded: LoadedText) -> LoadedText:
    """The same pairs with question and answer as one sequence, for models of one stack: {"tokens" [N, S + T]}.

        question ANSWER answer END PADDING ...

    Both have one vocabulary; a token that stands on both sides is one.
    """
    loaded = with_one_vocabulary(loaded, SPECIAL_JOINED)
    train, test = (_joined(part, loaded.dataset.length) for part in (loaded.train, loaded.test))
    return LoadedText(loaded.dataset, train, test, loaded.notes)


def _joined(part, length):
    """The sequences of both sides, behind each other."""
    rows = []
    for question, answer in zip(part["source"].tolist(), part["target"].tolist(), strict=True):
        rows.append([*question[: question.index(END)], ANSWER, *answer[: answer.index(END) + 1]])
    return {"tokens": padded(rows, length)}
