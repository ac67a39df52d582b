"""`python -m kerasdl.profiling resnet50 vgg16 googlenet`: what networks cost, as a table, and as pictures on demand."""

from pathlib import Path
from typing import Annotated

import rich.console
import typer

from kerasdl.profiling.comparing import compare


def main(
    networks: Annotated[list[str], typer.Argument(help="Names of networks in kerasdl.architectures.")],
    batch_size: Annotated[list[int], typer.Option(help="Images in a call; may be given several times.")] = [1],  # noqa: B006
    input_shape: Annotated[
        tuple[int, int, int] | None, typer.Option(help="Height, width and channels instead of the papers'.")
    ] = None,
    repeats: Annotated[int, typer.Option(help="Calls to time; 0 to measure no time.")] = 10,
    layers: Annotated[bool, typer.Option("--layers", help="Show every layer as well.")] = False,
    out: Annotated[Path | None, typer.Option(help="A folder for the pictures of the comparison.")] = None,
) -> None:
    """What networks cost: parameters, multiply-adds, memory and time."""
    console = rich.console.Console()
    try:
        with console.status("") as status:
            comparison = compare(
                networks,
                batch_sizes=batch_size,
                input_shape=input_shape,
                repeats=repeats,
                out=out,
                progress=status.update,
            )
    except (ValueError, OSError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    if layers:
        for name in comparison.names:
            console.print(comparison.of(name)[0].by_layer())
    console.print(comparison)
    if out is not None:
        console.print(f"The pictures are in {out}.", soft_wrap=True)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command()(main)
    app()
