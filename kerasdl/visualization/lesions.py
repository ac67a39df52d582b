"""What a residual network can spare: blocks are taken out or change places, and the network is measured again."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from kerasdl.visualization.checks import check_count
from kerasdl.visualization.landscapes import labelled_arrays
from kerasdl.visualization.probing import all_layers, compiled, forward
from kerasdl.visualization.residual_blocks import Way, given_blocks, residual_blocks


class LesionStudy(NamedTuple):
    """What `lesion_study` finds.

    Attributes:
        blocks: The blocks' names, from the input to the output.
        lesions: One row per lesion and one column per block: True where it was dropped; or, when blocks were permuted,
            the number of the block whose weights stood in this place.
        accuracies: The share of right answers after each lesion.
        losses: The mean cross-entropy after each.
        accuracy: The same for the whole network.
        loss: The same for the whole network.
    """

    blocks: list[str]
    lesions: np.ndarray
    accuracies: np.ndarray
    losses: np.ndarray
    accuracy: float
    loss: float


def lesion_study(
    model: keras.Model,
    data: Any,
    *,
    how: str = "drop",
    number: int = 1,
    samples: int = 10,
    blocks: Sequence[tuple[str, str]] | None = None,
    seed: int = 0,
    batch_size: int = 500,
) -> LesionStudy:
    """Accuracy and loss of a trained network after blocks of it were dropped, or have changed places.

    A residual block is found where a graph adds up two or more tensors: the one that has passed the fewest layers comes
    along the shortcut, the others are branches. Dropped, a branch gives zero, and only the shortcut is left, also where
    that has a convolution of its own. Blocks of the same layers with the same shapes change places by exchanging their
    weights and statistics. All of it happens within one compiled function, and the model's weights are not touched.

    Args:
        model: Any Keras model that classifies; it is left as it is.
        data: Images and their classes: two arrays, or batches of both, as a `tf.data.Dataset` or a list of tuples.
        how: "drop" or "permute".
        number: How many blocks are dropped at once; or how many times two blocks of one shape, drawn at random, change
            places.
        samples: How many lesions are drawn at random. Where single blocks are dropped, each is, once, in order.
        blocks: For a network without shortcuts: pairs of layers, (before, last). To drop is to hand on what `before`
            gives in the place of what `last` gives.
        seed: Decides what is drawn.
        batch_size: Images at once.

    Returns:
        A `LesionStudy` with the blocks' names and, for each lesion, what was done, accuracy and loss.

    Example:
        >>> x = inputs = keras.Input((4, 4, 2))
        >>> for name in ("one", "two"):
        ...     x = keras.layers.Add(name=name)([x, keras.layers.Conv2D(2, 3, padding="same")(x)])
        >>> model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x))
        >>> study = lesion_study(model, (np.ones((6, 4, 4, 2)), np.arange(6) % 2))
        >>> study.blocks, study.lesions.tolist(), study.accuracies.shape
        (['one', 'two'], [[True, False], [False, True]], (2,))

    Reference:
        [Veit et al., 2016](https://arxiv.org/abs/1605.06431), section 4
    """
    inputs, labels = labelled_arrays(model, data)
    if how not in ("drop", "permute"):
        raise ValueError(f'`how` must be "drop" or "permute". Received: {how!r}.')
    for name, value in (("number", number), ("samples", samples), ("batch_size", batch_size)):
        check_count(name, value)
    if not model.built:
        model(inputs[:1])
    labels = _class_numbers(model, labels)
    found = given_blocks(model, blocks) if blocks is not None else residual_blocks(model)
    generator = np.random.default_rng(seed)
    count = len(found)
    if how == "drop":
        lesions = _drops(count, number, samples, generator)
    else:
        lesions = _permutations([block.shape for block in found], number, samples, generator)
    # The whole network is one more lesion, the first.
    dropped = np.zeros((len(lesions) + 1, count), bool)
    orders = np.tile(np.arange(count, dtype="int32"), (len(lesions) + 1, 1))
    (dropped if how == "drop" else orders)[1:] = lesions

    groups: dict[tuple, list] = {}
    if how == "permute":
        for index, block in enumerate(found):
            groups.setdefault(block.shape, []).append((index, block.layers))
    run = compiled(
        model,
        _lesions,
        ways=tuple(block.way for block in found),
        groups=tuple(tuple(group) for group in groups.values() if len(group) > 1),
    )
    total = np.zeros((2, len(dropped)))
    for at in range(0, len(inputs), batch_size):
        batch = inputs[at : at + batch_size], labels[at : at + batch_size]
        total += len(batch[0]) / len(inputs) * np.stack(run(*batch, dropped, orders))
    losses, accuracies = total.astype("float32")
    names = [block.name for block in found]
    return LesionStudy(names, lesions, accuracies[1:], losses[1:], float(accuracies[0]), float(losses[0]))


def _class_numbers(model: keras.Model, labels: np.ndarray) -> np.ndarray:
    """One class number per image, from such or from rows with a one at the class."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        labels = labels.argmax(axis=1)
    labels = labels.reshape(len(labels), -1)
    outputs = model.output_shape if isinstance(getattr(model, "output_shape", None), tuple) else (None,)
    classes = max(2, outputs[-1] or len(labels) + 2)
    is_number = labels.shape[1] == 1 and bool(np.all(labels == labels.astype("int32")))
    if not is_number or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"The labels in `data` must be classes from 0 to {classes - 1}. Received: shape {labels.shape}, "
            f"{labels.min():g} to {labels.max():g}."
        )
    return labels[:, 0].astype("int32")


