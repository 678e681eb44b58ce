"""The command `tinyvit`: words to function calls, results to standard output, progress and errors to standard error.

Exit status: 0 well, 1 failed, 2 wrong usage, 130 and 143 interrupted (after saving).
"""

import importlib
import os
import signal
import sys
import threading
from contextlib import contextmanager

import tinyvit
from tinyvit.commands.options import Parser
from tinyvit.errors import TinyvitError, UsageError, signal_number
from tinyvit.training import mpi

GROUPS = {  # of each command a few words, and the options that most people need
    "learn": {
        "train": ("train a model, or go on with a run", ("--preset", "--epochs", "--out")),
        "predict": ("classify pictures", ("--figure", "--top", "--json")),
        "report": ("one HTML page about a run", ("--out", "--data-dir", "--workers")),
        "eval": ("a run's test loss and accuracy", ("--data-dir", "--workers", "--json")),
        "plot": ("a run's figures as PNG and SVG", ("--out", "--data-dir", "--workers")),
    },
    "understand": {
        "live": ("watch a model, turn it around, teach it", ("--out", "--force")),
        "gradcheck": ("check every gradient", ("--list", "--json")),
        "exercises": ("functions to write anew, marked", ("--hint", "--solution", "--json")),
        "shapes": ("every tensor of a model", ("--backward", "--figure", "--batch")),
        "doctor": ("why does it not train?", ("--data-dir", "--json")),
        "lab": ("repeat an experiment of the paper", ("--data", "--budget", "--seeds")),
    },
    "published weights": {
        "features": ("what a model makes of pictures", ("--out", "--layer", "--pool")),
        "probe": ("few-shot accuracy of its features", ("--shots", "--test", "--image")),
        "convert": ("for transformers, timm, or as .npz", ("--to",)),
        "numerics": ("how far small choices move logits", ("--json",)),
    },
    "speed": {"bench": ("time and memory beside PyTorch's", ("--cores", "--json"))},
}
COMMANDS = {name: about for group in GROUPS.values() for name, about in group.items()}
OF_RANKS = ("train", "lab", None)  # what mpiexec may start; None is the list of commands
MORE = "tinyvit COMMAND --help says what else each can do."


class TopParser(Parser):
    """The parser of all commands; its help is the list of them, with an example each."""

    def format_help(self):
        lines = [f"{self.prog} {tinyvit.__version__}{': ' * bool(self.description)}{self.description}"]
        commands = self._subparsers._group_actions[0].choices
        wide = max(len(command.example) for command in commands.values())
        for title, names in GROUPS.items():
            lines += ["", title]
            lines += [f"  {commands[name].example:<{wide}}  {words}" for name, (words, _) in names.items()]
        return "\n".join([*lines, "", MORE, ""])


def parser():
    """The parser of all commands."""
    about = (tinyvit.__doc__ or "").partition("\n")[0]  # Python -OO has none
    top = TopParser(prog="tinyvit", description=about.removeprefix("tinyvit: "))
    top.add_argument("--version", action="version", version=f"tinyvit {tinyvit.__version__}")
    top.set_defaults(function=lambda args: top.print_help())
    commands = top.add_subparsers(metavar="COMMAND", dest="command", parser_class=Parser)
    for name, (_, most_used) in COMMANDS.items():
        module = {"eval": "evaluate"}.get(name, name)
        importlib.import_module(f"tinyvit.commands.{module}").add(commands)
        commands.choices[name].most_used = most_used
    return top


def main(argv=None):
    """Run the command; returns the exit status."""
    open_streams()
    return mpi.run(lambda ranks: status_of(argv, ranks))


def status_of(argv, ranks):
    """The exit status of the command, on one process, or on the ranks that mpiexec started."""
    try:
        with interruptible():
            args = parser().parse_args(argv)
            if ranks and args.command not in OF_RANKS:
                raise UsageError(f"tinyvit {args.command or ''} works in one process: leave mpiexec out")
            args.ranks = ranks
            return args.function(args) or 0
    except TinyvitError as error:
        print(f"tinyvit: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt as stop:
        print("tinyvit: interrupted", file=sys.stderr)
        return 128 + signal_number(stop)
    except BrokenPipeError:  # nobody reads on, as before `| head`; nor is the rest to be written when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError as error:
        print(f"tinyvit: not enough memory: {str(error) or 'try smaller sizes'}", file=sys.stderr)
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"tinyvit: {where}{error.strerror or error}", file=sys.stderr)
        return 1


def open_streams():
    """Make the standard streams such that nothing fails over them.

    One that is closed (`2>&-`) is the null device: else the next file that is opened would take its number. A
    character that the terminal's encoding lacks is written as its number.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)  # as standard streams are
    os.close(descriptor)
    for number, (name, mode) in enumerate({"stdin": "r", "stdout": "w", "stderr": "w"}.items()):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's, or a test's, is another object
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def interruptible():
    """While this holds, Ctrl-C and SIGTERM raise KeyboardInterrupt, which has the signal's number."""

    def interrupt(number, frame):
        raise KeyboardInterrupt(number)

    before = {}
    if threading.current_thread() is threading.main_thread():  # no other may have handlers
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as in a script's background
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
