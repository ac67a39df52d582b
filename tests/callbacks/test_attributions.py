import functools
import re
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_steps
from picture_helpers import read_images, see

from kerasdl.callbacks import AttributionSummary, Examples
from kerasdl.callbacks.images import pixels
from kerasdl.visualization import class_activation_map, grad_cam, guided_backpropagation, plots, saliency

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.random((10, 8, 8, 3), dtype="float32")
LABELS = GENERATOR.integers(0, 3, 10)
NAMES = ["cat", "dog", "hen"]


def network(classes=3, activation="softmax", loss="sparse_categorical_crossentropy"):
    stack = [
        keras.layers.Conv2D(4, 3, padding="same", activation="relu", name="maps"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(classes, activation=activation, name="head"),
    ]
    model = keras.Sequential([keras.Input((8, 8, 3)), *stack])
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model


def watch(model, *chosen, labels=LABELS, epochs=1):
    model.fit(IMAGES, labels, epochs=epochs, callbacks=list(chosen), verbose=0)


@pytest.fixture
def drawn(monkeypatch):
    """What is given to the plot that is drawn."""
    calls = []

    def overlay_grid(images, maps, titles, *, columns):
        assert columns == min(len(maps), 4)  # Nobody stands alone in a last row.
        calls.append((images, maps, titles))
        return plots.image_grid(np.zeros((1, 2, 2)))

    monkeypatch.setattr(plots, "overlay_grid", overlay_grid)
    return calls


def maps_and_probabilities(model, images):
    """Where global average pooling and a dense layer follow, by NumPy: the maps weighted by the head, rectified."""
    maps = keras.Model(model.inputs[0], model.get_layer("maps").output)(images).numpy()
    kernel, bias = model.get_layer("head").get_weights()
    logits = maps.mean((1, 2)) @ kernel + bias
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    # The gradient of a class's score by a place of a map is the class's weight, over the number of places.
    return np.maximum(np.einsum("nhwc,nc->nhw", maps, kernel.T[shares.argmax(1)] / 64), 0), shares


class _Expected(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(maps_and_probabilities(self.model, IMAGES[:4]))


def test_the_picture_is_the_maps_on_the_images_with_what_is_true_and_what_is_said(tmp_path, drawn):
    model, expected = network(), _Expected()
    data = tf.data.Dataset.from_tensor_slices((IMAGES, LABELS)).batch(3)
    watch(model, expected, AttributionSummary(tmp_path, data, count=4, class_names=NAMES), epochs=2)
    assert read_steps(tmp_path) == {"attributions/grad_cam": [0, 1]}
    for step, (maps, shares) in enumerate(expected.seen):
        images, shown, titles = drawn[step]
        np.testing.assert_allclose(images, IMAGES[:4], atol=0.51 / 255)
        np.testing.assert_allclose(shown, maps, atol=1e-6)
        said = [f"says {NAMES[row.argmax()]} {row.max():.0%}" for row in shares]
        assert titles == [
            f"{NAMES[label]}\n{text}" + ("" if values.any() else "\nzero everywhere")
            for label, text, values in zip(LABELS, said, maps, strict=False)
        ]


def test_the_plot_is_what_is_written(tmp_path):
    model = network()
    see(AttributionSummary(tmp_path, (IMAGES, LABELS), saliency, count=2), model)
    shares = model(IMAGES[:2]).numpy()
    titles = [f"{label}\nsays {row.argmax()} {row.max():.0%}" for label, row in zip(LABELS, shares, strict=False)]
    figure = plots.overlay_grid(np.rint(255 * IMAGES[:2]) / 255, saliency(model, IMAGES[:2]), titles)
    [written] = read_images(tmp_path, "attributions/saliency")[0]
    np.testing.assert_array_equal(written, pixels(figure))


def test_any_function_of_a_model_and_images_will_do(tmp_path, drawn):
    def distance_from_grey(model, images):
        return np.abs(images - 0.5).mean(-1)

    of_truth = functools.partial(grad_cam, target=LABELS[:2], layer="maps")
    methods = [
        AttributionSummary(tmp_path, IMAGES, saliency, count=2),
        AttributionSummary(tmp_path, IMAGES, guided_backpropagation, count=2),
        AttributionSummary(tmp_path, IMAGES, class_activation_map, count=2),
        AttributionSummary(tmp_path, IMAGES, of_truth, count=2),
        AttributionSummary(tmp_path, IMAGES, of_truth, count=2, name="of_truth"),
        AttributionSummary(tmp_path, IMAGES, distance_from_grey, count=2),
    ]
    model = network()
    for each in methods:
        see(each, model)
    names = ["class_activation_map", "distance_from_grey", "grad_cam", "guided_backpropagation", "of_truth", "saliency"]
    assert list(read_steps(tmp_path)) == [f"attributions/{name}" for name in names]
    functions = [saliency, guided_backpropagation, class_activation_map, of_truth, of_truth, distance_from_grey]
    for (_, maps, titles), function in zip(drawn, functions, strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # Some maps may be empty.
            np.testing.assert_allclose(maps, function(model, IMAGES[:2]), atol=1e-6)
        assert [title.startswith("says ") for title in titles] == [True, True]  # Without labels there is no truth.


def test_what_was_predicted_is_shared(tmp_path):
    examples, model = Examples((IMAGES, LABELS)), network()
    seen = []

    class Looks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(examples.predict(self.model, epoch))

    class LooksAgain(Looks):
        pass

    watch(model, Looks(), AttributionSummary(tmp_path, examples, count=3), LooksAgain())
    assert seen[0] is seen[1]
    assert len(seen[0]) == 10


def test_an_empty_map_is_said_to_be_empty(tmp_path, drawn):
    model = network()
    model.get_layer("maps").set_weights([np.zeros((3, 3, 3, 4)), np.full(4, -1.0)])
    see(AttributionSummary(tmp_path, IMAGES, count=2), model)
    assert [title.split("\n")[1] for title in drawn[0][2]] == ["zero everywhere"] * 2


@pytest.mark.parametrize("method", [grad_cam, saliency, guided_backpropagation, class_activation_map])
def test_weights_that_are_no_numbers_end_nothing(tmp_path, drawn, method):
    see(AttributionSummary(tmp_path, (IMAGES, LABELS), method, count=2), network(), spoil=True)
    [(_, maps, titles)] = drawn
    assert not np.any(maps)
    for label, title in zip(LABELS[:2], titles, strict=True):
        assert title.startswith(f"{label}\nsays nothing\n")
    assert list(read_images(tmp_path, f"attributions/{method.__name__}")) == [0]


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.maps, self.head = keras.layers.Conv2D(3, 3), keras.layers.Dense(1, activation="sigmoid")

    def call(self, x):
        return {"aside": x, "predictions": self.head(keras.ops.mean(self.maps(x), (1, 2)))}


@pytest.mark.slow
def test_a_model_that_is_a_class_with_several_outputs(tmp_path, drawn):
    model = Subclassed()
    model.compile("sgd", {"aside": None, "predictions": "binary_crossentropy"})
    truth = {"aside": IMAGES, "predictions": LABELS > 0}
    callback = AttributionSummary(tmp_path, (IMAGES, truth), count=2, class_names=["no", "yes"])
    watch(model, callback, labels=truth)
    likely = model(IMAGES[:2])["predictions"].numpy()[:, 0]
    for title, probability, is_yes in zip(drawn[0][2], likely, LABELS[:2] > 0, strict=True):
        said = f"yes {probability:.0%}" if probability > 0.5 else f"no {1 - probability:.0%}"
        assert title.split("\n")[:2] == ["yes" if is_yes else "no", f"says {said}"]


def test_a_model_of_another_kind_has_maps_without_classes(tmp_path, drawn):
    model = network(1, None, "mse")
    values = GENERATOR.random(10)
    see(AttributionSummary(tmp_path, (IMAGES, values), saliency, count=2), model)
    assert drawn[0][2] == ["", ""]


def wrong_size(model, images):
    return np.zeros((len(images), 2, 2))


@pytest.mark.parametrize(
    ("data", "options", "error", "text"),
    [
        ((IMAGES, LABELS + 1), {}, ValueError, "The labels of `data` must be classes from 0 to 2"),
        (IMAGES, {"class_names": ["cat"]}, ValueError, "`class_names` must have one name for each of the 3 classes."),
        (IMAGES, {"method": functools.partial(grad_cam, layer="head")}, ValueError, "`layer` must give maps"),
        (
            IMAGES,
            {"method": wrong_size},
            ValueError,
            "`method` must return a map per image, (8, 8, 8) or (8, 8, 8, 'channels'). Received: 8 maps of shapes "
            "(2, 2).",
        ),
        (
            IMAGES,
            {"method": lambda model, images: 3},
            ValueError,
            "`method` must return a map per image, (8, 8, 8) or (8, 8, 8, 'channels'). Received: int.",
        ),
        (IMAGES, {"method": "grad_cam"}, TypeError, "`method` must be a function of a model and images. Received: 'gr"),
        (IMAGES, {"count": 0}, ValueError, "`count` must be a whole number of at least 1. Received: count=0."),
        (
            np.ones((3, 4)),
            {},
            ValueError,
            "`images` must have shape (N, height, width, channels). Received: shape (3, 4",
        ),
    ],
)
def test_what_is_wrong_is_told_before_the_first_epoch(tmp_path, data, options, error, text):
    with pytest.raises(error, match=re.escape(text)):
        see(AttributionSummary(tmp_path, data, **options), network())
    assert list(tmp_path.iterdir()) == []
