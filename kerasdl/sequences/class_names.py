"""What the outputs of a model are called, kept in the model, so that a saved one still knows."""

from collections.abc import Iterable, Sequence, Set
from numbers import Integral
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="kerasdl")
class NamedSoftmax(keras.layers.Activation):
    """`y_k = exp(x_k) / sum_j exp(x_j)`, and the name of each class k in the layer's configuration.

    Args:
        class_names: The names, or None where the classes are only numbered.
        **kwargs: As for every layer.
    """

    def __init__(self, class_names: Sequence[str] | None = None, **kwargs: Any) -> None:
        super().__init__("softmax", **kwargs)
        self.class_names = None if class_names is None else tuple(class_names)

    def get_config(self) -> dict[str, Any]:
        """What `__init__` was given."""
        config = super().get_config()
        del config["activation"]
        return {**config, "class_names": self.class_names and list(self.class_names)}


def check_classes(classes: Any) -> tuple[int, tuple[str, ...] | None]:
    """How many classes there are, and their names where they have some."""
    if isinstance(classes, Integral) and not isinstance(classes, bool) and int(classes) >= 2:
        return int(classes), None
    # A set has no order, and so no first class.
    if isinstance(classes, Iterable) and not isinstance(classes, str | bytes | Set):
        names = tuple(classes)
        if len(names) >= 2 and len(set(names)) == len(names) and all(isinstance(name, str) for name in names):
            return len(names), names
    raise ValueError(
        "`classes` must be a number of at least 2, or at least two different names, as in ('ham', 'spam'). "
        f"Received: classes={classes!r}."
    )


def output(x: Any, classes: int | Sequence[str]) -> Any:
    """The end of a model: a linear layer `logits`, then `predictions`, which sum to 1."""
    count, names = check_classes(classes)
    x = keras.layers.Dense(count, dtype="float32", name="logits")(x)
    return NamedSoftmax(names, dtype="float32", name="predictions")(x)


def names_of(model: keras.Model) -> tuple[str | int, ...]:
    """The names of a model's classes; their numbers where they have none."""
    layers = [layer for layer in getattr(model, "layers", ()) if isinstance(layer, NamedSoftmax)]
    if not layers:
        raise TypeError(
            "`model` must be one that kerasdl.sequences.classifier, tagger or video_classifier made. "
            f"Received: {type(model).__name__}{f' {model.name!r}' if isinstance(model, keras.Model) else ''}."
        )
    return layers[-1].class_names or tuple(range(model.output.shape[-1]))
