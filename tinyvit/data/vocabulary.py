"""Text and the numbers that stand for it."""

import re
from dataclasses import dataclass
from typing import Any, Self

from tinyvit.errors import DataError, UsageError
from tinyvit.ops.tokens import END, HIDDEN, PADDING, SPECIAL, SPECIAL_JOINED

BLANK = "_"  # what people write for a token that is to be filled in
SHOWN = 12  # tokens that a message names, at most


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a text: token k is what stands for the number k. The special ones come first.

    Parameters
    ----------
    tokens : tuple of str
    words : bool
        A token is a word: text is divided at spaces, and behind a hyphen in a word. If not, it is a character.
    """

    tokens: tuple[str, ...]
    words: bool

    def __post_init__(self):
        if type(self.words) is not bool or not all(isinstance(token, str) for token in self.tokens):
            raise UsageError("not a vocabulary: expected tokens that are text, and whether they are words")
        if self.tokens[: len(SPECIAL)] != SPECIAL or len(set(self.tokens)) != len(self.tokens):
            raise UsageError(f"not a vocabulary: expected {', '.join(SPECIAL)}, then each token once")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The vocabulary that `dataclasses.asdict` took apart."""
        if not isinstance(values, dict) or values.keys() != {"tokens", "words"}:
            raise UsageError("not a vocabulary: expected tokens and words")
        if not isinstance(values["tokens"], list | tuple):
            raise UsageError("not a vocabulary: expected a list of tokens")
        return cls(tuple(values["tokens"]), values["words"])

    @property
    def joined(self) -> bool:
        """Whether it is one of question and answer in one sequence."""
        return self.tokens[: len(SPECIAL_JOINED)] == SPECIAL_JOINED

    @property
    def first(self) -> int:
        """The number of the first token that is not special."""
        return len(SPECIAL_JOINED if self.joined else SPECIAL)

    def encode(self, text: str, *, blanks: bool = False) -> list[int]:
        """The numbers of a text's tokens, without an end; with `blanks`, BLANK stands for HIDDEN.

        Raises
        ------
        DataError
            If there is none, or one is not in the vocabulary: which, and where.
        """
        numbers, pieces = {token: k for k, token in enumerate(self.tokens) if k >= self.first}, split(text, self.words)
        if blanks:
            numbers[BLANK] = HIDDEN
        if not pieces:
            raise DataError("found no text: expected at least one token")
        for place, piece in enumerate(pieces, 1):
            if piece not in numbers:
                kind = "word" if self.words else "character"
                raise DataError(f"{kind} {place}, {piece!r}, is not in the vocabulary: expected {self._in_words()}")
        return [numbers[piece] for piece in pieces]

    def decode(self, numbers) -> str:
        """The text of tokens, up to their end."""
        return join(self.pieces(numbers), self.words)

    def pieces(self, numbers) -> list[str]:
        """The tokens up to their end, as text."""
        found = []
        for number in map(int, numbers):
            if number in (END, PADDING):
                break
            found.append(self.tokens[number])
        return found

    def _in_words(self):
        known = self.tokens[self.first :]
        return f"one of {' '.join(known[:SHOWN])}" + f" ... ({len(known)} in all)" * (len(known) > SHOWN)


def vocabulary_of(texts, words):
    """The vocabulary of these texts: all of their tokens, in order.

    Raises
    ------
    DataError
        If a word is one of the special tokens.
    """
    found = {piece for text in texts for piece in split(text, words)}
    if special := found & {*SPECIAL_JOINED}:
        raise DataError(f"the word {min(special)} is a special token of every vocabulary: write it otherwise")
    return Vocabulary((*SPECIAL, *sorted(found)), words)


def split(text, words):
    """The words of a text, of which one before a hyphen ends with it: twenty-, one; or its characters."""
    return re.sub(r"(?<=\w)-(?=\w)", "- ", text).split() if words else list(text)


def join(pieces, words):
    """A text of these words, or characters."""
    return re.sub(r"(?<=\w)- (?=\w)", "-", " ".join(pieces)) if words else "".join(pieces)
