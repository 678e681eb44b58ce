"""The walk of docs/extending.md, followed to the letter on a copy of the project.

    python -m tests.docs.walk                 follow the page, run its Python and its commands
    python -m tests.docs.walk --all           and after that every test, in the copy
    python -m tests.docs.walk --keep FOLDER   leave the copy there, to look at

What a block of the page is, its info string says:

    ```python PATH     a new file, whole
    ```diff PATH       a change of a file that is there: lines with a space before them are context, "-" is removed and
                       "+" is added; a line "@@" separates two changes. Context and removed lines must be in the file,
                       one after another, exactly once
    ```python          runs once all files are there and changed: all such blocks are one program
    ```sh run          commands, one on a line, that run after that; no such block needs another one's results

Plain `sh`, `diff` and `text` are only shown.

The languages stay the first word, so that GitHub and the site show the blocks as they show all others.
"""

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/extending.md"
SCRATCH = (".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", "runs", "*.egg-info", "_build", "dist", "shared")


class WalkError(Exception):
    """The page cannot be followed; says in which line, and why."""


class Block(NamedTuple):
    """A block of code: the page's line in which it begins, the words of its info string, its text."""

    line: int
    info: tuple
    text: str

    @property
    def path(self):
        """Of the file that it is, or changes; None of code that is run."""
        return self.info[1] if len(self.info) == 2 and self.info[0] in ("python", "diff") else None


def blocks(text):
    """The blocks of a page, in order."""
    found = re.finditer(r"^```(\w[^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(text.count("\n", 0, m.start()) + 1, tuple(m[1].split()), m[2]) for m in found]


def python_of(page):
    """The Python that the page runs, as one program."""
    return "\n".join(block.text for block in page if block.info == ("python",))


def commands_of(page):
    """The commands that the page runs, as lists of words."""
    lines = [line for block in page if block.info == ("sh", "run") for line in block.text.splitlines()]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def copied(folder):
    """A copy of the project's files in a new folder: those that Git knows, or without Git all but what runs leave."""
    try:
        done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
        names = [name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]
    except FileNotFoundError:  # no Git at all
        names = []
    if "pyproject.toml" not in names:
        shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(*SCRATCH))
        return folder
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, folder / name)
    return folder


def apply(page, folder):
    """Make the page's new files and its changes in a copy of the project.

    Raises
    ------
    WalkError
        If a new file is there already, or a change does not fit the file that it changes.
    """
    for block in page:
        if block.path is None:
            continue
        file, where = folder / block.path, f"{PAGE.name}:{block.line}: {block.path}"
        if block.info[0] == "python":
            if file.exists():
                raise WalkError(f"{where} is there already: the page calls it new")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.text, encoding="utf-8")
        elif not file.exists():
            raise WalkError(f"{where} is not there: the page changes it")
        else:
            text = changed(file.read_text(encoding="utf-8"), block.text, where)
            file.write_text(text, encoding="utf-8")


def changed(text, diff, where):
    """The text of a file after the changes of a diff; `where` begins the message of an error."""
    for change in re.split(r"^@@.*\n", diff, flags=re.MULTILINE):
        lines = [line or " " for line in change.splitlines()]
        if odd := [line for line in lines if line[0] not in " +-"]:
            raise WalkError(f"{where}: a line of a diff begins with a space, + or -; this one does not: {odd[0]}")
        before, after = ("".join(f"{line[1:]}\n" for line in lines if line[0] in kinds) for kinds in (" -", " +"))
        found = ("\n" + text).count("\n" + before)
        if found != 1 or not before:
            raise WalkError(f"{where}: expected once, found {found} times, these lines:\n{before}")
        text = ("\n" + text).replace("\n" + before, "\n" + after)[1:]
    return text


def call(words, folder):
    """Run a command in the copy, with the Python that runs this; raises WalkError, with what it said, if it fails."""
    python = {"tinyvit": [sys.executable, "-m", "tinyvit"], "python": [sys.executable]}
    argv = [*python.get(words[0], words[:1]), *words[1:]]
    environment = os.environ | {"PYTHONPATH": str(folder), "MPLBACKEND": "Agg", "PYTHONDONTWRITEBYTECODE": "1"}
    both = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(argv, cwd=folder, env=environment, **both)
    if done.returncode:
        raise WalkError(f"{shlex.join(words)} ended with status {done.returncode}:\n{done.stdout[-6000:]}")
    return done.stdout


def follow(page, folder, at_once=1):
    """Copy the project to a folder, follow the page there; returns what each of its commands said.

    The commands of one block of the page run one after another; with at_once=2, those of two blocks at a time.
    """
    apply(page, copied(folder))
    (folder / "runs").mkdir()
    (folder / "runs/page.py").write_text(python_of(page), encoding="utf-8")
    call(["python", "-W", "error", "runs/page.py"], folder)
    chains = [commands_of([block]) for block in page if block.info == ("sh", "run")]
    with ThreadPoolExecutor(at_once) as pool:
        longest_first = sorted(chains, key=len, reverse=True)
        said = list(
            pool.map(lambda chain: [(shlex.join(words), call(words, folder)) for words in chain], longest_first)
        )
    said.sort(key=lambda chain: [shlex.join(words) for words in commands_of(page)].index(chain[0][0]))
    return dict(pair for chain in said for pair in chain)


def main():
    """The command: follow the page, then every test."""
    parser = argparse.ArgumentParser(prog="python -m tests.docs.walk", description=__doc__.partition("\n")[0])
    parser.add_argument("--all", action="store_true", help="then every test, in the copy")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="make the copy there, and leave it")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (args.keep or Path(scratch) / "tinyvit").resolve()
        try:
            for command, said in follow(blocks(PAGE.read_text(encoding="utf-8")), folder).items():
                print(f"$ {command}\n{said}", flush=True)
        except WalkError as error:
            sys.exit(str(error))
        print(f"{PAGE.name}: followed", flush=True)
        if args.all:
            environment = os.environ | {"PYTHONPATH": str(folder)}
            sys.exit(subprocess.run([sys.executable, "-m", "pytest"], cwd=folder, env=environment).returncode)


if __name__ == "__main__":
    main()
