"""The page of all commands, docs/commands.md: what each of them says of itself."""

import contextlib
import io
import os

from tinyvit.cli import GROUPS, main

WIDTH = "100"  # of a line, in characters


def lines():
    """The page below its introduction, as lines of Markdown."""
    found = []
    for title, commands in GROUPS.items():
        found += [f"## {title[0].upper()}{title[1:]}", ""]
        for name in commands:
            found += [f"### tinyvit {name}", "", "```text", *helped(name).splitlines(), "```", ""]
    return found[:-1]


def helped(name):
    """What `tinyvit NAME --help` prints."""
    before = dict(os.environ)
    os.environ["COLUMNS"] = WIDTH  # where argparse looks for the width
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
            main([name, "--help"])
    finally:
        os.environ.clear()
        os.environ.update(before)
    return out.getvalue()
