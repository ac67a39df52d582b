"""What the layers of a model give for images: features, to be looked at or compared."""

from typing import Any, overload

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.probing import Tap, compiled, forward, in_batches, layer_path
from kerasdl.visualization.targets import check_images


@overload
def activations(model: keras.Model, images: Any, layers: str, *, batch_size: int = 32) -> np.ndarray: ...
@overload
def activations(
    model: keras.Model, images: Any, layers: list[str] | tuple[str, ...], *, batch_size: int = 32
) -> dict[str, np.ndarray]: ...
def activations(
    model: keras.Model, images: Any, layers: str | list[str] | tuple[str, ...], *, batch_size: int = 32
) -> np.ndarray | dict[str, np.ndarray]:
    """What layers give for each image: one array for one name, a dictionary of arrays for a list of names.

    Args:
        model: Any Keras model; it is left as it is.
        images: `(N, height, width, channels)`, in the range the model was trained on.
        layers: Name of a layer, also inside a nested model, or several. All of several come from one run of the model.
        batch_size: Images at once.

    Returns:
        `(N, ...)` float32, raw: `(N, height, width, channels)` where a layer gives maps. A dictionary has the names as
        they were given.

    Example:
        >>> layers = [keras.layers.Conv2D(4, 3, name="maps"), keras.layers.Flatten(), keras.layers.Dense(2, name="end")]
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), *layers])
        >>> {name: values.shape for name, values in activations(model, np.ones((5, 8, 8, 3)), ["maps", "end"]).items()}
        {'maps': (5, 6, 6, 4), 'end': (5, 2)}

    Reference:
        [Yosinski et al., 2015](https://arxiv.org/abs/1506.06579), section 2
    """
    images = check_images(model, images)
    names = [layers] if isinstance(layers, str) else list(layers)
    if not names:
        raise ValueError("`layers` must name at least one layer. Received none.")
    paths = tuple(layer_path(model, images.shape[1:], name) for name in names)
    parts = in_batches(compiled(model, layer_values, layers=paths), batch_size, images)
    return parts[0] if isinstance(layers, str) else dict(zip(names, parts, strict=True))


def layer_values(model: keras.Model, images: tf.Tensor, *, layers: tuple[str, ...]) -> list[tf.Tensor]:
    """What the layers give, as float32 tensors; for `compiled`.

    Args:
        model: Any Keras model.
        images: A batch.
        layers: Paths of layers.
    """
    seen: dict[str, tf.Tensor] = {}

    def note(path: str) -> Tap:
        def tap(y: tf.Tensor) -> tf.Tensor:
            seen[path] = tf.cast(y, "float32")
            return y

        return tap

    forward(model, images, taps={path: note(path) for path in layers})
    return [seen[path] for path in layers]
