"""Can a network recall a whole picture from half of it, and how many pictures does it hold?

Paper:  [Hopfield, 1982](https://doi.org/10.1073/pnas.79.8.2554);
        [Amit et al., 1985](https://doi.org/10.1103/PhysRevLett.55.1530) for the capacity
Run:    python -m tutorials.pattern_completion
Takes:  10 seconds on one core
Expect: the pseudo-inverse recalls all of 16 pictures exactly, half covered or with 20 % of their pixels wrong; Hebb's
        rule none (74.6 % of the pixels right). No update raises the energy. Of random patterns with 5 % of wrong values
        Hebb's rule recalls, with 500 units (five memories at each load), 99 % at 0.11 patterns per unit, 97 % at 0.125,
        83 ± 4 % at 0.138, 30 ± 3 % at 0.17 and 7 % at 0.20. Of 500 random states 33 % rest in one of 7 stored patterns,
        30 % in a negative, 18 % in a mixture of three, and 19 % elsewhere.

A computer's memory is asked by address: give me what lies at 4711. Ours is asked by content: a few notes, and the song
is there. Hopfield's network is such a memory. Its units are -1 or 1, each is joined to each, and the state of all of
them slides down an energy

    E = -1/2 sum_ij w_ij s_i s_j,

since a unit only ever takes the sign of what the others tell it, s_i = sign(sum_j w_ij s_j). That it never climbs rests
on three things: w_ij = w_ji, no unit is joined to itself (w_ii = 0), and the units change one at a time. Then E is -s_i
times that sum, plus terms without s_i in them. Patterns are stored by making them valleys: Hebb's rule
w_ij = sum_p p_i p_j joins units that agree. What is damaged lies on a slope of its valley, and recalling is rolling
down.

This lesson looks at four things: pictures completed, the energy on the way, how many random patterns go in before all
are lost (theory: 0.138 for each unit), and the valleys that nobody made.

Exercises:

1. Change `energies_of` so that all units take their new values at the same time. Find a memory of two units, and a
   beginning, from which the network never comes to rest. Which step of the proof that E never rises fails?
2. Cover three quarters of each picture instead of half. Which pictures are lost first, and what do they turn into?
3. Store one picture twice as strongly. What becomes of its share among the valleys that random states roll into?
"""

import itertools
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasdl.data import load
from kerasdl.layers import AssociativeMemory
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.tutorials.wanted_data import needs
from kerasdl.visualization import plots

RULES = {"hebbian": "Hebb", "pseudo_inverse": "pseudo-inverse"}


def memory_of(patterns: np.ndarray, rule: str = "hebbian", sweeps: int = 100) -> AssociativeMemory:
    """A memory that holds these."""
    memory = AssociativeMemory(rule, sweeps)
    memory.store(patterns)
    return memory


def damaged(patterns: np.ndarray, share: float, generator: np.random.Generator) -> np.ndarray:
    """A share of all values turned round."""
    return np.where(generator.random(patterns.shape) < share, -patterns, patterns)


def overlap(states: np.ndarray, patterns: np.ndarray) -> np.ndarray:
    """How much of each pattern is there: 1 all, 0 as much as chance, -1 its negative."""
    return np.mean(states.reshape(len(states), -1) * patterns.reshape(len(patterns), -1), axis=1)


def energies_of(memory: AssociativeMemory, state: np.ndarray, sweeps: int) -> np.ndarray:
    """What the layer does, in NumPy: the energy before, and after each update of a unit, until a sweep changes none."""
    kernel, state = np.asarray(memory.kernel, "float64"), state.reshape(-1).astype("float64")
    energies = [-0.5 * state @ kernel @ state]
    for _ in range(sweeps):
        before = state.copy()
        for unit in np.asarray(memory.order):
            field = kernel[unit] @ state
            # As in the layer: what is left of a sum of zero by rounding is no reason to change.
            if abs(field) > 1e-5 * len(state):
                state[unit] = np.sign(field)
            energies.append(-0.5 * state @ kernel @ state)
        if (state == before).all():
            break
    return np.array(energies)


