"""Does it matter who is wired to whom, or may chance decide?

Paper:  [Xie et al., 2019](https://arxiv.org/abs/1904.01569)
Run:    python -m tutorials.random_wiring
Takes:  150 seconds on one core
Expect: 79.1 % of the test images right with the ring, 77.7 % with WS, 77.7 % with ER, 76.9 % with BA: means of three
        runs each. The differences to the ring are -1.4 ± 0.6, -1.4 ± 0.4 and -2.2 ± 0.7 points, that of ER a little
        over three standard errors; on two cores, where sums come out in another order, they were -0.9 ± 1.0, -1.3 ± 0.7
        and -1.9 ± 1.1, all under three. At this size it is hardly shown that the wiring matters at all.

ResNets and DenseNets owe their success to their wiring, and search algorithms were built to find better ones. This
paper asked what the search finds that chance does not: it let three classical models of random graphs decide which
layer sees which, and on ImageNet the networks could compete with those that had been designed or searched for.

The three families make different graphs. In Watts and Strogatz's (WS) neighbours on a ring know each other, and some
of the edges are moved at random: short cuts through a small world. In Erdős and Rényi's (ER) every edge is a throw of
the dice. In Barabási and Albert's (BA) who has many edges gets more, as with airports and web pages: there are hubs.

This lesson builds one random stage of 16 nodes, with about as many edges in all families, and adds a graph in which
nothing is random: the ring of WS before any edge is moved, WS(4, 0).

Exercises:

1. Take nodes out of a trained network: set `gamma` and `beta` of a node's `_norm` layer to zero and measure the
   accuracy again. Does it cost more the more edges go out from the node? In which family?
2. Read the weights of the edges (`sigmoid` of a `_sum` layer's weights). Do the networks turn edges off?
3. Move the ring's edges with probability 0.1, 0.25, 0.5 (`parameters=(4, 0.1)`). How much chance is enough?
"""

from pathlib import Path

import keras
import networkx
import numpy as np

from kerasdl import training
from kerasdl.architectures import random_graph
from kerasdl.architectures.parts import classify, convolve_norm
from kerasdl.architectures.random_wiring import random_stage
from kerasdl.data import info, load
from kerasdl.tutorials.lesson import command_line, lesson
from kerasdl.tutorials.standard_errors import standard_error
from kerasdl.visualization import plots

# Generator and parameters; 16 nodes have 28 to 32 edges, in ER(0.27) on average.
WIRINGS = {
    "ring, WS(4, 0)": ("ws", (4, 0.0)),
    "WS(4, 0.75)": ("ws", (4, 0.75)),
    "ER(0.27)": ("er", (0.27,)),
    "BA(2)": ("ba", (2,)),
}


