"""Weights made fit for another task: other classes, another image size, grey pictures."""

from tinyvit import trees
from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError
from tinyvit.models.config import checked_size, in_pixels
from tinyvit.models.hybrid import HybridConfig
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
        if isinstance(config, HybridConfig):  # the sum over colours of a standardised kernel is none
            raise UsageError("a hybrid's kernels are standardised over all colours, so 3 channels cannot become 1")
        kernel = kernel_from_matrix(p["patch"]["w"], 3).sum(axis=2, keepdims=True)  # the same grey in all three
        p["patch"] = p["patch"] | {"w": matrix_from_kernel(kernel)}
        config = config.changed(channels=1)
        notes.append("grey pictures: kernels summed over red, green and blue")
    image = None if image is None else checked_size(image)
    if image not in (None, config.image):
        if isinstance(config, SwinConfig):
            config, more = _other_maps(config, image)
        else:
            config, more = _other_positions(p, config, image, source)
        notes += more
    if classes is not None:
        if p.pop("pre_logits", None):  # the paper removes the whole head (section 3.2)
            notes.append("the pre-logits layer of the old head is removed")
        config = config.changed(classes=classes, **({} if isinstance(config, SwinConfig) else {"pre_logits": 0}))
        xp, dtype = xp_of(p["patch"]["w"]), p["patch"]["w"].dtype
        p["head"] = {"w": xp.zeros((len(p["ln"]["gamma"]), classes), dtype), "b": xp.zeros(classes, dtype)}
        notes.append(f"a fresh head for {classes} classes, zero")
    return p, config, notes


def _other_maps(config, image):
    """A Swin's configuration for images of another size, and notes: nothing is resized, for a table is of a window."""
    _check_divides(config.patch, image)
    wanted = config.changed(image=image)
    before, after = ([of.window_of(stage) for stage in range(len(of.depths))] for of in (config, wanted))
    if before != after:
        raise UsageError(
            f"images of {image} pixels have maps with windows of {', '.join(map(str, after))} tokens in the stages, "
            f"the weights have tables for {', '.join(map(str, before))}: expected larger images"
        )
    return wanted, [f"images of {image} pixels: more windows, of the same size", *padding(wanted)]


def _other_positions(p, config, image, source):
    """A ViT's or a hybrid's configuration for images of another size, and notes; p gets other positions."""
    hybrid = isinstance(config, HybridConfig)
    _check_divides(config.encoder.patch if hybrid else config.patch, image)
    wanted = config.changed(image=image)
    old, new = (of.vit if hybrid else of for of in (config, wanted))
    before, after = in_pixels(old.grid_size), in_pixels(new.grid_size)
    if old.position in ("2d", "relative"):
        raise UsageError(
            f"images of {in_pixels(image)} pixels have {after} patches, and positions of kind {old.position} "
            f"cannot be resized from {before}: expected images of {in_pixels(config.image)} pixels, or positions "
            "of kind 1d"
        )
    if old.position != "1d":
        return wanted, []
    p["pos"], method = resized_positions(p, old, new.grid_size, POSITION_RESIZE[source]), POSITION_RESIZE[source]
    return wanted, [f"images of {in_pixels(image)} pixels: positions resized from {before} to {after}, {method}"]


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
