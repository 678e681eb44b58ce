"""The site: it builds without a warning, without a network, and nothing on it leads nowhere."""

import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import tinyvit.layers
import tinyvit.ops
from tests.browser import driven

for needed in ("sphinx", "myst_nb", "furo"):
    pytest.importorskip(needed, reason="building the site needs the extra docs: pip install -e '.[docs]'")

ROOT = Path(__file__).parents[2]
RESOURCES = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("img", "srcset"),
    ("source", "src"),
    ("object", "data"),
}
RESOURCES |= {("iframe", "src"), ("source", "srcset"), ("video", "src"), ("image", "href"), ("use", "href")}
CODE = ("pre", "code")


class Page(HTMLParser):
    """What a page of HTML asks for, where it leads, and where it can be led to."""

    def __init__(self, html):
        super().__init__()
        self.anchors, self.links, self.resources, self.words, self.styles = {"", "top"}, [], [], [], ""
        self.display, self.within = 0, []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.anchors |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        self.resources += [(attributes[name]) for on, name in RESOURCES if on == tag and attributes.get(name)]
        self.styles += attributes.get("style") or ""
        self.display += tag == "math" and attributes.get("display") == "block"
        if tag in (*CODE, "style", "script"):
            self.within.append(tag)

    def handle_endtag(self, tag):
        if self.within and tag == self.within[-1]:
            self.within.pop()

    def handle_data(self, data):
        if "style" in self.within:
            self.styles += data
        elif not self.within:
            self.words.append(data)


def asked_for(page):
    """The resources that a page asks a network for."""
    from_styles = re.findall(r"(?:url\(|@import)\s*[\"']?([^\"')\s]+)", page.styles)
    return [address for address in page.resources + from_styles if re.match(r"(?:\w+:)?//", address)]


