"""The command `tinyvit`: words to function calls, results to standard output, progress and errors to standard error.

Exit status: 0 well, 1 failed, 2 wrong usage, 130 and 143 interrupted (after saving).
"""

import importlib
import os
import sys

import tinyvit
from tinyvit.commands.options import Parser
from tinyvit.errors import TinyvitError

COMMANDS = ("train", "evaluate", "predict", "features", "probe", "convert", "numerics")
COMMANDS += ("gradcheck", "shapes", "bench", "plot", "report", "doctor", "lab")


def parser():
    """The parser of all commands."""
    top = Parser(prog="tinyvit", description=tinyvit.__doc__.partition("\n")[0])
    top.add_argument("--version", action="version", version=f"tinyvit {tinyvit.__version__}")
    commands = top.add_subparsers(required=True, metavar="COMMAND", parser_class=Parser)
    for name in COMMANDS:
        importlib.import_module(f"tinyvit.commands.{name}").add(commands)
    return top


def main(argv=None):
    """Run the command; returns the exit status."""
    try:
        args = parser().parse_args(argv)
        return args.function(args) or 0
    except TinyvitError as error:
        print(f"tinyvit: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("tinyvit: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # nobody reads on, as before `| head`; nor is the rest to be written when Python ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError as error:
        print(f"tinyvit: not enough memory: {str(error) or 'try smaller sizes'}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"tinyvit: {error.filename or 'input or output'}: {error.strerror or error}", file=sys.stderr)
        return 1
