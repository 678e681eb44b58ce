"""What stands around a model in a file: the dictionary of a training run, and prefixes before every name.

A training script saves {"model": ..., "optimizer": ..., "epoch": ...}; a model that was wrapped for training has a
prefix before each of its names (`module.` of DataParallel, `_orig_mod.` of torch.compile, `backbone.` of a larger
model). Both are the same here, since tensors of inner dictionaries are named with dots.
"""

from tinyvit.errors import CheckpointError

FIRST = [  # every model has one of them, its first layer: what stands before it stands before all names
    "vit.embeddings.patch_embeddings.projection.weight",
    "swin.embeddings.patch_embeddings.projection.weight",
    "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.weight",
    "transformer.wte.weight",
    "wte.weight",
    "bert.embeddings.word_embeddings.weight",
    "embeddings.word_embeddings.weight",
]
AVERAGES = {"model_ema", "state_dict_ema", "ema", "ema_state_dict", "ema_model"}
KNOWN = {"model", "state_dict", "model_state_dict", "model_state", "net", "network", "params", "weights", "checkpoint"}
KNOWN |= {"module", "_orig_mod", "base_model", "backbone", "encoder", "vit", "teacher", "student"} | AVERAGES


def unwrapped(path, tensors):
    """The model's own tensors under their own names, and notes, sentences.

    Of several models the plain one is taken, not an average of it (EMA); of a teacher and its student, the teacher,
    which is the one that DINO evaluates.

    Parameters
    ----------
    path : of the file, for the error
    tensors : {name: Tensor}

    Raises
    ------
    CheckpointError
        If two models are equally likely to be meant.
    """
    prefixes = sorted({prefix for name in tensors if (prefix := _prefix(name)) is not None}, key=_rank)
    if not prefixes or prefixes[0] == "":
        return tensors, []
    chosen, *others = prefixes
    if others and _rank(others[0])[:2] == _rank(chosen)[:2]:
        raise CheckpointError(f"{path} holds two models, {chosen}* and {others[0]}*: expected one; save it alone")
    found = {name.removeprefix(chosen): tensor for name, tensor in tensors.items() if name.startswith(chosen)}
    left = sorted({name.partition(".")[0] if "." in name else name for name in tensors if not name.startswith(chosen)})
    notes = [f"the names begin with {chosen}, which is left out"]
    if others:
        notes.append(f"{chosen}* is read, not {' or '.join(f'{other}*' for other in others[:3])}")
    if left:
        count = len(tensors) - len(found)
        notes.append(f"{count} other arrays are not read: of {', '.join(left[:3])}{', ...' if left[3:] else ''}")
    return found, notes


def _prefix(name):
    """What stands before the name of a model's first layer, if that is nothing but known wrappers; or None."""
    for first in FIRST:
        if name.endswith(first):
            prefix = name.removesuffix(first)
            words = prefix.split(".")
            return prefix if not words[-1] and set(words[:-1]) <= KNOWN else None
    return None


def _rank(prefix):
    """The likelier a model is meant, the less."""
    words = set(prefix.split("."))
    unlikely = 3 if words & AVERAGES else 2 if "student" in words else 1 if "teacher" in words else 0
    return unlikely, prefix.count("."), prefix
