"""Randomly wired networks: a random graph draws the connections, and every node does the same."""

from collections.abc import Sequence
from numbers import Integral
from typing import TYPE_CHECKING

import keras
import numpy as np

from kerasdl.architectures.checks import check_choice, check_classes, check_image_shape
from kerasdl.architectures.parts import classify, convolve, convolve_norm, normalize
from kerasdl.layers import WeightedSum

if TYPE_CHECKING:
    import networkx

# Xie et al. 2019, section 4: the parameters of each family that did best.
PARAMETERS: dict[str, tuple[float, ...]] = {"ws": (4, 0.75), "er": (0.2,), "ba": (5,)}
# Their Table 1: per stage (share of the nodes, multiple of the channels). In the small regime stage 2 is one
# convolution; the first stage is one convolution of C/2 channels in both.
REGIMES = {
    "small": {3: (1.0, 1), 4: (1.0, 2), 5: (1.0, 4)},
    "regular": {2: (0.5, 1), 3: (1.0, 2), 4: (1.0, 4), 5: (1.0, 8)},
}
DRAWS = 1000
DEEPEST = 900


def random_graph(
    generator: str = "ws",
    nodes: int = 32,
    *,
    parameters: Sequence[float] | None = None,
    seed: int | Sequence[int] = 0,
) -> "networkx.DiGraph":
    """A random graph whose edges all go from the smaller to the larger number, so that it has no circle.

    - `"ws"`, Watts and Strogatz's WS(k, p): a ring where each node knows its k nearest, k/2 on each side; then the
      other end of every edge moves to a random node with probability p. The numbers go round the ring.
    - `"er"`, Erdős and Rényi's ER(p): every pair is joined with probability p.
    - `"ba"`, Barabási and Albert's BA(m): m nodes without edges; every further node joins m of the earlier ones, those
      with many edges being preferred. The numbers are the order in which they came.

    Draws again until the graph is in one piece.

    Args:
        generator: "ws", "er" or "ba".
        nodes: How many nodes.
        parameters: (k, p) for "ws", (p,) for "er", (m,) for "ba"; without it WS(4, 0.75), ER(0.2) or BA(5).
        seed: Decides the graph. Stage 3 of `randwire(seed=7)` is wired by `seed=(7, 3)`.

    Example:
        >>> graph = random_graph("ba", 6, parameters=(2,), seed=1)
        >>> sorted(graph.edges)[:2], all(start < end for start, end in graph.edges)
        ([(0, 2), (1, 2)], True)

    Reference:
        [Xie et al., 2019](https://arxiv.org/abs/1904.01569), section 3.3
    """
    import networkx

    check_choice("generator", generator, PARAMETERS)
    given = tuple(PARAMETERS[generator] if parameters is None else parameters)
    _check_parameters(generator, nodes, given)
    random = np.random.default_rng(seed)
    for _ in range(DRAWS):
        if generator == "ws":
            graph = networkx.watts_strogatz_graph(nodes, int(given[0]), given[1], seed=random)
        elif generator == "er":
            graph = networkx.gnp_random_graph(nodes, given[0], seed=random)
        else:
            # The first m nodes have no edges, so the next one joins them all: a star around that one.
            first = int(given[0])
            star = networkx.Graph([(node, first) for node in range(first)])
            graph = networkx.barabasi_albert_graph(nodes, first, seed=random, initial_graph=star)
        if networkx.is_connected(graph):
            directed = networkx.DiGraph()
            directed.add_nodes_from(range(nodes))
            directed.add_edges_from(sorted((min(edge), max(edge)) for edge in graph.edges))
            return directed
    raise ValueError(
        f"None of {DRAWS} random graphs was in one piece: ask for more edges. "
        f"Received: generator={generator!r}, nodes={nodes}, parameters={given}."
    )


def _check_parameters(generator: str, nodes: int, given: tuple[float, ...]) -> None:
    """Refuses what the generator cannot draw."""
    if isinstance(nodes, bool) or not isinstance(nodes, Integral) or nodes < 2:
        raise ValueError(f"`nodes` must be an integer of at least 2. Received: nodes={nodes!r}.")
    expected = {
        "ws": f"an even number of neighbours from 2 to {nodes - 1} and a probability, such as (4, 0.75)",
        "er": "one probability, such as (0.2,)",
        "ba": f"one number of edges from 1 to {nodes - 1}, such as (5,)",
    }
    right = len(given) == len(PARAMETERS[generator])
    if right and generator != "er":
        edges = given[0]
        right = edges == int(edges) and 1 <= edges < nodes and (generator == "ba" or edges % 2 == 0)
    if right and generator != "ba":
        right = 0 <= given[-1] <= 1
    if not right:
        raise ValueError(f"`parameters` of {generator!r} must be {expected[generator]}. Received: parameters={given}.")


