"""Attention over the places of a feature map, and the coordinates that tell them apart."""

from typing import Any

import keras

from kerasdl.layers.bahdanau_attention import BahdanauAttention
from kerasdl.layers.checks import check_positive


def _check_map(name: str, shape: tuple[int | None, ...]) -> None:
    if len(shape) != 4 or shape[-1] is None:
        raise ValueError(
            f"{name} expects a feature map of shape (batch, height, width, channels) with a known number of channels. "
            f"Received: {tuple(shape)}."
        )


@keras.saving.register_keras_serializable(package="kerasdl")
class SpatialAttention(keras.layers.Layer):
    """A query looks at a feature map: `e_ij = v·tanh(W1 q + W2 f_ij)`, `a = softmax(e)`, `c = sum_ij a_ij f_ij`.

    Called on `[query, features]`, with one query per image, `(batch, units)`, or one per step,
    `(batch, steps, units)`; gives `[context, weights]`: the mean of the features where each query looks,
    `(batch, ..., channels)`, and how much it looks at each place, `(batch, ..., height, width)`, which sums to 1.
    It is `BahdanauAttention` with places for keys.

    A loop of queries on one map calls `project` once and gives the result to `look` at each step, so that the product
    with W2, the expensive part, is taken once.

    Args:
        units: The length of v.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> layer = SpatialAttention(8)
        >>> context, weights = layer([np.ones((2, 5), "float32"), np.ones((2, 4, 4, 3), "float32")])
        >>> np.asarray(context).round(4).tolist()[0], weights.shape
        ([1.0, 1.0, 1.0], TensorShape([2, 4, 4]))

    Reference:
        [Xu et al., 2015](https://arxiv.org/abs/1502.03044), section 4.2;
        [Bahdanau et al., 2014](https://arxiv.org/abs/1409.0473), appendix A.1.2
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = check_positive("units", units)
        self.additive = BahdanauAttention(units, dtype=self.dtype_policy, name="additive")
        self.supports_masking = True

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        """Makes W1, W2 and v."""
        query, features = self._shapes(input_shape)
        self.additive.build((None, None, query[-1]), (None, None, features[-1]))

    def _shapes(self, shapes: Any) -> tuple[tuple, tuple]:
        if not isinstance(shapes, list | tuple) or len(shapes) != 2 or not isinstance(shapes[0], list | tuple):
            raise ValueError(f"SpatialAttention expects [query, features]. Received: shapes {shapes}.")
        query, features = tuple(shapes[0]), tuple(shapes[1])
        if len(query) not in (2, 3) or query[-1] is None:
            raise ValueError(
                "SpatialAttention expects queries of shape (batch, units) or (batch, steps, units) with a known "
                f"number of units. Received: {query}."
            )
        _check_map("SpatialAttention", features)
        return query, features

    def project(self, features: Any) -> tuple[Any, Any]:
        """The places of a map in a row, `(batch, places, channels)`, and `W2 f` of each, `(batch, places, units)`.

        Args:
            features: `(batch, height, width, channels)`.
        """
        places = keras.ops.reshape(features, (keras.ops.shape(features)[0], -1, features.shape[-1]))
        return places, self.additive.key_projection(places)

    def look(self, query: Any, places: Any, projected: Any) -> tuple[Any, Any]:
        """The context, `(batch, queries, channels)`, and the weights, `(batch, queries, places)`.

        Args:
            query: `(batch, queries, units)`.
            places: What `project` gives for the map.
            projected: The second of it.
        """
        query = self.additive.query_projection(query)
        return self.additive.additive([query, places, projected], return_attention_scores=True)

    def call(self, inputs: list[Any]) -> list[Any]:
        """Looks once for every query."""
        query, features = inputs
        many = query if len(query.shape) == 3 else query[:, None]
        context, weights = self.look(many, *self.project(features))
        weights = keras.ops.reshape(weights, (*keras.ops.shape(weights)[:2], *keras.ops.shape(features)[1:3]))
        return [context, weights] if many is query else [context[:, 0], weights[:, 0]]

    def compute_mask(self, inputs: list[Any], mask: Any = None) -> list[Any]:
        """What was asked by a masked query is masked."""
        of_query = mask[0] if isinstance(mask, list | tuple) else None
        return [of_query, of_query]

    def compute_output_shape(self, input_shape: list[tuple[int | None, ...]]) -> list[tuple[int | None, ...]]:
        """A context and a map for every query."""
        query, features = self._shapes(input_shape)
        return [(*query[:-1], features[-1]), (*query[:-1], *features[1:3])]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable(package="kerasdl")
class AddCoordinates(keras.layers.Layer):
    """Two more channels that say where each place is: `y_ij = [f_ij, row_i, column_j]`, from -1 to 1.

    A convolution sees the same at every place, and a mean over places forgets them. With the coordinates among the
    features, a mean weighted by attention also holds where attention was.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> np.asarray(AddCoordinates()(np.zeros((1, 2, 2, 1))))[0, 0].tolist()
        [[0.0, -1.0, -1.0], [0.0, -1.0, 1.0]]

    Reference:
        [Liu et al., 2018](https://arxiv.org/abs/1807.03247), section 3
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes no weights."""
        _check_map("AddCoordinates", input_shape)

    def call(self, inputs: Any) -> Any:
        """Appends the coordinates."""
        batch, height, width, _ = keras.ops.shape(inputs)

        def along(length: Any) -> Any:
            steps = keras.ops.cast(keras.ops.arange(length), "float32")
            last = keras.ops.cast(keras.ops.maximum(length - 1, 1), "float32")
            return keras.ops.cast(2 * steps / last - 1, inputs.dtype)

        shape = (batch, height, width, 1)
        rows = keras.ops.broadcast_to(along(height)[None, :, None, None], shape)
        columns = keras.ops.broadcast_to(along(width)[None, None, :, None], shape)
        return keras.ops.concatenate([inputs, rows, columns], axis=-1)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        """Two channels more."""
        return (*input_shape[:-1], input_shape[-1] + 2)
