import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasdl.layers import AssociativeMemory


def _random_patterns(count, units, seed=0):
    return np.where(np.random.default_rng(seed).random((count, units)) < 0.5, 1, -1)


def _settle(kernel, order, state, sweeps=100):
    """One unit after another in NumPy: the state after each sweep, and the energy after each single update."""
    state = state.astype("float64")
    after, energies = [], [-0.5 * state @ kernel @ state]
    for _ in range(sweeps):
        before = state.copy()
        for unit in order:
            field = kernel[unit] @ state
            if field != 0:
                state[unit] = np.sign(field)
            energies.append(-0.5 * state @ kernel @ state)
        after.append(state.copy())
        if np.array_equal(before, state):
            break
    return np.array(after), np.array(energies)


@pytest.mark.parametrize("rule", ["hebbian", "pseudo_inverse"])
def test_no_single_update_raises_the_energy(rule):
    patterns = _random_patterns(12, 60)
    memory = AssociativeMemory(rule=rule, seed=4)
    memory.store(patterns)
    kernel = memory.get_weights()[0].astype("float64")
    np.testing.assert_array_equal(kernel, kernel.T)
    np.testing.assert_array_equal(np.diag(kernel), 0)
    assert sorted(memory.order) == list(range(60))
    # Far from all that is stored, one of them with values that are not known.
    states = _random_patterns(3, 60, seed=1)
    states[2, ::3] = 0
    fell = 0
    for state in states:
        after, energies = _settle(kernel, memory.order, state)
        assert np.diff(energies).max() < 1e-9 * abs(energies).max()
        fell += np.sum(np.diff(energies) < 0)
        # The layer makes these very steps: it stands where NumPy does after each number of sweeps.
        for sweeps, expected in enumerate(after, 1):
            stopped = AssociativeMemory(rule=rule, seed=4, sweeps=sweeps)
            stopped.store(patterns)
            np.testing.assert_array_equal(stopped(state[None])[0], expected)
        np.testing.assert_array_equal(memory(state[None])[0], after[-1])
        np.testing.assert_allclose(memory.energy(after), np.einsum("ni,ij,nj->n", after, kernel, after) / -2, rtol=1e-5)
    assert fell > 60


def test_the_rules_are_the_papers():
    patterns = _random_patterns(5, 40)
    memory = AssociativeMemory()
    memory.store(patterns)
    by_hand = sum(np.outer(pattern, pattern) for pattern in patterns) * (1 - np.eye(40))
    np.testing.assert_array_equal(memory.get_weights()[0], by_hand)

    # The projection onto what the patterns span: from an orthogonal basis of it.
    projecting = AssociativeMemory(rule="pseudo_inverse")
    projecting.store(patterns)
    basis = np.linalg.qr(patterns.T.astype(float))[0]
    np.testing.assert_allclose(projecting.get_weights()[0], 40 * basis @ basis.T * (1 - np.eye(40)), atol=1e-4)

    # Both rules are one where the patterns are orthogonal, as rows of a Hadamard matrix are.
    rows = np.array([[1]])
    for _ in range(4):
        rows = np.block([[rows, rows], [rows, -rows]])
    memory, projecting = AssociativeMemory(), AssociativeMemory(rule="pseudo_inverse")
    memory.store(rows[1:4])
    projecting.store(rows[1:4])
    np.testing.assert_allclose(memory.get_weights()[0], projecting.get_weights()[0], atol=1e-5)


def test_few_patterns_stay_and_are_found_again():
    patterns = _random_patterns(10, 200)
    memory = AssociativeMemory()
    memory.store(patterns)
    np.testing.assert_array_equal(memory(patterns), patterns)
    np.testing.assert_array_equal(memory(-patterns), -patterns)  # the energy is even
    wrong = np.random.default_rng(1).random(patterns.shape) < 0.15
    half = patterns * (np.arange(200) < 100)
    np.testing.assert_array_equal(memory(np.where(wrong, -patterns, patterns)), patterns)
    np.testing.assert_array_equal(memory(half), patterns)


