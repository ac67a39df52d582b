"""Plans: which steps a model becomes, each compared with the layers themselves."""

import keras
import numpy as np
from xnor_plans import check, kinds, model_of, run, set_weights

from kerasdl.layers import BinaryConv2D, BinaryDense, FusedBatchNormalization, TernaryDense, XnorConv2D, XnorDense
from kerasdl.xnor.convolution_steps import ConvolveBits, ConvolveFloats
from kerasdl.xnor.keras_part import KerasPart
from kerasdl.xnor.planning import plan
from kerasdl.xnor.real_steps import InputScales, RealConvolve
from kerasdl.xnor.steps import Binarize, CopyBits, PoolBits

Conv, Pool, Pad = keras.layers.Conv2D, keras.layers.MaxPooling2D, keras.layers.ZeroPadding2D
Norm, Stock = FusedBatchNormalization, keras.layers.BatchNormalization


def test_a_norm_behind_a_flattened_picture_is_left_to_numbers() -> None:
    """It has a threshold for each pixel, and a layer has one for each filter."""
    planned = check(
        model_of(
            (6, 7, 3), XnorConv2D(10, 3, name="a"), keras.layers.Flatten(name="b"), Stock(name="c"),
            XnorDense(9, name="d"),
        )
    )  # fmt: skip
    assert kinds(planned) == [Binarize, ConvolveFloats, KerasPart, Binarize, ConvolveFloats]
    assert planned.steps[2].reasons == {"b": "the layer behind it treats every pixel in another way"}


def test_zeros_before_a_norm_are_what_it_makes_of_them() -> None:
    """Their sign is that of beta - mean * factor: with all of one sign they are a border, otherwise numbers."""
    model = model_of(
        (6, 6, 3), XnorConv2D(10, 3, name="a"), Pad(1, name="b"), Norm(name="c"), XnorConv2D(4, 3, name="d")
    )
    planned = check(model)
    assert kinds(planned) == [Binarize, ConvolveFloats, KerasPart, Binarize, ConvolveFloats]
    assert planned.steps[2].reasons == {
        "b": "its zeros do not have the same sign in every channel at the next binary layer"
    }
    norm = model.get_layer("c")
    norm.set_weights([np.full(10, 0.5), np.full(10, -0.25), np.zeros(10), np.ones(10)])
    planned = plan(model)
    assert kinds(planned) == [Binarize, ConvolveBits, ConvolveFloats]
    assert planned.steps[1].shape.border.value == -1
    images = np.random.default_rng(0).normal(size=(2, 6, 6, 3)).astype("float32")
    np.testing.assert_array_equal(run(planned, images)["d"], model.predict(images, verbose=0))


def test_zeros_that_disagree_with_the_padding_behind_them_stay_zeros() -> None:
    planned = check(
        model_of(
            (6, 6, 3), XnorConv2D(10, 3, name="a"), Norm(name="b"), Pad(1, name="c"),
            XnorConv2D(4, 3, padding="same", pad_value=-1, name="d"),
        )
    )  # fmt: skip
    assert kinds(planned) == [Binarize, ConvolveFloats, KerasPart, Binarize, ConvolveFloats]
    assert planned.steps[2].reasons == {"c": "the sign of its zeros is not -1, which the next binary layer pads with"}


def test_readers_of_the_same_bits_share_them() -> None:
    """A 3x3 kernel and a 1x1 one share a border; one that pads with -1 gets a copy; K is numbers."""
    inputs = keras.Input((8, 8, 3))
    x = Norm(name="b")(XnorConv2D(40, 3, padding="same", name="a")(inputs))
    three = XnorConv2D(8, 3, 2, padding="same", name="three")(x)
    one = XnorConv2D(8, 1, 2, name="one")(x)
    other = XnorConv2D(8, 3, 2, padding="same", pad_value=-1, name="other")(x)
    model = keras.Model(inputs, keras.layers.Concatenate(name="all")([three, one, other]))
    planned = check(model)
    assert sorted(kind.__name__ for kind in kinds(planned)) == sorted(
        ["Binarize", "ConvolveBits", "CopyBits", *3 * ["ConvolveFloats"], "KerasPart"]
    )
    assert next(step for step in planned.steps if isinstance(step, CopyBits)).shape.border.value == -1


