"""The site: docs/, the notebooks and the README as HTML that needs no network, neither to build nor to read.

    python -m sphinx -W -c docs . build/site

and in two languages, where a page that has both leads to the other (chinese.py has the translations):

    python -m sphinx -W -c docs -t bilingual . build/site
    python -m sphinx -W -c docs -t bilingual -D language=zh_CN . build/site/zh

The source directory is the root of the repository, so that a relative link leads to the same place here and on GitHub.
Formulas become MathML while the site is built; links to source files lead to the highlighted source.
"""

import ast
import inspect
import json
import re
import sys
from html import escape
from pathlib import Path
from xml.etree import ElementTree

import pygments
from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from sphinx import addnodes
from sphinx.util import logging
from sphinx.util.osutil import relative_uri

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import tinyvit  # noqa: E402
from docs import chinese  # noqa: E402
from tests.package_layers import PACKAGE_LAYERS, TOP, modules  # noqa: E402
from tinyvit.live import bundled  # noqa: E402

project, author, release = "tinyvit", "the authors of tinyvit", tinyvit.__version__
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.linkcode"]
root_doc = "docs/index"
include_patterns = ["README.md", "docs/**.md", "notebooks/*.ipynb"]
exclude_patterns = [".*", "build", "dist", "runs", "tests", "tinyvit", "**/.ipynb_checkpoints"]

highlight_language = "text"  # of what names no language: equations, tables of the command
locale_dirs = ["docs/locale"]
gettext_compact = False  # a catalogue for each page
html_theme = "furo"
html_title = "tinyvit"
html_static_path = ["_static/site.css"]
html_css_files = ["site.css"]
html_extra_path = ["_static/index.html"]  # at the site's own root: leads to docs/index.html
html_copy_source = False
html_show_copyright = False
html_math_renderer = "mathml"
smartquotes = False  # code and formulas stay as they were typed

nb_execution_mode = "off"  # their outputs are committed
nb_ipywidgets_js = {}  # else fetched from a network
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autodoc_default_options = {"members": True, "member-order": "bysource", "ignore-module-all": True}
autodoc_mock_imports = ["torch", "transformers"]
autodoc_preserve_defaults = True
autodoc_typehints = "none"  # the docstrings have the shapes, too
napoleon_google_docstring = False
napoleon_use_param = False  # a type here is prose, such as "array [B, T, D]"
napoleon_use_rtype = False
toc_object_entries = False

log = logging.getLogger("tinyvit.site")


# Formulas

MATHML = "http://www.w3.org/1998/Math/MathML"
ElementTree.register_namespace("", MATHML)


def mathml(node, display):
    """A formula as MathML; one that cannot be converted is a warning, and shown as it was typed."""
    try:
        return index_beside_accent(tex2mathml(node.astext(), as_block=display))
    except (MathError, SyntaxError) as error:
        log.warning("no MathML for %r: %s", node.astext(), error, location=node)
        return f"<code>{escape(node.astext())}</code>"


def index_beside_accent(formula):
    r"""The formula with the index of \hat{x}_i beside x; docutils sets it below, as if it were the limit of a sum."""
    tree = ElementTree.fromstring(formula.replace("&ApplyFunction;", "\N{FUNCTION APPLICATION}"))
    for node in list(tree.iter(f"{{{MATHML}}}munderover")):
        base, index, accent = node
        if accent.get("stretchy") == "false" or accent.get("accent") == "true":
            over = ElementTree.Element(f"{{{MATHML}}}mover", accent="true")
            over[:] = base, accent
            node.tag, node[:] = f"{{{MATHML}}}msub", (over, index)
    return ElementTree.tostring(tree, encoding="unicode", short_empty_elements=False)


def inline_formula(html, node):
    html.body.append(f'<span class="formula">{mathml(node, False)}</span>')
    raise nodes.SkipNode


def display_formula(html, node):
    html.body.append(html.starttag(node, "div", CLASS="formula") + mathml(node, True) + "</div>")
    raise nodes.SkipNode


# Docstrings

SPECIAL = re.compile(r"(`+)(.+?)\1(?P<letter>\w?)|[*|\\]|_(?!\w)", re.DOTALL)


def literal(found):
    """One match of SPECIAL: `code` becomes ``code``, and a character that reStructuredText would read, a plain one."""
    if not found[1]:
        return "\\" + found[0]
    return f"``{found[2]}``" + ("\\ " + found["letter"] if found["letter"] else "")


