"""What a file holds that is almost a model that is read, seen in its arrays' names: it is refused by its kind."""

import re

from tinyvit.errors import CheckpointError

BIT_HYBRID = "a hybrid whose ResNet normalises before its convolutions, as a BiT does"
ANY = [  # (a pattern of a name, what has an array of such a name); the first that is found is said
    (r"lora_|\.lora\.|hada_w", "an adapter (LoRA), to be merged into its base model first"),
    (r"\.(SCB|weight_scale|qweight|absmax|quant_map)$", "a quantised model"),
]
KINDS = [  # almost a ViT
    *ANY,
    (r"^swinv2\.", "a Swin Transformer V2"),
    (r"^bit\.|standardized_conv2d|norm-pre-head", "a BiT, a ResNet that normalises before its convolutions"),
    (r"(^|\.)(text_model|text_projection|logit_scale)|^visual\.", "a CLIP or SigLIP model"),
    (r"^vision_model\.head\.|attn_pool\.|MAPHead_", "a model with attention pooling before its head, as SigLIP"),
    (r"^vision_model\.|norm_pre\.|pre_layrnorm", "a model with LayerNorm before its blocks, as CLIP's image encoder"),
    (r"distillation_|dist_token|head_dist", "a distilled model (DeiT), with a second token"),
    (r"detection_tokens|reg_token|register_token", "a model with register tokens, as DINOv2 with registers"),
    (
        r"^swin|^layers\.\d+\.blocks\.\d|encoder\.layers\.\d+\.blocks|downsample\.reduction",
        "a part of a Swin Transformer",
    ),
    (r"^beit\.|relative_position_bias|\.attn\.[qv]_bias$", "a model with a bias of relative positions, as BEiT"),
    (r"decoder_blocks\.|decoder_layers\.|decoder_embed|^decoder\.", "a masked autoencoder (MAE) with its decoder"),
    (r"\.ls[12]\.|layer_?scale|\.gamma_?[12]?$|\.lambda_?[12]$", "a model with LayerScale, as DINOv2 or DeiT III"),
    (r"mask_token", "a model that predicts masked patches, with a mask token"),
    (r"\.[qk]_norm\.|query_norm|key_norm", "a model that normalises queries and keys"),
    (r"\.mlp\.w(12|3)\.|weights_in|fc1_g\.|gate_proj", "a model with gated MLPs (SwiGLU)"),
    (r"\.attn\.norm\.|\.mlp\.norm\.|inner_attn_ln", "a model with LayerNorm inside its attention or MLPs, as BEiT-3"),
    (r"rel_pos_[hw]$|image_encoder\.", "a Segment Anything or ViTDet encoder"),
    (r"conv_root/|(patch_embed|embeddings)\.backbone\.", "a part of a hybrid with a ResNet in front"),
    (
        r"^encoder\.layers\.encoder_layer_\d",
        "a ViT under torchvision's names; timm and Hugging Face have the same ones",
    ),
    (r"^stages\.\d+\.blocks\.\d+\.norm3\.", "a ResNet without a Transformer, such as a BiT"),
    (r"^layer[1-4]\.\d+\.conv|^stages\.|^features\.\d+\.|downsample_layers\.", "a convolutional network"),
    (
        r"^(roberta|distilbert|albert|electra|gpt\w*|transformer\.(h|wte|word_embeddings)|tokens_embed|model\.layers|lm_head)\b",
        "a model of text that is neither GPT-2 nor BERT",
    ),
]
SWINS = [  # almost a Swin
    *ANY,
    (r"logit_scale|cpb_mlp|continuous_position_bias", "a Swin Transformer V2"),
    (r"spatial_mlp", "a Swin with MLPs in the place of attention"),
    (r"absolute_pos_embed|embeddings\.position_embeddings", "a Swin with absolute positions"),
    (r"mask_token", "a Swin that predicts masked patches, with a mask token"),
]
HYBRIDS = [  # almost a hybrid
    *ANY,
    (r"running_mean|\.bn\d\.|\.conv1\.0\.", "a hybrid whose ResNet has batch normalisation"),
    (r"\.backbone\.bit\.norm\.", BIT_HYBRID),
]
TEXTS = [  # almost a GPT-2 or a BERT
    *ANY,
    (r"cross_?attn|crossattention", "a model with cross-attention"),
    (r"distance_embedding", "a BERT with relative positions"),
    (r"^lm_head\.dense\.|roberta", "a RoBERTa, whose positions begin elsewhere"),
    (r"\.rel_embeddings\.", "a DeBERTa"),
    (r"multiple_choice_head|(^|\.)(score|classifier|qa_outputs)\.", "a model whose head answers other questions"),
]


def kind(names, kinds=KINDS):
    """(a name, the kind of model that has it), of the first of these kinds that is among the names; or None."""
    for pattern, what in kinds:
        for name in names:
            if re.search(pattern, name):
                return name, what
    return None


def check_kind(path, names, kinds=KINDS, expected="a ViT"):
    """Raise CheckpointError if one of the names says that this is not what is expected, as in the paper."""
    if found := kind(names, kinds):
        name, what = found
        raise CheckpointError(f"{path} holds {what}: it has {name}, and only {expected} as in the paper is read")
