"""Weights made fit for another task: other classes, another image size, grey pictures."""

from tinyvit import trees
from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError
from tinyvit.models.map_config import MapConfig
from tinyvit.models.sizes import checked_size, in_pixels
from tinyvit.models.swin import SwinConfig
from tinyvit.ops.convolution import kernel_from_matrix, matrix_from_kernel
from tinyvit.ops.resize import both_sides
from tinyvit.ops.resize_positions import resize_positions
from tinyvit.weights.swin_sizes import padding

POSITION_RESIZE = {
    "google": "bilinear aligned",
    "timm": "bicubic antialias",
    "huggingface": "bicubic",
    "tinyvit": "bicubic",  # our own checkpoints
}


def adapt(p, config, source, *, image=None, channels=None, classes=None):
    """The model for other pictures or other classes; what is None stays as it is.

    Returns
    -------
    p, config, and what was done, a list of sentences

    Raises
    ------
    UsageError
        If the patch does not divide the image, or positions cannot be resized to it, or the channels cannot be made
        from those that there are.
    """
    notes, p = [], dict(p)
    if channels not in (None, config.channels):
        if (config.channels, channels) != (3, 1):
            raise UsageError(f"the weights take {config.channels} channels, not {channels}: only 3 can become 1")
        p |= _grey(p)
        config = config.changed(channels=1)
        notes.append("grey pictures: kernels summed over red, green and blue")
    image = None if image is None else checked_size(image)
    if image not in (None, config.image):
        p, config, said = _for_images(p, config, image, source)
        notes += said
    if classes is not None:
        if p.pop("pre_logits", None):  # the paper removes the whole head (section 3.2)
            notes.append("the pre-logits layer of the old head is removed")
        config = config.changed(classes=classes, **({"pre_logits": 0} if "pre_logits" in config.settings() else {}))
        w = p["ln"]["gamma"]
        xp = xp_of(w)
        p["head"] = {"w": xp.zeros((len(w), classes), w.dtype), "b": xp.zeros(classes, w.dtype)}
        notes.append(f"a fresh head for {classes} classes, zero")
    return p, config, notes


def fitting_image(config, side):
    """The least size, from `side` on, of square images that the weights' patches fill."""
    divisor = _divisor(config)
    return -(-side // divisor) * divisor


def _divisor(config):
    """What the side of an image must be a multiple of."""
    return config.divisor if isinstance(config, MapConfig) else config.patch


def _grey(p):
    """The first layer for grey pictures, which are the same in all three channels: its kernels' sum.

    Not of a hybrid: the sum over colours of a standardised kernel has a size that standardising takes away, and that
    group normalisation, over several channels, does not bring back.
    """
    if "resnet" in p:
        what = "a hybrid's kernels are standardised over all colours, so 3 channels cannot become 1"
        raise UsageError(f"{what}: expected pictures in colour")
    if "stem" in p:
        first, *others = p["stem"]
        return {"stem": [first | {"w": first["w"].sum(axis=2, keepdims=True)}, *others]}
    kernel = kernel_from_matrix(p["patch"]["w"], 3).sum(axis=2, keepdims=True)
    return {"patch": p["patch"] | {"w": matrix_from_kernel(kernel)}}


def _for_images(p, config, image, source):
    """The model for images of another size. Returns p, config, and what was done."""
    _check_divides(_divisor(config), image)
    wanted = config.changed(image=image)
    if isinstance(config, SwinConfig):
        return p, wanted, [_same_windows(config, wanted), *padding(wanted)]
    vit, other = (getattr(of, "vit", of) for of in (config, wanted))
    notes, method = [], POSITION_RESIZE[source]
    before, after = (in_pixels(of.grid_size) for of in (vit, other))
    if vit.position == "1d":
        if before != after:
            p = p | {"pos": resized_positions(p, vit, other.grid_size, method)}
        notes.append(f"images of {in_pixels(image)} pixels: positions resized from {before} to {after}, {method}")
    elif vit.position in ("2d", "relative"):
        raise UsageError(
            f"images of {in_pixels(image)} pixels have {after} patches, and positions of kind {vit.position} "
            f"cannot be resized from {before}: expected images of {in_pixels(config.image)} pixels, or positions "
            "of kind 1d"
        )
    return p, wanted, notes


def _same_windows(config, wanted):
    """A note on a Swin for other images; raises UsageError if a stage's windows had to have another size."""
    for stage in range(len(config.depths)):
        before, after = config.window_of(stage), wanted.window_of(stage)
        if before != after:
            raise UsageError(
                f"images of {wanted.image} pixels give stage {stage + 1} windows of {after} x {after} tokens, and its "
                f"table is for {before} x {before}: expected images of {config.image} pixels, or others that keep the "
                "windows"
            )
    return f"images of {wanted.image} pixels: the same windows, {wanted.sides[0]} x {wanted.sides[0]} tokens at first"


def _check_divides(patch, image):
    """Raise UsageError, which names sizes that would do, unless patches of the weights' size fill the images."""
    if any(side % patch for side in both_sides(image)):
        near = {max(patch, side - side % patch + more) for side in both_sides(image) for more in (0, patch)}
        raise UsageError(
            f"image is {in_pixels(image)}, and the weights' patches have {patch} pixels: expected a multiple of "
            f"{patch}, such as {' or '.join(map(str, sorted(near)))}"
        )


def resized_positions(p, config, grid, method):
    """p["pos"] of learned positions (1d), one table or one for each layer, for a grid of patches of another size.

    A table without the class token's row is given one for as long as it takes.
    """
    first = int(config.class_token)

    def resized(table):
        whole = table if first else xp_of(table).concatenate([table[:1], table])
        return resize_positions(whole, grid, method, old=config.grid_size)[0][1 - first :]

    return trees.map(resized, p["pos"])
