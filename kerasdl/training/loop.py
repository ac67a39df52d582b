"""`fit`: Keras' training loop with many steps in one compiled call."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.training.batch_hooks import TEST_HOOKS, TRAIN_HOOKS, any_needs_batches
from kerasdl.training.building import build_for
from kerasdl.training.checks import check_can_measure, check_can_train, check_count, count_batches
from kerasdl.training.event_files import closed_after_errors
from kerasdl.training.many_steps import ManySteps
from kerasdl.training.maths import make_measurement, make_update
from kerasdl.training.positions import NoBackups, Position
from kerasdl.training.replica_maths import average_moving_statistics
from kerasdl.training.replicas import Replicas, outside_scopes
from kerasdl.training.resuming import Backups
from kerasdl.training.step_parts import Attack, Logs


def fit(
    model: keras.Model,
    data: tf.data.Dataset,
    *,
    epochs: int,
    validation_data: tf.data.Dataset | None = None,
    callbacks: Sequence[keras.callbacks.Callback] | keras.callbacks.Callback | None = (),
    clip_norm: float | None = None,
    attack: Attack | None = None,
    steps_per_call: int | None = None,
    backup_dir: str | Path | None = None,
    backup_every: int | None = None,
    verbose: str | int = "auto",
) -> keras.callbacks.History:
    """Trains a compiled model: the numbers of `model.fit`, sooner.

    The time between two steps is saved by running many of them in one compiled call. A callback that looks at single
    batches gets every batch; for the others, and for the progress bar, the last batch of a call is enough. Nor does an
    epoch wait until TensorFlow has freed the iterator of its data, for which `model.fit` now and then waits as long
    again as the epoch took.

    Args:
        model: A compiled model.
        data: Batches `x`, `(x, y)` or `(x, y, sample_weight)`; once through is one epoch.
        epochs: How many times to go through `data`.
        validation_data: Batches to measure on after each epoch.
        callbacks: Any Keras callbacks.
        clip_norm: Largest global norm of the gradients; the history then has the mean `gradient_norm` before clipping.
        attack: A callable `attack(model, x, y)` that returns the inputs to train on instead of `x`.
        steps_per_call: Steps in one compiled call; None finds a number by itself, and takes 1 where a callback looks at
            single batches. A model whose `compute_metrics` is its own always gets 1.
        backup_dir: Folder into which the training is saved, and from which the same command goes on after a crash as
            if there had been none: model, optimizer, metrics, random numbers, history, what callbacks remember, and the
            place in the data. After the end the same command gives the same result at once, and one with more `epochs`
            goes on. Ctrl-C and SIGTERM save before they end it.
        backup_every: Save after so many steps as well; None only after each epoch.
        verbose: As in `model.fit`: 0 is silent, 1 a progress bar, 2 a line per epoch.

    Returns:
        The history: what each epoch measured, a list per metric.

    A training that is taken up again goes through the data to where it was. So give every shuffle a seed; where the
    data come in another order, a warning says so. What no variable remembers (`tf.random.normal` in a step) goes on in
    another way. The learning rate goes on as it was saved; what else the optimizer and the callbacks are given is what
    the new command gives them. With several workers the first alone writes into `backup_dir`, which all must see.

    A model made under a `tf.distribute.MirroredStrategy` or `MultiWorkerMirroredStrategy` is trained on all its devices
    and workers: each takes its share of the rows of a batch, also where they cannot be shared evenly, and the numbers
    are those of one device on the whole batch but for rounding, with these exceptions. Dropout draws other units for
    the rows of other replicas. A batch normalisation takes the statistics of its replica's rows unless its
    `synchronized` is True (`layer.synchronized = True` before `fit` is enough), and the replicas' moving statistics are
    averaged. With several outputs a mask, which leaves other numbers of items to each replica, does not change how much
    a replica counts. A metric is added up over the replicas: where its function gives one number for a batch (a root of
    a mean) it is the mean over their shares, and where its state is no sum (a maximum) it is not for several replicas.
    Of a model's own `compute_metrics` only the metrics count, and not what else it returns.
    A sum over the rows given to `add_loss` counts one part in the number of replicas; give it the mean. (Beside losses
    with the reduction `sum` a regulariser does so too, in a batch of fewer rows than replicas.) Half precision rounds
    each replica's gradient before the sum. Every worker reads the same `data` in the same order, and goes through all
    of it: at the end the workers compare what they read, and their weights. Callbacks that write are called by the
    first worker only.

    Raises:
        FloatingPointError: Where the loss of a step is not finite; that step does not touch the trainable weights.
            (XLA knows no checks: with `jit_compile` the step is known to within a call, and its weights are lost.)

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> data = tf.data.Dataset.from_tensor_slices((np.ones((8, 2)), np.ones((8, 1)))).batch(4)
        >>> history = fit(model, data, epochs=3, verbose=0)
        >>> len(history.history["loss"])
        3
    """
    epochs = check_count("epochs", epochs)
    if steps_per_call is not None:
        steps_per_call = check_count("steps_per_call", steps_per_call)
    if backup_every is not None:
        backup_every = check_count("backup_every", backup_every)
        if backup_dir is None:
            raise ValueError(f"`backup_every` needs a `backup_dir`. Received: backup_every={backup_every} alone.")
    check_can_train(model)
    replicas = Replicas(model.distribute_strategy)
    batches, validation_batches = count_batches("data", data, model), None
    if validation_data is not None:
        check_can_measure(model)
        validation_batches = count_batches("validation_data", validation_data, model)
    all_callbacks = keras.tree.flatten(callbacks or ())
    # Whoever passes TerminateOnNaN wants a quiet end instead of an error.
    check_loss = not any(isinstance(callback, keras.callbacks.TerminateOnNaN) for callback in all_callbacks)
    update = make_update(model, clip_norm=clip_norm, attack=attack, check_loss=check_loss, replicas=replicas)
    if backup_dir is not None or not model.run_eagerly or replicas.are_distributed:
        build_for(model, data.element_spec, replicas=replicas)
    has_loss_scale = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    mean_norm = outside_scopes(lambda: keras.metrics.Mean(name="gradient_norm"))

    def train_on(x: Any, y: Any, sample_weight: Any) -> tuple[Any, Logs]:
        loss, logs = update(x, y, sample_weight)
        if clip_norm is not None:
            # A loss scale grows until a gradient is infinite, and that step is not taken.
            counts = tf.math.is_finite(logs["gradient_norm"]) if has_loss_scale else True
            mean_norm.update_state(tf.where(counts, logs["gradient_norm"], 0.0), tf.cast(counts, tf.float32))
            logs["gradient_norm"] = mean_norm.result()
        return loss, logs

    def train_logs() -> Logs:
        norm = {} if clip_norm is None else {"gradient_norm": mean_norm.result()}
        return {**model.get_metrics_result(), **norm}

    # Logs that a model makes up by itself are known only from the step.
    has_own_logs = type(model).compute_metrics is not keras.Model.compute_metrics

    def calls_for(hooks: tuple[str, ...]) -> int | None:
        single = has_own_logs or (steps_per_call is None and any_needs_batches(all_callbacks, hooks))
        return 1 if single else steps_per_call

    training = ManySteps(
        model,
        train_on,
        train_logs,
        calls_for(TRAIN_HOOKS),
        check_loss=check_loss,
        fingerprints=backup_dir is not None,
        replicas=replicas,
        at_end=lambda: average_moving_statistics(model, replicas),
    )
    validation = ManySteps(
        model,
        make_measurement(model, replicas=replicas),
        model.get_metrics_result,
        calls_for(TEST_HOOKS),
        check_loss=False,
        replicas=replicas,
    )
    callbacks = replicas.callbacks_here(all_callbacks)
    backups = NoBackups(model, replicas)
    if backup_dir is not None:
        backups = Backups(
            model,
            replicas,
            folder=backup_dir,
            every=backup_every,
            epochs=epochs,
            batches=batches,
            training=training,
            more=[mean_norm],
            callbacks=callbacks,
            is_silent=verbose == 0,
        )
    with backups, closed_after_errors(callbacks):
        if backups.is_over:
            return backups.finished_history()
        watched = data
        for callback in callbacks:
            if hasattr(callback, "watch"):
                watched = callback.watch(watched)
            if hasattr(callback, "watch_step"):
                callback.watch_step(update)
        hooks = keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0 and replicas.is_chief,
            verbose=verbose,
            epochs=epochs,
            steps=batches,
            model=model,
        )

        def train(epoch: int, position: Position) -> Logs:
            def before_call(step: int) -> None:
                backups.before_call()
                hooks.on_train_batch_begin(step)

            def after_call(last: int, logs: Logs) -> None:
                hooks.on_train_batch_end(last, logs)
                position.step = last + 1
                backups.after_call(position)

            logs = training.run(
                watched,
                batches,
                where=f"of epoch {epoch + 1}",
                on_begin=before_call,
                on_end=after_call,
                stop=lambda: model.stop_training or backups.interrupted,
                skip=position.step,
                pause_every=backup_every,
            )
            if not logs:
                raise ValueError("`data` must hold at least one batch. Received: a data set without any.")
            return _as_numbers(logs)

        def measure() -> Logs:
            model.reset_metrics()
            model.stop_evaluating = False
            hooks.on_test_begin()
            logs = validation.run(
                validation_data,
                validation_batches,
                where="of the validation",
                on_begin=hooks.on_test_batch_begin,
                on_end=hooks.on_test_batch_end,
                stop=lambda: model.stop_evaluating or backups.interrupted,
            )
            if not logs:
                raise ValueError("`validation_data` must hold at least one batch. Received: a data set without any.")
            logs = _as_numbers(logs)
            hooks.on_test_end(logs)
            return {f"val_{name}": value for name, value in logs.items()}

        model.stop_training = False
        hooks.on_train_begin()
        position = backups.begin(data, validation_data)
        for epoch in range(position.epoch, epochs):
            if position.is_last and not position.is_trained:
                break
            model.reset_metrics()
            mean_norm.reset_state()
            hooks.on_epoch_begin(epoch)
            position = backups.take_up(epoch)
            if not position.is_trained:
                position.logs = train(epoch, position)
                backups.after_training(position, batches)
            logs = dict(position.logs)
            if validation_data is not None:
                logs |= measure()
                backups.after_validation(position)
            hooks.on_epoch_end(epoch, logs)
            model.stop_training = replicas.agree(model.stop_training)
            position = Position(epoch + 1, logs=logs, is_last=model.stop_training)
            backups.after_epoch(position)
        model.optimizer.finalize_variable_values(model.trainable_weights)
        hooks.on_train_end(position.logs)
        backups.finish(position)
    return model.history


def _as_numbers(logs: Logs) -> Logs:
    """The logs as Python numbers, and arrays where a metric has several values, in Keras' order."""
    arrays = {name: np.asarray(value) for name, value in sorted(logs.items())}
    return {name: float(array) if array.ndim == 0 else array for name, array in arrays.items()}
