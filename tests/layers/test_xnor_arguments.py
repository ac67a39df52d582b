"""Arguments of products of signs: an estimator of one's own, and what is refused."""

import functools
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.layers import XnorConv2D, XnorDense, sign_ste, swish_sign, ternary_ste


@keras.saving.register_keras_serializable(package="test_xnor_arguments")
def plain_sign(x):
    return x + tf.stop_gradient(sign_ste(x) - x)


def test_takes_an_estimator_of_ones_own(tmp_path):
    layer = XnorDense(3, estimator=plain_sign)
    assert layer.get_config()["estimator"] == "test_xnor_arguments>plain_sign"
    assert XnorDense(3, estimator="test_xnor_arguments>plain_sign").estimator is plain_sign
    assert XnorDense(3, estimator=sign_ste).get_config()["estimator"] == "sign_ste"
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert loaded.layers[-1].estimator is plain_sign


def refuse(text, make):
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        make()


def test_refuses_wrong_arguments():
    for wrong in (0, True, 2, "same", None, np.array([1, 1])):
        refuse(
            "`pad_value` must be 1 or -1: the inputs are signs, and there is no sign 0. "
            f"Received: pad_value={wrong!r}.",
            lambda wrong=wrong: XnorConv2D(3, 3, pad_value=wrong),
        )
    refuse(
        "XnorConv2D works on channels_last only: pass data_format='channels_last' and images of shape "
        "(batch, height, width, channels). Received: data_format='channels_first'.",
        lambda: XnorConv2D(3, 3, data_format="channels_first"),
    )
    refuse("`weight_scale` must be True or False. Received: weight_scale=2.", lambda: XnorDense(3, weight_scale=2))
    refuse("`input_scale` must be True or False. Received: input_scale='K'.", lambda: XnorDense(3, input_scale="K"))
    assert XnorDense(3, input_scale=np.True_).get_config()["input_scale"] is True
    assert XnorConv2D(3, 3, pad_value=np.int64(-1)).get_config()["pad_value"] == -1


def test_refuses_estimators_that_are_no_sign_or_get_lost():
    def lost(x):
        return sign_ste(x)

    for wrong in ("step", lost, 3, functools.partial(swish_sign, beta=2.0), keras.layers.Activation(sign_ste)):
        refuse(
            "`estimator` must be one of ['approx_sign', 'sign_ste', 'swish_sign'], or a function that "
            "@keras.saving.register_keras_serializable() has registered, so that a saved model finds it again. "
            f"Received: estimator={wrong!r}.",
            lambda wrong=wrong: XnorDense(3, estimator=wrong),
        )
    refuse(
        "`estimator` must give +1 where x >= 0 and -1 elsewhere: the packed engine knows no other signs. Received: "
        f"estimator={ternary_ste!r}, which makes [-1.0, -1.0, 0.0, 0.0, 1.0, 1.0] of [-2.0, -0.5, -0.0, 0.0, 0.5, "
        "2.0].",
        lambda: XnorConv2D(3, 3, estimator=ternary_ste),
    )
