"""Takes the picture of TensorBoard's pages that the README shows, of the logs of the lesson:

python -m tutorials.tensorboard_tour
python tests/tensorboard_picture.py runs/tensorboard_tour/logs docs/pictures/tensorboard.png
"""

import io
import sys
import time
from pathlib import Path

import PIL.Image
from browser_helpers import Browser, TensorBoard

WIDTH, GAP = 700, 6  # Of one page in the picture, and between two.
# Each page with what says that it is drawn.
PAGES = {
    "scalars&tagFilter=dead_units&_smoothingWeight=0": "return deep('vz-line-chart2').filter(shown).length >= 4",
    "images&tagFilter=grad_cam": "return deep('img').filter(each => shown(each) && each.naturalWidth > 0).length >= 4",
    "histograms&tagFilter=gradients": "return deep('svg path').filter(shown).length > 20",
    "projector": "return texts().some(text => text.startsWith('Total variance described'))",
}
COLOURS_BY_CLASS = "for (const panel of deep('vz-projector-data-panel')) panel.selectedColorOptionName = 'class'"


def main(log_dir: Path, path: Path) -> None:
    """Opens the pages one after the other, and puts them together in one picture.

    Args:
        log_dir: The logs.
        path: The picture's file.
    """
    tiles = []
    with TensorBoard(log_dir) as server, Browser(1150, 880) as browser:
        for page, drawn in PAGES.items():
            browser.open(f"{server.url}#{page}")
            browser.wait_for(drawn, seconds=60)
            browser.run(COLOURS_BY_CLASS)
            time.sleep(4)  # Curves and points still move for a while.
            tile = PIL.Image.open(io.BytesIO(browser.screenshot())).convert("RGB")
            height = round(WIDTH * tile.height / tile.width)
            tiles.append(tile.resize((WIDTH, height), PIL.Image.Resampling.LANCZOS))
    picture = PIL.Image.new("RGB", (2 * WIDTH + GAP, 2 * height + GAP), "white")
    for place, tile in enumerate(tiles):
        picture.paste(tile, (place % 2 * (WIDTH + GAP), place // 2 * (height + GAP)))
    picture.quantize(256, kmeans=4, dither=PIL.Image.Dither.NONE).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
