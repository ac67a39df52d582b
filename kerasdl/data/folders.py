"""One's own images, a folder for each class, as a TFDS data set."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image, ImageOps

_ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
# Pictures as well, from the web, telephones, scanners and cameras: who has some must learn that they are not read.
_OTHER_ENDINGS = (
    *(".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jfif", ".jp2", ".jpe", ".jxl", ".nef", ".psd"),
    *(".svg", ".tif", ".tiff", ".webp"),
)
_LAYOUT = "Images are looked for as path/<class>/*.jpg or path/<split>/<class>/*.jpg (or .jpeg, .png, .gif, .bmp)."


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _image_files(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.suffix.lower() in _ENDINGS and not path.name.startswith(".")
    )


def _check_header(path: Path) -> None:
    try:
        with Image.open(path):
            pass
    except (OSError, ValueError) as error:
        raise ValueError(f"The image {path} cannot be read: {error}. Mend it or remove it.") from None


def find_images(folder: Path) -> dict[str, dict[str, list[Path]]]:
    """Finds the images of each class of each split.

    Args:
        folder: A folder of class folders, or of split folders that have them.

    Returns:
        Sorted files by the names of splits and classes; the split is `"train"` where the folders name none.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"`path` must be a folder. {_LAYOUT} Received: {folder}.")
    below = {path: _subfolders(path) for path in _subfolders(folder)}
    if any(below.values()) and not any(_image_files(path) for path in below):
        splits = {path.name: (path, classes) for path, classes in below.items()}
        for name in splits:
            # What TFDS cannot tell from its own words.
            if name == "all" or not re.fullmatch(r"\w+", name):
                raise ValueError(
                    'A split\'s folder must have a name of letters, digits and "_" that is not "all". '
                    f"Received: {folder / name}."
                )
    else:
        splits = {"train": (folder, list(below))}
        for path, inner in below.items():
            if _image_files(path) and any(_image_files(sub) for sub in inner):
                raise ValueError(
                    f"A folder must hold images or folders of images, not both. {_LAYOUT} Received: {path}."
                )
    found: dict[str, dict[str, list[Path]]] = {}
    for split, (parent, classes) in splits.items():
        if not classes:
            raise ValueError(f"There must be class folders. {_LAYOUT} Received: none in {parent}.")
        found[split] = {path.name: _image_files(path) for path in classes}
        for path in classes:
            if not found[split][path.name]:
                raise ValueError(f"Every class needs images. {_LAYOUT} Received: none in {path}.")
            for file in found[split][path.name]:
                _check_header(file)
    return found


def find_left_out(folder: Path) -> tuple[str, ...]:
    """Finds the pictures that are not read because of their kind.

    Args:
        folder: As in `find_images`.

    Returns:
        Sorted names from the folder on.
    """
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.suffix.lower() in _OTHER_ENDINGS)
    return tuple(sorted(str(file) for file in files if not any(part.startswith(".") for part in file.parts)))


def say_left_out(files: Sequence[str]) -> str:
    """Says which pictures are not read, and which would be.

    Args:
        files: What `find_left_out` found.

    Example:
        >>> say_left_out(["cat/1.webp"])
        '1 picture, cat/1.webp; what is read is .bmp, .gif, .jpeg, .jpg and .png'
    """
    count = f"{len(files)} picture{'' if len(files) == 1 else 's'}"
    names = ", ".join([*files[:3], *(["..."] if len(files) > 3 else [])])
    return f"{count}, {names}; what is read is {', '.join(_ENDINGS[:-1])} and {_ENDINGS[-1]}"


def mix(classes: dict[str, list[Path]]) -> list[tuple[Path, str]]:
    """Puts images in an order that spreads every class evenly, so that each part of it is a fair sample.

    Args:
        classes: Files by class.

    Returns:
        All pairs of file and class, in the same order whenever the files are the same.
    """
    rng = np.random.default_rng(0)
    placed = []
    for label, files in classes.items():
        # As many equal stretches as there are images, and one of them at a random place in each.
        places = (np.arange(len(files)) + rng.random(len(files))) / len(files)
        placed += [
            (place, files[index], label) for place, index in zip(places, rng.permutation(len(files)), strict=True)
        ]
    return [(file, label) for _, file, label in sorted(placed)]


def read_image(file: str | os.PathLike) -> np.ndarray:
    """Reads a picture of any kind, the right way up, as RGB.

    Args:
        file: The picture.

    Returns:
        Shades `(height, width, 3)`, uint8. An animation gives its first picture.
    """
    try:
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
            if upright.mode.startswith("I;16"):
                # Pillow would cut 16 bits off at 255 instead of scaling them.
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            return np.asarray(upright.convert("RGB"))
    except (OSError, ValueError) as error:
        raise ValueError(f"The image {os.fspath(file)} cannot be read: {error}. Mend it or remove it.") from None


class KerasdlImageFolder(tfds.core.DatasetBuilder):
    """Reads images from the folders of their classes, without copying them.

    `tfds.ImageFolder` does the same, but refuses parts of splits, folders without splits, GIF and BMP.

    Args:
        path: The folder of class folders, or of split folders that have them.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, path: str | os.PathLike):
        self._folder = Path(path).expanduser()
        found = find_images(self._folder)
        self.left_out = find_left_out(self._folder)
        self._names = sorted({label for classes in found.values() for label in classes})
        self._examples = {split: mix(classes) for split, classes in found.items()}
        super().__init__(data_dir=self._folder)
        splits = [
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[len(examples)],
                num_bytes=sum(file.stat().st_size for file, _ in examples),
            )
            for split, examples in self._examples.items()
        ]
        self.info.set_splits(tfds.core.SplitDict(splits))

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"The images in {self._folder}, a folder for each class.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=self._names),
                }
            ),
            supervised_keys=("image", "label"),
        )

    @property
    def data_path(self) -> Path:
        """The folder itself, because nothing is prepared."""
        return self._folder

    def _download_and_prepare(self, **kwargs: Any) -> NoReturn:
        raise NotImplementedError("A folder of images is read as it is: there is nothing to prepare.")

    def _as_dataset(self, split: Any, **kwargs: Any) -> tf.data.Dataset:
        # Decoders and reading options are for record files: here every feature is read in the one way there is.
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(self.info.splits)
        examples = [example for part in parts for example in self._examples[part.splitname][part.from_ : part.to]]
        files = [str(file) for file, _ in examples]
        labels = np.array([self._names.index(label) for _, label in examples], "int64")

        def read(file: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
            image = tf.numpy_function(lambda name: read_image(name.decode()), [file], tf.uint8, stateful=False)
            return {"image": tf.ensure_shape(image, (None, None, 3)), "label": label}

        dataset = tf.data.Dataset.from_tensor_slices((files, labels))
        return dataset.map(read, num_parallel_calls=tf.data.AUTOTUNE)
