"""What the layers give for some examples, watched while a network learns: saturated, dead, or alive."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.callbacks.examples import as_examples
from kerasdl.callbacks.histograms import bucket_counts, shared
from kerasdl.callbacks.layer_names import layer_names, named_layer
from kerasdl.callbacks.summary import Summary
from kerasdl.callbacks.tapping import as_tensors, call_name, check_count, compile_taps, first_examples
from kerasdl.callbacks.values import Values
from kerasdl.layers import HighwayConv2D, HighwayDense
from kerasdl.visualization.probing import RECTIFIERS

# What these make is what another layer has made, in another order or with some of it left out.
_PASSING = ("Input", "Flatten", "Reshape", "Permute", "Repeat", "Dropout", "Masking", "Padding", "Cropping", "Identity")


class ActivationSummary(Summary):
    """Writes what layers give for some examples: mean, standard deviation and histogram, and the share of dead units.

    The tags are `activation_means/<layer>`, `activation_deviations/<layer>` and `activations/<layer>`; for layers that
    end in a ReLU also `dead_units/<layer>`, the share of units that are positive for none of the examples at no place,
    and `zero_activations/<layer>`, the share of numbers that are 0. A unit is one channel: what has one place on the
    last axis. A dead unit gets no gradient any more, as long as the layers below do not move.

    The model runs as for a prediction: nothing is dropped, and batch normalisation takes its moving averages. Steps
    that are masked, such as the padding of a text, count like others.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        data: The examples: a `tf.data.Dataset` of batches, or arrays, with or without targets.
        layers: Names of layers, alone or as "outer/inner". None takes all of the model and of models inside it that
            have weights or an activation function, or compute otherwise, as additions and poolings do; not those that
            only pass on, such as Flatten and Dropout.
        count: How many examples, the first.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> callback = ActivationSummary("runs/mine/logs", np.zeros((64, 28, 28, 1)), ["conv2d", "dense"], every=5)
        >>> callback.layers
        ['conv2d', 'dense']

    Reference:
        [Glorot and Bengio, 2010](https://proceedings.mlr.press/v9/glorot10a.html), Figure 2: activations by layer;
        [Maas et al., 2013](https://ai.stanford.edu/~amaas/papers/relu_hybrid_icml2013_final.pdf) for dead units
    """

    def __init__(
        self,
        log_dir: str | Path,
        data: Any,
        layers: Sequence[str] | str | None = None,
        *,
        count: int = 128,
        every: int = 1,
    ) -> None:
        super().__init__(log_dir, every=every)
        self.count = check_count(count)
        self.examples = as_examples(data, count)
        self.layers = None if layers is None else [layers] if isinstance(layers, str) else list(layers)

    def prepare(self) -> None:
        """Finds the layers and compiles the run, so that wrong names and data are told before the first epoch."""
        inputs, _, _ = first_examples(self.model, self.examples, self.count)
        if self.layers is None:
            layers = _computing(self.model)
        else:
            layers = dict(named_layer(self.model, name) for name in self.layers)
        if not layers:
            raise ValueError(
                "ActivationSummary expects a model that is made of layers, or the names of some. "
                f"Received: layers={self.layers!r} for model {self.model.name!r}."
            )
        self._inputs = as_tensors(inputs)
        self._rectified = {name for name, layer in layers.items() if _is_rectified(layer)}
        self._look = compile_taps(self.model, inputs, layers, "call", _note, required=self.layers is not None)

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes all numbers of all layers."""
        shown = Values()
        for name, calls in self._look(self._inputs).items():
            for index, call in enumerate(calls):
                if call is None:
                    continue
                mean, deviation, zeros, dead, histogram = call
                tag = call_name(name, index)
                shown.scalar(f"activation_means/{tag}", mean)
                shown.scalar(f"activation_deviations/{tag}", deviation)
                shown.histogram(f"activations/{tag}", histogram)
                # Somebody's own layer may have a ReLU in its middle.
                if name in self._rectified and not histogram[1] < 0:
                    shown.scalar(f"dead_units/{tag}", dead)
                    shown.scalar(f"zero_activations/{tag}", zeros)
        shown.write(step)


def _note(args: tuple, kwargs: dict[str, Any], result: Any) -> tuple | None:
    """What is kept of a layer's output, which itself may be large: of several tensors of the first."""
    output = keras.tree.flatten(result)[0]
    if not output.dtype.is_floating:
        return None  # Words, and their numbers.
    # One number for each example alone is one unit.
    return _measured(tf.reshape(tf.cast(output, tf.float32), [-1, output.shape[-1] if output.shape.rank > 1 else 1]))


def _measure(values: tf.Tensor) -> tuple:
    mean, variance = tf.nn.moments(tf.reshape(values, [-1]), 0)
    dead, zeros = ~tf.reduce_any(values > 0, 0), tf.equal(values, 0)
    shares = [tf.reduce_mean(tf.cast(each, tf.float32)) for each in (zeros, dead)]
    return mean, tf.sqrt(variance), *shares, bucket_counts(values)


_measured = shared(_measure, tf.TensorSpec([None, None], tf.float32))


def _computing(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """The layers of the model, and of models inside it, that compute something; those inside layers are left out."""
    found: dict[str, keras.layers.Layer] = {}
    models = {""}
    for name, layer in layer_names(model).items():
        outer = name.rpartition("/")[0]
        if outer not in models:
            continue
        if isinstance(layer, keras.Model):
            models.add(name)
        elif not any(kind in type(layer).__name__ for kind in _PASSING):
            found[name] = layer
    return found


def _is_rectified(layer: keras.layers.Layer) -> bool:
    """Whether the layer's output is that of a ReLU, as far as its class tells."""
    if isinstance(layer, keras.layers.ReLU):
        # One that lets something of the negative through has no dead units.
        return not np.any(layer.negative_slope) and not layer.threshold
    # A highway layer's activation function is not the last thing that it does.
    is_mixed = isinstance(layer, HighwayConv2D | HighwayDense)
    return not is_mixed and any(getattr(layer, "activation", None) is each for each in RECTIFIERS)
