"""What keeps the image that a unit likes best from being noise: rules for `maximize`, one class each, to be combined.

A regulariser may do four things, and does nothing unless it says so: change what the model is shown, take something off
the score, weigh the gradient, and mend the image after a step. Write your own as a frozen dataclass with one of them.
Images come here as their difference from the middle of their bounds: zero is grey.

    maximize(model, 281, regularizers=[Jitter(8), Decay(0.01), Blur(sigma=1.0, every=4)])
"""

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Regularizer:
    """The parent of all: changes nothing.

    Example:
        >>> @dataclasses.dataclass(frozen=True)
        ... class Grey(Regularizer):  # one of your own: after each step every pixel becomes grey
        ...     def mend(self, images, gradient, step):
        ...         return tf.zeros_like(images) + tf.reduce_mean(images, axis=-1, keepdims=True)
        >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
        >>> found = kerasdl.visualization.maximize(model, 1, steps=3, regularizers=[Jitter(2), Grey()])
        >>> bool(np.ptp(found.images, axis=-1).max() < 1e-6)
        True

    Reference:
        [Yosinski et al., 2015](https://arxiv.org/abs/1506.06579), section 3
    """

    def view(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """What the model is shown; `seed`, two whole numbers, is another one in each step."""
        return images

    def penalty(self, images: tf.Tensor) -> tf.Tensor | float:
        """What is taken off each image's score."""
        return 0.0

    def weigh(self, gradient: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """The part of the gradient that is followed; `progress` goes from 0 in the first step to 1 in the last."""
        return gradient

    def mend(self, images: tf.Tensor, gradient: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """The images after a step, with the score's gradient before it."""
        return images


@dataclasses.dataclass(frozen=True)
class Decay(Regularizer):
    """L2 decay: after each step all values are multiplied by `1 - rate`, against a few extreme pixels.

    Args:
        rate: What share of each value is lost in a step.

    Reference:
        [Simonyan et al., 2013](https://arxiv.org/abs/1312.6034), section 2;
        [Yosinski et al., 2015](https://arxiv.org/abs/1506.06579), section 3
    """

    rate: float = 0.01

    def __post_init__(self) -> None:
        _check("rate", self.rate, 0 <= self.rate <= 1, "a number from 0 to 1")

    def mend(self, images: tf.Tensor, gradient: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """All values are a little smaller."""
        return (1 - self.rate) * images


@dataclasses.dataclass(frozen=True)
class Blur(Regularizer):
    """A Gaussian blur every few steps, against fine patterns that cost little and excite much.

    Args:
        sigma: Deviation of the Gaussian in pixels.
        every: Steps from one blur to the next: blurring is dear, and a larger sigma does as well.

    Reference:
        [Yosinski et al., 2015](https://arxiv.org/abs/1506.06579), section 3
    """

    sigma: float = 1.0
    every: int = 4

    def __post_init__(self) -> None:
        _check("sigma", self.sigma, self.sigma > 0, "a number above 0")
        _check("every", self.every, isinstance(self.every, int) and self.every >= 1, "a whole number of at least 1")

    def mend(self, images: tf.Tensor, gradient: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Blurred, if it is its turn."""
        _check_spatial(self, images)
        return tf.cond(step % self.every == self.every - 1, lambda: self._blurred(images), lambda: images)

    def _blurred(self, images: tf.Tensor) -> tf.Tensor:
        radius = int(4 * self.sigma + 0.5)
        weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / self.sigma) ** 2)
        kernel = np.tile((weights / weights.sum())[:, None, None, None], (1, 1, images.shape[-1], 1)).astype("float32")
        for axis, one_axis in ((1, kernel), (2, kernel.transpose(1, 0, 2, 3))):
            # A border is continued by its mirror image: what is beyond it is likelier the same than grey.
            size, padding = images.shape[axis], radius
            while padding > 0:
                margin = min(padding, size)
                images = tf.pad(images, [[margin] * 2 if at == axis else [0, 0] for at in range(4)], "SYMMETRIC")
                padding, size = padding - margin, size + 2 * margin
            images = tf.nn.depthwise_conv2d(images, one_axis, [1, 1, 1, 1], "VALID")
        return images


@dataclasses.dataclass(frozen=True)
class ClipValues(Regularizer):
    """Pixels of the smallest norm become zero, so that only what matters most is drawn.

    Args:
        share: The share of all pixels that is clipped in each step.

    Reference:
        [Yosinski et al., 2015](https://arxiv.org/abs/1506.06579), section 3
    """

    share: float = 0.5

    def __post_init__(self) -> None:
        _check("share", self.share, 0 <= self.share < 1, "a number from 0 to below 1")

    def mend(self, images: tf.Tensor, gradient: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Without the smallest pixels."""
        _check_spatial(self, images)
        return _without_smallest(images, tf.norm(images, axis=-1), self.share)


@dataclasses.dataclass(frozen=True)
class ClipContributions(ClipValues):
    """Pixels that add least to the score, by `|gradient x pixel|`, become zero.

    Args:
        share: The share of all pixels that is clipped in each step.

    Reference:
        [Yosinski et al., 2015](https://arxiv.org/abs/1506.06579), section 3
    """

    def mend(self, images: tf.Tensor, gradient: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        """Without the pixels of the smallest contributions."""
        _check_spatial(self, images)
        return _without_smallest(images, tf.abs(tf.reduce_sum(images * gradient, axis=-1)), self.share)


@dataclasses.dataclass(frozen=True)
class CenterBias(Regularizer):
    """The gradient counts in the centre first and further out later, so that one object grows instead of many.

    It is multiplied by a Gaussian around the centre, 1 in the middle, that gets wider from step to step.

    Args:
        start: Deviation of the Gaussian in the first step, as a share of the image's height and width.
        end: The same in the last step.

    Reference:
        [Nguyen et al., 2016](https://arxiv.org/abs/1602.03616), "center-biased regularization"
    """

    start: float = 0.1
    end: float = 0.5

    def __post_init__(self) -> None:
        _check("start", self.start, self.start > 0, "a number above 0")
        _check("end", self.end, self.end > 0, "a number above 0")

    def weigh(self, gradient: tf.Tensor, progress: tf.Tensor) -> tf.Tensor:
        """Less of it far from the centre."""
        _check_spatial(self, gradient)
        rows, columns = ((np.arange(n, dtype="float32") - (n - 1) / 2) / n for n in gradient.shape[1:3])
        squares = (rows[:, None] ** 2 + columns[None] ** 2)[None, :, :, None]
        deviation = self.start + progress * (self.end - self.start)
        return gradient * tf.exp(-0.5 * squares / deviation**2)


@dataclasses.dataclass(frozen=True)
class Jitter(Regularizer):
    """The model is shown the image shifted by a few pixels, others in each step: a pattern must not need its place.

    What leaves at one side comes in at the other. The image itself is not shifted.

    Args:
        pixels: The farthest shift in each direction.

    Reference:
        [Mordvintsev et al., 2015](https://research.google/blog/inceptionism-going-deeper-into-neural-networks/)
    """

    pixels: int = 8

    def __post_init__(self) -> None:
        is_good = isinstance(self.pixels, int) and self.pixels >= 0
        _check("pixels", self.pixels, is_good, "a whole number of at least 0")

    def view(self, images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Shifted; the gradient comes back through the shift, and so to the right place."""
        _check_spatial(self, images)
        shift = tf.random.stateless_uniform((2,), seed, -self.pixels, self.pixels + 1, dtype=tf.int32)
        return tf.roll(images, shift, axis=(1, 2))


@dataclasses.dataclass(frozen=True)
class TotalVariation(Regularizer):
    """Takes the differences between neighbouring pixels off the score, against noise, with edges left sharp.

    Args:
        weight: What the sum of all absolute differences is multiplied by.

    Reference:
        [Mahendran and Vedaldi, 2014](https://arxiv.org/abs/1412.0035), section 2
    """

    weight: float = 1e-3

    def __post_init__(self) -> None:
        _check("weight", self.weight, self.weight >= 0, "a number of at least 0")

    def penalty(self, images: tf.Tensor) -> tf.Tensor:
        """The total variation, times the weight."""
        _check_spatial(self, images)
        return self.weight * tf.image.total_variation(images)


def _without_smallest(images: tf.Tensor, sizes: tf.Tensor, share: float) -> tf.Tensor:
    """The images with the given share of their pixels, those of the smallest sizes, set to zero."""
    count = math.floor(share * images.shape[1] * images.shape[2])
    threshold = tf.sort(tf.reshape(sizes, (-1, images.shape[1] * images.shape[2])), axis=1)[:, count]
    return tf.where((sizes >= threshold[:, None, None])[..., None], images, 0.0)


def _check(name: str, value: Any, is_good: bool, expected: str) -> None:
    if not is_good or not math.isfinite(value):
        raise ValueError(f"`{name}` must be {expected}. Received: {name}={value!r}.")


def _check_spatial(regularizer: Regularizer, images: tf.Tensor) -> None:
    if images.shape.rank != 4:
        raise ValueError(
            f"{type(regularizer).__name__} needs images, (N, height, width, channels). Received: shape "
            f"{tuple(images.shape)}. For a generator's codes take Decay."
        )
