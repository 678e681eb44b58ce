"""The page of references has every paper that a page links on arXiv, and none that nothing names."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "references.md"
ARXIV = re.compile(r"arxiv\.org/abs/(\d+\.\d+)")


def texts():
    """The derivations, pages, notebooks' twins and sources, less the page itself."""
    folders = [("docs", "*.md"), ("notebooks", "*.py"), ("tinyvit", "*.py")]
    files = [file for folder, kind in folders for file in (ROOT / folder).rglob(kind) if file != PAGE]
    return {file: file.read_text(encoding="utf-8") for file in files}


def test_every_paper_that_a_derivation_links_is_there():
    known = set(ARXIV.findall(PAGE.read_text(encoding="utf-8")))
    linked = {
        number for file, text in texts().items() if file.parent.name == "derivations" for number in ARXIV.findall(text)
    }
    assert linked <= known


def test_every_paper_is_named_somewhere():
    rows = re.findall(
        r"^\| (.+?) (\d{4}) \| \[.+\]\(https://arxiv\.org/abs/(\d+\.\d+)\) \| .*\|$", PAGE.read_text(), re.M
    )
    everything = re.sub(r"\s+(# )?", " ", " ".join(texts().values()))
    assert len(rows) > 30 and len({number for _, _, number in rows}) == len(rows)
    for authors, year, number in rows:
        first = re.split(r",| et al| and ", authors)[0]
        assert re.search(rf"\b{first}\b[^.;]{{0,60}}(et al\. )?\(?{year}", everything) or number in everything, authors
