"""What a packed network takes, as Keras would, and what it refuses with a sentence."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from xnor_helpers import hand_made, some_images, trained_looking

from kerasdl.architectures import binary_cnn
from kerasdl.layers import XnorDense
from kerasdl.xnor import pack


def test_several_inputs_and_outputs_as_keras_has_them():
    left, right = keras.Input((5,), name="left"), keras.Input((4, 3), name="right")
    x = XnorDense(6, name="signs")(keras.layers.Concatenate()([left, keras.layers.Flatten()(right)]))
    listed = trained_looking(keras.Model([left, right], [x, keras.layers.ReLU()(left)]))
    named = keras.Model({"left": left, "right": right}, {"a": x, "b": [keras.layers.ReLU()(left)]})
    given = [some_images(9, (5,)), some_images(9, (4, 3), seed=1)]
    by_name = {"right": given[1], "left": given[0]}
    packed = pack(listed)
    for outputs in (packed.predict(given), packed.predict(by_name), packed.predict(tuple(given))):
        assert isinstance(outputs, list)
        for output, expected in zip(outputs, listed.predict(given, verbose=0), strict=True):
            np.testing.assert_array_equal(output, expected)
    outputs, expected = pack(named).predict(by_name), named.predict(by_name, verbose=0)
    with pytest.warns(UserWarning, match="all keys in the dict must match the names"):
        keyed = keras.Model({"first": left, "second": right}, x)
    found = pack(keyed).predict({"first": given[0], "second": given[1]})
    np.testing.assert_array_equal(found, expected["a"])
    assert outputs.keys() == {"a", "b"}
    np.testing.assert_array_equal(outputs["a"], expected["a"])
    np.testing.assert_array_equal(outputs["b"][0], expected["b"][0])
    for wrong, received in ((given[:1], "1 of them"), (given[0], "numpy.ndarray")):
        expected = (
            "`images` must be a list of 2 arrays, or a dictionary of them, for the inputs ['left', 'right']. "
            f"Received: {received}."
        )
        with pytest.raises(ValueError, match=re.escape(expected)):
            packed.predict(wrong)
    with pytest.raises(ValueError, match=re.escape("must have the keys ['left', 'right']. Received: the keys ['up'].")):
        packed.predict({"up": given[0]})
    expected = "The inputs ['left', 'right'] must have the same number of images. Received: [9, 8]."
    with pytest.raises(ValueError, match=re.escape(expected)):
        packed.predict([given[0], given[1][:8]])


def test_numbers_are_converted_as_keras_does():
    packed = hand_made()
    whole = np.random.default_rng(0).integers(0, 255, (3, 6, 6, 3))
    expected = packed.predict(whole.astype("float32"))
    kinds = [whole.astype(kind) for kind in ("uint8", "int64", "float64", "float16")]
    tensors = [tf.constant(whole, kind) for kind in (tf.uint8, tf.bfloat16)]
    one_input = [[kinds[0]], (tensors[0],), [tensors[1]]]
    for given in [
        *one_input,
        *kinds,
        *tensors,
        whole.tolist(),
        np.asfortranarray(kinds[0]),
        kinds[0][:, ::-1][:, ::-1],
    ]:
        np.testing.assert_array_equal(packed.predict(given), expected)
    np.testing.assert_array_equal(packed.predict(whole > 99), packed.predict((whole > 99).astype("float32")))


MUST_BE = "The images for 'images' must be numbers of shape (N, 6, 6, 3). Received: "


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((6, 6, 3), "The axis of the batch is missing: pass `image[None]` for one image."),
        ((2, 3, 6, 6), "The channels come last: pass `np.moveaxis(images, 1, -1)`."),
        ((2, 8, 8, 3), "Resize or reshape the images, or pack a model for this size."),
        ((), "Resize or reshape the images, or pack a model for this size."),
    ],
)
def test_wrong_shapes_are_refused(shape, advice):
    with pytest.raises(ValueError, match=re.escape(f"{MUST_BE}shape {shape}. {advice}")):
        hand_made().predict(np.zeros(shape))


def test_gray_images_need_their_axis_of_channels():
    packed = pack(binary_cnn("xnor", 8))
    expected = (
        "(N, 28, 28, 1). Received: shape (5, 28, 28). The axis of the channels is missing: pass `images[..., None]`."
    )
    with pytest.raises(ValueError, match=re.escape(expected)):
        packed.predict(np.zeros((5, 28, 28)))


def test_what_is_no_number_is_refused():
    packed = hand_made()
    ragged = [np.zeros((6, 6, 3)), np.zeros((5, 6, 3))]
    expected = f"{MUST_BE}shape (0, 6, 6, 3), no image at all. Pass at least one."
    with pytest.raises(ValueError, match=re.escape(expected)):
        packed.predict(np.zeros((0, 6, 6, 3)))
    refused = [
        (np.array(["a.png", "b.png"]), "values of dtype <U5. Names of files must be read first, as keras.utils"),
        (np.zeros((1, 6, 6, 3), complex), "values of dtype complex128. Convert them to float32 or uint8 first."),
        (np.zeros((1, 6, 6, 3), object), "values of dtype object. Convert them with `images.astype('float32')`."),
        (np.array(ragged, object), "values of dtype object. Images of different sizes cannot be stacked: resize them"),
        (None, "builtins.NoneType. Pass arrays; of a data set or a generator, one batch after the other."),
        ((image for image in ragged), "builtins.generator. Pass arrays; of a data set or a generator, one batch"),
    ]
    for given, message in refused:
        with pytest.raises(TypeError, match=re.escape(f"{MUST_BE}{message}")):
            packed.predict(given)
    for given in (ragged, tf.ragged.constant([[1.0], [1.0, 2.0]])):
        with pytest.raises((TypeError, ValueError), match=re.escape(MUST_BE)):
            packed.predict(given)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_not_finite_are_refused(value):
    images = some_images(40).astype("float64")
    images[[7, 30], 2, 3, 1] = value
    expected = (
        "The images for 'images' must be finite numbers. Received: NaN or infinity in 2 of 40 images, first in "
        "image 7. Replace such values, as np.nan_to_num does."
    )
    packed = hand_made()
    with pytest.raises(ValueError, match=re.escape(expected)):
        packed.predict(images)
    # Large numbers whose sum is no float32 are numbers.
    assert packed.predict(np.full((2, 6, 6, 3), 1e37)).shape == (2, 10)
