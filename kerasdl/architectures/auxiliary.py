"""The side heads of GoogLeNet, and a data set with labels for all heads."""

from typing import Any

import keras
import tensorflow as tf

HEADS = ("predictions", "auxiliary1", "auxiliary2")


def auxiliary_head(x: keras.KerasTensor, classes: int, *, name: str) -> keras.KerasTensor:
    """A classifier in the middle of the network: average pooling, 1x1 convolution, two dense layers.

    Args:
        x: The maps, at least 5x5.
        classes: Number of classes.
        name: Name of the softmax, and the beginning of the other layers' names.
    """
    x = keras.layers.AveragePooling2D(5, 3, name=f"{name}_average")(x)
    x = keras.layers.Conv2D(128, 1, activation="relu", kernel_initializer="he_normal", name=f"{name}_1x1")(x)
    x = keras.layers.Flatten(name=f"{name}_flatten")(x)
    x = keras.layers.Dense(1024, activation="relu", kernel_initializer="he_normal", name=f"{name}_dense")(x)
    x = keras.layers.Dropout(0.7, name=f"{name}_dropout")(x)
    x = keras.layers.Dense(classes, name=f"{name}_logits", dtype="float32")(x)
    return keras.layers.Activation("softmax", name=name, dtype="float32")(x)


def with_auxiliary_labels(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same labels for all three heads of `googlenet(auxiliary_heads=True)`.

    Keras wants a label for each output, and a sample weight where there are weights: `(x, y)` becomes
    `(x, {"predictions": y, "auxiliary1": y, "auxiliary2": y})`, and `(x, y, sample_weight)` likewise.

    Args:
        dataset: Batches or single examples `(x, y)` or `(x, y, sample_weight)`.

    Returns:
        The data set for `model.fit` and `training.fit`. The paper counts the side heads' losses with weight 0.3.

    Example:
        >>> data = tf.data.Dataset.from_tensors((np.zeros((2, 65, 65, 3)), np.array([3, 1])))
        >>> _, labels = next(iter(with_auxiliary_labels(data)))
        >>> {head: of_head.numpy().tolist() for head, of_head in labels.items()}
        {'predictions': [3, 1], 'auxiliary1': [3, 1], 'auxiliary2': [3, 1]}

    Reference:
        [Szegedy et al., 2014](https://arxiv.org/abs/1409.4842), section 5
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise TypeError(f"`dataset` must be a tf.data.Dataset of (x, y). Received: {type(dataset).__name__}.")
    parts = dataset.element_spec
    if not isinstance(parts, tuple) or len(parts) not in (2, 3):
        raise ValueError(f"`dataset` must give (x, y) or (x, y, sample_weight). Received: {parts}.")
    if isinstance(parts[1], dict):
        raise ValueError(f"`dataset` must give one label per image. Received: labels for {sorted(parts[1])}.")

    def repeat(x: Any, *rest: Any) -> tuple[Any, ...]:
        return (x, *(dict.fromkeys(HEADS, part) for part in rest))

    return dataset.map(repeat, num_parallel_calls=1, deterministic=True)
