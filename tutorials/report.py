"""Writes one HTML page of all runs found: what was asked, measured and expected, the figures, and the commands.

Everything is inside the one file, the figures too, for it must also open where nothing lies beside it: on a phone that
received it by mail.
"""

import concurrent.futures
import os
import shlex
from collections.abc import Callable
from pathlib import Path

from . import report_page, runs
from .gallery import Picture, picture_of


def write(folder: Path, out: Path, ready: Callable[[int, int], object]) -> tuple[Path, list[str]]:
    """Writes the page.

    Args:
        folder: Where the runs are looked for, at whatever depth.
        out: The page becomes `out/index.html`.
        ready: Is told how many figures are ready, of how many.

    Returns:
        The page's path, and a sentence for each thing that was left out.
    """
    found, left_out = runs.find(folder)
    if not found:
        raise ValueError(
            f"There must be a run of a lesson in the folder. Received: {folder}, where there is none. "
            f"Make some by `python -m {__package__} run --quick --out {shlex.quote(str(folder))}`."
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"`out` must be a folder one may write to. Received: out={out} ({error.strerror}).") from error
    figures = [figure for run in found for figure in run.figures]
    pictures: dict[Path, Picture] = {}
    # Pillow encodes without Python's lock: threads are enough to use all cores.
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        for count, (figure, picture) in enumerate(zip(figures, pool.map(picture_of, figures), strict=True), 1):
            if picture is None:
                left_out.append(f"{figure}: it cannot be read.")
            else:
                pictures[figure] = picture
            ready(count, len(figures))
    finally:
        # Who presses Ctrl-C does not wait for figures that nobody will see.
        pool.shutdown(cancel_futures=True)
    path = out / "index.html"
    # Names of files may hold bytes that are no text.
    path.write_bytes(report_page.page(folder, found, pictures).encode("utf-8", errors="replace"))
    return path, left_out
