"""How accurate a model is when its images are attacked."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from kerasdl.adversarial.attacking import Adversarial, check_labels, check_number
from kerasdl.adversarial.batches import batches_of
from kerasdl.adversarial.margins import predict
from kerasdl.visualization.checks import check_count
from kerasdl.visualization.probing import compiled, in_batches
from kerasdl.visualization.targets import check_images


def robust_accuracy(
    model: keras.Model,
    data: Any,
    attack: Callable[..., Any],
    epsilons: Sequence[float],
    *,
    batch_size: int = 32,
) -> np.ndarray:
    """The share of images that the model still gets right under attack, for each size of the change.

    It is what this attack leaves, so an upper bound: a better attack may leave less.

    Args:
        model: Any Keras model of one input; it is left as it is.
        data: `(images, labels)`, or a `tf.data.Dataset` of batches of them. The random starts of `pgd` are others for
            each image of an array, and begin anew with every batch of a data set.
        attack: Called as `attack(model, images, labels, epsilon=epsilon)`, such as `fgsm` or
            `functools.partial(pgd, steps=10)`. One without `epsilon`, such as `deep_fool`, is called once: then an
            image counts as fooled from its distance on. One with a `batch_size` is given it, unless a partial has set
            it, and gets arrays as a whole.
        epsilons: Sizes of the change; the accuracy without an attack stands under 0.
        batch_size: Images at once, where `data` are arrays.

    Returns:
        One accuracy for each epsilon.

    Example:
        >>> model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
        >>> images = np.random.default_rng(0).uniform(size=(50, 8, 8, 3)).astype("float32")
        >>> from kerasdl.adversarial import fgsm
        >>> robust_accuracy(model, (images, model(images).numpy().argmax(axis=1)), fgsm, [0.0, 0.5])
        array([1., 0.])

    Reference:
        [Madry et al., 2017](https://arxiv.org/abs/1706.06083), section 5
    """
    check_count("batch_size", batch_size)
    sizes = np.atleast_1d(np.asarray(epsilons, "float64"))
    for size in sizes:
        check_number("epsilons", float(size))
    parameters = inspect.signature(attack).parameters
    if "batch_size" in parameters:
        given = isinstance(attack, functools.partial) and "batch_size" in attack.keywords
        attack = attack if given else functools.partial(attack, batch_size=int(batch_size))
    takes_epsilon = "epsilon" in parameters or any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    right, total = np.zeros(len(sizes)), 0

    def said_by_model(images: Any) -> np.ndarray:
        return in_batches(compiled(model, predict), int(batch_size), np.asarray(images, "float32"))

    for images, labels in batches_of(data, None if "batch_size" in parameters else int(batch_size)):
        if labels is None:
            raise ValueError(
                "`data` must be images and labels, as a tuple or a data set of tuples. Received: no labels."
            )
        images = check_images(model, images)
        classes = check_labels(model, images, labels)
        total += len(images)
        if takes_epsilon:
            said = [said_by_model(attack(model, images, labels, epsilon=float(size))) for size in sizes]
            right += [np.sum(each == classes) for each in said]
            continue
        attacked = attack(model, images, labels)
        if not isinstance(attacked, Adversarial):
            raise ValueError(
                "`attack` must take `epsilon`, or return an `Adversarial` with the distance of each image. "
                f"Received: {type(attacked).__name__}."
            )
        # Not `already_wrong`: of a targeted attack that is also where the model says the target, be it the right class.
        is_wrong = said_by_model(images) != classes
        distance = np.where(is_wrong, -1.0, np.where(attacked.success, attacked.distance, np.inf))
        right += [np.sum(distance > size) for size in sizes]
    if not total:
        raise ValueError("`data` must hold at least one image. Received: none.")
    return right / total
