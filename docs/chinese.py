"""The Chinese notebooks, and pages: a catalogue of each one's paragraphs in English and in Chinese, in docs/locale.

    python docs/chinese.py                            bring every catalogue up to date, and say what is not translated
    python docs/chinese.py notebooks/05_positions     the same, and begin the catalogue of a notebook, or of a page

Sphinx puts them in place as it builds the site with `-D language=zh_CN`: a paragraph that is in no catalogue, or has
changed since, is shown in English. Code and outputs are in the notebooks alone. A paragraph is what Sphinx takes for
one; displayed formulas, which need no translation, are left out.
"""

import argparse
import io
import shutil
import tempfile
from pathlib import Path

import nbformat
from babel.messages import Catalog
from babel.messages.pofile import read_po, write_po
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace
from sphinx.util.nodes import extract_messages

LANGUAGE = "zh_CN"
ROOT = Path(__file__).parents[1]
LOCALE = ROOT / "docs/locale"
CATALOGUES = LOCALE / LANGUAGE / "LC_MESSAGES"
HEADER = f"""msgid ""
msgstr ""
"Language: {LANGUAGE}\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"

"""


def translated():
    """The names of what has a catalogue, such as notebooks/03_attention or docs/index."""
    return sorted(file.relative_to(CATALOGUES).with_suffix("").as_posix() for file in CATALOGUES.rglob("*.po"))


def paragraphs(names, language="en", locale=LOCALE):
    """What a reader of the site finds in these notebooks and pages.

    Parameters
    ----------
    names : list of str
        At least one; of a notebook its twin is read.
    language : str
        "en", or LANGUAGE for the paragraphs as the catalogues in locale translate them.
    locale : Path
        A folder of catalogues; Sphinx writes their compiled form beside them.

    Returns
    -------
    dict of str to list of tuple of str
        For each name, the source of every paragraph, in order, and the text that is shown.
    """
    from notebooks import twins  # needs the extra dev; the site does without

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "source")
        for name in names:
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            if name.startswith("notebooks/"):
                nbformat.write(twins.written(name.removeprefix("notebooks/")), source / f"{name}.ipynb")
            else:
                shutil.copy(ROOT / f"{name}.md", source / f"{name}.md")
        settings = {
            "extensions": ["myst_nb"],
            "root_doc": names[0],
            "suppress_warnings": ["toc.not_readable", "image.not_readable"],  # here is no other file
            "nb_execution_mode": "off",
            "myst_enable_extensions": ["dollarmath"],
            "language": language,
            "locale_dirs": [str(locale)],
            "gettext_compact": False,
        }
        with docutils_namespace():  # what the extensions register is forgotten afterwards
            app = Sphinx(source, None, Path(folder, "out"), Path(folder, "trees"), "dummy", settings, status=None)
            app.builder.compile_update_catalogs()
            app.builder.read()
        trees = {name: app.env.get_doctree(name) for name in names}
    return {
        name: [
            (message, node.astext())
            for node, message in extract_messages(tree)
            if not isinstance(node, nodes.math_block)
        ]
        for name, tree in trees.items()
    }


def sources(names):
    """{name: its different paragraphs, in order}."""
    return {name: list(dict.fromkeys(source for source, _ in found)) for name, found in paragraphs(names).items()}


def catalogue(name):
    """{paragraph: its translation, "" where there is none}; empty if there is no catalogue."""
    file = CATALOGUES / f"{name}.po"
    if not file.exists():
        return {}
    with file.open("rb") as stream:
        return {message.id: message.string for message in read_po(stream, LANGUAGE) if message.id}


def write(name, translations):
    """Write {paragraph: translation} as a catalogue; nothing in it depends on when or where."""
    messages, text = Catalog(LANGUAGE), io.BytesIO()
    for paragraph, translation in translations.items():
        messages.add(paragraph, translation).flags.clear()  # Babel takes the braces of a formula for a format's
    write_po(text, messages, width=0, omit_header=True)
    file = CATALOGUES / f"{name}.po"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes((HEADER + text.getvalue().decode().strip() + "\n").encode())


def main():
    """Bring the catalogues up to date."""
    parser = argparse.ArgumentParser(description="bring the Chinese catalogues up to their notebooks and pages")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of a notebook or a page whose catalogue is to begin")
    names = parser.parse_args().names
    for name in names:
        if not (ROOT / f"{name}{'.py' if name.startswith('notebooks/') else '.md'}").exists():
            parser.error(
                f"no notebook and no page {name}: expected a name such as notebooks/03_attention or docs/index"
            )
    for name, found in sources(sorted({*translated(), *names})).items():
        known = catalogue(name)
        write(name, {paragraph: known.get(paragraph, "") for paragraph in found})
        print(f"{name}: {sum(bool(known.get(paragraph)) for paragraph in found)} of {len(found)} paragraphs translated")
        for paragraph in found:
            if not known.get(paragraph):
                print(f"  to translate: {paragraph}")
        for paragraph, translation in known.items():
            if paragraph not in found:
                print(f"  no longer there, dropped: {paragraph}\n    {translation}")


if __name__ == "__main__":
    main()
