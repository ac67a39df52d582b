"""The course's command line: lists the lessons, runs many of them, writes one as a notebook."""

from pathlib import Path
from typing import Annotated, Any, NoReturn

import rich.markup
import rich.progress
import typer
import typer.core
from rich.console import Console
from rich.table import Column, Table

# By relative name: the installed one would import kerasdl, and with it TensorFlow, only to print a list.
from . import catalogue, export, many
from .lesson import number

console = Console()


class Commands(typer.core.TyperGroup):
    """The commands; who types a lesson's name in their place is told how a lesson is run."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Finds the command that the first word names."""
        if args[0] not in self.commands and args[0] in [lesson.name for lesson in catalogue.lessons()]:
            ctx.fail(f"{args[0]!r} is a lesson: run it by `python -m {__package__}.{args[0]}`.")
        return super().resolve_command(ctx, args)


app = typer.Typer(cls=Commands, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback(invoke_without_command=True)
def list_lessons(context: typer.Context) -> None:
    """The lessons of the course. Without a command: lists them."""
    if context.invoked_subcommand is not None:
        return
    table = Table(Column("lesson", no_wrap=True), "question", "takes", show_lines=True)
    for lesson in catalogue.lessons():
        table.add_row(lesson.name, lesson.question, lesson.facts["Takes"])
    console.print(table)
    for purpose, command in (
        ("run one", f"{__package__}.NAME"),
        ("see its options", f"{__package__}.NAME --help"),
        ("run all or many", f"{__package__} run [--quick] [NAMES]"),
        ("get a notebook", f"{__package__} export NAME"),
    ):
        console.print(f"{purpose:>16}: python -m {command}", markup=False, highlight=False, soft_wrap=True)


@app.command("run")
def run_lessons(
    names: Annotated[list[str] | None, typer.Argument(help="Which lessons; all of them without a name.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Seconds per lesson, only to see that all of them work.")
    ] = False,
    out: Annotated[Path, typer.Option(help="The results go to OUT/<lesson>.")] = Path("runs"),
) -> None:
    """Runs lessons one after the other and ends with a table of their results."""
    chosen = [_find(name) for name in names] if names else catalogue.lessons()
    results: list[many.Result] = []
    bar = rich.progress.Progress(
        rich.progress.TextColumn("{task.description}"),
        rich.progress.BarColumn(),
        rich.progress.MofNCompleteColumn(),
        rich.progress.TimeElapsedColumn(),
        console=console,
    )
    try:
        with bar:
            task = bar.add_task(chosen[0].name, total=len(chosen))
            for result in many.run(chosen, out, quick=quick):
                results.append(result)
                following = chosen[len(results)].name if len(results) < len(chosen) else "done"
                bar.update(task, advance=1, description=following)
    except KeyboardInterrupt:
        console.print(f"Stopped in {chosen[len(results)].name}, after {len(results)} of {len(chosen)} lessons.")
        raise typer.Exit(130) from None
    table = Table("lesson", "result", Column("seconds", justify="right"), "metrics", show_lines=True)
    for result in results:
        lines = [f"{name} {number(value)}" for name, value in result.metrics.items()]
        table.add_row(
            result.lesson,
            "[green]ok[/]" if result.error is None else "[red]failed[/]",
            f"{result.seconds:.1f}",
            "\n".join(lines) if result.error is None else rich.markup.escape(result.error),
        )
    console.print(table)
    failed = [result.lesson for result in results if result.error is not None]
    if failed:
        logs = ", ".join(str(out / name / "log.txt") for name in failed)
        console.print(f"{len(failed)} of {len(results)} lessons failed. What they printed: {logs}", soft_wrap=True)
        raise typer.Exit(1)


@app.command("export")
def export_lesson(
    name: Annotated[str, typer.Argument(help="Which lesson.")],
    to: Annotated[Path | None, typer.Option(help="The notebook's file; <lesson>.ipynb unless told otherwise.")] = None,
) -> None:
    """Writes a lesson as a notebook: its text in Markdown, its code in cells, its figures shown in between."""
    lesson = _find(name)
    path = to or Path(f"{lesson.name}.ipynb")
    try:
        export.write(lesson, path)
    except (ValueError, OSError) as error:
        _fail(str(error))
    console.print(f"Wrote {path}.", soft_wrap=True)


def _find(name: str) -> catalogue.Lesson:
    try:
        return catalogue.find(name)
    except ValueError as error:
        _fail(str(error))


def _fail(message: str) -> NoReturn:
    typer.echo(f"Error: {message}", err=True)
    raise typer.Exit(1)


if __name__ == "__main__":
    app(prog_name=f"python -m {__package__}")
