"""Write resize.npz, what PyTorch and SciPy make of small images: python -m tests.golden.make_resize

Run once, where torch and scipy are installed; the file is committed, so that no test needs them. Names are `3x5/x` for
the images [1, H, W, C], `3x5 to 7x4/METHOD/y` and `.../dx` for PyTorch's results, and `.../scipy` for SciPy's.
"""

from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("resize.npz")
SIZES = [  # up and down, odd and even, one side up and the other down, by whole factors and not, from and to one pixel
    ((3, 5), (7, 4)),
    ((5, 6), (11, 13)),
    ((8, 6), (4, 3)),
    ((11, 7), (3, 2)),
    ((4, 9), (6, 9)),
    ((1, 4), (3, 1)),
    ((2, 3), (1, 1)),
    ((7, 7), (12, 12)),
]
INTERPOLATE = {  # the arguments of torch.nn.functional.interpolate
    "bilinear aligned": dict(mode="bilinear", align_corners=True),
    "bilinear": dict(mode="bilinear", align_corners=False),
    "bicubic": dict(mode="bicubic", align_corners=False),
    "bilinear antialias": dict(mode="bilinear", align_corners=False, antialias=True),
    "bicubic antialias": dict(mode="bicubic", align_corners=False, antialias=True),
}


def images():
    """{(H, W): images [1, H, W, C]}, random, in float64."""
    rng = np.random.default_rng(0)
    return {old: rng.standard_normal((1, *old, 2)) for old, _ in SIZES}


def upstream(shape):
    """The upstream gradient dy that belongs to an image of this shape."""
    return np.cos(np.arange(np.prod(shape), dtype=np.float64)).reshape(shape)


def by_torch(x, height, width, method):
    """y and dx, by torch's interpolate and its own backward pass."""
    import torch

    leaf = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.interpolate(leaf.permute(0, 3, 1, 2), size=(height, width), **INTERPOLATE[method])
    y = y.permute(0, 2, 3, 1)
    y.backward(torch.tensor(upstream(y.shape)))
    return y.detach().numpy(), leaf.grad.numpy()


def by_scipy(x, height, width):
    """y, by the call that Google's code makes."""
    from scipy import ndimage

    _, H, W, _ = x.shape
    return np.array([ndimage.zoom(image, (height / H, width / W, 1), order=1) for image in x])


def make():
    """The arrays of the file, by name."""
    arrays, drawn = {}, images()
    for old, new in SIZES:
        x, name = drawn[old], "{}x{} to {}x{}".format(*old, *new)
        arrays["{}x{}/x".format(*old)] = x
        for method in INTERPOLATE:
            arrays[f"{name}/{method}/y"], arrays[f"{name}/{method}/dx"] = by_torch(x, *new, method)
        arrays[f"{name}/bilinear aligned/scipy"] = by_scipy(x, *new)
    return arrays


if __name__ == "__main__":
    np.savez_compressed(FILE, **make())
