"""Chains of binary layers: bit for bit those of Keras, and bits only from the first sign to the last sum."""

from collections.abc import Callable

import keras
import pytest
from xnor_plans import check, kinds, model_of

from kerasdl.layers import FusedBatchNormalization as Norm
from kerasdl.layers import XnorConv2D, XnorDense
from kerasdl.xnor.convolution_steps import ConvolveBits, ConvolveFloats
from kerasdl.xnor.steps import Binarize, PoolBits

Pool, Pad, Stock = keras.layers.MaxPooling2D, keras.layers.ZeroPadding2D, keras.layers.BatchNormalization

CHAINS: dict[str, Callable[[], keras.Model]] = {
    "same, +1, bias": lambda: model_of(
        (9, 8, 5), XnorConv2D(20, 3, padding="same", name="a"), Norm(name="b"),
        XnorConv2D(65, 3, padding="same", name="c"), Stock(name="d"), XnorConv2D(7, 3, name="e"),
    ),
    "same, -1, strides, no scale": lambda: model_of(
        (9, 8, 66), XnorConv2D(20, 3, 2, "same", pad_value=-1, weight_scale=False, use_bias=False, name="a"),
        Norm(name="b"), XnorConv2D(13, (3, 2), (1, 2), "same", pad_value=-1, name="c"), Norm(name="d"),
        XnorConv2D(4, 2, name="e"),
    ),
    "dilation": lambda: model_of(
        (11, 9, 3), XnorConv2D(9, 3, padding="same", dilation_rate=2, name="a"), Norm(name="b"),
        XnorConv2D(5, 2, dilation_rate=(1, 3), name="c"),
    ),
    "pool behind norm": lambda: model_of(
        (9, 9, 4), XnorConv2D(17, 3, padding="same", name="a"), Norm(name="b"), Pool(2, name="c"),
        XnorConv2D(6, 3, padding="same", name="d"),
    ),
    "norm behind pool, overlapping, same": lambda: model_of(
        (9, 9, 4), XnorConv2D(17, 3, padding="same", name="a"), Pool(3, 2, padding="same", name="b"), Norm(name="c"),
        XnorConv2D(6, 3, padding="same", name="d"),
    ),
    "two pools, norms of both signs between": lambda: model_of(
        (12, 12, 4), XnorConv2D(33, 3, padding="same", name="a"), Norm(name="b"), Pool(3, 2, "same", name="c"),
        Norm(name="d"), Pool(2, name="e"), Norm(name="f"), XnorConv2D(6, 3, padding="same", pad_value=-1, name="g"),
    ),
    "activations, dropout": lambda: model_of(
        (7, 7, 4), XnorConv2D(17, 3, activation="tanh", name="a"), keras.layers.Dropout(0.5, name="b"), Norm(name="c"),
        keras.layers.LeakyReLU(0.3, name="d"), keras.layers.Rescaling(0.5, -0.125, name="e"),
        XnorConv2D(6, 3, activation="elu", name="f"), Norm(name="g"), XnorConv2D(3, 2, name="h"),
    ),
    "zeros before a sign": lambda: model_of(
        (7, 7, 4), XnorConv2D(17, 3, name="a"), Norm(name="b"), Pad(((1, 0), (2, 1)), name="c"),
        XnorConv2D(6, 3, 2, "same", name="d"),
    ),
    "zeros behind a pool": lambda: model_of(
        (9, 9, 4), XnorConv2D(17, 3, name="a"), Pool(3, 2, "same", name="b"), Norm(name="c"), Pad(1, name="d"),
        XnorConv2D(6, 3, 2, name="e"),
    ),
    "vectors": lambda: model_of(
        (70,), XnorDense(65, name="a"), Stock(name="b"), XnorDense(33, weight_scale=False, name="c"), Stock(name="d"),
        XnorDense(5, use_bias=False, name="e"),
    ),
    "flattened picture": lambda: model_of(
        (6, 7, 3), XnorConv2D(70, 3, name="a"), Pool(2, name="b"), Norm(name="c"), keras.layers.Flatten(name="d"),
        keras.layers.Dropout(0.1, name="e"), XnorDense(9, name="f"),
    ),
    "global maximum": lambda: model_of(
        (6, 7, 3), XnorConv2D(70, 3, name="a"), Norm(name="b"), keras.layers.GlobalMaxPooling2D(name="c"),
        Stock(name="d"), XnorDense(9, name="e"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHAINS)
def test_no_number_is_written_in_a_chain(case) -> None:
    """Bit for bit the layers' signs, borders too; between the first sign and the last sum there are bits only."""
    planned = check(CHAINS[case]())
    assert set(kinds(planned)[1:-1]) <= {ConvolveBits, PoolBits}
    assert (kinds(planned)[0], kinds(planned)[-1]) == (Binarize, ConvolveFloats)
    # Every layer of the model is in one step.
    model = CHAINS[case]()
    named = [name for step in planned.steps for name in step.layers]
    assert sorted(named) == sorted(layer.name for layer in model.layers[1:])


@pytest.mark.slow
@pytest.mark.parametrize("case", CHAINS)
@pytest.mark.parametrize("seed", range(10, 22))
def test_no_number_is_written_in_a_chain_whatever_the_weights(case, seed) -> None:
    check(CHAINS[case](), seed)
