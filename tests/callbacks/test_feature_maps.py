import re

import keras
import numpy as np
import pytest
from event_helpers import read_steps
from picture_helpers import read_images, see

from kerasdl.callbacks import Examples, FeatureMapSummary

IMAGES = np.random.default_rng(0).random((5, 8, 12, 3), dtype="float32")


def network(activation="relu"):
    stack = [
        keras.layers.Conv2D(6, 3, padding="same", activation=activation),
        keras.layers.MaxPooling2D(),
        keras.layers.Conv2D(4, 3, padding="same", activation=activation, name="upper"),
        keras.layers.Flatten(),
    ]
    model = keras.Sequential([keras.Input((8, 12, 3)), *stack, keras.layers.Dense(2)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    return model


def watch(model, *chosen, epochs=1):
    model.fit(IMAGES, np.ones((5, 2)), epochs=epochs, callbacks=list(chosen), verbose=0)


class _Remember(keras.callbacks.Callback):
    """What a layer gives after each epoch, by another model."""

    def __init__(self, number):
        super().__init__()
        self.number, self.maps = number, []

    def on_epoch_end(self, epoch, logs=None):
        inner = keras.Model(self.model.inputs[0], self.model.layers[self.number].output)
        self.maps.append(inner(IMAGES[:2]).numpy())


@pytest.mark.parametrize("activation", ["relu", pytest.param("linear", marks=pytest.mark.slow)])
def test_the_picture_is_the_image_and_beside_it_the_maps(tmp_path, activation):
    model, remember = network(activation), _Remember(0)
    watch(model, remember, FeatureMapSummary(tmp_path, (IMAGES, np.ones(5)), count=2), epochs=2)
    pictures = read_images(tmp_path, "feature_maps/conv2d")
    assert sorted(pictures) == [0, 1]
    for step, maps in enumerate(remember.maps):
        top = np.quantile(np.abs(maps), 0.99)
        shares = (maps / top if activation == "relu" else 0.5 + maps / (2 * top)).clip(0, 1)
        assert len(pictures[step]) == 2
        for picture, image, expected in zip(pictures[step], IMAGES, shares, strict=False):
            # 12 pixels become 252: each is a square of 21.
            shown = picture[: 8 * 21, : 12 * 21]
            np.testing.assert_allclose(shown[10::21, 10::21] / 255, image, atol=0.51 / 255)
            # Six maps of 8x12 in two columns and three rows, 8 pixels for each value, 2 pixels apart.
            sheet = picture[:, 12 * 21 + 16 :]
            assert sheet.shape == (3 * 8 * 8 + 2 * 2, 2 * 12 * 8 + 2, 3)
            for channel in range(6):
                row, column = divmod(channel, 2)
                tile = sheet[row * 66 : row * 66 + 64, column * 98 : column * 98 + 96]
                for colour in range(3):
                    values = tile[4::8, 4::8, colour] / 255
                    np.testing.assert_allclose(values, expected[..., channel], atol=0.6 / 255)


def test_the_last_layer_of_each_size_is_taken_and_tags_do_not_change_between_runs(tmp_path):
    for run in "ab":
        see(FeatureMapSummary(tmp_path / run, IMAGES), network())
        assert read_steps(tmp_path / run) == {"feature_maps/conv2d": [0], "feature_maps/upper": [0]}
    assert len(read_images(tmp_path / "a", "feature_maps/upper")[0]) == 3


@pytest.mark.parametrize("name", ["upper", "conv2d", "own"])
def test_layers_are_named_as_keras_or_as_tags_name_them(tmp_path, name):
    network()  # Keras' second model of the process counts on: its first convolution is conv2d_1.
    model = network()
    wanted = model.layers[0].name if name == "own" else name
    see(FeatureMapSummary(tmp_path, IMAGES, [wanted]), model)
    assert list(read_steps(tmp_path)) == [f"feature_maps/{'upper' if name == 'upper' else 'conv2d'}"]


def test_layers_inside_a_model_and_only_some_channels(tmp_path):
    inner = keras.Sequential([keras.layers.Conv2D(6, 3, padding="same", activation="relu")], name="inner")
    model = keras.Sequential([keras.Input((8, 12, 3)), inner, keras.layers.Flatten(), keras.layers.Dense(2)])
    see(FeatureMapSummary(tmp_path, Examples(IMAGES), "inner/conv2d", count=1, channels=2), model)
    [picture] = read_images(tmp_path, "feature_maps/inner/conv2d")[0]
    # Two maps of 8x12 above each other.
    assert picture.shape == (8 * 21, 12 * 21 + 16 + 2 * 96 + 2, 3)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.maps, self.head = keras.layers.Conv2D(3, 3), keras.layers.Dense(2)

    def call(self, x):
        return self.head(keras.ops.mean(self.maps(x), (1, 2)))


def test_a_model_that_is_a_class(tmp_path):
    model = Subclassed()
    model.compile("sgd", "mse")
    watch(model, FeatureMapSummary(tmp_path, IMAGES))
    assert list(read_steps(tmp_path)) == ["feature_maps/conv2d"]


def test_weights_that_are_no_numbers_end_nothing(tmp_path):
    see(FeatureMapSummary(tmp_path, IMAGES, "upper", count=1), network(), spoil=True)
    [picture] = read_images(tmp_path, "feature_maps/upper")[0]
    assert (picture[: 4 * 16, -6 * 16 :] == 0).all()


def test_a_large_image_is_shown_smaller_and_grey_beside_grey(tmp_path):
    layers = [keras.layers.Conv2D(2, 3, strides=8), keras.layers.Flatten(), keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((400, 600, 1)), *layers])
    flat = np.full((5, 400, 600, 1), 0.4, "float32")
    see(FeatureMapSummary(tmp_path, flat, count=1), model)
    [picture] = read_images(tmp_path, "feature_maps/conv2d")[0]
    assert picture.shape[2] == 1
    assert (picture[:171, :256] == 102).all()  # 600 x 400 becomes 256 x 171
    assert (picture[171:, :256] == 255).all() or len(picture) == 171


@pytest.mark.parametrize(
    ("data", "options", "text"),
    [
        (
            IMAGES,
            {"layers": "lower"},
            "`layer` must name a layer of model 'sequential'. Received: 'lower'. The closest",
        ),
        (IMAGES, {"layers": "dense"}, "`layer` must give maps, (height, width, channels). Received: 'dense'"),
        (IMAGES[:, :4], {}, "takes images of shape (8, 12, 3). Received: images of shape (4, 12, 3)."),
        (np.ones((3, 4)), {}, "`images` must have shape (N, height, width, channels). Received: shape (3, 4)."),
        (IMAGES, {"layers": []}, "`layers` must name at least one layer, or be None. Received: none."),
        (IMAGES, {"count": 0}, "`count` must be a whole number of at least 1. Received: count=0."),
        (IMAGES, {"channels": 1.5}, "`channels` must be a whole number of at least 1. Received: channels=1.5."),
    ],
)
def test_what_is_wrong_is_told_before_the_first_epoch(tmp_path, data, options, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        see(FeatureMapSummary(tmp_path, data, **options), network())
    assert list(tmp_path.iterdir()) == []


def test_images_may_stand_alone_in_a_dictionary():
    images = np.zeros((3, 4, 4, 1))
    for x in (images, {"image": images}, [images]):
        assert Examples((x, np.arange(3))).images.shape == images.shape
    text = "`data` must hold images as its only inputs. Received: x of 2 arrays."
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        _ = Examples(({"image": images, "age": np.zeros(3)}, np.arange(3))).images
