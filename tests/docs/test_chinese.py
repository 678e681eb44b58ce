"""The Chinese of notebooks and pages: of paragraphs that there are, with their markup and no number of its own."""

import re
import shutil

import pytest

pytest.importorskip("myst_nb", reason="the Chinese notebooks need the extra docs: pip install -e '.[docs]'")
pytest.importorskip("jupytext", reason="reading a twin needs the extra dev: pip install -e '.[dev]'")
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from docs import chinese

MARKDOWN = MarkdownIt().use(dollarmath_plugin)
PAIRS = [(name, *pair) for name in chinese.translated() for pair in chinese.catalogue(name).items()]
NUMBER = r"\d+(?:[.,]\d+)*"


def markup(text):
    """What a translation leaves as it is: links, pictures, code, formulas, how much is emphasised; in any order."""
    kept = []
    for token in MARKDOWN.parseInline(text)[0].children:
        if token.type in ("link_open", "image"):
            kept.append((token.type, token.attrs.get("href") or token.attrs["src"]))
        elif token.type != "text" and not token.type.endswith(("_close", "break")):
            kept.append((token.type, token.content))
    return sorted(kept)


def loose(text):
    """Marks that emphasise nothing, as ** before a letter and after a full stop."""
    return [token.content for token in MARKDOWN.parseInline(text)[0].children if "**" in token.content]


def numbers(text):
    """The numbers of the prose; what is in code, a formula or a link's address is not looked at."""
    return {
        n
        for token in MARKDOWN.parseInline(text)[0].children
        if token.type == "text"
        for n in re.findall(NUMBER, token.content)
    }


@pytest.fixture(scope="module")
def sources():
    return chinese.sources(chinese.translated())


def test_coverage(sources):
    """Every paragraph in a catalogue is one of its notebook or page; what is not translated is shown in English."""
    for name, found in sources.items():
        known = chinese.catalogue(name)
        print(f"{name}: {sum(bool(known.get(paragraph)) for paragraph in found)} of {len(found)} paragraphs")
        assert known.keys() - set(found) == set(), f"{name} has changed: run `python docs/chinese.py`"
        assert any(known.values())


def test_a_translation_keeps_the_markup():
    assert len(PAIRS) > 100
    for name, english, translation in PAIRS:
        if translation:
            assert markup(translation) == markup(english), f"{name}: {translation}"
            assert loose(translation) == [], name


def test_a_translation_has_no_number_of_its_own():
    for name, english, translation in PAIRS:
        assert numbers(translation) <= numbers(english), f"{name}: {translation}"


def test_what_these_tests_look_at():
    text = "**One** [two](three.md#four) `five` $6$, 7 and 8,000.5."
    assert [part[0] for part in markup(text)] == ["code_inline", "link_open", "math_inline", "strong_open"]
    assert markup("`five` $6$ [zwei](three.md#four) **eins**") == markup(text)
    assert markup("![a](b.png)") == markup("![c](b.png)") == [("image", "b.png")]
    for changed in (text.replace("four", "for"), text.replace("five", "fife"), text.replace("$6$", "6")):
        assert markup(changed) != markup(text)
    assert numbers(text) == {"7", "8,000.5"}
    assert loose("**好。**好") and not loose("**好**。好")


@pytest.mark.parametrize("page", ["questions.zh.md", "glossary.zh.md"])
def test_the_chinese_pages_lead_to_sections_that_there_are(page):
    """On GitHub a link opens the notebook; on the site it leads to the section, by its English title."""
    text = (chinese.ROOT / "docs" / page).read_text(encoding="utf-8")
    found = re.findall(r"\(\.\./notebooks/(\w+)\.ipynb#([^)]+)\)", text)
    assert len(found) > 30
    for name, anchor in found:
        assert anchor in anchors(name), f"{page}: no section {anchor} in notebook {name}"


def anchors(name):
    """Of the headings of a notebook, as GitHub and the site make them of a title; a formula is left out."""
    twin = (chinese.ROOT / f"notebooks/{name}.py").read_text(encoding="utf-8")
    titles = [re.sub(r"\$.*?\$", "", title) for title in re.findall(r"^# ##+ (.+)$", twin, re.MULTILINE)]
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_a_catalogue_is_written_as_it_is_read(tmp_path, monkeypatch):
    name = "notebooks/00_start_here"
    known, written = chinese.catalogue(name), (chinese.CATALOGUES / f"{name}.po").read_bytes()
    monkeypatch.setattr(chinese, "CATALOGUES", tmp_path)
    chinese.write(name, known)
    assert (tmp_path / f"{name}.po").read_bytes() == written


def test_the_site_shows_chinese_and_a_changed_paragraph_in_english(tmp_path, monkeypatch):
    name = "notebooks/00_start_here"
    locale = tmp_path / "locale"
    catalogues = locale / chinese.CATALOGUES.relative_to(chinese.LOCALE)
    shutil.copytree(chinese.CATALOGUES, catalogues, ignore=shutil.ignore_patterns("*.mo"))
    known = chinese.catalogue(name)
    changed = next(paragraph for paragraph in known if paragraph.startswith("**"))
    monkeypatch.setattr(chinese, "CATALOGUES", catalogues)
    chinese.write(
        name, {("old " if paragraph == changed else "") + paragraph: text for paragraph, text in known.items()}
    )
    shown = dict(chinese.paragraphs([name], chinese.LANGUAGE, locale)[name])
    in_chinese = {paragraph for paragraph, text in shown.items() if re.search(r"[\u4e00-\u9fff]", text)}
    assert in_chinese == {paragraph for paragraph, text in known.items() if text} - {changed}
    assert shown[changed].startswith("The question.")
