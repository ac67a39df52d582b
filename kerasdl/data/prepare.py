"""Prepares the real data sets that ship inside, for maintainers: `python -m kerasdl.data.prepare SOURCE [NAMES]`.

SOURCE is a folder of upstream files: `tfds/fashion_mnist/3.0.1` (all of Fashion-MNIST as TFDS prepares it),
`photos_free/*.jpg` (scikit-image's samples), and `text/` (`en_ewt-ud-*.conllu.gz`, `fra-eng.zip`,
`SMSSpamCollection.gz`, `tiny_shakespeare.txt.gz`). The same files give the same bytes. Beside each prepared data set
stands its LICENSE.txt, written by hand.
"""

import functools
from pathlib import Path
from typing import Annotated

import typer

from kerasdl.data import catalog, integrity
from kerasdl.data.fashion import KerasdlFashionSample
from kerasdl.data.messages import KerasdlMessages
from kerasdl.data.photos import KerasdlPhotos
from kerasdl.data.plays import KerasdlShakespeare
from kerasdl.data.tags import KerasdlTaggedSentences
from kerasdl.data.translations import KerasdlSentencePairs

BUILDERS = {
    "fashion_sample": KerasdlFashionSample,
    "messages": KerasdlMessages,
    "photos": KerasdlPhotos,
    "sentence_pairs": KerasdlSentencePairs,
    "shakespeare": KerasdlShakespeare,
    "tagged_sentences": KerasdlTaggedSentences,
}


def prepare(source: Path, names: list[str], prepared: Path = catalog.PREPARED) -> list[Path]:
    """Builds data sets from upstream files into a folder, replacing what stands there.

    Args:
        source: The folder of upstream files.
        names: Which data sets, or none for all.
        prepared: Where they shall stand.

    Returns:
        The folders that were written.
    """
    unknown = [name for name in names if name not in BUILDERS]
    if unknown:
        raise ValueError(f"`names` must be of {', '.join(BUILDERS)}. Received: {', '.join(unknown)}.")
    if not source.is_dir():
        raise FileNotFoundError(f"`source` must be a folder of upstream files. Received: {source}.")
    folders = []
    for name in names or BUILDERS:
        make = BUILDERS[name]
        folder = prepared / make.name / str(make.VERSION)
        integrity.build(functools.partial(make, source), folder)
        folders.append(folder)
    return folders


def main(
    source: Annotated[Path, typer.Argument(help="The folder of upstream files.")],
    names: Annotated[list[str] | None, typer.Argument(help=f"Of {', '.join(BUILDERS)}; all if none is named.")] = None,
) -> None:
    """Prepares the data sets that ship inside."""
    for folder in prepare(source, names or []):
        size = sum(path.stat().st_size for path in folder.iterdir())
        typer.echo(f"{folder} {size:,} bytes")


if __name__ == "__main__":
    typer.run(main)
