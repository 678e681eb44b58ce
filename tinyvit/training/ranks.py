"""Ranks: a worker pool over MPI, on one machine or many.

Each rank has arrays of its own, and does its shard of every phase of a step (see train_step.py). Between two phases the
ranks exchange what the next one reads:

    gradients  ->  of every row, each part [n / N] to the rank that adds and updates it     (Isend, Irecv)
    add        ->  the squares of the blocks, from which all compute the gradient's norm    (Allgatherv)
    momentum   ->  with Muon, the sum of the rows: a matrix is orthogonalised as a whole    (Allgatherv)
    update     ->  the new parameters                                                       (Allgatherv)

The rows are added in their order, whoever computed them: the bits are those of one process, for any number of ranks.
Rank 0 leads: it tells the others what is to be done, and all do it. The data are sent once, when they are first asked
for. What does the same without MPI is in worker_pool.py.
"""

import numpy as np

from tinyvit import startup
from tinyvit.errors import WorkerError
from tinyvit.training.batches import take
from tinyvit.training.step import arithmetic
from tinyvit.training.train_step import STATE, TrainStep, array_shapes, shard
from tinyvit.training.worker_pool import SerialPool, check_size

APART = ("moment1", "moment2", "average")  # of the state: a rank updates its part, and needs no other for the next step


