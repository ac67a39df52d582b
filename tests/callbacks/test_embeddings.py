import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from event_helpers import read_steps
from google.protobuf import text_format
from picture_helpers import read_texts, see
from tensorboard.plugins import projector

from kerasdl.callbacks import EmbeddingSummary, Examples
from kerasdl.sequences import classifier

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.random((40, 4, 4, 1), dtype="float32")
LABELS = GENERATOR.integers(0, 3, 40)
NAMES = ["cat", "dog", "cow"]


def network(name="features"):
    layers = [
        keras.layers.Flatten(),
        keras.layers.Dense(5, activation="relu", name=name, bias_initializer="ones"),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(3, name="logits"),
        keras.layers.Softmax(name="predictions"),
    ]
    model = keras.Sequential([keras.Input((4, 4, 1)), *layers])
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model


def read_points(log_dir, name):
    """What the projector gets: the points, the table beside them as rows of dictionaries, and the entry."""
    config = text_format.Parse((log_dir / "projector_config.pbtxt").read_text(), projector.ProjectorConfig())
    entry = {entry.tensor_name: entry for entry in config.embeddings}[name]
    lines = [line.split("\t") for line in (log_dir / entry.metadata_path).read_text().splitlines()]
    rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:]]
    points = np.loadtxt(log_dir / entry.tensor_path, delimiter="\t", ndmin=2)
    assert list(points.shape) == list(entry.tensor_shape)
    return points, rows, entry


def by_numpy(model, images):
    """The features and the probabilities, without Keras."""
    (kernel, bias), (head, offset) = (model.layers[index].get_weights() for index in (1, 3))
    features = np.maximum(images.reshape(len(images), -1) @ kernel + bias, 0)
    shares = np.exp(features @ head + offset)
    return features, shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("layer", [None, "features"])
def test_points_are_the_features_with_what_is_known_of_each(tmp_path, layer):
    model = network()
    see(EmbeddingSummary(tmp_path, (IMAGES, LABELS), layer, class_names=NAMES), model, steps=(3,))
    points, rows, entry = read_points(tmp_path, "embeddings/features")
    features, shares = by_numpy(model, IMAGES)
    np.testing.assert_allclose(points, features, rtol=1e-5, atol=1e-6)
    for number, (row, label, share) in enumerate(zip(rows, LABELS, shares, strict=True)):
        assert row == {
            "class": NAMES[label],
            "predicted": NAMES[share.argmax()],
            "right": "yes" if share.argmax() == label else "no",
            "probability": f"{share.max():.3f}",
            "number": str(number),
        }
    sprite = tf.io.decode_png((tmp_path / entry.sprite.image_path).read_bytes()).numpy()
    assert list(entry.sprite.single_image_dim) == [4, 4]
    np.testing.assert_allclose(sprite[4:8, 8:12, 0] / 255, IMAGES[9, ..., 0], atol=1 / 255)  # Seven in a row.
    text = "40 points of 5 numbers: see the page Projector, `embeddings/features`."
    assert read_texts(tmp_path, "embeddings/features") == {3: text}


@pytest.mark.slow
def test_the_newest_state_stays_or_all_of_them(tmp_path):
    for history in (False, True):
        model, folder = network(), tmp_path / str(history)
        callback = EmbeddingSummary(folder, Examples((IMAGES, LABELS)), count=10, history=history)
        model.fit(IMAGES, LABELS, epochs=2, callbacks=[callback], verbose=0)
        newest, _, _ = read_points(folder, "embeddings/features")
        np.testing.assert_allclose(newest, by_numpy(model, IMAGES[:10])[0], rtol=1e-5, atol=1e-6)
        states = sorted(path.name for path in folder.glob("projector/embeddings/features/epoch_*"))
        assert states == (["epoch_0000", "epoch_0001"] if history else [])
        assert read_steps(folder) == {"embeddings/features": [0, 1]}
    first, _, _ = read_points(folder, "embeddings/features/epoch_0000")
    last, _, _ = read_points(folder, "embeddings/features/epoch_0001")
    np.testing.assert_array_equal(last, newest)
    assert np.abs(first - last).max() > 1e-3


def test_names_given_by_keras_do_not_change_between_runs(tmp_path):
    for run in ("first", "second"):
        see(EmbeddingSummary(tmp_path / run, IMAGES), network(name=None))
        assert (tmp_path / run / "projector/embeddings/dense/tensor.tsv").exists()
    # Without labels there is nothing to know but the number, and one column has no heading.
    assert (tmp_path / "first/projector/embeddings/dense/metadata.tsv").read_text().split() == [
        str(n) for n in range(40)
    ]


def test_words_of_a_matrix(tmp_path):
    model = classifier(["eggs", "free", "win"], classes=("ham", "spam"), units=4, embedding=6)
    see(EmbeddingSummary(tmp_path), model)
    points, rows, entry = read_points(tmp_path, "embeddings/embedding")
    np.testing.assert_allclose(points, model.get_layer("embedding").get_weights()[0], rtol=1e-5)
    assert [row["word"] for row in rows] == ["(padding)", "[UNK]", "eggs", "free", "win"]
    assert not entry.HasField("sprite")
    see(EmbeddingSummary(tmp_path, words=list("abcde"), count=3), model)
    points, rows, _ = read_points(tmp_path, "embeddings/embedding")
    assert [row["word"] for row in rows] == ["a", "b", "c"]
    np.testing.assert_allclose(points, model.get_layer("embedding").get_weights()[0][:3], rtol=1e-5)


