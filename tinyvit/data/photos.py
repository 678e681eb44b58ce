"""A photograph as a model was shown them when it was trained: resized, cropped and normalised as its source does it.

Sources differ in small things (which pixels a resize averages, whether the border is cut off), and a model that is
shown pictures prepared in another way answers a little differently: `tinyvit numerics` says how much.
"""

import math
import reprlib
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np

from tinyvit.data.images import LUMA
from tinyvit.errors import DataError
from tinyvit.ops.resize import both_sides, resize

PILLOW = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers, which config files use
HALF = (0.5, 0.5, 0.5)
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
MOST = 10  # of a mean or deviation of pixels from 0 to 1; those of pixels from 0 to 255 would be ten times as large


@dataclass(frozen=True)
class Preparation:
    """How a picture becomes a model's input.

    Parameters
    ----------
    size : int or (int, int)
        Side of the input, in pixels; or height and width.
    resample : "bilinear", "bicubic", "lanczos" or "nearest"
    antialias : bool
        Whether shrinking averages over all pixels, as Pillow does, or reads the nearest four only, as TensorFlow does.
    crop : float, optional
        The shorter side is resized to size / crop, and the middle cut out. None: both sides are resized to size. Of
        inputs that are not square: the picture is resized until it covers size / crop.
    mean, std : three floats each
        Of red, green and blue from 0 to 1: the input is (x - mean) / std.
    squash : bool
        With a crop: both sides are resized to size / crop, whatever the picture's proportions.
    """

    size: int | tuple[int, int]
    resample: str = "bilinear"
    antialias: bool = True
    crop: float | None = None
    mean: tuple = HALF
    std: tuple = HALF
    squash: bool = False

    def __str__(self):
        how = self.resample if self.antialias else f"{self.resample}, four pixels"
        return how if self.crop is None else f"{how}, {'squash, ' * self.squash}crop {self.crop:g}"

    @property
    def normalisation(self):
        """mean and std in words."""
        mean, std = (", ".join(f"{value:g}" for value in three) for three in (self.mean, self.std))
        return f"mean {mean} and standard deviation {std}"

    @classmethod
    def of(cls, source, size, model="vit"):
        """The defaults of a source, "google", "microsoft", "timm" or "huggingface", for a ViT, "swin" or "hybrid"."""
        small = max(both_sides(size)) <= 224
        if model == "swin":
            crop = {"microsoft": 224 / 256 if small else None, "timm": 0.9 if small else 1.0}.get(source)
            return cls(size, "bicubic", crop=crop, **IMAGENET)
        if model == "hybrid" and source == "huggingface":
            return cls(size, "bicubic", crop=1.0)
        if source == "google":
            return cls(size, antialias=False)
        if source == "timm":
            return cls(size, "bicubic", crop=0.9 if small else 1.0)
        return cls(size)

    def as_described(self, described, channels=3):
        """Changed as a source's own file says: timm's pretrained_cfg, or Hugging Face's preprocessor_config.json.

        A model of one channel may have one mean and one standard deviation: they stand for all three.

        Raises
        ------
        DataError
            If it says what cannot be.
        """
        try:
            found = {}
            for ours, theirs in (("mean", "image_mean"), ("std", "image_std")):
                if (values := described.get(ours, described.get(theirs))) is not None:
                    found[ours] = _three_numbers(values, channels)
            if (resample := described.get("interpolation", described.get("resample"))) is not None:
                found["resample"] = PILLOW.get(resample, resample)
            if described.get("crop_mode") not in (None, "center", "squash"):
                raise ValueError(f"crop_mode is {reprlib.repr(described['crop_mode'])}, expected center or squash")
            if described.get("crop_pct") is not None:
                found |= {"crop": float(described["crop_pct"]), "squash": described.get("crop_mode") == "squash"}
                if found["squash"] and found["crop"] == 1:  # nothing is cut off
                    found |= {"crop": None, "squash": False}
            if described.get("do_center_crop"):
                found |= self._cropped(described.get("size"))
            for step in ("do_resize", "do_rescale"):
                if described.get(step) is False:
                    raise ValueError(f"{step} is false")
            if abs(255 * float(described.get("rescale_factor", 1 / 255)) - 1) > 1e-3:
                raise ValueError(f"rescale_factor is {reprlib.repr(described['rescale_factor'])}, expected 1 / 255")
            if described.get("do_normalize") is False:
                found |= {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
            changed = replace(self, **found)
            sharp = changed.crop is None or 0.05 < changed.crop <= 1
            if min(changed.std) < 1e-6 or changed.resample not in PILLOW.values() or not sharp:
                raise ValueError(reprlib.repr(found))
        except (AttributeError, TypeError, ValueError, KeyError, ArithmeticError) as error:
            raise DataError(f"the description of how pictures are prepared cannot be read: {error}") from None
        return changed

    def _cropped(self, size):
        """Crop and squash, from Hugging Face's size: {"shortest_edge"}, {"height", "width"} or one number for both."""
        if not isinstance(self.size, int):
            raise ValueError("do_center_crop is true, expected images that are not square to be resized only")
        edge = size.get("shortest_edge") if isinstance(size, dict) else None
        squash = edge is None
        if squash:
            edge = size["height"] if isinstance(size, dict) else size
            if isinstance(size, dict) and size["width"] != edge:
                raise ValueError(f"{reprlib.repr(size)}, expected a square")
        # Just below, because size / crop is rounded down.
        return {"crop": min(1.0, math.nextafter(self.size / float(edge), 0)), "squash": squash}


def _three_numbers(values, channels):
    """Of red, green and blue; of one channel, or where one number is for all, the same three times. Else ValueError."""
    if type(values) in (int, float) or (channels == 1 and isinstance(values, list) and len(values) == 1):
        values = 3 * ([values] if not isinstance(values, list) else values)
    if not isinstance(values, list) or len(values) != 3:
        raise ValueError(f"{reprlib.repr(values)}, expected three numbers")
    if not all(type(value) in (int, float) and 0 <= value <= MOST for value in values):
        raise ValueError(f"{reprlib.repr(values)}, expected numbers of pixels from 0 to 1")
    return tuple(map(float, values))


def prepare_photo(image, preparation, channels=3):
    """uint8 [H, W, 1 or 3] as read_image returns it -> float32 [size, size, channels], or [height, width, channels].

    Raises
    ------
    DataError
        If one side is so long that the other would vanish, or the model takes other channels.
    """
    image = np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
    height, width = image.shape[:2]
    if max(height, width) > 1000 * min(height, width):
        raise DataError(f"found a picture of {width} x {height} pixels, expected one of ordinary proportions")
    pixels = _resized(image, *_covering(height, width, preparation), preparation)
    sides = both_sides(preparation.size)
    top, left = (round((there - side) / 2) for there, side in zip(pixels.shape[:2], sides, strict=True))
    pixels = pixels[top : top + sides[0], left : left + sides[1]]
    if channels not in (1, 3):
        raise DataError(f"found a picture of red, green and blue, expected {channels} channels, as the model takes")
    if channels == 1:
        grey = (pixels @ np.array(LUMA, np.float32))[..., None]
        return (grey / 255 - np.float32(np.mean(preparation.mean))) / np.float32(np.mean(preparation.std))
    return (pixels / 255 - np.float32(preparation.mean)) / np.float32(preparation.std)


def _covering(height, width, preparation):
    """(height, width) to which a picture is resized before its middle is cut out."""
    sides, crop = both_sides(preparation.size), preparation.crop
    if crop is None:
        return sides
    sides = tuple(math.floor(side / crop) for side in sides)
    if preparation.squash:
        return sides
    if sides[0] != sides[1]:  # as little as it takes to cover both
        ratio = min(height / sides[0], width / sides[1])
        return round(height / ratio), round(width / ratio)
    longer = int(sides[0] * max(height, width) / min(height, width))
    return (sides[0], longer) if height <= width else (longer, sides[0])


def _resized(image, height, width, preparation):
    """float32 [height, width, 3], from 0 to 255."""
    if image.shape[:2] == (height, width):
        return image.astype(np.float32)
    if not preparation.antialias:
        return resize(image.astype(np.float32), height, width, preparation.resample)[0]
    from PIL import Image

    how = Image.Resampling[preparation.resample.upper()]
    return np.asarray(Image.fromarray(image).resize((width, height), how), np.float32)


def imagenet_names():
    """The names of ImageNet's 1,000 classes, in the order of every published model's logits."""
    text = resources.files(__package__).joinpath("imagenet.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if not line.startswith("#"))
