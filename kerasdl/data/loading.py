"""`load`, `info` and `from_folder`: any data set by its name, and one's own images, always in the same form."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from kerasdl.data import augmentation, catalog, checks, folders, pipeline, summaries
from kerasdl.data.augmentation import Augment


def info(name: str | os.PathLike, *, data_dir: str | os.PathLike | None = None) -> summaries.DatasetSummary:
    """Tells a data set's classes, counts, licence and features without reading, drawing or downloading it.

    Args:
        name: A name as in `load`, or a folder as in `from_folder`; what is both is taken for the name, unless it is a
            `pathlib.Path`.
        data_dir: As in `load`.

    Returns:
        A summary that prints well.

    Example:
        >>> kerasdl.data.info("fashion_sample").counts
        {'train': 6000, 'test': 1000}
    """
    if isinstance(name, os.PathLike) or _is_folder(name, data_dir):
        builder = folders.KerasdlImageFolder(name)
        counts = {split: part.num_examples for split, part in builder.info.splits.items()}
        return summaries.summarize(os.fspath(name), builder.info, counts, builder.left_out)
    return summaries.summarize(name, *catalog.describe_builder(name, data_dir))


def _is_folder(name: str, data_dir: str | os.PathLike | None) -> bool:
    """Whether a string that is no data set's name is a folder's."""
    is_there = isinstance(name, str) and name != "" and Path(name).expanduser().is_dir()
    return is_there and not catalog.is_name(name, data_dir)


def _choose_keys(name: str, info: tfds.core.DatasetInfo, fields: Sequence[str] | None) -> Any:
    """The names of the wanted features in the structure in which they are given."""
    known = ", ".join(map(repr, sorted(info.features)))
    if fields is None:
        if info.supervised_keys is None:
            raise ValueError(f"{name!r} does not say what is x and what is y: choose some of {known} with `fields`.")
        return info.supervised_keys
    if isinstance(fields, str) or not isinstance(fields, Sequence) or not fields:
        raise TypeError(f"`fields` must be a tuple of names, of {known}. Received: fields={fields!r}.")
    for field in fields:
        if field not in info.features:
            raise ValueError(f"`fields` must be names of features of {name!r}, {known}. Received: {field!r}.")
    return {field: field for field in fields}


def _load_builder(
    name: str,
    builder: tfds.core.DatasetBuilder,
    *,
    split: str,
    batch_size: int | None,
    image_size: tuple[int, int] | None,
    shuffle: bool,
    seed: int,
    augment: Augment | None,
    fields: Sequence[str] | None = None,
) -> tf.data.Dataset:
    """Does what `load` promises with a builder that has its data."""
    count = checks.count_examples(split, builder.info)
    keys = _choose_keys(name, builder.info, fields)
    names = tf.nest.flatten(keys)
    features = {key: builder.info.features[key] for key in names}
    pictures = [
        key for key, feature in features.items() if isinstance(feature, tfds.features.Image | tfds.features.Video)
    ]
    if image_size is not None and not pictures:
        raise ValueError(f"`image_size` is for images, and {name!r} gives none. Received: image_size={image_size}.")
    if batch_size is not None and image_size is None:
        for key in pictures:
            if None in features[key].shape[-3:-1]:
                raise ValueError(
                    f"The images of {name!r} may differ in size and cannot be batched as they are: "
                    "give `image_size`, or batch_size=None."
                )
    if augment is not None and fields is not None:
        raise ValueError("`augment` changes images alone, not the masks and boxes of `fields`: give one or the other.")
    if augment is not None and not isinstance(features[names[0]], tfds.features.Image):
        raise ValueError(f"`augment` is for images, and x of {name!r} is no image. Received: augment={augment!r}.")
    return pipeline.make_dataset(
        builder,
        keys,
        count,
        split=split,
        batch_size=batch_size,
        image_size=image_size,
        shuffle=shuffle,
        seed=seed,
        augment=augment,
    )


def load(
    name: str,
    *,
    split: str = "train",
    batch_size: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    shuffle: bool = False,
    seed: int = 0,
    augment: Augment | None = None,
    fields: Sequence[str] | None = None,
    data_dir: str | os.PathLike | None = None,
) -> tf.data.Dataset:
    """Loads a data set as `(x, y)`: images float32 in [0, 1], class labels int64, text as strings.

    Inside ship, and need no network: `fashion_sample`, `shapes/one`, `shapes/pair`, `balloons`, `tagged_sentences`,
    `sentence_pairs`, `messages`, `shakespeare` and `photos`. Any name of TensorFlow Datasets works too, such as `mnist`
    or `cifar10`. Decoded examples stay in memory where they fit.

    Args:
        name: The data set.
        split: What to read: `"train"`, `"train[:80%]"`, `"train[1000:2000]"`, `"train+test"`.
        batch_size: Examples in a batch, or None for single ones. In a batch shorter texts and clips are padded, strings
            with `""` and everything else with 0. A padded label is no data, though 0 is a class too: mask where
            `words != ""`, or where a frame is not all 0, or the loss and the metrics count it.
        image_size: One side or (height, width) in pixels. Drawn data sets are drawn in this size, others resized.
        shuffle: Whether the examples come in another order in every epoch.
        seed: Where the chance of `shuffle` and `augment` starts: the same seed gives the same batches, after the same
            `keras.utils.set_random_seed` if there is one.
        augment: Random changes to the images, for training: one or several of `flip`, `crop`, `color`, `rand_augment`,
            `mixup` and `cutmix`, joined in this order as in `"flip_crop"`; or a keras layer or a callable on images.
            `mixup` and `cutmix` mix the labels too, which become one-hot float32.
        fields: Features by name, as in `info(name).features`, to be given in a dictionary instead of `(x, y)`.
        data_dir: Where drawn and downloaded data sets stand: by default drawn ones in `$XDG_CACHE_HOME/kerasdl` or
            `~/.cache/kerasdl`, downloaded ones in `$TFDS_DATA_DIR` or `~/tensorflow_datasets`.

    Returns:
        A `tf.data.Dataset` of known length, prefetched.

    Example:
        >>> train = kerasdl.data.load("fashion_sample", batch_size=64, shuffle=True, augment="flip_crop")
        >>> parts = kerasdl.data.load("shapes/one", fields=("image", "mask"), batch_size=64)
    """
    catalog.check_name(name, data_dir)
    checks.check_batch_size(batch_size)
    checks.check_seed(seed)
    augmentation.check_augment(augment)
    size = checks.standardize_image_size(image_size)
    drawn = name in catalog.DRAWN and size is not None and size[0] == size[1]
    builder = catalog.open_builder(name, size=size[0] if drawn and size else None, data_dir=data_dir)
    return _load_builder(
        name,
        builder,
        split=split,
        batch_size=batch_size,
        # What is drawn in this size needs no resizing.
        image_size=None if drawn else size,
        shuffle=shuffle,
        seed=seed,
        augment=augment,
        fields=fields,
    )


def from_folder(
    path: str | os.PathLike,
    *,
    split: str = "train",
    batch_size: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    shuffle: bool = False,
    seed: int = 0,
    augment: Augment | None = None,
) -> tf.data.Dataset:
    """Reads one's own images, a folder for each class, as `(image, label)` like `load`.

    Images lie in `path/<class>/` or in `path/<split>/<class>/` and may be JPEG, PNG, GIF (its first picture) or BMP;
    all become RGB; of pictures of other kinds a warning says that they are left out. A label is its class's place in
    the order of the names: `info(path).classes` tells them. Without split folders there is one split, `"train"`. A
    split's order is fixed and spreads the classes evenly, so that `"train[:80%]"` and `"train[80%:]"` are fair to train
    with and to test.

    Args:
        path: The folder.
        split: What to read, as in `load`.
        batch_size: Images in a batch, or None for single ones.
        image_size: One side or (height, width) in pixels; needed for batches.
        shuffle: Whether the images come in another order in every epoch.
        seed: Where the chance of `shuffle` and `augment` starts.
        augment: Random changes to the images, as in `load`.

    Returns:
        A `tf.data.Dataset` of known length, prefetched.

    Example:
        >>> flowers = {"image_size": 64, "batch_size": 32}
        >>> train = from_folder("flowers", split="train[:80%]", shuffle=True, **flowers)  # doctest: +SKIP
        >>> test = from_folder("flowers", split="train[80%:]", **flowers)  # doctest: +SKIP
    """
    checks.check_batch_size(batch_size)
    checks.check_seed(seed)
    augmentation.check_augment(augment)
    builder = folders.KerasdlImageFolder(path)
    if builder.left_out:
        warnings.warn(f"{os.fspath(path)} is read without {folders.say_left_out(builder.left_out)}.", stacklevel=2)
    return _load_builder(
        os.fspath(path),
        builder,
        split=split,
        batch_size=batch_size,
        image_size=checks.standardize_image_size(image_size),
        shuffle=shuffle,
        seed=seed,
        augment=augment,
    )
