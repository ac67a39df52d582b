"""Is a residual network one deep network, or many shallow ones that vote?

Paper:  [Veit et al., 2016](https://arxiv.org/abs/1605.06431), sections 3 to 5
Run:    python -m tutorials.residual_ensembles
Takes:  3 minutes on one core
Expect: the residual network, 82.8 % right, loses 8.2 ± 0.1 points without one of its 18 blocks (half of them cost 3.0
        or less, the first one 53); the plain one, 80.9 % right, loses 68.8 ± 1.0 without two of its layers, nearly all
        it had (3 seeds). Half of all paths pass 9 blocks or more, but a path through all 18 carries 3,000 times less
        gradient than the one past all of them: on average the gradient comes through 7.0 blocks.

Through a block of a residual network there are two ways: through its layers, or past them. With n blocks in a row that
makes 2^n paths from the image to the scores, and the network adds up what comes along all of them. Veit et al. ask
whether these paths need each other. In an ensemble they would not: without one block half of the paths are gone, and
the other half still gives nearly the same answer. In a network without shortcuts there is one path only, and each layer
is in it.

So the lesson operates on trained networks: it takes single blocks out, then several, lets blocks change places, and
finally asks how long the paths are through which a network learns. A path that passes k of n blocks is one of n over k;
their lengths are spread like the heads among n thrown coins.

Exercises:

1. Take `--depth 56 --epochs 8`. Do the effective paths grow with the network?
2. Train the residual network with `kerasdl.layers.StochasticDepth` behind each branch, so that it loses blocks in
   training as well. What does it lose now without one of them?
3. `lesion_study` works on any network with shortcuts. Try `keras.applications.ResNet50` with weights of your own.
"""

from functools import partial
from itertools import pairwise
from math import comb
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures import plain_cifar, resnet_cifar
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.visualization import lesion_study, plots
from kerasdl.visualization.probing import compiled, forward


