"""The reference: which names stand on its pages, the tables above them, and what a name in a text links to."""

import re
import shutil
from collections import Counter
from pathlib import Path

import griffe

ROOT = Path(__file__).resolve().parents[1]
# Methods of models, callbacks and files are called so too: alone these words mean ours only on our own page.
_METHODS = {"find", "fit", "info", "load", "run", "save", "write"}
# On the page, the docstring of the package alone.
_WORDS_OF_PACKAGE = "members: false, show_root_heading: false, show_root_toc_entry: false, show_source: false"


class Docstrings(griffe.Extension):
    """Lets Griffe read docstrings as they are written here: an `Example:` is what it calls `Examples:`."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        """Is called with every object that was read."""
        if obj.docstring:
            obj.docstring.value = re.sub(r"^(\s*)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)


def lay_out(folder: Path) -> None:
    """Copies the sources to where they stand once installed: `callbacks` and `tutorials` inside of `kerasdl`.

    Args:
        folder: An empty folder.
    """
    not_python = shutil.ignore_patterns("__pycache__", "weights", "prepared")
    for part, place in (("kerasdl", "kerasdl"), ("callbacks", "kerasdl/callbacks"), ("tutorials", "kerasdl/tutorials")):
        shutil.copytree(ROOT / part, folder / place, ignore=not_python)


def documented(text: str) -> list[tuple[str, str]]:
    """The names that a page documents, each behind the heading that it stands under.

    Args:
        text: The page.
    """
    heading, found = "", []
    for line in text.splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("::: "):
            found.append((heading, line.removeprefix("::: ").strip()))
    return found


def pages() -> dict[str, str]:
    """The text of each page in `docs/api`, by its place on the site."""
    return {f"api/{path.name}": path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs/api").glob("*.md"))}


class Reference:
    """All that is documented.

    Args:
        folder: Where the sources were laid out.
    """

    def __init__(self, folder: Path) -> None:
        extensions = griffe.load_extensions(Docstrings)
        # Not the folder `kerasdl` of where one stands, which lacks two parts.
        options = {"search_paths": [str(folder)], "try_relative_path": False}
        self._package = griffe.load("kerasdl", extensions=extensions, **options)
        self._names = {place: [name for _, name in documented(text)] for place, text in pages().items()}

    def _object(self, name: str) -> griffe.Object:
        found = self._package[name.removeprefix("kerasdl.")]
        return found.final_target if isinstance(found, griffe.Alias) else found

    def first_line(self, name: str) -> str:
        """What the first line of a docstring says.

        Args:
            name: With all that stands before it, as "kerasdl.training.fit".
        """
        docstring = self._object(name).docstring
        if docstring is None:
            raise ValueError(f"What stands in the reference must have a docstring. Received: {name}.")
        return docstring.value.split("\n")[0]

    def parameters(self, name: str) -> set[str]:
        """The names of a function's or a class' arguments."""
        found = self._object(name)
        return {each.name for each in found.parameters} if isinstance(found, griffe.Function | griffe.Class) else set()

    def index(self) -> str:
        """The page of all packages and, in the order of the alphabet, all names."""
        rows, letters = [], {}
        for place, text in sorted(pages().items(), key=lambda item: _title(item[1])):
            package = _title(text)
            count = f"{len(self._names[place])} names"
            rows.append(f"| [`{package}`]({Path(place).name}) | {_cell(self.first_line(package))} ({count}) |")
            for name in self._names[place]:
                short = name.rpartition(".")[2]
                letters.setdefault(short[0].upper(), []).append((short.lower(), f"[`{short}`][{name}]"))
        links = [", ".join(link for _, link in sorted(letters[letter])) for letter in sorted(letters)]
        return "\n\n".join(["# Reference", _table(["| | |", "|---|---|", *rows]), "## All names", *links, ""])

    def with_index(self, place: str, text: str) -> str:
        """A page, begun with what the package says of itself and a table of the names in it.

        Args:
            place: Where the page stands on the site.
            text: The page as it stands in `docs/api`.
        """
        package, last = _title(text), ""
        rows: list[str] = []
        for heading, name in documented(text):
            if heading != last:
                rows += ["", f"**{heading}**", ""]
            if heading != last or not rows:
                rows += ["| | |", "|---|---|"]
            rows.append(f"| [`{name.removeprefix(f'{package}.')}`][{name}] | {_cell(self.first_line(name))} |")
            last = heading
        head, _, rest = text.partition("\n")
        return f"{head}\n\n::: {package}\n    options: {{{_WORDS_OF_PACKAGE}}}\n\n{_table(rows)}\n\n{rest}"

    def names(self, place: str) -> dict[str, str]:
        """What may stand in a text of a page and means a documented name, with that name in full.

        `training.fit` means the same everywhere. `fit` does where nothing else is called so, no argument either; on
        its package's own page only that package's arguments count.

        Args:
            place: Where the page stands on the site.
        """
        everything = [name for names in self._names.values() for name in names]
        short = Counter(name.rpartition(".")[2] for name in everything)
        others = _METHODS | {argument for name in everything for argument in self.parameters(name)}
        own = self._names.get(place, [])
        own_arguments = {argument for name in own for argument in self.parameters(name)}
        meant = {}
        for name in everything:
            parts = name.split(".")
            meant |= {".".join(parts[start:]): name for start in range(len(parts) - 1)}
            if short[parts[-1]] == 1 and parts[-1] not in others:
                meant[parts[-1]] = name
        return meant | {
            short_name: name for name in own if (short_name := name.rpartition(".")[2]) not in own_arguments
        }


def _table(rows: list[str]) -> str:
    """Tables of names, as the site's style knows them."""
    return "\n".join(['<div class="names" markdown>', "", *rows, "", "</div>"])


def _cell(text: str) -> str:
    """A text in a table, where a bar ends a cell; within backticks it does not."""
    parts = text.split("`")
    parts[::2] = [part.replace("|", "\\|") for part in parts[::2]]
    return "`".join(parts)


def _title(text: str) -> str:
    return text.split("\n", 1)[0].removeprefix("# ").strip()
