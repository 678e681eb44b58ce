"""What a config.json should say of a model: which names the two libraries have for it, and for each of its sizes."""

import re
from collections.abc import Callable
from typing import NamedTuple

from tinyvit.models.hybrid import HybridConfig
from tinyvit.models.swin import SwinConfig
from tinyvit.weights.heads import architecture

COMMON = {"img_size", "patch_size", "in_chans", "embed_dim", "num_heads", "mlp_ratio", "act_layer", "qkv_bias"}
COMMON |= {"global_pool", "num_classes"}
VIT = COMMON | {"depth", "class_token", "no_embed_class", "fc_norm"}


class Expected(NamedTuple):
    """How a model's description calls it."""

    what: str
    model_type: str  # Hugging Face's
    classes: tuple  # Hugging Face's, whose `architectures` are read
    is_architecture: Callable  # (timm's name) -> whether it is one that is read
    such_as: str  # those, in words
    arguments: set  # timm's model_args that are read


def _named(pattern):
    """Whether a name of timm's, without what follows its dot, is of this pattern."""
    return lambda name: re.fullmatch(pattern, name.partition(".")[0]) is not None


EXPECTED = {
    "vit": Expected(
        "a ViT",
        "vit",
        ("ViTForImageClassification", "ViTModel"),
        lambda name: architecture(name) is not None,
        "ViTs as in the paper, such as vit_base_patch16_224",
        VIT,
    ),
    "swin": Expected(
        "a Swin",
        "swin",
        ("SwinForImageClassification", "SwinModel", "SwinBackbone"),
        _named(r"swin_(tiny|small|base|large)_patch\d+_window\d+_\d+(_in22k)?"),
        "Swins as in the paper, such as swin_tiny_patch4_window7_224",
        COMMON | {"depths", "window_size", "strict_img_size"},
    ),
    "hybrid": Expected(
        "a hybrid",
        "vit-hybrid",
        ("ViTHybridForImageClassification", "ViTHybridModel"),
        _named(r"vit_(tiny|small|base|large)_r(26|50)?_s\d+(_p\d+)?_\d+(_in21k)?"),
        "hybrids as in the paper, such as vit_base_r50_s16_224",
        VIT,
    ),
    "gpt": Expected(
        "a GPT-2",
        "gpt2",
        ("GPT2LMHeadModel", "GPT2Model"),
        lambda name: False,
        "models, none of which is of text",
        set(),
    ),
    "bert": Expected(
        "a BERT",
        "bert",
        ("BertForMaskedLM", "BertForPreTraining", "BertModel"),
        lambda name: False,
        "models, none of which is of text",
        set(),
    ),
}


def widths_of(config):
    """(the width of the tokens, that of the MLPs); of a Swin in its first stage."""
    if isinstance(config, SwinConfig):
        return config.dim, config.dim * config.mlp_ratio
    config = config.vit if isinstance(config, HybridConfig) else config
    return config.dim, config.mlp_dim


def facts_of(config):
    """{a name in a config.json: what it must have, if it is there}."""
    if isinstance(config, SwinConfig):
        facts = {"patch_size": config.patch, "embed_dim": config.dim, "window_size": config.window}
        facts |= {"depths": list(config.depths), "num_heads": list(config.heads), "num_layers": len(config.depths)}
        facts |= dict.fromkeys(("hidden_size", "num_features"), config.widths[-1])
        return facts | {"use_absolute_embeddings": False, "global_pool": "avg"}
    config = config.vit if isinstance(config, HybridConfig) else config
    facts = {"patch_size": config.patch, "intermediate_size": config.mlp_dim}
    facts |= dict.fromkeys(("hidden_size", "embed_dim", "num_features"), config.dim)
    facts |= dict.fromkeys(("num_hidden_layers", "depth"), config.depth)
    facts |= {"class_token": config.class_token}
    return facts | ({"pooler_output_size": config.pre_logits, "pooler_act": "tanh"} if config.pre_logits else {})
