"""The GPT-2 or BERT that a file's arrays are of: its sizes from their shapes; the rest is said by its config.json.

A config.json may ask for what neither paper has, such as attention that is scaled in another way in each block. The
arrays would be the same: so whatever decides what the model computes is read, or refused by its name.
"""

from typing import NamedTuple

from tinyvit.errors import CheckpointError, UsageError, first_line
from tinyvit.models.bert import BERTConfig
from tinyvit.models.config import Config
from tinyvit.models.gpt import GPTConfig
from tinyvit.weights.description import ACTIVATIONS
from tinyvit.weights.sizes import count, shapes
from tinyvit.weights.text_sources import BERT_TABLE, GPT_TABLE

AXES = {"tokens/w": 2, "pos": 2, "blocks/{i}/mlp/fc1/b": 1}
FORMS = ACTIVATIONS | {"gelu_python": "erf", "relu": "relu"}  # Hugging Face's names of activations, and ours
USUAL = {"add_cross_attention": False, "is_encoder_decoder": False, "tie_word_embeddings": True, "pruned_heads": {}}


class Facts(NamedTuple):
    """What a config.json calls the parts of a model of text."""

    what: str
    config: type[Config]
    sizes: dict  # {its name: ours}, which the arrays tell as well
    heads: tuple
    activation: str
    eps: str
    usual: dict  # {name: the one value that is read}
    known_heads: dict  # {width: heads} of the published models, a head being 64 wide
    scores: dict  # {name of an array that makes scores: name of the array that it must be}


FACTS = {
    "gpt": Facts(
        "a GPT-2",
        GPTConfig,
        {
            "vocab_size": "tokens",
            "n_positions": "length",
            "max_position_embeddings": "length",
            "n_embd": "dim",
            "hidden_size": "dim",
            "n_layer": "depth",
            "num_hidden_layers": "depth",
            "n_inner": "mlp_dim",
        },
        ("n_head", "num_attention_heads"),
        "activation_function",
        "layer_norm_epsilon",
        USUAL | {"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False},
        {768: 12, 1024: 16, 1280: 20, 1600: 25},
        {"lm_head.weight": GPT_TABLE},
    ),
    "bert": Facts(
        "a BERT",
        BERTConfig,
        {
            "vocab_size": "tokens",
            "max_position_embeddings": "length",
            "type_vocab_size": "types",
            "hidden_size": "dim",
            "num_hidden_layers": "depth",
            "intermediate_size": "mlp_dim",
        },
        ("num_attention_heads",),
        "hidden_act",
        "layer_norm_eps",
        USUAL | {"position_embedding_type": "absolute", "is_decoder": False},
        {128: 2, 256: 4, 512: 8, 768: 12, 1024: 16},
        {"cls.predictions.decoder.weight": BERT_TABLE, "cls.predictions.decoder.bias": "cls.predictions.bias"},
    ),
}
LEFT = {  # what is not read, by the beginning of its name: why
    "bert.pooler.": "the pooler, which the masked words do not ask",
    "cls.seq_relationship.": "whether one sentence follows another",
}


def configuration(path, tensors, naming, described, heads, model):
    """The configuration of a GPT-2 or a BERT; arguments, results and errors as of sizes.configuration."""
    facts = FACTS[model]
    for name, usual in facts.usual.items():
        found, value = described.says(name)
        if found and value != usual:
            raise described.wrong(name, value, f"{str(usual) if usual != {} else 'none'}, as {facts.what} has")
    tensors, lines = _without_others(path, tensors, facts)
    depth = count(path, tensors, naming.rules["blocks/{i}/ln1/gamma"][0])
    shape = shapes(path, tensors, naming, AXES | ({"types/w": 2} if model == "bert" else {}))
    (tokens, dim), (length, _), (mlp_dim,) = (shape[name] for name in AXES)
    sizes = dict(tokens=tokens, length=length, dim=dim, depth=depth, mlp_dim=mlp_dim)
    sizes |= {"types": shape["types/w"][0]} if model == "bert" else {}
    blocks = f"{depth} block{'s' * (depth > 1)} of width {dim}"
    lines = [f"{naming.source}'s names: {facts.what} with {blocks}, {tokens} tokens, positions for {length}", *lines]
    for name, ours in facts.sizes.items():
        described.check(name, sizes[ours])
    choices = dict(
        heads=heads or _heads(path, described, facts, dim, lines),
        gelu=_activation(described, facts) or naming.gelu,
        eps=described.whole.get(facts.eps, naming.eps),
    )
    try:
        return facts.config(**sizes, **choices), tensors, lines
    except UsageError as error:
        beside = " with its config.json" if described else ""
        wrong = CheckpointError if heads is None else UsageError
        raise wrong(f"{path}{beside}: {first_line(error)}") from None


def _without_others(path, tensors, facts):
    """The arrays without a second copy of the table, which makes the scores as well, and without LEFT; and notes."""
    for name, of in facts.scores.items():
        if name in tensors and of in tensors:
            scores, table = tensors[name], tensors[of]
            if scores.shape != table.shape or (scores.read() != table.read()).any():
                raise CheckpointError(f"{path}: {name} is not {of}: expected one array for both, as {facts.what} has")
    notes = [f"{name}* is not read: {why}" for name, why in LEFT.items() if any(x.startswith(name) for x in tensors)]
    return {
        name: tensor
        for name, tensor in tensors.items()
        if name not in facts.scores and not name.startswith(tuple(LEFT))
    }, notes


def _heads(path, described, facts, dim, lines):
    name, found = described.says(*facts.heads)
    if name:
        return found
    if dim not in facts.known_heads:
        raise UsageError(
            f"{path}: nothing says how many heads a model of width {dim} has: say heads=, or --heads; or fetch its "
            "config.json"
        )
    lines.append(f"{facts.known_heads[dim]} heads, as the published models of width {dim} have; the file does not say")
    return facts.known_heads[dim]


def _activation(described, facts):
    name, found = described.says(facts.activation)
    if name and found not in list(FORMS):
        raise described.wrong(name, found, f"one of {', '.join(FORMS)}")
    return FORMS[found] if name else None
