"""Why a layer runs in Keras: each that is not packed says so, and what it computes stays Keras' own."""

from typing import Any

import keras
import numpy as np
import pytest
from xnor_plans import check, kinds, model_of, run

from kerasdl.layers import BinaryConv2D, BinaryDense, FusedBatchNormalization, XnorConv2D, XnorDense, sign_ste
from kerasdl.xnor.convolution_steps import ConvolveFloats
from kerasdl.xnor.keras_part import KerasPart
from kerasdl.xnor.planning import plan
from kerasdl.xnor.steps import Binarize


def test_sums_of_numbers_before_a_sign_are_keras_own() -> None:
    planned = check(
        model_of(
            (9, 9, 3), BinaryConv2D(20, 3, name="a"), FusedBatchNormalization(name="b"), XnorConv2D(4, 3, name="c")
        )
    )
    assert kinds(planned) == [KerasPart, Binarize, ConvolveFloats]
    assert planned.steps[0].reasons == {
        "a": "its weights stay floats, for a sign follows, which sums that are rounded in another order could change"
    }


def test_what_cannot_be_packed_runs_in_keras_and_says_why() -> None:
    inputs = keras.Input((None, 8, 4))
    grouped = XnorConv2D(8, 1, groups=2, name="grouped")
    shared = XnorConv2D(8, 1, name="shared")
    x = shared(shared(keras.layers.Conv2D(8, 1, name="real")(inputs)))
    x = grouped(x)
    x = XnorConv2D(8, 3, name="unknown")(x)
    x = BatchNormalizationOfOnesOwn(name="own")(x)
    x = XnorDense(5, name="wide")(x)
    model = keras.Model(inputs, x)
    planned = plan(model)
    assert kinds(planned) == [KerasPart]
    assert planned.steps[0].reasons == {
        "shared": "it is called more than once",
        "shared#2": "it is called more than once",
        "grouped": "the size of its inputs is not known before: (None, None, 8, 8)",
        "unknown": "the size of its inputs is not known before: (None, None, 8, 8)",
        "own": "BatchNormalizationOfOnesOwn is no layer of Keras or of kerasdl",
        "wide": "the size of its inputs is not known before: (None, None, 6, 8)",
    }
    images = np.random.default_rng(0).normal(size=(2, 7, 8, 4)).astype("float32")
    np.testing.assert_array_equal(run(planned, images)["wide"], model.predict(images, verbose=0))


@keras.saving.register_keras_serializable(package="kerasdl_tests")
class BatchNormalizationOfOnesOwn(keras.layers.BatchNormalization):
    """A layer from elsewhere."""


@keras.saving.register_keras_serializable(package="kerasdl_tests")
class XnorDenseOfOnesOwn(XnorDense):
    """A layer from elsewhere that is a binary one."""


def test_reasons_of_binary_layers() -> None:
    def reasons(shape: tuple[int, ...], layer: keras.layers.Layer, dtype: str = "float32", **kwargs: Any) -> Any:
        inputs = keras.Input(shape, dtype=dtype)
        return plan(keras.Model(inputs, layer(inputs, **kwargs))).steps[0].reasons[layer.name]

    assert reasons((6, 6, 4), XnorConv2D(8, 3, groups=2)) == "it has 2 groups; packed weights have one"
    assert reasons((6, 6, 4), XnorDense(8)) == "its inputs have 4 axes, not 2"
    assert reasons((6,), XnorDense(8), dtype="int32") == "its inputs are int32, not float32"
    assert reasons((6,), XnorDenseOfOnesOwn(8)) == (
        "XnorDenseOfOnesOwn may compute something else than XnorDense, which it is made from"
    )
    scaled = XnorConv2D(8, 2, input_scale=True, dilation_rate=2)
    assert reasons((6, 6, 4), scaled) == "it has K with a dilation"


class HoldsABinaryLayer(keras.layers.Layer):
    """A layer of one's own that calls others."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.parts = {"binary": XnorDense(3, name="inside")}

    def build(self, shape: Any) -> None:
        self.parts["binary"].build(shape)

    def call(self, inputs: Any) -> Any:
        return self.parts["binary"](inputs)


def test_binary_layers_within_other_layers_are_named(monkeypatch) -> None:
    monkeypatch.setitem(keras.saving.get_custom_objects(), "HoldsABinaryLayer", HoldsABinaryLayer)
    inputs = keras.Input((5, 6))
    x = keras.layers.TimeDistributed(XnorDense(4, name="binary"), name="each")(inputs)
    x = HoldsABinaryLayer(name="own")(keras.layers.Flatten(name="flat")(x))
    planned = plan(keras.Model(inputs, x))
    assert planned.steps[0].reasons == {
        "each": "it holds 'binary' (XnorDense), and only layers that the model calls itself are packed",
        "own": "it holds 'inside' (XnorDense), and only layers that the model calls itself are packed",
    }


@pytest.mark.parametrize("last", ["wrapped", "activation", "own activation"])
def test_nothing_is_rounded_in_another_way_before_a_sign_that_keras_takes(last) -> None:
    inputs = keras.Input((3, 6))
    x = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(4, use_bias=False, name="real")(inputs))
    binary = BinaryDense(4, name="binary", activation=sign_ste if last == "own activation" else None)
    y = binary(keras.layers.Flatten(name="flat")(x))
    if last == "wrapped":
        y = keras.layers.TimeDistributed(XnorDense(3, name="a"))(keras.layers.Reshape((1, 4))(y))
    elif last == "activation":
        y = keras.layers.Activation(sign_ste)(y)
    model = keras.Model(inputs, y)
    planned = plan(model)
    assert kinds(planned) == [KerasPart]
    assert {"real", "norm", "binary"} <= set(planned.steps[0].layers)
    part = {layer.name: layer for layer in planned.steps[0].model.layers}
    assert not part["real"].use_bias
    assert planned.steps[0].reasons["binary"].startswith("its weights stay floats, for a sign follows")


def test_a_sign_behind_a_function_that_turns_is_taken_of_numbers() -> None:
    planned = check(
        model_of(
            (6, 6, 4), XnorConv2D(8, 3, weight_scale=False, use_bias=False, name="a"),
            keras.layers.ELU(-1.0, name="b"), keras.layers.Rescaling(1.0, -0.5, name="c"), XnorConv2D(3, 2, name="d"),
        )
    )  # fmt: skip
    assert kinds(planned) == [Binarize, ConvolveFloats, KerasPart, Binarize, ConvolveFloats]
    text = "before the next sign the sign changes more than once as the sum grows"
    assert planned.steps[2].reasons == {"b": text, "c": text}
