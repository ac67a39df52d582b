"""Clips to frames and back, so that an ordinary image network can look at every frame of a batch of clips."""

from typing import Any

import keras
import tensorflow as tf


def real_frames(clips: Any) -> Any:
    """Which frames of padded clips are data: all up to the last one that is not all zero.

    A black frame within a clip is data; padding stands at the end only.

    Args:
        clips: `(batch, frames, ...)`.

    Returns:
        Truth values, `(batch, frames)`.

    Example:
        >>> real_frames(tf.constant([[[5.0], [0.0], [5.0], [0.0]]])).numpy().tolist()
        [[True, True, True, False]]
    """
    shown = keras.ops.any(keras.ops.not_equal(clips, 0), axis=tuple(range(2, len(clips.shape))))
    # How many frames with a picture there are from here to the end.
    left = keras.ops.flip(keras.ops.cumsum(keras.ops.flip(keras.ops.cast(shown, "int32"), axis=1), axis=1), axis=1)
    return keras.ops.greater(left, 0)


def _computed_frames(clips: Any) -> Any:
    """The real frames; where a batch has none, the first of each clip, for some kernels cannot bear an empty batch."""
    real = real_frames(clips)
    first = keras.ops.equal(keras.ops.cumsum(keras.ops.ones_like(real, "int32"), axis=1), 1)
    return keras.ops.where(keras.ops.any(real), real, first)


def _check_clips(name: str, shape: tuple[int | None, ...]) -> None:
    if len(shape) < 3:
        raise ValueError(f"{name} expects clips of shape (batch, frames, ...). Received: shape {tuple(shape)}.")


@keras.saving.register_keras_serializable(package="kerasdl")
class FramesOfClips(keras.layers.Layer):
    """The frames of a batch of clips, one below the other: `(batch, frames, ...)` becomes `(real frames, ...)`.

    Frames that only fill a shorter clip up, all zero and behind its end, are left out: what follows does not compute
    them, and its batch statistics do not see them. `ClipsOfFrames` puts the answers back in their places.

    Example:
        >>> clips = np.array([[[1.0], [2.0]], [[3.0], [0.0]]])
        >>> FramesOfClips()(clips).numpy().tolist()
        [[1.0], [2.0], [3.0]]

    Reference:
        [Donahue et al., 2014](https://arxiv.org/abs/1411.4389), section 3
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # XLA wants to know how many frames there are before it has seen them.
        self.supports_jit = False

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Refuses what is no batch of clips."""
        _check_clips("FramesOfClips", input_shape)

    def call(self, inputs: Any) -> Any:
        """Keeps the frames that are data."""
        if inputs.shape[1] == 0:
            raise ValueError(f"Clips must have at least one frame. Received: clips of shape {tuple(inputs.shape)}.")
        return tf.boolean_mask(inputs, _computed_frames(inputs))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """As many as there are real frames."""
        return (None, *input_shape[2:])


@keras.saving.register_keras_serializable(package="kerasdl")
class ClipsOfFrames(keras.layers.Layer):
    """What was computed of each real frame, in the frame's place: `(real frames, ...)` becomes `(batch, frames, ...)`.

    Called on `(values, clips)`, where `FramesOfClips` took the frames from `clips`. The places of padding hold zeros
    and are masked, so neither recurrent layers nor losses and metrics count them.

    Example:
        >>> clips = np.array([[[1.0], [2.0]], [[3.0], [0.0]]])
        >>> back = ClipsOfFrames()([10 * FramesOfClips()(clips), clips])
        >>> back.numpy().tolist()
        [[[10.0], [20.0]], [[30.0], [0.0]]]

    Reference:
        [Donahue et al., 2014](https://arxiv.org/abs/1411.4389), section 3
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True
        self.supports_jit = False

    def build(self, input_shape: Any) -> None:
        """Refuses what is no pair of values and clips."""
        if not isinstance(input_shape, list | tuple) or len(input_shape) != 2 or isinstance(input_shape[0], int | None):
            raise ValueError(f"ClipsOfFrames must be called on [values, clips]. Received: shapes {input_shape}.")
        _check_clips("ClipsOfFrames", input_shape[1])

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Puts values in their places, and zeros in the others."""
        values, clips = inputs
        shape = tf.concat([tf.shape(clips)[:2], tf.shape(values)[1:]], axis=0)
        placed = tf.scatter_nd(tf.cast(tf.where(_computed_frames(clips)), "int32"), values, shape)
        return tf.ensure_shape(placed, (*clips.shape[:2], *values.shape[1:]))

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """Which frames are data."""
        return real_frames(inputs[1])

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The clips' batch and frames, the values' rest."""
        values, clips = input_shape
        return (*clips[:2], *values[1:])
