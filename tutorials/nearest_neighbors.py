"""What does a network find alike?

Paper:  [Krizhevsky et al., 2012](https://papers.nips.cc/paper/4824-imagenet-classification-with-deep-convolutional-neural-networks),
        section 6.1; the maps are by [van der Maaten and Hinton, 2008](https://jmlr.org/papers/v9/vandermaaten08a.html)
Run:    python -m tutorials.nearest_neighbors
Takes:  60 seconds on one core
Expect: of the five nearest pictures by pixels 11.4 ± 0.6 % show the same kind of figure, by the last maps of a network
        97.7 ± 0.4 %. Chance gives 10 %, and the difference of the pixels is under three standard errors. Place by place
        the share grows with the layers: 12.1 ± 0.6, 16.2 ± 0.8 and 28.0 ± 1.0 % after the first three convolutions. The
        means of maps say no more in the first two layers, and more later: 38.2 ± 1.2 % after the third convolution,
        99.6 ± 0.2 % in the last. With random weights it stays with chance: 10.5 ± 0.6 and 11.2 ± 0.6 %. SqueezeNet,
        which has never seen such figures, has 25.6 ± 1.0 and 29.4 ± 1.2 %.

Two pictures are near to each other if their numbers differ little. Taken pixel by pixel that finds pictures with the
same background, which is most of a picture, and the same colour at the same place: a figure moved by its own size has
nothing in common with itself. A network turns a picture into other numbers, its features, layer by layer. Which
pictures are near to each other *there* says what it has learnt to see, and what to overlook.

The lesson takes pictures that the network has not seen, looks for the nearest ones among its training pictures, and
counts how many of these show the same kind of figure. It does so in the space of pixels and in that of some layers,
once with the features place by place and once with the mean of each map, which forgets where things are. To know what
comes from training, it asks two more networks: the same one with random weights, and SqueezeNet, which has learnt a
million photographs and has never seen such figures.

Exercises:

1. Which neighbours of the wrong kind are left in the last layer? Look at them: what have they in common?
2. Ask for the neighbours' `color` (`load(..., fields=("image", "color"))`) in the place of their kind. In which
   layer does the network forget the colour?
3. Divide the features by their length first, so that the angle between them counts (add a
   `keras.layers.UnitNormalization` to the model). Does it help SqueezeNet?
"""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from kerasdl import training
from kerasdl.architectures import pretrained, shapes_cnn
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import activations, embed, nearest_neighbors, plots


def as_photographs(images: np.ndarray) -> np.ndarray:
    """In colour and of 64x64 pixels, as SqueezeNet is asked here."""
    images = np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images
    return np.asarray(tf.image.resize(images, (64, 64)))