def test_patterns_that_are_alike_need_the_pseudo_inverse():
    # Each shares nine tenths of a common picture.
    common = _random_patterns(1, 200)
    patterns = np.where(np.random.default_rng(2).random((20, 200)) < 0.1, -common, common)
    for rule, stay in (("hebbian", 0), ("pseudo_inverse", 20)):
        memory = AssociativeMemory(rule=rule)
        memory.store(patterns)
        assert np.sum((np.asarray(memory(patterns)) == patterns).all(axis=1)) == stay


@pytest.mark.parametrize(
    "patterns",
    [
        _random_patterns(8, 8, seed=3),
        *(_random_patterns(4, 8, seed) for seed in (1, 2, 6)),
        np.repeat(_random_patterns(3, 8), 3, axis=0)[1:] * np.resize([[1], [-1], [1]], (8, 1)),
    ],
)
def test_rounding_loses_no_pattern(patterns):
    # Where a unit's value follows from no other unit, its exact sum is zero: it keeps its value.
    patterns = np.resize(patterns, (8, 8))  # what is stored twice changes nothing
    memory = AssociativeMemory(rule="pseudo_inverse")
    memory.store(patterns)
    np.testing.assert_array_equal(memory(patterns), patterns)
    # Also from elsewhere the energy never rises, but for rounding.
    states, kernel = _random_patterns(8, 8, seed=99), memory.get_weights()[0].astype("float64")
    energies = [np.sum(states * (states @ kernel), 1) / -2]
    for sweeps in (1, 2, 3):
        memory.sweeps = sweeps
        after = np.asarray(memory(states), "float64")
        energies.append(np.sum(after * (after @ kernel), 1) / -2)
    assert np.diff(energies, axis=0).max() <= 1e-5


def test_it_is_a_layer_like_others(tmp_path):
    patterns = _random_patterns(3, 30).reshape(3, 5, 6)
    memory = AssociativeMemory(sweeps=7, seed=2, name="memory")
    memory.store(patterns)
    inputs = keras.Input((5, 6))
    model = keras.Model(inputs, memory(inputs))
    assert model.output_shape == (None, 5, 6) == memory.compute_output_shape((None, 5, 6))
    damaged = patterns.copy()
    damaged[:, 0] *= -1
    np.testing.assert_array_equal(model.predict(damaged, verbose=0), patterns)
    model.save(tmp_path / "memory.keras")
    loaded = keras.saving.load_model(tmp_path / "memory.keras", safe_mode=True)
    np.testing.assert_array_equal(loaded(damaged), patterns)
    config = memory.get_config()
    assert (config["rule"], config["sweeps"], config["seed"]) == ("hebbian", 7, 2)
    assert AssociativeMemory.from_config(config).get_config() == config
    assert not model.trainable_weights

    # In low precision the weights, and with them the sums, stay exact; no gradient passes, and that is no error.
    half = AssociativeMemory(dtype="mixed_bfloat16")
    half.store(patterns)
    assert half.kernel.dtype == "float32"
    assert half(damaged).dtype == tf.bfloat16
    np.testing.assert_array_equal(tf.cast(half(damaged), "float32"), patterns)
    x = tf.Variable(tf.cast(damaged, "float32"))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(memory(x))
    assert tape.gradient(total, x) is None

    # What is stored anew replaces the old, also in a model that is compiled already.
    memory.store(-damaged)
    np.testing.assert_array_equal(model.predict(-damaged, verbose=0), -damaged)


def test_of_an_input_only_the_sign_counts():
    memory = AssociativeMemory()
    given = np.array([[0.3, -2.0, 0.0, np.nan, np.inf, -np.inf]])
    # Nothing is stored: all sums are zero, and each unit keeps its value; what is not known stays so.
    np.testing.assert_array_equal(memory(given), [[1, -1, 0, 0, 1, -1]])
    np.testing.assert_array_equal(memory.energy(memory(given)), [0])
    memory.store([[1, -1, 1, 1, 1, -1]])
    np.testing.assert_array_equal(memory(given), [[1, -1, 1, 1, 1, -1]])
    # 6 units that all agree: 15 pairs.
    np.testing.assert_array_equal(memory.energy(memory(given)), [-15])


