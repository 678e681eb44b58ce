"""A training step, cut into shards.

A step has three phases: every micro-batch's gradient, their sum, the update. Worker w of W does shard w of each, and no
worker begins a phase before all have ended the one before. A shard is whole micro-batches, or a range of the
parameters, and its numbers do not depend on the worker that computes them: the bits are the same for any number of
workers, and whether they are processes, threads, or the one and only.
"""

import numpy as np

from tinyvit import trees
from tinyvit.arrays import to_host, xp_of
from tinyvit.models.model import model_of, parameter_count
from tinyvit.training.adamw import BLOCK, adamw_step, clip_factor, decay_of, trainable, update_average
from tinyvit.training.batches import evaluation_batch
from tinyvit.training.gradients import batch_gradient
from tinyvit.training.muon import Stretch, momentum_step, muon_direction, muon_step, stretches

LARGEST_ROWS = 2**28  # entries of all rows of gradients together: 1 GiB
STATE = ("parameters", "moment1", "moment2", "average")  # what a run is between two steps
BATCH = "batch/"  # before the names of a batch's arrays


def array_shapes(config, recipe, *, own_rows=False):
    """{name: (shape, dtype)} of the arrays that all workers of a run share.

    With `own_rows` every micro-batch has a row of its own, even in a large model.

    parameters, moment1, moment2, average   [n], flat: the state of the run
    rows      [R, n]   gradients: a row for each micro-batch; in a large model a row adds up consecutive micro-batches
    losses    [R]      and their losses
    squares   [n / BLOCK]   the sum of squares of each block of the gradient
    batch/...          the arrays of one batch, by their names
    outputs, scores    results of an evaluation: the model's output for each example; for each micro-batch the sum and
                       the count of each of the task's scores
    """
    n, batch, task = parameter_count(config), recipe.batch, model_of(config).task
    micro_batches = -(-batch // recipe.micro_batch)
    rows = micro_batches if own_rows else sums_of(micro_batches, n)
    floats = {name: (n,) for name in STATE}
    floats |= {"rows": (rows, n), "losses": (rows,), "squares": (-(-n // BLOCK),)}
    floats |= {"outputs": (batch, *task.output(config))}
    shapes = {name: (shape, "float32") for name, shape in floats.items()}
    shapes |= {BATCH + name: ((batch, *shape), dtype) for name, (shape, dtype) in task.arrays(config).items()}
    return shapes | {"scores": ((micro_batches, len(task.scores), 2), "float64")}


def sums_of(micro_batches, n):
    """In how many sums so many micro-batches' gradients [n] are added before all is: the order is that of so many rows.

    It is part of what a run is, and the same whether a row adds up several micro-batches or each has its own.
    """
    return max(1, min(micro_batches, LARGEST_ROWS // n))


def is_on_host(name):
    """Whether an array stays on the host when the others are on a GPU: a batch goes there in micro-batches."""
    return name.startswith(BATCH) or name in ("outputs", "scores")


class TrainStep:
    """The arrays of a run, and each phase on them. Every phase takes the worker's number and how many there are."""

    def __init__(self, config, recipe, seed, arrays):
        self.config, self.recipe, self.seed = config, recipe, seed
        self.arrays = arrays
        self.model = model_of(config)
        shapes = self.model.init(None, config)
        self.p = trees.views(arrays["parameters"], shapes)
        self.average = trees.views(arrays["average"], shapes)
        self.decay = decay_of(self.p, recipe.weight_decay)
        self.trainable = trainable(self.p, recipe.freeze) if recipe.freeze else None
        everything = [Stretch(0, parameter_count(config), None)]
        self.stretches = stretches(self.p) if recipe.optimizer == "muon" else everything
        self.lowest = 0  # the first block of the vectors in which something is trained
        if self.trainable is not None:
            self.decay = self.decay * self.trainable
            self.lowest = int(self.trainable.argmax()) // BLOCK
            frozen = [s for s in self.stretches if s.shape and not float(self.trainable[s.start])]
            self.stretches = [s for s in self.stretches if s not in frozen]  # their gradients are zero

    def put(self, batch):
        """Copy a batch to where all workers see it; returns how many examples it has."""
        for name in self.model.task.arrays(self.config):
            count = len(batch[name])
            self.arrays[BATCH + name][:count] = batch[name]
        return count

    def batch(self, start, stop):
        """Examples of the batch, from start to stop, as a batch."""
        return {name: self.arrays[BATCH + name][start:stop] for name in self.model.task.arrays(self.config)}

    def gradients(self, worker, workers, step, count, all_rows=False):
        """The gradients of the first `count` examples, each micro-batch's in its row; `all_rows` as in vit."""
        micro_batches, rows = -(-count // self.recipe.micro_batch), self.rows_of(count)
        for row in shard(rows, worker, workers):
            loss, _ = batch_gradient(
                self.batch(0, count),
                self.p,
                self.config,
                self.recipe,
                seed=self.seed,
                step=step,
                all_rows=all_rows,
                micro_batches=shard(micro_batches, row, rows),
                out=self.arrays["rows"][row],
            )
            self.arrays["losses"][row] = loss

    def rows_of(self, count):
        """How many rows a batch of `count` examples fills."""
        return min(len(self.arrays["rows"]), -(-count // self.recipe.micro_batch))

    def sums(self, count):
        """The rows that a batch of `count` examples fills, as ranges: each is added up by itself, then their sums."""
        filled = self.rows_of(count)
        sums = sums_of(filled, len(self.arrays["parameters"]))
        return [shard(filled, i, sums) for i in range(sums)]

    def add(self, worker, workers, count):
        """Add the rows in their order, into the first, and sum the squares of the result block by block."""
        rows, first, sums = self.arrays["rows"], self.arrays["rows"][0], self.sums(count)
        for block in shard(len(self.arrays["squares"]), worker, workers):
            if block < self.lowest:
                self.arrays["squares"][block] = 0
                continue
            part = slice(block * BLOCK, (block + 1) * BLOCK)
            for into, row in [(i[0], j) for i in sums for j in i[1:]] + [(0, i[0]) for i in sums[1:]]:
                rows[into, part] += rows[row, part]
            if self.trainable is not None:  # before clipping: frozen parameters have no part in the gradient's length
                first[part] *= self.trainable[part]
            self.arrays["squares"][block] = first[part] @ first[part]

    def momentum(self, worker, workers):
        """Where Muon updates: clip the gradient of its matrices, and put what is to be orthogonalised in its place."""
        part = self.trained_part(worker, workers)
        for start, stop, shape in self.stretches:
            piece = slice(max(start, part.start), min(stop, part.stop))
            if shape and piece.start < piece.stop:
                g = self.arrays["rows"][0, piece]
                g *= clip_factor(self.norm(), self.recipe.clip_norm)
                momentum_step(g, self.arrays["moment1"][piece])

    def update(self, worker, workers, step, learning_rate):
        """Clip the gradient, one step of the optimiser, and the average of the weights."""
        part = self.trained_part(worker, workers)
        for start, stop, shape in self.stretches:
            piece = slice(max(start, part.start), min(stop, part.stop))
            if piece.start >= piece.stop:
                continue
            p, m, v, _ = (self.arrays[name][piece] for name in STATE)
            how = dict(learning_rate=learning_rate, decay=self.decay[piece])
            if shape:  # as a whole: one that lies across the border of two parts is orthogonalised by both workers
                direction = muon_direction(self.arrays["rows"][0, start:stop].reshape(shape))
                muon_step(p, direction[piece.start - start : piece.stop - start], **how)
            else:
                g = self.arrays["rows"][0, piece]
                g *= clip_factor(self.norm(), self.recipe.clip_norm)
                adamw_step(p, g, m, v, step=step, **how)
        p, average = self.arrays["parameters"][part], self.arrays["average"][part]
        update_average(average, p, step=step, decay=self.recipe.ema_decay)
        if self.trainable is not None:  # the average of equal numbers may differ from them in the last bit
            average[...] = xp_of(p).where(self.trainable[part] > 0, average, p)

    def part(self, worker, workers):
        """The range of the parameters that a worker updates."""
        blocks = shard(len(self.arrays["squares"]), worker, workers)
        return slice(blocks.start * BLOCK, blocks.stop * BLOCK)

    def trained_part(self, worker, workers):
        """Of that range, what lies not below all that is trained."""
        part = self.part(worker, workers)
        return slice(max(part.start, self.lowest * BLOCK), part.stop)

    def loss(self, count):
        """The mean loss of the batch of `count` examples, in nats."""
        losses = self.arrays["losses"]
        return xp_of(losses).stack([sum(losses[i.start + 1 : i.stop], losses[i.start]) for i in self.sums(count)]).sum()

    def norm(self):
        """The norm of the whole gradient, before clipping."""
        return np.sqrt(self.arrays["squares"].sum())

    def evaluate(self, worker, workers, first, count):
        """Outputs and scores of the first `count` examples of the batch, by the average of the weights.

        `first` is the number of the batch's first example in its data: see `evaluation_batch`.
        """
        size, xp = self.recipe.micro_batch, xp_of(self.arrays["average"])
        for i in shard(-(-count // size), worker, workers):
            part = slice(i * size, min((i + 1) * size, count))
            batch = self.batch(part.start, part.stop)
            batch, masks = evaluation_batch(self.model, batch, self.config, first + part.start)
            how = dict(masks=trees.map(xp.asarray, masks), all_rows=False, keep_cache=False)
            y, _ = self.model.forward(trees.map(xp.asarray, batch), self.average, self.config, **how)
            self.arrays["outputs"][part] = y = to_host(y)
            scores = self.model.task.score(y, batch)
            self.arrays["scores"][i] = [scores[name] for name in self.model.task.scores]


def shard(n, worker, workers):
    """The indices from 0 to n - 1 that fall to a worker: neighbours, and as many for each as can be."""
    return range(worker * n // workers, (worker + 1) * n // workers)