def as_rst(docstring):
    """The docstring with its prose as reStructuredText: equations, which are indented, become literal blocks.

    What napoleon reads (Parameters, Returns, ...) it leaves as it is; prose is indented by 4 there.
    """
    base, blocks = "", []
    for block in docstring.split("\n\n"):
        if re.match(r"\w+\n---", block):
            base = "    "
        if block.startswith(base + "    "):
            block = f"{base}::\n\n{block}"
        elif re.search(r"\S {3,}\S", block):  # columns
            block = "::\n\n" + re.sub("^", "    ", block, flags=re.MULTILINE)
        else:
            block = SPECIAL.sub(literal, block)
        blocks.append(block)
    return "\n\n".join(blocks)


def process_docstring(app, what, name, obj, options, lines):
    lines[:] = as_rst("\n".join(lines)).splitlines()
    if what == "property":
        lines.insert(0, "")  # else napoleon takes what stands before a colon for its type


def skip_member(app, what, name, obj, skip, options):
    """Skip the fields of named tuples, which have no docstring of their own, and what another package's base adds."""
    field = (inspect.getdoc(obj) or "").startswith("Alias for field number")
    foreign = inspect.isfunction(obj) and not obj.__module__.startswith("tinyvit")
    return True if field or foreign else None


# The reference: every module, so that none can be forgotten


def directive(name, argument):
    return ["```{eval-rst}", f".. {name}:: {argument}", "```", ""]


def public_names():
    """A list of the public names, each with where it is and the first line of its docstring."""
    for name in tinyvit.__all__:
        value = getattr(tinyvit, name)
        if not isinstance(value, dict):
            home, words = value.__module__, inspect.getdoc(value).partition("\n")[0]
            link = f":py:obj:`tinyvit.{name} <{home}.{name}>`"
        else:
            link, words = f"``tinyvit.{name}``", f"A dictionary: {', '.join(value)}."
        yield f"* {link}: {SPECIAL.sub(literal, words)}"


def reference():
    """The reference as Markdown: the public names, then all modules from the lowest layer up."""
    known = list(modules(ROOT / "tinyvit"))
    lines = ["## The public names", "", "```{eval-rst}", *public_names(), "```", ""]
    for number, packages in enumerate(PACKAGE_LAYERS):
        parts = [part for package in packages for part in package]
        names = [[name for name in known if name.partition(".")[0] == part] for part in parts]
        names = [name for group in names for name in group if name not in (TOP, "__main__")]
        lines += [
            f"## Package layer {number}: {', '.join(dict.fromkeys(name.partition('.')[0] for name in names))}",
            "",
        ]
        for name in names:
            lines += [f"### {name}", "", *directive("automodule", f"tinyvit.{name}")]
    return "\n".join(lines)


def notebooks(language):
    """The notebooks for a table of contents, with their numbers; a title ends at its colon."""
    for file in sorted((ROOT / "notebooks").glob("*.ipynb")):
        title = "".join(json.loads(file.read_text(encoding="utf-8"))["cells"][0]["source"]).partition("\n")[0]
        title = title.removeprefix("# ")
        if language == chinese.LANGUAGE:
            title = chinese.catalogue(f"notebooks/{file.stem}").get(title) or title
        yield f"{file.name[:2]} {re.split('[:：]', title)[0]} </notebooks/{file.stem}>"


def read_source(app, docname, text):
    if docname == "docs/reference":
        text[0] = text[0].replace("<!-- reference -->", reference())
    if docname == "docs/index":
        text[0] = text[0].replace("<!-- notebooks -->", "\n".join(notebooks(app.config.language)))
    text[0] = text[0].replace("<!-- live-page -->", f'<a href="{LIVE}">Open the live page.</a>')  # of docs/ alone


# The two languages


def link_to_the_other_language(app, pagename, templatename, context, doctree):
    """In the site of two languages, whose Chinese part is its folder zh: from a page that has both to the other."""
    english, translated = f"{pagename}.html", f"zh/{pagename}.html"
    has_both, is_chinese = pagename in chinese.translated(), pagename.endswith(".zh")
    if not app.tags.has("bilingual"):
        return
    if app.config.language == "en" and (has_both or is_chinese):
        link = f'<a href="{relative_uri(english, translated)}" lang="zh-CN" hreflang="zh-CN">中文</a>'
    elif app.config.language == chinese.LANGUAGE and has_both:
        link = f'<a href="{relative_uri(translated, english)}" lang="en" hreflang="en">English</a>'
    else:
        return
    context["body"] = f'<p class="language">{link}</p>{context["body"]}'


