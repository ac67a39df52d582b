"""What can a network with a memory say of a frame that no network can say who sees the frame alone?

Paper:  [Donahue et al., 2014](https://arxiv.org/abs/1411.4389), section 4
Run:    python -m tutorials.balloon
Takes:  125 seconds on one core, of which 20 to draw the clips, once
Expect: 98.1 % of the test frames right with the memory and 70.3 % without: 27.8 ± 0.5 points (three seeds), 25 of them
        from frames that are popped or absent, of which 99.9 % and 49.6 % are right. No network that sees one frame can
        have more than 75.4 % of all. Without its past the same network calls none of the popped frames popped.

A pin comes to a balloon and goes back. Sometimes the balloon pops, and nothing is left of it; sometimes there was none
at all. Every frame of a clip gets a label: the balloon is *intact*, *popping*, *popped*, or *absent*. A frame
after the pop looks just like one without a balloon, so whoever sees one frame can only guess between the two. Whoever
remembers that there was a balloon knows.

The experiment is as fair as can be: the two networks are the same, with the same image network, the same recurrent
layer, the same weights to begin with and the same frames to learn from. Only that one of them reads a clip in its
order, and of the other every frame is a clip of its own, so that it never has anything to remember.

Exercises:

1. Try `--cell elman`. How many epochs does it need? Between the pop and the end of a clip lie at most ten frames: what
   would change if there were a hundred?
2. Turn the clips around (`clips[:, ::-1]`, but mind the padding). Which labels can be told now, and which not?
3. A network that reads in both directions (`bidirectional=True`) may label a frame by what comes later. Which mistakes
   that are left does it mend? Would you use it to warn somebody of a pop?
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.data import info, load
from kerasdl.sequences import StepAccuracy, video_classifier
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.tutorials.wanted_data import needs
from kerasdl.visualization import plots

NAMES = {"memory": "a whole clip", "single": "one frame at a time"}


def frames_alone(clips: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Makes a clip of every frame that is not padding.

    Args:
        clips: `(batch, frames, height, width, channels)`.
        labels: `(batch, frames)`.
    """
    real = tf.reduce_any(clips != 0, axis=[2, 3, 4])
    return tf.boolean_mask(clips, real)[:, None], tf.boolean_mask(labels, real)[:, None]


def say(model: keras.Model, kind: str, clips: np.ndarray) -> np.ndarray:
    """The label that a network gives each frame, `(clips, frames)`; 0 for padding.

    Args:
        model: A trained network.
        kind: "memory" where it reads clips, "single" where it gets each frame alone.
        clips: `(clips, frames, height, width, channels)`.
    """
    if kind == "memory":
        return model.predict(clips, batch_size=50, verbose=0).argmax(axis=-1)
    real = clips.any(axis=(2, 3, 4))
    said = np.zeros(real.shape, "int64")
    said[real] = model.predict(clips[real][:, None], batch_size=500, verbose=0)[:, 0].argmax(axis=-1)
    return said