def plain_blocks(depth: int) -> list[tuple[str, str]]:
    """The pairs of layers of `plain_cifar` between which the shape stays: what two convolutions can be taken out of.

    Args:
        depth: Layers: 6n + 2.
    """
    inner = range(1, (depth - 2) // 6)
    chains = [[*(f"stage{stage}_block{block}_out" for block in inner), f"stage{stage}_out"] for stage in (1, 2, 3)]
    return [pair for chain in (["stage1_conv1_relu", *chains[0]], *chains[1:]) for pair in pairwise(chain)]


def kendall_tau(order: np.ndarray) -> float:
    """How far an order is kept: the share of pairs still in order less that of the others; 1 to -1.

    Args:
        order: Which number stands at each place.
    """
    first, second = np.triu_indices(len(order), 1)
    return float(np.sign(order[second] - order[first]).mean())


def operate(model: keras.Model, test: Any, blocks: Any, samples: int, seed: int) -> dict[str, np.ndarray]:
    """The accuracy without each block, `(blocks,)`; and pairs for lines: (number dropped, accuracy), (tau, accuracy).

    Args:
        model: A trained network.
        test: Images and classes.
        blocks: As in `lesion_study`.
        samples: Lesions drawn at random, of each kind.
        seed: Decides what is drawn.
    """
    alone = lesion_study(model, test, blocks=blocks)
    count = len(alone.blocks)
    several = [(0, alone.accuracy), (1, alone.accuracies.mean())]
    for number in sorted({round(share * count) for share in (0.15, 0.3, 0.5, 0.7)} - {0, 1}):
        study = lesion_study(model, test, number=number, blocks=blocks, samples=samples, seed=seed)
        several.append((number, study.accuracies.mean()))
    orders = [(1.0, alone.accuracy)]
    for number in (1, 2, 4, 8, 16):
        study = lesion_study(model, test, how="permute", number=number, blocks=blocks, samples=samples, seed=seed)
        orders.append((float(np.mean([kendall_tau(order) for order in study.lesions])), study.accuracies.mean()))
    return {"alone": alone.accuracies, "several": np.array(several), "orders": np.array(orders)}


def path_gradients(model: keras.Model, images: np.ndarray, labels: np.ndarray, paths: np.ndarray) -> np.ndarray:
    """The part of the loss's gradient with respect to the images that comes along single paths, `(paths, N, H, W, C)`.

    Forwards everything is as always. Backwards each block lets through only what comes along its branch, or only what
    comes along its shortcut. All paths together give the gradient as it is.

    Args:
        model: A `resnet_cifar`.
        images: A batch.
        labels: Its classes.
        paths: `(paths, blocks)`: True where a path goes through the branch.
    """
    blocks = tuple(layer.name.removesuffix("_add") for layer in model.layers if layer.name.endswith("_add"))
    return compiled(model, _path_gradients, blocks=blocks)(images, labels.astype("int32"), paths).numpy()


def _path_gradients(
    model: keras.Model, images: tf.Tensor, labels: tf.Tensor, paths: tf.Tensor, *, blocks: tuple[str, ...]
) -> tf.Tensor:
    def along(path: tf.Tensor) -> tf.Tensor:
        branches: dict[str, tf.Tensor] = {}
        hold = tf.stop_gradient

        def remember(block: str, branch: tf.Tensor) -> tf.Tensor:
            branches[block] = branch
            return branch

        def choose(block: str, is_through: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
            branch, shortcut = branches[block], total - branches[block]
            return tf.where(is_through, branch + hold(shortcut), shortcut + hold(branch))

        taps = {f"{block}_conv2_norm": partial(remember, block) for block in blocks}
        taps |= {f"{block}_add": partial(choose, block, path[index]) for index, block in enumerate(blocks)}
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, forward(model, images, taps=taps))
        return tape.gradient(losses, images)

    return tf.map_fn(along, paths, fn_output_signature=tf.float32, parallel_iterations=1)


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int | None = None,
    depth: int = 38,
    plain_depth: int = 20,
    side: int = 8,
    seeds: int = 3,
    samples: int = 10,
    quick: bool = False,
    out: Path = Path("runs/residual_ensembles"),
) -> dict[str, float]:
    """Trains residual and plain networks, takes blocks out of them, and follows the gradient along single paths.

    Args:
        data: Any image set that kerasdl.data.load knows.
        epochs: Passes over the training images; 5 without it.
        depth: Layers of the residual network: 6n + 2.
        plain_depth: Layers of the plain one: 6n + 2. It is shallower because a deep one hardly learns.
        side: The images are made this high and wide.
        seeds: How often everything is repeated.
        samples: How many lesions, and how many paths of each length, are drawn at random.
        quick: One epoch of a few images with smaller networks, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    epochs = epochs or (1 if quick else 5)
    if quick:
        depth, plain_depth, seeds, samples = 14, 14, 1, 2
    kinds = {
        f"residual, {depth} layers": (resnet_cifar, depth),
        f"plain, {plain_depth} layers": (plain_cifar, plain_depth),
    }
    classes = len(info(data).classes)
    split = "test[:100]" if quick else "test[:500]"
    test = next(load(data, split=split, batch_size=500, image_size=(side, side)).as_numpy_iterator())

    # Both learn by the recipe of the lesson on degradation. Then come the operations: a branch that is taken out of the
    # residual network gives zero. In the plain network layers are passed over, where they leave the shape as it is.
    found: dict[str, list[dict[str, np.ndarray]]] = {name: [] for name in kinds}
    for seed in range(seeds):
        split = "train[:300]" if quick else "train"
        train = load(data, split=split, batch_size=100, shuffle=True, seed=seed, image_size=(side, side))
        for name, (build, layers) in kinds.items():
            print(f"\n{name}, seed {seed}")
            keras.utils.set_random_seed(seed)
            model = build(layers, input_shape=train.element_spec[0].shape[1:], classes=classes)
            steps = epochs * len(train)
            schedule = keras.optimizers.schedules.CosineDecay(
                0.0, steps - steps // 6, warmup_target=0.01, warmup_steps=steps // 6
            )
            optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
            model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{model.name}_seed{seed}", write_graph=False)
            training.fit(model, train, epochs=epochs, callbacks=[logs], verbose=2)
            found[name].append(
                operate(model, test, None if build is resnet_cifar else plain_blocks(layers), samples, seed)
            )
            if build is resnet_cifar:
                residual = model

    # Mean and standard error over the seeds, of all that was measured.
    means = {
        name: {key: np.mean([run[key] for run in runs], axis=0) for key in runs[0]} for name, runs in found.items()
    }
    errors = {
        name: {key: np.std([run[key] for run in runs], axis=0, ddof=seeds > 1) / np.sqrt(seeds) for key in runs[0]}
        for name, runs in found.items()
    }

    # Without one block the residual network loses little, but for the first blocks: all others work on what these give.
    # There is a small dip where a block makes the maps smaller and more, for its shortcut carries less. Without two of
    # its layers the plain network is as good as guessing.
    plots.save(
        plots.lines(
            {name: mean["alone"] for name, mean in means.items()} | {"chance": np.full(2, 1 / classes)},
            {name: np.linspace(0, 1, len(mean["alone"])) for name, mean in means.items()} | {"chance": [0.0, 1.0]},
            x_label="block taken out, from the first (0) to the last (1)",
            y_label="test accuracy (± standard error)",
            errors={name: error["alone"] for name, error in errors.items()},
            title="The accuracy without one block",
        ),
        out / "figures" / "one_block.png",
    )

    # Without several: an ensemble gets worse step by step, with every member that it loses. And in another order: two
    # blocks of one shape exchange all their weights, once or several times; Kendall's tau says how much is left of the
    # order in which they were trained. After many exchanges neither network works: blocks have their places, so an
    # ensemble is not all that it is.
    for key, x_label, title in (
        ("several", "blocks taken out at once", "The accuracy without several blocks"),
        ("orders", "order kept: Kendall's tau, 1 is as trained", "Blocks that have changed places"),
    ):
        sorting = {name: np.argsort(mean[key][:, 0]) for name, mean in means.items()}
        plots.save(
            plots.lines(
                {name: means[name][key][by, 1] for name, by in sorting.items()},
                {name: means[name][key][by, 0] for name, by in sorting.items()},
                x_label=x_label,
                y_label="test accuracy (± standard error)",
                errors={name: errors[name][key][by, 1] for name, by in sorting.items()},
                title=title,
            ),
            out / "figures" / f"{key}.png",
        )

    # How long are the paths that matter? What comes along one path of each length, times the number of such paths. The
    # network is the last residual one.
    count = len(means[next(iter(kinds))]["alone"])
    lengths = np.arange(count + 1)
    images, labels = (part[:20] for part in test)
    generator = np.random.default_rng(0)
    along_one = []
    for length in lengths:
        drawn = generator.permuted(np.tile(lengths[1:] <= length, (samples, 1)), axis=1)
        gradients = path_gradients(residual, images, labels, drawn)
        along_one.append(np.linalg.norm(gradients.reshape(*gradients.shape[:2], -1), axis=-1).mean())
    share_of_paths = np.array([comb(count, length) for length in lengths]) / 2.0**count
    share_of_gradient = share_of_paths * along_one / np.sum(share_of_paths * along_one)
    plots.save(
        plots.lines(
            {"paths": share_of_paths, "gradient": share_of_gradient},
            lengths,
            x_label=f"length of the path: through how many of the {count} blocks",
            y_label="share",
            title="The gradient comes along shorter paths",
        ),
        out / "figures" / "path_lengths.png",
    )
    plots.save(
        plots.lines(
            {"one path": np.array(along_one)},
            lengths,
            x_label=f"length of the path: through how many of the {count} blocks",
            y_label="length of the gradient",
            log_y=True,
            title="The gradient that comes along a single path",
        ),
        out / "figures" / "one_path.png",
    )

    metrics: dict[str, float] = {}
    for name, runs in found.items():
        kind = name.split(",")[0]
        lost = np.array([run["several"][0, 1] - run["alone"] for run in runs])
        metrics[f"{kind}_accuracy"] = means[name]["several"][0, 1]
        metrics[f"{kind}_lost_without_one_block"] = lost.mean()
        metrics[f"{kind}_standard_error"] = lost.mean(axis=1).std(ddof=seeds > 1) / np.sqrt(seeds)
        metrics[f"{kind}_median_lost"] = np.median(lost)
        metrics[f"{kind}_lost_without_the_first"] = lost[:, 0].mean()
        metrics[f"{kind}_most_taken_out"], metrics[f"{kind}_accuracy_without_them"] = means[name]["several"][-1]
        metrics[f"{kind}_last_tau"], metrics[f"{kind}_accuracy_with_it"] = means[name]["orders"][-1]
    longest = int(np.argmax(np.cumsum(share_of_gradient) > 0.95))
    return metrics | {
        "mean_path_length": (lengths * share_of_paths).sum(),
        "mean_path_length_of_the_gradient": (lengths * share_of_gradient).sum(),
        "gradient_of_shortest_over_longest": along_one[0] / along_one[-1],
        "length_up_to_95_percent_of_the_gradient": longest,
        "share_of_paths_up_to_it": share_of_paths[: longest + 1].sum(),
    }


if __name__ == "__main__":
    command_line(main)