# The live page of the bundled model, which is made as the site is built

LIVE = "live-page.html"


def write_live_page(app, error):
    if not error and app.builder.format == "html":
        Path(app.outdir, "docs", LIVE).write_text(bundled.load().html(), encoding="utf-8")


# Source files and folders


def source_files():
    """The files that links may lead to and that are shown highlighted."""
    patterns = [f"tinyvit/**/*.{kind}" for kind in ("py", "html", "js", "css", "txt")]
    patterns += ["tests/**/*.py", "docs/*.py", "docs/*.json", "notebooks/*.py", "pyproject.toml", "LICENSE"]
    found = {file for pattern in patterns for file in ROOT.glob(pattern)}
    return sorted(file for file in found if file.is_file())


def source_page(path):
    """The page of a source file or folder, from the root of the site."""
    name = path.relative_to(ROOT).as_posix()
    return f"source/{name}/index.html" if path.is_dir() else f"source/{name}.html"


def link_to_source(app, doctree):
    """Lead relative links to source files and folders to their pages."""
    files, page = source_files(), app.env.docname + ".html"
    links = [*doctree.findall(addnodes.download_reference), *doctree.findall(addnodes.pending_xref)]
    for link in links:
        if link.get("reftype") == "myst" and link.get("refdomain") is None:
            path = (ROOT / page).parent.joinpath(link["reftarget"]).resolve()
            if path in files or any(path in file.parents for file in files if path != ROOT):
                uri = relative_uri(page, source_page(path))
                link.replace_self(nodes.reference("", "", *link.children, internal=True, refuri=uri))


def source_pages(app):
    """(name, context, template) of the page of every source file, and of every folder of them."""
    folders = {}
    for file in source_files():
        text = file.read_text(encoding="utf-8")
        about = ""
        if file.suffix == ".py":
            about = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
        for path in (file, *file.parents):
            if path == ROOT:
                break
            folders.setdefault(path.parent, {}).setdefault(path, about if path == file else "")
        try:
            lexer = get_lexer_for_filename(file.name) if app.config.highlight_sources else TextLexer()
        except pygments.util.ClassNotFound:
            lexer = TextLexer()
        body = pygments.highlight(text, lexer, HtmlFormatter(lineanchors="line", linenos="inline", wrapcode=True))
        yield page_of(file, body)
    folders.pop(ROOT)
    for folder, files in folders.items():
        items = [
            f'<li><a href="{relative_uri(source_page(folder), source_page(file))}">{file.name}</a> {escape(about)}</li>'
            for file, about in files.items()
        ]
        yield page_of(folder, f"<ul>{''.join(items)}</ul>")


def page_of(path, body):
    title = path.relative_to(ROOT).as_posix()
    return source_page(path).removesuffix(".html"), {"title": title, "body": f"<h1>{title}</h1>{body}"}, "page.html"


def linkcode_resolve(domain, info):
    """The line in its source page where a name of the reference is defined, from the page docs/reference."""
    value = sys.modules.get(info["module"])
    file = Path(value.__file__)
    for part in info["fullname"].split("."):
        value = getattr(value, part, None)
    value = getattr(value, "fget", value)
    try:
        line = inspect.getsourcelines(inspect.unwrap(value))[1]
    except (TypeError, OSError):
        return None
    return f"../{source_page(file)}#line-{line}"


def setup(app):
    app.add_config_value("highlight_sources", True, "html", types=(bool,))  # a fourth of the time that the site takes
    app.add_html_math_renderer("mathml", (inline_formula, None), (display_formula, None))
    app.connect("autodoc-process-docstring", process_docstring, priority=400)  # before napoleon
    app.connect("autodoc-skip-member", skip_member)
    app.connect("source-read", read_source)
    app.connect("doctree-read", link_to_source, priority=400)  # before the files to download are collected
    app.connect("html-page-context", link_to_the_other_language)
    app.connect("html-collect-pages", source_pages)
    app.connect("build-finished", write_live_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
