"""The model that a file's arrays are of: its sizes from their shapes, and with what a config.json adds, the rest."""

import itertools
import math
import re

from tinyvit.errors import CheckpointError, UsageError, first_line
from tinyvit.models.config import ViTConfig
from tinyvit.models.sizes import checked_size, in_pixels
from tinyvit.ops.resize import both_sides
from tinyvit.weights.heads import heads_of_widths
from tinyvit.weights.naming import numbered
from tinyvit.weights.variants import with_class_row

AXES = {"patch/w": 4, "patch/b": 1, "pos": 3, "blocks/{i}/mlp/fc1/b": 1}  # of the arrays that tell the sizes
AXES |= {"cls": 3, "pre_logits/w": 2, "pre_logits/b": 1, "head/w": 2, "head/b": 1}  # of layers that may be missing
OPTIONAL = ("cls", "head", "pre_logits")
OTHER = {"w": "b", "b": "w"}


def configuration(path, tensors, naming, described, heads, stride=1):
    """The configuration of a ViT that the arrays have.

    Parameters
    ----------
    path : of the file
    tensors : {name: Tensor}
        By the names that the source's rules have.
    naming : Naming
        Of the source.
    described : Description
        The config.json beside the file.
    heads : int or None
        As the user says.
    stride : int
        Of a hybrid: the ViT's image is a map, so many times smaller than the image that the config.json speaks of.

    Returns
    -------
    config : ViTConfig
    tensors : {name: Tensor}
        With one LayerNorm at the end, and with a row of positions for the class token, in every source the same.
    lines : list of str
        Notes, sentences.

    Raises
    ------
    CheckpointError
        If an array that tells a size is missing or misshapen, or contradicts the config.json.
    UsageError
        If nothing says how many heads there are, or those asked for cannot be.
    """
    tensors, norm_last = _with_one_norm(path, tensors)
    described.check("fc_norm", norm_last)
    tensors, lines = _without_pooler(tensors, naming)
    depth = count(path, tensors, naming.rules["blocks/{i}/ln1/gamma"][0])
    shape = shapes(path, tensors, naming, AXES)
    if "cls" not in shape and naming.source == "Hugging Face":
        raise CheckpointError(f"{path}: {naming.rules['cls'][0]} is missing")
    dim, kernel = shape["patch/b"][0], shape["patch/w"]
    patch, channels = (kernel[0], kernel[2]) if naming.source == "Google" else (kernel[2], kernel[1])
    image, tensors = _image(path, tensors, naming, described, shape, patch, stride)
    pool = _pool(described, "cls" in shape, norm_last)
    blocks, pixels = (
        f"{depth} block{'s' * (depth > 1)} of width {dim}",
        in_pixels(tuple(stride * side for side in both_sides(image))),
    )
    square, place = "" if described.size() else ", taken to be square", "pixels" if stride == 1 else "places of the map"
    lines.append(f"{naming.source}'s names: {blocks}, patches of {patch} x {patch} {place}, images of {pixels}{square}")
    if pool != "class":
        lines.append(f"the head reads the mean of all patches, with LayerNorm {'after' if norm_last else 'before'} it")
    if naming.source == "timm" and described.pool() is None and "cls" in shape:
        lines.append(f"of token and avg, timm's global_pool is taken to be {'token' if pool == 'class' else 'avg'}")
    sizes = dict(
        image=image,
        channels=channels,
        patch=patch,
        dim=dim,
        depth=depth,
        heads=_heads(path, tensors, naming, described, shape, lines)
        if heads is None
        else _asked(heads, described, lines),
        mlp_dim=shape["blocks/{i}/mlp/fc1/b"][0],
        classes=shape.get("head/b", [1])[0],
        pool=pool,
        gelu=described.gelu() or naming.gelu,
        eps=described.whole.get("layer_norm_eps", naming.eps),
        pre_logits=shape.get("pre_logits/b", [0])[0],
    )
    try:
        return ViTConfig(**sizes), tensors, lines
    except UsageError as error:
        beside = " with its config.json" if described else ""
        wrong = CheckpointError if heads is None else UsageError
        raise wrong(f"{path}{beside}: {first_line(error)}") from None


def has_biases(tensors, naming):
    """Whether query, key and value of the first block have biases."""
    biases = [theirs for ours, (theirs, _) in naming.rules.items() if re.search("/msa/[qkv]/b$", ours)]
    return any(numbered(theirs, 0, 0) in tensors for theirs in biases)


def _with_one_norm(path, tensors):
    """The arrays with timm's fc_norm, which stands after the mean, in the place of norm; and whether it was there."""
    after = [name for name in tensors if name.startswith("fc_norm.")]
    if after and "norm.weight" in tensors:
        raise CheckpointError(f"{path} has norm.weight and {after[0]}: expected LayerNorm before the mean or after it")
    return {name.removeprefix("fc_") if name in after else name: x for name, x in tensors.items()}, bool(after)


