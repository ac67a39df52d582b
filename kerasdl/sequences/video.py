"""Clips in, a label for every frame or for the whole clip out: a small image network, and a memory behind it."""

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any

import keras

from kerasdl.layers import ClipsOfFrames, FramesOfClips
from kerasdl.sequences import class_names
from kerasdl.sequences.recurrent import check_recurrent, stack

# (filters, strides) of the 3x3 convolutions that look at each frame where no other network is asked for.
_CONVOLUTIONS = ((16, 2), (32, 2), (64, 1))


def _small_encoder(frames: Any) -> Any:
    """Convolutions, then the largest and the mean answer of every filter: is it anywhere, and how much of it?"""
    x = frames
    for depth, (filters, strides) in enumerate(_CONVOLUTIONS, start=1):
        name = f"frame_conv{depth}"
        x = keras.layers.Conv2D(filters, 3, strides, "same", activation="relu", name=name)(x)
        if depth < len(_CONVOLUTIONS):
            x = keras.layers.MaxPooling2D(2, padding="same", name=f"frame_pool{depth}")(x)
    largest = keras.layers.GlobalMaxPooling2D(name="frame_largest")(x)
    mean = keras.layers.GlobalAveragePooling2D(name="frame_mean")(x)
    return keras.layers.Concatenate(name="frame_features")([largest, mean])


def _check_clip_shape(input_shape: Any) -> tuple[int | None, ...]:
    sides = tuple(input_shape) if isinstance(input_shape, Iterable) else ()
    whole = [isinstance(side, Integral) and not isinstance(side, bool) and int(side) > 0 for side in sides]
    if len(sides) != 4 or not all(whole[1:]) or not (whole[0] or sides[0] is None):
        raise ValueError(
            "`input_shape` must be the frames, height, width and channels of one clip, such as (None, 48, 48, 3), with "
            f"None where clips differ in length. Received: input_shape={input_shape!r}."
        )
    return tuple(side if side is None else int(side) for side in sides)


def video_classifier(
    *,
    input_shape: tuple[int | None, int, int, int] = (None, 48, 48, 3),
    classes: int | Sequence[str],
    cell: str = "gru",
    units: int = 64,
    layers: int = 1,
    bidirectional: bool = False,
    every_frame: bool = True,
    encoder: Callable[[Any], Any] | None = None,
    dropout: float = 0.0,
    name: str = "video_classifier",
) -> keras.Model:
    """A network that looks at each frame, and a recurrent one that remembers: a label per frame, or one per clip.

    Every frame of every clip goes through the same image network; the recurrent network reads its answers in the
    frames' order. Clips of different lengths are padded with zeros at their ends, as `kerasdl.data.load` does: such
    frames are not computed at all, and the loss of a batch does not count them. Keras' "accuracy" weighs a batch by
    its padding; `kerasdl.sequences.StepAccuracy()` counts every frame once.

    Args:
        input_shape: Frames (None where clips differ in length), height, width and channels.
        classes: The names of the labels, or how many there are. The padding's label is any valid one.
        cell: `"elman"`, `"gru"` or `"lstm"`.
        units: The size of the recurrent state; of each direction where there are two.
        layers: How many recurrent layers.
        bidirectional: Whether a label may depend on later frames too.
        every_frame: Whether each frame gets a label, `(batch, frames, classes)`, or the clip, `(batch, classes)`.
        encoder: The image network: a function that calls Keras layers on frames `(batch, height, width, channels)` and
            gives a vector for each; without it three convolutions of 16, 32 and 64 filters with their pooled answers.
        dropout: The share of each recurrent layer's outputs that is dropped in training.
        name: The model's name.

    Returns:
        A model from clips, `(batch, frames, height, width, channels)`, to probabilities.

    Example:
        >>> model = video_classifier(input_shape=(None, 24, 24, 3), classes=4, units=8)
        >>> model.predict(np.ones((2, 5, 24, 24, 3)), verbose=0).shape
        (2, 5, 4)

    Reference:
        [Donahue et al., 2014](https://arxiv.org/abs/1411.4389)
    """
    check_recurrent(cell, units, layers, dropout)
    class_names.check_classes(classes)
    clips = keras.Input(_check_clip_shape(input_shape), name="clips")
    frames = FramesOfClips(name="frames")(clips)
    seen = (encoder or _small_encoder)(frames)
    if len(getattr(seen, "shape", ())) != 2:
        raise ValueError(
            "`encoder` must give one vector for each frame, (frames, features): end it with "
            f"keras.layers.GlobalAveragePooling2D() or Flatten(). Received: {getattr(seen, 'shape', seen)}."
        )
    x = stack(
        ClipsOfFrames(name="seen")([seen, clips]),
        cell=cell,
        units=units,
        layers=layers,
        bidirectional=bidirectional,
        return_sequences=every_frame,
        dropout=dropout,
    )
    return keras.Model(clips, class_names.output(x, classes), name=name)
