"""What Elman's layer cannot do, it says."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from elman_sequences import CONTEXT, INPUTS, UNITS

from kerasdl.layers import ElmanRNN


def of_unknown_length(layer: ElmanRNN) -> None:
    """Traces a call on sequences of any length."""
    tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec((1, None, 3))]).get_concrete_function()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: ElmanRNN(0), r"`units` must be a positive integer\. Received: units=0\."),
        (lambda: ElmanRNN(2)(np.ones((1, 2, 3)), context=np.ones((1, 2, 3))), r"one vector of a known length per seq"),
        (lambda: ElmanRNN(2)(np.ones((1, 2, 3)), initial_state=[np.ones((1, 2))] * 2), r"of 2 tensors\."),
        (lambda: of_unknown_length(ElmanRNN(2, unroll=True)), r"`unroll=True` wants a known number of steps\."),
        *(
            (lambda call=call: call(np.ones((4, 6, 3))), text)
            for call, text in (
                (
                    lambda x: ElmanRNN(2)(x, initial_state=np.ones((1, 2))),
                    r"`initial_state` must be of shape \(batch, units\), here \(4, 2\)\. "
                    r"Received: initial_state of shape \(1, 2\)\.",
                ),
                (
                    lambda x: ElmanRNN(2)(x, initial_state=np.ones((3, 2))),
                    r"Received: initial_state of shape \(3, 2\)\.",
                ),
                (
                    lambda x: ElmanRNN(2)(x, initial_state=np.ones((4, 3))),
                    r"Received: initial_state of shape \(4, 3\)\.",
                ),
                (lambda x: ElmanRNN(2)(x, context=np.ones((1, 5))), r"Received: context of shape \(1, 5\)\."),
                (lambda x: ElmanRNN(2)(x, context=np.ones((3, 5))), r"Received: context of shape \(3, 5\)\."),
                (
                    lambda x: ElmanRNN(2)(x, mask=np.ones((4, 5), bool)),
                    r"`mask` must be of shape \(batch, steps\), here \(4, 6\)\. Received: mask of shape \(4, 5\)\.",
                ),
                (lambda x: ElmanRNN(2)(x, mask=np.ones((4, 6, 2), bool)), r"Received: mask of shape \(4, 6, 2\)\."),
            )
        ),
        (lambda: ElmanRNN(2)(np.ones((1, 3))), r"expected ndim=3, found ndim=2"),
        (lambda: ElmanRNN(2)(keras.Input((4, None))), r"expects vectors of a known length\."),
    ],
)
def test_refuses(call, text: str) -> None:
    """What it cannot do, it says."""
    with pytest.raises(ValueError, match=text):
        call()


def test_other_features_than_it_was_built_for() -> None:
    """Named with both sizes."""
    layer = ElmanRNN(UNITS)
    layer(INPUTS)
    with pytest.raises(
        ValueError, match=r"`sequences` .* here \(3, 6, 4\)\. Received: sequences of shape \(3, 6, 2\)\."
    ):
        layer(INPUTS[..., :2])
    layer = ElmanRNN(UNITS)
    layer(INPUTS, context=CONTEXT)
    with pytest.raises(ValueError, match=r"`context` .* here \(3, 2\)\. Received: context of shape \(3, 1\)\."):
        layer(INPUTS, context=CONTEXT[:, :1])
