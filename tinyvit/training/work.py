"""What there is to do in a training step, cut into shares.

Three tasks make a step: every micro-batch's gradient, their sum, the update. Worker w of W does share w of each, and no
worker begins a task before all have ended the one before. A share is whole micro-batches, or a range of the parameters,
and what is computed for each of them does not depend on who computes it: the bits are the same for any number of
workers, and whether they are processes, threads, or the one and only.
"""

import numpy as np

from tinyvit import trees
from tinyvit.arrays import to_host, xp_of
from tinyvit.models.model import model_of, parameter_count
from tinyvit.training.adamw import BLOCK, adamw_step, clip_factor, decay_of, learns, update_average
from tinyvit.training.gradients import batch_gradient

LARGEST_ROWS = 2**28  # entries of all rows of gradients together: 1 GiB
STATE = ("parameters", "moment1", "moment2", "average")  # what a run is between two steps


def array_shapes(config, recipe):
    """{name: (shape, dtype)} of the arrays that all workers of a run share.

    parameters, moment1, moment2, average   [n], flat: the state of the run
    rows      [R, n]   gradients: a row for each micro-batch; of a model too large for that, for several neighbours
    losses    [R]      and their losses
    squares   [n / BLOCK]   the sum of squares of each block of the gradient
    images, labels, logits  one batch: what goes in, and what an evaluation gives
    """
    n, batch = parameter_count(config), recipe.batch
    rows = max(1, min(-(-batch // recipe.micro_batch), LARGEST_ROWS // n))
    images = (batch, config.image, config.image, config.channels)
    floats = {name: (n,) for name in STATE}
    floats |= {"rows": (rows, n), "losses": (rows,), "squares": (-(-n // BLOCK),), "images": images}
    floats |= {"logits": (batch, config.classes)}
    return {name: (shape, "float32") for name, shape in floats.items()} | {"labels": ((batch,), "int64")}


class Work:
    """The arrays of a run, and each task on them. Every task takes the worker's number and how many there are."""

    def __init__(self, config, recipe, seed, arrays):
        self.config, self.recipe, self.seed = config, recipe, seed
        self.arrays = arrays
        self.model = model_of(config)
        shapes = self.model.init(None, config)
        self.p = trees.views(arrays["parameters"], shapes)
        self.average = trees.views(arrays["average"], shapes)
        self.decay = decay_of(self.p, recipe.weight_decay)
        self.learns = learns(self.p, recipe.freeze) if recipe.freeze else None
        if self.learns is not None:
            self.decay = self.decay * self.learns

    def gradients(self, worker, workers, step, count, full=False):
        """The gradients of the first `count` images, each micro-batch's in its row; `full` as in vit."""
        images, labels = self.arrays["images"][:count], self.arrays["labels"][:count]
        micro_batches = -(-count // self.recipe.micro_batch)
        rows = self.rows_of(count)
        for row in share(rows, worker, workers):
            loss, _ = batch_gradient(
                images,
                labels,
                self.p,
                self.config,
                self.recipe,
                seed=self.seed,
                step=step,
                full=full,
                micro_batches=share(micro_batches, row, rows),
                out=self.arrays["rows"][row],
            )
            self.arrays["losses"][row] = loss

    def rows_of(self, count):
        """How many rows a batch of `count` images fills."""
        return min(len(self.arrays["rows"]), -(-count // self.recipe.micro_batch))

    def add(self, worker, workers, count):
        """Add the rows in their order, into the first, and sum the squares of the result block by block."""
        first, *others = self.arrays["rows"][: self.rows_of(count)]
        for block in share(len(self.arrays["squares"]), worker, workers):
            part = slice(block * BLOCK, (block + 1) * BLOCK)
            for row in others:
                first[part] += row[part]
            if self.learns is not None:  # before clipping: what is frozen has no part in the gradient's length
                first[part] *= self.learns[part]
            self.arrays["squares"][block] = first[part] @ first[part]

    def update(self, worker, workers, step, learning_rate):
        """Clip the gradient, one step of AdamW, and the average of the weights."""
        blocks = share(len(self.arrays["squares"]), worker, workers)
        part = slice(blocks.start * BLOCK, blocks.stop * BLOCK)
        p, m, v, average = (self.arrays[name][part] for name in STATE)
        g = self.arrays["rows"][0, part]
        g *= clip_factor(self.norm(), self.recipe.clip)
        adamw_step(p, g, m, v, step=step, learning_rate=learning_rate, decay=self.decay[part])
        update_average(average, p, step=step, decay=self.recipe.average)
        if self.learns is not None:  # the average of equal numbers may differ from them in the last bit
            average[...] = xp_of(p).where(self.learns[part] > 0, average, p)

    def loss(self, count):
        """The mean loss of the batch of `count` images, in nats."""
        return self.arrays["losses"][: self.rows_of(count)].sum()

    def norm(self):
        """The norm of the whole gradient, before clipping."""
        return np.sqrt(self.arrays["squares"].sum())

    def evaluate(self, worker, workers, count):
        """The logits of the first `count` images, by the average of the weights."""
        images, logits, size = self.arrays["images"][:count], self.arrays["logits"], self.recipe.micro_batch
        xp = xp_of(self.arrays["average"])
        for i in share(-(-count // size), worker, workers):
            part = slice(i * size, min((i + 1) * size, count))
            y, _ = self.model.forward(xp.asarray(images[part]), self.average, self.config, full=False, keep=False)
            logits[part] = to_host(y)


def share(n, worker, workers):
    """The indices from 0 to n - 1 that fall to a worker: neighbours, and as many for each as can be."""
    return range(worker * n // workers, (worker + 1) * n // workers)
