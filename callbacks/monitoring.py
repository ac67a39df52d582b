"""All that is worth watching while a classifier learns, in one call."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kerasdl.callbacks.activations import ActivationSummary
from kerasdl.callbacks.attributions import AttributionSummary
from kerasdl.callbacks.binary_weights import BinaryWeightSummary
from kerasdl.callbacks.confusion import ConfusionMatrixSummary
from kerasdl.callbacks.examples import Examples, as_examples
from kerasdl.callbacks.feature_maps import FeatureMapSummary
from kerasdl.callbacks.filters import FilterSummary
from kerasdl.callbacks.gates import GateSummary
from kerasdl.callbacks.gradients import GradientSummary
from kerasdl.callbacks.hyperparameters import HyperparameterSummary
from kerasdl.callbacks.layer_names import layer_names
from kerasdl.callbacks.learning_rates import LearningRateSummary
from kerasdl.callbacks.mistakes import MistakeSummary
from kerasdl.callbacks.precision_recall import PrecisionRecallSummary
from kerasdl.callbacks.recurrent import SpectralRadiusSummary
from kerasdl.callbacks.summary import Summary
from kerasdl.callbacks.throughput import ThroughputSummary
from kerasdl.callbacks.train_graph import TrainGraphSummary
from kerasdl.callbacks.weights import WeightSummary
from kerasdl.layers import HighwayConv2D, HighwayDense
from kerasdl.layers.latent_kernel import LatentKernel
from kerasdl.visualization.weights import find_convolution


def monitor(
    log_dir: str | Path,
    data: Any,
    *,
    class_names: Sequence[str] | None = None,
    hyperparameters: Mapping[str, Any] | None = None,
    count: int = 256,
    every: int = 1,
) -> list[keras.callbacks.Callback]:
    """The callbacks with which a classifier is watched in TensorBoard, for `model.fit` and `training.fit`.

    Of every model: Keras' own `TensorBoard` (loss and metrics of training and validation, the layers' graph), the
    throughput, the learning rate, the graph of the training step, gradients, weights and activations layer by layer,
    and what the confusion matrix and the curves of precision and recall say. Of images also the worst mistakes, where
    the network looks (Grad-CAM), feature maps and the first filters. Of highway, binary and recurrent layers what there
    is to see in them. Of a model that has no such thing the callback does nothing.

    On two cores it takes 0.9 s after each epoch of ResNet-20, 4.3 % of 200 steps of 64 images
    (`python -m benchmarks.callbacks --turns 2 --epochs 2`). For short epochs take a larger `every`.

    Start `tensorboard --logdir runs` and look at it while the network trains. Each callback writes a file of its own;
    where TensorBoard is told `--load_fast=false`, it needs `--reload_multifile=true` to follow them all.

    For `model.fit` the share of time in which training waits for data needs one more call:
    `model.fit(callbacks[0].watch(data), callbacks=callbacks)`; `training.fit` does it by itself.

    Args:
        log_dir: Folder of the logs of this run.
        data: Labelled examples to look at, best the validation's: a `tf.data.Dataset` of batches `(x, y)`, such arrays,
            or an `Examples`.
        class_names: What the classes are called. None takes those of the data, where it has an attribute of this name
            (as `keras.utils.image_dataset_from_directory` gives it), or else their numbers.
        hyperparameters: Settings of this run by their names, for the page HParams; None leaves the page out.
        count: How many examples: the first ones. They are computed once in each epoch for all callbacks together.
        every: Write after every so many epochs. Keras' own scalars come every epoch.

    Returns:
        A list to pass as `callbacks`; take out of it what you do not want, or add to it.

    Example:
        >>> callbacks = monitor("runs/mine/logs", (np.zeros((4, 8, 8, 1)), np.array([0, 1, 1, 0])), every=5)
        >>> [type(callback).__name__ for callback in callbacks[:3]]
        ['ThroughputSummary', 'TensorBoard', 'LearningRateSummary']
    """
    if class_names is None:
        class_names = getattr(data, "class_names", None)
    examples = as_examples(data, count)
    names: dict[str, Any] = {"class_names": class_names, "every": every}
    chosen: list[keras.callbacks.Callback] = [
        ThroughputSummary(log_dir, every=every),  # The first, for it measures between its own hooks.
        keras.callbacks.TensorBoard(log_dir),
        LearningRateSummary(log_dir, every=every),
        TrainGraphSummary(log_dir, examples),
        GradientSummary(log_dir, examples, count=32, every=every),
        WeightSummary(log_dir, every=every),
        ActivationSummary(log_dir, examples, count=64, every=every),
        PrecisionRecallSummary(log_dir, examples, **names),
        _where(lambda model: _has_one_class(examples, model), ConfusionMatrixSummary(log_dir, examples, **names)),
        _where(
            lambda model: _are_images(examples) and _has_one_class(examples, model),
            MistakeSummary(log_dir, examples, count=12, **names),
        ),
        _where(_has_filters, FilterSummary(log_dir, every=every)),
        _where(
            lambda model: _are_images(examples) and _has_filters(model),
            FeatureMapSummary(log_dir, examples, count=2, every=every),
        ),
        _where(
            lambda model: _are_images(examples) and _has_filters(model),
            AttributionSummary(log_dir, examples, **names),
        ),
        _where(_has(HighwayDense, HighwayConv2D), GateSummary(log_dir, examples, every=every)),
        _where(_has(LatentKernel), BinaryWeightSummary(log_dir, every=every)),
        _where(_has_states, SpectralRadiusSummary(log_dir, examples, every=every)),
    ]
    if hyperparameters is not None:
        chosen.append(HyperparameterSummary(log_dir, hyperparameters, every=every))
    return chosen


def _where(fits: Callable[[keras.Model], bool], callback: Summary) -> Summary:
    """The callback, for models that have what it shows."""
    callback.fits = fits
    return callback


def _are_images(examples: Examples) -> bool:
    return isinstance(examples.x, np.ndarray) and examples.x.ndim == 4


def _has_one_class(examples: Examples, model: keras.Model) -> bool:
    """Whether each example is of one class; it may also be of several."""
    try:
        return len(examples.labels_for(model)) > 0
    except ValueError:
        return False


def _has_filters(model: keras.Model) -> bool:
    try:
        find_convolution(model)
    except ValueError:
        return False
    return True


def _has(*kinds: type) -> Callable[[keras.Model], bool]:
    return lambda model: any(isinstance(layer, kinds) for layer in layer_names(model).values())


def _has_states(model: keras.Model) -> bool:
    """Whether a layer makes a state from the one before by a matrix, and not by a convolution."""
    kernels = [getattr(layer, "recurrent_kernel", None) for layer in layer_names(model).values()]
    return any(kernel is not None and len(kernel.shape) == 2 for kernel in kernels)
