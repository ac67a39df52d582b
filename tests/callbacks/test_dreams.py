import re

import keras
import numpy as np
import pytest
from event_helpers import read_steps
from picture_helpers import read_images, see

from kerasdl.callbacks import DreamSummary
from kerasdl.callbacks.images import pixels
from kerasdl.visualization import maximize, plots
from kerasdl.visualization.regularizers import Blur, Decay, Jitter

IMAGES = np.random.default_rng(0).random((6, 8, 8, 3), dtype="float32")
LABELS = np.arange(6) % 3


def linear(classes=3, activation="softmax"):
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(classes, activation=activation)]
    )
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model


def convolutional():
    stack = [keras.layers.Conv2D(12, 3, activation="relu"), keras.layers.Flatten()]
    model = keras.Sequential([keras.Input((8, 8, 3)), *stack, keras.layers.Dense(3, activation="softmax")])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model


def watch(model, *chosen, epochs=1):
    model.fit(IMAGES, LABELS, epochs=epochs, callbacks=list(chosen), verbose=0)


@pytest.fixture
def drawn(monkeypatch):
    """What is given to the plot that is drawn."""
    calls, draw = [], plots.image_grid

    def image_grid(images, titles):
        calls.append((images, titles))
        return draw(np.zeros((1, 2, 2)))

    monkeypatch.setattr(plots, "image_grid", image_grid)
    return calls


class _Kernels(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.model.layers[-1].get_weights())


@pytest.mark.parametrize("bounds", [pytest.param((0.0, 1.0), marks=pytest.mark.slow), (-2.0, 3.0)])
def test_of_a_linear_network_the_best_image_is_known(tmp_path, drawn, bounds):
    model, kernels = linear(), _Kernels()
    names = ["cat", "dog", "hen"]
    options = {"steps": 600, "regularizers": (), "bounds": bounds, "learning_rate": 0.1}
    watch(model, kernels, DreamSummary(tmp_path, [2, 0], class_names=names, **options), epochs=2)
    for step, (kernel, bias) in enumerate(kernels.seen):
        images, titles = drawn[step]
        for image, title, target in zip(images, titles, [2, 0], strict=True):
            # The largest sum of weighted pixels has every pixel at the bound that its weight's sign says. A tiny weight
            # may not have got there yet.
            weights = kernel[:, target]
            clear = np.abs(weights) > 0.1 * np.abs(weights).mean()
            np.testing.assert_array_equal(image.ravel()[clear], weights[clear] > 0)
            best = np.where(weights > 0, bounds[1], bounds[0]) @ weights + bias[target]
            name, score = title.split("\n")
            assert name == names[target]
            assert float(score.removeprefix("score ")) == pytest.approx(best, rel=0.01)
    assert read_steps(tmp_path) == {"dreams/classes": [0, 1]}


def test_the_plot_is_what_is_written(tmp_path):
    model = linear()
    see(DreamSummary(tmp_path, [1], steps=3, regularizers=(), start="zeros"), model)
    ascent = maximize(model, [1], steps=3)
    figure = plots.image_grid(np.rint(255 * ascent.images) / 255, [f"1\nscore {ascent.scores[-1, 0]:.3g}"])
    [written] = read_images(tmp_path, "dreams/classes")[0]
    np.testing.assert_array_equal(written, pixels(figure))


def test_unless_told_otherwise_it_is_the_ascent_of_the_first_ten_with_gentle_rules(tmp_path, drawn):
    model = linear(classes=12)
    see(DreamSummary(tmp_path, steps=5), model)
    rules = (Jitter(0), Decay(0.01), Blur(0.7, every=4))
    expected = maximize(model, range(10), start="noise", steps=5, regularizers=rules).images
    images, titles = drawn[0]
    np.testing.assert_allclose(images, expected, atol=0.51 / 255)
    assert [title.split("\n")[0] for title in titles] == [str(number) for number in range(10)]


