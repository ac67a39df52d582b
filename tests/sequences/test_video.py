"""Labels for the frames of clips."""

import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers import softmax

from kerasdl import training
from kerasdl.sequences import class_names, video_classifier

SHAPE = (None, 9, 8, 3)


def clips_of(*lengths, seed=0, longest=None):
    """Clips of noise, padded with zeros, and a label for each frame, padded with 0."""
    rng = np.random.default_rng(seed)
    clips = np.zeros((len(lengths), longest or max(lengths), *SHAPE[1:]), "float32")
    labels = np.zeros(clips.shape[:2], "int64")
    for row, length in enumerate(lengths):
        clips[row, :length] = rng.uniform(0.1, 1, (length, *SHAPE[1:]))
        labels[row, :length] = rng.integers(0, 3, length)
    return clips, labels


def small(**options):
    return video_classifier(**{"input_shape": SHAPE, "classes": 3, "cell": "elman", "units": 5} | options)


def one_by_one(model, clip):
    """The states of an Elman network over frames that go through the convolutions one at a time."""
    kernel, recurrent, bias = model.get_layer("recurrent1").get_weights()
    state, states = np.zeros(recurrent.shape[0]), []
    for frame in clip:
        x = frame[None]
        for name in ("frame_conv1", "frame_pool1", "frame_conv2", "frame_pool2", "frame_conv3"):
            x = np.asarray(model.get_layer(name)(x))
        seen = np.concatenate([x.max(axis=(1, 2))[0], x.mean(axis=(1, 2))[0]])
        state = np.tanh(seen @ kernel + state @ recurrent + bias)
        states.append(state)
    return np.array(states)


def test_labels_are_those_of_frames_looked_at_one_by_one():
    model = small()
    clips, _ = clips_of(4, 2)
    kernel, bias = model.get_layer("logits").get_weights()
    got = np.asarray(model(clips))
    for row, length in enumerate((4, 2)):
        expected = softmax(one_by_one(model, clips[row, :length]) @ kernel + bias)
        np.testing.assert_allclose(got[row, :length], expected, rtol=1e-4, atol=1e-6)
    assert model.name == "video_classifier"


@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_label_for_the_clip_comes_from_its_last_real_frame(bidirectional):
    model = small(every_frame=False, bidirectional=bidirectional)
    clips, _ = clips_of(4, 2)
    assert model.output_shape == (None, 3)
    # Without the padding nothing changes.
    alone = np.asarray(model(clips[1:, :2]))
    np.testing.assert_allclose(np.asarray(model(clips))[1:], alone, rtol=1e-5, atol=1e-6)
    if not bidirectional:
        kernel, bias = model.get_layer("logits").get_weights()
        expected = softmax(one_by_one(model, clips[1, :2])[-1] @ kernel + bias)
        np.testing.assert_allclose(alone[0], expected, rtol=1e-4, atol=1e-6)


def test_a_frame_is_labelled_before_later_ones_are_seen_unless_bidirectional():
    clips, _ = clips_of(6)
    changed = clips.copy()
    changed[0, 3] = 1 - changed[0, 3]
    for bidirectional in (False, True):
        model = small(bidirectional=bidirectional, layers=2)
        moved = np.abs(model(clips) - model(changed))[0].max(axis=-1)
        assert moved[3:].min() > 1e-6
        assert (moved[:3].min() > 1e-6) if bidirectional else (moved[:3].max() == 0)


def test_padding_counts_in_neither_loss_nor_accuracy():
    clips, labels = clips_of(5, 2)
    model = small()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    probabilities = np.asarray(model(clips))
    real = np.array([[True] * 5, [True, True, False, False, False]])
    chosen = np.take_along_axis(probabilities, labels[..., None], axis=-1)[..., 0]
    for longest in (5, 9):
        batch = clips_of(5, 2, longest=longest)
        loss, accuracy = model.evaluate(*batch, verbose=0)
        assert loss == pytest.approx(-np.log(chosen[real]).mean(), rel=1e-5)
        assert accuracy == pytest.approx((probabilities.argmax(-1) == labels)[real].mean(), abs=1e-6)


def test_training_on_clips_that_are_padded_longer_gives_the_same_network():
    weights = []
    by_keras = functools.partial(keras.Model.fit, shuffle=False)
    for longest, fit in ((5, training.fit), (9, by_keras)):
        keras.utils.set_random_seed(1)
        model = small(encoder=keras.layers.Flatten())
        # Steps along the gradient: Adam's first would have the same length whatever the padding adds.
        eagerly = fit is not training.fit
        model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy", run_eagerly=eagerly)
        data = tf.data.Dataset.from_tensor_slices(clips_of(5, 2, 1, longest=longest)).batch(3)
        history = fit(model, data, epochs=2, verbose=0)
        weights.append(np.concatenate([w.ravel() for w in model.get_weights()] + [history.history["loss"]]))
    np.testing.assert_allclose(weights[1], weights[0], rtol=1e-5, atol=1e-6)


def test_batch_statistics_of_an_own_encoder_do_not_see_padding():
    def encoder(frames):
        x = keras.layers.BatchNormalization(momentum=0.0, name="normalized")(frames)
        return keras.layers.Flatten()(x)

    model = small(encoder=encoder)
    clips, labels = clips_of(5, 2)
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    model.train_on_batch(clips, labels)
    frames = np.concatenate([clips[0], clips[1, :2]])
    np.testing.assert_allclose(model.get_layer("normalized").moving_mean, frames.mean(axis=(0, 1, 2)), rtol=1e-5)


def test_a_clip_without_any_frame_gives_numbers_and_counts_nowhere():
    clips, labels = clips_of(3, 0)
    model = small()
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], run_eagerly=True)
    assert model.evaluate(clips, labels, verbose=0) == pytest.approx(
        model.evaluate(clips[:1], labels[:1], verbose=0), rel=1e-5
    )
    for batch in (clips[:1] * 0, clips):
        assert np.isfinite(model.train_on_batch(batch, labels[: len(batch)])).all()
    assert np.isfinite(np.asarray(model(clips))).all()


def test_saved_and_loaded_it_says_the_same(tmp_path):
    model = small(cell="lstm", bidirectional=True, dropout=0.1, classes=("up", "down", "still"))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    clips, _ = clips_of(4, 2)
    np.testing.assert_array_equal(loaded(clips), np.asarray(model(clips)))
    assert class_names.names_of(loaded) == ("up", "down", "still")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {"input_shape": (48, 48, 3)},
            "`input_shape` must be the frames, height, width and channels of one clip, such as (None, 48, 48, 3), with "
            "None where clips differ in length. Received: input_shape=(48, 48, 3).",
        ),
        (
            {"input_shape": (0, 48, 48, 3)},
            "`input_shape` must be the frames, height, width and channels of one clip, such as (None, 48, 48, 3), with "
            "None where clips differ in length. Received: input_shape=(0, 48, 48, 3).",
        ),
        (
            {"classes": 1},
            "`classes` must be a number of at least 2, or at least two different names, as in ('ham', 'spam'). "
            "Received: classes=1.",
        ),
        ({"cell": "rnn"}, "`cell` must be one of 'elman', 'gru', 'lstm'. Received: cell='rnn'."),
        (
            {"encoder": lambda frames: frames},
            "`encoder` must give one vector for each frame, (frames, features): end it with "
            "keras.layers.GlobalAveragePooling2D() or Flatten(). Received: (None, 9, 8, 3).",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(options, expected):
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        small(**options)
