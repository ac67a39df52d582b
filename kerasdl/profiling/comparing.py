"""`compare`: several networks of the course side by side, as a table and as the two pictures of the course."""

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import rich.box
import rich.table

from kerasdl import architectures
from kerasdl.profiling.accuracies import PUBLISHED_TOP1
from kerasdl.profiling.measuring import profile
from kerasdl.profiling.profiles import Profile, rendered

# More curves than this cannot be told apart.
_MOST_CURVES = 8


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The profiles of several networks. `print(comparison)` shows a table: the parameters that can be trained, the
    multiply-adds for one image, the memory of the weights and the most that activations take at once, the published
    accuracy, and the time per image in batches of each size.

    Args:
        profiles: One per network and batch size, the batch sizes of a network side by side.
    """

    profiles: tuple[Profile, ...]

    @property
    def names(self) -> list[str]:
        """The networks, in order."""
        return list(dict.fromkeys(each.name for each in self.profiles))

    def of(self, name: str) -> list[Profile]:
        """The profiles of one network, one per batch size.

        Args:
            name: The network's name.
        """
        return [each for each in self.profiles if each.name == name]

    def figures(self) -> dict[str, Any]:
        """The two pictures, as matplotlib figures by name; one that has nothing to show is left out.

        `accuracy`: published accuracy over multiply-adds, the balls as large as the networks have parameters.
        `time`: time per image over the batch size.

        Reference:
            [Canziani et al., 2016](https://arxiv.org/abs/1605.07678), Figures 2 and 3
        """
        from kerasdl.visualization import plots  # matplotlib takes its time, and a table does without

        figures = {}
        known = [self.of(name)[0] for name in self.names if name in PUBLISHED_TOP1]
        if known:
            figures["accuracy"] = plots.scatter(
                [each.multiply_adds / 1e9 for each in known],
                [PUBLISHED_TOP1[each.name].top1 for each in known],
                [each.name for each in known],
                sizes=[each.trainable_parameters / 1e6 for each in known],
                size_label="parameters",
                x_label="multiply-adds per image, billions",
                y_label="ImageNet top-1 accuracy, %",
                log_x=True,
                title="What accuracy costs (accuracies as published)",
            )
        timed = {name: [p for p in self.of(name) if p.seconds_per_example] for name in self.names}
        timed = {name: measured for name, measured in timed.items() if len(measured) > 1}
        if timed:
            shown = dict(list(timed.items())[:_MOST_CURVES])
            left_out = f", {len(shown)} of {len(timed)} networks" if len(timed) > len(shown) else ""
            figures["time"] = plots.lines(
                {name: [1e3 * (p.seconds_per_example or 0) for p in of_it] for name, of_it in shown.items()},
                {name: [p.batch_size for p in of_it] for name, of_it in shown.items()},
                x_label="batch size",
                y_label="forward time per image, ms",
                log_x=True,
                log_y=True,
                title=f"What batches save{left_out}",
            )
        return figures

    def __rich__(self) -> rich.table.Table:
        # The units stand above, so that the table fits a terminal of 80 columns: a number cut off would be another.
        table = rich.table.Table(box=rich.box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
        table.add_column("network", no_wrap=True)
        sizes = list(dict.fromkeys(each.batch_size for each in self.profiles if each.latency is not None))
        columns = ["parameters", "multiply-\nadds, M", "weights,\nMB", "peak,\nMB", "top-1,\n%"]
        for column in (*columns, *(f"ms, batch\nof {size}" for size in sizes)):
            table.add_column(column, justify="right", no_wrap=True)
        for name in self.names:
            measured = self.of(name)
            first = measured[0]
            times = {p.batch_size: p.seconds_per_example for p in measured}
            table.add_row(
                name,
                f"{first.trainable_parameters:,}",
                f"{first.multiply_adds / 1e6:,.1f}",
                f"{first.weight_bytes / 1e6:.1f}",
                f"{first.peak_activation_bytes / 1e6:.1f}",
                f"{PUBLISHED_TOP1[name].top1:.1f}" if name in PUBLISHED_TOP1 else "",
                *(f"{1e3 * value:.3g}" if (value := times.get(size)) else "" for size in sizes),
            )
        return table

    def __str__(self) -> str:
        return rendered(self)


def compare(
    networks: Sequence[str | keras.Model],
    *,
    batch_sizes: Sequence[int] = (1,),
    input_shape: tuple[int, int, int] | None = None,
    repeats: int = 10,
    out: str | Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> Comparison:
    """What several networks cost, side by side.

    Args:
        networks: Names of builders in `kerasdl.architectures`, or models.
        batch_sizes: The sizes for which times are measured.
        input_shape: Height, width and channels for the builders; without it each network's own.
        repeats: Calls to time; 0 to measure no time.
        out: A folder for the pictures.
        progress: Told what is being measured, before it is.

    Returns:
        The profiles, with a table and pictures.

    Example:
        >>> comparison = compare(["lenet5", "lenet5_modern"], repeats=0)
        >>> [costs.multiply_adds for costs in comparison.profiles]
        [326520, 416520]
    """
    if not networks or not batch_sizes:
        raise ValueError(
            "Expected at least one network and one batch size. "
            f"Received: networks={networks!r}, batch_sizes={batch_sizes!r}."
        )
    makers = [network if isinstance(network, keras.Model) else _builder(network) for network in networks]
    options = {} if input_shape is None else {"input_shape": input_shape}
    profiles = []
    for maker in makers:
        # One at a time: the largest networks take most of a gigabyte each.
        model = maker if isinstance(maker, keras.Model) else maker(**options)
        for size in batch_sizes:
            if progress is not None:
                progress(f"{model.name}, batch size {size}")
            profiles.append(profile(model, size, repeats=repeats))
    comparison = Comparison(tuple(profiles))
    if out is not None:
        from kerasdl.visualization import plots

        for name, figure in comparison.figures().items():
            plots.save(figure, Path(out) / f"{name}.png")
    return comparison


def _builder(name: str) -> Callable[..., keras.Model]:
    """The function in `architectures` of this name, which must be one that builds a network."""
    builders = {
        name: function
        for name in architectures.__all__
        if inspect.isfunction(function := getattr(architectures, name)) and _builds_a_network(function)
    }
    if name in builders:
        return builders[name]
    near = difflib.get_close_matches(name, builders, n=3, cutoff=0.5)
    hint = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"Choose among: {', '.join(builders)}."
    raise ValueError(f"`networks` must name networks of kerasdl.architectures. Received: {name!r}. {hint}")


def _builds_a_network(function: Callable[..., Any]) -> bool:
    parameter = inspect.signature(function).parameters.get("name")
    return parameter is not None and parameter.default == function.__name__
