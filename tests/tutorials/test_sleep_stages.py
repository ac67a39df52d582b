"""The best possible guesses of the lesson on sleep, against a sum over all paths."""

import itertools

import numpy as np

from kerasdl.tutorials import sleep_stages


def test_best_guesses_are_those_of_a_sum_over_all_paths():
    moves, steps, varies = sleep_stages.chain(), 4, 1.0
    states, parts = len(moves), sleep_stages.PARTS
    signal = sleep_stages.draw_nights(20, varies, np.random.default_rng(0))[0][:, 100 : 100 + steps]
    # Begins awake, as every night does; of the paths that cannot be nothing is left.
    paths = [path for path in itertools.product(range(states), repeat=steps) if path[0] == 0]
    paths = np.array([path for path in paths if all(moves[a, b] for a, b in itertools.pairwise(path))])
    prior = np.prod([moves[paths[:, t], paths[:, t + 1]] for t in range(steps - 1)], axis=0)
    values, vectors = np.linalg.eig(moves.T)
    usual = np.real(vectors[:, np.argmax(np.real(values))])
    usual = (usual / usual.sum()).reshape(-1, parts).sum(axis=1)
    guesses = sleep_stages.best_guesses(signal, varies)
    for row, night in enumerate(signal):
        density = np.exp(-((night[:, None] - sleep_stages.RHYTHMS) ** 2).sum(axis=-1) / 2)
        evidence = density[np.arange(steps), paths // parts]
        for t in range(steps):
            assert guesses["one step"][row, t] == np.argmax(usual * density[t])
            for sees, end in (("the past", t + 1), ("past and future", steps)):
                weights = prior * evidence[:, :end].prod(axis=1)
                stage = np.bincount(paths[:, t] // parts, weights, minlength=5)
                assert guesses[sees][row, t] == np.argmax(stage)


def test_stages_last_as_long_as_they_are_said_to_and_follow_each_other_as_often():
    _, nights = sleep_stages.draw_nights(100, 1.0, np.random.default_rng(0))
    stays: dict[int, list[int]] = {stage: [] for stage in range(5)}
    follows = np.zeros((5, 5))
    for night in nights:
        runs = [(stage, len(list(run))) for stage, run in itertools.groupby(night.tolist())]
        for (stage, length), (after, _) in itertools.pairwise(runs):
            stays[stage].append(length)
            follows[stage, after] += 1
    for stage, lasts in enumerate(sleep_stages.LASTS):
        # Three parts one after the other: a gamma distribution, whose deviation is at most the mean over sqrt(3).
        error = lasts / np.sqrt(sleep_stages.PARTS * len(stays[stage]))
        assert abs(np.mean(stays[stage]) - lasts) < 4 * error + 0.02 * lasts
    shares = follows / follows.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, sleep_stages.NEXT, atol=0.03)
