"""The processes that mpiexec started: `mpiexec -n 4 tinyvit train mnist`.

Each has a number, its rank. Rank 0 is the command: it reads the arguments, writes the files and talks to the user. The
others do what it tells them, and say nothing unless they fail. They sleep while nothing is to be done.
"""

import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from tinyvit import startup
from tinyvit.errors import TinyvitError, UsageError, WorkerError, first_line
from tinyvit.training.process import WorkerProcess
from tinyvit.training.ranks import RankPool, check_memory, follow

NAP = 0.005  # seconds between two looks at whether a message has come


def run(command):
    """Do a command, on rank 0, with the others at its service; returns the exit status.

    Parameters
    ----------
    command : callable
        Given the Ranks, or None if mpiexec did not start this process, or it alone; returns the exit status.
    """
    number, count = startup.rank()
    if count == 1:
        return command(None)
    try:
        ranks = _join(count)
    except UsageError as error:
        if number == 0:
            print(f"tinyvit: {error}", file=sys.stderr)
        return error.exit_code
    if number:
        return ranks.serve()
    status = 1
    try:
        status = command(ranks)
    except SystemExit as stop:  # argparse's way out of --help
        status = stop.code or 0
    finally:
        ranks.end(status)
    return status


def _join(count):
    """The Ranks.

    Raises
    ------
    UsageError
        If they cannot talk to each other.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise UsageError(
            f"mpiexec has started {count} processes, which need mpi4py to work together ({first_line(error)}): "
            "pip install mpi4py"
        ) from None
    if MPI.COMM_WORLD.size != count:
        library = MPI.Get_library_version().split(":")[0].partition(",")[0]
        raise UsageError(
            f"mpiexec has started {count} processes, of which {library}, mpi4py's, sees {MPI.COMM_WORLD.size}: "
            "give the command with the mpiexec of that MPI"
        )
    return Ranks(MPI.COMM_WORLD)


class Ranks:
    """All processes that mpiexec started.

    Parameters
    ----------
    world : MPI's communicator
    """

    def __init__(self, world):
        self.world, self.number, self.count = world, world.rank, world.size
        self.listen = True  # whether the others wait for a message, or may be in the middle of an exchange
        self.one_at_a_time = threading.Lock()  # MPI may not be called by two threads at once

    def pool(self, config, recipe, seed):
        """A worker pool of all ranks; raises UsageError if it would not fit into the memory."""
        check_memory(config, recipe, self.count)
        self.tell_all("pool", config, recipe, seed)
        return RankPool(self, config, recipe, seed)

    def process(self, number, module, name):
        """What WorkerProcess is, started by another rank."""
        return RankProcess(self, number, module, name)

    def if_lost(self, words):
        """What shall be said, after which it was, if a rank is killed."""
        self.tell_all("if_lost", words)
        startup.last_words(words)

    def tell_all(self, *message):
        """Send the others a message."""
        for number in range(1, self.count):
            self.tell(number, message)

    def tell(self, number, message):
        """Send a rank a message."""
        with self.one_at_a_time:
            self.world.send(message, number)

    def heard(self, number):
        """[message] from a rank, if there is one; else []."""
        with self.one_at_a_time:
            return [self.world.recv(source=number)] if self.world.iprobe(source=number) else []

    def end(self, status):
        """Let the others end with this exit status."""
        if self.listen:
            self.tell_all("end", status)
        else:
            self._leave(status)

    # ---- the other ranks

    def serve(self):
        """Do what rank 0 says until it ends; returns the exit status."""
        for number in (signal.SIGINT, signal.SIGTERM):  # mpiexec sends them to all: rank 0 says what becomes of it
            signal.signal(number, signal.SIG_IGN)
        try:
            while True:
                task, *arguments = self._next()
                if task == "end":
                    return arguments[0]
                {"pool": follow, "process": _start_process, "if_lost": _if_lost}[task](self, *arguments)
        except Exception as error:
            words = str(error) if isinstance(error, TinyvitError) else f"{type(error).__name__}: {first_line(error)}"
            print(f"tinyvit: rank {self.number} of {self.count} failed: {words}{startup.words}", file=sys.stderr)
            self._leave(1)

    def _leave(self, status):
        """End this process, and those that cannot be told to."""
        sys.stdout.flush()
        sys.stderr.flush()
        startup.end_all(status)

    def _next(self):
        """The next message from rank 0."""
        while not (message := self.heard(0)):
            time.sleep(NAP)
        return message[0]


class RankProcess:
    """A WorkerProcess of another rank, whose messages and answers MPI carries."""

    def __init__(self, ranks, number, module, name):
        self.ranks, self.number, self.alive = ranks, number, True
        ranks.tell(number, ("process", module, name))

    def send(self, message):
        self.ranks.tell(self.number, message)

    def answer(self):
        while not (answer := self.ranks.heard(self.number)):
            time.sleep(NAP)
            if not self.alive:
                raise WorkerError("the worker was let go")
        if isinstance(answer[0], Exception):
            raise answer[0]
        return answer[0]

    def kill(self):
        if self.alive:
            self.alive = False
            self.ranks.tell(self.number, None)

    close = kill


def _if_lost(ranks, words):
    startup.last_words(words)


def _start_process(ranks, module, name):
    """A process for rank 0, until it wants it no more."""
    process = WorkerProcess(module, name)
    with ThreadPoolExecutor(1) as thread:
        try:
            while (message := ranks._next()) is not None:
                process.send(message)
                answer = thread.submit(process.answer)
                while not answer.done():
                    if ranks.heard(0):  # it does not wait for the answer
                        return
                    time.sleep(NAP)
                ranks.tell(0, answer.exception() or answer.result())
        finally:
            process.kill()
            process.close()