@pytest.mark.slow
def test_texts_stand_beside_their_points(tmp_path):
    model = classifier(["eggs", "free", "win"], classes=("ham", "spam"), units=4, embedding=6)
    texts = np.array(["free eggs", "win " * 40, "eggs\tand\neggs"], dtype=object)
    see(EmbeddingSummary(tmp_path, (texts, np.array([0, 1, 0])), class_names=("ham", "spam")), model)
    _, rows, _ = read_points(tmp_path, "embeddings/recurrent1")
    assert [row["text"] for row in rows] == ["free eggs", ("win " * 15).strip(), "eggs and eggs"]
    assert [row["class"] for row in rows] == ["ham", "spam", "ham"]


def test_several_texts_of_an_example_are_no_text_of_it(tmp_path):
    inputs = keras.Input((2,), dtype="string")
    numbers = keras.layers.StringLookup(vocabulary=["a", "b"], output_mode="multi_hot")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Dense(3, name="features")(numbers)))
    model.compile("sgd", "mse")
    see(EmbeddingSummary(tmp_path, (np.array([["a", "b"], ["b", "b"], ["a", "a"]]), np.array([0, 1, 0]))), model)
    _, rows, _ = read_points(tmp_path, "embeddings/features")
    assert [row["class"] for row in rows] == ["0", "1", "0"]
    assert "text" not in rows[0]


class Network(keras.Model):
    """A model without a graph, whose body is a model in it."""

    def __init__(self):
        super().__init__()
        self.body = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(4, name="inner")], name="body")
        self.head = keras.layers.Dense(2)

    def call(self, images, training=None):
        return {"predictions": self.head(self.body(images, training=training))}


def test_a_model_that_is_a_class_and_is_built_while_it_trains(tmp_path):
    model = Network()
    model.compile("sgd", {"predictions": keras.losses.SparseCategoricalCrossentropy(from_logits=True)})
    model.fit(IMAGES, LABELS % 2, callbacks=[EmbeddingSummary(tmp_path, (IMAGES, LABELS % 2))], verbose=0)
    points, rows, _ = read_points(tmp_path, "embeddings/body/inner")
    kernel, bias = model.body.layers[1].get_weights()
    np.testing.assert_allclose(points, IMAGES.reshape(40, -1) @ kernel + bias, rtol=1e-5, atol=1e-5)
    assert {row["predicted"] for row in rows} <= {"0", "1"}


def test_vectors_that_are_not_finite_are_left_out(tmp_path):
    model = network()
    model.layers[1].kernel.assign(np.full((16, 5), np.inf))
    see(EmbeddingSummary(tmp_path, (IMAGES, LABELS)), model)
    assert not (tmp_path / "projector_config.pbtxt").exists()
    assert read_steps(tmp_path) == {}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"count": 0}, "`count` must be a whole number of examples, at least 1. Received: count=0."),
        (
            {"data": IMAGES, "words": ["a"]},
            "`words` are for the rows of a matrix, `class_names` for examples. Received: data and words.",
        ),
    ],
)
def test_wrong_arguments(tmp_path, arguments, text):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        EmbeddingSummary(tmp_path, **arguments)


@pytest.mark.parametrize(
    ("layers", "arguments", "text"),
    [
        (
            [keras.layers.Dense(2, name="end")],
            {},
            "Expected `data`, or a model with one Embedding layer, or the name of one as `layer`. Received: a model "
            "with none.",
        ),
        (
            [keras.layers.Embedding(3, 2, name="a"), keras.layers.Embedding(3, 2, name="b")],
            {},
            "Expected `data`, or a model with one Embedding layer, or the name of one as `layer`. Received: a model "
            "with 2: a, b.",
        ),
        (
            [keras.layers.Dense(2, name="end")],
            {"layer": "end"},
            "Without `data`, `layer` must be an Embedding layer. Received: 'end', a Dense. Give `data` for the "
            "features of examples.",
        ),
        (
            [keras.layers.Embedding(3, 2, name="a")],
            {"words": ["x"]},
            "`words` must have one for each of the 3 rows. Received: 1.",
        ),
        (
            [keras.layers.Dense(2, name="end")],
            {"data": np.ones((2, 3))},
            "`layer` must name the layer whose features are wanted: model 'wrong' has none that gives one vector per "
            "example before its last layer with weights.",
        ),
        (
            [keras.layers.Dense(2)],
            {"data": np.ones((2, 3)), "layer": "x"},
            "`layer` must name a layer of model 'wrong'.",
        ),
    ],
)
def test_what_is_wrong_is_told_before_the_first_epoch(tmp_path, layers, arguments, text):
    callback = EmbeddingSummary(tmp_path, **arguments)
    callback.set_model(keras.Sequential([keras.Input((3,)), *layers], name="wrong"))
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        callback.on_train_begin()
    assert list(tmp_path.iterdir()) == []