@lesson
def main(
    *,
    data: str = "fashion_sample",
    epochs: int = 6,
    seeds: int = 3,
    images: int = 3000,
    nodes: int = 16,
    channels: int = 24,
    quick: bool = False,
    full: bool = False,
    out: Path = Path("runs/random_wiring"),
) -> dict[str, float]:
    """Draws the graphs, trains a network on each, and compares the families.

    Args:
        data: Any image set that kerasdl.data.load knows: fashion_sample, mnist, cifar10, ...
        epochs: Passes over the training images.
        seeds: How many graphs of each family, each with its own first weights.
        images: How many training images.
        nodes: Nodes of the graph.
        channels: Maps that every node makes.
        quick: One epoch of a few images and smaller graphs, only to see that everything works.
        full: All training images, and the 32 nodes of the paper's stages, in 15 epochs.
        out: Folder for the metrics, the figures and the TensorBoard logs.
    """
    if quick:
        epochs, seeds, images, nodes = 1, 1, 256, 6
    elif full:
        epochs, images, nodes = 15, 0, 32
    train = load(data, split=f"train[:{images}]" if images else "train", batch_size=64, shuffle=True)
    test = load(data, split="test[:256]" if quick else "test", batch_size=250)
    shape, classes = tuple(train.element_spec[0].shape[1:]), len(info(data).classes)

    # A graph becomes a network by three rules. Edges go from the smaller number to the larger, so that nothing runs in
    # a circle. Every node does the same: it adds up what comes in, each edge with a learned weight between 0 and 1,
    # then ReLU, a separable 3x3 convolution and batch normalisation. Nodes without an edge into them see the stage's
    # input, and those without an edge out of them are averaged to its output. All else is chance.
    #
    # The pictures show each family's first graph from top to bottom: a node stands below all that it depends on. The
    # ring is a long chain, in which each node also sees the last but one; the random graphs are broad and short.
    graphs = {
        (name, seed): random_graph(generator, nodes, parameters=parameters, seed=seed)
        for name, (generator, parameters) in WIRINGS.items()
        for seed in range(seeds)
    }
    places, edges, kinds, depths = {}, {}, {}, {}
    for name in WIRINGS:
        graph = graphs[name, 0]
        for row, generation in enumerate(networkx.topological_generations(graph)):
            for node in generation:
                graph.nodes[node]["row"] = -row
        layout = networkx.multipartite_layout(graph, subset_key="row", align="horizontal")
        title = f"{name}\n{graph.number_of_edges()} edges"
        # Every second row stands a little to the side, so that edges pass by the nodes that they do not meet.
        shifts = [(0.12 * (-1) ** graph.nodes[node]["row"], 0.0) for node in range(nodes)]
        places[title] = np.array([layout[node] for node in range(nodes)]) + shifts
        edges[title] = graph.edges
        ends = {node: "input node" for node in graph if not graph.in_degree(node)}
        ends |= {node: "output node" for node in graph if not graph.out_degree(node)}
        kinds[title] = [ends.get(node, "between") for node in range(nodes)]
        depths[name] = np.mean([networkx.dag_longest_path_length(graphs[name, seed]) + 1 for seed in range(seeds)])
    plots.save(
        plots.graphs(places, edges, groups=kinds, title=f"One stage of {nodes} nodes, wired in four ways"),
        out / "figures" / "graphs.png",
    )

    # All networks have the same stem, one stage and the same head, and differ by the graph alone. Of every family
    # several graphs are trained, each with other first weights: a single graph may be a lucky one.
    accuracy = {name: np.zeros((seeds, epochs)) for name in WIRINGS}
    steps = epochs * len(train)
    for name, (generator, _) in WIRINGS.items():
        for seed in range(seeds):
            print(f"\n{name}, seed {seed}")
            keras.utils.set_random_seed(seed)
            inputs = keras.Input(shape, name="images")
            x = convolve_norm(inputs, channels, 3, 2, name="stage1_conv", relu=False)
            x = random_stage(x, graphs[name, seed], channels, name="stage2")
            x = keras.layers.ReLU(name="relu")(x)
            x = keras.layers.GlobalAveragePooling2D(name="average")(x)
            model = keras.Model(inputs, classify(x, classes))
            schedule = keras.optimizers.schedules.CosineDecay(
                0.0, steps - steps // 10, warmup_target=3e-3, warmup_steps=steps // 10
            )
            model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy", metrics=["accuracy"])
            run = f"{'ring' if 'ring' in name else generator}_{seed}"
            history = training.fit(
                model,
                train,
                epochs=epochs,
                validation_data=test,
                callbacks=[keras.callbacks.TensorBoard(out / "logs" / run)],
            )
            accuracy[name][seed] = history.history["val_accuracy"]

    # The bands are the mean's standard error over the graphs of a family.
    plots.save(
        plots.lines(
            {name: values.mean(axis=0) for name, values in accuracy.items()},
            x_label="epoch",
            y_label="accuracy on the test images (± standard error)",
            errors={name: standard_error(values) for name, values in accuracy.items()},
            title=f"{seeds} networks of each family on {data}",
        ),
        out / "figures" / "accuracy.png",
    )

    # Is it more than luck? Every random family against the ring, seed by seed: the mean of the differences, and its
    # standard error. Under three standard errors nothing is shown.
    print()
    metrics = {}
    ring = accuracy["ring, WS(4, 0)"][:, -1]
    for name, (generator, _) in WIRINGS.items():
        last = accuracy[name][:, -1]
        key = "ring" if "ring" in name else generator
        metrics[f"{key}_accuracy"] = float(last.mean())
        metrics[f"{key}_longest_path"] = float(depths[name])
        if key == "ring":
            continue
        gain = last - ring
        error = standard_error(gain)
        metrics[f"{key}_gain"], metrics[f"{key}_gain_error"] = float(gain.mean()), float(error)
        verdict = "more than luck" if seeds > 1 and abs(gain.mean()) > 3 * error else "not shown to be more than luck"
        print(f"{name} against the ring: {100 * gain.mean():+.1f} ± {100 * error:.1f} points, {verdict}")
    return metrics


if __name__ == "__main__":
    command_line(main)