def _without_pooler(tensors, naming):
    """The arrays without the layer before the head that Hugging Face's classifier does not have; and that as a note."""
    pooler, head = naming.rules["pre_logits/w"][0].removesuffix("weight"), naming.rules["head/w"][0]
    left = [name for name in tensors if name.startswith(pooler)]
    if naming.source != "Hugging Face" or head not in tensors or not left:
        return tensors, []
    note = f"{pooler}* is not read: Hugging Face's classifier reads the class token itself"
    return {name: tensor for name, tensor in tensors.items() if name not in left}, [note]


def count(path, tensors, name, what="block", least=1):
    """How many blocks, or what else, there are, numbered without a gap; one of them has this name, with {i} or {i1}."""
    before, place = re.fullmatch(r"([^{]*)({\w+}).*", name).groups()
    first = int(place.endswith("1}"))
    pattern = re.compile(re.escape(before) + "([0-9]{1,4})[./]")
    numbers = {int(found[1]) for theirs in tensors if (found := pattern.match(theirs))}
    missing = next(i for i in itertools.count(first) if i not in numbers)
    if missing - first != len(numbers) or len(numbers) < least:
        found = f"{len(numbers)} {what}s, up to number {max(numbers)}" if numbers else f"no {what}s"
        raise CheckpointError(f"{path}: {name.replace(place, str(missing))} is missing; found {found}")
    return len(numbers)


def shapes(path, tensors, naming, axes):
    """{our name: shape} of the arrays that tell the sizes, where a layer is there at all; axes: how many each has."""
    found = {}
    for ours, number in axes.items():
        layer, _, leaf = ours.partition("/")
        theirs = numbered(naming.rules[ours][0], 0, 0)
        if theirs in tensors:
            found[ours] = tensors[theirs].shape
            if len(found[ours]) != number or 0 in found[ours]:
                is_ = f"{path}: {theirs} is {list(found[ours])}"
                raise CheckpointError(f"{is_}, expected {number} {'axes' if number > 1 else 'axis'}, none of them 0")
        elif layer not in OPTIONAL or (leaf and naming.rules[f"{layer}/{OTHER[leaf]}"][0] in tensors):
            raise CheckpointError(f"{path}: {theirs} is missing")
    return found


def _image(path, tensors, naming, described, shape, patch, stride):
    """The image size, from the number of positions and what the config.json says; and the arrays.

    A table without the class token's row (timm's no_embed_class) is given one of zeros.
    """
    name, rows, first = naming.rules["pos"][0], shape["pos"][1], int("cls" in shape)
    size = described.size()
    if size:
        size = tuple(-(-side // stride) for side in size)
        patches = math.prod(side // patch for side in size)
    else:
        patches = next((n for n in (rows - first, rows) if n > 0 and math.isqrt(n) ** 2 == n), 0)
        size = 2 * (math.isqrt(patches) * patch,)
    if first:
        described.check("no_embed_class", patches == rows)
    if patches == rows and first and naming.source == "timm":
        return checked_size(size), tensors | {name: with_class_row(tensors[name])}
    if not patches or rows != patches + first:
        if not first and math.isqrt(rows - 1) ** 2 == rows - 1:
            raise CheckpointError(f"{path}: {naming.rules['cls'][0]} is missing, for which {name} has a row")
        row = "the class token's and " if first else ""
        grid = f"{in_pixels(tuple(side // patch for side in size))} patches" if patches else "a square grid"
        says = f", as {described.path} says" if described.size() else ""
        raise CheckpointError(f"{path}: {name} has {rows} rows, expected {row}those of {grid}{says}")
    return checked_size(size), tensors


def _pool(described, class_token, norm_last):
    """What the head reads: the class token or a mean, as timm's global_pool says, or else as the arrays suggest."""
    says = described.pool()
    if says == "token" and not class_token:
        raise described.wrong("global_pool", says, "avg, for there is no class token")
    if says == "token" or (says is None and class_token and not norm_last):
        return "class"
    return f"{'patch_' if class_token else ''}mean{'_norm' if norm_last else ''}"


def _asked(heads, described, lines):
    """The number of heads that the user says, in place of another one that the config.json says, if it does."""
    says, found = described.heads()
    if says and found != heads:
        lines.append(f"{heads} heads, as asked for, in place of {found}, as {described.path} says")
    return heads


def _heads(path, tensors, naming, described, shape, lines):
    """How many heads: the arrays' axis, config.json's number, or that of the known sizes, which the notes mention."""
    dim, mlp_dim = shape["patch/b"][0], shape["blocks/{i}/mlp/fc1/b"][0]
    if naming.source == "Google":
        name = naming.rules["blocks/{i}/msa/q/w"][0].replace("{i}", "0")
        if name not in tensors or len(tensors[name].shape) != 3:
            raise CheckpointError(f"{path}: {name} is missing or has not three axes, [{dim}, heads, width of a head]")
        return tensors[name].shape[1]
    says, found = described.heads()
    if says:
        return found
    if not (found := heads_of_widths(dim, mlp_dim, "cls" in shape)):
        raise UsageError(
            f"{path}: nothing says how many heads a model of width {dim}, with MLPs of {mlp_dim}, has: say heads=, or "
            "--heads"
        )
    lines.append(f"{found} heads, as the published ViTs of width {dim} have; the file does not say")
    return found
