"""Read and prepare many pictures at once, in threads: Pillow lets others work while it decodes."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from tinyvit.data.images import strict_about_size
from tinyvit.data.photos import prepare_member
from tinyvit.errors import DataError

BLOCK = 128  # pictures that a thread reads at a time
MOST_THREADS = 8


class Reading:
    """The pictures of a listing as images of one size, a block at a time, and which of them could be read.

    Parameters
    ----------
    read : function of an Entry that returns uint8 [H, W, 1 or 3], or raises DataError; threads call it side by side
    entries : list of Entry
    size : int, side of the images in pixels
    skip_broken : bool
        Whether pictures that cannot be read are left out; otherwise they are an error, once all have been tried.
    bar : a tqdm bar
    """

    def __init__(self, read, entries, size, *, skip_broken, bar):
        self.read, self.entries, self.size = read, entries, size
        self.skip_broken, self.bar = skip_broken, bar
        self.marks = None

    def blocks(self):
        """Yield uint8 [B, size, size, 3] in the order of the entries; in the end `marks` says what they are.

        Raises
        ------
        DataError
            If pictures cannot be read: the first of them, and how many.
        """
        self.bar.reset()
        marks, broken = [np.ones(1, np.uint8)], []
        for images, errors in self._in_turn():
            marks[0] &= (images == images[..., :1]).all()
            marks.append(np.array([error is None for error in errors], np.uint8))
            broken += [error for error in errors if error]
            yield images
        if broken and not self.skip_broken:
            count = f"{len(broken)} of {len(self.entries)} pictures cannot be read"
            raise DataError(f"{broken[0]}; {count}: mend or remove them, or leave them out with --skip-broken")
        self.marks = np.concatenate(marks)

    def _in_turn(self):
        """What `_block` returns, block by block; the threads are never more than two blocks each ahead."""
        threads = min(MOST_THREADS, os.cpu_count() or 1)
        parts = [self.entries[start : start + BLOCK] for start in range(0, len(self.entries), BLOCK)]
        with strict_about_size(), ThreadPoolExecutor(threads) as pool:
            ahead = deque()
            for part in parts:
                ahead.append(pool.submit(self._block, part))
                if len(ahead) > 2 * threads:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()

    def _block(self, entries):
        """The images of those entries that can be read, and for each entry its error or None."""
        images, errors = np.empty((len(entries), self.size, self.size, 3), np.uint8), []
        for entry in entries:
            try:
                images[errors.count(None)] = prepare_member(self.read(entry), self.size, 3)
                errors.append(None)
            except DataError as error:
                errors.append(error)
            self.bar.update()
        return images[: errors.count(None)], errors
