"""The plan of a packed network: which layers become which steps."""

import dataclasses
import math
from typing import Any

import keras

from kerasdl.xnor.chains import Chain, find_chains
from kerasdl.xnor.folding_norms import fold_norms, scale_and_offset
from kerasdl.xnor.graph import Graph, Node, Value, held_layers, read_graph
from kerasdl.xnor.keras_groups import order_steps
from kerasdl.xnor.layer_kinds import REAL, SIGNED, is_pointwise, is_product, is_same, takes_signs, why_not_packed
from kerasdl.xnor.step_making import StepMaker
from kerasdl.xnor.steps import Step
from kerasdl.xnor.thresholds import NotAStepError, SignSteps, steps_of_sums, thresholds_of_floats


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a packed network does.

    Args:
        steps: In an order in which they can run.
        inputs: The names of the values that go in, in the order of `model.inputs`.
        outputs: The names of those that come out, in the order of `model.outputs`.
    """

    steps: list[Step]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def plan(model: keras.Model) -> Plan:
    """Turns a model into steps, so that between binary layers whole numbers decide and no number is written.

    Args:
        model: A functional or sequential model, built; it stays as it is.

    Example:
        >>> from kerasdl.layers import XnorDense
        >>> inputs = keras.Input((70,))
        >>> x = XnorDense(33, name="first")(inputs)
        >>> model = keras.Model(inputs, XnorDense(5, name="second")(keras.layers.BatchNormalization()(x)))
        >>> [step.describe() for step in plan(model).steps]
        ['floats -> bits', 'bits x bits -> bits', 'bits x bits -> floats']
    """
    graph = read_graph(model)
    reasons: dict[str, str] = {}
    products = _find_products(graph, reasons)
    _check_precision(graph)
    before = _before_signs(graph)
    for node in [node for node in products if type(node.layer) in REAL and (node in before or takes_signs(node))]:
        reasons[node.name] = (
            "its weights stay floats, for a sign follows, which sums that are rounded in another order could change"
        )
        products.discard(node)
    _split_activations(graph, products)
    fold_norms(graph, products, before | _before_signs(graph))
    chains, comparisons = _find_comparisons(graph, products, reasons)
    maker = StepMaker(graph, products, chains, comparisons)
    steps = maker.make()
    rest = [node for node in graph.nodes if node not in maker.done]
    for node in rest:
        if not type(node.layer).__module__.startswith(("keras.", "kerasdl.")):
            reasons.setdefault(node.name, f"{type(node.layer).__name__} is no layer of Keras or of kerasdl")
        held = [layer for layer in held_layers(node.layer) if layer is not node.layer]
        if binary := [layer for layer in held if isinstance(layer, SIGNED + REAL)]:
            names = ", ".join(sorted(f"{layer.name!r} ({type(layer).__name__})" for layer in binary))
            reasons[node.name] = f"it holds {names}, and only layers that the model calls itself are packed"
    return Plan(
        order_steps(graph, steps, rest, reasons),
        tuple(value.name for value in graph.inputs),
        tuple(value.name for value in graph.outputs),
    )


def _find_products(graph: Graph, reasons: dict[str, str]) -> set[Node]:
    products = set()
    for node in graph.nodes:
        if is_product(node):
            reason = why_not_packed(node)
            if reason is None:
                products.add(node)
            else:
                reasons[node.name] = reason
    return products


def _check_precision(graph: Graph) -> None:
    """Steps hold float32: rounded to less before a sign, a number that is almost 0 would get another one."""
    before = _before(graph, [node for node in graph.nodes if is_product(node) and isinstance(node.layer, SIGNED)])
    for node in graph.nodes:
        if node not in before and not is_product(node):
            continue
        policy = getattr(node.layer, "dtype_policy", None)
        if policy is not None and policy.compute_dtype in ("bfloat16", "float16", "float64"):
            raise ValueError(
                "`model` must compute in float32, as packed layers do. Received: the layer "
                f"{node.name!r} with the dtype policy {policy.name!r}. Build the model again with float32 "
                "(keras.config.set_dtype_policy('float32')), and give it the weights: set_weights(model.get_weights())."
            )


def _before_signs(graph: Graph) -> set[Node]:
    """All nodes from which a sign is reached, also one that Keras takes."""
    return _before(graph, [node for node in graph.nodes if takes_signs(node)])


def _before(graph: Graph, ends: list[Node]) -> set[Node]:
    """All nodes whose outputs reach one of these."""
    found: set[Node] = set()
    values: set[Value] = set()
    for node in reversed(graph.nodes):
        if any(value in values for value in node.outputs):
            found.add(node)
        if node in found or node in ends:
            values.update(node.inputs)
    return found


def _split_activations(graph: Graph, products: set[Node]) -> None:
    """Makes a node of its own of the activation of each packed layer, which may be part of a comparison."""
    for node in [node for node in graph.nodes if node in products]:
        if node.layer.activation in (None, keras.activations.linear):
            continue
        sums = Value(f"{node.name}:sums", node.output.shape, node.output.dtype)
        name = f"{node.layer.name}_activation"
        layer = keras.layers.Activation(node.layer.activation, dtype=node.layer.dtype_policy, name=name)
        after = Node(f"{node.name}_activation", layer, (sums,), {}, node.outputs, split_off=True)
        node.outputs = (sums,)
        graph.nodes.insert(graph.nodes.index(node) + 1, after)


def _find_comparisons(
    graph: Graph, products: set[Node], reasons: dict[str, str]
) -> tuple[list[Chain], dict[Any, SignSteps]]:
    """The chains of the model and what their layers do to signs; layers that do not fit are left to Keras."""
    blocked: dict[Node, str] = {}
    comparisons: dict[Any, SignSteps] = {}
    while True:
        chains = find_chains(graph, products, blocked)
        failed = False
        for chain in chains:
            known = (chain.product is None, chain.key)
            if known in comparisons:
                continue
            try:
                comparisons[known] = _compare(chain)
            except NotAStepError as error:
                turning = [node for node in chain.path if is_pointwise(node) and not is_same(node)]
                blocked.update(dict.fromkeys(turning, f"before the next sign {error}"))
                failed = True
        if not failed:
            reasons.update({node.name: reason for node, reason in blocked.items() if reason})
            return chains, comparisons


def _sum_length(node: Node) -> int:
    """How many products make one of its sums."""
    return math.prod(node.layer.kernel.shape[:-1])


def _compare(chain: Chain) -> SignSteps:
    if chain.product is None:
        return thresholds_of_floats(chain.path, chain.origin.shape[-1] or 1)
    scale, offset = scale_and_offset(chain.product)
    return steps_of_sums(chain.path, scale, offset, _sum_length(chain.product), chain.product.output.shape[-1] or 1)