def test_additions_are_done_where_the_sum_is_made() -> None:
    """A residual network: numbers only at the additions, of which the second adds two packed layers."""
    inputs = keras.Input((8, 8, 3))
    x = Norm(name="norm")(Conv(20, 3, name="stem")(inputs))
    y = XnorConv2D(20, 3, padding="same", name="a1")(Norm(name="n1")(x))
    y = XnorConv2D(20, 3, padding="same", name="a2")(Norm(name="n2")(y))
    x = keras.layers.Add(name="add1")([x, y])
    z = Norm(name="n3")(x)
    y = XnorConv2D(30, 3, 2, padding="same", name="b1")(z)
    y = XnorConv2D(30, 3, padding="same", name="b2")(Norm(name="n4")(y))
    x = keras.layers.Add(name="add2")([y, XnorConv2D(30, 1, 2, name="shortcut")(z)])
    planned = check(keras.Model(inputs, x))
    floats = [step.output for step in planned.steps if isinstance(step, ConvolveFloats)]
    assert floats in (["add1", "b2", "add2"], ["add1", "shortcut", "add2"])
    assert [type(step) for step in planned.steps].count(ConvolveBits) == 2
    assert [type(step) for step in planned.steps].count(KerasPart) == 1


def test_sums_that_are_read_as_numbers_too_are_numbers() -> None:
    """An output of the model, a layer that is read twice behind different norms, a norm with another reader."""
    inputs = keras.Input((8, 8, 3))
    x = XnorConv2D(20, 3, name="a")(inputs)
    y = XnorConv2D(4, 3, name="c")(Norm(name="b")(x))
    z = XnorConv2D(4, 3, name="e")(Norm(name="d")(x))
    w = Norm(name="f")(y)
    planned = check(keras.Model(inputs, [z, XnorConv2D(5, 2, name="g")(w), w]))
    assert ConvolveBits not in kinds(planned)
    assert planned.outputs == ("e", "g", "f")


def test_the_scale_of_inputs_is_computed_from_numbers() -> None:
    """K of pictures and of vectors; rounding differs, as means are summed in another order."""
    planned = check(
        model_of(
            (9, 8, 5), XnorConv2D(20, 3, 2, "same", input_scale=True, name="a"), Pool(2, name="b"),
            keras.layers.Flatten(name="c"), XnorDense(7, input_scale=True, name="d"),
        ),
        tolerance=2e-6,
    )  # fmt: skip
    assert [kind for kind in kinds(planned) if kind is InputScales] == 2 * [InputScales]


def test_a_norm_between_a_real_layer_and_a_sign_is_a_threshold() -> None:
    """Maxima stay with the numbers where they come first, and are taken of bits behind the norm."""
    first = check(model_of((9, 9, 3), Conv(20, 3, name="a"), Pool(2, name="b"), Norm(name="c"), XnorConv2D(4, 3)))
    assert kinds(first) == [KerasPart, Binarize, ConvolveFloats]
    assert first.steps[0].layers == ("a", "b")
    second = check(model_of((9, 9, 3), Conv(20, 3, name="a"), Norm(name="b"), Pool(2, name="c"), XnorConv2D(4, 3)))
    assert kinds(second) == [KerasPart, Binarize, PoolBits, ConvolveFloats]
    third = check(model_of((9, 9, 3), Stock(name="a"), Pad(1, name="b"), XnorConv2D(4, 3, name="c")))
    assert kinds(third) == [Binarize, ConvolveFloats]


