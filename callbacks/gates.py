"""The gates of a highway network, watched while they open and close."""

from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from kerasdl.callbacks.examples import as_examples
from kerasdl.callbacks.histograms import bucket_counts
from kerasdl.callbacks.layer_names import layer_names
from kerasdl.callbacks.summary import Summary
from kerasdl.callbacks.tapping import as_tensors, call_name, check_count, compile_taps, first_examples
from kerasdl.callbacks.values import Values
from kerasdl.layers import HighwayConv2D, HighwayDense


class GateSummary(Summary):
    """Writes how far the gates of highway layers are open for some examples: mean and histogram of each layer.

    The tags are `gate_openness/<layer>`, the mean of the transform gate T, and `gates/<layer>`, its histogram: at 0 a
    unit passes on what it got, at 1 it computes something new. A layer whose mean stays near 0 is not used. With carry
    gates of their own `carry_openness/<layer>` and `carry_gates/<layer>` show C, and `gate_openness` is that of T as
    before. `mean_gate_openness` is the mean over the layers.

    Args:
        log_dir: Folder of the logs; the one given to `keras.callbacks.TensorBoard` will do.
        data: The examples: a `tf.data.Dataset` of batches, or arrays, with or without targets.
        count: How many examples, the first.
        every: Write after every so many epochs. The step is the epoch, counted from 0 as Keras' TensorBoard does.

    Example:
        >>> callback = GateSummary("runs/mine/logs", np.zeros((64, 28, 28, 1)), every=5)
        >>> callback.every
        5

    Reference:
        [Srivastava et al., 2015](https://arxiv.org/abs/1507.06228), Figure 2: the gates of trained networks
    """

    needs_weights = True

    def __init__(self, log_dir: str | Path, data: Any, *, count: int = 128, every: int = 1) -> None:
        super().__init__(log_dir, every=every)
        self.count = check_count(count)
        self.examples = as_examples(data, count)

    def prepare(self) -> None:
        """Finds the gates and compiles the run, so that what does not fit is told before the first epoch."""
        inputs, _, _ = first_examples(self.model, self.examples, self.count)
        layers = {
            name: layer
            for name, layer in layer_names(self.model).items()
            if isinstance(layer, HighwayDense | HighwayConv2D)
        }
        if not layers:
            raise ValueError(
                "GateSummary expects a model with highway layers, kerasdl.layers.HighwayDense or HighwayConv2D. "
                f"Received: model {self.model.name!r}, which has none."
            )
        self._has_own_carry = {name for name, layer in layers.items() if layer.carry == "independent"}
        self._inputs = as_tensors(inputs)
        # `call` asks the layer's own `gates`: what they are for this input is what training computes.
        self._look = compile_taps(self.model, inputs, layers, "gates", _note)

    def write(self, step: int, logs: dict[str, Any]) -> None:
        """Writes means and histograms."""
        shown, means = Values(), []
        for name, calls in self._look(self._inputs).items():
            for index, ((transform, histogram), (carry, carry_histogram)) in enumerate(calls):
                tag = call_name(name, index)
                means.append(transform)
                shown.scalar(f"gate_openness/{tag}", transform)
                shown.histogram(f"gates/{tag}", histogram)
                if name in self._has_own_carry:
                    shown.scalar(f"carry_openness/{tag}", carry)
                    shown.histogram(f"carry_gates/{tag}", carry_histogram)
        shown.scalar("mean_gate_openness", tf.reduce_mean(means))
        shown.write(step)


def _note(args: tuple, kwargs: dict[str, Any], result: tuple[Any, Any]) -> list[tuple]:
    gates = [tf.cast(keras.ops.convert_to_tensor(gate), tf.float32) for gate in result]
    return [(tf.reduce_mean(gate), bucket_counts(gate)) for gate in gates]
