"""What a command does before all else, while Python loads its modules.

Ctrl-C is one line, where else there would be a traceback. And a process that mpiexec started runs the command in a
child, and says so if that is killed.

It does something in the command's own process only: whoever imports the package keeps the handlers that are theirs.
"""

import contextlib
import os
import signal
import sys
import time

LAUNCHERS = (  # what mpiexec says, in the environment, of a process: its number, and how many there are
    ("PMI_RANK", "PMI_SIZE"),  # MPICH, Intel's, Microsoft's
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
)
SUPERVISOR = "TINYVIT_SUPERVISOR"  # in the child's environment: its end of the pair of sockets
words = ""  # what shall be said if this process is killed, after which it was


def is_command():
    """Whether this process is `tinyvit` or `python -m tinyvit`, of which argv[0] is -m until the module is found."""
    name = sys.argv[0] if sys.argv else ""
    return os.path.splitext(os.path.basename(name))[0] == "tinyvit" or (name == "-m" and "tinyvit" in sys.orig_argv)


def end(number, frame):
    """End the process at once; an exception would go through the middle of other libraries' imports."""
    with contextlib.suppress(OSError):  # it may be closed
        os.write(2, b"tinyvit: interrupted\n")
    end_all(128 + number)


def rank():
    """Which of the processes that mpiexec started this is, and how many they are; (0, 1) if it was not mpiexec."""
    for names in LAUNCHERS:
        numbers = [os.environ.get(name, "") for name in names]
        if all(number.isdecimal() for number in numbers):
            return int(numbers[0]), int(numbers[1])
    return 0, 1


def supervise(number, count):
    """Run this very command in a child process, and end as it does; if it is killed, say so.

    When a rank is killed, mpiexec kills all others in the same moment: none of them could say what has happened. Here
    it happens to a child of what mpiexec started, which has a moment left.
    """
    handle(signal.SIG_IGN if number else end)  # the first of all ranks hears signals; others, and their child, do not
    import socket
    import subprocess

    ours, childs = socket.socketpair()
    childs.set_inheritable(True)
    child = subprocess.Popen(
        [sys.executable, *sys.orig_argv[1:]],
        close_fds=False,  # MPI has its own
        env=os.environ | {SUPERVISOR: str(childs.fileno())},
    )
    handle(signal.SIG_IGN if number else lambda *_: None)  # the child hears them, too
    childs.close()
    with ours, ours.makefile(encoding="utf-8", errors="surrogateescape") as lines:
        said = lines.read().splitlines()
    status = child.wait()
    if -status in (signal.SIGINT, signal.SIGTERM):  # before the child could handle them
        end(-status, None)
    if status < 0:
        how = f"rank {number} of {count} is gone (killed by signal {-status})"
        os.write(2, f"\ntinyvit: {how}{said[-1] if said else ''}\n".encode(errors="surrogateescape"))
        end_all(1)
    os._exit(status)


def handle(handler):
    """Have Ctrl-C and SIGTERM handled so."""
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, handler)


def be_supervised(descriptor):
    """End when the supervisor does, however that was."""
    import socket
    import threading

    def wait():
        supervisor.recv(1)
        os._exit(1)

    global supervisor
    supervisor = socket.socket(fileno=descriptor)
    threading.Thread(target=wait, daemon=True).start()


def last_words(text):
    """Have the supervisor, if there is one, know what to say if this process is killed."""
    global words
    words = text
    if supervisor:
        supervisor.sendall(f"{text}\n".encode(errors="surrogateescape"))


def wait_until_read(descriptor):
    """Until mpiexec has read what was written there, at most some seconds: when it is to abort, it reads no more."""
    deadline = time.monotonic() + 5
    with contextlib.suppress(OSError, ImportError):  # no pipe; or Windows, which cannot say
        import fcntl
        import termios

        while time.monotonic() < deadline:
            unread = fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4))
            if not any(unread):
                break
            time.sleep(0.001)


def end_all(status):
    """End this process, and have mpiexec end the others, which cannot be told otherwise.

    When a process ends so, mpiexec kills the others by itself, and has a dozen lines to say on each. MPICH's is silent
    if it is asked, in the words that MPI_Abort has for it.
    """
    if "PMI_FD" in os.environ:
        wait_until_read(2)
        with contextlib.suppress(OSError):
            os.write(int(os.environ["PMI_FD"]), f"cmd=abort exitcode={status}\n".encode())
            time.sleep(5)  # it does not come to that
    os._exit(status)


supervisor = None
if is_command():
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end)
    number, count = rank()
    if SUPERVISOR in os.environ:
        be_supervised(int(os.environ.pop(SUPERVISOR)))
    elif count > 1 and os.name != "nt":
        supervise(number, count)
