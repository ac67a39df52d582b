"""Captions, and where each word looked."""

import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import numbers_in

import kerasdl
from kerasdl.sequences import caption, caption_batches, captioner, captions
from kerasdl.sequences.caption_decoder import CaptionDecoder

WORDS = ["a", "red", "star", "blue", "square", "above"]
SENTENCES = ["a red star above a square", "a blue star", "a square"]


@pytest.fixture(scope="module")
def images():
    colours = np.array([[1.0, 0.1, 0.0], [0.0, 0.2, 0.9], [0.1, 1.0, 0.3]])[:, None, None]
    return (colours * np.random.default_rng(0).uniform(size=(3, 16, 20, 3))).astype("float32")


def build(**options):
    """With a small encoder, to be quick."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 20, 3))
    encoder = keras.Model(inputs, keras.layers.Conv2D(6, 4, strides=4, name="mine")(inputs))
    return captioner(WORDS, encoder=encoder, units=8, embedding=4, **options)


def speak(model):
    """Large weights, so that the words differ."""
    above = [weight for layer in model.layers if layer.name.startswith("upper") for weight in layer.weights]
    for weight in model.get_layer("logits").weights + model.get_layer("decoder").weights + above:
        values = np.random.default_rng(len(weight.shape)).normal(size=weight.shape)
        weight.assign(3.0 * values / weight.shape[0] ** 0.5)
    return model


@pytest.fixture(scope="module")
def spatial():
    return speak(build(cell="lstm"))


def padded(captions, model):
    return model([tf.constant(captions[0]), tf.constant(captions[1])]).numpy()


@pytest.mark.parametrize(
    ("attention", "layers", "beam_width", "length_penalty"),
    [
        (True, 1, 1, 0.0),
        (True, 1, 3, 1.5),
        (True, 2, 1, 0.0),
        (False, 1, 1, 0.0),
        pytest.param(False, 2, 1, 0.0, marks=pytest.mark.slow),
    ],
)
def test_what_is_written_has_the_probability_that_the_trained_model_gives_it(
    images, spatial, attention, layers, beam_width, length_penalty
):
    model = spatial
    if layers == 2 or not attention:
        model = speak(build(attention=attention, cell="lstm" if attention else "elman", layers=layers, dropout=0.1))
    said = caption(model, images, beam_width=beam_width, length_penalty=length_penalty, length=9)
    probabilities = padded((images, said.sentences), model)
    number = model.get_layer("words").get_vocabulary().index
    for row, words, given in zip(probabilities, said.words, said.log_probabilities, strict=True):
        ids = [number(word) for word in words] + ([number("[END]")] if len(words) < 9 else [])
        assert sum(np.log(row[t, i]) for t, i in enumerate(ids)) == pytest.approx(given, abs=1e-4)
        if beam_width == 1:
            allowed = np.where(np.isin(np.arange(row.shape[1]), (0, 1, 2)), 0, row)
            assert allowed[: len(ids)].argmax(axis=1).tolist() == ids
    assert len({tuple(words) for words in said.words}) > 1 or attention is False


def test_the_maps_are_those_of_the_trained_model_and_end_with_the_sentence(images, spatial):
    said = caption(spatial, images, length=9)
    looks = keras.Model(spatial.inputs, spatial.get_layer("decoder").output[1])
    maps = padded((images, said.sentences), looks)
    assert said.maps.shape == (3, 9, 4, 5)
    for words, here, there in zip(said.words, said.maps, maps, strict=True):
        np.testing.assert_allclose(here[: len(words)], there[: len(words)], atol=1e-5)
        np.testing.assert_allclose(here[: len(words)].sum(axis=(1, 2)), 1, atol=1e-5)
        assert not here[len(words) :].any()


def test_without_attention_there_are_no_maps_and_a_model_that_has_written_can_be_forgotten(images):
    model = build(attention=False)
    assert caption(model, images, length=2).maps is None
    known = weakref.ref(model)
    del model
    gc.collect()
    assert known() is None


def test_a_second_call_traces_nothing_and_batches_do_not_matter(images, spatial, monkeypatch):
    together = caption(spatial, images, length=9)
    monkeypatch.setattr(captions, "beam_search", None)  # what tracing would call
    apart = caption(spatial, images, length=9, batch_size=2)
    assert apart.sentences == together.sentences
    np.testing.assert_allclose(apart.maps, together.maps, atol=1e-5)


@pytest.mark.slow
def test_it_learns_to_say_what_is_where():
    # A bright upper or lower half: what is above what.
    images = np.zeros((8, 16, 16, 3), "float32")
    images[::2, :8], images[1::2, 8:] = 1.0, 1.0
    sentences = ["a star above a square", "a square above a star"] * 4
    keras.utils.set_random_seed(0)
    inputs = keras.Input((16, 16, 3))
    encoder = keras.Model(inputs, keras.layers.AveragePooling2D(4)(inputs))
    model = captioner(WORDS, encoder=encoder, cell="elman", units=16, embedding=8)
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    batches = caption_batches(model, tf.data.Dataset.from_tensor_slices((images, sentences)), batch_size=4)
    kerasdl.training.fit(model, batches, epochs=20, verbose=0)
    assert caption(model, images[:2], length=8).sentences == sentences[:2]


def test_it_forgets_nothing_when_saved(images, spatial, tmp_path):
    spatial.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(padded((images, SENTENCES), loaded), padded((images, SENTENCES), spatial), atol=1e-6)
    assert caption(loaded, images, length=9).sentences == caption(spatial, images, length=9).sentences


@pytest.mark.parametrize("layers", [1, 2])
def test_the_mask_of_the_words_reaches_the_loss(images, spatial, layers):
    model = spatial if layers == 1 else build(layers=2)
    model.compile("sgd", "sparse_categorical_crossentropy")
    inputs = [tf.constant(images), tf.constant(SENTENCES)]
    (((pictures, said), targets),) = caption_batches(model, list(zip(images, SENTENCES, strict=True)))
    np.testing.assert_array_equal(pictures, images)
    assert said.numpy().tolist() == [sentence.encode() for sentence in SENTENCES]
    output = model(inputs)
    there = targets.numpy() != 0
    assert output._keras_mask.numpy().tolist() == there.tolist()
    likelihood = np.take_along_axis(output.numpy(), targets.numpy()[..., None], axis=2)[..., 0]
    assert float(model.compute_loss(y=targets, y_pred=output)) == pytest.approx(-np.log(likelihood[there]).mean(), 1e-5)


@pytest.mark.slow
def test_padding_counts_neither_in_the_loss_nor_in_the_metrics(images, spatial):
    spatial.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy", metrics=["accuracy"])
    batches = caption_batches(spatial, tf.data.Dataset.from_tensor_slices((images, SENTENCES)))
    (_, targets) = next(iter(batches))
    assert targets.numpy().tolist()[1] == [4, 7, 6, 3, 0, 0, 0]
    rows, steps = np.nonzero(targets.numpy())
    said = padded((images, SENTENCES), spatial)[rows, steps]
    right = targets.numpy()[rows, steps]
    loss, accuracy = -np.log(said[np.arange(14), right]).mean(), (said.argmax(axis=1) == right).mean()
    assert spatial.evaluate(batches, verbose=0) == pytest.approx([loss, accuracy], abs=1e-5)
    history = kerasdl.training.fit(spatial, batches, epochs=1, verbose=0).history
    assert (history["loss"][0], history["accuracy"][0]) == pytest.approx((loss, accuracy), abs=1e-5)


def test_an_encoder_of_ones_own_becomes_part_of_one_flat_graph(spatial):
    assert [layer.name for layer in spatial.layers if isinstance(layer, keras.layers.Conv2D)] == ["mine"]
    assert not any(isinstance(layer, keras.Model) for layer in spatial.layers)


def test_the_encoder_that_it_has_itself_makes_a_map_of_a_quarter(images):
    model = captioner(WORDS, input_shape=(16, 20, 3), units=8, embedding=4)
    assert caption(model, images, length=2).maps.shape == (3, 2, 4, 5)
    convolutions = 5 * 5 * 3 * 16 + 9 * (16 * 24 + 24 * 48 + 48 * 64 + 64 * 64)
    attention = 8 * 4 + 66 * 4 + 4
    vector = 4 * 5 * 64 * 8 + 8
    gru = 3 * ((4 + 66) * 8 + 8 * 8 + 2 * 8)
    words = 10 * 4 + (8 + 66) * 10 + 10
    normalisations = 2 * (16 + 24 + 48 + 64 + 64)
    first = 8 * 8 + 8
    count = numbers_in(model.trainable_weights)
    assert count == convolutions + normalisations + attention + vector + gru + words + first


def test_data_come_single_or_in_batches(images):
    model = build(attention=False)
    single = tf.data.Dataset.from_tensor_slices((images, SENTENCES))
    expected = [[[4, 5, 6, 9, 4, 8, 3], [4, 7, 6, 3, 0, 0, 0]], [[4, 8, 3]]]
    for pairs in (single, single.batch(2)):
        given = [targets.numpy().tolist() for _, targets in caption_batches(model, pairs, batch_size=2)]
        assert given == expected
    unknown = caption_batches(model, tf.data.Dataset.from_tensors((images[0], "a green star")))
    assert [targets.numpy().tolist() for _, targets in unknown] == [[[4, 1, 6, 3]]]


def test_shuffled_pairs_come_in_another_order_in_each_epoch_and_stay_pairs(images):
    model = build(attention=False)
    brightness = np.linspace(0, 1, 40, dtype="float32")
    pairs = tf.data.Dataset.from_tensor_slices(
        (np.ones((40, 16, 20, 3), "float32") * brightness[:, None, None, None], [f"{number}" for number in range(40)])
    )
    data = caption_batches(model, pairs.batch(16), batch_size=15, shuffle=True, seed=2)
    first, second = ([each for each, _ in data] for _ in range(2))
    orders = [[int(said) for _, captions in epoch for said in captions.numpy()] for epoch in (first, second)]
    assert [len(captions) for _, captions in first] == [15, 15, 10]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(40))
    assert orders[0] != orders[1] != list(range(40)) != orders[0]
    seen = np.concatenate([pictures.numpy()[:, 0, 0, 0] for pictures, _ in first])
    np.testing.assert_array_equal(seen, brightness[orders[0]])


def test_no_images_have_no_captions(images, spatial):
    said = caption(spatial, images[:0], length=9)
    assert (said.sentences, said.words) == ([], [])
    assert (said.maps.shape, said.log_probabilities.shape) == ((0, 9, 4, 5), (0,))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (
            lambda x: x[0],
            r"`images` must be numbers of shape \(N, 16, 20, 3\). Received: float32 .* \(16, 20, 3\)\.",
        ),
        (lambda x: x[:, :8], r"Received: float32 of shape \(3, 8, 20, 3\)\."),
        (lambda x: x.astype("str"), r"Received: <U\d+ of shape \(3, 16, 20, 3\)\."),
        (lambda x: x * 255, r"must be numbers in \[0, 1\]: divide images of whole numbers by 255. Received: numbers"),
        (lambda x: x * np.nan, r"Received: numbers from nan to nan\."),
    ],
)
def test_wrong_images_are_refused(images, spatial, change, text):
    with pytest.raises(ValueError, match=text):
        caption(spatial, change(images))


def test_wrong_pairs_are_refused(images, spatial):
    def pairs(pictures, sentences=SENTENCES):
        return tf.data.Dataset.from_tensor_slices((pictures, sentences))

    with pytest.raises(TypeError, match=r"`pairs` must be a list or a tf.data.Dataset of .*\. Received: tuple\.$"):
        caption_batches(spatial, (images, SENTENCES))
    with pytest.raises(TypeError, match=r"`pairs` must be a list of \(image, caption\). Received: one that is str\.$"):
        caption_batches(spatial, SENTENCES)
    with pytest.raises(ValueError, match=r"at least one image, and all of one shape. Received: \[\]\.$"):
        caption_batches(spatial, [])
    for name, value in (("batch_size", 0), ("batch_size", 2.5), ("seed", None)):
        with pytest.raises(ValueError, match=rf"^`{name}` must be a whole number of at least ."):
            caption_batches(spatial, pairs(images), **{name: value})
    with pytest.raises(ValueError, match=r"images of the model's shape \(16, 20, 3\).* float32 of shape \(8, 20, 3\)"):
        caption_batches(spatial, pairs(images[:, :8]))
    with pytest.raises(ValueError, match="Received: uint8"):
        caption_batches(spatial, pairs(images.astype("uint8")))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"words in every caption. Received: an empty one"):
        list(caption_batches(spatial, pairs(images, ["a star", " ", "a"])))
    with pytest.raises(tf.errors.InvalidArgumentError, match="divide images of whole numbers by 255"):
        list(caption_batches(spatial, pairs(images * 255)))


def test_a_decoder_is_told_what_it_needs():
    words, vector, image = np.ones((2, 3, 4)), np.ones((2, 5)), np.ones((2, 4, 4, 3))
    with pytest.raises(
        ValueError, match=r"a vector of shape \(batch, length\). Received: \(2, 3, 4\), \(2, 4, 4, 3\)\."
    ):
        CaptionDecoder(6)([words, image])
    with pytest.raises(ValueError, match=r"and a map of shape .* Received: \(2, 3, 4\), \(2, 5\)\."):
        CaptionDecoder(6, attention=2)([words, vector])


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"input_shape": (16, 20)}, r"`input_shape` must be \(height, width, channels\), with sides of at least 16"),
        ({"cell": "rnn"}, "`cell` must be one of 'elman', 'gru', 'lstm'"),
        ({"units": 0}, "`units` must be a whole number of at least 1. Received: units=0"),
        ({"dropout": 1.5}, "`dropout` must be a number from 0 to below 1. Received: dropout=1.5"),
        ({"layers": 0}, "`layers` must be a whole number of at least 1. Received: layers=0"),
        ({"embedding": 2.5}, "`embedding` must be a whole number of at least 1. Received: embedding=2.5"),
        (
            {"encoder": keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(2, 2, name="embedding")])},
            "`encoder` must have other names .* gives its own. Received: an encoder with 'embedding'.",
        ),
        ({"encoder": keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten()])}, "to one feature map"),
        ({"encoder": 3}, "`encoder` must be a functional model"),
    ],
)
def test_wrong_arguments_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        captioner(WORDS, **options)


def test_other_models_and_numbers_are_refused(images, spatial):
    with pytest.raises(TypeError, match=r"`model` must be one that kerasdl.sequences.captioner made. Received: <"):
        caption(keras.Sequential(), images)
    with pytest.raises(ValueError, match=r"`length_penalty` must be a number of at least 0. Received: .*=-1"):
        caption(spatial, images, length_penalty=-1)
    with pytest.raises(ValueError, match=r"`beam_width` must be a whole number of at least 1. Received: beam_width=0"):
        caption(spatial, images, beam_width=0)
