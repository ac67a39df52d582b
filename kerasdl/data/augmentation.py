"""Random changes to batches of training images, made by Keras' own preprocessing layers."""

from collections.abc import Callable

import keras
import tensorflow as tf

# In the order in which they are applied: a name such as "flip_crop_mixup" joins some of them by underscores.
PARTS = ("flip", "crop", "color", "rand_augment", "mixup", "cutmix")

Augment = str | Callable[[tf.Tensor], tf.Tensor]


def _split_name(name: str) -> list[str]:
    parts = [part for part in PARTS if part in name]
    if not parts or "_".join(parts) != name:
        raise ValueError(
            f"`augment` must be a keras layer, a callable on images, or a name: one or several of {', '.join(PARTS)}, "
            f'joined in this order as in "flip_crop_mixup". Received: augment={name!r}.'
        )
    return parts


def check_augment(augment: Augment | None) -> None:
    """Refuses what is no augmentation at all, before any data are looked for."""
    if isinstance(augment, str):
        _split_name(augment)
    elif augment is not None and (not callable(augment) or isinstance(augment, type)):
        raise TypeError(
            "`augment` must be a name, a keras layer or a callable on images. "
            f"Received: augment={augment!r} of type {type(augment).__name__}."
        )


def _make_layer(part: str, seed: int) -> keras.layers.Layer:
    if part == "flip":
        return keras.layers.RandomFlip("horizontal", seed=seed)
    if part == "crop":
        # The crop of a zero-padded image, by whole pixels up to 1/8 of the side (4 of 32, as for CIFAR).
        # keras.layers.RandomCrop would crop every image of a batch at the same place.
        return keras.layers.RandomTranslation(1 / 8, 1 / 8, fill_mode="constant", interpolation="nearest", seed=seed)
    if part == "color":
        return keras.layers.RandomColorJitter(
            value_range=(0, 1),
            brightness_factor=0.2,
            contrast_factor=0.2,
            # 0.5 leaves the saturation as it is.
            saturation_factor=(0.4, 0.6),
            hue_factor=0.05,
            seed=seed,
        )
    if part == "rand_augment":
        return keras.layers.RandAugment(value_range=(0, 1), seed=seed)
    if part == "mixup":
        return keras.layers.MixUp(alpha=0.2, seed=seed)
    return keras.layers.CutMix(seed=seed)


def make_augmentation(
    augment: Augment, seed: int, images: tf.TensorSpec, classes: int | None
) -> Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Makes the function that changes a batch of images, and for mixtures of images its labels.

    Args:
        augment: A name made of `PARTS`, a keras layer or a callable on images.
        seed: Where chance starts.
        images: What the batches look like, or single images where there are no batches.
        classes: The number of classes if there is one label for each image, else None.

    Returns:
        A function of (images, labels), both in batches. `mixup` and `cutmix` turn labels into one-hot float32.
    """
    if not isinstance(augment, str):
        options = {"training": True} if isinstance(augment, keras.layers.Layer) else {}
        return lambda x, y: (augment(x, **options), y)
    parts = _split_name(augment)
    single, channels = images.shape.rank == 3, images.shape[-1]
    if None in images.shape[-3:]:
        raise ValueError(f"augment={augment!r} needs images of one size: give `image_size` too.")
    if "color" in parts and channels != 3:
        raise ValueError(f"augment={augment!r} needs images of 3 channels. Received: images of {channels}.")
    mixes = "mixup" in parts or "cutmix" in parts
    if mixes and single:
        raise ValueError(f"augment={augment!r} mixes the images of a batch: give `batch_size` too.")
    if mixes and classes is None:
        raise ValueError(f"augment={augment!r} mixes labels and needs a data set with one class label for each image.")
    # Each with a seed of its own, or the flips would tell the crops.
    layers = [(part, _make_layer(part, seed + index)) for index, part in enumerate(parts)]

    def apply(x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if mixes:
            y = tf.one_hot(y, classes)
        for part, layer in layers:
            if part in ("mixup", "cutmix"):
                mixed = layer({"images": x, "labels": y}, training=True)
                x, y = mixed["images"], mixed["labels"]
            else:
                x = layer(x, training=True)
        return x, y

    return apply