def dead_ends(pages):
    """Each link and resource of {path: Page} that leads to no file, or to no anchor there."""
    for path, page in pages.items():
        for address in page.links + page.resources:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not target.is_file():
                yield f"{path.name}: {address}"
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{path.name}: {address}: no such anchor"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as the README says, with every warning an error; it is made quicker: nobody reads its sources."""
    from docs.conf import extensions

    folder = tmp_path_factory.mktemp("site").resolve()
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-c", "docs"]
    command += ["-D", f"extensions={','.join([*extensions, 'tests.docs.navigation'])}", "-D", "highlight_sources=0"]
    env = os.environ | {"NO_COLOR": "1"}
    done = subprocess.run([*command, ".", str(folder)], cwd=ROOT, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr[-6000:]
    return folder


@pytest.fixture(scope="module")
def pages(site):
    return {path: Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}


def test_every_page_is_there(site, pages):
    sources = ["README.md", *(p.relative_to(ROOT) for p in ROOT.glob("docs/**/*.md"))]
    sources += [p.relative_to(ROOT) for p in ROOT.glob("notebooks/*.ipynb")]
    assert len(sources) > 4
    assert [path for path in sources if site / Path(path).with_suffix(".html") not in pages] == []


def test_notebooks_are_numbered_and_derivations_in_the_order_of_the_model(site):
    html = (site / "docs/index.html").read_text(encoding="utf-8")
    side = html.partition('class="sidebar-tree"')[2].partition("</aside>")[0]
    names = [file.stem for file in sorted(ROOT.glob("notebooks/*.ipynb"))]
    assert re.findall(r'notebooks/(\w+)\.html">(\d\d) ', side) == [(name, name[:2]) for name in names]
    order = ["patch_embedding", "softmax", "attention", "layer_norm", "gelu", "cross_entropy"]
    order += ["online_softmax", "linear_attention", "patterns", "windows", "window_bias", "patch_merging"]
    order += ["convolution", "max_pool", "group_norm", "standardise"]
    order += ["token_embedding", "recurrence", "alignment"]
    order += ["sinusoids", "decoder_block", "token_cross_entropy", "muon"]
    assert re.findall(r'derivations/(\w+)\.html"', side) == order


def test_nothing_is_asked_of_a_network(site, pages):
    assert {path.name: asked for path, page in pages.items() if (asked := asked_for(page))} == {}
    for file in site.rglob("*.css"):
        page = Page(f"<style>{file.read_text(encoding='utf-8')}</style>")
        assert asked_for(page) == [], file.name
    names = {urlsplit(address).path.rpartition("/")[2] for page in pages.values() for address in page.resources}
    assert not [name for name in names if re.search("mathjax|require|embed-amd|widgets", name, re.IGNORECASE)]


def test_every_link_leads_somewhere(pages):
    assert len(pages) > 100
    assert list(dead_ends(pages)) == []


def markdown(path):
    """The Markdown of a page or a notebook, without its code."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"^```.*?^```$|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)


def test_every_formula_is_mathml(site, pages):
    found = 0
    for path in [*ROOT.glob("docs/**/*.md"), *ROOT.glob("notebooks/*.ipynb"), ROOT / "README.md"]:
        page = pages[site / path.relative_to(ROOT).with_suffix(".html")]
        displayed = len(re.findall(r"\$\$.*?\$\$", markdown(path), re.DOTALL))
        assert page.display >= displayed, f"{path.name}: {page.display} of {displayed} formulas"
        left = re.findall(r"\$[^$\n]+\$|\\(?:frac|sum|mathbf|sqrt|begin)\b.*", " ".join(page.words))
        assert left == [], f"{path.name}: {left[:3]}"
        found += page.display
    assert found > 20


def public_functions():
    for package in (tinyvit.ops, tinyvit.layers):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for name, f in inspect.getmembers(importlib.import_module(module.name), inspect.isfunction):
                if f.__module__ == module.name and not name.startswith("_"):
                    yield f"{module.name}.{name}"


def test_every_public_name_is_in_the_reference(site, pages):
    reference = pages[site / "docs/reference.html"]
    names = list(public_functions())
    assert len(names) > 60
    for name in tinyvit.__all__:
        value = getattr(tinyvit, name)
        if not isinstance(value, dict):
            names.append(f"{value.__module__}.{name}")
        else:
            assert name in (site / "docs/reference.html").read_text(encoding="utf-8")
    assert [name for name in names if name not in reference.anchors] == []


DRIVER = """
<script>
window.addEventListener("load", () => {
  const requests = performance.getEntriesByType("resource").map(entry => entry.name)
    .filter(name => !/^(file|data):/.test(name));
  const shown = [...document.querySelectorAll("math")].map(formula => formula.getBoundingClientRect())
    .filter(box => box.width > 0 && box.height > 0).length;
  const wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify({errors, requests, shown, wide});
});
</script>
"""


@pytest.mark.usefixtures("browser")
@pytest.mark.parametrize("width", [1200, 400], ids=["desktop", "phone"])
@pytest.mark.parametrize("name", ["docs/derivations/softmax", "notebooks/03_attention", "docs/architecture"])
def test_a_page_in_a_browser(site, pages, name, width):
    path = site / f"{name}.html"
    html = path.read_text(encoding="utf-8")
    found, console = driven(html, DRIVER, path.parent, width)
    assert console == [] and found["errors"] == [] and found["requests"] == []
    assert found["shown"] == html.count("<math"), "formulas have a size"
    assert not found["wide"], "the page does not scroll sideways"


WIDE = """
<iframe id="frame" style="width: $WIDTHpx; height: 900px; border: 0"></iframe>
<script>
const pages = $PAGES, found = {}, frame = document.getElementById("frame");
let next = 0;
frame.addEventListener("load", () => {
  const inner = frame.contentDocument, wide = [];
  if (inner.location.href === "about:blank") return;
  if (inner.documentElement.scrollWidth > inner.documentElement.clientWidth) wide.push("the page");
  for (const element of inner.querySelectorAll(".content *")) {
    const { overflowX } = frame.contentWindow.getComputedStyle(element);
    if (overflowX !== "visible" && element.clientWidth && element.scrollWidth > element.clientWidth + 1) {
      wide.push(element.innerText.slice(0, 300));
    }
  }
  if (wide.length) found[pages[next]] = wide;
  next += 1;
  if (next < pages.length) return void (frame.src = `${pages[next]}.html`);
  document.body.insertAdjacentHTML("beforeend", "<pre id=found></pre>");
  document.getElementById("found").textContent = JSON.stringify(found);
});
frame.src = `${pages[0]}.html`;
</script>
"""


def too_wide(site, names, width):
    """{page: what of it scrolls sideways} in a window of so many pixels; its code, its tables, or the whole of it."""
    driver = WIDE.replace("$WIDTH", str(width)).replace("$PAGES", json.dumps(names))
    how = dict(options=("--allow-file-access-from-files",), timeout=300)
    return driven("<!doctype html>", driver, site, 1600, **how)[0]


def texts(folder):
    return [path.with_suffix("").relative_to(ROOT).as_posix() for path in sorted(ROOT.glob(folder))]


@pytest.mark.usefixtures("browser")
def test_code_and_tables_fit_their_column_on_a_small_laptop(site):
    assert too_wide(site, ["README", *texts("docs/**/*.md"), "notebooks/03_attention"], 1280) == {}


@pytest.mark.usefixtures("browser")
def test_no_page_scrolls_sideways_on_a_tablet(site):
    found = too_wide(site, ["README", *texts("docs/**/*.md"), *texts("notebooks/*.ipynb")], 768)
    assert [name for name, wide in found.items() if "the page" in wide] == []


@pytest.mark.usefixtures("browser")
def test_the_test_finds_what_is_too_wide(tmp_path):
    long = "x" * 400
    for name, inner in {"code": f"<pre style='overflow: auto'>{long}</pre>", "page": long, "good": "x"}.items():
        (tmp_path / f"{name}.html").write_text(f"<!doctype html><div class=content><p>{inner}</p></div>")
    assert too_wide(tmp_path, ["good", "code", "page"], 1280) == {"code": [long[:300]], "page": ["the page"]}


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example/x.css">',
        '<img src="http://example.org/x.png">',
        "<style>@import 'https://example.org/x.css';</style>",
        '<p style="background: url(https://example.org/x.png)">',
    ],
)
def test_the_test_finds_what_is_asked_of_a_network(html):
    assert len(asked_for(Page(html))) == 1


def test_the_test_finds_dead_ends(tmp_path):
    html = {
        "a.html": '<h1 id="one"></h1><a href="b.html#two">b</a><a href="#one">top</a><a href="https://example.org/x">x</a>',
        "b.html": '<h1 id="two"></h1><a href="a.html#three"></a><a href="c.html"></a><img src="d.png">',
    }
    for name, text in html.items():
        (tmp_path / name).write_text(text)
    pages = {tmp_path / name: Page(text) for name, text in html.items()}
    assert list(dead_ends(pages)) == ["b.html: a.html#three: no such anchor", "b.html: c.html", "b.html: d.png"]


def test_docstrings_become_restructured_text():
    from docs.conf import as_rst

    prose = "A *sum* over x_i, and x_ of `name`s.\n\n    y = a * b\n\n"
    section = "Parameters\n----------\nx : array [P*P, w_]\n    |x|.\n\n        z = x * 2\n"
    assert as_rst(prose) == "A \\*sum\\* over x_i, and x\\_ of ``name``\\ s.\n\n::\n\n    y = a * b\n\n"
    escaped = "Parameters\n----------\nx : array [P\\*P, w\\_]\n    \\|x\\|.\n\n    ::\n\n        z = x * 2\n"
    assert as_rst(section) == escaped


def test_an_index_stands_beside_its_letter():
    from docutils.utils.math.latex2mathml import tex2mathml

    from docs.conf import index_beside_accent

    def tags(tex):
        return re.findall(r"<(\w+)", index_beside_accent(tex2mathml(tex)))

    assert tags(r"\hat{x}_i") == ["math", "msub", "mover", "mi", "mo", "mi"]
    assert tags(r"\sum_{i=1}^{n}") == ["math", "munderover", "mo", "mrow", "mi", "mo", "mn", "mi"]
    assert tags(r"\exp(x)") == ["math", "mi", "mo", "mo", "mi", "mo"]
