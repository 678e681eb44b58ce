"""Weights made fit for another task: other classes, another image size, grey pictures."""

from dataclasses import replace

from tinyvit import trees
from tinyvit.arrays import xp_of
from tinyvit.errors import UsageError
from tinyvit.models.sizes import checked_size, in_pixels
from tinyvit.ops.convolution import kernel_from_matrix, matrix_from_kernel
from tinyvit.ops.resize import both_sides
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
    image = None if image is None else checked_size(image)
    if image not in (None, config.image):
        _check_divides(config.patch, image)
        wanted = replace(config, image=image)
        before, after = (in_pixels(of.grid_size) for of in (config, wanted))
        if config.position == "1d":
            p["pos"] = resized_positions(p, config, wanted.grid_size, POSITION_RESIZE[source])
            notes.append(
                f"images of {in_pixels(image)} pixels: positions resized from {before} to {after}, "
                f"{POSITION_RESIZE[source]}"
            )
        elif config.position in ("2d", "relative"):
            raise UsageError(
                f"images of {in_pixels(image)} pixels have {after} patches, and positions of kind {config.position} "
                f"cannot be resized from {before}: expected images of {in_pixels(config.image)} pixels, or positions "
                "of kind 1d"
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
