"""Which of a model's outputs is looked at."""

from typing import Any

import keras

_WANTED = "predictions"


def one_output(parts: Any, model: keras.Model | None = None) -> Any:
    """Of what there is for each of several outputs the part of the one called "predictions", or of the first.

    So outputs, targets and losses are paired, whichever of them come as a list and whichever by their names.

    Args:
        parts: One, or a list or dictionary of them.
        model: What has the outputs; a functional one knows their names and their order.

    Returns:
        The part; None where a dictionary has none for the wanted output.

    Example:
        >>> one_output({"aside": 1, "predictions": 2}), one_output([3, 4]), one_output(5)
        (2, 3, 5)
        >>> inputs = keras.Input((1,))
        >>> outputs = [keras.layers.Dense(1, name=name)(inputs) for name in ("aside", "predictions")]
        >>> model = keras.Model(inputs, outputs)
        >>> one_output([3, 4], model), one_output({"predictions": 4, "aside": 3}, model)
        (4, 4)
    """
    names = _output_names(model)
    if isinstance(parts, dict):
        known = names or list(parts)
        return parts.get(_WANTED if _WANTED in known else known[0])
    if isinstance(parts, list | tuple):
        return parts[names.index(_WANTED) if _WANTED in names else 0]
    return parts


def _output_names(model: Any) -> list[str]:
    """What a model's outputs are called in targets and losses; nothing where it does not say."""
    if not getattr(model, "outputs", None):
        return []
    # A functional model gives its outputs in the structure in which it was given them.
    outputs = getattr(model, "output", None)
    return list(outputs) if isinstance(outputs, dict) else list(getattr(model, "output_names", ()))
