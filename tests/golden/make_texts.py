"""Write texts.json, what transformers computes with GPT-2 and BERT: python -m tests.golden.make_texts

Run once, where torch, transformers and tokenizers are installed. For each small model the file has the names and the
shapes of its own arrays, its config.json, and some of its logits in float64; the numbers in the arrays are drawn again,
as of pyramids.json. Besides, a small vocabulary of each kind, and the tokens that transformers finds in TEXTS.
"""

import functools
import json
import os
import tempfile
from pathlib import Path

import numpy as np

from tests.golden.make_pyramids import arrays

FILE = Path(__file__).with_name("texts.json")
LEARNED = [  # what the pairs of bytes are learned from
    "The quick brown fox jumps over the lazy dog, and the dog thinks that the fox is the quickest of the foxes.",
    "It's what they're used to: we've seen that he'll do what he'd rather not, and I'm not the one who isn't.",
    "three thousand and fifty, 三千零五十, 三千零五十一, 三千零五十二; 12 + 30 = 42, 1230 + 42 = 1272",
]
WORDS = """
[PAD] [unused0] [UNK] [CLS] [SEP] [MASK] ! ' ( ) , - . ? : ; the a of is it what s t don cafe Cafe café fox
The un ##aff ##able ##ing ##s ##o ##x play jump 三 千 零 五 十 ##千 я при ##вет 12 ##3 0 1 thousand and fifty paris
""".split()  # noqa: SIM905 - as a reader sees them
TEXTS = [
    "The quick brown fox",
    " The  quick   brown fox  ",
    "it's what they're, we've he'll he'd I'm isn't don't",
    "三千零五十 and 三千",
    "three thousand and fifty",
    "unaffable playing foxes jumpings Café CAFÉ café cafe\u0301",
    "emoji 🦊🏽 and 👨‍👩‍👧 flags 🇫🇷",
    "привет, мир",
    "tabs\tand\nnew lines\r\n\n  end",
    "12 + 30 = 42; 1230, 3.14 — “quotes” … 'single'",
    "zero\u200bwidth\ufeff and \u00a0nbsp \u3000wide\x00 control\x07",
    "İstanbul ẞ ﬁ Ǆ ½",
    "the fox is [MASK] of the [MASK].",
    "the[MASK]fox [mask] [CLS] [UNK]",
    "one<|endoftext|>two <|endoftext|> ",
    "x" * 150,
    " ",
    "",
]
GPT = dict(vocab_size=320, n_positions=40, n_embd=12, n_layer=2, n_head=3)
BERT = dict(
    vocab_size=len(WORDS),
    max_position_embeddings=16,
    hidden_size=12,
    num_hidden_layers=2,
    num_attention_heads=3,
    intermediate_size=20,
)
SHOWN = 16  # of the logits, each so many


def _gpt(cls="GPT2LMHeadModel", **settings):
    import transformers

    ends = dict(bos_token_id=None, eos_token_id=None)
    return getattr(transformers, cls)(transformers.GPT2Config(**GPT | ends | settings))


def _bert(cls="BertForMaskedLM", **settings):
    import transformers

    return getattr(transformers, cls)(transformers.BertConfig(**BERT | settings))


MODELS = {
    "gpt": _gpt,
    "gpt, no prefix": functools.partial(_gpt, "GPT2Model"),
    "gpt, relu": functools.partial(_gpt, activation_function="relu", n_inner=20, layer_norm_epsilon=1e-3),
    "gpt, erf": functools.partial(_gpt, activation_function="gelu", n_layer=1),
    "bert": _bert,
    "bert, pre-training": functools.partial(_bert, "BertForPreTraining", hidden_act="gelu_new", layer_norm_eps=1e-5),
    "bert, relu": functools.partial(_bert, hidden_act="relu", type_vocab_size=3, num_hidden_layers=1),
}


def batch(name):
    """What a model is asked, under transformers' names: of BERT two segments, and padding."""
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, len(WORDS), (2, 6))
    if name.startswith("gpt"):
        return {"input_ids": tokens}
    mask, types = np.ones((2, 6), int), np.zeros((2, 6), int)
    mask[1, 4:], types[:, 3:] = 0, 1
    return {"input_ids": tokens, "attention_mask": mask, "token_type_ids": types}


def of(name):
    """What the file has of a model."""
    import torch
    import transformers
    from safetensors import safe_open
    from safetensors.numpy import save_file

    torch.set_num_threads(1)
    model = MODELS[name]()
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        described = json.loads((Path(folder) / "config.json").read_text())
        with safe_open(Path(folder) / "model.safetensors", "np") as saved:
            shapes = {name: saved.get_slice(name).get_shape() for name in sorted(saved.keys())}
        save_file(arrays(shapes), Path(folder) / "model.safetensors", metadata={"format": "pt"})
        cls = transformers.GPT2LMHeadModel if name.startswith("gpt") else type(model)
        model = cls.from_pretrained(folder).double().eval()
    with torch.no_grad():
        y = model(**{key: torch.tensor(x) for key, x in batch(name).items()})
    logits = (y.prediction_logits if hasattr(y, "prediction_logits") else y.logits).numpy()
    return {"shapes": shapes, "config": described, "logits": logits[..., ::SHOWN].tolist()}


def byte_pairs():
    """A small vocabulary as GPT-2's: {vocab, merges}."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=GPT["vocab_size"] - 1, initial_alphabet=alphabet, show_progress=False)
    inner.train_from_iterator(LEARNED, trainer)
    model = json.loads(inner.to_str())["model"]
    vocab = model["vocab"] | {"<|endoftext|>": len(model["vocab"])}
    return {"vocab": vocab, "merges": [" ".join(pair) for pair in model["merges"]]}


def write_byte_pairs(folder, found):
    """vocab.json and merges.txt, as GPT-2's are."""
    (folder / "vocab.json").write_text(json.dumps(found["vocab"]), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *found["merges"], ""]), encoding="utf-8")


def write_words(folder, **settings):
    """vocab.txt and tokenizer_config.json, as BERT's are."""
    (folder / "vocab.txt").write_text("\n".join([*WORDS, ""]), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def tokenizers_of(found, folder):
    """{name: transformers' tokenizer}"""
    from transformers import BertTokenizer, GPT2Tokenizer

    made = {}
    for name, cls in {"gpt": GPT2Tokenizer, "bert": BertTokenizer, "bert, cased": BertTokenizer}.items():
        (place := Path(folder) / name).mkdir()
        write_byte_pairs(place, found) if name == "gpt" else write_words(place, do_lower_case=name == "bert")
        made[name] = cls.from_pretrained(place)
    return made


def encoded(found):
    """{name: the tokens of each of TEXTS}, as transformers finds them."""
    with tempfile.TemporaryDirectory() as folder:
        made = tokenizers_of(found, folder)
        return {name: [tokenizer(text)["input_ids"] for text in TEXTS] for name, tokenizer in made.items()}


if __name__ == "__main__":
    os.environ["TRANSFORMERS_VERBOSITY"] = "error"
    pairs = byte_pairs()
    entries = {"byte pairs": pairs, "tokens": encoded(pairs)} | {name: of(name) for name in MODELS}
    lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in entries.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
