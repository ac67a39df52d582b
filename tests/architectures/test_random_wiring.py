"""Random wiring: the graphs against closed forms, a stage against NumPy, the sizes against the paper's."""

import re

import keras
import networkx
import numpy as np
import pytest
from helpers import numbers_in

from kerasdl.architectures import random_graph, randwire
from kerasdl.architectures.random_wiring import random_stage


@pytest.mark.parametrize("generator", ["ws", "er", "ba"])
def test_graphs_have_no_circle_are_in_one_piece_and_come_again_with_their_seed(generator):
    graphs = [random_graph(generator, seed=seed) for seed in (0, 1, (1, 3))]
    for graph in graphs:
        assert networkx.is_directed_acyclic_graph(graph)
        assert networkx.is_weakly_connected(graph)
        assert list(graph.nodes) == list(range(32))
        assert all(start < end for start, end in graph.edges)
    assert len({frozenset(graph.edges) for graph in graphs}) == 3
    assert list(random_graph(generator, seed=(1, 3)).edges) == list(graphs[2].edges)


def test_watts_strogatz_begins_as_a_ring():
    ring = random_graph("ws", 10, parameters=(4, 0.0))
    near = {tuple(sorted((node, (node + step) % 10))) for node in range(10) for step in (1, 2)}
    assert set(ring.edges) == near
    # Moving ends keeps their number.
    assert random_graph("ws").number_of_edges() == 32 * 4 / 2


def test_erdos_renyi_joins_every_pair_with_the_same_probability():
    assert random_graph("er", 7, parameters=(1.0,)).number_of_edges() == 7 * 6 / 2
    edges = [random_graph("er", seed=seed).number_of_edges() for seed in range(50)]
    # Mean and deviation of the binomial distribution; being in one piece hardly changes them at p = 0.2.
    pairs = 32 * 31 / 2
    assert abs(np.mean(edges) - 0.2 * pairs) < 4 * np.sqrt(pairs * 0.2 * 0.8 / 50)


def test_barabasi_albert_begins_with_nodes_without_edges():
    graph = random_graph("ba", seed=4)
    assert graph.number_of_edges() == 5 * (32 - 5)
    assert [graph.in_degree(node) for node in range(32)] == [0] * 5 + [5] * 27
    assert sorted(graph.predecessors(5)) == [0, 1, 2, 3, 4]


def _numpy_stage(model, graph, x):
    def convolve(x, node, stride):
        depthwise, pointwise = (weight.numpy() for weight in model.get_layer(f"stage3_node{node + 1}_conv").weights)
        x = np.pad(np.maximum(x, 0), ((0, 0), (1, 1), (1, 1), (0, 0)))
        height, width = x.shape[1] - 2, x.shape[2] - 2
        taps = [x[:, i : i + height, j : j + width] * depthwise[i, j, :, 0] for i in range(3) for j in range(3)]
        y = sum(taps)[:, ::stride, ::stride] @ pointwise[0, 0]
        weights = model.get_layer(f"stage3_node{node + 1}_norm").weights
        gamma, beta, mean, variance = (weight.numpy() for weight in weights)
        return gamma * (y - mean) / np.sqrt(variance + 1e-5) + beta

    made = []
    for node in range(len(graph)):
        sources = [source for source in range(node) if graph.has_edge(source, node)]
        if not sources:
            made.append(convolve(x, node, 2))
            continue
        total = made[sources[0]]
        if len(sources) > 1:
            weights = model.get_layer(f"stage3_node{node + 1}_sum").get_weights()[0]
            total = sum(made[source] / (1 + np.exp(-w)) for source, w in zip(sources, weights, strict=True))
        made.append(convolve(total, node, 1))
    return np.mean([made[node] for node in range(len(graph)) if graph.out_degree(node) == 0], axis=0)


@pytest.mark.parametrize("edges", [[(0, 2), (1, 2), (1, 3), (2, 4), (0, 4)], [(0, 1), (0, 2), (1, 3), (2, 3)]])
def test_a_stage_gives_what_numpy_gives(edges):
    graph = networkx.DiGraph(edges)
    inputs = keras.Input((8, 6, 3))
    model = keras.Model(inputs, random_stage(inputs, graph, 4, name="stage3"))
    random = np.random.default_rng(0)
    for layer in model.layers:
        low = 0.5 if "norm" in layer.name else -1.0
        layer.set_weights([random.uniform(low, 1.5, weight.shape) for weight in layer.weights])
    maps = random.normal(size=(2, 8, 6, 3)).astype("float32")
    np.testing.assert_allclose(model(maps), _numpy_stage(model, graph, maps), rtol=1e-4, atol=1e-4)


