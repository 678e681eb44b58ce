"""Write published/, small models in other published forms, with their answers: python -m tests.golden.make_published

Run once, where torch, timm, flax and safetensors are installed; the files are committed, so that no test needs these
libraries. Each form has NAME/model.safetensors with a config.json as timm writes it, or NAME.npz in Google's
arrangement; answers.npz has, for each, the pictures in eighths and the logits in float64.

Google's models are written below as in the published code of google-research/vision_transformer (`models_vit.py`) and
big_vision (`models/vit.py`), in Flax; the weights and their names come out of Flax's own `init`.
"""

import json
from pathlib import Path

import numpy as np

from tests.golden.make_weights import answer, perturbed, save_timm
from tinyvit import trees

FOLDER = Path(__file__).with_name("published")
ANSWERS = FOLDER / "answers.npz"
SIZES = dict(img_size=16, patch_size=4, embed_dim=12, depth=2, num_heads=3, mlp_ratio=1.75, num_classes=5)
TIMM = {  # the arguments of each of timm's models, beside SIZES
    "avg_fc_norm": dict(global_pool="avg"),
    "avg_norm": dict(global_pool="avg", fc_norm=False),
    "no_class_token_fc_norm": dict(global_pool="avg", class_token=False),
    "no_class_token_norm": dict(global_pool="avg", class_token=False, fc_norm=False),
    "token_fc_norm": dict(fc_norm=True),
    "no_embed_class": dict(no_embed_class=True),
    "rectangle": dict(img_size=(8, 32)),  # of 2 x 8 patches, whose number is that of 4 x 4
    "rectangle_no_embed_class_avg": dict(img_size=(12, 20), no_embed_class=True, global_pool="avg"),
    "one_channel": dict(in_chans=1),
}
GOOGLE = {"gap": {}, "big_vision_gap": {}}


def described(arguments):
    """config.json, as timm writes it for a model on Hugging Face's hub."""
    arguments = SIZES | arguments
    size = arguments["img_size"] if isinstance(arguments["img_size"], tuple) else 2 * (arguments["img_size"],)
    return {
        "architecture": "vit_tiny_patch16_224",
        "num_classes": arguments["num_classes"],
        "num_features": arguments["embed_dim"],
        "global_pool": arguments.get("global_pool", "token"),
        "model_args": {name: value for name, value in arguments.items() if name != "num_classes"},
        "pretrained_cfg": {"input_size": [arguments.get("in_chans", 3), *size], "num_classes": 5},
    }


def timm_model(**arguments):
    """timm's VisionTransformer, with noise on every parameter."""
    from timm.models.vision_transformer import VisionTransformer

    return perturbed(VisionTransformer(**SIZES | arguments))


def pictures(arguments):
    """Images [2, H, W, C] for a model, in eighths."""
    size, channels = (SIZES | arguments)["img_size"], arguments.get("in_chans", 3)
    size = size if isinstance(size, tuple) else (size, size)
    return np.random.default_rng(0).integers(-16, 17, (2, *size, channels)) / 8


def google_model(name):
    """(apply, variables) of a model with global average pooling, in Flax."""
    import flax.linen as nn
    import jax
    import jax.numpy as jnp

    class MlpBlock(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.gelu(nn.Dense(21)(x))  # the tanh form is Flax's default
            return nn.Dense(12)(x)

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x):
            y = nn.LayerNorm()(x)
            x = x + nn.MultiHeadDotProductAttention(num_heads=3)(y, y)
            return x + MlpBlock()(nn.LayerNorm()(x))

    class AddPositions(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x + self.param("pos_embedding", nn.initializers.normal(0.02), (1, *x.shape[1:]))

    class Encoder(nn.Module):
        positions: bool

        @nn.compact
        def __call__(self, x):
            x = AddPositions(name="posembed_input")(x) if self.positions else x
            for i in range(2):
                x = Block(name=f"encoderblock_{i}")(x)
            return nn.LayerNorm(name="encoder_norm")(x)

    class ViT(nn.Module):
        big_vision: bool

        @nn.compact
        def __call__(self, x):
            x = nn.Conv(12, (4, 4), strides=(4, 4), padding="VALID", name="embedding")(x)
            x = x.reshape(len(x), -1, 12)
            if self.big_vision:
                x = x + self.param("pos_embedding", nn.initializers.normal(0.02), (1, *x.shape[1:]))
            x = Encoder(positions=not self.big_vision, name="Transformer")(x)
            return nn.Dense(5, name="head")(jnp.mean(x, axis=1))

    jax.config.update("jax_enable_x64", True)
    model = ViT(big_vision=name.startswith("big_vision"))
    variables = model.init(jax.random.PRNGKey(0), jnp.zeros((1, 16, 16, 3)))
    rng = np.random.default_rng(0)
    noise = lambda leaf: np.float32(0.2) * rng.standard_normal(leaf.shape, np.float32)  # noqa: E731
    return model.apply, trees.map(lambda leaf: np.asarray(leaf, np.float32) + noise(leaf), variables)


def make():
    """Write all of it."""
    found = {}
    for name, arguments in TIMM.items():
        folder, model = FOLDER / name, timm_model(**arguments)
        folder.mkdir(parents=True, exist_ok=True)
        save_timm(model, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(described(arguments), indent=1))
        found[name] = answer(model, pictures(arguments), "float64")
    for name in GOOGLE:
        apply, variables = google_model(name)
        prefix = "params/" if name.startswith("big_vision") else ""
        np.savez_compressed(
            FOLDER / f"{name}.npz", **{prefix + leaf: array for leaf, array in trees.walk(variables["params"])}
        )
        found[name] = np.asarray(apply(trees.map(np.float64, variables), pictures({})))
    np.savez_compressed(ANSWERS, **found)


if __name__ == "__main__":
    make()
