"""Does a picture stand there twice? Repeats in the training part, and test pictures that the model has learned from."""

import numpy as np

from tinyvit.doctor.luck import DEVIATIONS, deviation, surely_more
from tinyvit.doctor.sample import features_of, in_blocks

COPY = 0.997  # correlation of two pictures from which on they count as the same
ALIKE = 0.98  # and as nearly the same, if there are more of these between the parts than within the training part
FEW = 0.005  # share of copies that is no fault: every large collection has some
QUERIES = 200
LARGEST = 100_000  # pictures that are compared, at most
REPEATED, CONTRADICTED = 0.03, 0.005  # shares of the training part
TURNED = {  # other forms of a picture
    "as they are": lambda x: x,
    "mirrored": lambda x: x[:, :, ::-1],
    "upside down": lambda x: x[:, ::-1],
    "turned by 180 degrees": lambda x: x[:, ::-1, ::-1],
    "turned by 90 degrees": lambda x: x.transpose(0, 2, 1, 3)[:, ::-1],
    "turned by 270 degrees": lambda x: x.transpose(0, 2, 1, 3)[:, :, ::-1],
}


def check_repeats(images, labels):
    """No picture stands in the training part again and again, or under two classes: all are compared, bit by bit.

    Parameters
    ----------
    images : [n, H, W, C]
    labels : [n], or None
    """
    first, repeated, contradicted = {}, 0, 0
    digests = digests_of(images[:LARGEST])
    for i, digest in enumerate(digests):
        j = first.setdefault(digest, i)
        repeated += j != i
        contradicted += labels is not None and j != i and labels[i] != labels[j]
    if repeated > REPEATED * len(digests):
        yield (
            f"{repeated:,} of {len(digests):,} training images are repeats of others, to the bit: drop them, or the "
            "model learns these and not the rest"
        )
    if surely_more(contradicted, len(digests), CONTRADICTED):
        yield (
            f"{contradicted:,} training images stand there a second time under another class: find out which label is "
            "right, and drop the other"
        )
    return f"{len(digests):,} training images, compared to the bit: {repeated:,} repeats"


def check_leakage(images, test, seed):
    """No test picture is a training picture, not even in another brightness, inverted or turned.

    Copies to the bit are counted among all. For 200 test pictures, in each of six positions, the training picture is
    found whose correlation with it is the largest in size (so the inverted ones are found, too): both are the same if
    it is above 0.997 at full resolution. Where near copies (0.98) are many among the test pictures, but rare among
    pictures of the training part itself, the parts are no two halves of one collection either.
    """
    base = np.concatenate([features_of(block) for block in in_blocks(images[:LARGEST])])
    known = set(digests_of(images[:LARGEST]))
    same = sum(digest in known for digest in digests_of(test[:LARGEST]))
    compared = min(len(test), LARGEST)
    if surely_more(same, compared, FEW):
        yield _words(same, compared, "as they are")
        return ""
    rng = np.random.default_rng(seed)
    queries = np.asarray(test[np.sort(rng.permutation(len(test))[:QUERIES])], np.float32)
    for form, turn in TURNED.items():
        turned = turn(queries)
        if turned.shape != queries.shape:
            continue
        index, signed = _best(features_of(turned), base)
        close = np.flatnonzero(np.abs(signed) > ALIKE)
        copies = _copies(turned[close], images, index[close], signed[close])
        if surely_more(int(copies.sum()), len(queries), FEW):
            inverted = (signed[close][copies] < 0).mean() > 0.5
            yield _words(int(copies.sum()), len(queries), "inverted" if inverted else form)
            return ""
        if form == "as they are":
            yield from _check_alike(np.abs(signed), base, rng)
    return f"{compared:,} test and {len(base):,} training images: none in both, not even inverted, paler or turned"


def _check_alike(found, base, rng):
    """Near copies between the parts, against those within the training part."""
    own = np.sort(rng.permutation(len(base))[:QUERIES])
    products = np.abs(base[own] @ base.T)
    products[np.arange(len(own)), own] = 0
    alike, within = int((found > ALIKE).sum()), int((products.max(axis=1, initial=0) > ALIKE).sum())
    if alike > 0.05 * len(found) and deviation(alike, len(found), within, len(own)) > DEVIATIONS:
        yield (
            f"{alike} of {len(found)} test images are nearly the same as a training image, of the training images "
            f"among themselves only {within} of {len(own)}: divide the images before they are changed or repeated"
        )


def _best(queries, base):
    """The index of the vector with the largest product in size, and the product, for each query."""
    products = queries @ base.T
    index = np.abs(products).argmax(axis=1)
    return index, products[np.arange(len(queries)), index]


def _copies(queries, images, index, signed):
    """Whether each query and its picture are the same at full resolution, but for brightness, contrast and sign."""
    if not len(queries):
        return np.zeros(0, bool)
    pairs = [x.reshape(len(x), -1) for x in (queries, np.asarray(images[index], np.float32))]
    pairs = [x - x.mean(axis=1, keepdims=True) for x in pairs]
    lengths = np.linalg.norm(pairs[0], axis=1) * np.linalg.norm(pairs[1], axis=1) + 1e-12
    return (pairs[0] * pairs[1]).sum(axis=1) * np.sign(signed) / lengths > COPY


def digests_of(images):
    """A number for each picture that is the same for the same picture."""
    return [hash(np.ascontiguousarray(image).tobytes()) for block in in_blocks(images) for image in block]


def _words(count, total, form):
    how = "" if form == "as they are" else f" {form}"
    return (
        f"{count:,} of {total:,} test images stand in the training part{how}: the test accuracy measures memory; drop "
        "them from one of the two"
    )