def _size(generator, regime, channels, seed):
    """Parameters and multiply-adds by the paper's Table 1, from the graphs alone."""

    def ordinary(kernel, before, after, side):
        return np.array([kernel**2 * before * after + 2 * after, kernel**2 * before * after * side**2])

    total = ordinary(3, 3, channels // 2, 112)
    stages, before, side, after = ((2, 16), (3, 32), (4, 32), (5, 32)), channels // 2, 56, channels
    if regime == "small":
        total += ordinary(3, before, channels, 56)
        stages, before, side = stages[1:], channels, 28
    for stage, nodes in stages:
        graph = random_graph(generator, nodes, seed=(seed, stage))
        for _, edges in graph.in_degree():
            seen = after if edges else before
            products = 9 * seen + seen * after
            total += np.array([products + 2 * after + edges * (edges > 1), products * side**2])
        before, side, after = after, side // 2, 2 * after
    return total + ordinary(1, before, 1280, 7) + np.array([1281 * 1000, 1280 * 1000])


@pytest.mark.parametrize(
    ("regime", "channels", "parameters", "operations"),
    [
        ("small", 78, (5.6e6, 0.1e6), (583e6, 6e6)),
        ("regular", 109, (31.9e6, 0.7e6), (4.0e9, 0.1e9)),
        ("regular", 154, (61.5e6, 1.3e6), (7.9e9, 0.2e9)),
    ],
)
def test_sizes_are_those_of_the_paper(regime, channels, parameters, operations):
    sizes = np.array([_size("ws", regime, channels, seed) for seed in range(20)])
    for mean, (published, deviation) in zip(sizes.mean(axis=0), (parameters, operations), strict=True):
        assert abs(mean - published) < deviation


@pytest.mark.parametrize(
    ("generator", "regime", "channels"),
    [
        ("ws", "regular", 9),
        pytest.param("er", "small", 10, marks=pytest.mark.slow),
        pytest.param("ba", "small", 12, marks=pytest.mark.slow),
    ],
)
def test_networks_are_wired_by_the_graphs_of_their_stages(generator, regime, channels):
    model = randwire(generator, regime=regime, channels=channels, seed=2)
    assert numbers_in(model.trainable_weights) == _size(generator, regime, channels, 2)[0]
    graph = random_graph(generator, 32, seed=(2, 4))
    for node in graph:
        conv = model.get_layer(f"stage4_node{node + 1}_conv")
        assert conv.strides == ((1, 1) if graph.in_degree(node) else (2, 2))
        if graph.in_degree(node) > 1:
            sources = [f"stage4_node{source + 1}_norm" for source in sorted(graph.predecessors(node))]
            inputs = model.get_layer(f"stage4_node{node + 1}_sum").input
            assert inputs == [model.get_layer(source).output for source in sources]
    averaged = keras.tree.flatten(model.get_layer("stage4_out").input)
    assert len(averaged) == sum(degree == 0 for _, degree in graph.out_degree())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: randwire("sw"), "`generator` must be one of 'ws', 'er', 'ba'. Received: generator='sw'."),
        (lambda: randwire(regime="large"), "`regime` must be one of 'small', 'regular'. Received: regime='large'."),
        (lambda: randwire(channels=1), "`channels` must be an integer of at least 2. Received: channels=1."),
        (lambda: randwire(nodes=3.5), "`nodes` must be an integer of at least 4. Received: nodes=3.5."),
        (lambda: randwire(seed=-1), "`seed` must be an integer of at least 0. Received: seed=-1."),
        (lambda: random_graph(nodes=1), "`nodes` must be an integer of at least 2. Received: nodes=1."),
        (
            lambda: random_graph("ws", 8, parameters=(3, 0.5)),
            "`parameters` of 'ws' must be an even number of neighbours from 2 to 7 and a probability, such as "
            "(4, 0.75). Received: parameters=(3, 0.5).",
        ),
        (
            lambda: random_graph("er", 8, parameters=(2,)),
            "`parameters` of 'er' must be one probability, such as (0.2,). Received: parameters=(2,).",
        ),
        (
            lambda: random_graph("ba", 8, parameters=(8,)),
            "`parameters` of 'ba' must be one number of edges from 1 to 7, such as (5,). Received: parameters=(8,).",
        ),
        (
            lambda: random_graph("er", 30, parameters=(0.01,)),
            "None of 1000 random graphs was in one piece: ask for more edges. "
            "Received: generator='er', nodes=30, parameters=(0.01,).",
        ),
        (
            lambda: randwire("er", nodes=100, parameters=(1,)),
            "The longest way through the network must be at most 900 layers, or Keras cannot follow it: ask for "
            "fewer `nodes` or edges. Received: graphs with a longest way of 1200 layers.",
        ),
    ],
)
def test_wrong_arguments_are_explained(make, text):
    with pytest.raises(ValueError, match=re.escape(text)):
        make()
