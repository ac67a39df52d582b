"""The step that runs layers as they were: a Keras model of them, as one compiled function."""

import dataclasses
import math
from collections.abc import Iterator
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf

from kerasdl.xnor.graph import held_layers
from kerasdl.xnor.steps import Step
from kerasdl.xnor.workspaces import Workspace

# Up to about as many, NumPy is faster than a call of TensorFlow, which takes some tenths of a millisecond.
_FEW_NUMBERS = 2**17
_CONVOLUTIONS = keras.layers.Conv1D | keras.layers.Conv2D | keras.layers.Conv3D | keras.layers.DepthwiseConv2D


@dataclasses.dataclass(kw_only=True)
class KerasPart(Step):
    """Layers that run in Keras, in float: a functional model of their own, compiled once for any number of images.

    Their weights stay variables, so TensorFlow computes with the same rounding as in the whole model: of constants it
    would fold a batch normalisation into the convolution before it. Where they are the last step, simple layers are
    computed in NumPy for few images (`kerasdl.xnor.plain_layers`).

    Args:
        sources: The names of the values that go in, in the order of `model.inputs`.
        outputs: The names of those that come out, in the order of `model.outputs`.
        model: The layers, with weights of their own.
        reasons: Why a layer is not packed that one might expect to be, by its name.
    """

    sources: tuple[str, ...]
    outputs: tuple[str, ...]
    model: keras.Model
    reasons: dict[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sources, self.outputs = tuple(self.sources), tuple(self.outputs)
        given, made = len(self.model.inputs), len(self.model.outputs)
        self._expect(len(self.sources) == given, f"{given} sources, as its model has inputs", self.sources)
        self._expect(len(self.outputs) == made, f"{made} outputs, as its model has", self.outputs)
        self._dtypes = [np.dtype(tf.as_dtype(tensor.dtype).as_numpy_dtype) for tensor in self.model.inputs]
        self._compiled: Any = None
        self._ends = False
        self._plain: Any = None

    def end(self) -> None:
        """Says that no step reads what this one gives: then no sign depends on how sums are rounded."""
        self._ends = True

    def __getstate__(self) -> dict[str, Any]:
        # What is compiled can be neither copied nor sent to another process, and is compiled there anew.
        return {**self.__dict__, "_compiled": None, "_plain": None}

    @property
    def reads(self) -> tuple[str, ...]:
        """The names of the values that it needs."""
        return self.sources

    @property
    def writes(self) -> tuple[str, ...]:
        """The names of the values that it gives."""
        return self.outputs

    @property
    def multiply_adds(self) -> int:
        """Those of its convolutions and dense layers, for one image."""
        return sum(_multiply_adds(layer) for layer in _all_layers(self.model))

    def run(self, workspace: Workspace) -> None:
        """Calls the layers."""
        if self._ends and self._run_plain(workspace):
            return
        if self._compiled is None:
            self._compiled = self._compile()
        given = [
            tf.convert_to_tensor(np.asarray(workspace.values[name], dtype))
            for name, dtype in zip(self.sources, self._dtypes, strict=True)
        ]
        for name, tensor in zip(self.outputs, self._compiled(*given), strict=True):
            # A view of TensorFlow's memory, which lives as long as the view.
            workspace.values[name] = np.asarray(tensor)

    def _run_plain(self, workspace: Workspace) -> bool:
        """Does without TensorFlow where that is possible and faster."""
        from kerasdl.xnor.plain_layers import plain_layers

        given = workspace.values[self.sources[0]]
        if given.dtype != np.float32 or given.size > _FEW_NUMBERS:
            return False
        if self._plain is None:
            self._plain = plain_layers(self.model)
        if self._plain is None:
            self._ends = False  # Asked once: these layers need TensorFlow.
            return False
        shape = self.model.inputs[0].shape[1:]
        workspace.values[self.outputs[0]] = self._plain(given.reshape(len(given), *shape))
        return True

    def _compile(self) -> Any:
        def call(*tensors: tf.Tensor) -> list[tf.Tensor]:
            made = keras.tree.flatten(self.model(list(tensors) if len(tensors) > 1 else tensors[0], training=False))
            # What packed layers read is float32, whatever the precision of the layers before them.
            return [
                tf.cast(tensor, tf.float32) if tensor.dtype in (tf.bfloat16, tf.float16) else tensor for tensor in made
            ]

        signature = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in self.model.inputs]
        return tf.function(call, input_signature=signature).get_concrete_function()

    def describe(self) -> str:
        """How it runs."""
        return "Keras"

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights, in the order of `model.weights`."""
        return {f"weight{number}": np.asarray(weight) for number, weight in enumerate(self.model.weights)}

    def settings(self) -> dict[str, Any]:
        """All else; the layers as Keras' own configuration."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}
        return {**plain, "model": keras.saving.serialize_keras_object(self.model)}

    @property
    def nbytes(self) -> int:
        """What its weights take."""
        return sum(
            math.prod(weight.shape) * np.dtype(weight.value.dtype.as_numpy_dtype).itemsize
            for weight in self.model.weights
        )

    @classmethod
    def from_parts(cls, settings: dict[str, Any], arrays: dict[str, np.ndarray]) -> Self:
        """The step again; nothing in the configuration can run code of its own."""
        model = keras.saving.deserialize_keras_object(settings["model"], safe_mode=True)
        give_weights(model, [arrays[f"weight{number}"] for number in range(len(arrays))])
        return cls(**{**settings, "layers": tuple(settings["layers"]), "model": model})


def give_weights(layer: keras.layers.Layer, weights: list[np.ndarray]) -> None:
    """Sets the weights of a layer or a model, and renews what its layers have computed from them.

    Args:
        layer: A built one.
        weights: In the order of `layer.weights`.
    """
    layer.set_weights(weights)
    for held in held_layers(layer):
        if isinstance(held, keras.layers.Normalization):
            # It computes with tensors, which it makes of its weights when it adapts or is loaded.
            held.finalize_state()


def _all_layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _all_layers(layer)
        else:
            yield layer


def _multiply_adds(layer: keras.layers.Layer) -> int:
    """Every weight of a convolution is used once per pixel of its output; of a dense layer once per position."""
    kernel = getattr(layer, "kernel", None)
    if kernel is None or not isinstance(layer, keras.layers.Dense | _CONVOLUTIONS):
        return 0
    shape = layer.output.shape[1:]
    channels_first = getattr(layer, "data_format", "channels_last") == "channels_first"
    places = shape[1:] if channels_first else shape[:-1]
    return math.prod(kernel.shape) * math.prod(places) if None not in places else 0
