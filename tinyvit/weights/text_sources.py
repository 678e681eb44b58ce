"""The names of models of text: GPT-2's, as OpenAI's program and Hugging Face have them, and BERT's in Hugging Face."""

import re

from tinyvit.weights.kinds import TEXTS, check_kind
from tinyvit.weights.naming import SAME, TRANSPOSED, Naming, Part
from tinyvit.weights.sources import pair

GPT_TABLE, BERT_TABLE = "transformer.wte.weight", "bert.embeddings.word_embeddings.weight"
BUFFERS = re.compile(r"\.attn\.(bias|masked_bias)$|\.position_ids$")  # masks and numbers, the same in every model
OLD = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}  # as TensorFlow calls them


def _gpt():
    """transformers' GPT2LMHeadModel. Its matrices are [in, out], as here; query, key and value are one, [D, 3 D]."""
    block = "transformer.h.{i}."
    rules = {
        "tokens/w": (GPT_TABLE, SAME),
        "pos": ("transformer.wpe.weight", SAME),
        **pair("blocks/{i}/ln1", f"{block}ln_1.", SAME),
        **pair("blocks/{i}/msa/o", f"{block}attn.c_proj.", SAME),
        **pair("blocks/{i}/ln2", f"{block}ln_2.", SAME),
        **pair("blocks/{i}/mlp/fc1", f"{block}mlp.c_fc.", SAME),
        **pair("blocks/{i}/mlp/fc2", f"{block}mlp.c_proj.", SAME),
        **pair("ln", "transformer.ln_f.", SAME),
    }
    for number, letter in enumerate("qkv"):
        part = (Part(number, SAME, axis=1), Part(number, SAME))
        rules |= pair(f"blocks/{{i}}/msa/{letter}", f"{block}attn.c_attn.", *part)
    return Naming("Hugging Face", rules, gelu="tanh", eps=1e-5)


def _bert():
    """transformers' BertForMaskedLM. Post-norm: the first LayerNorm of a block follows its attention."""
    layer = "bert.encoder.layer.{i}."
    rules = {
        "tokens/w": (BERT_TABLE, SAME),
        "pos": ("bert.embeddings.position_embeddings.weight", SAME),
        "types/w": ("bert.embeddings.token_type_embeddings.weight", SAME),
        **pair("ln", "bert.embeddings.LayerNorm.", SAME),
        **pair("blocks/{i}/msa/o", f"{layer}attention.output.dense.", TRANSPOSED),
        **pair("blocks/{i}/ln1", f"{layer}attention.output.LayerNorm.", SAME),
        **pair("blocks/{i}/mlp/fc1", f"{layer}intermediate.dense.", TRANSPOSED),
        **pair("blocks/{i}/mlp/fc2", f"{layer}output.dense.", TRANSPOSED),
        **pair("blocks/{i}/ln2", f"{layer}output.LayerNorm.", SAME),
        **pair("transform", "cls.predictions.transform.dense.", TRANSPOSED),
        **pair("transform_ln", "cls.predictions.transform.LayerNorm.", SAME),
        "bias": ("cls.predictions.bias", SAME),
    }
    for letter, name in zip("qkv", ("query", "key", "value"), strict=True):
        rules |= pair(f"blocks/{{i}}/msa/{letter}", f"{layer}attention.self.{name}.", TRANSPOSED)
    return Naming("Hugging Face", rules, gelu="erf", eps=1e-12)


GPT, BERT = {"huggingface": _gpt()}, {"huggingface": _bert()}


def canonical(path, tensors):
    """(model, source, tensors by the names that its rules have) of a GPT-2 or a BERT; None of anything else.

    Both are named with a prefix or without: `transformer.h.0...` or `h.0...`, `bert.encoder...` or `encoder...`.

    Raises
    ------
    CheckpointError
        If it is almost one of the two: what it is.
    """
    if any(re.match(r"(transformer\.)?h\.\d+\.attn\.c_attn\.", name) for name in tensors):
        model, renamed = "gpt", _with_prefix(tensors, "transformer.", GPT_TABLE, ("lm_head.",))
    else:
        tensors = {_modern(name): tensor for name, tensor in tensors.items()}
        model, renamed = "bert", _with_prefix(tensors, "bert.", BERT_TABLE, ("cls.",))
    if renamed is None:
        return None
    check_kind(path, renamed, TEXTS, "a GPT-2 or a BERT")
    return model, "huggingface", {name: tensor for name, tensor in renamed.items() if not BUFFERS.search(name)}


def _modern(name):
    for old, new in OLD.items():
        name = name.replace(old, new)
    return name


def _with_prefix(tensors, prefix, table, heads):
    """The tensors, all but the heads with the prefix; None if the table of the tokens is not there."""
    if table.removeprefix(prefix) in tensors:
        return {name if name.startswith(heads) else prefix + name: tensor for name, tensor in tensors.items()}
    return tensors if table in tensors else None
