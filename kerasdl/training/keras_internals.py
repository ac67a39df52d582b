"""What only a private name of Keras tells: kept in one place, with the reason."""

from typing import Any

import keras


def first_epoch(model: keras.Model) -> int:
    """The epoch to begin with: `BackupAndRestore` leaves it on the model, where `model.fit` looks for it."""
    return getattr(model, "_initial_epoch", None) or 0


def profiles_batches(callback: keras.callbacks.TensorBoard) -> bool:
    """Whether `profile_batch` was set: the callback keeps it only as a private range of batches, (0, 0) for none."""
    return bool(getattr(callback, "_start_batch", 0) or getattr(callback, "_stop_batch", 0))


def begin_with(model: keras.Model, epoch: int | None) -> None:
    """Lets `model.fit` begin with this epoch; None as without a backup. What `first_epoch` reads."""
    model._initial_epoch = epoch


def flush_writers(callback: keras.callbacks.Callback) -> None:
    """Puts on the disk what Keras' `TensorBoard` has written: it gives nobody its writers."""
    if isinstance(callback, keras.callbacks.TensorBoard):
        for writer in callback._writers.values():
            writer.flush()


def close_writers(callback: keras.callbacks.Callback) -> None:
    """Closes the files of Keras' `TensorBoard`, which does it by itself only where a training ends well.

    With `update_freq` it also makes its writer TensorFlow's default: left there, the next training would write its
    batches into this one's file, or fail because that is closed.
    """
    if isinstance(callback, keras.callbacks.TensorBoard):
        while callback._prev_summary_state:
            callback._pop_writer()
        for writer in callback._writers.values():
            writer.close()


# What Keras' callbacks count under private names, and a training that goes on must not count anew.
PRIVATE_COUNTS: dict[type, tuple[str, ...]] = {
    keras.callbacks.ModelCheckpoint: ("_batches_seen_since_last_saving", "_last_batch_seen"),
    keras.callbacks.TensorBoard: ("_global_train_batch", "_global_test_batch"),
    keras.callbacks.SwapEMAWeights: ("_ema_weights_in_model",),
}


def all_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers of a model and those inside them: `layers` tells nothing of what a layer of one's own holds."""
    return model._flatten_layers(include_self=False)


def losses_of(model: keras.Model) -> list[keras.losses.Loss]:
    """What Keras makes of the names, functions and objects that `compile` was given, once it has computed the loss."""
    compiled = model._compile_loss
    return [] if compiled is None else [loss for _, loss, *_ in compiled._flat_losses or [] if loss is not None]


def mask_of(tensor: Any) -> Any:
    """The mask that the layers have handed on with a tensor, and Keras' losses look for; None without any."""
    return getattr(tensor, "_keras_mask", None)
