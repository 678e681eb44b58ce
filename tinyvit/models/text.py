"""What text models have in common: the checks of their configurations, and where dropout stands."""

from tinyvit.errors import UsageError
from tinyvit.layers.block import BLOCKS
from tinyvit.layers.encoder_stack import block_masks
from tinyvit.layers.mlp import FORMS
from tinyvit.models.sizes import check_whole
from tinyvit.ops.dropout import NO_MASKS, dropout_mask

CHOICES = {"norm": tuple(BLOCKS), "gelu": FORMS}
SIZES = (
    "source_tokens",
    "target_tokens",
    "source_length",
    "target_length",
    "tokens",
    "length",
    "types",
    "dim",
    "depth",
    "heads",
    "mlp_dim",
)


def check_text_config(config):
    """Raise UsageError if a size, a choice or a rate of a text model's configuration is not possible."""
    settings = vars(config)
    for name in SIZES:
        if name in settings:
            check_whole(name, settings[name])
    for name, choices in CHOICES.items():
        if name in settings and settings[name] not in choices:
            raise UsageError(f"{name} is {settings[name]!r}: expected one of {', '.join(choices)}")
    for name, least in (("eps", 1e-30), ("dropout", 0)):
        if type(settings[name]) not in (int, float) or not least <= settings[name] < 1:
            raise UsageError(f"{name} is {settings[name]!r}: expected a number from {least:g} to below 1")
    if config.dim % config.heads:
        raise UsageError(f"heads {config.heads} does not divide dim {config.dim}: choose one that does")


def text_masks(rng, config, shape, *, dtype="float32"):
    """Draw the dropout masks of one training step of GPT or BERT, for tokens of shape (B, T); none at rate 0."""
    if not config.dropout:
        return NO_MASKS

    def mask():
        return dropout_mask(rng, (*shape, config.dim), config.dropout, dtype)

    return {"stem": mask(), "blocks": [block_masks(mask) for _ in range(config.depth)]}
