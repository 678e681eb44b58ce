"""The vocabulary beside the weights of a published model of text: from text to tokens and back.

    tokenizer.json              the whole of it; read if it is there
    vocab.json, merges.txt      GPT-2's: pairs of bytes that stand together often are one token (Sennrich et al. 2016)
    vocab.txt                   BERT's: words, and pieces of words that begin with ## (Wu et al. 2016, section 4.1)

Its rules, of letters and of what divides words, are Unicode's: the package `tokenizers` knows them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyvit.errors import CheckpointError, UsageError, first_line
from tinyvit.models.model import name_of
from tinyvit.weights.description import read_table

FILES = {  # {model: the ways in which its vocabulary may lie there; the first that is there is read}
    "gpt": (("tokenizer.json",), ("vocab.json", "merges.txt")),
    "bert": (("tokenizer.json",), ("vocab.txt",)),
}
LARGEST = 100_000_000  # bytes of a file; GPT-2's has a hundredth of that
END_OF_TEXT, MASK = "<|endoftext|>", "[MASK]"
SPECIAL = ("[UNK]", "[CLS]", "[SEP]", MASK)  # of BERT's, which must be in vocab.txt; "[PAD]" may be


@dataclass(frozen=True)
class Tokenizer:
    """From text to the numbers of its tokens, and back."""

    inner: Any  # of the package `tokenizers`
    path: Path  # for errors

    def encode(self, text):
        """The numbers, those of the tokens included that the model has at its ends: of BERT [CLS] and [SEP].

        Raises
        ------
        UsageError
            If the text is not one: half of a character, as other encodings leave it.
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"the text {text!r} is no UTF-8 at {error.start}: expected text in UTF-8") from None
        return self.inner.encode(text).ids

    def decode(self, tokens):
        """The text of tokens, without those that stand for no text."""
        return self.inner.decode([int(token) for token in tokens], skip_special_tokens=True)

    def token(self, number):
        """A token as the vocabulary has it, such as ##ing."""
        return self.inner.id_to_token(int(number))

    def number(self, token):
        """The number of a token; None if there is no such token."""
        return self.inner.token_to_id(token)

    @property
    def size(self):
        """One more than the largest number."""
        return 1 + max(self.inner.get_vocab().values(), default=-1)


def read_tokenizer(folder, config):
    """The tokenizer of a published model.

    Parameters
    ----------
    folder : path
        Where its weights lie.
    config : GPTConfig or BERTConfig
        Of the model.

    Raises
    ------
    UsageError
        If the package `tokenizers` is not installed.
    CheckpointError
        If the files are not there, cannot be read, or have more tokens than the model.
    """
    files = _files(Path(folder), name_of(config))
    try:
        import tokenizers
    except ImportError:
        raise UsageError(
            "the vocabularies of published models need the package tokenizers: pip install 'tinyvit[text]'"
        ) from None
    path = files[0]
    how = {"vocab.json": _byte_pairs, "vocab.txt": _word_pieces, "tokenizer.json": _whole}[path.name]
    try:
        inner = how(tokenizers, *files)
    except CheckpointError:
        raise
    except BaseException as error:  # the package raises Exception itself, and, where it gives up, what is none
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        names = " and ".join(file.name for file in files)
        raise CheckpointError(f"cannot read {names} in {folder}: {first_line(error)}; fetch it again") from None
    found = Tokenizer(inner, path)
    if not 0 < found.size <= config.tokens:
        raise CheckpointError(
            f"{path} has {found.size} tokens, and the model knows {config.tokens}: expected its own vocabulary"
        )
    return found


def _files(folder, model):
    """The first of FILES that are all there."""
    for names in FILES[model]:
        files = [folder / name for name in names]
        if all(file.exists() for file in files):
            for file in files:
                if not file.is_file() or file.stat().st_size > LARGEST:
                    raise CheckpointError(f"{file} is no ordinary file of at most {LARGEST} bytes: fetch it again")
            return files
    ways = ", or ".join(" and ".join(names) for names in FILES[model])
    raise CheckpointError(f"no vocabulary in {folder}: expected {ways} beside the weights; fetch them as well")


def _whole(tokenizers, path):
    inner = tokenizers.Tokenizer.from_file(str(path))
    inner.no_truncation()  # a text that is too long is refused, not cut
    inner.no_padding()
    return inner


def _byte_pairs(tokenizers, vocabulary, merges):
    """GPT-2's: bytes are written as letters, so that every text has tokens, whatever its script."""
    from tokenizers import decoders, models, pre_tokenizers

    said = read_table(vocabulary.with_name("tokenizer_config.json"))
    inner = tokenizers.Tokenizer(models.BPE(*_checked(vocabulary, merges)))
    if missing := set(pre_tokenizers.ByteLevel.alphabet()) - inner.get_vocab().keys():
        raise CheckpointError(
            f"{vocabulary} lacks {len(missing)} of the 256 bytes: expected GPT-2's kind of vocabulary"
        )
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=said.get("add_prefix_space") is True)
    inner.decoder = decoders.ByteLevel()
    if inner.token_to_id(END_OF_TEXT) is not None:
        inner.add_special_tokens([END_OF_TEXT])
    return inner


def _checked(vocabulary, merges):
    """{token: number} and [(first, second)], the pairs in the order in which they are joined; both as the files say."""
    numbers = read_table(vocabulary)
    if not all(type(number) is int and 0 <= number < LARGEST for number in numbers.values()):
        raise CheckpointError(f"{vocabulary} is no vocabulary: expected a number for each token")
    pairs = []
    for place, line in enumerate(merges.read_text(encoding="utf-8").split("\n"), 1):
        pair = tuple(line.split(" "))
        if line and not line.startswith("#version"):
            if len(pair) != 2 or not {*pair, "".join(pair)} <= numbers.keys():
                found = f"found {line[:80]!r}"
                raise CheckpointError(f"{merges}, line {place}: {found}, expected two tokens that make a third")
            pairs.append(pair)
    return numbers, pairs


def _word_pieces(tokenizers, vocabulary):
    """BERT's: without capitals and accents, unless tokenizer_config.json says that they count."""
    from tokenizers import decoders, models, normalizers, pre_tokenizers, processors

    said = read_table(vocabulary.with_name("tokenizer_config.json"))
    inner = tokenizers.Tokenizer(models.WordPiece.from_file(str(vocabulary), unk_token=SPECIAL[0]))
    if missing := [token for token in SPECIAL if inner.token_to_id(token) is None]:
        raise CheckpointError(f"{vocabulary} has no {', '.join(missing)}: expected BERT's kind of vocabulary")
    inner.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=said.get("tokenize_chinese_chars") is not False,  # each is a word
        strip_accents=said.get("strip_accents"),
        lowercase=said.get("do_lower_case") is not False,
    )
    inner.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    inner.decoder = decoders.WordPiece()
    known = [token for token in ("[PAD]", *SPECIAL) if inner.token_to_id(token) is not None]
    inner.add_special_tokens(known)
    inner.post_processor = processors.BertProcessing(
        *((token, inner.token_to_id(token)) for token in ("[SEP]", "[CLS]"))
    )
    return inner
