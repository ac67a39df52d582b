"""Bahdanau's attention: a small network says how well each key fits a query."""

from typing import Any

import keras

from kerasdl.layers.checks import check_positive


def _without_masked(keys: Any, keys_mask: Any) -> Any:
    """The keys, with 0 for those that are masked: chosen, since 0 times an infinite key is no number."""
    if keys_mask is None:
        return keys
    return keras.ops.where(keras.ops.cast(keys_mask, "bool")[:, :, None], keys, keras.ops.zeros_like(keys))


@keras.saving.register_keras_serializable(package="kerasdl")
class BahdanauAttention(keras.layers.Layer):
    """Additive attention: `context = sum_i a_i k_i`, `a = softmax_i(v . tanh(W1 q + W2 k_i))`.

    The query, such as the state of a decoder, and the keys, such as the states of an encoder, may have different
    numbers of features: both are projected to `units` first. Masked keys get no weight. Where all are masked, the
    weights and the context are 0: nothing was looked at.

    Called on `(query, keys)`, `(batch, queries, features)` and `(batch, places, features of keys)`; Keras hands on the
    mask of the keys, or pass `keys_mask`. Returns the context, `(batch, queries, features of keys)`, and the weights,
    `(batch, queries, places)`.

    Args:
        units: The length of v.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> context, weights = BahdanauAttention(8)(np.zeros((1, 1, 4)), np.array([[[1.0], [3.0]]]))
        >>> context.shape, float(weights.numpy().sum())
        (TensorShape([1, 1, 1]), 1.0)

    Reference:
        [Bahdanau et al., 2014](https://arxiv.org/abs/1409.0473), section 3.1 and appendix A.1.2
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = check_positive("units", units)
        self.supports_masking = True
        self.query_projection = keras.layers.Dense(units, use_bias=False, dtype=self.dtype_policy, name="query")
        self.key_projection = keras.layers.Dense(units, use_bias=False, dtype=self.dtype_policy, name="keys")
        self.additive = keras.layers.AdditiveAttention(dtype=self.dtype_policy, name="additive")

    def build(self, query_shape: tuple[int | None, ...], keys_shape: tuple[int | None, ...]) -> None:
        """Makes W1, W2 and v."""
        if len(query_shape) != 3 or len(keys_shape) != 3 or query_shape[-1] is None or keys_shape[-1] is None:
            raise ValueError(
                "BahdanauAttention expects a query and keys of shape (batch, several, features) with known features. "
                f"Received: shapes {tuple(query_shape)} and {tuple(keys_shape)}."
            )
        self.query_projection.build(query_shape)
        self.key_projection.build(keys_shape)
        self.additive.build([(*query_shape[:-1], self.units), tuple(keys_shape), (*keys_shape[:-1], self.units)])

    def call(self, query: Any, keys: Any, keys_mask: Any = None) -> tuple[Any, Any]:
        """Compares, and takes the mean of the keys with the weights."""
        keys = _without_masked(keys, keys_mask)
        return self.look(query, keys, self.project(keys), keys_mask)

    def project(self, keys: Any) -> Any:
        """W2 k for every key, `(batch, places, units)`, to be given to `look` by who asks many times.

        Args:
            keys: `(batch, places, features)`.
        """
        return self.key_projection(keys)

    def look(self, query: Any, keys: Any, projected: Any, keys_mask: Any = None) -> tuple[Any, Any]:
        """The context and the weights, as the layer gives them, of keys that are projected already.

        Args:
            query: `(batch, queries, features)`.
            keys: `(batch, places, features of keys)`.
            projected: What `project` gave for them.
            keys_mask: Which keys there are, `(batch, places)`.
        """
        context, weights = self.additive(
            [self.query_projection(query), _without_masked(keys, keys_mask), _without_masked(projected, keys_mask)],
            mask=None if keys_mask is None else [None, keys_mask],
            return_attention_scores=True,
        )
        if keys_mask is not None:
            weights = weights * keras.ops.cast(keys_mask, weights.dtype)[:, None, :]
        return context, weights

    def compute_mask(self, query: Any, previous_mask: Any = None) -> Any:
        """What was asked by a masked query is masked."""
        return None if previous_mask is None else (previous_mask, previous_mask)

    def compute_output_shape(self, query_shape: tuple, keys_shape: tuple) -> tuple[tuple, tuple]:
        """The shapes of the context and of the weights."""
        return (*query_shape[:2], keys_shape[-1]), (*query_shape[:2], keys_shape[1])

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "units": self.units}
