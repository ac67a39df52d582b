"""Which pixels a place of a layer can see, measured by the gradient: so it holds for whatever a model is made of."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.probing import all_layers, changed, compiled, execution, forward, layer_path


class ReceptiveField(NamedTuple):
    """Where the places of a layer look: rows from `start[0] + stride[0] * row` on, `size[0]` of them; columns alike.

    Args:
        size: Rows and columns of pixels that one place sees.
        stride: Pixels between what two neighbouring places see.
        start: Row and column where the field of place (0, 0) begins; below zero where it leaves the image.
    """

    size: tuple[int, int]
    stride: tuple[int, int]
    start: tuple[int, int]

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """What the place sees: (top, left, bottom, right), the last two just beyond it; it may leave the image."""
        top, left = (begin + step * at for begin, step, at in zip(self.start, self.stride, (row, column), strict=True))
        return top, left, top + self.size[0], left + self.size[1]


def receptive_field(model: keras.Model, layer: str, image_shape: tuple[int, int, int] | None = None) -> ReceptiveField:
    """The exact receptive field of the places of a layer, also where padding lets it leave the image.

    It is the support of the gradient from a place to the image, with rectifiers taken as the identity, maxima as means
    and random kernels in the place of the model's, so that nothing is missed that happens to be off or zero: the field
    is that of the architecture. A place that sees all of the image, wherever it lies, has the image as its field.

    Args:
        model: Any Keras model; it is left as it is.
        layer: Name of a layer that gives maps, or a vector.
        image_shape: Height, width and channels; None for those the model was made for.

    Example:
        >>> layers = [keras.layers.Conv2D(4, 5, strides=2, padding="same"), keras.layers.Conv2D(4, 3, name="maps")]
        >>> receptive_field(keras.Sequential([keras.Input((32, 32, 3)), *layers]), "maps")
        ReceptiveField(size=(9, 9), stride=(2, 2), start=(-1, -1))

    Reference:
        [Araujo et al., 2019](https://distill.pub/2019/computing-receptive-fields/)
    """
    shape = tuple(image_shape or getattr(model, "input_shape", (None,) * 4)[1:])
    if len(shape) != 3 or None in shape:
        raise ValueError(
            "`image_shape` must be the height, width and channels of the images where the model takes several sizes. "
            f"Received: {image_shape}, for model {model.name!r} that takes {shape}."
        )
    path = layer_path(model, shape, layer)
    maps = execution(model, shape)[path]
    if len(maps) != 3:
        return ReceptiveField(shape[:2], (0, 0), (0, 0))
    places = np.stack([_samples(side) for side in maps[:2]], axis=1)
    noise = np.random.default_rng(0).uniform(size=(1, *shape)).astype("float32")
    run = compiled(model, _support, layer=path)
    supports = [run(noise, place.astype("int32")) for place in places]
    axes = [
        _line(places[:, axis], [np.flatnonzero(support[axis]) for support in supports], shape[axis]) for axis in (0, 1)
    ]
    return ReceptiveField(*((rows, columns) for rows, columns in zip(*axes, strict=True)))


def _samples(side: int) -> np.ndarray:
    """Neighbours at both ends and in the middle: at least one edge of the field of some of them is in the image."""
    middle = side // 2
    return np.clip([0, 1, middle - 1, middle, middle + 1, side - 2, side - 1], 0, side - 1)


def _line(places: np.ndarray, seen: list[np.ndarray], side: int) -> tuple[int, int, int]:
    """Size, stride and start along one axis, from the pixels that some places see."""
    # A place at the border may see nothing but padding.
    pairs = [(int(place), pixels) for place, pixels in zip(places, seen, strict=True) if len(pixels)]
    if not pairs:
        raise ValueError("No gradient comes from the layer to the image: its receptive field cannot be found.")
    first = {place: int(pixels[0]) for place, pixels in pairs}
    last = {place: int(pixels[-1]) for place, pixels in pairs}
    # Edges at the image's border may be cut off: they say nothing of where the field would end.
    first = {place: edge for place, edge in first.items() if edge > 0}
    last = {place: edge for place, edge in last.items() if edge < side - 1}
    steps = {edges[place + 1] - edges[place] for edges in (first, last) for place in edges if place + 1 in edges}
    if not first or not last or len(steps) != 1:
        return side, 0, 0
    stride = steps.pop()
    starts = {edge - stride * place for place, edge in first.items()}
    ends = {edge - stride * place for place, edge in last.items()}
    if len(starts) != 1 or len(ends) != 1:
        return side, 0, 0  # No place looks like the others, as in attention; each may see all.
    start, end = starts.pop(), ends.pop()
    return end - start + 1, stride, start


def _support(model: keras.Model, image: tf.Tensor, place: tf.Tensor, *, layer: str) -> tuple[tf.Tensor, tf.Tensor]:
    """How much each row and each column of the image weighs for the place."""
    seen: list[tf.Tensor] = []

    def note(y: tf.Tensor) -> tf.Tensor:
        seen.append(tf.cast(y[0, place[0], place[1]], "float32"))
        return y

    weights = keras.StatelessScope(state_mapping=_without_zeros(model))
    with tf.GradientTape(watch_accessed_variables=False) as tape, changed(_means_for_maxima(model)), weights:
        tape.watch(image)
        forward(model, image, taps={layer: note}, rectifier=lambda x, relu: x)
        # Weights that no symmetry of the channels cancels.
        total = tf.reduce_sum(seen[-1] * tf.random.stateless_uniform(tf.shape(seen[-1]), (0, 0), 0.5, 1.5))
    gradient = tape.gradient(total, image)
    sizes = tf.zeros_like(image) if gradient is None else tf.abs(gradient)
    return tf.reduce_sum(sizes, axis=(0, 2, 3)), tf.reduce_sum(sizes, axis=(0, 1, 3))


def _without_zeros(model: keras.Model) -> list[tuple[Any, tf.Tensor]]:
    """Kernels and gains that let everything through: no zeros, and kernels as large as the model's own on average."""
    replaced = []
    for index, weight in enumerate(model.weights):
        value = tf.convert_to_tensor(weight)
        if "kernel" in weight.name and value.dtype.is_floating:
            size = tf.sqrt(tf.reduce_mean(tf.square(tf.cast(value, "float32"))))
            size = tf.where(size > 0, size, tf.math.rsqrt(tf.cast(tf.size(value[..., 0]), "float32")))
            value = tf.cast(size * tf.random.stateless_normal(value.shape, (0, index)), value.dtype)
        elif weight.name == "gamma":
            value = tf.where(value == 0, tf.ones_like(value), value)
        else:
            continue
        replaced.append((weight, value))
    return replaced


def _means_for_maxima(model: keras.Model) -> list[tuple[Any, str, Any]]:
    """A gradient passes to the largest of some pixels alone, that of their mean to all that were looked at."""
    pools = [layer for _, layer in all_layers(model) if isinstance(layer, keras.layers.MaxPooling2D)]
    return [(pool, "call", _mean_pooling(pool)) for pool in pools]


def _mean_pooling(pool: keras.layers.MaxPooling2D) -> Any:
    options = {"strides": pool.strides, "padding": pool.padding, "data_format": pool.data_format}
    return lambda x: keras.ops.average_pool(x, pool.pool_size, **options)
