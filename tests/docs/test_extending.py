"""The walk of docs/extending.md, followed to the letter on a copy of the project, ends with tests that pass.

What is followed, and how: tests/docs/walk.py, which can also run every test in the copy.
"""

import subprocess
import sys

import pytest

from tests.docs import walk

PAGE = walk.blocks(walk.PAGE.read_text(encoding="utf-8"))
CHANGES = [block for block in PAGE if block.path and block.info[0] == "diff"]
NEW = [block for block in PAGE if block.path and block.info[0] == "python"]
KINDS = {("python",), ("diff",), ("sh",), ("sh", "run"), ("text",)}


def test_every_block_is_of_a_known_kind():
    assert [f"line {block.line}: {block.info}" for block in PAGE if not block.path and block.info not in KINDS] == []
    assert len(NEW) >= 4 and len(CHANGES) >= 8 and len(walk.python_of(PAGE)) > 5000 and len(walk.commands_of(PAGE)) > 10


def test_every_file_is_named_above_its_block():
    """The info string is not shown where the page is read."""
    lines = walk.PAGE.read_text(encoding="utf-8").splitlines()
    for before, block in zip([walk.Block(0, (), ""), *PAGE], PAGE, strict=False):
        prose = "\n".join(lines[before.line + before.text.count("\n") + 1 : block.line - 1])
        assert not block.path or block.path.rpartition("/")[2] in prose, block.path


def test_the_walk(tmp_path):
    said = walk.follow(PAGE, tmp_path / "tinyvit", at_once=2)
    assert "every gradient agrees" in said["tinyvit gradcheck rms_norm"]
    assert "is finished" in said["tinyvit train --out runs/mixer --resume"]
    assert "nothing found" in said["tinyvit doctor runs/mixer"]
    assert "blocks/0/tokens" in said["tinyvit shapes digits --model mixer"]
    for command, result in said.items():
        if " pytest " in command:
            assert " passed" in result and "skipped" not in result, f"{command}\n{result}"
    report = (tmp_path / "tinyvit/runs/mixer/report.html").read_text(encoding="utf-8")
    assert "An MLP-Mixer with" in report and "Every tensor" in report
    pytest.importorskip("ruff", reason="needs the extra dev: pip install -e '.[dev]'")
    files = [block.path for block in (*NEW, *CHANGES)]
    for check in (["check"], ["format", "--check"]):
        walk.call(["python", "-m", "ruff", *check, *files], tmp_path / "tinyvit")


@pytest.mark.parametrize("block", CHANGES, ids=lambda block: f"{block.path}, line {block.line}")
def test_a_change_whose_surroundings_are_not_there_is_reported(block):
    """The context of each change of the page, with one letter other than the file has it."""
    context = next(line for line in block.text.splitlines() if line.startswith(" "))
    damaged = block.text.replace(context, context + "?", 1)
    with pytest.raises(walk.WalkError) as error:
        walk.changed((walk.ROOT / block.path).read_text(encoding="utf-8"), damaged, f"extending.md:{block.line}")
    assert str(error.value).startswith(f"extending.md:{block.line}: expected once, found 0 times, these lines:\n")
    assert f"{context[1:]}?\n" in str(error.value)


def test_changes_are_made_where_they_belong():
    text = "one\ntwo\n\nthree\nfour\n"
    assert walk.changed(text, " one\n+more\n@@\n-three\n+3\n four\n", "") == "one\nmore\ntwo\n\n3\nfour\n"
    assert walk.changed(text, " two\n\n+more\n", "") == "one\ntwo\n\nmore\nthree\nfour\n"


WRONG = {
    "found 2 times": ("a\nb\na\n", " a\n+c\n"),
    "found 0 times": ("a\nb\n", " b\n a\n+c\n"),
    "a line of a diff begins with": ("a\n", " a\nc\n"),
}


@pytest.mark.parametrize("message", WRONG)
def test_a_change_that_does_not_fit_is_reported(message):
    with pytest.raises(walk.WalkError, match=message):
        walk.changed(*WRONG[message], "page.md:1")


def test_files_that_are_there_or_are_not(tmp_path):
    (tmp_path / "old.py").touch()
    for info, message in (
        (("python", "old.py"), "old.py is there already"),
        (("diff", "new.py"), "new.py is not there"),
    ):
        with pytest.raises(walk.WalkError, match=f"extending.md:3: {message}"):
            walk.apply([walk.Block(3, info, " x\n")], tmp_path)


def test_a_command_that_fails_is_reported_with_what_it_said(tmp_path):
    with pytest.raises(walk.WalkError, match="status 3:\nout\nerr"):
        walk.call(
            ["python", "-c", "import sys; print('out', flush=True); print('err', file=sys.stderr); sys.exit(3)"],
            tmp_path,
        )


def test_without_git_all_but_what_runs_leave_is_copied(tmp_path, monkeypatch):
    root = tmp_path / "root"
    for name in ("pyproject.toml", "docs/a.md", "tinyvit/__pycache__/b.pyc", "runs/c.npz", ".venv/d"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    monkeypatch.setattr(walk, "ROOT", root)
    copy = walk.copied(tmp_path / "copy")
    assert sorted(file.relative_to(copy).as_posix() for file in copy.rglob("*") if file.is_file()) == [
        "docs/a.md",
        "pyproject.toml",
    ]


def test_the_command_says_what_does_not_fit(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```diff pyproject.toml\n no such line\n+more\n```\n", encoding="utf-8")
    program = f"import pathlib, sys; from tests.docs import walk; walk.PAGE = pathlib.Path({str(page)!r}); walk.main()"
    done = subprocess.run([sys.executable, "-c", program], cwd=walk.ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and done.stderr.startswith("page.md:1: pyproject.toml: expected once, found 0 times")
