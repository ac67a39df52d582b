"""What is a texture, and does a network know it when all places are forgotten?

Paper:  [Gatys et al., 2015](https://arxiv.org/abs/1505.07376), Texture synthesis using convolutional neural networks
Run:    python -m tutorials.texture
Takes:  45 seconds on one core
Expect: the Gram matrices of what is made from noise are 4.4 % away from the texture's, on average over four layers and
        three textures; those of noise 101 %, of another crop 24.5 %, of the crop moved by half its size 10.2 %, its
        tiles in another order 18.9 %, its pixels in another order 121 %. In pixels, what is made is as far from the
        texture (0.16) as another crop is (0.17): it is no copy. Bricks come with the second group of layers.

Cut two windows out of a lawn: no pixel is the same, and yet one sees at once that both are grass. What is the same?
A guess of long standing: averages over all places. Which averages, a network may say: for each two maps of a layer,
how strongly they are active *at the same place*, on average over the image. That is the layer's Gram matrix,

    G = F^T F / places,    F: one row per place, one column per map

and it holds no place any more. Gatys and his colleagues turned the guess into a test: begin with noise, change its
pixels until its Gram matrices are those of the texture, and look whether what comes out is grass.

The distance in use is `|G(x) - G(texture)| / |G(texture)|` for each layer. To say what is near, the lesson measures the
same for images that everyone would call the same texture, and for some that nobody would: another crop, the crop itself
moved by half its size, its tiles in another order, its pixels in another order.

Exercises:

1. Which layers of the sum does one need? Leave out the lowest, or take the highest alone.
2. Synthesise the texture at twice the size, with `shape=(256, 256)`. The network must take images of any size:
   `keras.models.clone_model(network, input_tensors=keras.Input((None, None, 3)))`, and then `set_weights`.
3. `--pooling max` takes the network as it was trained. What changes in the pictures, and what in the numbers?
4. Take a photograph of a thing for the texture (`--textures chelsea`). What is left of it?
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl.architectures import pretrained
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.visualization import gram_matrices, plots, synthesize_texture

# From the lowest to the highest, in groups of one size of maps.
LAYERS = {
    "squeezenet1_1": (
        ("conv1",),
        ("fire2", "fire3"),
        ("fire4", "fire5"),
        ("fire6", "fire7", "fire8", "stage4_out"),
    ),
    "vgg16": (
        ("stage1_conv1", "stage1_conv2"),
        ("stage2_conv1", "stage2_conv2"),
        ("stage3_conv1", "stage3_conv3"),
        ("stage4_conv1", "stage4_conv3"),
    ),
}


def crops(data: str, label: str, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Two squares of an image that share no pixel."""
    names = info(data).classes
    if label not in names:
        raise ValueError(f"`textures` must be names among {', '.join(names)}. Received: {label!r}.")
    image = next(x for x, y in load(data).as_numpy_iterator() if y == names.index(label))
    half = min(image.shape[0], image.shape[1] // 2)
    squares = np.stack([image[:half, :half], image[-half:, -half:]])
    return tuple(np.asarray(tf.image.resize(squares, (side, side), antialias=True)).clip(0, 1))


def with_mean_pooling(model: keras.Model) -> keras.Model:
    """The same network, with the mean of what is pooled in the place of the largest."""

    def copy(layer: keras.layers.Layer) -> keras.layers.Layer:
        config = layer.get_config()
        if isinstance(layer, keras.layers.MaxPooling2D):
            return keras.layers.AveragePooling2D.from_config(config)
        return type(layer).from_config(config)

    twin = keras.models.clone_model(model, clone_function=copy)
    twin.set_weights(model.get_weights())
    return twin


def in_other_order(image: np.ndarray, tile: int, random: np.random.Generator) -> np.ndarray:
    """The image's tiles shuffled; a tile may be a single pixel."""
    count = len(image) // tile
    tiles = image.reshape(count, tile, count, tile, 3).swapaxes(1, 2).reshape(count**2, tile, tile, 3)
    tiles = random.permutation(tiles).reshape(count, count, tile, tile, 3)
    return tiles.swapaxes(1, 2).reshape(image.shape)


def distances(matrices: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> np.ndarray:
    """How far Gram matrices are from the wanted ones, relative to these: (layers, images)."""
    return np.array(
        [
            np.linalg.norm(matrices[layer] - wanted[layer], axis=(1, 2)) / np.linalg.norm(wanted[layer], axis=(1, 2))
            for layer in wanted
        ]
    )


@lesson
def main(
    *,
    data: str = "photos",
    textures: str = "brick,grass,gravel",
    model: str = "squeezenet1_1",
    weights: Path | None = None,
    pooling: str = "mean",
    side: int = 128,
    epochs: int = 300,
    smoothness: float = 1.0,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/texture"),
) -> dict[str, float]:
    """Makes textures from the Gram matrices of more and more layers.

    Args:
        data: Any set of colour images that kerasdl.data.load knows.
        textures: Names of classes, of each of which the first image is taken.
        model: squeezenet1_1 or vgg16.
        weights: A file with the network's weights; without it those that ship, or are downloaded.
        pooling: "mean", as in the paper, or "max", as the network was trained.
        side: Height and width of what is made, and of the crops.
        epochs: Steps of the search; nothing is trained.
        smoothness: Weight of the squared differences of neighbouring pixels; the paper has no such prior, 0.
        seed: Decides the noise.
        quick: Few steps on one small texture, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if model not in LAYERS or pooling not in ("mean", "max"):
        raise ValueError(
            f"`model` must be one of {', '.join(LAYERS)}, and `pooling` mean or max. Received: {model!r}, {pooling!r}."
        )
    if quick:
        textures, side, epochs = textures.split(",")[0], 48, 5
    network = pretrained(model, weights="imagenet" if weights is None else weights, input_shape=(side, side, 3))
    if pooling == "mean":
        network = with_mean_pooling(network)
    groups = LAYERS[model]
    layers = [group[-1] for group in groups]
    names = textures.split(",")
    pairs = [crops(data, name, side) for name in names]
    wanted = np.stack([pair[0] for pair in pairs])
    matrices = gram_matrices(network, wanted, layers)

    # All textures at once, first from the lowest layers alone, then with the next ones, too. Distances are measured at
    # the highest layer of each group, whether it was in the search or not.
    made = {}
    for depth in range(1, len(layers) + 1):
        used = [layer for group in groups[:depth] for layer in group]
        found, losses = synthesize_texture(
            network, wanted, used, total_variation=smoothness, steps=epochs, seed=seed, return_losses=True
        )
        made[f"up to {layers[depth - 1]}"] = found
        with tf.summary.create_file_writer(str(out / "logs" / f"up_to_{layers[depth - 1]}")).as_default():
            for layer in used:
                for step, value in enumerate(losses[layer].mean(axis=0)):
                    tf.summary.scalar(f"gram_distance_squared/{layer}", value, step=step)

    # What is near, and what is far? All of these but the noise have the very colours of a piece of the texture. The
    # noise is of the kind from which the search begins.
    random = np.random.default_rng(seed)
    others = {
        "moved by half": np.roll(wanted, side // 2, axis=(1, 2)),
        "another crop": np.stack([pair[1] for pair in pairs]),
        "tiles shuffled": np.stack([in_other_order(image, side // 8, random) for image in wanted]),
        "pixels shuffled": np.stack([in_other_order(image, 1, random) for image in wanted]),
        "noise": random.normal(0.5, 0.1, size=wanted.shape).clip(0, 1).astype("float32"),
    }
    table = {
        name: distances(gram_matrices(network, images, layers), matrices) for name, images in {**made, **others}.items()
    }
    metrics = {}
    for name, values in table.items():
        key = name.replace(" ", "_")
        metrics[f"{key}_gram_distance"] = values.mean()
        print(
            f"{name}: " + ", ".join(f"{layer} {value:.1%}" for layer, value in zip(layers, values.mean(1), strict=True))
        )
    deepest = f"up to {layers[-1]}"
    metrics["left_of_the_distance_of_noise"] = (table[deepest] / table["noise"]).mean()
    metrics["pixel_distance_of_the_made"] = np.sqrt(np.mean((made[deepest] - wanted) ** 2))
    metrics["pixel_distance_of_another_crop"] = np.sqrt(np.mean((others["another crop"] - wanted) ** 2))

    # Each row is a texture: the crop, and what comes of the Gram matrices of more and more layers.
    shown = {"the texture": wanted, **made, "another crop": others["another crop"]}
    plots.save(
        plots.image_grid(
            np.stack(list(shown.values()), axis=1).reshape(-1, side, side, 3),
            [*shown] * len(names),
            columns=len(shown),
            title="Textures from noise: the more layers, the larger what is alike",
        ),
        out / "figures" / "textures.png",
    )
    shown_names = [deepest, *others]
    plots.save(
        plots.bars(
            {"distance": [table[name].mean() for name in shown_names]},
            ["made\nfrom noise", *(name.replace(" ", "\n", 1) for name in others)],
            y_label="distance of the Gram matrices",
            written="{:.2f}",
            title="Near the texture is what looks like it",
        ),
        out / "figures" / "distances.png",
    )
    return metrics


if __name__ == "__main__":
    command_line(main)
