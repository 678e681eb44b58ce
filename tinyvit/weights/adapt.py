"""Weights made fit for another task: other classes, another image size, grey pictures."""

from dataclasses import replace

from tinyvit import trees
from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError
from tinyvit.ops.convolution import kernel_from_matrix, matrix_from_kernel
from tinyvit.ops.resize_positions import resize_positions

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
        kernel = kernel_from_matrix(p["patch"]["w"], 3).sum(axis=2, keepdims=True)  # the same grey in all three
        p["patch"] = p["patch"] | {"w": matrix_from_kernel(kernel)}
        config = replace(config, channels=1)
        notes.append("grey pictures: kernels summed over red, green and blue")
    if image not in (None, config.image):
        wanted = replace(config, image=image)
        if config.position == "1d":
            p["pos"] = resized_positions(p, config, wanted.grid, POSITION_RESIZE[source])
            notes.append(
                f"images of {image} pixels: positions resized from {config.grid} x {config.grid} to {wanted.grid} x "
                f"{wanted.grid}, {POSITION_RESIZE[source]}"
            )
        elif config.position in ("2d", "relative"):
            raise UsageError(
                f"images of {image} pixels have {wanted.grid} x {wanted.grid} patches, and positions of kind "
                f"{config.position} cannot be resized from {config.grid} x {config.grid}: expected images of "
                f"{config.image} pixels, or positions of kind 1d"
            )
        config = wanted
    if classes is not None:
        if p.pop("pre_logits", None):  # the paper removes the whole head (section 3.2)
            notes.append("the pre-logits layer of the old head is removed")
        config = replace(config, classes=classes, pre_logits=0)
        xp, dtype = xp_of(p["patch"]["w"]), p["patch"]["w"].dtype
        p["head"] = {"w": xp.zeros((config.dim, classes), dtype), "b": xp.zeros(classes, dtype)}
        notes.append(f"a fresh head for {classes} classes, zero")
    return p, config, notes


def resized_positions(p, config, grid, method):
    """p["pos"] of learned positions (1d), one table or one for each layer, for a grid of patches of another size.

    A table without the class token's row is given one for as long as it takes.
    """
    first = int(config.class_token)

    def resized(table):
        whole = table if first else xp_of(table).concatenate([table[:1], table])
        return resize_positions(whole, grid, method)[0][1 - first :]

    return trees.map(resized, p["pos"])