@lesson
def main(
    *,
    data: str = "shapes/one",
    epochs: int = 15,
    neighbors: int = 5,
    seed: int = 0,
    quick: bool = False,
    out: Path = Path("runs/nearest_neighbors"),
) -> dict[str, float]:
    """Counts the neighbours of the same class in pixels and in features.

    Args:
        data: The images; for shapes/one a trained network ships, for any other set of images one is trained first.
        epochs: Passes over the training images, where the network has to be trained.
        neighbors: How many neighbours to look for.
        seed: Decides what is random: weights, and the start of t-SNE.
        quick: Few images, only to see that everything works.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    train = load(data, split="train[:300]" if quick else "train[:3000]", batch_size=100)
    test = load(data, split="test[:60]" if quick else "test[:600]", batch_size=100)
    class_names = info(data).classes
    (gallery, kinds), (queries, truth) = (
        [np.concatenate(part) for part in zip(*images.as_numpy_iterator(), strict=True)] for images in (train, test)
    )

    # The network of five convolutions that has learnt these figures, and the same one before it had learnt anything.
    keras.utils.set_random_seed(seed)
    untrained = shapes_cnn(input_shape=gallery.shape[1:], classes=len(class_names))
    if data == "shapes/one":
        trained = pretrained("shapes_cnn")
    else:
        trained = keras.models.clone_model(untrained)
        trained.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        training.fit(trained, train.shuffle(100, seed=seed), epochs=1 if quick else epochs, validation_data=test)
    pixels = keras.Sequential([keras.Input(gallery.shape[1:]), keras.layers.Identity(name="pixels")])
    squeezenet = pretrained("squeezenet1_1", input_shape=(64, 64, 3))

    # A row of spaces to look in: from the pixels up, then the two other networks at their last maps.
    spaces = {
        "pixels": (pixels, "pixels"),
        "conv 1": (trained, "stage1_conv1_relu"),
        "conv 2": (trained, "stage1_out"),
        "conv 3": (trained, "stage2_conv1_relu"),
        "last maps": (trained, "stage2_out"),
        "untrained": (untrained, "stage2_out"),
        "SqueezeNet": (squeezenet, "stage4_out"),
    }
    ways = {"every place counts": False, "mean of each map": True}
    found = {}
    shares: dict[str, list[float]] = {way: [] for way in ways}
    errors: dict[str, list[float]] = {way: [] for way in ways}
    for name, (model, layer) in spaces.items():
        asked, known = (as_photographs(queries), as_photographs(gallery)) if model is squeezenet else (queries, gallery)
        for way, pool in ways.items():
            numbers, _ = nearest_neighbors(model, asked, known, layer, k=neighbors, pool=pool)
            # One share per picture asked about: these are independent, and the error of their mean is known.
            same = (kinds[numbers] == truth[:, None]).mean(axis=1)
            found[name, way] = numbers
            shares[way].append(same.mean())
            errors[way].append(standard_error(same))
        print(f"{name:18}" + ", ".join(f"{way}: {shares[way][-1]:.1%} ± {errors[way][-1]:.1%}" for way in ways))
    plots.save(
        plots.bars(
            shares,
            list(spaces),
            errors=errors,
            y_label=f"share of the {neighbors} nearest that\nare of the same class (± standard error)",
            written="{:.2f}",
            title=f"Neighbours of the same class (by chance: {1 / len(class_names):.2f})",
        ),
        out / "figures" / "shares.png",
    )

    # What is near in pixels, and what in the last maps? The first pictures of four classes, three neighbours each way.
    examples = [int(np.flatnonzero(truth == kind)[0]) for kind in np.unique(truth)[3::2][:4]]
    last = max(ways, key=lambda way: shares[way][list(spaces).index("last maps")])
    rows, titles = [], []
    for query in examples:
        rows.append(queries[query])
        titles.append(f"asked for:\n{class_names[truth[query]]}")
        for name, way, short in (("pixels", "every place counts", "by pixels"), ("last maps", last, "by features")):
            for number in found[name, way][query, :3]:
                rows.append(gallery[number])
                titles.append(f"{short}:\n{class_names[kinds[number]]}")
    plots.save(
        plots.image_grid(
            np.stack(rows),
            titles,
            columns=7,
            title="By pixels: like ground, colour and place; by features: like figure",
        ),
        out / "figures" / "neighbors.png",
    )

    # All pictures at once: each is a point, and t-SNE places them so that neighbours stay neighbours. Axes have no
    # meaning there, and neither have the sizes of the groups and the distances between them.
    features = activations(trained, queries, "stage2_out").mean(axis=(1, 2))
    points = {
        "by pixels": embed(queries, seed=seed, perplexity=5 if quick else 30),
        "by the means of the last maps": embed(features, seed=seed, perplexity=5 if quick else 30),
    }
    plots.save(
        plots.clouds(points, truth, class_names, title="The same test pictures in two spaces (t-SNE)"),
        out / "figures" / "tsne.png",
    )

    metrics = {}
    with tf.summary.create_file_writer(str(out / "logs")).as_default():
        for way, short in zip(ways, ("by_place", "by_mean"), strict=True):
            for step, name in enumerate(spaces):
                key = f"{name.lower().replace(' ', '_')}_{short}"
                metrics[key] = shares[way][step]
                metrics[f"{key}_error"] = errors[way][step]
                tf.summary.scalar(f"same_class/{short}", shares[way][step], step=step)
    return metrics


if __name__ == "__main__":
    command_line(main)