@lesson
def main(
    *,
    data: str = "balloons",
    epochs: int = 4,
    cell: str = "gru",
    units: int = 64,
    seeds: int = 3,
    quick: bool = False,
    out: Path = Path("runs/balloon"),
) -> dict[str, float]:
    """Trains one network on clips and one on their frames, and counts what each takes for what.

    Args:
        data: A set of clips with a label for each frame: balloons.
        epochs: Passes over the training clips.
        cell: The recurrent layer: elman, gru or lstm.
        units: How many numbers it remembers.
        seeds: How often everything is repeated, with other first weights and another order of the clips.
        quick: One epoch of a few clips, one seed and 8 units, whatever is given, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    needs(data, "clip", "labels", like="balloons")
    if quick:
        epochs, units, seeds = 1, 8, 1
    labels = info(data).classes
    popped, absent = labels.index("popped"), labels.index("absent")
    clips, truth = next(load(data, split="test[:32]" if quick else "test", batch_size=1000).as_numpy_iterator())
    test = tf.data.Dataset.from_tensor_slices((clips, truth)).batch(50)
    real, shape = clips.any(axis=(2, 3, 4)), (None, *clips.shape[2:])

    # Clips have 12 to 20 frames; in a batch the shorter ones are filled up with black frames. `video_classifier` masks
    # them: they are not computed, and neither loss nor accuracy count them.
    tables = {kind: np.zeros((seeds, len(labels), len(labels)), int) for kind in NAMES}
    histories, models, said = {}, {}, {}
    for seed in range(seeds):
        train = load(data, split="train[:64]" if quick else "train", batch_size=16, shuffle=True, seed=seed)
        for kind, name in NAMES.items():
            keras.utils.set_random_seed(seed)
            model = video_classifier(input_shape=shape, classes=len(labels), cell=cell, units=units)
            rate = keras.optimizers.schedules.CosineDecay(0.003, epochs * len(train))
            model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=[StepAccuracy()])
            batches, held_out = (train, test) if kind == "memory" else (train.map(frames_alone), test.map(frames_alone))
            print(f"\nSees {name}, seed {seed}")
            logs = keras.callbacks.TensorBoard(out / "logs" / f"{kind}_seed{seed}")
            history = training.fit(model, batches, epochs=epochs, validation_data=held_out, callbacks=[logs])
            answers = say(model, kind, clips)
            np.add.at(tables[kind][seed], (truth[real], answers[real]), 1)
            if seed == 0:
                histories[f"sees {name}"], models[kind], said[kind] = history, model, answers
    plots.save(
        plots.training_curves(histories, "accuracy", title="Frames labelled right"),
        out / "figures" / "accuracy.png",
    )

    # Who is taken for whom? Without a memory, popped and absent are told by tossing a coin. It also finds fewer of the
    # bursts, though they can be seen: the other network knows that they come when the pin has arrived.
    for kind, name in NAMES.items():
        plots.save(
            plots.confusion_matrix(tables[kind].sum(axis=0), labels, title=f"Sees {name}"),
            out / "figures" / f"confusion_{kind}.png",
        )

    # Seven frames of a clip with a pop and of one without a balloon, as both see them.
    chosen = []
    for label in (popped, absent):
        longest = np.argmax(real.sum(axis=1) * (truth == label).any(axis=1))
        chosen += [(longest, time) for time in np.linspace(0, real[longest].sum() - 1, 7).round().astype(int)]
    rows = {"truth": truth, "with": said["memory"], "without": said["single"]}
    plots.save(
        plots.image_grid(
            [clips[place] for place in chosen],
            ["\n".join(f"{name}: {labels[answers[place]]}" for name, answers in rows.items()) for place in chosen],
            columns=7,
            title="The truth, and what the network says with its memory and without it",
        ),
        out / "figures" / "clips.png",
    )

    # Is it memory? Then it must be lost with the past. The same network reads the clips from the first popped frame on.
    rests = np.zeros_like(clips)
    for rest, clip, frames in zip(rests, clips, (truth == popped) & real, strict=True):
        rest[: frames.sum()] = clip[frames]
    without_past = say(models["memory"], "memory", rests)[rests.any(axis=(2, 3, 4))]

    # The best that one frame allows: everything right, but for popped and absent always the more frequent of the two.
    totals = tables["single"][0].sum(axis=1)
    metrics = {"best_of_one_frame": 1 - min(totals[popped], totals[absent]) / totals.sum()}
    accuracies = {}
    for kind in NAMES:
        accuracies[kind] = np.array([np.trace(table) / table.sum() for table in tables[kind]])
        two = [table[[popped, absent]] for table in tables[kind]]
        metrics[f"{kind}_accuracy"] = accuracies[kind].mean()
        metrics[f"{kind}_popped_or_absent_accuracy"] = np.mean(
            [(rows[0, popped] + rows[1, absent]) / rows.sum() for rows in two]
        )
    difference = accuracies["memory"] - accuracies["single"]
    metrics["difference"] = difference.mean()
    if seeds > 1:
        metrics["difference_standard_error"] = standard_error(difference)
    metrics["called_popped_without_the_past"] = np.mean(without_past == popped)
    return metrics


if __name__ == "__main__":
    command_line(main)
