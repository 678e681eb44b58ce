"""What another library asks for beside weights: the config.json, and how pictures are prepared."""

import math

from tinyvit.data.photos import PILLOW
from tinyvit.ops.resize import both_sides
from tinyvit.weights.targets import RESNETS

ACTIVATIONS = {"erf": "gelu", "tanh": "gelu_pytorch_tanh"}


def _hugging_face(config, names, preparation):
    return {
        "architectures": ["ViTForImageClassification"],
        "model_type": "vit",
        "image_size": _plain(config.image),
        "patch_size": config.patch,
        "num_channels": config.channels,
        "hidden_size": config.dim,
        "num_hidden_layers": config.depth,
        "num_attention_heads": config.heads,
        "intermediate_size": config.mlp_dim,
        "hidden_act": ACTIVATIONS[config.gelu],
        "layer_norm_eps": config.eps,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": 0.0,
        "qkv_bias": True,
        **_labels(names),
    }


def _labels(names):
    return {
        "id2label": {str(k): name for k, name in enumerate(names)},
        "label2id": {name: k for k, name in enumerate(names)},
    }


def _swin_hugging_face(config, names, preparation):
    return {
        "architectures": ["SwinForImageClassification"],
        "model_type": "swin",
        "image_size": config.image,
        "patch_size": config.patch,
        "num_channels": config.channels,
        "embed_dim": config.dim,
        "depths": list(config.depths),
        "num_heads": list(config.heads),
        "window_size": config.window,
        "mlp_ratio": float(config.mlp_ratio),
        "hidden_size": config.widths[-1],
        "hidden_act": ACTIVATIONS[config.gelu],
        "layer_norm_eps": config.eps,
        "drop_path_rate": config.drop_path,
        "qkv_bias": True,
        "use_absolute_embeddings": False,
        **_labels(names),
    }


def _timm(config, names, preparation):
    pooled = (
        {}
        if config.pool == "class"
        else {
            "class_token": config.class_token,
            "global_pool": "avg",
            "fc_norm": config.pool.endswith("_norm"),
        }
    )
    return {
        "architecture": "vit_base_patch16_224",  # whose sizes the arguments replace
        "num_classes": config.classes,
        "global_pool": "avg" if pooled else "token",
        "num_attention_heads": config.heads,
        "layer_norm_eps": config.eps,
        "model_args": {
            "img_size": _plain(config.image),
            "patch_size": config.patch,
            "in_chans": config.channels,
            "embed_dim": config.dim,
            "depth": config.depth,
            "num_heads": config.heads,
            "mlp_ratio": math.nextafter(config.mlp_dim / config.dim, math.inf),  # timm rounds dim * mlp_ratio down
            "act_layer": {"erf": "gelu", "tanh": "gelu_tanh"}[config.gelu],
            **pooled,
        },
        **_pictures(config, names, preparation),
    }


def _pictures(config, names, preparation):
    """What timm's files say of any model's pictures and classes."""
    return {
        "pretrained_cfg": {
            "input_size": [config.channels, *config.size],
            "mean": list(preparation.mean),
            "std": list(preparation.std),
            "interpolation": preparation.resample,
            "crop_pct": preparation.crop or 1.0,
            "crop_mode": "squash" if preparation.crop is None or preparation.squash else "center",
        },
        "label_names": list(names),
    }


def _swin_timm(config, names, preparation):
    return {
        "architecture": "swin_tiny_patch4_window7_224",  # whose sizes the arguments replace
        "num_classes": config.classes,
        "global_pool": "avg",
        "layer_norm_eps": config.eps,
        "model_args": {
            "img_size": config.image,
            "patch_size": config.patch,
            "in_chans": config.channels,
            "embed_dim": config.dim,
            "depths": list(config.depths),
            "num_heads": list(config.heads),
            "window_size": config.window,
            "mlp_ratio": float(config.mlp_ratio),
        },
        **_pictures(config, names, preparation),
    }


def _hybrid_timm(config, names, preparation):
    """A ViT's, whose patches are of the map, and whose images are in pixels."""
    described = _timm(config.vit, names, preparation)
    described["architecture"] = RESNETS[config.units]
    described["model_args"] |= {"img_size": config.image, "in_chans": config.channels}
    return described | _pictures(config, names, preparation)


def _plain(image):
    """An image size as JSON has it."""
    return image if isinstance(image, int) else list(image)


def preprocessor(preparation):
    """The preprocessor_config.json of Hugging Face's."""
    (height, width), crop = both_sides(preparation.size), preparation.crop
    edges = [side if crop is None else math.floor(side / crop) for side in (height, width)]
    resized = {"height": edges[0], "width": edges[1]}
    if crop is not None and not preparation.squash:
        resized = {"shortest_edge": edges[0]}
    return {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": resized,
        "resample": next(number for number, name in PILLOW.items() if name == preparation.resample),
        "do_center_crop": crop is not None,
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preparation.mean),
        "image_std": list(preparation.std),
    }


DESCRIBED = {  # {(model, target): (config, names, preparation) -> config.json}
    ("vit", "huggingface"): _hugging_face,
    ("vit", "timm"): _timm,
    ("swin", "huggingface"): _swin_hugging_face,
    ("swin", "timm"): _swin_timm,
    ("hybrid", "timm"): _hybrid_timm,
}
