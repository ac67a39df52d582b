"""The course's command line: lists the lessons, runs many of them, writes them as notebooks."""

import shlex
from pathlib import Path
from typing import Annotated, Any, NoReturn

import rich.markup
import rich.progress
import typer
import typer.core
from rich.console import Console
from rich.table import Column, Table

# By relative name: the installed one would import kerasdl, and with it TensorFlow, only to print a list.
from . import catalogue, course_page, export, many, report
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
    for part, lessons in catalogue.parts():
        console.print(f"\n{part.title}", style="bold", highlight=False)
        console.print(part.introduction, highlight=False)
        table = Table(
            Column("lesson", no_wrap=True),
            Column("question", ratio=1),
            Column("takes on one\ncore, unless\nit says two", width=14),
            expand=True,
        )
        for lesson in lessons:
            table.add_row(lesson.name, lesson.question, lesson.duration.removesuffix(" on one core"))
        console.print(table)
    for purpose, command in (
        ("run one", f"{__package__}.NAME"),
        ("see its options", f"{__package__}.NAME --help"),
        ("run all or many", f"{__package__} run [--quick] [NAMES]"),
        ("get notebooks", f"{__package__} export [NAMES]"),
        ("see all results", f"{__package__} report OUT"),
    ):
        console.print(f"{purpose:>16}: python -m {command}", markup=False, highlight=False, soft_wrap=True)


@app.command("run")
def run_lessons(
    names: Annotated[list[str] | None, typer.Argument(help="Which lessons; all of them without a name.")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Seconds per lesson, only to see that all of them work.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The results go to OUT/<lesson>; without it OUT is runs, quick ones' runs/quick."),
    ] = None,
) -> None:
    """Runs lessons one after the other and ends with a table of their results."""
    chosen = [_find(name) for name in names] if names else catalogue.lessons()
    # Quick results say nothing: they must not take the place of those that took an hour.
    out = out or (Path("runs/quick") if quick else Path("runs"))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _fail(f"--out must be a folder one may write to. Received: {out} ({error.strerror}).")
    results: list[many.Result] = []
    try:
        with _progress(chosen, quick) as bar:
            for result in many.run(chosen, out, quick=quick):
                results.append(result)
                console.print(_line(result, len(results), len(chosen)), soft_wrap=True, highlight=False)
                following = chosen[len(results)].name if len(results) < len(chosen) else "done"
                bar.update(bar.task_ids[0], advance=_weight(chosen[len(results) - 1], quick), description=following)
    except KeyboardInterrupt:
        if results:
            _show(results, out, quick)
        where = f"at {chosen[len(results)].name}, " if len(results) < len(chosen) else ""
        console.print(f"Stopped {where}after {len(results)} of {len(chosen)} lessons.")
        raise typer.Exit(130) from None
    _show(results, out, quick)
    failed = [result.lesson for result in results if result.error is not None]
    if failed:
        logs = ", ".join(str(out / name / "log.txt") for name in failed)
        console.print(f"{len(failed)} of {len(results)} lessons failed. What they printed: {logs}", soft_wrap=True)
        raise typer.Exit(1)


# Of the names of lessons: they stand under each other, and the bar does not jump.
_WIDTH = 24


def _line(result: many.Result, count: int, total: int) -> str:
    told = "[green]ok[/]" if result.error is None else f"[red]{rich.markup.escape(result.error)}[/]"
    return f"{count:>{len(str(total))}}/{total}  {result.lesson:{_WIDTH}}  {result.seconds:6.1f} s  {told}"


def _progress(chosen: list[catalogue.Lesson], quick: bool) -> rich.progress.Progress:
    """A bar in which a lesson is as long as it takes; nothing where nobody looks, as in a file."""
    bar = rich.progress.Progress(
        rich.progress.TextColumn(f"{{task.description:{_WIDTH}}}"),
        rich.progress.BarColumn(),
        rich.progress.TimeElapsedColumn(),
        "left:",
        rich.progress.TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        # Lessons are far apart, and how fast it goes is told by all of them.
        speed_estimate_period=1e9,
    )
    bar.add_task(chosen[0].name, total=sum(_weight(lesson, quick) for lesson in chosen))
    return bar


def _weight(lesson: catalogue.Lesson, quick: bool) -> float:
    return 1.0 if quick else lesson.seconds


# Some lessons measure seventy things. A table of them all would be a thousand lines long.
_METRICS_SHOWN = 4