@pytest.mark.slow
def test_it_holds_about_a_seventh_of_its_units():
    # Amit, Gutfreund and Sompolinsky, 1985: up to 0.138 N patterns are recalled with under 2 % of wrong units; above,
    # the memory is lost at once.
    units, overlaps = 1500, {}
    for load in (0.05, 0.10, 0.13, 0.17, 0.22):
        patterns = _random_patterns(round(load * units), units)
        memory = AssociativeMemory(sweeps=200)
        memory.store(patterns)
        overlaps[load] = float(np.mean(np.asarray(memory(patterns)) * patterns))
    assert overlaps[0.05] > 0.9999
    assert overlaps[0.10] > 0.99
    assert overlaps[0.13] > 0.96
    assert overlaps[0.17] < 0.65
    assert overlaps[0.22] < 0.5


@pytest.mark.parametrize(
    ("patterns", "text"),
    [
        (
            [[0, 1], [1, 1]],
            "`patterns` must hold -1 and 1 only: make them so, as by np.where(images > 0.5, 1, -1). "
            "Received: int64 with 0 among them.",
        ),
        (
            [[0.5, 1.0]],
            "`patterns` must hold -1 and 1 only: make them so, as by np.where(images > 0.5, 1, -1). "
            "Received: float64 with 0.5 among them.",
        ),
        (
            [[True, False]],
            "`patterns` must hold -1 and 1 only: make them so, as by np.where(images > 0.5, 1, -1). "
            "Received: bool with True among them.",
        ),
        (
            [[1, 1j]],
            "`patterns` must hold -1 and 1 only: make them so, as by np.where(images > 0.5, 1, -1). "
            "Received: complex128 with (1+0j) among them.",
        ),
        (
            np.array([[1, -1]], object),
            "`patterns` must hold -1 and 1 only: make them so, as by np.where(images > 0.5, 1, -1). "
            "Received: object with 1 among them.",
        ),
        ([1, -1], "`patterns` must be at least one pattern, of shape (patterns, ...). Received: shape (2,)."),
        (
            np.zeros((0, 4)),
            "`patterns` must be at least one pattern, of shape (patterns, ...). Received: shape (0, 4).",
        ),
    ],
)
def test_wrong_patterns_are_refused(patterns, text):
    with pytest.raises(ValueError) as error:  # noqa: PT011
        AssociativeMemory().store(patterns)
    assert str(error.value) == text


def test_wrong_arguments_and_shapes_are_refused():
    with pytest.raises(ValueError) as error:  # noqa: PT011
        AssociativeMemory(rule="hebb")
    assert str(error.value) == '`rule` must be "hebbian" or "pseudo_inverse". Received: rule=\'hebb\'.'
    with pytest.raises(ValueError, match=r"`sweeps` must be a positive integer. Received: sweeps=0."):
        AssociativeMemory(sweeps=0)
    for seed in (None, -1, 1.5, True, "a"):
        with pytest.raises(
            ValueError, match=rf"^`seed` must be a whole number of at least 0. Received: seed={seed!r}.$"
        ):
            AssociativeMemory(seed=seed)
    memory = AssociativeMemory()
    memory.store([[1, -1, 1]])
    # Two rows of six are not four patterns.
    for name, call in (("inputs", memory), ("states", memory.energy)):
        with pytest.raises(ValueError) as error:  # noqa: PT011
            call(np.ones((2, 6), "float32"))
        assert (
            f"`{name}` must be of shape (batch, ...) as the patterns, here (2, 3). Received: {name} of shape (2, 6)."
        ) in str(error.value)
    with pytest.raises(ValueError) as error:  # noqa: PT011
        memory.store([[1, -1]])
    assert str(error.value) == (
        "`patterns` must have the shape that this memory was built for, (3,). Received: patterns of shape (2,)."
    )
    with pytest.raises(ValueError) as error:  # noqa: PT011
        AssociativeMemory()(keras.Input((None, 3)))
    assert str(error.value) == (
        "AssociativeMemory expects patterns of a known size, of shape (batch, ...). "
        "Received: input_shape=(None, None, 3)."
    )


def test_of_no_patterns_none_settle():
    assert AssociativeMemory()(np.ones((0, 8), "float32")).shape == (0, 8)
