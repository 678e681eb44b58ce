"""The page of all commands, docs/commands.md: what each of them says of itself."""

import contextlib
import io
import os
from unittest import mock

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
    out = io.StringIO()
    wide = mock.patch.dict(os.environ, COLUMNS=WIDTH)  # where argparse looks for the width
    with wide, contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([name, "--help"])
    return out.getvalue()