@pytest.mark.parametrize("name", ["conv2d", "own"])
def test_channels_of_a_layer(tmp_path, drawn, name):
    convolutional()  # The next one's layer is conv2d_1 to Keras, and conv2d to TensorBoard.
    model = convolutional()
    layer = model.layers[0].name if name == "own" else name
    see(DreamSummary(tmp_path, [11, 3], layer=layer, steps=3, seed=7), model)
    assert read_steps(tmp_path) == {"dreams/conv2d": [0]}
    rules = (Jitter(0), Decay(0.01), Blur(0.7, every=4))
    found = maximize(
        model, [11, 3], layer=model.layers[0].name, start="noise", steps=3, regularizers=rules, seed=7, bounds=(0, 1)
    )
    images, titles = drawn[0]
    np.testing.assert_allclose(images, found.images, atol=0.51 / 255)
    assert titles == [f"channel {n}\nscore {s:.3g}" for n, s in zip([11, 3], found.scores[-1], strict=True)]


def test_a_single_output_is_of_two_classes_and_unbounded_images_are_stretched(tmp_path, drawn):
    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")]
    )
    callback = DreamSummary(tmp_path, bounds=None, regularizers=(), steps=50)
    see(callback, model)
    images, titles = drawn[0]
    assert [title.split("\n")[0] for title in titles] == ["0", "1"]
    # What is for the one class is against the other.
    correlation = np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1]
    assert correlation < -0.9
    assert (images.min(), images.max()) == (0, 1)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.maps, self.head = keras.layers.Conv2D(3, 3), keras.layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.head(keras.ops.mean(self.maps(x), (1, 2)))


@pytest.mark.slow
def test_a_model_that_is_a_class_needs_the_size(tmp_path):
    model = Subclassed()
    model.compile("sgd", "sparse_categorical_crossentropy")
    text = "The size of the images is not known from the model. Give `image_shape=(height, width, channels)`."
    with pytest.raises(ValueError, match=re.escape(text)):
        watch(model, DreamSummary(tmp_path))
    watch(model, DreamSummary(tmp_path, [1], steps=2, image_shape=(8, 8, 3)))
    assert read_steps(tmp_path) == {"dreams/classes": [0]}


def test_weights_that_are_no_numbers_end_nothing(tmp_path, drawn):
    see(DreamSummary(tmp_path, [1], steps=2), linear(), spoil=True)
    [(images, titles)] = drawn
    assert not images.any()
    assert titles == ["1\nscore nan"]


def test_a_network_that_sees_nothing_yet_warns_of_nothing(tmp_path):
    model = convolutional()
    model.layers[0].set_weights([np.zeros((3, 3, 3, 12)), np.full(12, -1.0)])
    see(DreamSummary(tmp_path, [1], layer="conv2d", steps=2), model)
    assert read_steps(tmp_path) == {"dreams/conv2d": [0]}


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"targets": [3]}, ValueError, "`target` must be a class from 0 to 2 of model 'sequential'. Received: 3."),
        ({"targets": []}, ValueError, "`targets` must hold at least one class or channel, or be None. Received: none."),
        ({"layer": "conv"}, ValueError, "`layer` must name a layer of model 'sequential'. Received: 'conv'."),
        ({"class_names": ["a"]}, ValueError, "`class_names` must have one name for each of the 3 classes."),
        ({"steps": 0}, ValueError, "`steps` must be a whole number of at least 1. Received: steps=0."),
        ({"bounds": (1, 0)}, ValueError, "`bounds` must be a smaller and a larger number, or None. Received: (1, 0)."),
        ({"regularisers": ()}, TypeError, "unexpected keyword argument 'regularisers'"),
        (
            {"layer": "dense", "class_names": ["a"]},
            ValueError,
            "`class_names` is for classes, and channels have no names. Received: layer='dense'.",
        ),
    ],
)
def test_what_is_wrong_is_told_before_the_first_epoch(tmp_path, options, error, text):
    with pytest.raises(error, match=re.escape(text)):
        see(DreamSummary(tmp_path, **options), linear())
    assert list(tmp_path.iterdir()) == []