def random_stage(x: keras.KerasTensor, graph: "networkx.DiGraph", filters: int, *, name: str) -> keras.KerasTensor:
    """A stage that halves the maps, wired as a graph says.

    Every node adds up what its edges bring (`WeightedSum`), then does ReLU, a separable 3x3 convolution and batch
    normalisation. Nodes without an edge into them see the stage's input, with stride 2; the output is the plain
    average of the nodes without an edge out of them.

    Args:
        x: The maps.
        graph: What `random_graph` gives: edges from smaller to larger numbers.
        filters: How many maps every node makes.
        name: Begins the names of all layers.
    """
    layers = keras.layers
    options = {"use_bias": False, "depthwise_initializer": "he_normal", "pointwise_initializer": "he_normal"}
    # All input nodes rectify and pad the same maps, so this is done once.
    x = layers.ReLU(name=f"{name}_relu")(x)
    x = layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    made: dict[int, keras.KerasTensor] = {}
    for node in sorted(graph.nodes):
        here = f"{name}_node{node + 1}"
        incoming = [made[source] for source in sorted(graph.predecessors(node))]
        if not incoming:
            y = layers.SeparableConv2D(filters, 3, strides=2, name=f"{here}_conv", **options)(x)
        else:
            # The weight of a single edge would only scale what the normalisation scales back.
            y = WeightedSum(name=f"{here}_sum")(incoming) if len(incoming) > 1 else incoming[0]
            y = layers.ReLU(name=f"{here}_relu")(y)
            y = layers.SeparableConv2D(filters, 3, padding="same", name=f"{here}_conv", **options)(y)
        made[node] = normalize(y, name=f"{here}_norm")
    outputs = [made[node] for node in sorted(graph.nodes) if graph.out_degree(node) == 0]
    return layers.Average(name=f"{name}_out")(outputs)


def randwire(
    generator: str = "ws",
    *,
    regime: str = "small",
    channels: int = 78,
    nodes: int = 32,
    parameters: Sequence[float] | None = None,
    seed: int = 0,
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    name: str = "randwire",
) -> keras.Model:
    """A randomly wired network: in every stage a random graph decides which node sees which.

    How large it is depends on the graphs: nodes that see the stage's input work on half the channels. Mean and
    standard deviation over the seeds 0 to 29, with WS(4, 0.75), and what the paper reports over five:

    | regime | channels | parameters (M) | paper | multiply-adds (G) | paper |
    |---|---:|---:|---:|---:|---:|
    | "small" | 78 | 5.62 ± 0.07 | 5.6 ± 0.1 | 0.578 ± 0.004 | 0.583 ± 0.006 |
    | "regular" | 109 | 32.1 ± 0.5 | 31.9 ± 0.7 | 3.96 ± 0.05 | 4.0 ± 0.1 |
    | "regular" | 154 | 61.8 ± 1.1 | 61.5 ± 1.3 | 7.80 ± 0.11 | 7.9 ± 0.2 |

    The operations tell that the convolutions outside the graphs are ordinary ones: with separable ones the small
    network would need 0.49 G.

    Args:
        generator: The family of graphs: "ws", "er" or "ba", see `random_graph`.
        regime: "small" or "regular", the two columns of the paper's Table 1.
        channels: The table's C.
        nodes: Nodes per stage, the table's N.
        parameters: What the graphs are drawn with; without it WS(4, 0.75), ER(0.2) or BA(5).
        seed: Decides the graphs: the same seed, the same network.
        input_shape: Height, width and channels of the images, which are halved five times.
        classes: Number of classes.
        name: The model's name.

    Example:
        >>> model = randwire("er", channels=8, nodes=6, input_shape=(32, 32, 3), classes=10)
        >>> model.get_layer("stage5_out").output.shape
        (None, 1, 1, 32)

    Reference:
        [Xie et al., 2019](https://arxiv.org/abs/1904.01569), Table 1
    """
    check_choice("generator", generator, PARAMETERS)
    check_choice("regime", regime, REGIMES)
    input_shape, classes = check_image_shape(input_shape), check_classes(classes)
    for argument, value, smallest in (("channels", channels, 2), ("nodes", nodes, 4), ("seed", seed, 0)):
        if isinstance(value, bool) or not isinstance(value, Integral) or value < smallest:
            raise ValueError(f"`{argument}` must be an integer of at least {smallest}. Received: {argument}={value!r}.")
    stages = REGIMES[regime]
    graphs = {
        stage: random_graph(generator, int(share * nodes), parameters=parameters, seed=(seed, stage))
        for stage, (share, _) in stages.items()
    }
    _check_depth(graphs)
    conv = {"conv": keras.layers.Conv2D, "use_bias": False, "kernel_initializer": "he_normal"}
    inputs = keras.Input(input_shape, name="images")
    x = convolve(inputs, channels // 2, 3, 2, name="stage1_conv", **conv)
    x = normalize(x, name="stage1_out")
    if regime == "small":
        x = keras.layers.ReLU(name="stage2_relu")(x)
        x = convolve(x, channels, 3, 2, name="stage2_conv", **conv)
        x = normalize(x, name="stage2_out")
    for stage, graph in graphs.items():
        x = random_stage(x, graph, stages[stage][1] * channels, name=f"stage{stage}")
    x = keras.layers.ReLU(name="head_relu")(x)
    # The rectifier at the end is not in the table, but without it this convolution and `logits` would be one matrix.
    x = convolve_norm(x, 1280, 1, name="head_conv")
    x = keras.layers.GlobalAveragePooling2D(name="average")(x)
    return keras.Model(inputs, classify(x, classes), name=name)


def _check_depth(graphs: "dict[int, networkx.DiGraph]") -> None:
    """Refuses chains of more layers than Keras can follow, which does so by recursion."""
    import networkx

    depth = sum(4 * (networkx.dag_longest_path_length(graph) + 1) for graph in graphs.values())
    if depth > DEEPEST:
        raise ValueError(
            f"The longest way through the network must be at most {DEEPEST} layers, or Keras cannot follow it: ask for "
            f"fewer `nodes` or edges. Received: graphs with a longest way of {depth} layers."
        )
