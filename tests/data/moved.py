"""Digits of the test set, moved about and drawn in other ways: how many does a run still read?

    python -m tests.data.moved RUN

RUN is a finished run on mnist or digits. First all pictures of the set are asked whether they pass `prepare` as they
are. Then 200 test digits are moved by 0 to 6 pixels in each of eight directions, where the ink stays inside the
picture: at the set's size, in one a pixel larger, and enlarged (28 pixels to 224) in one of 300 x 400; in black on
white, and in white on black.
"""

import sys

import numpy as np
from PIL import Image

from tinyvit.commands.runs import finished_model
from tinyvit.data import load_data, prepare
from tinyvit.training.evaluation import predict

PAPER = (300, 400)
COUNT = 200


def as_bytes(images):
    """float [B, H, W, 1] from -1 to 1 as uint8 [B, H, W]."""
    return np.rint((images[..., 0] + 1) * 127.5).astype(np.uint8)


def is_unchanged(original, dataset):
    """Whether a picture of the set comes out as it went in, and nothing is said."""
    image, notes = prepare(as_bytes(original[None])[0, :, :, None], dataset)
    return not notes and np.abs(image - original).max() <= 0.5 / 127.5


def moved(image, down, right, height, width):
    """An image [H, W] in the middle of a black one, and so far from there; None if ink would lie outside."""
    rows, columns = np.nonzero(image)
    rows = rows + down + (height - image.shape[0]) // 2
    columns = columns + right + (width - image.shape[1]) // 2
    if min(rows.min(), columns.min()) < 0 or rows.max() >= height or columns.max() >= width:
        return None
    picture = np.zeros((height, width), np.uint8)
    picture[rows, columns] = image[np.nonzero(image)]
    return picture


def moved_pictures(images, down, right, shape, inverted):
    """The numbers of the images [B, H, W] whose ink stays inside, and these as pictures [H, W, 1] of a shape."""
    factor = 224 // images.shape[1] if shape == PAPER else 1
    kept, pictures = [], []
    for number, image in enumerate(images):
        size = (image.shape[1] * factor, image.shape[0] * factor)
        large = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) if factor > 1 else image
        picture = moved(large, down * factor, right * factor, *shape)
        if picture is not None:
            kept.append(number)
            pictures.append((255 - picture if inverted else picture)[..., None])
    return kept, pictures


def main(folder):
    """Print the tables."""
    run, p, config = finished_model(folder, "cpu")
    dataset = run.settings.dataset
    parts = load_data(dataset.name)
    changed = sum(not is_unchanged(original, dataset) for x, _ in parts for original in x)
    print(f"{changed} of {sum(len(x) for x, _ in parts)} pictures of {dataset.name} are changed")
    x, y = (array[:COUNT] for array in parts[1])
    print(f"{(predict(x, p, config).argmax(1) == y).sum()} of {COUNT} test digits are read right as they are")
    directions = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if down or right]
    for shape in ((dataset.side,) * 2, (dataset.side + 1,) * 2, PAPER):
        for inverted in (False, True):
            for far in range(7):
                wrong = []
                for down, right in directions if far else directions[:1]:
                    kept, pictures = moved_pictures(as_bytes(x), far * down, far * right, shape, inverted)
                    if kept:
                        inputs = np.stack([prepare(picture, dataset)[0] for picture in pictures])
                        wrong.append((int((predict(inputs, p, config).argmax(1) != y[kept]).sum()), len(kept)))
                if wrong:
                    drawn = "black on white" if inverted else "white on black"
                    most = " ".join(f"{bad}/{count}" for bad, count in wrong)
                    print(f"{shape[0]}x{shape[1]}, {drawn}, moved by {far}: wrong {most}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
