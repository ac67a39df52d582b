"""Echo state networks: a large random recurrent layer that nobody trains."""

import math
import random
from numbers import Real
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.layers.checks import check_positive, check_seed


def _check_number(name: str, value: Any, low: float, high: float = math.inf) -> float:
    """Refuses what is no number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high or value == math.inf:
        expected = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
        raise ValueError(f"`{name}` must be a number {expected}. Received: {name}={value!r}.")
    return float(value)


@keras.saving.register_keras_serializable(package="kerasdl")
class EchoStateCell(keras.layers.Layer):
    """One step of a random reservoir: `h_t = (1 - leak) h_{t-1} + leak tanh(x_t W_in + h_{t-1} W + b)`.

    Its arguments are those of `EchoState`, which runs it over a sequence. Alone it is of use where the next input is
    known only after the step, as when a network goes on with its own predictions.

    Args:
        units: The size of the state.
        spectral_radius: The largest modulus of W's eigenvalues.
        leak: The share of the state that is new in each step.
        input_scale: Numbers of W_in are drawn evenly from minus this to this.
        bias_scale: Numbers of b, likewise.
        connectivity: The share of W that is not zero.
        seed: Decides what is drawn.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> cell = EchoStateCell(units=50, seed=0)
        >>> output, [state] = cell(np.ones((2, 3), "float32"), [np.zeros((2, 50), "float32")])
        >>> output.shape
        TensorShape([2, 50])

    Reference:
        [Jaeger, 2001](https://www.ai.rug.nl/minds/uploads/EchoStatesTechRep.pdf)
    """

    def __init__(
        self,
        units: int,
        spectral_radius: float = 0.9,
        leak: float = 1.0,
        input_scale: float = 1.0,
        bias_scale: float = 0.1,
        connectivity: float = 0.1,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = check_positive("units", units)
        self.spectral_radius = _check_number("spectral_radius", spectral_radius, 0)
        self.leak = _check_number("leak", leak, 0, 1)
        self.input_scale = _check_number("input_scale", input_scale, 0)
        self.bias_scale = _check_number("bias_scale", bias_scale, 0)
        self.connectivity = _check_number("connectivity", connectivity, 0, 1)
        if self.leak == 0:
            raise ValueError("`leak` must be above 0, or the state would never change. Received: leak=0.")
        self.seed = None if seed is None else check_seed(seed)
        self.state_size = self.output_size = self.units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Draws the weights, none of which is ever trained."""
        # Python's generator is among those that `keras.utils.set_random_seed` sets.
        generator = np.random.default_rng(random.getrandbits(32) if self.seed is None else self.seed)
        inputs = check_positive("features", input_shape[-1])
        drawn = {
            "kernel": generator.uniform(-self.input_scale, self.input_scale, (inputs, self.units)),
            "recurrent_kernel": self._reservoir(generator),
            "bias": generator.uniform(-self.bias_scale, self.bias_scale, self.units),
        }
        for name, values in drawn.items():
            weight = self.add_weight(
                shape=values.shape, initializer=lambda *_, values=values, **__: values, trainable=False, name=name
            )
            setattr(self, name, weight)

    def _reservoir(self, generator: np.random.Generator) -> np.ndarray:
        """The matrix W."""
        shape = (self.units, self.units)
        if self.spectral_radius == 0:
            return np.zeros(shape)
        # So few connections may have no circle among them: then all eigenvalues are zero, whatever the scale.
        for _ in range(100):
            matrix = generator.uniform(-1, 1, shape) * (generator.random(shape) < self.connectivity)
            radius = np.abs(np.linalg.eigvals(matrix)).max()
            if radius > 1e-6:
                return matrix * (self.spectral_radius / radius)
        raise ValueError(
            "So few connections make no circle that an echo could run around, hence no spectral radius but 0: give "
            f"more units or a larger `connectivity`. Received: units={self.units}, connectivity={self.connectivity:g}."
        )

    def call(self, inputs: Any, states: Any) -> tuple[Any, list[Any]]:
        """The next state, as the output and as the state."""
        before = states[0] if isinstance(states, list | tuple) else states
        total = keras.ops.matmul(inputs, self.kernel) + keras.ops.matmul(before, self.recurrent_kernel) + self.bias
        state = (1 - self.leak) * before + self.leak * keras.ops.tanh(total)
        return state, [state]

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        """Silence: a state of zeros.

        Args:
            batch_size: How many sequences.
        """
        return [keras.ops.zeros((batch_size, self.units), dtype=self.compute_dtype)]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this cell again."""
        names = ("units", "spectral_radius", "leak", "input_scale", "bias_scale", "connectivity", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="kerasdl")
class EchoState(keras.layers.RNN):
    """A fixed random reservoir over time: `h_t = (1 - leak) h_{t-1} + leak tanh(x_t W_in + h_{t-1} W + b)`.

    All its weights are drawn once and never trained; they are saved with the model. A linear layer reads the states
    out, and that one is solved in closed form by `kerasdl.architectures.solve_readout`: no gradient ever passes time.

    The spectral radius says how long an input echoes. Below 1 the state forgets its beginning, so that it is made of
    the recent inputs alone ("echo state property"; no theorem for every input, but the rule that holds in practice);
    near 1 the memory is long; far above 1 the reservoir makes noise of its own. A smaller leak makes all slower.

    Masked steps leave the state as it is. Masks, `initial_state`, `stateful` and unknown lengths are handled as by the
    recurrent layers of Keras.

    Args:
        units: The size of the state.
        spectral_radius: The largest modulus of W's eigenvalues.
        leak: The share of the state that is new in each step, above 0 and up to 1.
        input_scale: Numbers of W_in are drawn evenly from minus this to this: small ones keep tanh nearly linear.
        bias_scale: Numbers of b, likewise. Without any bias the state of minus x is minus the state of x, and nothing
            even in x, such as a square, can be read out.
        connectivity: The share of W that is not zero.
        return_sequences: Whether to give the states of all steps, or the last alone.
        seed: Decides what is drawn; None draws anew for each layer.
        **kwargs: Arguments of `keras.layers.RNN`, such as `return_state`, `go_backwards` and `stateful`.

    Example:
        >>> sequences = keras.Input((None, 1))
        >>> states = EchoState(100, return_sequences=True, seed=0)(sequences)
        >>> model = keras.Model(sequences, keras.layers.Dense(1, name="logits")(states))
        >>> len(model.layers[1].trainable_weights), len(model.layers[1].non_trainable_weights)
        (0, 3)

    Reference:
        [Jaeger, 2001](https://www.ai.rug.nl/minds/uploads/EchoStatesTechRep.pdf);
        [Lukoševičius, 2012](https://doi.org/10.1007/978-3-642-35289-8_36), equations 2 and 3
    """

    def __init__(
        self,
        units: int,
        spectral_radius: float = 0.9,
        leak: float = 1.0,
        input_scale: float = 1.0,
        bias_scale: float = 0.1,
        connectivity: float = 0.1,
        return_sequences: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        cell = EchoStateCell(
            units,
            spectral_radius,
            leak,
            input_scale,
            bias_scale,
            connectivity,
            seed,
            dtype=kwargs.get("dtype"),
            name="echo_state_cell",
        )
        super().__init__(cell, return_sequences=return_sequences, **kwargs)

    def build(self, sequences_shape: tuple[int | None, ...], initial_state_shape: Any = None) -> None:
        """Draws the weights of the cell."""
        if len(sequences_shape) != 3 or sequences_shape[-1] is None:
            raise ValueError(
                "EchoState expects sequences of vectors of a known length, of shape (batch, steps, features). "
                f"Received: input_shape={tuple(sequences_shape)}."
            )
        super().build(sequences_shape, initial_state_shape)

    def call(self, sequences: Any, initial_state: Any = None, mask: Any = None, training: bool = False) -> Any:
        """Runs the reservoir over the steps."""
        if sequences.shape[1] == 0:
            raise ValueError(f"EchoState expects at least one step. Received: sequences of shape {sequences.shape}.")
        if sequences.shape[1] is None:
            some = tf.debugging.assert_positive(tf.shape(sequences)[1], "EchoState expects at least one step.")
            with tf.control_dependencies([some]):
                sequences = tf.identity(sequences)
        return super().call(sequences, initial_state=initial_state, mask=mask, training=training)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        config = super().get_config()
        del config["cell"]
        own = self.cell.get_config()
        names = ("units", "spectral_radius", "leak", "input_scale", "bias_scale", "connectivity", "seed")
        return {**config, **{name: own[name] for name in names}}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "EchoState":
        """The layer that `get_config` describes.

        Args:
            config: What `get_config` gave.
            custom_objects: Nothing here needs any.
        """
        return cls(**config)
