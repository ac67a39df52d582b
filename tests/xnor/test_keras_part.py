"""Parts that run in Keras: what their layers have learnt besides weights is in them, and in their files."""

from collections.abc import Callable

import keras
import numpy as np
import pytest

from kerasdl.layers import XnorDense
from kerasdl.xnor import PackedModel, load, pack

NUMBERS = (5 * np.random.default_rng(0).normal(size=(50, 6)) + np.arange(6.0)).astype("float32")


def adapted(**kwargs) -> keras.layers.Normalization:
    layer = keras.layers.Normalization(**kwargs)
    layer.adapt(NUMBERS)
    return layer


def packed_twice(model: keras.Model, folder) -> list[PackedModel]:
    """As it is packed, and as it is loaded."""
    packed = pack(model)
    packed.save(folder / "network")
    return [packed, load(folder / "network")]


NORMALIZED: dict[str, Callable[[], list[keras.layers.Layer]]] = {
    "called": lambda: [adapted()],
    "turned around": lambda: [adapted(invert=True)],
    "of all numbers": lambda: [adapted(axis=None)],
    "given": lambda: [keras.layers.Normalization(mean=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], variance=6 * [25.0])],
    "nested": lambda: [keras.Sequential([keras.Input((6,)), adapted()])],
    "wrapped": lambda: [
        keras.layers.Reshape((1, 6)), keras.layers.TimeDistributed(adapted()), keras.layers.Flatten(),
    ],
    "wrapped twice": lambda: [
        keras.layers.Reshape((1, 6)),
        keras.layers.TimeDistributed(keras.Sequential([keras.Input((6,)), adapted()])),
        keras.layers.Flatten(),
    ],
}  # fmt: skip


@pytest.mark.parametrize("case", NORMALIZED)
def test_adapted_norms_keep_their_statistics(case, tmp_path) -> None:
    """They compute with tensors made of their weights; beside NumPy, and the signs behind them beside Keras."""
    inputs = x = keras.Input((6,))
    for layer in NORMALIZED[case]():
        x = layer(x)
    model = keras.Model(inputs, [x, XnorDense(4)(x)])
    mean, deviation = NUMBERS.mean(0), NUMBERS.std(0)
    expected = (NUMBERS - mean) / deviation
    if case == "turned around":
        expected = NUMBERS * deviation + mean
    elif case == "of all numbers":
        expected = (NUMBERS - NUMBERS.mean()) / NUMBERS.std()
    elif case == "given":
        expected = (NUMBERS - np.arange(6)) / 5
    signs = model.predict(NUMBERS, verbose=0)[1]
    for packed in packed_twice(model, tmp_path):
        found = packed.predict(NUMBERS)
        np.testing.assert_allclose(found[0], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(found[1], signs)


@pytest.mark.parametrize("kwargs", [{}, {"num_oov_indices": 2}, {"output_mode": "multi_hot"}, {"mask_token": 0}])
def test_adapted_lookups_keep_their_vocabulary(kwargs, tmp_path) -> None:
    layer = keras.layers.IntegerLookup(**kwargs)
    numbers = np.array([[7, 7, 7], [30, 30, -2]], "int64")
    layer.adapt(numbers)
    inputs = keras.Input((3,), dtype="int64")
    model = keras.Model(inputs, layer(inputs))
    asked = np.array([[7, -2, 30], [5, 6, 0]], "int64")
    for packed in packed_twice(model, tmp_path):
        np.testing.assert_array_equal(packed.predict(asked), model.predict(asked, verbose=0))
    if not kwargs:
        np.testing.assert_array_equal(
            packed.predict(asked), [[1, 3, 2], [0, 0, 0]]
        )  # Most frequent first, then by size.


def test_adapted_bins_keep_their_limits(tmp_path) -> None:
    layer = keras.layers.Discretization(num_bins=3)
    layer.adapt(NUMBERS)
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layer(inputs))
    for packed in packed_twice(model, tmp_path):
        np.testing.assert_array_equal(packed.predict(NUMBERS), np.digitize(NUMBERS, layer.bin_boundaries))


@pytest.mark.parametrize("case", ["wrapped", "weighted"])
def test_vocabularies_that_a_copy_would_not_have_are_refused(case) -> None:
    lookup = keras.layers.IntegerLookup(name="known", output_mode="int" if case == "wrapped" else "tf_idf")
    lookup.adapt(np.array([[7, 7, 30]], "int64"))
    inputs = keras.Input((3, 1) if case == "wrapped" else (3,), dtype="int64")
    layer = keras.layers.TimeDistributed(lookup) if case == "wrapped" else lookup
    with pytest.raises(ValueError, match="vocabulary") as error:
        pack(keras.Model(inputs, layer(inputs)))
    assert str(error.value) == (
        "The layer 'known' (IntegerLookup) must have its vocabulary from where it was made, to run in Keras. Received: "
        "one that it has learnt with adapt. Make it with `vocabulary=layer.get_vocabulary("
        "include_special_tokens=False)` (and `idf_weights`, for 'tf_idf'), or look up before the network."
    )
