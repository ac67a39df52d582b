"""The figures of runs inside an HTML page: small ones in rows, each of which fills the window when it is chosen."""

import base64
import dataclasses
import html
import io
import itertools
import re
from pathlib import Path

import PIL.Image

from .course import PARTS
from .runs import Run

ANSWERS = {name: picture for part in PARTS for name, picture in part.pictures.items()}
_WIDEST = 16383  # pixels that a WebP can hold in a row or column


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure, ready to stand in the page.

    Args:
        name: That of its file, without the ending.
        title: What it shows.
        width: In pixels.
        height: In pixels.
        data: The picture itself, as an address.
    """

    name: str
    title: str
    width: int
    height: int
    data: str


def picture_of(path: Path) -> Picture | None:
    """A figure as it stands in the page; None where the file is no picture.

    Plots lose nothing and take a third of their size; photographs lose what nobody sees, and take a fifth.

    Args:
        path: Its file.
    """
    try:
        with PIL.Image.open(path) as image:
            title = str(image.info.get("Title") or words(path.stem))
            photograph = path.stat().st_size > image.width * image.height / 2
            opaque = on_white(image)
        opaque.thumbnail((_WIDEST, _WIDEST))
        file = io.BytesIO()
        opaque.save(file, "WEBP", quality=90 if photograph else 50, lossless=not photograph)
    # Pillow's answer to a PNG that is broken inside is a SyntaxError.
    except (OSError, ValueError, SyntaxError, PIL.Image.DecompressionBombError):
        return None
    data = "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()
    return Picture(path.stem, title, opaque.width, opaque.height, data)


def on_white(image: PIL.Image.Image) -> PIL.Image.Image:
    """An image without transparency, as paper shows it; black text would else stand on black.

    Args:
        image: Of any mode.
    """
    if not image.has_transparency_data:
        return image.convert("RGB")
    return PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")


class Gallery:
    """The figures of all runs, each of which knows the one before and the one behind it.

    Args:
        found: The runs.
        pictures: What their figures look like.
    """

    def __init__(self, found: list[Run], pictures: dict[Path, Picture]) -> None:
        self._shown = {}
        for run in found:
            shown = [pictures[path] for path in run.figures if path in pictures]
            # The one that answers the question comes first.
            self._shown[id(run)] = sorted(shown, key=lambda picture: picture.name != ANSWERS.get(run.lesson))
        self._numbers = itertools.count(1)
        self._total = sum(map(len, self._shown.values()))

    def of(self, run: Run) -> str:
        """The figures of a run, which must be asked for in the page's order.

        Args:
            run: One of the runs.
        """
        items = [self._item(run.lesson, picture) for picture in self._shown[id(run)]]
        return f'<ul class="figures" aria-label="Figures">\n{"".join(items)}</ul>' if items else ""

    def _item(self, lesson: str, picture: Picture) -> str:
        here, links = next(self._numbers), ""
        if here > 1:
            links += f'<a rel="prev" href="#figure{here - 1}">Previous</a> '
        if here < self._total:
            links += f'<a rel="next" href="#figure{here + 1}">Next</a> '
        large = " class='answer'" if picture.name == ANSWERS.get(lesson) else ""
        return (
            f'<li id="place{here}"{large} style="--ratio:{picture.width / picture.height:.3f}">'
            f'<figure id="figure{here}"><a class="open" href="#figure{here}"><img decoding="async" '
            f'width="{picture.width}" height="{picture.height}" alt="{text(picture.title)}" src="{picture.data}"></a>'
            f"<figcaption><span>{text(lesson)}: {text(words(picture.name))}</span>"
            f'<span class="steps">{links}<a class="close" href="#place{here}">Close</a></span></figcaption>'
            f"</figure></li>\n"
        )


def text(value: object) -> str:
    """What a page shows of something that others named: its letters, whatever they are.

    Args:
        value: A text, or what becomes one.

    Example:
        >>> text('<script>"')
        '&lt;script&gt;&quot;'
    """
    return html.escape(str(value))


def words(name: str) -> str:
    """A name as one reads it.

    Args:
        name: Words with underscores in between; one between digits is a part of the word.

    Example:
        >>> words("squeezenet1_1_accuracy")
        'squeezenet1_1 accuracy'
    """
    return re.sub(r"(?<!\d)_|_(?!\d)", " ", name)
