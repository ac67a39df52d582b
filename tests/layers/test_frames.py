"""Clips to frames and back."""

import keras
import numpy as np
import pytest

from kerasdl.layers import ClipsOfFrames, FramesOfClips

# The second clip is two frames shorter, and its second frame is black.
CLIPS = np.random.default_rng(0).normal(size=(2, 4, 3, 3, 2)).astype("float32")
CLIPS[1, 1] = 0
CLIPS[1, 2:] = 0
CLIPS[0, 2] = 0
LENGTHS = (4, 1)


def test_only_frames_behind_the_last_one_with_a_picture_are_left_out():
    expected = np.concatenate([clip[:length] for clip, length in zip(CLIPS, LENGTHS, strict=True)])
    np.testing.assert_array_equal(FramesOfClips()(CLIPS), expected)


def test_answers_come_back_to_their_places_and_the_others_are_masked():
    clips = keras.Input((None, 3, 3, 2))
    answers = keras.layers.Dense(5, use_bias=True, bias_initializer="ones")(
        keras.layers.Flatten()(FramesOfClips()(clips))
    )
    model = keras.Model(clips, ClipsOfFrames()([answers, clips]))
    assert model.output_shape == (None, None, 5)
    kernel = model.get_weights()[0]
    expected = CLIPS.reshape(2, 4, 18) @ kernel + 1
    expected[1, 1:] = 0
    outputs = model(CLIPS)
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)
    mask = ClipsOfFrames().compute_mask([None, CLIPS])
    np.testing.assert_array_equal(mask, [[True] * 4, [True, False, False, False]])


def test_of_a_batch_of_padding_the_first_frames_are_computed_but_masked():
    assert FramesOfClips()(CLIPS * 0).shape == (2, 3, 3, 2)
    assert not np.any(ClipsOfFrames().compute_mask([None, CLIPS * 0]))
    placed = np.asarray(ClipsOfFrames()([np.array([[1.0], [2.0]]), CLIPS * 0]))
    np.testing.assert_array_equal(placed[..., 0], [[1, 0, 0, 0], [2, 0, 0, 0]])


def test_values_with_a_number_of_dimensions_of_their_own():
    frames = FramesOfClips()(CLIPS)
    np.testing.assert_array_equal(ClipsOfFrames()([frames, CLIPS]), CLIPS)
    assert FramesOfClips().compute_output_shape((2, 4, 3, 3, 2)) == (None, 3, 3, 2)
    assert ClipsOfFrames().compute_output_shape([(None, 7), (2, 4, 3, 3, 2)]) == (2, 4, 7)


def test_what_is_no_clip_is_refused():
    with pytest.raises(ValueError, match="FramesOfClips expects") as told:
        FramesOfClips()(np.ones((3, 4)))
    assert str(told.value) == "FramesOfClips expects clips of shape (batch, frames, ...). Received: shape (3, 4)."
    with pytest.raises(ValueError, match="ClipsOfFrames must") as told:
        ClipsOfFrames()(np.ones((3, 4, 5)))
    assert str(told.value) == "ClipsOfFrames must be called on [values, clips]. Received: shapes (3, 4, 5)."
    with pytest.raises(
        ValueError, match=r"Clips must have at least one frame. Received: clips of shape \(2, 0, 3, 3, 2\)"
    ):
        FramesOfClips()(CLIPS[:, :0])
