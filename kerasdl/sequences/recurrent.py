"""The recurrent part of every model here: which cell, how many layers, in which direction."""

from typing import Any

import keras

from kerasdl.layers import ElmanRNN
from kerasdl.sequences.checks import check_dropout, check_whole

CELLS = {"elman": ElmanRNN, "gru": keras.layers.GRU, "lstm": keras.layers.LSTM}


def check_recurrent(cell: str, units: int, layers: int, dropout: float = 0.0) -> None:
    """Refuses a recurrent part that cannot be built."""
    if cell not in CELLS:
        raise ValueError(f"`cell` must be one of {', '.join(map(repr, CELLS))}. Received: cell={cell!r}.")
    check_whole("units", units)
    check_whole("layers", layers)
    check_dropout(dropout)


def stack(
    x: Any,
    *,
    cell: str,
    units: int,
    layers: int = 1,
    bidirectional: bool = False,
    return_sequences: bool,
    dropout: float = 0.0,
    name: str = "recurrent",
) -> Any:
    """Recurrent layers one upon the other, each reading the states of the one below.

    Keras carries the mask of `x` along.

    Args:
        x: `(batch, steps, features)`.
        cell: `"elman"`, `"gru"` or `"lstm"`.
        units: The size of the state; of each direction where there are two.
        layers: How many layers.
        bidirectional: Whether a second layer beside each reads from the end, so that a step sees the future too.
        return_sequences: Whether the top layer gives its state of every step, or the last alone.
        dropout: The share of each layer's outputs that is dropped in training.
        name: What the layers' names begin with: `recurrent1`, `recurrent2`, ...

    Returns:
        `(batch, steps, units)`, or without the steps; twice the units where there are two directions.
    """
    check_recurrent(cell, units, layers, dropout)
    for depth in range(1, layers + 1):
        every_step = return_sequences or depth < layers
        layer = CELLS[cell](int(units), return_sequences=every_step, name=f"{name}{depth}")
        x = (keras.layers.Bidirectional(layer, name=f"{name}{depth}") if bidirectional else layer)(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"{name}{depth}_dropout")(x)
    return x