def check_memory(config, recipe, ranks):
    """Raise UsageError if a rank's arrays exceed this machine's memory: of rows it has its own, and a part of each."""
    shapes = array_shapes(config, recipe, own_rows=True)
    (rows, n), dtype = shapes["rows"]
    check_size(shapes | {"rows": ((2 * -(-rows // ranks), n), dtype)})


class RankPool(SerialPool):
    """The pool of all ranks, as rank 0 has it; the others are in `follow`.

    Parameters
    ----------
    ranks : Ranks
    config, recipe, seed
        Of the run.
    """

    def __init__(self, ranks, config, recipe, seed):
        self.ranks, ranks.listen = ranks, False  # the others already wait for an order, not for a message
        self.share = Share(ranks.world, config, recipe, seed)
        super().__init__(self.share.train_step)
        ranks.listen = True

    def take(self, part, indices):
        """A batch for `put` and `gradient`, which every rank will take from its own copy of the part."""
        number = next((i for i, held in enumerate(self.share.parts) if held is part), None)
        if number is None:
            number = len(self.share.parts)
            self._order("hold", mine=part)
        return number, indices

    def put(self, batch):
        return self._order("put", *batch)

    def do(self, phase, *arguments):
        self._order(phase, *arguments)

    def spread(self):
        self._order("spread")

    def collect(self):
        self._order("collect")

    def if_lost(self, words):
        self._order("if_lost", words)

    def _order(self, task, *arguments, **mine):
        """Have all ranks do a task; returns what this one's comes to. `mine` is for this rank only.

        While they are at it the others hear nothing else; so if it fails here alone they can be told no more.
        """
        from mpi4py import MPI

        self.ranks.listen = False
        try:
            self.ranks.world.bcast((task, arguments))
            done = getattr(self.share, task)(*arguments, **mine)
        except AgreedError as error:
            self.ranks.listen = True
            raise error.__cause__ from None
        except MPI.Exception as error:
            raise WorkerError(f"a rank is gone ({error})") from None
        self.ranks.listen = True
        return done

    def close(self):
        if self.ranks.listen:
            self.ranks.world.bcast(None)
        # Else they are ended with this process: see Ranks.end.


def follow(ranks, config, recipe, seed):
    """Do what rank 0 says, as one of the other ranks of its pool, until that is closed."""
    with arithmetic():
        share = Share(ranks.world, config, recipe, seed)
        while (order := ranks.world.bcast(None)) is not None:
            task, arguments = order
            try:
                getattr(share, task)(*arguments)
            except AgreedError:  # rank 0 says what it was
                continue


class AgreedError(Exception):
    """A rank has failed at its share, and every rank knows; the cause is what rank 0 shall raise."""


class Share:
    """A rank's arrays, and its share of each task. All ranks do the same tasks in the same order."""

    def __init__(self, world, config, recipe, seed):
        self.world, self.number, self.count = world, world.rank, world.size
        shapes = array_shapes(config, recipe, own_rows=True)
        self.arrays = {name: np.zeros(*spec) for name, spec in shapes.items()}
        self.train_step = TrainStep(config, recipe, seed, self.arrays)
        self.parts, self.stale = [], set()  # of the data; which of APART are whole on no rank

    def hold(self, mine=None):
        """Have a part of the data from now on: rank 0's."""
        from mpi4py.util import pkl5

        part = pkl5.Intracomm(self.world).bcast(mine)  # which sends arrays as they are, without copies
        self.parts.append(part if mine is None else mine)

    def put(self, number, indices):
        """Take a batch from a part of the data; returns how many examples it has."""
        return self.train_step.put(take(self.parts[number], indices, self.train_step.config))

    def spread(self):
        """Rank 0's state to all."""
        for name in STATE:
            self.world.Bcast(self.arrays[name])
        self.stale = set()

    def collect(self, names=APART):
        """Make the state whole on every rank."""
        for name in (name for name in names if name in self.stale):  # in one order on all ranks
            self._gather(name, self._parts())
        self.stale = self.stale.difference(names)

    def if_lost(self, words):
        """What shall be said if a rank is killed, after which."""
        startup.last_words(words)

    def gradients(self, step, count, all_rows):
        """Compute this rank's rows, and send each rank its part of them."""
        self._compute("gradients", step, count, all_rows)
        rows, parts, filled, sent = self.arrays["rows"], self._parts(), self.train_step.rows_of(count), []
        others = [rank for rank in range(self.count) if rank != self.number]
        for rank in others:
            mine = parts[self.number]
            sent += [self.world.Irecv(rows[row, mine], rank, row) for row in shard(filled, rank, self.count)]
        for row in shard(filled, self.number, self.count):
            sent += [self.world.Isend(rows[row, parts[rank]], rank, row) for rank in others]
        for message in sent:
            message.Wait()
        self._gather("losses", self._shards(filled))

    def add(self, count):
        self._compute("add", count)
        self._gather("squares", self._shards(len(self.arrays["squares"])))

    def momentum(self):
        self._compute("momentum")
        self._gather("rows", self._parts())

    def update(self, step, learning_rate):
        self._compute("update", step, learning_rate)
        self._gather("parameters", self._parts())
        self.stale = set(APART)

    def evaluate(self, first, count):
        """Scores; the outputs stay where they were computed, for training looks at none."""
        self.collect(("average",))
        self._compute("evaluate", first, count)
        self._gather("scores", self._shards(-(-count // self.train_step.recipe.micro_batch)))

    def _compute(self, phase, *arguments):
        """This rank's shard of a phase. If it fails on any rank, every rank raises AgreedError."""
        failed = None
        try:
            getattr(self.train_step, phase)(self.number, self.count, *arguments)
        except Exception as error:
            failed = error
        problems = self.world.allgather(failed and f"{type(failed).__name__}: {failed}")
        for number, problem in enumerate(problems):
            if problem:
                raise AgreedError from failed or WorkerError(f"rank {number} of {self.count} failed: {problem}")

    def _parts(self):
        """Of the parameters, the range of each rank."""
        return [self.train_step.part(rank, self.count) for rank in range(self.count)]

    def _shards(self, n):
        """Of n entries, the range of each rank."""
        return [slice(shard(n, rank, self.count).start, shard(n, rank, self.count).stop) for rank in range(self.count)]

    def _gather(self, name, ranges):
        """Make an array whole on every rank, of which each has the entries in its range."""
        from mpi4py import MPI

        array = self.arrays[name][0] if name == "rows" else self.arrays[name]  # of the rows, their sum
        self.world.Allgatherv(MPI.IN_PLACE, [array, [array[entries].size for entries in ranges]])
