"""What layers do while a model runs on a few examples: seen from within, and nothing of the model changes by it."""

import functools
import weakref
from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from kerasdl.callbacks.examples import Examples
from kerasdl.callbacks.summary import check_whole
from kerasdl.visualization.probing import changed

# What is made of a call: its arguments, its keyword arguments and its result.
Note = Callable[[tuple, dict[str, Any], Any], Any]


def compile_taps(
    model: keras.Model,
    inputs: Any,
    layers: Mapping[str, keras.layers.Layer],
    method: str,
    note: Note,
    *,
    required: bool = True,
) -> Callable[[Any], dict[str, list[Any]]]:
    """A compiled function of inputs that runs a model and notes the calls of one method of some of its layers.

    The model runs as for a prediction. What its layers would remember of this run, they do not.

    Args:
        model: A model that is built.
        inputs: Some inputs, by which it is compiled.
        layers: The layers by what they are called in the result.
        method: The method that is listened to: "call", or one that a layer calls on itself.
        note: Gets the arguments, the keyword arguments and the result of a call; what it returns is noted.
        required: Whether a layer that is not seen, since it does not run or runs inside a loop, is an error.

    Returns:
        A function that gives the notes of each layer, one for each call, in a list.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, kernel_initializer="ones", name="sums")])
        >>> look = compile_taps(model, np.ones((1, 2)), {"sums": model.layers[0]}, "call", lambda _, __, result: result)
        >>> look(np.ones((1, 2)))["sums"][0].numpy()
        array([[2., 2., 2.]], dtype=float32)
    """
    body = functools.partial(_run, weakref.ref(model), dict(layers), method, note, required)
    return compiled_for(model, body, as_tensors(inputs))


def compiled_for(model: keras.Model, body: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    """The function, compiled for tensors like these; as it is where the model was told to run eagerly.

    Args:
        model: Whose `run_eagerly` says so.
        body: A function that holds no model, or nothing would ever free it.
        arguments: Structures of tensors.
    """
    if model.run_eagerly:
        return body
    # Traced by hand: TensorFlow, which counts calls, would take many short trainings for one that traces too often.
    return tf.function(body, autograph=False).get_concrete_function(*arguments)


def call_name(name: str, index: int) -> str:
    """What a call of a layer is called: a layer that stands at several places of the model runs several times.

    Args:
        name: What the layer is called.
        index: Which of its calls, from 0.

    Example:
        >>> call_name("relu", 0), call_name("relu", 1)
        ('relu', 'relu_call_2')
    """
    return f"{name}_call_{index + 1}" if index else name


def as_tensors(parts: Any) -> Any:
    """A structure of arrays as tensors.

    Args:
        parts: Arrays, None among them too.
    """
    return keras.tree.map_structure(
        lambda part: None if part is None else tf.convert_to_tensor(part), parts, none_is_leaf=True
    )


def first_examples(model: keras.Model, examples: Examples, count: int) -> tuple[Any, Any, Any]:
    """The first inputs, targets and weights of some examples; as many as a batch has, where that is fixed.

    Args:
        model: Whose inputs may say how many they must be.
        examples: All examples.
        count: How many are wanted.
    """
    inputs = getattr(model, "inputs", None)  # A model that is a class has none.
    fixed = inputs[0].shape[0] if inputs else None
    return keras.tree.map_structure(
        lambda part: None if part is None else part[: fixed or count],
        (examples.x, examples.y, examples.sample_weight),
        none_is_leaf=True,
    )


def check_count(count: Any) -> int:
    """The number of examples, if it is one.

    Args:
        count: What was given.
    """
    return check_whole("count", count, "a whole number of examples, at least 1")


def _run(
    reference: weakref.ref,
    layers: dict[str, keras.layers.Layer],
    method: str,
    note: Note,
    required: bool,
    inputs: Any,
) -> dict[str, list[Any]]:
    graph = tf.compat.v1.get_default_graph()
    notes: dict[str, list[Any]] = {name: [] for name in layers}
    hidden = set()

    def tapped(name: str, function: Callable) -> Callable:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if tf.compat.v1.get_default_graph() is graph:
                notes[name].append(note(args, kwargs, result))
            else:
                hidden.add(name)
            return result

        return call

    changes = [(layer, method, tapped(name, getattr(layer, method))) for name, layer in layers.items()]
    with changed(changes), keras.StatelessScope():
        reference()(inputs, training=False)  # type: ignore[misc]
    for name, found in notes.items():
        if name in hidden:
            # Keras runs the first step also before the loop, to see what comes out: that is no step of the sequence.
            found.clear()
        if required and not found:
            why = "runs inside a loop over steps" if name in hidden else "does not run when the model is called"
            raise ValueError(f"Expected layers that can be seen from outside. Received: {name!r}, which {why}.")
    return {name: found for name, found in notes.items() if found}
