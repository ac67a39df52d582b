"""Packed networks equal Keras on networks that nobody thought of."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from xnor_helpers import trained_looking

from kerasdl.layers import (
    BinaryConv2D,
    BinaryDense,
    FusedBatchNormalization,
    TernaryConv2D,
    TernaryDense,
    XnorConv2D,
    XnorDense,
)
from kerasdl.xnor import load, pack
from kerasdl.xnor.bits import unpack_bits
from kerasdl.xnor.convolution_steps import ConvolveBits, ConvolveFloats
from kerasdl.xnor.shapes import BitShape
from kerasdl.xnor.workspaces import Workspace

CHANNELS = [1, 3, 16, 17, 63, 64, 65, 130]
CONVOLUTIONS = {
    "xnor": XnorConv2D,
    "scaled by K": XnorConv2D,
    "binary": BinaryConv2D,
    "ternary": TernaryConv2D,
    "real": keras.layers.Conv2D,
}
DENSE = {
    "xnor": XnorDense,
    "scaled by K": XnorDense,
    "binary": BinaryDense,
    "ternary": TernaryDense,
    "real": keras.layers.Dense,
}
# Binary layers more often than others.
KINDS = st.sampled_from(["xnor", "xnor", "xnor", *CONVOLUTIONS])


def binary_options(draw, kind):
    options = {"use_bias": draw(st.booleans()), "activation": draw(st.sampled_from([None, None, None, "relu", "tanh"]))}
    if kind != "real":
        options["weight_scale"] = draw(st.booleans())
    if kind == "scaled by K":
        options["input_scale"] = True
    return options


def before_products(draw, x):
    """Norms, rectifiers and maxima in any order."""
    for part in draw(st.lists(st.sampled_from(["norm", "norm", "norm", "relu", "max", "mean"]), max_size=3)):
        if part == "norm":
            kind = draw(st.sampled_from([keras.layers.BatchNormalization, FusedBatchNormalization]))
            x = kind(scale=draw(st.booleans()), center=draw(st.booleans()))(x)
        elif part == "relu":
            x = keras.layers.ReLU(negative_slope=draw(st.sampled_from([0.0, 0.25])))(x)
        elif len(x.shape) == 4:
            pool = keras.layers.MaxPooling2D if part == "max" else keras.layers.AveragePooling2D
            size, strides = draw(st.integers(1, min(3, *x.shape[1:3]))), draw(st.integers(1, 2))
            x = pool(size, strides, padding=draw(st.sampled_from(["valid", "same"])))(x)
    return x


def convolve(draw, x):
    kind = draw(KINDS)
    if draw(st.integers(0, 4)) == 0:
        x = keras.layers.ZeroPadding2D(((draw(st.integers(0, 2)), 1), (0, draw(st.integers(0, 1)))))(x)
    side = min(3, *x.shape[1:3])
    kernel = draw(st.tuples(st.integers(1, side), st.integers(1, side)))
    options = binary_options(draw, kind)
    if draw(st.booleans()):
        # TensorFlow's own convolution of one channel gives garbage for some unequal strides.
        unequal = kind != "real" and x.shape[-1] > 1
        options["strides"] = draw(st.sampled_from([2, 3, (1, 2)] if unequal else [2, 3]))
    elif draw(st.integers(0, 3)) == 0:
        options["dilation_rate"] = 2
    padding = draw(st.sampled_from(["same", "valid"])) if "dilation_rate" not in options else "same"
    if kind in ("xnor", "scaled by K"):
        options["pad_value"] = draw(st.sampled_from([1, -1]))
    return CONVOLUTIONS[kind](draw(st.sampled_from(CHANNELS)), kernel, padding=padding, **options)(x)


def network(draw):
    """A model with weights as training might have left them, and images for it."""
    keras.utils.clear_session(free_memory=False)
    height, width = draw(st.integers(3, 9)), draw(st.integers(3, 9))
    images = x = keras.Input((height, width, draw(st.sampled_from(CHANNELS))))
    kept = []
    for _ in range(draw(st.integers(1, 4))):
        x = convolve(draw, before_products(draw, x))
        same = [other for other in kept if other.shape[1:] == x.shape[1:]]
        if same and draw(st.booleans()):
            x = keras.layers.Add()([x, draw(st.sampled_from(same))])
        kept.append(x)
        if draw(st.integers(0, 3)) == 0:
            # A second reader of the same values, beside the first.
            kept.append(XnorConv2D(x.shape[-1], 1, pad_value=-1)(x))
    x = before_products(draw, x)
    x = draw(st.sampled_from([keras.layers.Flatten, keras.layers.GlobalAveragePooling2D]))()(x)
    for _ in range(draw(st.integers(0, 2))):
        kind = draw(KINDS)
        x = DENSE[kind](draw(st.sampled_from(CHANNELS)), **binary_options(draw, kind))(before_products(draw, x))
    model = keras.Model(images, keras.layers.Dense(draw(st.integers(1, 11)))(before_products(draw, x)))

    seed = draw(st.integers(0, 2**16))
    trained_looking(model, seed)
    random = np.random.default_rng(seed)
    shape = (draw(st.integers(1, 5)), *images.shape[1:])
    if draw(st.booleans()):
        return model, random.normal(size=shape).astype("float32")
    # Whole numbers reach zeros and thresholds exactly; factors of zero leave only an offset.
    for weight in model.weights:
        if weight.path.endswith(("mean", "beta", "bias")):
            weight.assign(np.round(2 * weight.numpy()))
        elif weight.path.endswith("gamma"):
            weight.assign(random.choice([-1, 0, 1, 1], weight.shape))
        elif weight.path.endswith("variance"):
            weight.assign(np.ones(weight.shape))
    return model, random.integers(-2, 3, shape).astype("float32")


def check_every_step(model, packed, images):
    """Gives each step the very numbers that Keras has there, and compares what it makes of them.

    Signs must be equal all of them, sums of signs to the last bit where nothing but a scale follows, and other numbers
    up to the rounding of sums in another order.
    """
    layers = {layer.name: layer.output for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)}
    known = {name: np.asarray(value) for name, value in keras.Model(model.inputs, layers)([images]).items()}
    workspace = Workspace()
    workspace.begin(len(images), dict(zip(packed.sources, [images], strict=True)))
    compared = 0
    for step in packed.steps:
        step.run(workspace)
        for name in step.writes:
            made, layer = workspace.values[name], name.split(":")[0]
            if made.dtype == np.uint64 and ":bits" in name and layer in known:
                compared += check_signs(made, step.shape, known[layer])
            elif name in known:
                expected = known[name]
                exact = isinstance(step, ConvolveFloats) and len(step.layers) == 1 and step.input_scale is None
                if exact and model.get_layer(step.layers[0]).activation is keras.activations.linear:
                    np.testing.assert_array_equal(made, expected)
                else:
                    limit = 2e-5 * max(np.abs(expected).max(), 1e-3)
                    np.testing.assert_allclose(made, expected, rtol=0, atol=limit)
                workspace.values[name] = expected
                compared += 1
    return compared


def check_signs(bits: np.ndarray, shape: BitShape, numbers: np.ndarray) -> int:
    """Compares bits with the signs of numbers; gives 1, or 0 where the numbers include a padding of their own."""
    top, left = shape.origin
    inside = bits[:, top : top + shape.height, left : left + shape.width]
    found = unpack_bits(inside, shape.channels)
    if found.size != numbers.size:
        return 0
    np.testing.assert_array_equal(found.ravel(), numbers.ravel() >= 0)
    return 1


def check(model, images, tmp_path):
    """The packed network equals Keras; or where rounding at a threshold has turned a sign, each step does.

    Returns:
        Whether rounding has turned one.
    """
    packed = pack(model)
    compared = check_every_step(model, packed, images)
    assert compared >= 1
    outputs, expected = packed.predict(images), model.predict(images, verbose=0)
    path = tmp_path / "network"
    packed.save(path)
    np.testing.assert_array_equal(load(path).predict(images), outputs)
    if np.abs(outputs - expected).max() <= 2e-5 * max(np.abs(expected).max(), 1e-3):
        return False
    # Sums of numbers in another order may lie on the other side of a threshold. That needs such sums: with K, behind
    # a packed layer of real inputs, or an addition; whole numbers compared with whole limits have no excuse.
    assert any(isinstance(step, ConvolveFloats) and (step.input_scale or step.residual) for step in packed.steps)
    return True


OPTIONS = {
    "derandomize": True,
    "deadline": None,
    "database": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
}


def check_many(count, folder):
    turned = []

    @settings(max_examples=count, **OPTIONS)
    @given(st.data())
    def run(data):
        turned.append(check(*network(data.draw), folder))

    run()
    return turned


def test_equals_keras_on_a_few_random_networks(tmp_path):
    assert sum(check_many(6, tmp_path)) == 0


@pytest.mark.slow
def test_equals_keras_on_many_random_networks(tmp_path):
    turned = check_many(200, tmp_path)
    assert len(turned) >= 200
    # What rounding turns is rare: one of a hundred of these networks at most.
    assert sum(turned) <= len(turned) // 100


def test_a_wrong_limit_would_be_found(tmp_path):
    # The comparison itself sees one limit of one filter that is off by one.
    images = keras.Input((5, 5, 20))
    x = keras.layers.BatchNormalization(name="norm")(XnorConv2D(6, 3, name="conv")(images))
    model = trained_looking(keras.Model(images, XnorConv2D(4, 3, name="last")(x)))
    given = np.random.default_rng(0).normal(size=(40, 5, 5, 20)).astype("float32")
    packed = pack(model)
    check_every_step(model, packed, given)
    step = next(step for step in packed.steps if isinstance(step, ConvolveBits))
    step.limits[3] += 2  # Mismatches of a filter rise by one or two.
    with pytest.raises(AssertionError):
        check_every_step(model, packed, given)
    assert list(itertools.chain(tmp_path.iterdir())) == []
