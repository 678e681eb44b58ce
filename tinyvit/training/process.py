"""A worker process: a child that answers each line of JSON that it is sent with a line of its own (see worker.py)."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

from tinyvit.errors import WorkerError

BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class WorkerProcess:
    """A process that runs a module of this very package, with pipes; deaf to Ctrl-C.

    Parameters
    ----------
    module : str
        One that serves its standard input (see `serve` in worker.py).
    name : str
        How errors call the process.
    descriptors : sequence of int
        Of open files that the process shall have, too, as shared memory.
    one_thread : bool
        Whether BLAS shall have one thread.

    Raises
    ------
    OSError
        If no process can be started.
    """

    def __init__(self, module, name, descriptors=(), *, one_thread=True):
        threads = dict.fromkeys(BLAS_THREADS, "1") if one_thread else {}  # set before NumPy loads: BLAS makes no others
        if os.name == "nt":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        else:
            apart = {"start_new_session": True, "pass_fds": descriptors}
        self.name = name
        self.process = subprocess.Popen(
            # -P: a file of the user's called random.py, where the run was started, is not Python's.
            [sys.executable, "-P", "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | threads | {"PYTHONPATH": import_path()},
            **apart,
        )

    def send(self, message):
        """Send a line. If the process is gone, `answer` will say so, and how it ended."""
        with contextlib.suppress(OSError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def answer(self):
        """The process's next line.

        Raises
        ------
        WorkerError
            If the process is gone, or has failed at the task.
        """
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            how = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
            raise WorkerError(f"{self.name} is gone ({how})")
        answer = json.loads(line)
        if answer and "problem" in answer:
            raise WorkerError(f"{self.name} failed: {answer['problem']}")
        return answer

    def kill(self):
        """End the process at once."""
        self.process.kill()

    def close(self):
        """End the process by closing its standard input, and wait until it has ended."""
        with contextlib.suppress(OSError):  # of a process that is gone: the lines that were still to be sent
            self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def import_path():
    """The PYTHONPATH on which a child process finds the modules that this one does, and this very package first.

    Empty entries of sys.path are left out: "" means the current folder, which may be another one in the child.
    """
    package = Path(__file__).parents[2]
    return os.pathsep.join([str(package), *(entry for entry in sys.path if isinstance(entry, str) and entry)])