def _drops(count: int, number: int, samples: int, generator: np.random.Generator) -> np.ndarray:
    if number > count:
        raise ValueError(f"`number` must be at most the number of blocks, {count}. Received: {number}.")
    if number == 1:
        return np.eye(count, dtype=bool)
    return np.stack([np.isin(np.arange(count), generator.permutation(count)[:number]) for _ in range(samples)])


def _permutations(shapes: list, number: int, samples: int, generator: np.random.Generator) -> np.ndarray:
    pairs = [(a, b) for b in range(len(shapes)) for a in range(b) if shapes[a] == shapes[b]]
    if not pairs:
        raise ValueError('No two blocks have the same layers and shapes, so none can change places: use how="drop".')
    orders = np.tile(np.arange(len(shapes), dtype="int32"), (samples, 1))
    for order in orders:
        for a, b in generator.choice(pairs, size=number):
            order[[a, b]] = order[[b, a]]
    return orders


def _lesions(
    model: keras.Model,
    inputs: tf.Tensor,
    labels: tf.Tensor,
    dropped: tf.Tensor,
    orders: tf.Tensor,
    *,
    ways: tuple[Way, ...],
    groups: tuple[tuple[tuple[int, tuple[str, ...]], ...], ...],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Mean cross-entropy and share of right answers after each lesion."""
    layers = dict(all_layers(model))
    places, stacks = [], []
    for group in groups:
        numbers = [index for index, _ in group]
        variables = [[weight for name in names for weight in layers[name].weights] for _, names in group]
        stacked = [
            tf.stack([tf.convert_to_tensor(weight.value) for weight in same]) for same in zip(*variables, strict=True)
        ]
        places.append(np.array([numbers.index(each) if each in numbers else 0 for each in range(len(ways))], "int32"))
        stacks.append((numbers, variables, stacked))

    def measure(lesion: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        is_dropped, order = lesion
        exchanged = [
            (weight, tf.gather(stack, tf.gather(place, order[number])))
            for place, (numbers, variables, stacked) in zip(places, stacks, strict=True)
            for number, own in zip(numbers, variables, strict=True)
            for weight, stack in zip(own, stacked, strict=True)
        ]
        with keras.StatelessScope(state_mapping=exchanged):
            scores = forward(model, inputs, taps=_taps(ways, is_dropped))
        if scores.shape[-1] == 1:
            scores = tf.concat([tf.zeros_like(scores), scores], axis=-1)
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, scores)
        right = tf.equal(tf.argmax(scores, axis=-1, output_type=tf.int32), labels)
        return tf.reduce_mean(loss), tf.reduce_mean(tf.cast(right, "float32"))

    kinds = (tf.TensorSpec([], tf.float32), tf.TensorSpec([], tf.float32))
    return tf.map_fn(measure, (dropped, orders), fn_output_signature=kinds, parallel_iterations=1)


def _taps(ways: tuple[Way, ...], dropped: tf.Tensor) -> dict[str, Any]:
    """What hands on the output of each way's first layer in the place of its second's, or zero."""
    seen: dict[str, tf.Tensor] = {}
    ends = {end: (start, dropped[index]) for index, (start, end) in enumerate(ways)}

    def tap(name: str) -> Any:
        def replace(y: tf.Tensor) -> tf.Tensor:
            if name in ends:
                start, is_dropped = ends[name]
                y = tf.where(is_dropped, tf.zeros_like(y) if start is None else seen[start], y)
            seen[name] = y
            return y

        return replace

    return {name: tap(name) for way in ways for name in way if name is not None}
