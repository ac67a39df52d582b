"""What MkDocs asks while it builds the site: pages out of README.md and the lessons, and links between all of them.

Of what is documented nothing is imported, only the course's list of lessons: neither TensorFlow nor Keras is needed.
"""

import posixpath
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from reference import Reference, lay_out  # noqa: E402

from tutorials import catalogue, export  # noqa: E402

# The pages that are made, each of a file that stands elsewhere.
PAGES = {
    "index.md": "README.md",
    "course/index.md": "tutorials/README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}
LESSONS = {lesson.name: lesson for lesson in catalogue.lessons()}
PAGES |= {f"course/{name}.md": f"tutorials/{name}.py" for name in LESSONS}
# What else a page links to, each file as it is on a page of its own.
FILES: dict[str, str] = {}
# Where links to folders lead.
FOLDERS = {"tutorials": "course/index.md", "callbacks": "api/callbacks.md", "docs/gallery": "gallery/README.md"}
LANGUAGES = {".py": "python", ".cff": "yaml"}

_LINK = re.compile(r"""(\]\(|\b(?:src|href|srcset)=")([^)\s"#]+)(?=[)#\s"])""")
_FENCE = re.compile(r"^([ \t]*)(```|~~~).*?^\1\2[ \t]*$", re.MULTILINE | re.DOTALL)
_NOT_TEXT = re.compile(r"(<(pre|a|h[1-6]|autoref|script)\b.*?</\2>)", re.DOTALL)
_sources: tempfile.TemporaryDirectory | None = None
_reference: Reference


@event_priority(100)  # Before mkdocstrings reads where the sources are.
def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Reads the sources, and puts the lessons into the navigation."""
    global _sources, _reference
    _sources = tempfile.TemporaryDirectory(prefix="kerasdl_docs_")
    lay_out(Path(_sources.name))
    _reference = Reference(Path(_sources.name))
    config.plugins["mkdocstrings"].config.handlers["python"]["paths"] = [_sources.name]
    for section in config.nav or []:
        if "Course" in section:
            for part, lessons in catalogue.parts():
                section["Course"].append({part.title: [f"course/{lesson.name}.md" for lesson in lessons]})
    return config


def on_shutdown() -> None:
    """Removes the copy of the sources."""
    if _sources is not None:
        _sources.cleanup()


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made, and one for each file outside of docs/ that a page links to."""
    made = {place: _text(source) for place, source in PAGES.items()} | {"api/index.md": _reference.index()}
    texts = {file.src_uri: file.content_string for file in files.documentation_pages()} | made
    for place, text in texts.items():
        for target in _targets(place, text):
            path = ROOT / target
            if not target.startswith("docs/") and target not in PAGES.values() and path.is_file():
                FILES[f"files/{target}.md"] = target
    for place, target in FILES.items():
        source = (ROOT / target).read_text(encoding="utf-8").rstrip()
        made[place] = f"# {target}\n\n````{LANGUAGES.get(Path(target).suffix, 'text')}\n{source}\n````\n"
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links between files of the repository to their pages; begins a page of the reference with its index."""
    place = page.file.src_uri
    if place.startswith("files/"):
        return markdown
    if place.startswith("api/") and place != "api/index.md":
        return _reference.with_index(place, markdown)
    # Python-Markdown leaves what stands in HTML as it is, unless it is told otherwise.
    markdown = markdown.replace("<details>", '<details markdown="1">')
    return _outside_fences(markdown, lambda text: _LINK.sub(lambda link: _moved(link, place), text))


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Makes links of the documented names that stand in the text as code."""
    names = _reference.names(page.file.src_uri)

    def linked(code: re.Match[str]) -> str:
        name = names.get(code[1])
        return f'<autoref identifier="{name}" optional>{code[0]}</autoref>' if name else code[0]

    pieces, end = [], 0
    for other in _NOT_TEXT.finditer(html):
        pieces += [re.sub(r"<code>([\w.]+)(?:\([^<]*\))?</code>", linked, html[end : other.start()]), other[0]]
        end = other.end()
    return "".join([*pieces, re.sub(r"<code>([\w.]+)(?:\([^<]*\))?</code>", linked, html[end:])])


def _text(source: str) -> str:
    """The page that is made of a file."""
    path = ROOT / source
    return path.read_text(encoding="utf-8") if path.suffix == ".md" else _lesson(LESSONS[path.stem])


def _lesson(lesson: catalogue.Lesson) -> str:
    """What a lesson asks, what came out, and its program with the comments as text."""
    facts = "\n".join(f"- **{name}:** {lesson.facts[name]}" for name in ("Paper", "Takes", "Expect"))
    page = [f"# {lesson.question}", facts]
    picture = f"docs/pictures/lessons/{lesson.name}.webp"
    if (ROOT / picture).exists():
        page.append(f"![{lesson.question}](../{picture})")
    commands = f"python -m tutorials.{lesson.name}\npython -m tutorials export {lesson.name}"
    page += [lesson.text, "## The program", "The first command runs it, the second makes a notebook of it."]
    page.append(f"```\n{commands}\n```")
    for kind, source in export.cells_of(lesson)[1:]:
        # Without what shows the figures in a notebook.
        lines = [line for line in source.splitlines() if not re.match(r"\s*(display\(Image|from IPython)", line)]
        page.append("\n".join(["```python", *lines, "```"] if kind == "code" else lines))
    return "\n\n".join(page) + "\n"


def _targets(place: str, text: str) -> Iterator[str]:
    """The files, seen from the top of the repository, that a page links to."""
    origin = posixpath.dirname(PAGES.get(place, f"docs/{place}"))
    for link in _LINK.finditer(_FENCE.sub("", text)):
        if not re.match(r"[a-z]+:|/", link[2]):
            yield posixpath.normpath(posixpath.join(origin, link[2]))


def _moved(link: re.Match[str], place: str) -> str:
    """A link to where its target stands on the site; one that leads nowhere stays, for MkDocs to complain of."""
    made = {source: page for page, source in (PAGES | FILES).items()}
    for target in _targets(place, f"{link[0]})"):
        page = made.get(target) or FOLDERS.get(target) or target.removeprefix("docs/")
        if page == target:
            break
        moved = posixpath.relpath(page, posixpath.dirname(place) or ".")
        # MkDocs leads the links of Markdown to HTML, not those of HTML.
        return link[1] + (re.sub(r"\.md$", ".html", moved) if link[1].endswith('"') else moved)
    return link[0]


def _outside_fences(markdown: str, change: Callable[[str], str]) -> str:
    """A text, changed where it is no block of code."""
    pieces, end = [], 0
    for fence in _FENCE.finditer(markdown):
        pieces += [change(markdown[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*pieces, change(markdown[end:])])
