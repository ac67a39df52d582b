"""What a profile holds, and how it is printed."""

import dataclasses
import io
from typing import Any

import rich.console
import rich.table


@dataclasses.dataclass(frozen=True)
class Latency:
    """How long a compiled call takes, in seconds, for the whole batch.

    Args:
        median: Half of the calls took longer.
        lower: The lower quartile.
        upper: The upper quartile.
        repeats: How many calls were timed.
    """

    median: float
    lower: float
    upper: float
    repeats: int

    def __str__(self) -> str:
        quartiles = f"{seconds(self.lower)} and {seconds(self.upper)}"
        return f"{seconds(self.median)} (quartiles {quartiles}, of {self.repeats})"


@dataclasses.dataclass(frozen=True)
class LayerProfile:
    """What one layer costs, all its calls together.

    Args:
        path: The layer's name, after those of the layers that it is in.
        kind: Its class.
        calls: How often the model calls it.
        output_shape: What its first call gives, with the batch.
        parameters: Its weights' numbers; those that it shares with a layer above it count there.
        multiply_adds: For one example; None for a layer with a kernel that no rule speaks of.
        activation_bytes: What its calls add to the memory, for the batch.
    """

    path: str
    kind: str
    calls: int
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int | None
    activation_bytes: int


@dataclasses.dataclass(frozen=True)
class Profile:
    """What a model costs. `print(profile)` shows it, `print(profile.by_layer())` every layer.

    Args:
        name: The model's name.
        input_shape: The shape of its first input, with the batch.
        trainable_parameters: Numbers that training changes.
        parameters: All numbers in its weights.
        weight_bytes: The memory that they take.
        multiply_adds: Of convolutions and dense layers, for one example.
        activation_bytes: The inputs and the outputs of all layers, for the batch: about what training has to keep.
        peak_activation_bytes: The most of them that inference needs at one time, layer after layer in Keras' order,
            none in place.
        latency: The time of a compiled call; None if it was not measured.
        layers: Layer by layer, in the order of the calls.
    """

    name: str
    input_shape: tuple[int, ...]
    trainable_parameters: int
    parameters: int
    weight_bytes: int
    multiply_adds: int
    activation_bytes: int
    peak_activation_bytes: int
    latency: Latency | None
    layers: tuple[LayerProfile, ...] = dataclasses.field(repr=False)

    @property
    def batch_size(self) -> int:
        """Examples in a call."""
        return self.input_shape[0]

    @property
    def seconds_per_example(self) -> float | None:
        """The median time, divided by the batch size."""
        return None if self.latency is None else self.latency.median / self.batch_size

    @property
    def not_counted(self) -> tuple[str, ...]:
        """Layers with a kernel that no rule speaks of, so `multiply_adds` lacks theirs."""
        return tuple(layer.path for layer in self.layers if layer.multiply_adds is None)

    def by_layer(self) -> "Printable":
        """A table with a line per layer."""
        table = rich.table.Table(title=self.name)
        for column in ("layer", "kind", "output"):
            table.add_column(column, overflow="fold")
        for column in ("calls", "parameters", "multiply-adds", "activations"):
            table.add_column(column, justify="right")
        for layer in self.layers:
            shape = "×".join(map(str, layer.output_shape[1:]))
            count = "?" if layer.multiply_adds is None else f"{layer.multiply_adds:,}"
            memory = memory_size(layer.activation_bytes)
            table.add_row(layer.path, layer.kind, shape, str(layer.calls), f"{layer.parameters:,}", count, memory)
        return Printable(table)

    def __rich__(self) -> rich.table.Table:
        table = rich.table.Table(title=f"{self.name}, input {'×'.join(map(str, self.input_shape))}", show_header=False)
        table.add_column("what")
        table.add_column("how much", justify="right")
        table.add_row("parameters", f"{self.parameters:,}")
        table.add_row("of them trainable", f"{self.trainable_parameters:,}")
        table.add_row("weights", memory_size(self.weight_bytes))
        table.add_row("multiply-adds per example", f"{self.multiply_adds:,}")
        table.add_row("activations, all", memory_size(self.activation_bytes))
        table.add_row("activations, peak in inference", memory_size(self.peak_activation_bytes))
        if self.latency is not None:
            table.add_row("time per batch", str(self.latency))
        if self.not_counted:
            table.add_row("multiply-adds not counted of", ", ".join(self.not_counted))
        return table

    def __str__(self) -> str:
        return rendered(self)


class Printable:
    """A table that `print` shows as rich does."""

    def __init__(self, table: rich.table.Table) -> None:
        self._table = table

    def __rich__(self) -> rich.table.Table:
        return self._table

    def __str__(self) -> str:
        return rendered(self)


def rendered(thing: Any) -> str:
    """What rich would print, as text.

    Args:
        thing: A table, or what has one.
    """
    console = rich.console.Console(file=io.StringIO(), width=120)
    console.print(thing)
    return console.file.getvalue().rstrip("\n")  # type: ignore[attr-defined]


def memory_size(count: int) -> str:
    """Bytes as one reads them.

    Args:
        count: How many bytes.

    Example:
        >>> memory_size(102_228_128)
        '102.2 MB'
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def seconds(value: float) -> str:
    """A time as one reads it.

    Args:
        value: In seconds.

    Example:
        >>> seconds(0.01234)
        '12.3 ms'
    """
    return f"{value:.3g} s" if value >= 1 else f"{1e3 * value:.3g} ms"
