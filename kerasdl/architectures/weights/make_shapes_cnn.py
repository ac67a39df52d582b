"""Trains the network whose weights ship as shapes_cnn.npz, and measures them as they are saved, in float16.

Run:    python -m kerasdl.architectures.weights.make_shapes_cnn --out shapes_cnn.npz
Takes:  5.5 minutes on one core
Gives:  (seed 0, 25 epochs) 99.7 % of the 1,000 test images right. The maximum of Grad-CAM lies on the object in 89.0 %
        of them: in 94.8 % of the images of nine kinds, and in 37 % of the rings, whose middle is a hole; with holes
        counted as the object's in 95.3 %. The maximum of occlusion (8x8 patches in steps of 4, the first 100 images)
        lies on it in 99 %. These are the numbers of the weights that ship. Another run of this recipe, where chance
        fell otherwise, gave 99.6 % and 88.6 %, with 73 % of the rings and of the circles.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import data, training
from kerasdl.architectures import pretrained, shapes_cnn
from kerasdl.visualization import grad_cam

SHIFT = 6  # Pixels to each side; the border is mirrored.


def change(images: tf.Tensor, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Shifts, flips and turns: a figure is of the same kind wherever it lies and however it is turned."""
    padded = tf.pad(images, [[0, 0], [SHIFT, SHIFT], [SHIFT, SHIFT], [0, 0]], "REFLECT")
    top, left = tf.unstack(tf.random.uniform([2], 0, 2 * SHIFT + 1, dtype=tf.int32))
    images = padded[:, top : top + 64, left : left + 64]
    images = tf.image.random_flip_up_down(tf.image.random_flip_left_right(images))
    turned = tf.random.uniform([tf.shape(images)[0], 1, 1, 1]) < 0.5
    images = tf.where(turned, tf.transpose(images, [0, 2, 1, 3]), images)
    # From [0, 1] to what the layer `preprocessing` of `pretrained` gives to the network.
    return tf.ensure_shape(2 * images - 1, [None, 64, 64, 3]), labels


def read(split: str) -> list[np.ndarray]:
    """All images, labels and masks of a split."""
    everything = data.load("shapes/one", split=split, batch_size=6000, fields=("image", "label", "mask"))
    examples = next(iter(everything))
    return [examples[name].numpy() for name in ("image", "label", "mask")]


def train(epochs: int, seed: int) -> keras.Model:
    """The network after that many passes over the 6,000 training images."""
    keras.utils.set_random_seed(seed)
    model = shapes_cnn()
    images, labels, _ = read("train")
    batches = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(len(images), seed=seed)
    batches = batches.batch(64, drop_remainder=True).map(change).prefetch(2)
    steps = epochs * len(batches)
    rate = keras.optimizers.schedules.CosineDecay(
        4e-4, steps, alpha=0.001, warmup_target=4e-3, warmup_steps=steps // 10
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.01)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    training.fit(model, batches, epochs=epochs, verbose=2)
    return model


def main() -> None:
    """Trains, saves and measures."""
    parser = argparse.ArgumentParser(description="Trains the network whose weights ship as shapes_cnn.npz.")
    parser.add_argument("--out", type=Path, required=True, help="where to save the weights")
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    begin = time.perf_counter()
    model = train(arguments.epochs, arguments.seed)
    arrays = {f"{layer.name}/{w.name}": w.numpy().astype("float16") for layer in model.layers for w in layer.weights}
    np.savez_compressed(arguments.out, **arrays)
    print(f"trained in {time.perf_counter() - begin:.0f} s, {arguments.out.stat().st_size:,} bytes")

    model = pretrained("shapes_cnn", weights=arguments.out)
    images, labels, masks = read("test")
    right = model.predict(images, verbose=0).argmax(axis=1) == labels
    places = grad_cam(model, images).reshape(len(images), -1).argmax(axis=1)
    on_object = masks.reshape(len(images), -1)[np.arange(len(images)), places] == 1
    print(f"right: {right.mean():.1%}; Grad-CAM's maximum on the object: {on_object.mean():.1%}")
    names = data.info("shapes/one").classes
    print(", ".join(f"{name} {on_object[labels == kind].mean():.0%}" for kind, name in enumerate(names)))


if __name__ == "__main__":
    main()
