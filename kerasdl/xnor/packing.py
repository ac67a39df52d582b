"""From a Keras model to a packed one."""

from typing import Any

import keras

from kerasdl.xnor.inputs import inputs_of
from kerasdl.xnor.packed_model import PackedModel
from kerasdl.xnor.planning import plan


def pack(model: keras.Model) -> PackedModel:
    """The same network with its binary layers as words of 64 bits: small, and fast on an ordinary processor.

    Of a binary layer only the signs of its weights are kept. In a chain of them no number is written: batch
    normalisation, sign and maximum pooling become whole-number thresholds. Batch normalisation goes into the real
    layers before it. All else runs in Keras as before; `summary()` says what, and why.

    Classes are those of the model, bit for bit in the binary part. The packed network stands for itself: what happens
    to the model later does not reach it.

    Args:
        model: A functional or sequential model, trained or loaded, such as `kerasdl.architectures.xnor_resnet18()`.

    Returns:
        The packed network: `predict`, `summary`, `nbytes`, `save`.

    Example:
        >>> from kerasdl.architectures import binary_cnn
        >>> from kerasdl.xnor import pack
        >>> model = binary_cnn()
        >>> packed = pack(model)
        >>> images = np.random.default_rng(0).random((4, 28, 28, 1), dtype="float32")
        >>> bool(np.all(packed.predict(images).argmax(1) == model.predict(images, verbose=0).argmax(1)))
        True
    """
    planned = plan(model)
    names = iter(planned.outputs)
    outputs: Any = keras.tree.map_structure(lambda _: next(names), _output_of(model))
    return PackedModel(model.name, inputs_of(model), tuple(planned.steps), tuple(planned.inputs), outputs)


def _output_of(model: keras.Model) -> Any:
    """The structure that the model's `predict` gives: of a list of one output, that output."""
    # A sequential model has one output, but no `output` before it has been called on a symbolic tensor.
    output = model.outputs[0] if isinstance(model, keras.Sequential) else model.output
    return output[0] if isinstance(output, list | tuple) and len(output) == 1 else output
