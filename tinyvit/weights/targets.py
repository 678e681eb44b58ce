"""What another library has a place for, and what it would compute differently."""

from tinyvit.errors import UsageError
from tinyvit.models.hybrid import HybridConfig
from tinyvit.models.sizes import in_pixels
from tinyvit.models.swin import SwinConfig
from tinyvit.weights.hybrid_sources import HYBRID, ROOT_ALONE
from tinyvit.weights.sources import SOURCES
from tinyvit.weights.swin_sizes import other_eps
from tinyvit.weights.swin_sources import SWIN

PUBLISHED = {  # the choices of a config for which published models have a place
    "pool": ("class",),  # of Hugging Face's; timm has them all
    "position": ("1d", "none"),
    "position_at": ("stem",),
    "norm": ("pre",),
    "scale": ("sqrt",),
    "attention": ("full",),
}
RESNETS = {  # timm's hybrids, whose sizes the arguments replace but for the ResNet's
    (): "vit_tiny_r_s16_p8_224",
    (2, 2, 2, 2): "vit_base_r26_s32_224",
    (3, 4, 9): "vit_base_r50_s16_224",
    (3, 4, 6, 3): "vit_large_r50_s32_224",
}


def naming_of(config, target):
    """The names that a library has for a model.

    Raises
    ------
    UsageError
        If it has no such model, or no place for something in it.
    """
    if target == "google" and not isinstance(config.image, int):
        raise UsageError(f"the model takes images of {in_pixels(config.image)}; Google's files are of square ones")
    if isinstance(config, SwinConfig):
        _check_swin(config, target)
        return SWIN[target]
    if isinstance(config, HybridConfig):
        _check_hybrid(config, target)
        return ROOT_ALONE if target == "timm" and not config.units else HYBRID[target]
    _check_vit(config, target)
    return SOURCES[target]


def _check_vit(config, target):
    source = SOURCES[target].source
    if config.pre_logits and target != "google":
        raise UsageError(f"the model has a pre-logits layer, for which {source} has no place")
    for name, choices in PUBLISHED.items():
        free = (name == "position_at" and config.position == "none") or (name == "pool" and target == "timm")
        choices = ("class", "mean") if (name, target) == ("pool", "google") else choices
        if getattr(config, name) not in choices and not free:
            raise UsageError(
                f"the model's {name} is {getattr(config, name)}, for which {source} has no place: "
                f"expected {' or '.join(choices)}; tinyvit's own .npz holds any"
            )


def _check_hybrid(config, target):
    _check_vit(config.vit, target)
    if target == "huggingface":
        raise UsageError("Hugging Face's transformers has no hybrids any more: expected timm or google")
    if target == "google" and config.groups != 32:
        raise UsageError(f"the model's groups are {config.groups}, for which Google has no place: expected 32")
    if target == "timm" and (config.units not in RESNETS or (config.width, config.groups) != (64, 32)):
        known = ", ".join(str(units) for units in RESNETS)
        raise UsageError(
            f"the model's ResNet has units {config.units}, width {config.width} and {config.groups} groups, for which "
            f"timm has no place: expected units {known}, width 64 and 32 groups; tinyvit's own .npz holds any"
        )


def _check_swin(config, target):
    stages = range(len(config.depths))
    if target == "google":
        raise UsageError("Google's files hold no Swin: expected huggingface or timm")
    if target == "huggingface" and any(config.window_of(stage) < config.window for stage in stages):
        raise UsageError(
            f"some maps of the model, {', '.join(map(str, config.sides))} tokens wide, are smaller than its windows, "
            f"{config.window}: Hugging Face's Swin fails there; expected timm, or tinyvit's own .npz"
        )
    if target == "timm" and config.gelu != "erf":
        raise UsageError(f"the model's gelu is {config.gelu}, for which timm's Swin has no place: expected erf")
    if target == "timm" and any(side % 2 for side in config.sides[:-1]):
        raise UsageError(
            f"maps are {', '.join(map(str, config.sides))} tokens wide, and timm's Swin merges even ones only: "
            "expected images of another size; tinyvit's own .npz holds any"
        )


def lost(config, target):
    """What a library would compute differently, a sentence each."""
    lines, settings, naming = [], config.values(), naming_of(config, target)
    source = naming.source
    if target != "huggingface" and settings["eps"] != naming.eps:
        lines.append(
            f"{source}'s LayerNorm has eps {naming.eps:g}, the model {settings['eps']:g}: logits will differ a little"
        )
    if target == "google" and settings["gelu"] != naming.gelu:
        lines.append(f"Google's GELU is {naming.gelu}, the model's {settings['gelu']}: logits will differ a little")
    if isinstance(config, SwinConfig) and target == "huggingface":
        lines += other_eps(config.eps)
    for name, theirs in (naming.resnet or {}).items():
        if settings[name] != theirs:
            here = settings[name]
            lines.append(f"{source}'s {name} is {theirs}, the model's {here}: logits will differ by about 0.1 %")
    if isinstance(config, SwinConfig) and any(
        side % config.window_of(stage) for stage, side in enumerate(config.sides)
    ):
        lines.append(f"maps are padded to whole windows, at which {source}'s tokens look: logits will differ")
    return lines