@lesson
def main(
    *,
    data: str = "fashion_sample",
    pictures: int = 16,
    units: int = 500,
    noise: float = 0.2,
    epochs: int = 100,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/pattern_completion"),
) -> dict[str, float]:
    """Completes pictures, then fills memories with random patterns until they are lost.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, mnist, ...
        pictures: How many pictures are stored.
        units: The size of the random patterns.
        noise: The share of values that are turned round in damaged patterns.
        epochs: After how many updates of each unit to stop; nearly always all come to rest long before.
        seed: Decides the random patterns and the damage.
        quick: 8 pictures, 100 units and 5 updates, whatever is given, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    needs(data, "image", like="fashion_sample")
    draws = 5
    if quick:
        pictures, units, epochs, draws = 8, 100, 5, 1
    generator = np.random.default_rng(seed)

    # Black and white pictures, as -1 and 1. They have much in common: all are dark at the border and light in the
    # middle. Hebb's rule adds up what is common, which outweighs what is not, and all melt into one. The
    # pseudo-inverse takes the overlaps out of it. Below, 0 says of half the pixels that they are not known.
    images = next(iter(load(data, split=f"train[:{pictures}]", batch_size=pictures).as_numpy_iterator()))[0]
    stored = np.where(images.mean(axis=-1) > 0.2, 1, -1)
    half = stored * (np.arange(stored.shape[1]) < stored.shape[1] // 2)[:, None]
    noisy = damaged(stored, noise, generator)
    metrics = {}
    for harm, given in (("covered", half), ("noisy", noisy)):
        rows = [stored, given]
        for rule in RULES:
            recalled = memory_of(stored, rule, epochs)(given).numpy()
            rows.append(recalled)
            metrics[f"{harm}_pixels_right_{rule}"] = np.mean(recalled == stored)
            metrics[f"{harm}_pictures_right_{rule}"] = np.mean(overlap(recalled, stored) == 1)
        shown = min(8, pictures)
        names = ["stored", "given", *RULES.values()]
        plots.save(
            plots.image_grid(
                (np.concatenate([row[:shown] for row in rows]) + 1) / 2,
                [name if place == 0 else "" for name in names for place in range(shown)],
                columns=shown,
                title=f"{'Half covered (grey)' if harm == 'covered' else f'{noise:.0%} of pixels wrong'}. "
                f"Of {pictures} pictures exactly recalled: "
                + ", ".join(
                    f"{name} {metrics[f'{harm}_pictures_right_{rule}'] * pictures:.0f}" for rule, name in RULES.items()
                ),
            ),
            out / "figures" / f"{harm}.png",
        )

    # The way down. A unit that changes takes the sign of its sum, so its term in the energy can only fall, and no other
    # term has it in it. The black line is where the first stored picture lies: far down, and reached from afar. With
    # half of all wrong nothing is left of the picture, and the network rolls into some other valley. All roll until
    # they rest; a curve that ends early stays where it is.
    memory = memory_of(stored, "pseudo_inverse")
    wrongs = (0.1, 0.3, 0.4, 0.5)
    curves = {
        f"{share:.0%} wrong": energies_of(memory, damaged(stored[0], share, generator), epochs) / stored[0].size
        for share in wrongs
    }
    size = max(map(len, curves.values()))
    curves = {name: np.pad(energies, (0, size - len(energies)), mode="edge") for name, energies in curves.items()}
    bottom = memory.energy(stored[:1]).numpy()[0]
    metrics["largest_rise_of_energy_per_unit"] = max(np.diff(curve).max() for curve in curves.values())
    with tf.summary.create_file_writer(str(out / "logs" / "half_wrong")).as_default():
        for step, energy in enumerate(curves["50% wrong"]):
            if step % 50 == 0:
                tf.summary.scalar("energy", energy, step)
    plots.save(
        plots.lines(
            {"stored picture": np.full(size, bottom / stored[0].size), **curves},
            np.arange(size),
            x_label="updates of single units",
            y_label="energy per unit",
            markers=False,
            title="Each update goes downhill, or nowhere",
        ),
        out / "figures" / "energy.png",
    )

    # Random patterns have nothing in common but chance. Each adds a little noise to all the others' valleys; at 0.138
    # for each unit, says the theory for infinitely many units, the noise wins, and everything is lost at once. Patterns
    # that one memory loses it loses together, so it takes several memories at each load to see how chance matters.
    loads = np.array([0.04, 0.08, 0.11, 0.125, 0.138, 0.15, 0.17, 0.20, 0.30, 0.40])
    shares_recalled = {name: np.zeros((draws, len(loads))) for name in RULES.values()}
    for place, load_now in enumerate(loads):
        for draw in range(draws):
            patterns = np.where(generator.random((round(load_now * units), units)) < 0.5, 1, -1)
            given = damaged(patterns[:100], noise / 4, generator)
            for rule, name in RULES.items():
                states = memory_of(patterns, rule, epochs)(given).numpy()
                shares_recalled[name][draw, place] = np.mean(overlap(states, patterns[:100]) > 0.95)
        mean = shares_recalled["Hebb"][:, place].mean()
        print(f"{load_now:.3f} patterns per unit: {mean:.0%} recalled by Hebb's rule", flush=True)
    recalled_share = {name: values.mean(axis=0) for name, values in shares_recalled.items()}
    spread = {name: standard_error(values) for name, values in shares_recalled.items() if draws > 1}
    plots.save(
        plots.lines(
            {"theory for Hebb": [1, 1, 0, 0], **recalled_share},
            {"theory for Hebb": [0, 0.138, 0.138, 0.4], **dict.fromkeys(recalled_share, loads)},
            errors=spread,
            x_label="patterns stored per unit",
            y_label="share recalled (± standard error)",
            title=f"{units} units, {noise / 4:.0%} of each pattern wrong",
        ),
        out / "figures" / "capacity.png",
    )

    # The valleys that nobody made. The energy does not change if all signs do, so each pattern's negative is a valley
    # too; so is what most of three patterns say, unit by unit. Here random states roll down in a memory of 7 patterns.
    patterns = np.where(generator.random((7, units)) < 0.5, 1, -1)
    states = memory_of(patterns, sweeps=epochs)(np.where(generator.random((500, units)) < 0.5, 1, -1)).numpy()
    mixtures = np.array(
        [
            np.sign(np.array(signs) @ patterns[list(three)])
            for three in itertools.combinations(range(7), 3)
            for signs in itertools.product((-1, 1), repeat=3)
        ]
    )
    likeness = states @ patterns.T / units
    ends = np.select(
        [likeness.max(axis=1) > 0.95, likeness.min(axis=1) < -0.95, (states @ mixtures.T).max(axis=1) > 0.95 * units],
        [0, 1, 2],
        3,
    )
    kinds = ["a stored pattern", "its negative", "a mixture of three", "another"]
    shares = [float(np.mean(ends == kind)) for kind in range(4)]
    plots.save(
        plots.bars(
            {"share": shares},
            kinds,
            y_label="share of random beginnings",
            written="{:.0%}",
            title="Where random states come to rest (7 patterns)",
        ),
        out / "figures" / "valleys.png",
    )

    for place in (2, 4, 6):
        metrics[f"recalled_at_{loads[place]:.3f}"] = recalled_share["Hebb"][place]
        metrics[f"recalled_at_{loads[place]:.3f}_error"] = spread["Hebb"][place] if spread else 0.0
    metrics["pseudo_inverse_recalled_at_0.300"] = recalled_share["pseudo-inverse"][-2]
    return metrics | {f"rest_in_{kind.replace(' ', '_')}": share for kind, share in zip(kinds, shares, strict=True)}


if __name__ == "__main__":
    command_line(main)
