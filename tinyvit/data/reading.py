"""Read and prepare many pictures at once, in threads: Pillow lets others work while it decodes."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinyvit.data.images import own_limits
from tinyvit.data.members import prepare_member
from tinyvit.errors import DataError

BLOCK = 32  # pictures that a thread reads at a time
MOST_THREADS = 8


class Reading:
    """The pictures of a Listing as images of one size, a block at a time, and which of them could be read.

    Parameters
    ----------
    read : function of an Entry that returns uint8 [H, W, 1 or 3], or raises DataError; threads call it side by side
    listing : Listing
    size : int, side of the images in pixels
    skip_broken : bool
        Whether pictures that cannot be read are left out; otherwise they are an error, once all have been tried.
    bar : a tqdm bar
    """

    def __init__(self, read, listing, size, *, skip_broken, bar):
        self.read, self.listing, self.size = read, listing, size
        self.skip_broken, self.bar = skip_broken, bar
        self.errors, self.grey = [], True  # for each picture its error, or None; and whether all are grey

    def blocks(self):
        """Yield the pictures that can be read, in their order, as uint8 [B, size, size, 3]."""
        self.errors, self.grey = [], True
        self.bar.reset()
        for images, errors in self._in_turn():
            self.grey = self.grey and bool((images == images[..., :1]).all())
            self.errors += errors
            self.bar.update(len(errors))
            yield images

    def description(self):
        """What the blocks were: class names, how many images of each for training and for testing, and notes.

        Raises
        ------
        DataError
            If pictures cannot be read, and are not to be skipped or are the only ones of their class.
        """
        listing, readable = self.listing, np.array([error is None for error in self.errors])
        notes, parts = list(listing.notes), (slice(None, listing.train), slice(listing.train, None))
        counts = [np.bincount(listing.labels[p][readable[p]], minlength=len(listing.class_names)) for p in parts]
        if not readable.all():
            first = next(error for error in self.errors if error)
            self._refuse_broken(first, readable, counts)
            notes.append(f"left out {(~readable).sum()} of {len(readable)} pictures that cannot be read; {first}")
        counts = [part.tolist() for part in counts]
        return {
            "class_names": listing.class_names,
            "counts": counts,
            "grey": self.grey,
            "notes": notes,
            "skipped": not readable.all(),
        }

    def _refuse_broken(self, first, readable, counts):
        if not self.skip_broken:
            count = f"{(~readable).sum()} of {len(readable)} pictures cannot be read"
            raise DataError(f"{first}; {count}: mend or remove them, or leave them out with --skip-broken")
        (train, test), names = counts, self.listing.class_names
        if not train.all():
            raise DataError(f"{first}; no picture of the class {names[train.argmin()]!r} can be read: put some there")
        if not test.any():
            raise DataError(f"{first}; no picture for testing can be read: put some there")

    def _in_turn(self):
        """What `_block` returns, block by block; the threads are never more than two blocks each ahead."""
        threads, entries = min(MOST_THREADS, os.cpu_count() or 1), self.listing.entries
        with own_limits(), ThreadPoolExecutor(threads) as pool:
            ahead = deque()
            try:
                for start in range(0, len(entries), BLOCK):
                    ahead.append(pool.submit(self._block, entries[start : start + BLOCK]))
                    if len(ahead) > 2 * threads:
                        yield ahead.popleft().result()
                while ahead:
                    yield ahead.popleft().result()
            finally:
                for block in ahead:  # when interrupted, do not finish them first
                    block.cancel()

    def _block(self, entries):
        """The images of those entries that can be read, and for each entry its error or None."""
        images, errors = [], []
        for entry in entries:
            try:
                images.append(prepare_member(self.read(entry), self.size, 3))
                errors.append(None)
            except DataError as error:
                errors.append(str(error))  # the exception itself would keep the picture in memory
        return np.array(images, np.uint8).reshape(-1, self.size, self.size, 3), errors
