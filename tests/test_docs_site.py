"""The site: all public names are on it, every link leads somewhere, and it needs no network, not even on a phone."""

import ast
import functools
import html.parser
import http.server
import importlib
import importlib.util
import inspect
import pydoc
import re
import subprocess
import sys
import threading
import urllib.parse
from pathlib import Path

import pytest
from browser_helpers import Browser, why_no_browser

import kerasdl

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    path: path.read_text(encoding="utf-8").split("\n", 1)[0].removeprefix("# ")
    for path in sorted((ROOT / "docs/api").glob("*.md"))
}
# Neither may be imported: the site is built from the sources alone.
BUILD = """
import sys
sys.modules |= dict.fromkeys(("tensorflow", "keras", "numpy", "kerasdl"))
from mkdocs.__main__ import cli
cli(["build", "--strict", "--quiet", "--site-dir", sys.argv[1]])
"""


def names_of(path: Path) -> list[str]:
    return re.findall(r"^::: (\S+)$", path.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    if importlib.util.find_spec("mkdocstrings_handlers") is None:
        pytest.skip("needs MkDocs and mkdocstrings (pip install -e '.[docs]')")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-c", BUILD, str(folder)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


class Reader(html.parser.HTMLParser):
    """What a page loads, where it links to, which places it has, and its words without those in blocks of code."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads, self.links, self.places, self.words, self._open = [], [], set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.places |= {given[key] for key in ("id", "name") if given.get(key)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        elif address := given.get("src") or given.get("href"):
            self.loads.append(address)
        if tag in ("pre", "code", "script", "style", "svg"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        if self._open and tag == self._open[-1]:
            self._open.pop()

    def handle_data(self, data):
        # A word in code has no place among the words, but it must not let its neighbours meet.
        self.words.append("·" if self._open else data)


@pytest.fixture(scope="module")
def pages(site):
    return {path.relative_to(site).as_posix(): Reader(path) for path in sorted(site.rglob("*.html"))}


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.stem)
def test_every_public_name_stands_once_in_the_reference(path):
    package = PACKAGES[path]
    module = importlib.import_module(package)
    # Lessons are no names that one imports.
    public = {name for name in getattr(module, "__all__", ()) if not inspect.ismodule(getattr(module, name))}
    names = names_of(path)
    assert len(names) == len(set(names))
    assert {name.removeprefix(f"{package}.") for name in names} >= public


def test_every_package_has_a_page():
    packages = set(kerasdl.__all__) - {"__version__", "initializers", "constraints"}
    assert {f"kerasdl.{name}" for name in packages} <= set(PACKAGES.values())
    layers = names_of(ROOT / "docs/api/layers.md")
    small = [
        f"kerasdl.{part}.{name}" for part in ("initializers", "constraints") for name in vars(kerasdl)[part].__all__
    ]
    assert set(small) <= set(layers)


def signatures(page: str) -> dict[str, list[str]]:
    """The arguments that a page shows of each name; of several signatures the last, which is that of the function."""
    found = {}
    for section in re.split(r'<h3 id="', page)[1:]:
        name = section.split('"', 1)[0]
        code = section.partition('<h4 id="')[0]
        for shown in re.findall(r'<div class="[^"]*doc-signature[^"]*">.*?<pre>(.*?)</pre>', code, re.DOTALL):
            text = html.unescape(re.sub(r"<[^>]+>", "", shown))
            if not text.startswith(f"{name.rpartition('.')[2]}("):
                continue  # No function and no class.
            arguments = ast.parse(f"def {text.strip()}: ...").body[0].args
            rest = [each.arg for each in (arguments.vararg, arguments.kwarg) if each]
            found[name] = [each.arg for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)] + rest
    return found


@pytest.mark.parametrize("path", PACKAGES, ids=lambda path: path.stem)
def test_signatures_are_those_of_the_code(site, path):
    shown = signatures((site / f"api/{path.stem}.html").read_text(encoding="utf-8"))
    for name in names_of(path):
        thing = pydoc.locate(name)
        made = thing.__init__ if inspect.isclass(thing) else thing
        # What a class takes from Keras, or a named tuple from its fields, does not stand in our sources.
        if callable(thing) and getattr(made, "__module__", "").startswith("kerasdl"):
            expected = inspect.signature(thing).parameters.values()
            last = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
            ordered = sorted(expected, key=lambda each: (each.kind in last, each.kind))
            assert shown.get(name, []) == [each.name for each in ordered], name


def test_every_link_leads_somewhere(site, pages):
    broken = []
    for page, reader in pages.items():
        if page == "404.html":
            continue  # A server shows it at any address; its links are for a site at the top of a host.
        for link in reader.links + reader.loads:
            address = urllib.parse.urlsplit(link)
            if address.scheme in ("http", "https", "mailto", "data"):
                continue
            path = (site / page).parent / urllib.parse.unquote(address.path) if address.path else site / page
            if not path.is_file():
                broken.append(f"{page}: {link}")
                continue
            target = pages.get(path.resolve().relative_to(site.resolve()).as_posix())
            if address.fragment and target and urllib.parse.unquote(address.fragment) not in target.places:
                broken.append(f"{page}: {link}")
    assert broken == []
    assert sum(len(reader.links) for reader in pages.values()) > 1000


def test_nothing_is_loaded_from_elsewhere(site, pages):
    outside = re.compile(r"^(https?:)?//")
    assert [
        f"{page}: {address}" for page, reader in pages.items() for address in reader.loads if outside.match(address)
    ] == []
    styles = [path.read_text(encoding="utf-8") for path in site.rglob("*.css")]
    assert styles
    assert [text for text in styles if re.search(r"(@import|url\()\s*['\"]?(https?:)?//", text)] == []


def test_all_markdown_was_understood(pages):
    left = {
        f"{page}: {line}"
        for page, reader in pages.items()
        for line in "".join(reader.words).splitlines()
        if re.search(r"`|\*\*|\]\(|>>>|\\\||^\s*([-*] |\d+\. |\|)|^\s*(Args|Example|Raises|Returns):\s+\S", line)
    }
    assert left == set()


def test_lessons_have_a_page_each_in_reading_order(site, pages):
    from kerasdl.tutorials import catalogue

    lessons = catalogue.lessons()
    assert len(lessons) >= 55
    course = [link for link in pages["course/index.html"].links if re.fullmatch(r"\w+\.html", link)]
    assert list(dict.fromkeys(link for link in course if link != "index.html")) == [
        f"{each.name}.html" for each in lessons
    ]
    for each in lessons:
        text = (site / f"course/{each.name}.html").read_text(encoding="utf-8")
        title = re.search(r"<h1[^>]*>(.*?)<a class=\"headerlink\"", text, re.DOTALL)[1]
        assert html.unescape(re.sub(r"<[^>]+>", "", title)) == each.question.replace("`", "")
        assert f"python -m tutorials.{each.name}" in html.unescape(re.sub(r"<[^>]+>", "", text))


def test_names_in_texts_lead_to_the_reference(pages):
    assert "api/training.html#kerasdl.training.fit" in pages["index.html"].links
    assert "../api/training.html#kerasdl.training.fit" in pages["course/resume.html"].links
    # Of Keras are the `fit` and the `save` of a model; `filters` is an argument of layers.
    assert not [link for link in pages["api/sequences.html"].links if link.endswith("training.fit")]
    assert not [link for link in pages["api/xnor.html"].links if link.endswith("plots.save")]
    assert not [link for link in pages["api/layers.html"].links if link.endswith("visualization.filters")]


@pytest.fixture(scope="module")
def browser():
    if why_no_browser():
        pytest.skip(why_no_browser())
    with Browser() as opened:
        yield opened


LOOKED_AT = ("index", "course/index", "course/lenet", "api/index", "api/layers", "api/callbacks", "how_to/my_images")


@pytest.fixture(scope="module")
def served(site):
    handler = functools.partial(QuietHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Nothing: what is asked for is seen in the browser."""


def test_a_word_is_found_in_a_name(served, browser):
    browser.open(f"{served}/index.html")
    browser.run("deep('[data-md-toggle=search]')[0].click()")
    # A key that is pressed before the page's program listens is lost.
    found = browser.wait_for(
        "const at = deep('.md-search__input')[0]; at.value = arguments[0];"
        "at.dispatchEvent(new KeyboardEvent('keyup', {bubbles: true}));"
        "return deep('.md-search-result__link').map(link => link.href)",
        "cam",
    )
    assert [link for link in found if re.search(r"api/visualization.html.*#kerasdl.visualization.grad_cam$", link)]


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
def test_pages_are_as_wide_as_the_screen(served, browser, phone):
    if phone:
        browser.as_phone()
    for page in LOOKED_AT:
        browser.open(f"{served}/{page}.html")
        width, screen = browser.run("return [document.documentElement.scrollWidth, window.innerWidth]")
        assert (page, width) == (page, screen)
        assert screen == (390 if phone else 1400)
        assert browser.complaints() == []