def _show(results: list[many.Result], out: Path, quick: bool) -> None:
    """The results as a table, with a warning where they must not be taken for such."""
    table = Table(
        "lesson", "result", Column("seconds", justify="right"), Column("metrics", overflow="fold"), show_lines=True
    )
    for result in results:
        lines = [f"{name} {number(value)}" for name, value in result.metrics.items()]
        if len(lines) > _METRICS_SHOWN:
            lines[_METRICS_SHOWN - 1 :] = [f"and {len(lines) - _METRICS_SHOWN + 1} more"]
        table.add_row(
            result.lesson,
            "[green]ok[/]" if result.error is None else "[red]failed[/]",
            f"{result.seconds:.1f}",
            "\n".join(lines) if result.error is None else rich.markup.escape(result.error),
        )
    console.print(table)
    folder = shlex.quote(str(out))
    told = f"All metrics and pictures on a page: python -m {__package__} report {folder}"
    console.print(told, markup=False, highlight=False, soft_wrap=True)
    if quick:
        console.print("Quick runs only show that the lessons work: their numbers mean nothing.", soft_wrap=True)


@app.command("export")
def export_lessons(
    names: Annotated[list[str] | None, typer.Argument(help="Which lessons; all of them without a name.")] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="A folder, or for a single lesson a file that ends in .ipynb. Without it one lesson goes to "
            "<lesson>.ipynb, several go to the folder notebooks."
        ),
    ] = None,
) -> None:
    """Writes lessons as notebooks: their text in Markdown, their code in cells, their figures shown in between."""
    chosen = [_find(name) for name in names] if names else catalogue.lessons()
    is_file = to is not None and to.suffix == ".ipynb"
    try:
        if len(chosen) == 1 and (to is None or is_file):
            path = export.write(chosen[0], to or Path(f"{chosen[0].name}.ipynb"))
            console.print(f"Wrote {path}.", soft_wrap=True)
            _tell_how_to_open("it", path)
            return
        if is_file:
            raise ValueError(f"--to must be a folder for several lessons. Received: {to}.")
        folder = to or Path("notebooks")
        written, kept = export.write_all(chosen, folder, with_index=not names)
    except FileExistsError as error:
        _fail(f"--to must be a folder, or end in .ipynb. Received: {error.filename}, which is a file.")
    except (ValueError, OSError) as error:
        _fail(str(error))
    count = f"{len(written)} notebook{'' if len(written) == 1 else 's'}"
    console.print(f"Wrote {count} into {folder}.", soft_wrap=True)
    if kept:
        there = ", ".join(path.name for path in kept)
        console.print(f"Kept those that were there already: {there}.", soft_wrap=True)
    _tell_how_to_open("them", folder if names else folder / export.INDEX)


def _tell_how_to_open(what: str, path: Path) -> None:
    # Jupyter is nothing that the lessons need.
    command = f"jupyter lab {shlex.quote(str(path))}"
    console.print(f"To open {what}: pip install jupyterlab, then {command}", soft_wrap=True, highlight=False)


@app.command("report")
def report_runs(
    out: Annotated[Path, typer.Argument(help="The page becomes OUT/index.html.")],
    folder: Annotated[Path, typer.Option("--runs", help="Where the runs lie, at whatever depth.")] = Path("runs"),
) -> None:
    """Writes one page of all runs found: figures, metrics, what was expected, commands. It needs no network."""
    try:
        with rich.progress.Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
            task = bar.add_task("figures")
            path, left_out = report.write(
                folder, out, lambda done, total: bar.update(task, completed=done, total=total)
            )
    except (ValueError, OSError) as error:
        _fail(str(error))
    for sentence in left_out:
        console.print(f"Left out: {sentence}", soft_wrap=True, markup=False, highlight=False)
    console.print(f"Wrote {path}.", soft_wrap=True, markup=False)


@app.command("page", hidden=True)
def write_page(
    runs: Annotated[Path | None, typer.Argument(help="Folder of the runs; without it the pictures stay.")] = None,
) -> None:
    """Writes the course's page, tutorials/README.md, and its pictures; for those who work on the course."""
    root = catalogue.FOLDER.parent
    try:
        missing = course_page.write(root, runs)
    except (ValueError, OSError) as error:
        _fail(str(error))
    # The whole path: it is that of the lessons, wherever one stands.
    console.print(f"Wrote {root / course_page.PAGE}.", soft_wrap=True, highlight=False)
    if missing:
        console.print(f"No picture was found for {', '.join(missing)}.", soft_wrap=True)


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
