"""VGG against the paper's two tables, and against keras.applications with the same weights."""

import keras
import numpy as np
import pytest

from kerasdl import architectures, data
from kerasdl.architectures import vgg_a, vgg_a_lrn, vgg_b, vgg_c, vgg_d, vgg_e
from kerasdl.layers import LocalResponseNormalization

# Table 1 of the paper, as it is set there: row by row, a column for each configuration.
TABLE = """
conv3-64  conv3-64  conv3-64  conv3-64  conv3-64  conv3-64
-         LRN       conv3-64  conv3-64  conv3-64  conv3-64
maxpool   maxpool   maxpool   maxpool   maxpool   maxpool
conv3-128 conv3-128 conv3-128 conv3-128 conv3-128 conv3-128
-         -         conv3-128 conv3-128 conv3-128 conv3-128
maxpool   maxpool   maxpool   maxpool   maxpool   maxpool
conv3-256 conv3-256 conv3-256 conv3-256 conv3-256 conv3-256
conv3-256 conv3-256 conv3-256 conv3-256 conv3-256 conv3-256
-         -         -         conv1-256 conv3-256 conv3-256
-         -         -         -         -         conv3-256
maxpool   maxpool   maxpool   maxpool   maxpool   maxpool
conv3-512 conv3-512 conv3-512 conv3-512 conv3-512 conv3-512
conv3-512 conv3-512 conv3-512 conv3-512 conv3-512 conv3-512
-         -         -         conv1-512 conv3-512 conv3-512
-         -         -         -         -         conv3-512
maxpool   maxpool   maxpool   maxpool   maxpool   maxpool
conv3-512 conv3-512 conv3-512 conv3-512 conv3-512 conv3-512
conv3-512 conv3-512 conv3-512 conv3-512 conv3-512 conv3-512
-         -         -         conv1-512 conv3-512 conv3-512
-         -         -         -         -         conv3-512
maxpool   maxpool   maxpool   maxpool   maxpool   maxpool
"""
COLUMNS = list(zip(*(row.split() for row in TABLE.strip().split("\n")), strict=True))
BUILDERS = [vgg_a, vgg_a_lrn, vgg_b, vgg_c, vgg_d, vgg_e]
# Under the table: "ConvNet configurations ... 11, 11, 13, 16, 16, 19 weight layers"; Table 2: parameters in millions.
WEIGHT_LAYERS = [11, 11, 13, 16, 16, 19]
MILLIONS = [133, 133, 133, 134, 138, 144]


def words_of(model):
    """The table's column, read off the model's layers."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            assert layer.padding == "same"
            assert layer.strides == (1, 1)
            assert layer.activation is keras.activations.relu
            yield f"conv{layer.kernel_size[0]}-{layer.filters}"
        elif isinstance(layer, LocalResponseNormalization):
            yield "LRN"
        elif isinstance(layer, keras.layers.MaxPooling2D):
            assert layer.pool_size == layer.strides == (2, 2)
            yield "maxpool"


def count(words, side, channels, classes):
    """Parameters by the table's words alone."""
    total = 0
    for word in words:
        if word == "maxpool":
            side //= 2
        elif word.startswith("conv"):
            size, filters = map(int, word[4:].split("-"))
            total += (size * size * channels + 1) * filters
            channels = filters
    for units in (4096, 4096, classes):
        inputs = side * side * channels if side else channels
        total += (inputs + 1) * units
        side, channels = 0, units
    return total


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize(
    ("builder", "column", "layers", "millions"),
    list(zip(BUILDERS, COLUMNS, WEIGHT_LAYERS, MILLIONS, strict=True)),
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_is_its_column_of_table_1(builder, column, layers, millions):
    model = builder(input_shape=(32, 32, 3), classes=10)
    words = [word for word in column if word != "-"]
    assert list(words_of(model)) == words
    assert sum(bool(layer.weights) for layer in model.layers) == layers
    assert model.count_params() == count(words, 32, 3, 10)
    assert round(count(words, 224, 3, 1000) / 1e6) == millions


def photographs(side):
    images = {int(label): image for image, label in data.load("photos", image_size=side).as_numpy_iterator()}
    return np.stack([images[0], images[5]])  # the astronaut and the rocket


def same_logits(name, side):
    """Our network and Keras' with the same random weights: (difference, logits of two photographs)."""
    theirs = getattr(keras.applications, name.upper())(
        weights=None, classifier_activation=None, input_shape=(side, side, 3), classes=1000
    )
    ours = getattr(architectures, name)(input_shape=(side, side, 3))
    # The common names of the columns D and E.
    assert ours.name == name
    assert list(words_of(ours)) == [word for word in COLUMNS[{"vgg16": 4, "vgg19": 5}[name]] if word != "-"]
    random = np.random.default_rng(0)
    # Their kernels start by Glorot's rule, which lets signals fade; wider ones and biases leave nothing to chance.
    weights = [
        random.normal(0, np.sqrt(2 / np.prod(w.shape[:-1])) if len(w.shape) > 1 else 0.1, w.shape).astype("float32")
        for w in theirs.weights
    ]
    theirs.set_weights(weights)
    ours.set_weights(weights)
    images = photographs(side) - 0.45
    logits = np.asarray(keras.Model(ours.input, ours.get_layer("logits").output)(images))
    return np.abs(logits - theirs(images)).max(), logits


def check_same_logits(name, side):
    difference, logits = same_logits(name, side)
    assert difference < 1e-4 * logits.std()
    # Two photographs are told apart: a wrong scale or order of channels would not pass for round-off.
    assert np.abs(logits[0] - logits[1]).max() > 0.5 * logits.std()


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.parametrize("name", ["vgg16", pytest.param("vgg19", marks=pytest.mark.slow)])
def test_gives_the_logits_of_keras_applications(name):
    check_same_logits(name, 64)


@pytest.mark.usefixtures("zero_weights")
@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_gives_the_logits_of_keras_applications_at_full_size(name):
    check_same_logits(name, 224)


def test_an_image_too_small_is_refused():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        vgg_c(input_shape=(31, 40, 3))
    assert str(error.value) == (
        "`input_shape` must be at least 32x32 here: of smaller images the network's strides leave nothing. "
        "Received: input_shape=(31, 40, 3)."
    )
