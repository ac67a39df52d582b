"""From a TFDS builder to the batches that a network trains on."""

import math
import re
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from kerasdl.data import quiet
from kerasdl.data.augmentation import Augment, make_augmentation

# Decoded examples stay in memory up to this size; larger data sets are read from the disk in every epoch.
_LARGEST_CACHE = 2 << 30
# Up to this size the memory is filled before the first batch, which takes seconds at most. TensorFlow throws a cache
# away, with a warning, when somebody looks only at the first batches of the first epoch.
_LARGEST_FILLED_CACHE = 256 << 20
# How many examples wait to be drawn from, where not all of them fit in memory.
_STREAMED_SHUFFLE = 4096
# Compressed pictures grow about so much when decoded; only used where their sizes are not known.
_COMPRESSION = 10


def is_mask(name: str, feature: tfds.features.FeatureConnector) -> bool:
    """Whether a feature's pixels are classes, and not shades."""
    return isinstance(feature, tfds.features.LabeledImage) or (
        isinstance(feature, tfds.features.Image) and "mask" in name
    )


def is_picture(name: str, feature: tfds.features.FeatureConnector) -> bool:
    """Whether a feature is an image or a clip of shades."""
    return isinstance(feature, tfds.features.Image | tfds.features.Video) and not is_mask(name, feature)


def _resize(features: tfds.features.FeaturesDict, size: tuple[int, int], example: dict[str, Any]) -> dict[str, Any]:
    resized = dict(example)
    for name, value in example.items():
        if is_mask(name, features[name]):
            resized[name] = tf.image.resize(value, size, method="nearest")
        elif is_picture(name, features[name]):
            # Back to the stored type: a quarter of the memory of float32.
            shades = tf.image.resize(value, size, method="bilinear", antialias=True)
            resized[name] = tf.saturate_cast(tf.round(shades) if value.dtype.is_integer else shades, value.dtype)
    return resized


def _decoded_bytes(spec: dict[str, Any], count: int, info: tfds.core.DatasetInfo) -> int:
    leaves = tf.nest.flatten(spec)
    if all(
        isinstance(leaf, tf.TensorSpec) and leaf.shape.is_fully_defined() and leaf.dtype != tf.string for leaf in leaves
    ):
        return count * sum(math.prod(leaf.shape) * leaf.dtype.size for leaf in leaves)
    total = sum(split.num_examples for split in info.splits.values())
    return _COMPRESSION * info.dataset_size * count // max(total, 1)


def make_dataset(
    builder: tfds.core.DatasetBuilder,
    keys: Any,
    count: int,
    *,
    split: str,
    batch_size: int | None,
    image_size: tuple[int, int] | None,
    shuffle: bool,
    seed: int,
    augment: Augment | None,
) -> tf.data.Dataset:
    """Reads, resizes, caches, shuffles, batches, scales, augments and prefetches.

    Args:
        builder: A data set that is prepared.
        keys: The names of the wanted features in the structure in which they shall be given, as `("image", "label")`.
        count: The number of examples in the split.
        split: What to read, in TFDS's own words.
        batch_size: Examples in a batch, or None for single ones.
        image_size: Height and width of all images, or None to leave them as they are.
        shuffle: Whether every epoch has another order.
        seed: Where chance starts.
        augment: What is done to the images, or None.

    Returns:
        A data set of known length.
    """
    features = builder.info.features
    names = tf.nest.flatten(keys)
    # Only plain dictionaries can be decoded in part: not tfds.features.Translation, which is one of two languages.
    plain = type(features) is tfds.features.FeaturesDict
    with quiet.without_notes():
        examples = builder.as_dataset(
            split=split,
            decoders=tfds.decode.PartialDecoding(dict.fromkeys(names, True)) if plain else None,
            read_config=tfds.ReadConfig(try_autocache=False),
        )
    examples = examples.map(lambda example: {name: example[name] for name in names})
    if image_size is not None:
        examples = examples.map(
            lambda example: _resize(features, image_size, example), num_parallel_calls=tf.data.AUTOTUNE
        )
    examples = examples.apply(tf.data.experimental.assert_cardinality(count))
    size = _decoded_bytes(examples.element_spec, count, builder.info)
    if size <= _LARGEST_CACHE:
        examples = examples.cache()
    cached = examples
    if shuffle:
        examples = examples.shuffle(count if size <= _LARGEST_CACHE else min(count, _STREAMED_SHUFFLE), seed=seed)
    if batch_size is not None:
        shapes = [leaf.shape for leaf in tf.nest.flatten(examples.element_spec)]
        if all(shape.is_fully_defined() for shape in shapes):
            examples = examples.batch(batch_size)
        else:
            # Strings with "", everything else with 0.
            examples = examples.padded_batch(batch_size)

    def finish(example: dict[str, Any]) -> Any:
        # After batching, because one call for a whole batch costs hardly more than one for an image.
        scaled = {
            name: tf.image.convert_image_dtype(value, tf.float32) if is_picture(name, features[name]) else value
            for name, value in example.items()
        }
        return tf.nest.map_structure(scaled.__getitem__, keys)

    dataset = examples.map(finish, num_parallel_calls=tf.data.AUTOTUNE)
    if augment is not None:
        label = features[names[1]]
        classes = label.num_classes if isinstance(label, tfds.features.ClassLabel) else None
        change = make_augmentation(augment, seed, dataset.element_spec[0], classes)
        # One batch after another, or chance would depend on which thread comes first.
        dataset = dataset.map(change)
    if size <= min(_LARGEST_CACHE, _LARGEST_FILLED_CACHE):
        # Last, when nothing can be refused any more.
        try:
            cached.reduce(np.int64(0), lambda seen, _: seen + 1)
        except tf.errors.InvalidArgumentError as error:
            # Our own reader of images says what is wrong, in the middle of what TensorFlow makes of it.
            told = re.search(r"The image .* cannot be read: .*", str(error))
            if told is None:
                raise
            raise ValueError(told[0]) from None
    return dataset.prefetch(tf.data.AUTOTUNE)
