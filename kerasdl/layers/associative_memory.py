"""Hopfield's associative memory: stored patterns are valleys, and what is alike rolls down into them."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl.layers.checks import check_positive, check_seed, check_shape

# A sum smaller than this times the units is rounding noise, where the weights are not whole numbers.
_NOISE = 1e-5


@tf.function(jit_compile=True, reduce_retracing=True)
def _settle(states: tf.Tensor, kernel: tf.Tensor, order: tf.Tensor, sweeps: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
    """Updates all units of `(batch, units)` one after another, sweep after sweep, until a sweep changes none."""
    units = tf.shape(order)[0]

    def update(step: tf.Tensor, states: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        unit = order[step]
        field = tf.linalg.matvec(states, kernel[unit], transpose_a=True)
        changed = tf.where(tf.abs(field) <= noise, states[unit], tf.sign(field))
        # A tensor of rank 2 that XLA writes in its place.
        return step + 1, tf.tensor_scatter_nd_update(states, [[unit]], changed[None])

    def sweep(count: tf.Tensor, states: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        _, after = tf.while_loop(lambda step, _: step < units, update, (0, states))
        return count + 1, after, tf.reduce_any(after != states)

    _, states, _ = tf.while_loop(
        lambda count, _, moves: moves & (count < sweeps), sweep, (0, tf.transpose(states), tf.constant(True))
    )
    return tf.transpose(states)


@keras.saving.register_keras_serializable(package="kerasdl")
class AssociativeMemory(keras.layers.Layer):
    """A Hopfield network: each unit in turn becomes `s_i = sign(sum_j w_ij s_j)`, until none changes any more.

    `store` writes patterns of -1 and 1 into the symmetric weights; calling the layer on a damaged pattern gives the one
    that it settles in. Units change one after another, in one seeded order, and no unit is joined to itself, so the
    energy `E = -1/2 sum_ij s_i w_ij s_j` never rises: there are no circles, and the end is a valley of E. A unit whose
    sum is zero keeps its value.

    Rules, for N units and patterns p:

    - `"hebbian"`, `w_ij = sum_p p_i p_j`: units that agree are joined. It recalls up to about 0.138 N random patterns.
      The weights are whole numbers, so that everything is computed without rounding.
    - `"pseudo_inverse"`, `w = N P^T (P P^T)^-1 P`, without the diagonal: for patterns that are alike, as pictures are;
      Hebb's rule melts these into one. Any linearly independent patterns stay where they are, but their valleys become
      narrow as N/2 of them are stored. For orthogonal patterns it is Hebb's rule. Sums are rounded here, so one of at
      most 1e-5 N counts as zero.

    The weights are written once, not trained, and saved with the model; no gradient passes the layer.

    Args:
        rule: How patterns are stored, `"hebbian"` or `"pseudo_inverse"`.
        sweeps: After how many updates of every unit to stop, if none has come to rest before.
        seed: Decides the order of the units, the same in every sweep.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> memory = AssociativeMemory()
        >>> memory.store([[1, 1, 1, 1, -1, -1, -1, -1], [1, -1, 1, -1, 1, -1, 1, -1]])
        >>> memory(np.array([[-1, 1, 1, 1, -1, -1, -1, -1], [1, -1, 1, -1, 0, 0, 0, 0]])).numpy().astype(int).tolist()
        [[1, 1, 1, 1, -1, -1, -1, -1], [1, -1, 1, -1, 1, -1, 1, -1]]

    Reference:
        [Hopfield, 1982](https://doi.org/10.1073/pnas.79.8.2554), equations 1, 2 and 7;
        [Personnaz et al., 1985](https://doi.org/10.1051/jphyslet:01985004608035900) for the pseudo-inverse
    """

    def __init__(self, rule: str = "hebbian", sweeps: int = 100, seed: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if rule not in ("hebbian", "pseudo_inverse"):
            raise ValueError(f'`rule` must be "hebbian" or "pseudo_inverse". Received: rule={rule!r}.')
        self.rule = rule
        self.sweeps = check_positive("sweeps", sweeps)
        # The order must be the same at every call: None would draw a new one for each.
        self.seed = check_seed(seed)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Makes an empty memory, whose weights are zero."""
        sides = [side for side in input_shape[1:] if side]
        if len(input_shape) < 2 or len(sides) < len(input_shape) - 1:
            raise ValueError(
                "AssociativeMemory expects patterns of a known size, of shape (batch, ...). "
                f"Received: input_shape={tuple(input_shape)}."
            )
        self.pattern_shape = tuple(sides)
        units = math.prod(sides)
        # Also under mixed precision the sums must stay exact.
        self.kernel = self.add_weight(
            shape=(units, units), initializer="zeros", trainable=False, autocast=False, dtype="float32", name="kernel"
        )

    @property
    def order(self) -> np.ndarray:
        """The order in which a sweep visits the units."""
        return np.random.default_rng(self.seed).permutation(self.kernel.shape[0])

    def store(self, patterns: Any) -> None:
        """Replaces all that the memory holds.

        Args:
            patterns: `(patterns, ...)`, of -1 and 1 alone.
        """
        patterns = np.asarray(patterns)
        if patterns.ndim < 2 or patterns.size == 0:
            raise ValueError(
                f"`patterns` must be at least one pattern, of shape (patterns, ...). Received: shape {patterns.shape}."
            )
        found = patterns.ravel()
        found = found[~np.isin(found, (-1, 1))] if patterns.dtype.kind in "iuf" else found
        if found.size:
            raise ValueError(
                "`patterns` must hold -1 and 1 only: make them so, as by np.where(images > 0.5, 1, -1). "
                f"Received: {patterns.dtype} with {found[:1].tolist()[0]!r} among them."
            )
        if not self.built:
            self.build(patterns.shape)
        if patterns.shape[1:] != self.pattern_shape:
            raise ValueError(
                f"`patterns` must have the shape that this memory was built for, {self.pattern_shape}. "
                f"Received: patterns of shape {patterns.shape[1:]}."
            )
        rows = patterns.reshape(len(patterns), -1).astype("float64")
        if self.rule == "hebbian":
            kernel = rows.T @ rows
        else:
            # What projects onto the span of the patterns, from an orthogonal basis of it.
            _, lengths, basis = np.linalg.svd(rows, full_matrices=False)
            basis = basis[lengths > lengths[0] * max(rows.shape) * np.finfo("float64").eps]
            kernel = rows.shape[1] * basis.T @ basis
            kernel = (kernel + kernel.T) / 2
        np.fill_diagonal(kernel, 0.0)
        self.kernel.assign(kernel)

    def call(self, inputs: Any) -> Any:
        """What each pattern settles in. Of an input the sign counts; 0 says that a unit's value is not known."""
        # Compared, not `sign`: so NaN is not known either.
        signs = tf.cast(inputs > 0, "float32") - tf.cast(inputs < 0, "float32")
        states = tf.stop_gradient(self._rows("inputs", signs))
        if states.shape[0] == 0:  # XLA writes no row of nothing.
            return tf.cast(inputs, self.compute_dtype)
        order, kernel = tf.constant(self.order, "int32"), tf.convert_to_tensor(self.kernel)
        noise = tf.constant(0.0 if self.rule == "hebbian" else _NOISE * self.kernel.shape[0])
        settled = _settle(states, kernel, order, tf.constant(self.sweeps), noise)
        return tf.cast(tf.reshape(settled, tf.shape(inputs)), self.compute_dtype)

    def energy(self, states: Any) -> Any:
        """The energy `-1/2 sum_ij s_i w_ij s_j` of each state.

        Args:
            states: `(batch, ...)`, of -1, 0 and 1.

        Returns:
            `(batch,)` float32.
        """
        rows = self._rows("states", tf.cast(states, "float32"))
        return -0.5 * tf.reduce_sum(rows * tf.matmul(rows, tf.convert_to_tensor(self.kernel)), axis=1)

    def _rows(self, name: str, states: tf.Tensor) -> tf.Tensor:
        """Each state in a row, `(batch, units)`."""
        if not self.built:
            self.build(states.shape)
        check_shape(name, states.shape, (states.shape[0], *self.pattern_shape), "(batch, ...) as the patterns")
        return tf.reshape(states, (tf.shape(states)[0], self.kernel.shape[0]))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """The shape of the inputs."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make this layer again."""
        return {**super().get_config(), "rule": self.rule, "sweeps": self.sweeps, "seed": self.seed}