def test_norms_are_folded_where_no_sign_follows() -> None:
    """Into real layers, and into packed ones."""
    planned = check(
        model_of(
            (9, 9, 3), BinaryConv2D(20, 3, 2, "same", name="a"), Norm(name="b"), Conv(12, 3, use_bias=False, name="c"),
            Norm(name="d"), keras.layers.ReLU(name="e"), keras.layers.Flatten(name="f"), TernaryDense(9, name="g"),
            Stock(name="h"), BinaryDense(5, weight_scale=False, activation="relu", name="i"),
        ),
        tolerance=3e-6,
    )  # fmt: skip
    assert kinds(planned) == [RealConvolve, KerasPart, RealConvolve, RealConvolve, KerasPart]
    assert planned.steps[1].layers == ("c", "d", "e", "f")
    assert not any(isinstance(layer, Stock) for layer in planned.steps[1].model.layers)
    packed = check(model_of((9,), XnorDense(12, name="a"), Stock(name="b")), tolerance=1e-6)
    assert kinds(packed) == [Binarize, ConvolveFloats]


def test_nested_and_sequential_models_are_laid_open() -> None:
    inner = keras.Sequential([XnorConv2D(20, 3, name="a"), Norm(name="b")], name="inner")
    outer = keras.Sequential([keras.Input((9, 9, 3)), inner, XnorConv2D(4, 3, name="c")], name="outer")
    inputs = keras.Input((9, 9, 3), name="images")
    model = keras.Model(inputs, Conv(2, 1, name="last")(outer(inputs)))
    set_weights(inner, 0)
    planned = plan(model)
    assert kinds(planned) == [Binarize, ConvolveBits, ConvolveFloats, KerasPart]
    assert [step.layers for step in planned.steps[1:3]] == [("outer/inner/a", "outer/inner/b"), ("outer/c",)]
    images = np.random.default_rng(0).normal(size=(2, 9, 9, 3)).astype("float32")
    np.testing.assert_array_equal(run(planned, images)["last"], model.predict(images, verbose=0))


def test_several_inputs_and_outputs_keep_their_order() -> None:
    left, right = keras.Input((12,), name="left"), keras.Input((12,), name="right")
    x = keras.layers.Add(name="both")([XnorDense(6, name="a")(left), XnorDense(6, name="b")(right)])
    planned = check(keras.Model([right, left], {"z": keras.layers.ReLU(name="z")(x), "a": x}))
    assert planned.inputs == ("input:right", "input:left")
    assert planned.outputs == ("both", "z")  # As `model.outputs` has them: by name.


def test_a_model_without_binary_layers_runs_in_keras() -> None:
    planned = check(model_of((9,), keras.layers.Dense(4, name="a"), keras.layers.Softmax(name="b")))
    assert kinds(planned) == [KerasPart]


def test_several_calls_of_a_part_and_masks_stay_in_keras() -> None:
    """A recurrent network with a mask before binary layers: the mask never leaves its part."""
    inputs = keras.Input((5,), dtype="int32", name="words")
    x = keras.layers.Embedding(7, 6, mask_zero=True, name="embed")(inputs)
    x = XnorDense(4, name="last")(keras.layers.GRU(8, name="gru")(x))
    model = keras.Model(inputs, x)
    planned = plan(model)
    assert kinds(planned) == [KerasPart, Binarize, ConvolveFloats]
    words = np.array([[1, 2, 3, 0, 0], [4, 0, 0, 0, 0]], "int32")
    np.testing.assert_array_equal(run(planned, words)["last"], model.predict(words, verbose=0))


def test_names_that_would_be_the_same_in_a_part_are_not() -> None:
    inner = model_of((5,), keras.layers.Dense(4, name="a"), keras.layers.ReLU(name="b"))
    inner.name = "inner"
    model = model_of((5,), inner, keras.layers.Dense(3, name="inner_a"), keras.layers.Dense(2, name="source0"))
    planned = plan(model)
    assert planned.steps[0].layers == ("inner/a", "inner/b", "inner_a", "source0")
    images = np.random.default_rng(0).normal(size=(2, 5)).astype("float32")
    np.testing.assert_array_equal(run(planned, images)["source0"], model.predict(images, verbose=0))
