"""What happens to one batch on several replicas: each takes its share of the rows, and together they make one step.

With `n` of a batch's `N` rows a replica's mean loss counts `n / N`. So the sum over the replicas is the mean over the
batch and its gradient that of one device; everything behind it (clipping, the optimizer with its moving averages and
accumulation) then sees what it sees on one device. That part runs outside the replicas and writes all their copies:
inside, Keras' optimizers add gradients up by themselves, and some of what they do cannot be done there at all.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from kerasdl.training.keras_internals import all_layers
from kerasdl.training.replicas import Replicas
from kerasdl.training.shares import Share, Weighting
from kerasdl.training.step_parts import LOSS_IS_NOT_FINITE, Attack, Logs, clip, compute_loss, loss_metric


def update_on_replicas(
    model: keras.Model, replicas: Replicas, *, clip_norm: float | None, attack: Attack | None, check_loss: bool
) -> Callable[[Any, Any, Any], tuple[Any, Logs]]:
    """As `make_update`, for a batch that every worker holds as a whole; to be called outside the strategy's scope."""
    optimizer, weighting = model.optimizer, Weighting(model, replicas)

    def differentiate(x: Any, y: Any, sample_weight: Any) -> tuple[Any, list[Any]]:
        with tf.name_scope("share"):
            share = Share(x, replicas)
            x, y, sample_weight = share.of((x, y, sample_weight))
        with share.own_random_numbers(model), _no_variables_made():
            if attack is not None:
                with tf.name_scope("attack"), share.counted_once(model):
                    x = keras.tree.map_structure(tf.stop_gradient, attack(model, x, y))
            with tf.GradientTape() as tape:
                with share.counted_once(model):
                    predictions = model(x, training=True)
                with tf.name_scope("loss"):
                    with share.means_weighted(model):
                        loss = compute_loss(model, x, y, predictions, sample_weight, training=True)
                    scaled_loss = optimizer.scale_loss(loss)
        factor, divisor = weighting.of(share, predictions, sample_weight)
        with tf.name_scope("gradients"):
            seed = tf.cast(factor, scaled_loss.dtype)
            gradients = tape.gradient(scaled_loss, model.trainable_weights, output_gradients=seed)
            # An embedding's rows become a matrix: each replica has others.
            dense = [tf.convert_to_tensor(gradient) for gradient in gradients if gradient is not None]
        with tf.name_scope("sums"):
            loss, *dense = weighting.add_up([loss * tf.cast(factor, loss.dtype), *dense], divisor)
        with tf.name_scope("metrics"):
            _record(model, share, x, y, predictions, sample_weight, loss)
        remaining = iter(dense)
        return loss, [None if gradient is None else next(remaining) for gradient in gradients]

    def update(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Logs]:
        loss, gradients = replicas.run(differentiate, x, y, sample_weight)
        if check_loss:
            # The loss of the whole batch, so that every worker stops at the same step.
            loss = tf.debugging.check_numerics(loss, LOSS_IS_NOT_FINITE)
        with tf.control_dependencies([loss]):
            gradients = [None if gradient is None else tf.identity(gradient) for gradient in gradients]
        norm = {}
        if clip_norm is not None:
            with tf.name_scope("clipping"):
                gradients, norm["gradient_norm"] = clip(gradients, clip_norm, optimizer.scale_loss(tf.ones(())))
        with tf.name_scope("optimizer"):
            optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
        return loss, norm

    return update


def measurement_on_replicas(model: keras.Model, replicas: Replicas) -> Callable[[Any, Any, Any], tuple[Any, Logs]]:
    """As `make_measurement`, for a batch that every worker holds as a whole; to be called outside the scope."""
    weighting = Weighting(model, replicas)

    def measure_share(x: Any, y: Any, sample_weight: Any) -> Any:
        with tf.name_scope("share"):
            share = Share(x, replicas)
            x, y, sample_weight = share.of((x, y, sample_weight))
        with share.own_random_numbers(model), share.counted_once(model), _no_variables_made():
            predictions = model(x, training=False)
        with share.means_weighted(model):
            loss = compute_loss(model, x, y, predictions, sample_weight, training=False)
        factor, divisor = weighting.of(share, predictions, sample_weight)
        loss *= tf.cast(factor, loss.dtype)
        if divisor is not None:
            (loss,) = weighting.add_up([loss], divisor)
        else:  # The metric adds up what the replicas have, without a message.
            loss /= tf.cast(share.fraction, loss.dtype)
        _record(model, share, x, y, predictions, sample_weight, loss)
        return loss

    def measure(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Logs]:
        return replicas.run(measure_share, x, y, sample_weight), {}

    return measure


def average_moving_statistics(model: keras.Model, replicas: Replicas) -> None:
    """Gives all replicas the mean of their moving statistics, where a batch normalisation takes those of its own rows.

    To be called outside the scope. The moving mean is then that of one device, for it is linear; the variance lacks
    what the replicas' means differ by.
    """
    variables = [
        variable
        for layer in all_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable and not layer.synchronized
        for variable in (layer.moving_mean, layer.moving_variance)
    ]
    if not variables or replicas.count == 1:
        return

    def average() -> None:
        sums = replicas.add_up([tf.convert_to_tensor(variable.value) for variable in variables])
        for variable, total in zip(variables, sums, strict=True):
            variable.assign(total / replicas.count)

    replicas.strategy.run(average)


def _record(model: keras.Model, share: Share, x: Any, y: Any, predictions: Any, sample_weight: Any, loss: Any) -> None:
    """Adds the share to the metrics, whose values on the replicas are added up when they are read."""
    loss_metric(model).update_state(loss, sample_weight=share.batch_rows * share.fraction)
    with share.counted_once(model):
        model.compute_metrics(x, y, predictions, sample_weight)


@contextmanager
def _no_variables_made() -> Iterator[None]:
    """Inside, a variable that is made is an error: each replica would have another, and a new one in each step.

    Keras' global generator, from which `keras.random` draws without a seed, is such a one: it belongs to a thread, and
    the replicas run in threads of their own.
    """

    def refuse(_: Callable[..., Any], **arguments: Any) -> Any:
        raise ValueError(
            "Under a distribution strategy a step may make no variable: let a layer make its weights in `build`, and "
            "draw random numbers with `seed=` a keras.random.SeedGenerator that was made before, by a layer in "
            "`__init__`. "
            f"Received: {arguments.get('name')!r} made in a step."
        )

    with tf.variable_creator_scope(refuse):
        yield
