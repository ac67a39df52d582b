"""Plans beside the layers: every bit and every number of a pass is compared."""

from typing import Any

import keras
import numpy as np

from kerasdl.layers import XnorConv2D, XnorDense
from kerasdl.xnor.bits import unpack_bits
from kerasdl.xnor.planning import Plan, plan
from kerasdl.xnor.shapes import BitShape
from kerasdl.xnor.workspaces import Workspace


def set_weights(model: keras.Model, seed: int) -> None:
    """Random weights, with norms whose thresholds fall on sums that occur, and factors of both signs and of 0."""
    generator = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            channels = layer.moving_mean.shape[0]
            mean = generator.integers(-6, 7, channels) / 2.0
            beta = generator.choice([0.0, 0.0, 0.0, 0.5, -0.5], channels)
            gamma = generator.choice([-1.5, -0.3, 0.0, 0.4, 1.0, 2.0], channels, p=[0.2, 0.2, 0.05, 0.2, 0.2, 0.15])
            layer.set_weights([gamma, beta, mean, generator.uniform(0.2, 3, channels)])
        else:
            layer.set_weights([generator.normal(size=weight.shape) for weight in layer.weights])
        if isinstance(layer, XnorConv2D | XnorDense):
            # Alpha is a power of two: sums times alpha hit the means exactly, half of the time.
            weights = layer.get_weights()
            weights[0] = np.sign(weights[0]) * 0.5
            weights[1:] = [np.round(weight) for weight in weights[1:]]
            layer.set_weights(weights)


def run(planned: Plan, *images: np.ndarray) -> dict[str, Any]:
    """All values of a pass, copied."""
    workspace = Workspace()
    workspace.begin(len(images[0]), dict(zip(planned.inputs, images, strict=True)))
    for step in planned.steps:
        step.run(workspace)
    return {name: np.array(value) for name, value in workspace.values.items()}


def check(model: keras.Model, seed: int = 0, tolerance: float = 0.0) -> Plan:
    """Compares every tensor of bits and every tensor of numbers with what the layer of its name gives in Keras."""
    set_weights(model, seed)
    generator = np.random.default_rng(seed + 1)
    images = [generator.normal(size=(3, *tensor.shape[1:])).astype("float32") for tensor in model.inputs]
    before = [weight.numpy() for weight in model.weights]
    planned = plan(model)
    values = run(planned, *images)
    layers = {layer.name: layer.output for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)}
    expected = keras.Model(model.inputs, layers).predict(images, verbose=0)
    expected |= {name: images[place] for place, name in enumerate(planned.inputs)}
    shapes: dict[str, BitShape] = {}
    for step in planned.steps:
        if hasattr(step, "shape"):
            shapes[step.output] = step.shape
    for name, shape in shapes.items():
        if ":bits" in name:
            check_bits(values[name], shape, expected[name.rsplit(":bits")[0]] >= 0)
    compared = [name for name in values if name in expected and values[name].dtype == np.float32]
    assert set(planned.outputs) <= set(compared)
    for name in compared:
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(values[name], expected[name], rtol=0, atol=tolerance * scale, err_msg=name)
    for old, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(old, weight)
    return planned


def check_bits(words: np.ndarray, shape: BitShape, signs: np.ndarray) -> None:
    """The bits inside are the signs, those around the border's value, and those beyond the last channel 0."""
    border, inside = shape.border, np.zeros(words.shape[1:3], bool)
    inside[border.top : border.top + shape.height, border.left : border.left + shape.width] = True
    bits = unpack_bits(words, 64 * shape.words)
    np.testing.assert_array_equal(bits[:, inside, : shape.channels].ravel(), signs.ravel())
    assert np.all(bits[:, ~inside, : shape.channels] == (border.value == 1))
    assert not bits[..., shape.channels :].any()


def model_of(shape: tuple[int, ...], *layers: Any) -> keras.Model:
    """The layers one behind the other."""
    x = inputs = keras.Input(shape)
    for layer in layers:
        x = layer(x)
    return keras.Model(inputs, x)


def kinds(planned: Plan) -> list[type]:
    """The steps' classes."""
    return [type(step) for step in planned.steps]
