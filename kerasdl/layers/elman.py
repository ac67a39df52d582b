"""The Elman network: a state that is made of the input and of the state before it."""

import keras


@keras.saving.register_keras_serializable(package="kerasdl")
class ElmanRNN(keras.layers.SimpleRNN):
    """Elman's recurrent layer: `h_t = tanh(x_t W_xh + h_{t-1} W_hh + b)`.

    Reference:
        [Elman, 1990](https://doi.org/10.1207/s15516709cog1402_1)
    """
