"""The picture strip of README.md, cut out of figures that lessons have left: `python docs/strip.py RUNS`.

RUNS is what `python -m tutorials run` has written; what needs a larger network than the one that ships comes from
docs/gallery. A figure whose layout has changed is refused: look at it, and write its new boxes down.
"""

import argparse
import dataclasses
import math
import textwrap
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

DOCS = Path(__file__).resolve().parent
Box = tuple[int, int, int, int]


@dataclasses.dataclass(frozen=True)
class Tile:
    """One tile of the strip.

    Args:
        caption: What stands below it.
        figure: The picture's path, in the folder of the runs or in docs.
        size: The figure's width and height.
        boxes: The parts of it that are shown side by side: left, upper, right, lower, in pixels.
    """

    caption: str
    figure: str
    size: tuple[int, int]
    boxes: tuple[Box, ...]


TILES = (
    Tile(
        "Why a rocket is taken for a drilling platform",
        "gallery/rocket_drilling_platform.jpg",
        (1080, 660),
        ((20, 97, 519, 596), (560, 97, 1059, 596)),
    ),
    Tile(
        "A cat, and what the network calls an ostrich",
        "fooling/figures/photograph.png",
        (720, 333),
        ((13, 95, 227, 309), (491, 95, 705, 309)),
    ),
    Tile(
        "The loss with shortcuts, and without",
        "loss_landscape/figures/surfaces.png",
        (1536, 768),
        ((40, 145, 730, 765), (725, 145, 1400, 765)),
    ),
    Tile(
        "Which English words each French word looks at",
        "translation/figures/attention.png",
        (733, 561),
        ((60, 60, 600, 558),),
    ),
    Tile(
        "Saying “star”, the network looks at the star",
        "captions/figures/looks.png",
        (1404, 1058),
        ((14, 772, 220, 978), (484, 772, 690, 978)),
    ),
    Tile(
        "A cat, painted with the strokes of a cup of coffee",
        "gallery/style_transfer.png",
        (720, 333),
        ((253, 95, 467, 309), (493, 95, 707, 309)),
    ),
)
TEXT = "#1f2328"


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the tiles are laid out; lengths in pixels, twice as many as the page shows, for sharp screens.

    Args:
        file: Where the strip goes, in docs/pictures.
        columns: Tiles in a row.
        width: A tile's width; its picture is half as high.
        gap: Between tiles.
        font: Size of the captions.
        letters: Of a caption's line.
        lines: Of a caption.
    """

    file: str
    columns: int
    width: int
    gap: int
    font: int
    letters: int
    lines: int


LAYOUTS = (Layout("strip.webp", 3, 584, 24, 23, 60, 1), Layout("strip_phone.webp", 2, 368, 24, 23, 28, 2))


def draw(tile: Tile, runs: Path, layout: Layout) -> Image.Image:
    """One tile: its parts side by side, as large as fits, and the caption below.

    Args:
        tile: What to draw.
        runs: The folder of the runs.
        layout: How large.
    """
    path = (DOCS if tile.figure.startswith("gallery/") else runs) / tile.figure
    figure = Image.open(path).convert("RGB")
    if figure.size != tile.size:
        raise ValueError(f"{path} must have {tile.size} pixels, for which its boxes are. Received: {figure.size}.")
    gap, high = layout.gap // 2, layout.width // 2
    ratios = [(right - left) / (lower - upper) for left, upper, right, lower in tile.boxes]
    room = layout.width - gap * (len(ratios) - 1)
    height = min(high, int(room / sum(ratios)))
    caption = round(layout.font * (1.3 * layout.lines + 0.7))
    picture = Image.new("RGB", (layout.width, high + caption), "white")
    place = (room - height * sum(ratios)) / 2
    for box, ratio in zip(tile.boxes, ratios, strict=True):
        part = figure.crop(box).resize((round(ratio * height), height), Image.Resampling.LANCZOS)
        picture.paste(part, (round(place), (high - height) // 2))
        place += ratio * height + gap
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", layout.font)
    text = "\n".join(textwrap.wrap(tile.caption, layout.letters))
    middle = (layout.width / 2, high + layout.font / 2)
    ImageDraw.Draw(picture).multiline_text(middle, text, TEXT, font, anchor="ma", align="center")
    return picture


def main() -> None:
    """Writes docs/pictures/strip.webp, and one for phones beside it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="the folder of the runs")
    runs = parser.parse_args().runs
    for layout in LAYOUTS:
        tiles = [draw(tile, runs, layout) for tile in TILES]
        width, height = (side + layout.gap for side in tiles[0].size)
        rows = math.ceil(len(tiles) / layout.columns)
        strip = Image.new("RGB", (layout.columns * width - layout.gap, rows * height - layout.gap), "white")
        for number, tile in enumerate(tiles):
            row, column = divmod(number, layout.columns)
            strip.paste(tile, (column * width, row * height))
        strip.save(DOCS / "pictures" / layout.file, quality=80, method=6)


if __name__ == "__main__":
    main()
